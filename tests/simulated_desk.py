"""The whole stack: simulated Hyperliquid on a socket, its adapter, the Reconciler, the Position service, PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from trueup.position.v1 import position_service_pb2, position_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.channel import connect
from reconciler_service.app import ReconcilerApp
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.records import Mode
from reconciler_service.simulator.wire import Style

Causes = dict[tuple[str, str], str]


class Desk:
    """The stack and its clients."""

    def __init__(
        self, exchange: Any, venue: Any, app: ReconcilerApp, settings: ReconcilerSettings, port: int, position: Any
    ) -> None:
        self.exchange = exchange
        self.venue = venue
        self.app = app
        self.settings = settings
        self.channel = connect(f"127.0.0.1:{port}")
        self.reconciler = reconciler_service_pb2_grpc.ReconcilerServiceStub(self.channel)
        self.book = position_service_pb2_grpc.PositionServiceStub(position.channel)

    async def reconcile(self) -> pb.ReconcileResponse:
        return await self.reconciler.Reconcile(pb.ReconcileRequest(), timeout=30)

    async def restart(self, **changes: Any) -> None:
        """Another Reconciler in place of this one, its settings but for these the same."""
        await self.channel.close()
        await self.app.stop()
        self.app = ReconcilerApp(self.settings.model_copy(update=changes))
        self.channel = connect(f"127.0.0.1:{await self.app.start()}")
        self.reconciler = reconciler_service_pb2_grpc.ReconcilerServiceStub(self.channel)

    async def causes(self) -> Causes:
        listed = await self.reconciler.ListDrifts(pb.ListDriftsRequest())
        return {
            (drift.symbol, drift_pb2.DriftKind.Name(drift.kind).removeprefix("DRIFT_KIND_")): (
                drift_pb2.DriftCause.Name(drift.explanation.cause).removeprefix("DRIFT_CAUSE_")
            )
            for drift in listed.drifts
        }

    async def state(self) -> str:
        return (await self.reconciler.ListVenues(pb.ListVenuesRequest())).venues[0].state


@asynccontextmanager
async def simulated_desk(
    position: Any, confirmation_delay: float = 0.02, *, push: bool = False, **more: Any
) -> AsyncIterator[Desk]:
    """A book and a venue that agree: five positions on two dexes. ``more`` are settings of the Reconciler.

    Without ``push`` only the test says when to look.
    """
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    venue = await server.serve(exchange, style=Style(), budget=Budget(time.monotonic, limit=10**9))
    settings = ReconcilerSettings(
        reconciler_listen="127.0.0.1:0",
        position_address=position.address,
        reconciliation_interval=3600,
        confirmation_delay=confirmation_delay,
        drain_grace=1,
        venues="simulated",
        HYPERLIQUID_ADDRESS=scenario.DESK,  # type: ignore[call-arg]
        hyperliquid_api_url=venue.url,
        push=push,
        **more,
    )
    book = position_service_pb2_grpc.PositionServiceStub(position.channel)
    for held in scenario.book():
        request = position_service_pb2.OpenPositionRequest(
            symbol=held.coin,
            asset=held.asset,
            product=types_pb2.PRODUCT_PERPETUAL,
            side=types_pb2.SIDE_LONG if held.is_long else types_pb2.SIDE_SHORT,
            size=f"{held.size:f}",
            entry_price=f"{held.entry_price:f}",
            leverage=str(held.leverage),
            margin_mode=types_pb2.MARGIN_MODE_CROSS if held.mode is Mode.CROSS else types_pb2.MARGIN_MODE_ISOLATED,
        )
        await book.OpenPosition(request)
    app = ReconcilerApp(settings)
    running = Desk(exchange, venue, app, settings, await app.start(), position)
    try:
        yield running
    finally:
        await running.channel.close()
        await running.app.stop()
        await venue.close()
