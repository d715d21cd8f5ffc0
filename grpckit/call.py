"""One call under way, and the errors that end calls before their handler has anything to say."""

from __future__ import annotations

import asyncio
from itertools import islice
from time import perf_counter
from typing import Any, NoReturn, TypeAlias

import grpc

from grpckit.caller import Caller
from grpckit.errors import RpcError, abort
from grpckit.limits import Limits
from grpckit.methods import Method

Context: TypeAlias = Any  # grpc.aio.ServicerContext; its stubs disagree about what it is generic in

REQUEST_ID = "x-request-id"
_RUN_OUT_AT_ONCE = 256  # calls cancelled before others get their turn


class Lane:
    """Calls of one kind in flight. Unary calls and streams have a lane each, so that neither starves the other.

    `full` is the status of what is too much.
    """

    __slots__ = ("busy", "full", "limit", "name")

    def __init__(self, name: str, limit: int, full: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED) -> None:
        self.name = name
        self.limit = limit
        self.full = full
        self.busy = 0


class Call:
    """One call under way: what its log line and its metrics need."""

    __slots__ = (
        "accounts",
        "actor",
        "context",
        "ended",
        "is_counted",
        "late",
        "messages",
        "method",
        "peer",
        "request_id",
        "started",
        "task",
        "waiting",
        "who",
    )

    def __init__(self, method: Method, context: Context) -> None:
        self.method = method
        self.context = context
        self.peer = context.peer()  # now: asking a context whose call has ended crashes the process
        self.started = perf_counter()
        self.actor = ""
        self.accounts: frozenset[str] | None = None
        self.who: Caller | None = None  # once it is known; never for health and reflection
        self.request_id = ""
        self.messages = 0
        self.is_counted = False  # among the streams of its client
        self.late = False  # unary only: the default deadline has passed
        # The task, and for streams, whether it waits for its handler (and not for the network), why we ended it.
        self.task: asyncio.Task[Any] | None = None
        self.waiting = False
        self.ended: RpcError | None = None

    @property
    def trailer(self) -> tuple[tuple[str, str | bytes], ...]:
        return ((REQUEST_ID, self.request_id),) if self.request_id else ()

    def cut_off(self) -> None:
        """Ends a stream whose reader takes nothing: after what was sent comes the error it was ended with, and no more.

        The error arrives when the reader reads on, if ever; until then nothing of the stream is left but the wish to tell.
        """
        if self.task is not None and not self.task.done() and self.ended is not None:
            self.task.cancel()
            telling = asyncio.ensure_future(abort(self.context, self.ended, self.trailer))
            _telling.add(telling)
            telling.add_done_callback(_told)


_telling: set[asyncio.Future[NoReturn]] = set()  # held, or they might be collected


def _told(telling: asyncio.Future[NoReturn]) -> None:
    _telling.discard(telling)
    if not telling.cancelled():
        telling.exception()  # AbortError, or what says that nobody is there any more


def overloaded(lane: Lane, limits: Limits) -> RpcError:
    """Refuses a call because its lane is full."""
    return RpcError(
        lane.full,
        "OVERLOADED",
        f"{lane.limit} {lane.name} calls are in flight",
        retry_after_s=limits.overload_retry_s,
    )


def draining(limits: Limits) -> RpcError:
    """Refuses or ends a call because the server stops."""
    return RpcError(
        grpc.StatusCode.UNAVAILABLE, "DRAINING", "the server is shutting down", retry_after_s=limits.drain_retry_s
    )


def scope_missing(method: Method) -> RpcError:
    """Refuses a call because the caller lacks the method's scope."""
    name = method.scope_name
    return RpcError(grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING", f"the {name} scope is needed", {"scope": name})


def too_late(limits: Limits) -> RpcError:
    """Ends a call that brought no deadline and has had the default one."""
    message = f"not answered within {limits.unary_deadline_s:g} s; repeat a write with the same request_id"
    return RpcError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", message)


class Deadlines:
    """Cancels the calls that take too long, and marks them as `late`.

    All get the same time, so they run out in the order they began: one timer serves them all. A timer for each call,
    as asyncio.timeout takes, costs more than everything else the guard does besides validating.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[Call, float] = {}  # in the order they began
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Call) -> None:
        """Gives a call its time. It must run in the current task."""
        call.task = asyncio.current_task()
        self._due[call] = perf_counter() + self._seconds
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._run_out)

    def end(self, call: Call) -> None:
        """Forgets a call that has ended."""
        self._due.pop(call, None)

    def _run_out(self) -> None:
        self._timer = None
        now = perf_counter()
        for call, due in list(islice(self._due.items(), _RUN_OUT_AT_ONCE)):
            if due > now:
                break
            del self._due[call]
            call.late = True
            if call.task is not None:
                call.task.cancel()
        for due in self._due.values():  # the oldest that is left
            self._timer = asyncio.get_running_loop().call_later(max(due - now, 0), self._run_out)
            break
