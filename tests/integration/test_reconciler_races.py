"""Corrections while others move the same position: a bot that books in its own way, another Reconciler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as book_pb
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from grpckit.errors import from_rpc
from reconciler_service.app import ReconcilerApp
from reconciler_service.resolver import Resolver
from reconciler_service.simulator import scenario
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.records import Mode
from tests.simulated_desk import Desk, simulated_desk

ADOPT, APPLY = pb.RESOLVE_ACTION_ADOPT_VENUE, pb.RESOLVE_ACTION_APPLY_FILLS
RESOLVED = drift_pb2.DRIFT_STATUS_RESOLVED


@pytest.fixture
async def desk(position: Any) -> AsyncIterator[Desk]:
    async with simulated_desk(position) as running:
        await running.reconcile()
        yield running


def resolver_of(app: ReconcilerApp) -> Resolver:
    """The one that answers its calls and carries out its policies."""
    resolver: Resolver = app._enforcer._resolver
    return resolver


def before_the_next_command(desk: Desk, happens: Callable[[], Awaitable[object]]) -> None:
    """Once, when everything is read and decided, and the first command is about to be sent."""
    book = resolver_of(desk.app)._book
    original = book.correct

    async def correct(request: Any, actor: str = "") -> Any:
        book.correct = original  # type: ignore[method-assign]
        await happens()
        return await original(request, actor)

    book.correct = correct  # type: ignore[method-assign]


async def found(desk: Desk, symbol: str) -> drift_pb2.Drift:
    return next(drift for drift in (await desk.reconcile()).drifts if drift.symbol == symbol)


def asked(drift: drift_pb2.Drift, action: pb.ResolveAction) -> pb.ResolveDriftRequest:
    return pb.ResolveDriftRequest(drift_id=drift.drift_id, action=action)


async def size_of(desk: Desk, symbol: str) -> str:
    listed = (await desk.book.ListPositions(book_pb.ListPositionsRequest(symbol=symbol))).positions
    return listed[0].size if listed else "0"


async def events_of(desk: Desk, symbol: str) -> list[Any]:
    return list((await desk.book.ListPositionHistory(book_pb.ListPositionHistoryRequest(symbol=symbol))).events)


@pytest.mark.parametrize("action", [APPLY, ADOPT])
async def test_a_bot_that_books_the_trade_itself_meanwhile_is_not_booked_twice(
    desk: Desk, action: pb.ResolveAction
) -> None:
    desk.exchange.trade(scenario.DESK, "BTC", False, Decimal("0.2"), Decimal(42600))
    drift = await found(desk, "BTC")
    reduce = book_pb.ReducePositionRequest(asset="BTC/USD", size="0.2", price="42600")
    before_the_next_command(desk, lambda: desk.book.ReducePosition(reduce))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await desk.reconciler.ResolveDrift(asked(drift, action), timeout=30)
    assert from_rpc(raised.value).reason == "STALE_REVISION"
    assert await size_of(desk, "BTC") == "0.3"
    over = [each for each in (await desk.reconcile()).drifts if each.drift_id == drift.drift_id]
    assert [(each.status, each.resolution) for each in over] == [(RESOLVED, "AGREES_AGAIN")]
    assert await size_of(desk, "BTC") == "0.3"


async def test_a_bot_that_opens_meanwhile_what_fills_would_open_is_not_booked_twice(desk: Desk) -> None:
    desk.exchange.trade(scenario.DESK, "ARB", True, Decimal(900), Decimal("0.95"))
    drift = await found(desk, "ARB")
    opening = book_pb.OpenPositionRequest(asset="ARB/USD", size="900", entry_price="0.95")
    before_the_next_command(desk, lambda: desk.book.OpenPosition(opening))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await desk.reconciler.ResolveDrift(asked(drift, APPLY), timeout=30)
    assert from_rpc(raised.value).reason == "STALE_REVISION"
    assert await size_of(desk, "ARB") == "900"


async def test_fills_that_the_book_has_already_do_not_account_for_it(desk: Desk) -> None:
    """They were booked, and taken back by hand: the venue's newest fill looks like what is missing."""
    desk.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"), Decimal(42000))
    await desk.reconciler.ResolveDrift(asked(await found(desk, "BTC"), APPLY), timeout=30)
    await desk.book.ReducePosition(book_pb.ReducePositionRequest(asset="BTC/USD", size="0.1", price="42000"))
    drift = await found(desk, "BTC")
    assert drift.explanation.cause == drift_pb2.DRIFT_CAUSE_MISSED_FILLS
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await desk.reconciler.ResolveDrift(asked(drift, APPLY), timeout=30)
    error = from_rpc(raised.value)
    assert (error.reason, "ADOPT_VENUE" in error.message) == ("NOT_CORRECTABLE", True)
    assert await size_of(desk, "BTC") == "0.5"
    answer = await desk.reconciler.ResolveDrift(asked(drift, ADOPT), timeout=30)
    assert (answer.drift.status, answer.estimated, await size_of(desk, "BTC")) == (RESOLVED, True, "0.6")


@pytest.fixture
async def other(desk: Desk) -> AsyncIterator[ReconcilerApp]:
    """A second Reconciler of the same desk, as after a lease was taken over while the first was still at work."""
    app = ReconcilerApp(desk.app._settings)
    await app.start()
    yield app
    await app.stop()


@pytest.mark.parametrize(
    ("symbol", "change", "size"),
    [
        pytest.param("BTC", ("trade", False, Decimal("0.2")), "0.3", id="adjusted"),
        pytest.param("SOL", ("close",), "0", id="closed"),
        pytest.param("ARB", ("trade", True, Decimal(900)), "900", id="opened"),
        pytest.param("HYPE", ("leverage",), "300", id="set"),
    ],
)
async def test_two_reconcilers_mend_one_case_once(
    desk: Desk, other: ReconcilerApp, symbol: str, change: Any, size: str
) -> None:
    """They look at the venue at different times: what they would say is not the same. The other one is killed before it
    has ended the case."""
    desk.venue.fault(Kind.LOST_FILLS)
    kind, *how = change
    if kind == "trade":
        desk.exchange.trade(scenario.DESK, symbol, *how)
    elif kind == "close":
        desk.exchange.close(scenario.DESK, symbol)
    else:
        desk.exchange.set_leverage(scenario.DESK, symbol, 10, Mode.CROSS)
    drift = await found(desk, symbol)
    before = len(await events_of(desk, symbol))

    async def killed(*_: object, **__: object) -> Any:
        raise ConnectionError

    async def faster() -> None:
        desk.exchange.set_mark(symbol, desk.exchange.market(symbol).mark + Decimal("0.1"))
        first = resolver_of(other)
        first._move = killed  # type: ignore[method-assign]
        with pytest.raises(ConnectionError):
            await first.resolve(asked(drift, ADOPT), actor="policy:other")

    before_the_next_command(desk, faster)
    answer = await desk.reconciler.ResolveDrift(asked(drift, ADOPT), timeout=30)
    assert (answer.drift.status, answer.drift.resolution) == (RESOLVED, "ADOPT_VENUE")
    assert await size_of(desk, symbol) == size
    corrections = (await events_of(desk, symbol))[before:]
    assert {event.actor for event in corrections} == {"policy:other"}
    assert not [each for each in (await desk.reconcile()).drifts if each.symbol == symbol]
