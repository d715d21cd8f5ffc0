"""The client's side: channels that notice a dead peer, streams that are always cancelled, watches that resume.

channel = connect("127.0.0.1:50051", watching=True)
stub = PositionServiceStub(channel)

# One stream, for as long as it lasts:
async with watch(stub.WatchPositions(request)) as responses:
    async for response in responses:
        ...

# For ever, across restarts, with nothing lost or repeated:
async for response in follow(lambda revision: stub.WatchPositions(WatchPositionsRequest(after_revision=revision))):
    ...
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc

from grpckit.errors import Pruned, RpcError, from_rpc, revision_in

_PING_S = 15.0  # not more often than servers allow: they hang up on clients that ping every 10 s or faster
_PING_TIMEOUT_S = 5.0
_RECONNECT_S = 1.0  # gRPC's own backoff grows to two minutes, far longer than a restart takes

# Everything else is a mistake that repeating does not mend.
_RESUMED = frozenset({
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
})  # fmt: skip


class _Revised(Protocol):
    @property
    def revision(self) -> int: ...


Response = TypeVar("Response")
Revised = TypeVar("Revised", bound=_Revised)


def connect(
    address: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    service: str = "",
    watching: bool = False,
    response_bytes: int = 16 * 1024 * 1024,
    ping_s: float = _PING_S,
    ping_timeout_s: float = _PING_TIMEOUT_S,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Opens a channel to host:port, unix:/path or dns:///name (every address behind the name gets its share).

    It pings every `ping_s` seconds while calls run and gives the peer up after `ping_timeout_s` of silence. It never
    retries by itself: callers know which calls are safe to repeat. `watching` keeps what a slow reader leaves unread
    near 0.1 MB instead of 6 MB. Close it, or use it as an async context manager.

    Behind a name, or a list of addresses, those get no calls that say that `service` (its full name) does not serve
    there. When it serves nowhere, calls end with UNAVAILABLE of the channel's own, without a reason.
    """
    choosing: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if service and (address.startswith("dns:") or "," in address):  # one that is alone says itself what is wrong
        choosing["healthCheckConfig"] = {"serviceName": service}
    options: list[tuple[str, Any]] = [
        ("grpc.keepalive_time_ms", round(ping_s * 1_000)),
        ("grpc.keepalive_timeout_ms", round(ping_timeout_s * 1_000)),
        ("grpc.http2.ping_timeout_ms", round(ping_timeout_s * 1_000)),  # undocumented, 60 s by default, and decisive
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_retries", 0),
        # Else a new channel inherits the back-off of any other channel of the process to the same address.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.service_config", json.dumps(choosing)),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", round(_RECONNECT_S * 1_000)),
        ("grpc.max_receive_message_length", response_bytes),
    ]
    if watching:
        options.append(("grpc.http2.bdp_probe", 0))
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(address, credentials, options=options, interceptors=interceptors)


class watch(Generic[Response]):  # noqa: N801 - reads as the verb it is
    """Iterates a stream and cancels its call when left, however it is left.

    gRPC does not: a stream that is abandoned, even by a plain `break`, stays open on the server. Raises what the
    stream raises, grpc.aio.AioRpcError.
    """

    def __init__(self, call: grpc.aio.UnaryStreamCall[Any, Response]) -> None:
        self._call: Any = call
        self._responses: AsyncIterator[Response] = aiter(self._call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Response:
        return await anext(self._responses)

    def cancel(self) -> None:
        """Ends the call. Harmless when it has ended."""
        self._call.cancel()

    def __del__(self) -> None:
        # For those who iterate without `async with` and break.
        call = getattr(self, "_call", None)
        if call is not None and not call.done():
            call.cancel()


async def follow(
    start: Callable[[int], grpc.aio.UnaryStreamCall[Any, Revised]],
    after_revision: int = 0,
    *,
    on_reset: Callable[[RpcError, int], None] | None = None,
    progress_timeout_s: float = 60.0,
    first_backoff_s: float = 0.1,
    max_backoff_s: float = 10.0,
) -> AsyncGenerator[Revised, None]:
    """Yields a watch's responses for ever: whatever ends the stream, it is started again after the last revision seen.

    `start(revision)` begins the stream after a revision; the first time with `after_revision`. Revisions are read
    from the responses' `revision` field. With 0 the stream begins anew: a snapshot that was under way is repeated.

    `on_reset(error, revision)` is told before each new start; to be logged, and with revision 0 to discard a
    half-received snapshot. `progress_timeout_s` must exceed the server's progress interval: a peer that is silent for
    longer is taken for dead. Backoff doubles from `first_backoff_s` to `max_backoff_s`, with jitter; the server's
    RetryInfo is respected, and any response starts it over.

    Raises Pruned (OUT_OF_RANGE) when the revision is too old: list, then follow from the listing's revision. Raises
    RpcError for what repeating does not mend: INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND,
    UNIMPLEMENTED, FAILED_PRECONDITION.

    The call is cancelled whenever the generator is closed. Leaving the loop closes it soon; contextlib.aclosing, now.
    """
    revision, failures = after_revision, 0
    while True:
        stream = watch(start(revision))
        try:
            while True:
                async with asyncio.timeout(progress_timeout_s) as silence:
                    response = await anext(stream)
                revision, failures = max(revision, response.revision), 0
                yield response
        except StopAsyncIteration:
            error = RpcError(grpc.StatusCode.UNAVAILABLE, "", "the server ended the stream")
        except TimeoutError:
            if not silence.expired():
                raise
            error = RpcError(grpc.StatusCode.UNAVAILABLE, "", f"no message for {progress_timeout_s:g} s")
        except grpc.aio.AioRpcError as raised:
            error = _resumable(from_rpc(raised))
        finally:
            stream.cancel()
        revision = max(revision, _resume_after(error))
        if on_reset is not None:
            on_reset(error, revision)
        await asyncio.sleep(_backoff_s(error, failures, first_backoff_s, max_backoff_s))
        failures += 1


def _resumable(error: RpcError) -> RpcError:
    if error.code is grpc.StatusCode.OUT_OF_RANGE:
        raise Pruned(error.code, error.reason, error.message, error.metadata) from None
    if error.code not in _RESUMED:
        raise error from None
    return error


def _resume_after(error: RpcError) -> int:
    """Returns up to where the server says it has sent everything. Statuses arrive after the messages before them."""
    told = revision_in(error.metadata, "resumeAfterRevision") if error.reason == "WATCHER_TOO_SLOW" else None
    return told or 0


def _backoff_s(error: RpcError, failures: int, first_s: float, max_s: float) -> float:
    # Jitter keeps the watchers of a restarted server from arriving all at once.
    wait_s: float = min(max_s, first_s * 2 ** min(failures, 30)) * random.uniform(0.5, 1)  # noqa: S311 - not for secrets
    return max(wait_s, min(error.retry_after_s or 0.0, max_s) * random.uniform(1, 1.2))  # noqa: S311 - as above
