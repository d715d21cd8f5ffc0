"""What an account is worth over the whole stack: explained to the last digit, and told when it is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trueup.position.v1 import position_service_pb2 as book_pb
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from reconciler_service.desk import Desk as AccountDesk
from reconciler_service.health import Health
from reconciler_service.simulator import scenario
from reconciler_service.simulator.faults import Kind
from tests.reconciler_samples import TestVenue
from tests.simulated_desk import Desk, simulated_desk

KIND = drift_pb2.DRIFT_KIND_EQUITY


async def check_of(desk: Desk) -> drift_pb2.EquityCheck:
    """What the next run says of the one account."""
    (check,) = (await desk.reconcile()).run.equity
    return check


async def book(desk: Desk, fills: list[Any], asset: str) -> None:
    """Book executions of the simulated venue."""
    request = book_pb.RecordFillsRequest()
    for done in fills:
        fill = request.fills.add(symbol=done.coin, asset=asset, fill_id=str(done.tid), is_buy=done.is_buy)
        fill.size, fill.price, fill.fee = f"{done.size:f}", f"{done.price:f}", f"{done.fee:f}"
        fill.executed_at.FromMilliseconds(done.time)
    await desk.book.RecordFills(request)


def worth(desk: Desk) -> Decimal:
    """By the venue's own books, over both dexes."""
    return sum((desk.exchange.view(scenario.DESK, dex).total.account_value for dex in ("", "xyz")), Decimal(0))


async def test_trades_funding_deposits_and_marks_explain_what_it_is_worth(position: Any) -> None:
    async with simulated_desk(position) as desk:
        await desk.reconcile()
        await desk.reconcile()
        start = await check_of(desk)
        assert (Decimal(start.baseline), start.gap, start.tolerance) == (worth(desk), "0", "1")
        done = desk.exchange.trade(scenario.DESK, "BTC", False, Decimal("0.2"), Decimal(42600))
        await book(desk, done, "BTC/USD")
        desk.exchange.deposit(scenario.DESK, Decimal(5_000))
        desk.exchange.pay_funding("ETH", Decimal("0.01"))
        desk.exchange.set_mark("SOL", Decimal("103.3"))
        check = await check_of(desk)
        assert not check.confirmed
        assert abs(Decimal(check.gap)) < Decimal("0.00001")  # the venue shows six fraction digits
        assert Decimal(check.cash_flows) > 5_000 - 100
        assert Decimal(check.cash_flows) != 5_000
        assert Decimal(check.realized_pnl) == 600 * Decimal("0.2") - done[0].fee
        assert abs(Decimal(check.actual) - worth(desk)) < Decimal("0.00001")
        parts = (check.baseline, check.realized_pnl, check.cash_flows, check.unrealized_change)
        assert sum(Decimal(part) for part in parts) == Decimal(check.expected)
        status = await desk.reconciler.GetStatus(pb.GetStatusRequest())
        assert list(status.last_run.equity) == [check]


async def round_trip(desk: Desk) -> list[Any]:
    """In and out again: no position shows it, and money is gone."""
    fills = [*desk.exchange.trade(scenario.DESK, "ARB", True, Decimal(1_000), Decimal("0.95"))]
    return [*fills, *desk.exchange.close(scenario.DESK, "ARB", Decimal("0.90"))]


async def test_what_no_position_shows_is_reported_and_not_alerted(position: Any) -> None:
    async with simulated_desk(position) as desk:
        await desk.reconcile()
        await desk.reconcile()
        fills = await round_trip(desk)
        assert not (await check_of(desk)).confirmed
        answer = await desk.reconcile()
        (check,) = answer.run.equity
        lost = Decimal(-50) - sum(fill.fee for fill in fills)
        assert check.confirmed
        assert abs(Decimal(check.gap) - lost) < Decimal("0.00001")
        assert not answer.drifts
        # A look that is not whole says nothing.
        desk.venue.fault(Kind.PARTIAL_SCOPE, dex="xyz")
        assert not (await desk.reconcile()).run.equity


async def test_with_alerts_it_is_a_case_until_it_is_booked(position: Any) -> None:
    async with simulated_desk(position, equity_alerts=True) as desk:
        await desk.reconcile()
        await desk.reconcile()
        fills = await round_trip(desk)
        assert not (await desk.reconcile()).drifts
        tried = await desk.reconciler.Reconcile(pb.ReconcileRequest(dry_run=True))
        assert [drift.kind for drift in tried.drifts] == [KIND]
        (drift,) = (await desk.reconcile()).drifts
        assert (drift.kind, drift.account, drift.symbol) == (KIND, "main", "")
        assert drift.summary.startswith("main at hyperliquid is worth 5")
        assert drift.rule.endswith("USD > 1 USD")
        assert drift.equity.confirmed
        (again,) = (await desk.reconcile()).drifts
        assert (again.drift_id, again.revision, again.times_seen) == (drift.drift_id, drift.revision, 2)
        await book(desk, fills, "ARB/USD")
        assert not (await desk.reconcile()).drifts
        (over,) = (await desk.reconcile()).drifts
        assert (over.drift_id, over.status) == (drift.drift_id, drift_pb2.DRIFT_STATUS_RESOLVED)


async def test_another_reconciler_goes_on_from_the_same_start(position: Any) -> None:
    async with simulated_desk(position) as desk:
        await desk.reconcile()
        await desk.reconcile()
        desk.exchange.deposit(scenario.DESK, Decimal(5_000))
        first = await check_of(desk)
        assert (first.gap, first.cash_flows) == ("0", "5000")
        assert first.basis.flows
        # Nobody looks while money comes by and is lost.
        await desk.app.stop()
        desk.exchange.deposit(scenario.DESK, Decimal(70))
        lost = Decimal(-50) - sum(fill.fee for fill in await round_trip(desk))
        await desk.restart()
        await desk.reconcile()
        check = await check_of(desk)
        assert (check.since, check.baseline, check.cash_flows) == (first.since, first.baseline, "5070")
        assert abs(Decimal(check.gap) - lost) < Decimal("0.00001")
        assert check.confirmed
        await desk.restart(equity_baseline="new")
        await desk.reconcile()
        await desk.reconcile()
        check = await check_of(desk)
        assert (check.gap, check.cash_flows) == ("0", "0"), "taken as it is"
        assert check.since.ToNanoseconds() > first.since.ToNanoseconds()


async def test_a_case_goes_on_with_another_reconciler_until_it_is_booked(position: Any) -> None:
    async with simulated_desk(position, equity_alerts=True) as desk:
        await desk.reconcile()
        await desk.reconcile()
        fills = await round_trip(desk)
        await desk.reconcile()
        (drift,) = (await desk.reconcile()).drifts
        assert not drift.equity.HasField("basis")
        await desk.restart()
        again = (await desk.reconcile()).drifts[-1]
        assert (again.drift_id, again.status) == (drift.drift_id, drift_pb2.DRIFT_STATUS_CONFIRMED)
        await book(desk, fills, "ARB/USD")
        await desk.reconcile()
        await desk.reconcile()
        ended = await desk.reconciler.GetDrift(pb.GetDriftRequest(drift_id=drift.drift_id))
        assert ended.drift.resolution == "AGREES_AGAIN"


async def test_a_case_that_counts_from_another_start_is_not_ended(position: Any) -> None:
    async with simulated_desk(position, equity_alerts=True) as desk:
        await desk.reconcile()
        await desk.reconcile()
        await round_trip(desk)
        await desk.reconcile()
        (drift,) = (await desk.reconcile()).drifts
        await desk.restart(equity_baseline="new")
        for _ in range(5):
            await desk.reconcile()
        listed = await desk.reconciler.ListDrifts(pb.ListDriftsRequest(kinds=[KIND]))
        assert [one.drift_id for one in listed.drifts] == [drift.drift_id]


async def test_who_ends_the_case_of_a_gap_takes_the_account_as_it_is(position: Any) -> None:
    async with simulated_desk(position, equity_alerts=True) as desk:
        await desk.reconcile()
        await desk.reconcile()
        await round_trip(desk)
        await desk.reconcile()
        (drift,) = (await desk.reconcile()).drifts
        dismiss = pb.ResolveDriftRequest(drift_id=drift.drift_id, action=pb.RESOLVE_ACTION_DISMISS, reason="known")
        await desk.reconciler.ResolveDrift(dismiss)
        for _ in range(4):
            answer = await desk.reconcile()
            assert not answer.drifts
        (check,) = answer.run.equity
        assert (check.gap, check.confirmed) == ("0", False)


async def test_where_it_is_not_checked_the_status_says_why(position: Any) -> None:
    async with simulated_desk(position) as desk:
        told = (await desk.reconciler.GetStatus(pb.GetStatusRequest())).venues
        assert {venue.venue: venue.equity_unchecked for venue in told} == {
            "hyperliquid": "",
            "coinbase": "not configured",
        }
    silent = TestVenue()
    health = AccountDesk(silent, Health(silent.account, silent.name, silent.source)).status
    assert health.equity_unchecked == "hyperliquid does not tell what moves its balances"
