"""A Position service of before, as it answers while replicas are exchanged: what it does not know is missed, no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs
from trueup.position.v1 import position_service_pb2 as book_pb
from trueup.position.v1 import position_service_pb2_grpc, reconciliation_log_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc

from grpckit.channel import connect
from grpckit.errors import from_rpc
from reconciler_service.app import ReconcilerApp
from reconciler_service.settings import ReconcilerSettings
from tests.reconciler_samples import TestVenue, held

LOG = reconciliation_log_service_pb2_grpc
BOOK = position_service_pb2_grpc


class OlderLog(LOG.ReconciliationLogServiceServicer):
    """Passes on what it knows. ``without`` are methods it has not; the newest fields it reads over, and forgets."""

    def __init__(self, channel: grpc.aio.Channel, without: set[str]) -> None:
        stub = LOG.ReconciliationLogServiceStub(channel)
        for name in {"RecordRun", "ListRuns", "ListDrifts", "GetDrift", "AcquireLease"} - without:
            setattr(self, name, passed_on(getattr(stub, name)))


class OlderBook(BOOK.PositionServiceServicer):
    """The same of positions."""

    def __init__(self, channel: grpc.aio.Channel, without: set[str]) -> None:
        stub = BOOK.PositionServiceStub(channel)
        for name in {"ListPositions", "ListPositionHistory", "UpdatePrices"} - without:
            setattr(self, name, passed_on(getattr(stub, name)))


def passed_on(call: Any) -> Callable[[Any, Any], Awaitable[Any]]:
    async def method(request: Any, context: Any) -> Any:
        for finding in getattr(request, "findings", ()):
            finding.ClearField("checked_revision")
        for check in request.run.equity if hasattr(request, "run") else ():
            check.ClearField("basis")
        return await call(request)

    return method


Older = Callable[..., Awaitable[Any]]


@pytest.fixture
async def older(position: Any) -> AsyncIterator[Older]:
    """Starts a Position service of before, and a Reconciler of now on it."""
    ends: list[Any] = []

    async def start(venue: TestVenue, *without: str) -> Any:
        server = grpc.aio.server()
        LOG.add_ReconciliationLogServiceServicer_to_server(OlderLog(position.channel, set(without)), server)
        BOOK.add_PositionServiceServicer_to_server(OlderBook(position.channel, set(without)), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        settings = ReconcilerSettings(
            reconciler_listen="127.0.0.1:0",
            position_address=f"127.0.0.1:{port}",
            reconciliation_interval=3600,
            confirmation_delay=0.01,
            drain_grace=1,
            reconciler_lease_ttl=0.5,
            venues="simulated",
        )
        app = ReconcilerApp(settings, [venue])
        channel = connect(f"127.0.0.1:{await app.start()}")
        ends.extend([lambda: server.stop(None), app.stop, channel.close])
        return reconciler_service_pb2_grpc.ReconcilerServiceStub(channel)

    yield start
    for end in reversed(ends):
        await end()


async def test_drifts_are_found_and_recorded(older: Older, position: Any) -> None:
    reconciler = await older(TestVenue([held()]))
    (drift,) = (await reconciler.Reconcile(pb.ReconcileRequest())).drifts
    assert drift.drift_id
    assert (await reconciler.GetStatus(pb.GetStatusRequest())).open_drifts == 1


async def test_what_trades_on_waits_for_a_quiet_moment(older: Older, position: Any) -> None:
    stub = BOOK.PositionServiceStub(position.channel)
    await stub.OpenPosition(book_pb.OpenPositionRequest(asset="BTC/USD", symbol="BTC", size="0.5", entry_price="42000"))
    is_busy = True

    class Busy(TestVenue):
        async def snapshot(self) -> Any:
            taken = await super().snapshot()
            if is_busy:
                labels = {"seen": str(self.snapshots)}
                await stub.UpdatePosition(book_pb.UpdatePositionRequest(asset="BTC/USD", labels=labels))
            return taken

    reconciler = await older(Busy([held("0.6", leverage=None, margin_mode=None, liquidation_price=None)]))
    assert not (await reconciler.Reconcile(pb.ReconcileRequest())).drifts
    is_busy = False
    assert len((await reconciler.Reconcile(pb.ReconcileRequest())).drifts) == 1


async def test_without_a_way_to_record_it_says_what_to_do(older: Older) -> None:
    reconciler = await older(TestVenue([held()]), "RecordRun")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await reconciler.Reconcile(pb.ReconcileRequest())
    known = from_rpc(raised.value)
    assert (known.reason, known.message) == (
        "STORE_UNAVAILABLE",
        "the Position service is older than this Reconciler: upgrade it first",
    )


async def test_without_leases_it_stands_by_and_says_so_once(older: Older) -> None:
    with capture_logs() as lines:
        reconciler = await older(TestVenue([held()]), "AcquireLease")
        async with asyncio.timeout(20):
            answered = await reconciler.Reconcile(pb.ReconcileRequest())
        assert answered.drifts, "what is asked for is done all the same"
        assert not (await reconciler.GetStatus(pb.GetStatusRequest())).active
    told = [line for line in lines if line["event"] == "no lease"]
    assert [line["code"] for line in told] == ["UNIMPLEMENTED"]
