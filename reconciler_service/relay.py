"""StreamDriftEvents: one subscriber's view of the feed. Ordered, each event once, resumable, never silent for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

import grpc
from trueup.position.v1 import reconciliation_log_service_pb2, reconciliation_log_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.accounts import own
from grpckit.errors import RpcError, Violation, invalid
from reconciler_service.feed import AGAIN_S, Feed, Request, Response

Asked = reconciler_service_pb2.StreamDriftEventsRequest
Answer = reconciler_service_pb2.StreamDriftEventsResponse
_Log = reconciliation_log_service_pb2_grpc.ReconciliationLogServiceStub


class Relay:
    """Serves subscribers. ``venues`` tells how each venue is doing, for the progress messages."""

    def __init__(
        self, feed: Feed, log: _Log, venues: Callable[[], Iterable[drift_pb2.VenueHealth]], progress_s: float
    ) -> None:
        self._feed = feed
        self._log = log
        self._venues = venues
        self._progress_s = progress_s

    async def subscribe(self, asked: Asked) -> AsyncGenerator[Answer, None]:
        """Yield what the subscriber asked for, for ever.

        A stream of new events begins with a progress message, its bookmark. Raises RpcError for what cannot be asked
        (INVALID_REQUEST, REVISION_PRUNED, REVISION_IN_FUTURE) and grpc.aio.AioRpcError when the Position service does
        not answer at the start; later it may come and go, but a snapshot that breaks off ends the stream: RpcError
        (STORE_UNAVAILABLE), begin anew.
        """
        if asked.include_open and asked.after_revision:
            field = Violation("include_open", "does not go together with after_revision")
            raise invalid("either resume or begin with the open cases", field)
        cursor, is_live = asked.after_revision, False
        if not asked.include_open and not asked.HasField("after_revision"):
            head = await self._log.ListDrifts(reconciliation_log_service_pb2.ListDriftsRequest(page_size=1))
            cursor, is_live = head.revision, True
            yield self._progress(cursor)
        while True:
            # A revision that the subscriber brought is for the Position service to judge, if it is news to the feed.
            known = self._feed.covers(cursor) and (is_live or 0 < cursor <= self._feed.revision)
            source = self._from_feed(asked, cursor) if known else self._from_upstream(asked, cursor)
            async with aclosing(source) as answers:
                async for answer in answers:
                    yield answer
                    cursor = answer.revision
            is_live = True

    async def _from_feed(self, asked: Asked, cursor: int) -> AsyncGenerator[Answer, None]:
        """Live, for as long as the subscriber keeps up with what is in memory."""
        now = asyncio.get_running_loop().time
        due = now() + self._progress_s
        while self._feed.covers(cursor):
            events = [
                event for event in self._feed.after(cursor) if _matches(asked, event.drift) and own((event.drift,))
            ]
            cursor = max(cursor, self._feed.revision)
            if events:
                yield Answer(phase=types_pb2.STREAM_PHASE_EVENTS, revision=cursor, events=events)
                due = now() + self._progress_s
            elif now() >= due:
                yield self._progress(cursor)
                due = now() + self._progress_s
            await self._feed.wait(cursor, due - now())

    async def _from_upstream(self, asked: Asked, cursor: int) -> AsyncGenerator[Answer, None]:
        """A stream of one's own, until the feed takes over."""
        request = Request(account=asked.account, venue=asked.venue, symbol=asked.symbol, kinds=asked.kinds)
        shown = set[tuple[str, int]]()  # a commit in parts that broke off comes again; what was sent is not sent again
        has_snapshot = False

        def restart(_: RpcError, revision: int) -> None:
            # The snapshot would be another one, taken later: cases of the first may have ended without a word.
            if has_snapshot and not revision:
                message = "the snapshot broke off: begin anew"
                raise RpcError(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", message, retry_after_s=AGAIN_S)

        async with aclosing(self._feed.follow(request, cursor, restart, include_open=asked.include_open)) as responses:
            while True:
                waiting = asyncio.ensure_future(anext(responses))
                try:
                    while not (await asyncio.wait({waiting}, timeout=self._progress_s))[0]:
                        yield self._progress(cursor)
                    response = waiting.result()
                finally:
                    await _ended(waiting)
                cursor = max(cursor, response.revision)
                is_snapshot = response.phase == types_pb2.STREAM_PHASE_SNAPSHOT
                has_snapshot = has_snapshot or is_snapshot
                yield self._relayed(response, shown)
                is_whole = response.snapshot_end or not is_snapshot
                if is_whole and self._feed.covers(cursor):
                    return

    def _relayed(self, response: Response, shown: set[tuple[str, int]]) -> Answer:
        events = [event for event in response.events if (event.drift.drift_id, event.revision) not in shown]
        is_part = response.events and response.events[-1].revision > response.revision
        if response.phase == types_pb2.STREAM_PHASE_EVENTS and is_part:
            shown.update((event.drift.drift_id, event.revision) for event in events)
        else:
            shown.clear()
        return Answer(
            phase=response.phase,
            revision=response.revision,
            events=events,
            snapshot_end=response.snapshot_end,
            venues=own(self._venues()) if response.phase == types_pb2.STREAM_PHASE_PROGRESS else (),
        )

    def _progress(self, revision: int) -> Answer:
        return Answer(phase=types_pb2.STREAM_PHASE_PROGRESS, revision=revision, venues=own(self._venues()))


async def _ended(task: asyncio.Future[Response]) -> None:
    """Cancel it and wait for its end, however often this is cancelled meanwhile: by a drain and a client that leaves."""
    task.cancel()
    again: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            again = error
    if again is not None:
        raise again


def _matches(asked: Asked, drift: drift_pb2.Drift) -> bool:
    return (
        (not asked.account or asked.account == drift.account)
        and (not asked.venue or asked.venue == drift.venue)
        and (not asked.symbol or asked.symbol == drift.symbol)
        and (not asked.kinds or drift.kind in asked.kinds)
    )
