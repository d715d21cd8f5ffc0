"""Both services for Python: typed calls, typed errors, streams that go on for ever.

async with Client() as trueup:  # what the trueup command would call
    request = OpenPositionRequest(asset="BTC/USD", size="0.5", entry_price="42000", request_id="order-1")
    opened = await trueup.positions.OpenPosition(request)  # raises RpcError: code, reason, metadata, violations

    async for position in pages(trueup.positions.ListPositions, ListPositionsRequest()):
        ...

    async for response in trueup.follow_drifts():  # the open cases, then every step, across restarts
        for event in response.events:
            ...

Requests and responses are the contract's own messages, from `trueup.position.v1`, `trueup.reconciler.v1` and
`trueup.types.v1`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
from trueup.position.v1 import (
    access_service_pb2_grpc,
    position_service_pb2,
    position_service_pb2_grpc,
    reconciliation_log_service_pb2,
    reconciliation_log_service_pb2_grpc,
)
from trueup.reconciler.v1 import reconciler_service_pb2, reconciler_service_pb2_grpc

from grpckit.channel import connect, follow
from grpckit.errors import Pruned, RpcError, from_rpc
from grpckit.keyed import keyed
from grpckit.reopened import reopened
from trueup_cli import calling
from trueup_cli.handshake import mismatch

if TYPE_CHECKING:
    from grpckit.tls import Calling

PAGE = 1000  # rows, the most that the contract allows

_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

OnReset = Callable[[RpcError, int], None]
Watch = TypeVar("Watch", position_service_pb2.WatchPositionsRequest, reconciler_service_pb2.StreamDriftEventsRequest)
Revised = TypeVar(
    "Revised", position_service_pb2.WatchPositionsResponse, reconciler_service_pb2.StreamDriftEventsResponse
)


class Unreachable(RpcError):
    """Nothing answers at `address`, or not in time. A write may have happened: repeat it with its request_id.

    `mismatch` says what to do when it is more than silence: called with TLS or without in vain, or answered by who does
    not serve now. Then the call has reached nobody.
    """

    def __init__(self, error: RpcError, address: str, mismatch: str = "") -> None:
        super().__init__(error.code, error.reason, mismatch or f"nothing answers at {address}")
        self.address = address
        self.mismatch = mismatch


class Client:
    """Connects when it is first used; close it, or use it as an async context manager.

    Without an address it calls as the `trueup` command does, by environment or TRUEUP_CONFIG: POSITION_ADDRESS and
    RECONCILER_ADDRESS, TLS_CA_FILE and TLS_CLIENT_CERT_FILE, TRUEUP_KEY_FILE; what is given comes first. With an address
    TLS and key are as given, and without them there are none: the key of the settings is for nobody else's services.

    `key` is an API key, or what tells it at each call; "" for none. With `files` in place of `credentials` TLS is by what
    they hold, also when that changes. Raises StartupError for an address that is none and for files that cannot be used.

    `positions`, `access` and `reconciler` are the stubs of the services. Unary calls get `timeout_s` seconds unless they
    bring a timeout, and raise RpcError; Unreachable when nobody answers. Nothing is repeated by itself: a write with a
    request_id may be.
    """

    def __init__(
        self,
        position_address: str = "",
        reconciler_address: str = "",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        files: Calling | None = None,
        key: str | Callable[[], str] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        by_settings = not position_address and not reconciler_address
        if by_settings and credentials is None and files is None:
            files = calling.tls_files()
        told = (calling.api_key() if by_settings else "") if key is None else key
        secured = credentials is not None or files is not None

        def channel(address: str, service: Any, *, watching: bool = False) -> grpc.aio.Channel:
            calls = [] if watching else [_Calls(address, timeout_s, secured=secured)]

            def dial(found: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
                known = found or credentials
                return connect(
                    address, credentials=known, service=service.full_name, watching=watching, interceptors=calls
                )

            return keyed(reopened(dial, files), told)

        # Streams have connections of their own: reading them slowly holds up no call.
        book, desk = calling.position_address(position_address), calling.reconciler_address(reconciler_address)
        position = book, position_service_pb2.DESCRIPTOR.services_by_name["PositionService"]
        reconciler = desk, reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"]
        self._channels = [channel(*position), channel(*reconciler)]
        self._channels += [channel(*position, watching=True), channel(*reconciler, watching=True)]
        self.positions = position_service_pb2_grpc.PositionServiceStub(self._channels[0])
        self.access = access_service_pb2_grpc.AccessServiceStub(self._channels[0])
        self.reconciler = reconciler_service_pb2_grpc.ReconcilerServiceStub(self._channels[1])
        self._log_streams = reconciliation_log_service_pb2_grpc.ReconciliationLogServiceStub(self._channels[2])
        self._position_streams = position_service_pb2_grpc.PositionServiceStub(self._channels[2])
        self._drift_streams = reconciler_service_pb2_grpc.ReconcilerServiceStub(self._channels[3])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; streams end."""
        for channel in self._channels:
            await channel.close(None)

    def follow_positions(
        self,
        request: position_service_pb2.WatchPositionsRequest | None = None,
        *,
        on_reset: OnReset | None = None,
    ) -> AsyncGenerator[position_service_pb2.WatchPositionsResponse, None]:
        """Yield what `WatchPositions` sends, for ever; without a request the live positions come first.

        Whatever ends the stream, it goes on after the last revision. Where that is not known any more (it was pruned,
        or a backup was restored) it goes on with a snapshot: phase SNAPSHOT replaces all that was known before.
        `on_reset(error, revision)` is told of each new start. Raises RpcError for what repeating does not mend.
        """
        first = request or position_service_pb2.WatchPositionsRequest(include_current=True)
        afresh = _copy(first, include_current=True)
        return _follow(self._position_streams.WatchPositions, first, afresh, "include_current", on_reset)

    def follow_drifts(
        self,
        request: reconciler_service_pb2.StreamDriftEventsRequest | None = None,
        *,
        on_reset: OnReset | None = None,
    ) -> AsyncGenerator[reconciler_service_pb2.StreamDriftEventsResponse, None]:
        """Yield what `StreamDriftEvents` sends, for ever, as `follow_positions` does; the open cases come first."""
        first = request or reconciler_service_pb2.StreamDriftEventsRequest(include_open=True)
        afresh = _copy(first, include_open=True)
        return _follow(self._drift_streams.StreamDriftEvents, first, afresh, "include_open", on_reset)

    def follow_position_events(
        self, after_revision: int, *, on_reset: OnReset | None = None
    ) -> AsyncGenerator[position_service_pb2.WatchPositionsResponse, None]:
        """Yield every event of every position after a revision, for ever. Raises Pruned when it is not known."""
        watch, request = self._position_streams.WatchPositions, position_service_pb2.WatchPositionsRequest
        return follow(lambda after: watch(request(after_revision=after)), after_revision, on_reset=on_reset)

    def follow_drift_events(
        self, after_revision: int, *, on_reset: OnReset | None = None
    ) -> AsyncGenerator[reconciliation_log_service_pb2.WatchDriftsResponse, None]:
        """Yield every event of every drift case after a revision, for ever, from the Position service itself, which
        keeps them. Raises Pruned when the revision is not known.
        """
        watch, request = self._log_streams.WatchDrifts, reconciliation_log_service_pb2.WatchDriftsRequest
        return follow(lambda after: watch(request(after_revision=after)), after_revision, on_reset=on_reset)


class _Calls(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every call a deadline, and every error its type."""

    def __init__(self, address: str, timeout_s: float, *, secured: bool) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._secured = secured
        self._looking: asyncio.Task[str] | None = None

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if client_call_details.timeout is None:
            client_call_details = client_call_details._replace(timeout=self._timeout_s)
        try:
            return await (await continuation(client_call_details, request))
        except grpc.aio.AioRpcError as raised:
            error = from_rpc(raised)
        # Whoever answered has given a reason; without one the status is gRPC's own, about the connection.
        if error.code in _NO_ANSWER and not error.reason:
            # Who answers too late has a connection, or is busy: no reason to open more.
            why = await self._mismatch(error.message) if error.code is grpc.StatusCode.UNAVAILABLE else ""
            raise Unreachable(error, self._address, why)
        raise error

    async def _mismatch(self, said: str) -> str:
        """One look for all calls that fail meanwhile."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(mismatch(self._address, said, secured=self._secured))
        return await asyncio.shield(self._looking)


async def pages(method: Any, request: Any) -> AsyncIterator[Any]:
    """Yield every row of a listing, page after page: `pages(client.positions.ListPositions, ListPositionsRequest())`.

    The rows are what the response's one repeated field holds. Raises what the method raises.
    """
    asked = type(request)()
    asked.CopyFrom(request)
    asked.page_size = asked.page_size or PAGE
    while True:
        response = await method(asked)
        (rows,) = (field.name for field in response.DESCRIPTOR.fields if field.is_repeated)
        for row in getattr(response, rows):
            yield row
        asked.page_token = response.next_page_token
        if not asked.page_token:
            return


async def _follow(
    method: Callable[[Watch], grpc.aio.UnaryStreamCall[Any, Revised]],
    first: Watch,
    afresh: Watch,
    snapshot: str,
    on_reset: OnReset | None,
) -> AsyncGenerator[Revised, None]:
    def start(revision: int) -> grpc.aio.UnaryStreamCall[Any, Revised]:
        return method(first if revision == after else _copy(first, after_revision=revision, **{snapshot: False}))

    after: int = first.after_revision
    while True:
        try:
            async with aclosing(follow(start, after, on_reset=on_reset)) as responses:
                async for response in responses:
                    yield response
        except Pruned as error:
            if on_reset is not None:
                on_reset(error, 0)
            first, after = afresh, 0


def _copy(request: Watch, **fields: Any) -> Watch:
    """The same request with other fields; without an after_revision unless one is given."""
    copied = type(request)()
    copied.CopyFrom(request)
    copied.ClearField("after_revision")
    for name, value in fields.items():
        setattr(copied, name, value)
    return copied
