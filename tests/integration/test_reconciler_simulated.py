"""The whole stack: simulated Hyperliquid on a socket, its adapter, the Reconciler, the Position service, PostgreSQL."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from trueup.position.v1 import position_service_pb2
from trueup.types.v1 import drift_pb2, types_pb2

from reconciler_service.simulator import scenario
from reconciler_service.simulator.faults import Kind
from tests.simulated_desk import Desk, simulated_desk


@pytest.fixture
def confirmation_delay() -> float:
    """Short, because here nothing is in flight; tests in which something is say otherwise."""
    return 0.02


@pytest.fixture
async def desk(position: Any, confirmation_delay: float) -> AsyncIterator[Desk]:
    """A book and a venue that agree: five positions on two dexes."""
    async with simulated_desk(position, confirmation_delay) as running:
        yield running


async def test_the_story_is_told_with_its_causes(desk: Desk) -> None:
    assert not (await desk.reconcile()).drifts
    assert await desk.state() == "OK"
    for step in scenario.steps():
        step.apply(desk.exchange, scenario.DESK)
    answer = await desk.reconcile()
    assert await desk.causes() == {
        ("BTC", "SIZE"): "MISSED_FILLS",
        ("SOL", "MISSING_AT_VENUE"): "CLOSED_AT_VENUE",
        ("ETH", "MISSING_AT_VENUE"): "LIQUIDATION",
        ("HYPE", "LEVERAGE"): "SETTING_CHANGED",
    }
    assert {drift.source for drift in answer.drifts} == {types_pb2.SOURCE_SIMULATED}
    assert not any(drift.explanation.estimated for drift in answer.drifts)


async def test_the_correction_is_what_the_book_says_once_the_fills_are_booked(desk: Desk) -> None:
    await desk.reconcile()
    (done,) = desk.exchange.trade(scenario.DESK, "BTC", False, Decimal("0.2"), Decimal(42600))
    (drift,) = (await desk.reconcile()).drifts
    correction = {change.field: change.after for change in drift.explanation.correction}
    fill = position_service_pb2.Fill(
        symbol="BTC", asset="BTC/USD", fill_id=drift.explanation.evidence[0].id, size="0.2", price="42600"
    )
    fill.fee = f"{done.fee:f}"
    fill.executed_at.FromMilliseconds(done.time)
    booked = await desk.book.RecordFills(position_service_pb2.RecordFillsRequest(fills=[fill]))
    assert {"size": booked.positions[0].size, "realized_pnl": booked.positions[0].realized_pnl} == correction
    over = await desk.reconcile()
    assert [one.status for one in over.drifts] == [drift_pb2.DRIFT_STATUS_RESOLVED]


@pytest.mark.parametrize(
    ("kind", "parameters", "states"),
    [
        (Kind.HTTP_502, {}, "FAILED DEGRADED"),
        (Kind.TRUNCATED, {}, "FAILED DEGRADED"),
        (Kind.PARTIAL_SCOPE, {"dex": "xyz"}, "DEGRADED"),
        (Kind.EMPTY, {"count": 2}, "OK"),
        (Kind.NAN, {}, "DEGRADED"),
        (Kind.STALE, {}, "DEGRADED"),
        (Kind.CLOCK_SKEW, {"skew_ms": -30_000}, "DEGRADED"),
        (Kind.FLOAT_NOISE, {}, "OK"),
        (Kind.LOST_FILLS, {}, "OK"),
    ],
)
async def test_a_lying_venue_never_makes_a_drift(
    desk: Desk, kind: Kind, parameters: dict[str, Any], states: str
) -> None:
    await desk.reconcile()
    desk.venue.fault(kind, types=frozenset({"clearinghouseState"}), **parameters)
    for _ in range(3):
        assert not (await desk.reconcile()).drifts
    assert await desk.state() in states.split()


@pytest.mark.parametrize("confirmation_delay", [0.5])
async def test_fills_in_flight_never_make_a_drift(desk: Desk) -> None:
    """Trades that the desk books a moment later, at random offsets to the cycles."""
    await desk.reconcile()
    draw = random.Random(7)
    stop = asyncio.Event()

    async def trade() -> int:
        count = 0
        while not stop.is_set():
            is_buy = draw.random() < 0.5
            (done,) = desk.exchange.trade(scenario.DESK, "BTC", is_buy, Decimal("0.01"))
            await asyncio.sleep(draw.random() * 0.01)
            fill = position_service_pb2.Fill(
                symbol="BTC", fill_id=str(done.tid), is_buy=is_buy, size="0.01", price=f"{done.price:f}"
            )
            fill.executed_at.FromMilliseconds(done.time)
            await desk.book.RecordFills(position_service_pb2.RecordFillsRequest(fills=[fill]))
            count += 1
            await asyncio.sleep(draw.random() * 0.02)
        return count

    trading = asyncio.create_task(trade())
    for _ in range(8):
        assert not (await desk.reconcile()).drifts
    stop.set()
    assert await trading > 20
    assert not (await desk.reconcile()).drifts
