"""ResolveDrift over the whole stack: what was wrong is mended, once, and only if it is still what the case shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as book_pb
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from grpckit.errors import RpcError, from_rpc
from reconciler_service.simulator import scenario
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.records import Mode
from tests.simulated_desk import Desk, simulated_desk

ADOPT, APPLY = pb.RESOLVE_ACTION_ADOPT_VENUE, pb.RESOLVE_ACTION_APPLY_FILLS
KEEP, DISMISS = pb.RESOLVE_ACTION_KEEP_LOCAL, pb.RESOLVE_ACTION_DISMISS
RESOLVED, ACKNOWLEDGED = drift_pb2.DRIFT_STATUS_RESOLVED, drift_pb2.DRIFT_STATUS_ACKNOWLEDGED


@pytest.fixture
async def desk(position: Any) -> AsyncIterator[Desk]:
    async with simulated_desk(position) as running:
        await running.reconcile()
        yield running


async def resolve(desk: Desk, drift: drift_pb2.Drift, action: pb.ResolveAction, **fields: Any) -> Any:
    request = pb.ResolveDriftRequest(drift_id=drift.drift_id, action=action, **fields)
    return await desk.reconciler.ResolveDrift(request, timeout=30)


async def refused(desk: Desk, drift: drift_pb2.Drift, action: pb.ResolveAction, **fields: Any) -> RpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await resolve(desk, drift, action, **fields)
    return from_rpc(raised.value)


async def found(desk: Desk, symbol: str, kind: str | None = None) -> drift_pb2.Drift:
    drifts = (await desk.reconcile()).drifts
    return next(
        d for d in drifts if d.symbol == symbol and (not kind or drift_pb2.DriftKind.Name(d.kind).endswith(kind))
    )


async def held(desk: Desk, symbol: str) -> position_pb2.Position | None:
    listed = await desk.book.ListPositions(book_pb.ListPositionsRequest(symbol=symbol))
    return listed.positions[0] if listed.positions else None


async def ended(desk: Desk, symbol: str) -> position_pb2.Position:
    """The position of an instrument as its last event left it."""
    history = await desk.book.ListPositionHistory(book_pb.ListPositionHistoryRequest(symbol=symbol))
    return max(history.events, key=lambda event: event.revision).after


async def is_clean(desk: Desk, symbol: str) -> bool:
    """Nothing is found any more, and what is live is SYNCED."""
    answer = await desk.reconcile()
    position = await held(desk, symbol)
    return not [drift for drift in answer.drifts if drift.symbol == symbol] and (
        position is None or position.reconciliation_status == position_pb2.RECONCILIATION_STATUS_SYNCED
    )


def diff(answer: Any) -> dict[str, tuple[str, str]]:
    return {change.field: (change.before, change.after) for change in answer.correction}


async def test_a_lost_fill_is_explained_tried_and_booked_to_the_last_digit(desk: Desk) -> None:
    (done,) = desk.exchange.trade(scenario.DESK, "BTC", False, Decimal("0.2"), Decimal(42600))
    drift = await found(desk, "BTC")
    assert drift.explanation.cause == drift_pb2.DRIFT_CAUSE_MISSED_FILLS
    before = await held(desk, "BTC")

    tried = await resolve(desk, drift, APPLY, dry_run=True)
    pnl = f"{(Decimal(42600) - 42000) * Decimal('0.2') - done.fee:f}".rstrip("0")
    assert diff(tried) == {"size": ("0.5", "0.3"), "realized_pnl": ("0", pnl)}
    assert (tried.estimated, tried.assumed_price) == (False, "")
    assert (await held(desk, "BTC")) == before
    assert tried.drift == drift

    answer = await resolve(desk, drift, APPLY, reason="the bot was down", expected_revision=drift.revision)
    assert answer.correction == tried.correction
    assert (answer.drift.status, answer.drift.resolution) == (RESOLVED, "APPLY_FILLS")
    assert answer.drift.reason == "the bot was down"
    assert await is_clean(desk, "BTC")
    after = await held(desk, "BTC")
    assert after is not None
    assert (after.size, after.entry_price, after.realized_pnl, after.estimated_pnl) == ("0.3", "42000", pnl, "0")
    # A repetition finds it done.
    again = await resolve(desk, drift, APPLY)
    assert again.drift.status == RESOLVED
    assert not again.correction
    assert (await held(desk, "BTC")) == after


async def test_a_manual_close_and_a_liquidation_are_booked_as_what_they_were(desk: Desk) -> None:
    (sold,) = desk.exchange.close(scenario.DESK, "SOL")
    scenario.steps()[2].apply(desk.exchange, scenario.DESK)
    drifts = {drift.symbol: drift for drift in (await desk.reconcile()).drifts}
    closed = await resolve(desk, drifts["SOL"], APPLY)
    liquidated = await resolve(desk, drifts["ETH"], APPLY)
    assert await is_clean(desk, "SOL")
    assert await is_clean(desk, "ETH")
    sol, eth = await ended(desk, "SOL"), await ended(desk, "ETH")
    assert sol.status == position_pb2.POSITION_STATUS_CLOSED
    assert Decimal(sol.realized_pnl) == (sold.price - Decimal("98.5")) * 120 - sold.fee
    assert eth.status == position_pb2.POSITION_STATUS_LIQUIDATED
    assert diff(closed)["realized_pnl"] == ("0", sol.realized_pnl)
    assert diff(liquidated)["realized_pnl"] == ("0", eth.realized_pnl)


async def test_a_liquidation_can_be_adopted(desk: Desk) -> None:
    scenario.steps()[2].apply(desk.exchange, scenario.DESK)
    answer = await resolve(desk, await found(desk, "ETH"), ADOPT)
    eth = await ended(desk, "ETH")
    assert eth.status == position_pb2.POSITION_STATUS_LIQUIDATED
    assert diff(answer)["realized_pnl"] == ("0", eth.realized_pnl)
    assert await is_clean(desk, "ETH")


async def test_another_leverage_is_adopted(desk: Desk) -> None:
    desk.exchange.set_leverage(scenario.DESK, "HYPE", 10, Mode.CROSS)
    drift = await found(desk, "HYPE")
    error = await refused(desk, drift, APPLY)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_CORRECTABLE")
    assert error.metadata == {"driftId": drift.drift_id, "action": "APPLY_FILLS"}
    assert "ADOPT_VENUE" in error.message
    answer = await resolve(desk, drift, ADOPT)
    assert diff(answer)["leverage"] == ("3", "10")
    assert not answer.estimated
    assert await is_clean(desk, "HYPE")
    position = await held(desk, "HYPE")
    assert position is not None
    assert (position.leverage, position.size, position.realized_pnl) == ("10", "300", "0")


async def test_two_cases_of_one_position_do_not_block_each_other(desk: Desk) -> None:
    desk.exchange.set_leverage(scenario.DESK, "BTC", 10, Mode.CROSS)
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"), Decimal(42600))
    size, leverage = await found(desk, "BTC", "SIZE"), await found(desk, "BTC", "LEVERAGE")
    await resolve(desk, leverage, ADOPT)
    await resolve(desk, size, APPLY)
    assert await is_clean(desk, "BTC")


async def test_what_the_book_has_not_is_opened_as_the_venue_says(desk: Desk) -> None:
    desk.exchange.set_leverage(scenario.DESK, "ARB", 5, Mode.ISOLATED)
    desk.exchange.trade(scenario.DESK, "ARB", False, Decimal(900), Decimal("0.95"))
    drift = await found(desk, "ARB")
    answer = await resolve(desk, drift, ADOPT)
    assert not answer.estimated  # it is opened by its fill
    assert await is_clean(desk, "ARB")
    position = await held(desk, "ARB")
    assert position is not None
    assert (position.size, position.entry_price, position.leverage) == ("900", "0.95", "5")
    assert (position.side, position.margin_mode) == (2, 2)  # short, isolated
    assert position.asset == "ARB/USD"
    assert diff(answer)["size"] == ("0", "900")


async def test_fills_open_what_the_book_has_not_with_its_settings(desk: Desk) -> None:
    desk.exchange.set_leverage(scenario.DESK, "ARB", 5, Mode.ISOLATED)
    (done,) = desk.exchange.trade(scenario.DESK, "ARB", True, Decimal(900), Decimal("0.95"))
    answer = await resolve(desk, await found(desk, "ARB"), APPLY)
    position = await held(desk, "ARB")
    assert position is not None
    assert (position.leverage, position.margin_mode, Decimal(position.realized_pnl)) == ("5", 2, -done.fee)
    assert diff(answer)["leverage"] == ("", "5")
    assert await is_clean(desk, "ARB")


async def test_a_size_without_known_fills_is_adopted_and_estimated(desk: Desk) -> None:
    await desk.book.ReducePosition(book_pb.ReducePositionRequest(asset="BTC/USD", size="0.1", price="42500"))
    await desk.book.IncreasePosition(book_pb.IncreasePositionRequest(asset="BTC/USD", size="0.35", price="42500"))
    drift = await found(desk, "BTC", "SIZE")
    error = await refused(desk, drift, APPLY)
    assert error.reason == "NOT_CORRECTABLE"
    tried = await resolve(desk, drift, ADOPT, dry_run=True)
    answer = await resolve(desk, drift, ADOPT)
    assert answer.correction == tried.correction
    assert answer.estimated
    history = await desk.book.ListPositionHistory(book_pb.ListPositionHistoryRequest(symbol="BTC"))
    assert tried.assumed_price == next(event.trade.price for event in history.events if event.after.estimates) != ""
    assert await is_clean(desk, "BTC")
    position = await held(desk, "BTC")
    assert position is not None
    shown = {name: after for name, (_, after) in diff(answer).items()}
    assert {name: getattr(position, name) for name in ("size", "entry_price", "realized_pnl")} == {
        name: shown[name] for name in ("size", "entry_price", "realized_pnl")
    }
    assert (position.size, position.entry_price) == ("0.5", "42000")
    assert position.estimated_pnl != "0"


async def test_who_keeps_the_book_has_one_case_and_hears_when_it_changes(desk: Desk) -> None:
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"))
    drift = await found(desk, "BTC")
    before = await held(desk, "BTC")
    kept = await resolve(desk, drift, KEEP, reason="selling it again")
    assert (kept.drift.status, kept.drift.reason) == (ACKNOWLEDGED, "KEEP_LOCAL: selling it again")
    assert not kept.correction
    for _ in range(2):
        (same,) = (await desk.reconcile()).drifts
        assert (same.drift_id, same.status, same.revision) == (drift.drift_id, ACKNOWLEDGED, kept.drift.revision)
    assert (await resolve(desk, drift, KEEP)).drift.revision == kept.drift.revision
    after = await held(desk, "BTC")
    assert before is not None
    assert after is not None
    assert after.revision == before.revision
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"))
    (grown,) = (await desk.reconcile()).drifts
    assert grown.drift_id == drift.drift_id
    assert grown.revision > kept.drift.revision
    desk.exchange.trade(scenario.DESK, "BTC", False, Decimal("0.2"))
    (over,) = [d for d in (await desk.reconcile()).drifts if d.drift_id == drift.drift_id]
    assert (over.status, over.resolution) == (RESOLVED, "AGREES_AGAIN")


async def test_what_is_dismissed_and_still_wrong_is_a_new_case(desk: Desk) -> None:
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"))
    drift = await found(desk, "BTC")
    assert (await resolve(desk, drift, DISMISS, dry_run=True)).drift.status == drift.status
    over = await resolve(desk, drift, DISMISS, request_id="mine")
    assert (over.drift.status, over.drift.resolution) == (RESOLVED, "DISMISSED")
    assert (await resolve(desk, drift, DISMISS, request_id="mine")).drift == over.drift
    error = await refused(desk, drift, ADOPT)
    assert (error.reason, error.metadata["state"]) == ("ILLEGAL_TRANSITION", "RESOLVED")
    assert (await found(desk, "BTC")).drift_id != drift.drift_id


async def test_what_has_moved_meanwhile_is_not_corrected(desk: Desk) -> None:
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"))
    drift = await found(desk, "BTC")
    error = await refused(desk, drift, APPLY, expected_revision=drift.revision - 1)
    assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "STALE_REVISION")
    assert error.metadata["actualRevision"] == str(drift.revision)
    # The venue moves.
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"))
    assert (await refused(desk, drift, APPLY)).reason == "STALE_REVISION"
    # The book moves, and back again: the entry price has changed.
    drift = await found(desk, "BTC")
    await desk.book.ReducePosition(book_pb.ReducePositionRequest(asset="BTC/USD", size="0.1", price="42500"))
    await desk.book.IncreasePosition(book_pb.IncreasePositionRequest(asset="BTC/USD", size="0.1", price="42500"))
    assert (await refused(desk, drift, APPLY)).reason == "STALE_REVISION"
    # The next look is what the next decision is made on, though the sizes are the same.
    drift = await found(desk, "BTC", "SIZE")
    await resolve(desk, drift, ADOPT)
    assert await is_clean(desk, "BTC")


async def test_a_drift_that_is_gone_is_not_corrected(desk: Desk) -> None:
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"))
    drift = await found(desk, "BTC")
    desk.exchange.trade(scenario.DESK, "BTC", False, Decimal("0.1"))
    assert (await refused(desk, drift, ADOPT)).reason == "STALE_REVISION"


async def test_a_venue_that_does_not_answer_changes_nothing(desk: Desk) -> None:
    desk.exchange.close(scenario.DESK, "SOL")
    drift = await found(desk, "SOL")
    desk.venue.fault(Kind.HTTP_502, types=frozenset({"clearinghouseState"}))
    error = await refused(desk, drift, ADOPT)
    assert (error.code, error.reason, error.metadata) == (
        grpc.StatusCode.UNAVAILABLE,
        "VENUE_UNREACHABLE",
        {"venue": "hyperliquid"},
    )
    assert (await held(desk, "SOL")) is not None


async def test_an_attempt_that_was_cut_off_is_finished_by_the_next(desk: Desk) -> None:
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"), Decimal(42600))
    drift = await found(desk, "BTC")
    await desk.reconciler.AcknowledgeDrift(pb.AcknowledgeDriftRequest(drift_id=drift.drift_id, request_id="taken"))
    # The position is corrected, and the case cannot be ended: its request id means something else.
    assert (await refused(desk, drift, APPLY, request_id="taken")).reason == "REQUEST_ID_REUSED"
    corrected = await held(desk, "BTC")
    assert corrected is not None
    assert corrected.size == "0.6"
    answer = await resolve(desk, drift, APPLY, request_id="mine")
    assert (answer.drift.status, answer.drift.resolution) == (RESOLVED, "APPLY_FILLS")
    after = await held(desk, "BTC")
    assert after is not None
    assert after.revision == corrected.revision
    assert await is_clean(desk, "BTC")


def told(sold: Any, symbol: str, fill_id: str = "") -> book_pb.Fill:
    """A fill of the venue as the desk's own bot tells it."""
    at = Timestamp()
    at.FromMilliseconds(sold.time)
    return book_pb.Fill(
        symbol=symbol,
        fill_id=fill_id or str(sold.tid),
        is_buy=sold.is_buy,
        size=f"{sold.size:f}",
        price=f"{sold.price:f}",
        fee=f"{sold.fee:f}",
        fee_currency=sold.fee_token,
        executed_at=at,
    )


async def test_what_was_adopted_is_restated_by_the_fill_when_it_arrives(desk: Desk) -> None:
    """Funding comes between the case and the decision: it is no move of the position."""
    desk.venue.fault(Kind.LOST_FILLS)
    (sold,) = desk.exchange.close(scenario.DESK, "SOL")
    drift = await found(desk, "SOL")
    fill = told(sold, "SOL")
    payment = book_pb.FundingPayment(symbol="SOL", payment_id="p1", amount="-0.25", paid_at=fill.executed_at)
    await desk.book.RecordFills(book_pb.RecordFillsRequest(account=drift.account, funding=[payment]))
    await resolve(desk, drift, ADOPT)
    guessed = await ended(desk, "SOL")
    assert (guessed.estimated_pnl, guessed.funding) == (guessed.realized_pnl, "-0.25")
    assert guessed.realized_pnl != "0"
    answer = await desk.book.RecordFills(book_pb.RecordFillsRequest(account=drift.account, fills=[fill]))
    assert answer.restated == 1
    assert await is_clean(desk, "SOL")
    final = await ended(desk, "SOL")
    assert Decimal(final.realized_pnl) == (sold.price - Decimal("98.5")) * 120 - sold.fee
    assert (final.position_id, final.estimated_pnl, final.funding) == (guessed.position_id, "0", "-0.25")


CHANGES = [
    pytest.param("BTC", True, "0.1", "0.6", id="grown"),
    pytest.param("BTC", False, "0.2", "0.3", id="reduced"),
    pytest.param("BTC", False, "0.7", "0.2", id="turned"),
    pytest.param("ARB", False, "900", "900", id="opened"),
    pytest.param("BTC", False, "0.5", "0", id="closed"),
]


@pytest.mark.parametrize("are_known", [True, False])
@pytest.mark.parametrize(("symbol", "is_buy", "amount", "size"), CHANGES)
async def test_what_was_adopted_is_not_counted_again_when_a_bot_tells_its_fills(
    desk: Desk, symbol: str, is_buy: bool, amount: str, size: str, are_known: bool
) -> None:
    if not are_known:
        desk.venue.fault(Kind.LOST_FILLS)
    (done,) = desk.exchange.trade(scenario.DESK, symbol, is_buy, Decimal(amount))
    drift = await found(desk, symbol)
    answer = await resolve(desk, drift, ADOPT)
    assert answer.estimated is not are_known
    fill = told(done, symbol, drift.explanation.evidence[0].id if are_known else "")
    booked = await desk.book.RecordFills(book_pb.RecordFillsRequest(account=drift.account, fills=[fill]))
    assert (booked.applied, booked.duplicates, booked.restated) == ((0, 1, 0) if are_known else (1, 0, 1))
    assert await is_clean(desk, symbol)
    position = await held(desk, symbol)
    assert (position.size if position else "0") == size
    history = await desk.book.ListPositionHistory(book_pb.ListPositionHistoryRequest(symbol=symbol))
    everyone = {event.position_id: event.after for event in history.events}.values()
    booked_at = {"BTC": Decimal(42000) * Decimal("0.5"), "ARB": Decimal(0)}[symbol]
    # What it cost, less what it brought: the same on both ways, to the last digit.
    traded = done.price * done.size * (1 if is_buy else -1)
    value = sum(Decimal(one.cost_basis) * (1 if one.side == 1 else -1) for one in everyone)
    realized = sum(Decimal(one.realized_pnl) for one in everyone)
    assert value - realized == booked_at + traded + done.fee
    assert {one.estimated_pnl for one in everyone} == {"0"}
    assert not [estimate for one in everyone for estimate in one.estimates]
