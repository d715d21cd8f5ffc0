"""The one guard around every method: limits, identity, validation, deadline, errors, log line, metrics.

It wraps each handler once, when it is registered, and takes bytes in and out. That is cheaper than interceptors, which
are looked up and awaited for every call, and leaves nothing outside: a request that does not parse and a response that
does not serialise are errors like any other, where gRPC would send the exception's text.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import grpc
import structlog

from grpckit.accounts import confine
from grpckit.call import REQUEST_ID, Call, Context, Deadlines, Lane, draining, overloaded, scope_missing, too_late
from grpckit.caller import ANONYMOUS, Authenticate, Caller, anonymous, caller, enter, request_id, speaking_for, tag
from grpckit.errors import REASONS, RpcError, StartupError, abort
from grpckit.limits import Limits
from grpckit.log import call_line, json_lines
from grpckit.methods import Method
from grpckit.observe import Metrics, Observation, Observe, default_metrics
from grpckit.tracing import traced
from grpckit.validation import reader, warm

__all__ = ["ANONYMOUS", "Authenticate", "Caller", "Guard", "Translate", "anonymous", "caller", "request_id"]

Translate: TypeAlias = Callable[[Exception], RpcError | None]
Handlers: TypeAlias = Mapping[str, Any]  # grpc.RpcMethodHandler by method name

_REQUEST_ID_LENGTH = 128
_LOGGED = ("method", "code", "reason", "ms", "messages", "peer", "request_id", "actor")
_LOUD = frozenset({"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})


class Admit(Protocol):
    """Counts what clients take. Raises RpcError for who takes too much."""

    def __call__(self, call: Call, /) -> None: ...
    def left(self, call: Call, /) -> None: ...


class Guard:
    """Wraps the handlers of a server. One guard serves one server.

    `translate` turns a service's own exceptions into RpcErrors, None for those it does not know: these become INTERNAL
    with a correlation id, and only the log says more. `authenticate` names the caller from the call's metadata and peer or
    raises RpcError; `admit` may refuse who is known by raising RpcError, and is told when a stream ends. `observe` is
    told of every finished call.
    """

    def __init__(
        self,
        *,
        translate: Translate | None = None,
        authenticate: Authenticate = anonymous,
        admit: Admit | None = None,
        observe: Observe | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.stopping = asyncio.Event()
        self._translate = translate or (lambda _: None)
        self._authenticate = authenticate
        self._admit_client = admit
        self._unary = Lane("unary", self.limits.unary_in_flight)
        self._streams = Lane("stream", self.limits.streams_in_flight)
        self._public = Lane("public", self.limits.public_in_flight)
        # A client that gets no health watch must not take the server for a sick one: by this status it does without.
        unwatched = grpc.StatusCode.UNIMPLEMENTED
        self._public_streams = Lane("public_stream", self.limits.public_streams_in_flight, unwatched)
        self._lanes = (self._unary, self._streams, self._public, self._public_streams)
        self._open: set[Call] = set()
        self._deadlines = Deadlines(self.limits.unary_deadline_s)
        # Bound once: an unbound logger costs microseconds a call. Logging is set up before guards are made.
        self._log = structlog.get_logger("grpckit").bind()
        self._write_line = json_lines() if self._log.is_enabled_for(20) else None
        self._observe: Observe = observe or self._default_observe()

    def _default_observe(self) -> Observe:
        metrics = default_metrics()
        for lane in self._lanes:
            metrics.track(lane.name, partial(getattr, lane, "busy"))
        return metrics

    @property
    def in_flight(self) -> dict[str, int]:
        """The calls in flight by kind: unary and stream, and of health and reflection public and public_stream."""
        return {lane.name: lane.busy for lane in self._lanes}

    def warm(self, methods: Mapping[str, Method]) -> None:
        """Compiles the rules of every request type, so that no caller waits for it."""
        warm(method.request_type for method in methods.values() if method.request_type)

    def wrap(self, methods: Mapping[str, Method], handlers: Handlers) -> dict[str, Any]:
        """Wraps a service's handlers. Raises StartupError for a handler that is no coroutine or async generator."""
        if isinstance(self._observe, Metrics):
            self._observe.begin(methods[name].path for name in handlers)
        return {name: self._wrap(methods[name], handler) for name, handler in handlers.items()}

    def drain(self) -> None:
        """Refuses new calls from now on and ends every stream with UNAVAILABLE/DRAINING. Calls under way go on.

        A stream that waits for its handler ends now; one that is sending ends after that message.
        """
        self.stopping.set()
        self.end_streams(lambda _: draining(self.limits))

    def end_streams(self, why: Callable[[Caller | None], RpcError | None]) -> None:
        """Ends the open streams for whose caller `why` has an error; the caller is None for health and reflection.

        One that is sending ends after that message, or a little later if its reader does not take it.
        """
        for call in self._open:
            if call.ended is None and (error := why(call.who)) is not None:
                call.ended = error
                if call.waiting and call.task is not None:
                    call.task.cancel()
                else:
                    asyncio.get_running_loop().call_later(self.limits.stalled_end_s, call.cut_off)

    def _wrap(self, method: Method, handler: Any) -> Any:
        behaviour = handler.stream_stream or handler.unary_stream or handler.unary_unary
        if handler.request_streaming:
            # Public services only (reflection): requests arrive parsed, from an iterator.
            return grpc.stream_stream_rpc_method_handler(
                self._stream(method, behaviour, lambda requests: requests, handler.response_serializer),
                request_deserializer=handler.request_deserializer,
            )
        parse = handler.request_deserializer
        if _left_out(behaviour):
            behaviour, parse = (_unimplemented_stream if method.streams else _unimplemented), bytes
        elif method.request_type is not None:
            parse = reader(method.request_type, parse, self.limits.violations_full_bytes, remember=method.read_only)
        if method.streams:
            if not isasyncgenfunction(behaviour):
                raise StartupError(f"{method.path} must be an async generator: write `async def` and `yield`")
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, behaviour, parse, handler.response_serializer)
            )
        if not iscoroutinefunction(behaviour):
            raise StartupError(f"{method.path} must be `async def`: a plain function would run in a thread")
        if not method.public:
            behaviour = traced(method.path, behaviour)
        return grpc.unary_unary_rpc_method_handler(self._call(method, behaviour, parse, handler.response_serializer))

    def _call(
        self,
        method: Method,
        behaviour: Callable[[Any, Context], Awaitable[Any]],
        parse: Callable[[bytes], Any],
        serialize: Callable[[Any], bytes],
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        lane = self._public if method.public else self._unary
        deadlines = self._deadlines
        check_accounts = confine(method.request_type)

        async def call(raw: bytes, context: Context) -> bytes:
            this = Call(method, context)
            lane.busy += 1
            try:
                lookup = self._admit(this, lane)
                if lookup is not None:
                    self._let_in(this, await lookup)
                request = parse(raw)
                if this.accounts is not None:
                    check_accounts(request, this.accounts)
                if context.time_remaining() is None:  # otherwise gRPC cancels this task in time
                    deadlines.begin(this)
                response = await behaviour(request, context)
                answer = response if type(response) is bytes else serialize(response)
            except asyncio.CancelledError:
                if this.late and this.task is not None and this.task.uncancel() == 0:
                    await self._fail(this, too_late(self.limits))
                self._cancelled(this)
                raise
            except Exception as error:  # noqa: BLE001 - the catch-all: nothing but RpcErrors may reach gRPC
                await self._fail(this, error)
            finally:
                lane.busy -= 1
                deadlines.end(this)
            self._finish(this, grpc.StatusCode.OK)
            return answer

        return call

    def _stream(
        self,
        method: Method,
        behaviour: Callable[[Any, Context], AsyncGenerator[Any, None]],
        parse: Callable[[Any], Any],
        serialize: Callable[[Any], bytes],
    ) -> Callable[[Any, Context], AsyncIterator[bytes]]:
        lane = self._public_streams if method.public else self._streams
        check_accounts = confine(method.request_type)

        async def call(raw: Any, context: Context) -> AsyncIterator[bytes]:
            this = Call(method, context)
            this.task = asyncio.current_task()
            messages: AsyncGenerator[Any, None] | None = None
            lane.busy += 1
            self._open.add(this)
            try:
                lookup = self._admit(this, lane)
                if lookup is not None:
                    self._let_in(this, await lookup)
                request = parse(raw)
                if this.accounts is not None:
                    check_accounts(request, this.accounts)
                messages = behaviour(request, context)
                while True:
                    message = await self._next(this, messages)
                    if message is _END:
                        break
                    yield message if type(message) is bytes else serialize(message)
                    this.messages += 1
            except asyncio.CancelledError:
                self._cancelled(this)
                raise
            except GeneratorExit:
                # The call was cancelled while it was sending, and gRPC let go of this generator: the call is gone
                # by now, and its context must not be touched.
                self._finish(this, grpc.StatusCode.CANCELLED)
                raise
            except Exception as error:  # noqa: BLE001 - as for unary calls
                await self._fail(this, error)
            finally:
                lane.busy -= 1
                self._left(this)
                if messages is not None:
                    await messages.aclose()
            self._finish(this, grpc.StatusCode.OK)

        return call

    def _left(self, this: Call) -> None:
        self._open.discard(this)
        if self._admit_client is not None:
            self._admit_client.left(this)

    async def _next(self, this: Call, messages: AsyncGenerator[Any, None]) -> Any:
        """Waits for the handler's next message, and raises what ends the stream meanwhile: DRAINING, a revoked key.

        The task is cancelled only while it waits here: no message is ever cut in two.
        """
        if this.ended is not None:
            raise this.ended
        if self.stopping.is_set():
            raise draining(self.limits)
        this.waiting = True
        try:
            message = await anext(messages, _END)
        except asyncio.CancelledError:
            if this.ended is not None and this.task is not None and this.task.uncancel() == 0:
                raise this.ended from None
            raise  # the client left: gRPC leaks memory when this is swallowed
        finally:
            this.waiting = False
        if this.ended is not None:  # the handler made its peace with the cancellation, or had a message ready
            if this.task is not None:
                this.task.uncancel()
            raise this.ended
        return message

    def _admit(self, this: Call, lane: Lane) -> Awaitable[Caller] | None:
        """Lets a call in: limits first, because refusing must stay cheap, then identity and scope.

        Returns what is to be awaited and let in when the caller's identity has to be looked up first.
        """
        method = this.method
        metadata = this.context.invocation_metadata()
        for key, value in metadata:
            if key == REQUEST_ID and len(value) <= _REQUEST_ID_LENGTH:
                this.request_id = value
                tag(value)
                this.context.set_trailing_metadata(this.trailer)
        if lane.busy > lane.limit:
            raise overloaded(lane, self.limits)
        if method.public:
            return None
        if self.stopping.is_set():
            raise draining(self.limits)
        who = self._authenticate(metadata, this.peer)
        if not isinstance(who, Caller):
            return who
        self._let_in(this, who)
        return None

    def _let_in(self, this: Call, who: Caller) -> None:
        method = this.method
        this.who = who = speaking_for(who, this.context.invocation_metadata())
        this.actor, this.accounts = who.actor, who.accounts
        if self._admit_client is not None:
            self._admit_client(this)
        if who.scopes is not None and method.scope not in who.scopes:
            raise scope_missing(method)
        enter(who)

    async def _fail(self, this: Call, error: Exception) -> None:
        """Ends the call with what the caller may know of the error. Raises grpc.aio.AbortError."""
        if isinstance(error, grpc.aio.AbortError):  # the handler ended the call itself
            self._finish(this, this.context.code() or grpc.StatusCode.UNKNOWN)
            raise error
        answer = self._explain(this, error)
        self._finish(this, answer.code, answer.reason)
        await abort(this.context, answer, this.trailer)

    def _explain(self, this: Call, error: Exception) -> RpcError:
        if isinstance(error, NotImplementedError):
            return RpcError(grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED", f"{this.method.path} is not built yet")
        try:
            known = error if isinstance(error, RpcError) else self._translate(error)
        except Exception as second:  # noqa: BLE001 - a broken translation must not leak either
            known, error = None, second
        if known is not None and known.reason in REASONS:  # others, of peers or misspelt, would not encode
            return known
        correlation_id = secrets.token_hex(8)
        self._log.error("call failed", method=this.method.path, correlation_id=correlation_id, exc_info=error)
        return RpcError(
            grpc.StatusCode.INTERNAL,
            "INTERNAL",
            f"an internal error; the server's log knows it as {correlation_id}",
            {"correlationId": correlation_id},
        )

    def _cancelled(self, this: Call) -> None:
        late = this.context.time_remaining() == 0
        self._finish(this, grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED)

    def _finish(self, this: Call, code: grpc.StatusCode, reason: str = "") -> None:
        method = this.method
        seconds = perf_counter() - this.started
        try:
            self._observe(Observation(method.path, method.streams, code, reason, seconds, this.messages))
            quiet = method.public or (method.read_only and code is grpc.StatusCode.OK)
            if quiet and (method.streams or seconds < self.limits.slow_call_s):
                if not self._log.is_enabled_for(10):
                    return
                level = "debug"
            else:
                level = "warning" if code.name in _LOUD else "info"
            values = (
                method.path,
                code.name,
                reason,
                round(seconds * 1e3, 3),
                this.messages,
                this.peer,
                this.request_id,
                this.actor,
            )
            if level != "debug" and self._write_line is not None:
                self._write_line(call_line(level, *values))
            else:
                getattr(self._log, level)("call", **dict(zip(_LOGGED, values, strict=True)))
        except Exception as error:  # noqa: BLE001 - a change is committed by now: its answer outranks the metrics
            self._log.error("observing a call failed", exc_info=error)


_END = object()


def _left_out(behaviour: Any) -> bool:
    """True for a method that the servicer inherits from the generated base: plain functions that set a bare status."""
    function = getattr(behaviour, "__func__", behaviour)
    return str(getattr(function, "__module__", "")).endswith("_pb2_grpc")


async def _unimplemented(request: Any, context: Context) -> None:
    raise NotImplementedError


async def _unimplemented_stream(request: Any, context: Context) -> AsyncGenerator[None, None]:
    raise NotImplementedError
    yield
