"""One SIMULATED venue hangs, over real sockets: what the other says arrives all the same, by push and by the interval."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2

from grpckit.channel import connect
from reconciler_service.app import ReconcilerApp
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.wire import Style
from reconciler_service.venues.http import HttpSettings, Retries, Timeouts
from reconciler_service.venues.hyperliquid.adapter import Hyperliquid, Settings
from reconciler_service.venues.push import socket_url
from tests.reconciler_samples import until

LONG_S = 60.0
FOR_EVER_S = 3600.0  # all the patience there is with a venue: longer than any test waits


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the other as long as in earnest."""
    for module in ("desk", "runner"):
        monkeypatch.setattr(f"reconciler_service.{module}.PROMPT_S", 1.0)


class Two:
    """A Reconciler of two accounts, each at a server of its own: the first answers, the second can be made to hang."""

    def __init__(self, app: ReconcilerApp, good: Any, bad: Any) -> None:
        self.app = app
        self.exchange, self.good = good
        self.bad = bad[1]
        self.reconciler: Any = None

    def hang(self) -> None:
        """Whatever the second one is asked over HTTP, it says nothing."""
        self.bad.fault(Kind.HANG)

    async def drift(self, symbol: str, happen: Any) -> drift_pb2.Drift:
        """Let something happen at the good venue, and wait for the drift of it."""
        stream = self.reconciler.StreamDriftEvents(pb.StreamDriftEventsRequest(account="main"))
        try:
            await stream.read()  # the bookmark
            happen()
            async with asyncio.timeout(LONG_S):
                while True:
                    for event in (await stream.read()).events:
                        if event.drift.symbol == symbol:
                            return event.drift
        finally:
            stream.cancel()


async def venue_of(stack: AsyncExitStack) -> tuple[Any, Any]:
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    venue = await server.serve(exchange, style=Style(), budget=Budget(time.monotonic, limit=10**9))
    stack.push_async_callback(venue.close)
    return exchange, venue


@asynccontextmanager
async def two(position: Any, **more: Any) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        good, bad = await venue_of(stack), await venue_of(stack)
        settings = ReconcilerSettings(
            reconciler_listen="127.0.0.1:0",
            position_address=position.address,
            confirmation_delay=0.02,
            venue_timeout=FOR_EVER_S,
            drain_grace=1,
            venues="simulated",
            **more,
        )
        patient = HttpSettings(Timeouts(total_s=FOR_EVER_S, read_s=FOR_EVER_S), Retries(deadline_s=FOR_EVER_S))
        adapters = [
            Hyperliquid(
                scenario.DESK,
                source=settings.source,
                account=account,
                base_url=venue.url,
                settings=Settings(http=patient),
                push_urls=(socket_url(venue.url),) if settings.push else (),
            )
            for account, (_, venue) in (("main", good), ("second", bad))
        ]
        running = Two(ReconcilerApp(settings, adapters), good, bad)
        port = await running.app.start()
        stack.push_async_callback(running.app.stop)
        channel = await stack.enter_async_context(connect(f"127.0.0.1:{port}"))
        running.reconciler = reconciler_service_pb2_grpc.ReconcilerServiceStub(channel)
        await reconcile(running)
        yield running


async def reconcile(desks: Two) -> pb.ReconcileResponse:
    answer: pb.ReconcileResponse = await desks.reconciler.Reconcile(pb.ReconcileRequest())
    return answer


def sell(exchange: Any, coin: str = "BTC") -> None:
    exchange.trade(scenario.DESK, coin, is_buy=False, size=Decimal("0.1"))


async def test_a_push_of_one_is_answered_while_the_other_hangs(position: Any) -> None:
    async with two(position, reconciliation_interval=3600, push=True) as desks:
        await until(lambda: desks.app.runner.venues[0].push.state.value == "UP")
        desks.hang()
        asking = asyncio.create_task(reconcile(desks))  # who asks for both waits for both
        await until(desks.app.runner.desks[1].turn.locked)
        drift = await desks.drift("BTC", lambda: sell(desks.exchange))
        assert drift.status == drift_pb2.DRIFT_STATUS_CONFIRMED
        asking.cancel()


async def test_the_interval_of_one_goes_on_while_the_other_hangs(position: Any) -> None:
    async with two(position, reconciliation_interval=0.5, push=False) as desks:
        desks.hang()
        await desks.drift("BTC", lambda: sell(desks.exchange))
        await desks.drift("ETH", lambda: sell(desks.exchange, "ETH"))
        assert desks.app.runner.desks[1].is_slow
        seen = {one.account: one for one in (await desks.reconciler.ListVenues(pb.ListVenuesRequest())).venues}
        assert seen["main"].state == "OK"
        assert (seen["second"].state, seen["second"].last_error) == (
            "DEGRADED",
            "no answer for 1 s, still waiting",
        )
        status = await desks.reconciler.GetStatus(pb.GetStatusRequest())
        assert {check.account for check in status.last_run.checks} == {"main"}
