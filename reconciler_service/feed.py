"""Drift events for any number of subscribers, from one stream of the Position service.

Subscribers are cursors, never queues: a slow one costs nothing and slows nobody. The newest events are kept in memory;
a subscriber that is further behind catches up on a stream of its own, then joins the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing

import grpc
import structlog
from trueup.position.v1 import reconciliation_log_service_pb2, reconciliation_log_service_pb2_grpc
from trueup.types.v1 import drift_pb2

from grpckit import tracing
from grpckit.caller import on_behalf
from grpckit.channel import follow
from grpckit.errors import RpcError

KEPT = 10_000  # events; a few kilobytes each
AGAIN_S = 1.0
SILENCE_S = 60.0  # longer than the Position service is ever silent on a stream

_Log = reconciliation_log_service_pb2_grpc.ReconciliationLogServiceStub
Request = reconciliation_log_service_pb2.WatchDriftsRequest
Response = reconciliation_log_service_pb2.WatchDriftsResponse
_log = structlog.get_logger("reconciler")


class Feed:
    """The tail of the drift log. ``run`` keeps it current, across restarts of the Position service."""

    def __init__(self, log: _Log, kept: int = KEPT) -> None:
        self.revision = 0  # everything up to here is known
        self._floor: int | None = None  # everything after it is in memory; None: not connected yet
        self._log = log
        self._kept = kept
        self._events: deque[drift_pb2.DriftEvent] = deque()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            try:
                await self._tail()
            except (RpcError, grpc.aio.AioRpcError) as error:
                # E.g. away for so long that the log was pruned: begin anew; subscribers catch up, or are told.
                _log.warning("drift feed begins anew", error=str(error))
                await asyncio.sleep(AGAIN_S)
            finally:
                self._floor = None

    async def _tail(self) -> None:
        request = reconciliation_log_service_pb2.ListDriftsRequest(page_size=1)
        head = await self._log.ListDrifts(request, wait_for_ready=True)
        self._events.clear()
        self._floor = self.revision = head.revision
        begun: list[drift_pb2.DriftEvent] = []  # of a commit that comes in several messages
        async with aclosing(self.follow(Request(), head.revision, lambda *_: begun.clear())) as responses:
            async for response in responses:
                begun += response.events
                if not begun or begun[-1].revision <= response.revision:
                    self._take(begun, response.revision)
                    begun.clear()

    def follow(
        self,
        request: Request,
        after_revision: int,
        on_reset: Callable[[RpcError, int], None],
        *,
        include_open: bool = False,
    ) -> AsyncGenerator[Response, None]:
        """A stream of the Position service that never ends; with ``include_open`` it begins with the open cases."""

        metadata = on_behalf()  # a subscriber sees what it may; nobody calls for the feed itself

        def start(revision: int) -> grpc.aio.UnaryStreamCall[Request, Response]:
            asked = Request()
            asked.CopyFrom(request)
            asked.after_revision, asked.include_open = revision, include_open and not revision
            return self._log.WatchDrifts(asked, metadata=metadata)

        def reset(error: RpcError, revision: int) -> None:
            _log.info("drift stream resumes", after_revision=revision, error=str(error))
            on_reset(error, revision)

        return follow(start, after_revision, on_reset=reset, progress_timeout_s=SILENCE_S)

    def covers(self, revision: int) -> bool:
        """Whether all events after a revision are in memory."""
        return self._floor is not None and revision >= self._floor

    def after(self, revision: int) -> list[drift_pb2.DriftEvent]:
        """The events after a revision, oldest first. ``covers`` it, or some would be left out."""
        return list(reversed(list(self._newest_until(revision))))

    async def wait(self, revision: int, timeout_s: float) -> None:
        """Wait until more than ``revision`` is known, or the time is over."""
        changed = self._changed
        if self.revision > revision:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        except TimeoutError:
            return

    def _newest_until(self, revision: int) -> Iterator[drift_pb2.DriftEvent]:
        for event in reversed(self._events):
            if event.revision <= revision:
                return
            yield event

    def _take(self, events: Iterable[drift_pb2.DriftEvent], revision: int) -> None:
        new = [event for event in events if event.revision > self.revision]
        self._events.extend(new)
        if tracing.active is not None:
            for event in new:
                since_ns, drift = event.time.ToNanoseconds(), event.drift
                tracing.active.delivered(drift.run_id, since_ns, drift_id=drift.drift_id, symbol=drift.symbol)
        self.revision = max(self.revision, revision)
        while len(self._events) > self._kept:
            self._floor = self._events.popleft().revision
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
