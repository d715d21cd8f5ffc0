"""The whole of it over real processes: a fill is lost, a drift says so and why, a dry run shows the cure, the cure is true."""

from __future__ import annotations

from decimal import Decimal

from tests.e2e.processes import Trio, wait_until

POSITIONS = "trueup.position.v1.PositionService"
RECONCILER = "trueup.reconciler.v1.ReconcilerService"
COIN, SOLD, PRICE = "xyz:TSLA", Decimal(3), Decimal("255.5")  # no other test touches it


def test_a_lost_fill_is_found_explained_tried_applied_and_synced(trio: Trio):
    trio.settle()
    trio.ask(f"{RECONCILER}/Reconcile")
    before = held(trio)
    with trio.subscribe() as stream:
        stream.wait_bookmark()
        trio.at_venue("trade", coin=COIN, side="sell", size=str(SOLD), price=str(PRICE))
        wait_until(lambda: of_coin(stream.events), "the drift")
        drift = of_coin(stream.events)[0]["drift"]
        assert (drift["kind"], drift["status"]) == ("DRIFT_KIND_SIZE", "DRIFT_STATUS_CONFIRMED")
        assert drift["explanation"]["cause"] == "DRIFT_CAUSE_MISSED_FILLS"
        (fill,) = drift["explanation"]["evidence"]
        fee = Decimal(fill["text"].rpartition("fee ")[2].split()[0])
        realized = Decimal(before["realized_pnl"]) + (PRICE - Decimal(before["entry_price"])) * SOLD - fee
        assert fee > 0

        ask = {"drift_id": drift["drift_id"], "action": "RESOLVE_ACTION_APPLY_FILLS", "reason": "the bot was down"}
        tried = trio.ask(f"{RECONCILER}/ResolveDrift", **ask, dry_run=True)
        shown = {change["field"]: change["after"] for change in tried["correction"]}
        assert (Decimal(shown["size"]), Decimal(shown["realized_pnl"])) == (Decimal(before["size"]) - SOLD, realized)
        assert held(trio)["revision"] == before["revision"]  # tried, not done

        trio.ask(f"{RECONCILER}/ResolveDrift", **ask)
        wait_until(lambda: of_coin(stream.events)[-1]["type"] == "DRIFT_EVENT_TYPE_RESOLVED", "the end of the case")
    trio.ask(f"{RECONCILER}/Reconcile")
    after = held(trio)
    assert after["reconciliation_status"] == "RECONCILIATION_STATUS_SYNCED"
    assert (Decimal(after["size"]), Decimal(after["realized_pnl"])) == (Decimal(before["size"]) - SOLD, realized)
    assert Decimal(after["estimated_pnl"]) == 0
    assert after["entry_price"] == before["entry_price"]
    history = trio.ask(f"{POSITIONS}/ListPositionHistory", position_id=after["position_id"])["events"]
    assert (history[-1]["reason"], history[-1]["trade"]["fill_id"]) == ("the bot was down", fill["id"])
    put_back(trio)


def of_coin(events: list[dict]) -> list[dict]:
    return [event for event in events if event["drift"]["symbol"] == COIN]


def held(trio: Trio) -> dict:
    return trio.ask(f"{POSITIONS}/GetPosition", symbol=COIN)["position"]


def put_back(trio: Trio) -> None:
    """Buy again what was sold, on both sides, for the tests that come after."""
    trio.at_venue("trade", coin=COIN, side="buy", size=str(SOLD))
    listed = wait_until(lambda: open_cases(trio), "the drift of the purchase")
    trio.ask(f"{RECONCILER}/ResolveDrift", drift_id=listed[0]["drift_id"], action="RESOLVE_ACTION_APPLY_FILLS")


def open_cases(trio: Trio) -> list[dict]:
    drifts = trio.ask(f"{RECONCILER}/ListDrifts").get("drifts", [])
    return [drift for drift in drifts if drift["symbol"] == COIN]
