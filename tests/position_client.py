"""The Position service as a client sees it: calls by name, events and tables read back."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import access_service_pb2 as access_pb
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1 import reconciliation_log_service_pb2 as log_pb
from trueup.position.v1.access_service_pb2_grpc import AccessServiceStub
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub
from trueup.position.v1.reconciliation_log_service_pb2_grpc import ReconciliationLogServiceStub
from trueup.types.v1 import drift_pb2

from grpckit.channel import watch
from grpckit.errors import RpcError, from_rpc
from position_service.ledger import codec

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEADLINE_S = 30.0


class Client:
    """Calls RPCs of the services by name, with fields as keyword arguments. Raises RpcError."""

    def __init__(self, channel: grpc.aio.Channel, key: str = "") -> None:
        self._stubs = {
            pb: PositionServiceStub(channel),
            log_pb: ReconciliationLogServiceStub(channel),
            access_pb: AccessServiceStub(channel),
        }
        self.metadata = (("authorization", f"Bearer {key}"),) if key else ()

    def method(self, name: str) -> tuple[Any, Any]:
        """The stub's method and its request type."""
        module = next(module for module in self._stubs if hasattr(module, f"{name}Request"))
        return getattr(self._stubs[module], name), getattr(module, f"{name}Request")

    async def call(self, name: str, /, **fields: Any) -> Any:
        method, request_type = self.method(name)
        try:
            return await method(request_type(**fields), timeout=DEADLINE_S, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None

    async def refused(self, name: str, /, **fields: Any) -> RpcError:
        """The error of a call that must not succeed."""
        try:
            answer = await self.call(name, **fields)
        except RpcError as error:
            return error
        raise AssertionError(f"{name} was accepted: {answer}")

    @asynccontextmanager
    async def watching(self, name: str = "WatchPositions", **fields: Any):
        """A stream, with ``next()`` that has a deadline."""
        method, request_type = self.method(name)
        async with watch(method(request_type(**fields), metadata=self.metadata)) as messages:
            yield Stream(messages)

    async def open(self, symbol: str = "BTC", size: str = "1", price: str = "100", **fields: Any) -> Any:
        """Open a position; the position."""
        return (await self.call("OpenPosition", symbol=symbol, size=size, entry_price=price, **fields)).position

    async def fills(self, *fills: pb.Fill, **fields: Any) -> Any:
        return await self.call("RecordFills", fills=fills, **fields)


class Stream:
    def __init__(self, messages: Any) -> None:
        self._messages = aiter(messages)

    async def next(self) -> Any:
        """The next message. Raises RpcError; StopAsyncIteration at the end."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await anext(self._messages)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None

    async def commit(self) -> Any:
        """The next message with events; on a slow machine progress messages come between."""
        while not (message := await self.next()).events:
            pass
        return message

    async def events(self, count: int) -> list[Any]:
        """So many events, or a few more when they come together; other phases are skipped."""
        found: list[Any] = []
        async with asyncio.timeout(2 * DEADLINE_S):  # progress messages alone would keep it waiting for ever
            while len(found) < count:
                found += (await self.next()).events
        return found

    async def failed(self) -> RpcError:
        """The error the stream ends with; what comes before is skipped."""
        while True:
            try:
                await self.next()
            except RpcError as error:
                return error


def stamp(at: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def fill(number: int, signed_size: str, price: str = "100", **fields: Any) -> pb.Fill:
    """A purchase for a positive size, a sale for a negative one."""
    made = {
        "symbol": "BTC",
        "fill_id": f"f{number}",
        "is_buy": not signed_size.startswith("-"),
        "size": signed_size.lstrip("-"),
        "price": price,
        "executed_at": stamp(NOW + timedelta(seconds=number)),
    }
    return pb.Fill(**(made | fields))


async def eventually(condition: Callable[[], Awaitable[Any]], deadline_s: float = DEADLINE_S) -> Any:
    """What the condition returns, once that is true; RpcErrors of the server mean not yet."""
    until = time.monotonic() + deadline_s
    while True:
        try:
            if result := await condition():
                return result
            problem: object = "never true"
        except RpcError as error:
            problem = error
        assert time.monotonic() < until, f"not within {deadline_s} s: {problem}"
        await asyncio.sleep(0.02)


async def check_ledger(dsn: str, client: Client | None = None, purged: Collection[str] = ()) -> int:
    """The promises of the tables: dense revisions, a whole chain, positions that follow from events. The revision."""
    connection = await asyncpg.connect(dsn)
    try:
        head = await connection.fetchrow("SELECT * FROM ledger_head")
        events = await connection.fetch("SELECT * FROM events ORDER BY revision")
        rows = await connection.fetch("SELECT * FROM positions")
    finally:
        await connection.close()
    assert [event["revision"] for event in events] == list(range(1, head["revision"] + 1))
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    kept = {key: position for key, position in rebuilt(events).items() if str(key) not in purged}
    assert kept == {row["position_id"]: codec.position_from_row(row) for row in rows}
    assert not events or events[-1]["hash"] == head["hash"]
    if client is not None:
        verdict = await client.call("VerifyHistory")
        assert (verdict.intact, verdict.events_checked) == (True, head["revision"]), verdict
    return head["revision"]


def rebuilt(events: Iterable[Mapping[str, Any]]) -> dict[Any, Any]:
    """The positions as their events leave them."""
    positions = {}
    for row in events:
        event = codec.event_from_row(row)
        if event.after is not None:
            assert event.after.revision == event.revision
            positions[event.subject] = event.after
    return positions


def a_run(number: int = 1, **fields: Any) -> drift_pb2.Run:
    made = {"run_id": str(uuid.UUID(int=number)), "started_at": stamp(NOW + timedelta(seconds=number))}
    return drift_pb2.Run(**(made | fields))


def a_finding(size: str = "0.5", **fields: Any) -> drift_pb2.Drift:
    made = {
        "kind": "DRIFT_KIND_SIZE",
        "account": "main",
        "venue": "hyperliquid",
        "symbol": "BTC",
        "actual": drift_pb2.Observation(size=size),
        "first_seen": stamp(NOW),
        "last_seen": stamp(NOW),
        "summary": "half is missing",
    }
    return drift_pb2.Drift(**(made | fields))
