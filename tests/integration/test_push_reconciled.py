"""A change at the SIMULATED venue is a drift on the stream at once, however long the interval is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from reconciler_service.simulator import push as venue_push
from reconciler_service.simulator import scenario
from reconciler_service.simulator.faults import Kind
from reconciler_service.venues import push
from tests.reconciler_samples import until
from tests.simulated_desk import Desk, simulated_desk

PATIENCE_S = 30.0


@pytest.fixture
async def desk(position: Any) -> AsyncIterator[Desk]:
    """A book and a venue that agree, and push; the interval is an hour."""
    async with simulated_desk(position, push=True) as running:
        await is_up(running)
        yield running


async def is_up(desk: Desk) -> None:
    """Wait for the connection, and for the cycle that it starts, to be over."""
    runner = desk.app.runner
    await until(lambda: runner.venues[0].push.state.value == "UP" and runner.last is not None)
    await desk.reconcile()


async def drifts(desk: Desk, *symbols: str, happen: Any) -> list[drift_pb2.Drift]:
    """Let something happen at the venue, and wait for the drifts of it on the stream."""
    stream = desk.reconciler.StreamDriftEvents(pb.StreamDriftEventsRequest())
    try:
        await stream.read()  # the bookmark: from here on nothing is missed
        happen()
        found: dict[str, drift_pb2.Drift] = {}
        async with asyncio.timeout(PATIENCE_S):
            while set(symbols) - set(found):
                found |= {event.drift.symbol: event.drift for event in (await stream.read()).events}
    finally:
        stream.cancel()
    return [found[symbol] for symbol in symbols]


def buy(desk: Desk) -> Any:
    return lambda: desk.exchange.trade(scenario.DESK, "BTC", is_buy=True, size=Decimal("0.1"))


async def health(desk: Desk) -> drift_pb2.VenueHealth:
    return (await desk.reconciler.ListVenues(pb.ListVenuesRequest())).venues[0]


async def test_each_step_of_the_story_is_on_the_stream(desk: Desk) -> None:
    for step in scenario.steps():
        (drift,) = await drifts(desk, step.coin, happen=lambda step=step: step.apply(desk.exchange, scenario.DESK))
        assert drift.explanation.cause != drift_pb2.DRIFT_CAUSE_UNEXPLAINED
        await until(lambda: desk.app.runner.last is not None and desk.app.runner.last.run.trigger == "push")


async def test_what_happened_while_the_connection_was_away_is_found_when_it_is_back(desk: Desk) -> None:
    desk.venue.fault(Kind.HTTP_502, types=frozenset({"ws/connect"}))
    desk.venue.fault(Kind.RESET, types=frozenset({"ws"}), count=1)
    desk.exchange.set_mark("BTC", Decimal(42_501))
    await until(lambda: desk.app.runner.venues[0].push.state.value == "DOWN")
    buy(desk)()
    assert not (await desk.reconciler.ListDrifts(pb.ListDriftsRequest())).drifts
    await drifts(desk, "BTC", happen=desk.venue.faults.clear)


async def test_a_push_that_goes_wrong_leaves_polling_as_it_is(desk: Desk) -> None:
    seen = await health(desk)
    assert (seen.state, seen.push.state, seen.push.last_error) == ("OK", "UP", "")
    assert seen.push.HasField("up_since")
    assert seen.push.message_age_ms >= 0
    assert seen.push.changes == 1
    desk.venue.fault(Kind.TRUNCATED, types=frozenset({"ws"}), count=1)
    desk.exchange.set_mark("BTC", Decimal(42_501))
    await until(lambda: desk.app.runner.venues[0].push.last_error != "")
    desk.venue.fault(Kind.HTTP_502, types=frozenset({"ws/connect"}))
    desk.venue.fault(Kind.RESET, types=frozenset({"ws"}), count=1)
    desk.exchange.set_mark("BTC", Decimal(42_502))
    await until(lambda: desk.app.runner.venues[0].push.state.value == "DOWN")
    run = (await desk.reconcile()).run
    assert (run.positions_compared, len(run.checks)) == (5, 3)
    status = await desk.reconciler.GetStatus(pb.GetStatusRequest())
    seen = status.venues[0]
    assert (seen.state, seen.push.state, seen.last_error) == ("OK", "DOWN", "")
    assert not seen.push.HasField("up_since")
    assert seen.push.last_error.startswith(("the venue closed", "no connection (WSServerHandshakeError 502)"))


async def test_a_push_that_tells_twice_or_late_makes_no_drift_of_its_own(desk: Desk) -> None:
    for kind in (Kind.DUPLICATE, Kind.SLOW):
        desk.venue.fault(kind, types=frozenset({"ws"}), delay_s=0.05)
    changes = desk.app.runner.venues[0].push.changes
    step = Decimal("0.01")
    desk.exchange.trade(scenario.DESK, "BTC", is_buy=True, size=step, price=Decimal(42_000))
    desk.exchange.trade(scenario.DESK, "BTC", is_buy=False, size=step, price=Decimal(42_000))
    await until(lambda: desk.app.runner.venues[0].push.changes > changes)
    await until(lambda: desk.app.runner.last is not None and desk.app.runner.last.run.trigger == "push")
    assert not (await desk.reconcile()).drifts


async def test_an_account_that_the_venue_does_not_let_listen_says_so_and_is_polled(
    position: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venue_push, "MOST_USERS", 0)  # others of this IP address have taken all places
    monkeypatch.setattr(push, "SETTLE_S", 0.2)
    async with simulated_desk(position, push=True) as desk:
        await until(lambda: desk.app.runner.venues[0].push.last_error.startswith("not pushed"))
        buy(desk)()
        (drift,) = (await desk.reconcile()).drifts
        assert drift.symbol == "BTC"
        for told in (
            await desk.reconciler.GetStatus(pb.GetStatusRequest()),
            await desk.reconciler.ListVenues(pb.ListVenuesRequest()),
        ):
            seen = told.venues[0]
            assert (seen.state, seen.push.state, seen.push.changes) == ("OK", "DOWN", 0)
            assert "did not accept" in seen.push.last_error
            assert "Cannot track more than 10 total users" in seen.push.last_error


async def test_told_not_to_listen_it_does_not(position: Any) -> None:
    async with simulated_desk(position) as desk:
        await desk.reconcile()
        seen = await health(desk)
        assert (seen.state, seen.push.state, seen.push.message_age_ms) == ("OK", "OFF", -1)
        assert desk.venue.sockets.opened == 0
