"""Policies over the whole stack: what the desk has ordered is done once, in the policy's name, or left open with a note."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as book_pb
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from reconciler_service.app import ReconcilerApp
from reconciler_service.runner import Order
from reconciler_service.simulator import scenario
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.records import Mode
from reconciler_service.tables import PolicyRow
from tests.simulated_desk import Desk, simulated_desk

CONFIRMED, RESOLVED = drift_pb2.DRIFT_STATUS_CONFIRMED, drift_pb2.DRIFT_STATUS_RESOLVED


def ordered(position: Any, *rows: dict[str, Any]) -> Any:
    return simulated_desk(position, policies=tuple(PolicyRow(**row) for row in rows))


async def position_of(desk: Desk, symbol: str) -> position_pb2.Position:
    (held,) = (await desk.book.ListPositions(book_pb.ListPositionsRequest(symbol=symbol))).positions
    return held


async def case(desk: Desk, drift_id: str) -> drift_pb2.Drift:
    return (await desk.reconciler.GetDrift(pb.GetDriftRequest(drift_id=drift_id))).drift


async def last_event(desk: Desk, symbol: str) -> position_pb2.PositionEvent:
    events = (await desk.book.ListPositionHistory(book_pb.ListPositionHistoryRequest(symbol=symbol))).events
    return max(events, key=lambda event: event.revision)


async def test_missed_fills_are_booked_in_the_policys_name(position: Any) -> None:
    async with ordered(position, {"kind": "SIZE", "venue": "hyperliquid", "action": "APPLY_FILLS"}) as desk:
        await desk.reconcile()
        (done,) = desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.02"), Decimal(42600))
        tried = await desk.reconciler.Reconcile(pb.ReconcileRequest(dry_run=True))
        assert [drift.status for drift in tried.drifts] == [CONFIRMED]
        assert (await position_of(desk, "BTC")).size == "0.5"

        answer = await desk.reconcile()
        (drift,) = answer.drifts
        assert (drift.status, drift.resolution, drift.actor) == (RESOLVED, "APPLY_FILLS", "policy:SIZE")
        assert drift.reason == "policy: APPLY_FILLS for SIZE up to 1000 USD"
        assert answer.revision == drift.revision
        held = await position_of(desk, "BTC")
        assert (held.size, Decimal(held.realized_pnl)) == ("0.52", -done.fee)
        event = await last_event(desk, "BTC")
        assert (event.actor, event.reason) == ("policy:SIZE", drift.reason)
        assert not (await desk.reconcile()).drifts


async def test_fills_that_do_not_add_up_leave_it_open_with_a_note(position: Any) -> None:
    async with ordered(position, {"kind": "SIZE", "action": "APPLY_FILLS", "max_usd": 10**6}) as desk:
        await desk.reconcile()
        await desk.book.ReducePosition(book_pb.ReducePositionRequest(asset="BTC/USD", size="0.1", price="42500"))
        before = await position_of(desk, "BTC")
        (drift,) = (await desk.reconcile()).drifts
        assert drift.status == CONFIRMED
        assert drift.note == "policy APPLY_FILLS not carried out: no fills at the venue account for it"
        assert drift.summary.endswith("Policy APPLY_FILLS not carried out: no fills at the venue account for it.")
        (again,) = (await desk.reconcile()).drifts
        assert (again.note, again.revision, again.times_seen) == (drift.note, drift.revision, 2)
        after = await position_of(desk, "BTC")
        assert (after.size, after.revision) == ("0.4", before.revision)
        # The case is streamed with its note.
        call = desk.reconciler.StreamDriftEvents(pb.StreamDriftEventsRequest(include_open=True))
        try:
            async for message in call:
                if message.events:
                    assert [event.drift.note for event in message.events] == [drift.note]
                    break
        finally:
            call.cancel()


async def test_never_more_than_the_amount_allowed(position: Any) -> None:
    async with ordered(position, {"kind": "SIZE", "action": "APPLY_FILLS", "max_usd": 10_000}) as desk:
        await desk.reconcile()
        desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.4"), Decimal(42600))
        (drift,) = (await desk.reconcile()).drifts
        assert drift.status == CONFIRMED
        assert "more than the 10000 USD allowed" in drift.note
        # The net is small, what was traded is not: that is seen when the fills are looked at, and noted all the same.
        desk.exchange.trade(scenario.DESK, "BTC", False, Decimal("0.38"), Decimal(42600))
        (drift,) = (await desk.reconcile()).drifts
        assert (drift.status, drift.size_delta) == (CONFIRMED, "0.02")
        assert "more than the 10000 USD allowed" in drift.note
        await desk.reconcile()
        assert "more than the 10000 USD allowed" in (await case(desk, drift.drift_id)).note
        assert (await position_of(desk, "BTC")).size == "0.5"


async def test_a_setting_is_adopted_and_the_rest_is_only_told(position: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"kind": "LEVERAGE", "action": "ADOPT_VENUE"},
        {"kind": "LEVERAGE", "symbol": "BTC", "action": "ALERT"},
    ]
    async with ordered(position, *rows) as desk:
        await desk.reconcile()
        for coin in ("HYPE", "BTC"):
            desk.exchange.set_leverage(scenario.DESK, coin, 10, Mode.CROSS)
        desk.exchange.close(scenario.DESK, "SOL")
        found = {drift.symbol: drift for drift in (await desk.reconcile()).drifts}
        assert {symbol: drift.status for symbol, drift in found.items()} == {
            "HYPE": RESOLVED,
            "BTC": CONFIRMED,
            "SOL": CONFIRMED,
        }
        assert not found["BTC"].note
        assert (await position_of(desk, "HYPE")).leverage == "10"
        assert (await last_event(desk, "HYPE")).actor == "policy:LEVERAGE"


async def test_what_somebody_has_taken_on_is_theirs(position: Any) -> None:
    async with simulated_desk(position) as desk:
        await desk.reconcile()
        desk.exchange.set_leverage(scenario.DESK, "HYPE", 10, Mode.CROSS)
        (drift,) = (await desk.reconcile()).drifts
        await desk.reconciler.AcknowledgeDrift(pb.AcknowledgeDriftRequest(drift_id=drift.drift_id))
        policy = PolicyRow(kind="LEVERAGE", action="ADOPT_VENUE")
        settings = desk.app._settings.model_copy(update={"policies": (policy,)})
        app = ReconcilerApp(settings)
        await app.start()
        try:
            (same,) = (await app.runner.reconcile(Order())).drifts
        finally:
            await app.stop()
        assert same.status == drift_pb2.DRIFT_STATUS_ACKNOWLEDGED
        assert (await position_of(desk, "HYPE")).leverage == "3"


async def test_a_venue_that_fails_meanwhile_is_tried_again(position: Any) -> None:
    async with ordered(position, {"kind": "MISSING_AT_VENUE", "action": "ADOPT_VENUE", "max_usd": 10**6}) as desk:
        await desk.reconcile()
        desk.exchange.close(scenario.DESK, "SOL")
        original = desk.app.runner.then
        assert original is not None

        async def broken(result: Any) -> Any:
            desk.venue.fault(Kind.NAN, types=frozenset({"clearinghouseState"}))
            return await original(result)

        desk.app.runner.then = broken
        (drift,) = (await desk.reconcile()).drifts
        assert drift.status == CONFIRMED
        assert drift.note.startswith("policy ADOPT_VENUE not carried out: hyperliquid gives no answer to build on")
        desk.venue.faults.clear()
        desk.app.runner.then = original
        (over,) = (await desk.reconcile()).drifts
        assert (over.status, over.actor) == (RESOLVED, "policy:MISSING_AT_VENUE")


async def test_what_is_left_of_the_budget_for_the_interval_is_not_spent_on_corrections(position: Any) -> None:
    async with ordered(position, {"kind": "MISSING_AT_VENUE", "action": "ADOPT_VENUE", "max_usd": 10**6}) as desk:
        await desk.reconcile()
        desk.exchange.close(scenario.DESK, "SOL")
        pace = desk.app.runner.desks[0].pace
        known, pace.full = pace.full, 5 * pace.full  # as if four fifths of it were spent
        (drift,) = (await desk.reconcile()).drifts
        assert (drift.status, drift.note) == (CONFIRMED, "")
        pace.full = known
        (over,) = (await desk.reconcile()).drifts
        assert (over.status, over.actor) == (RESOLVED, "policy:MISSING_AT_VENUE")
