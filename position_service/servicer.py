"""PositionService: parse, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from google.protobuf.message import Message
from trueup.position.v1 import position_pb2 as pb
from trueup.position.v1 import position_service_pb2 as svc
from trueup.position.v1 import position_service_pb2_grpc as rpc
from trueup.types.v1 import types_pb2

from grpckit.accounts import require_every_account
from grpckit.caller import caller
from position_service import convert, convert_events, convert_fills, reach
from position_service.domain import commands as c
from position_service.domain.book import Book, Draft, View
from position_service.domain.decide import MOVES
from position_service.domain.errors import PositionNotFound
from position_service.domain.estimating import KEPT_FOR
from position_service.domain.events import Event
from position_service.domain.position import Position
from position_service.domain.risk import Rules
from position_service.domain.steps import Context
from position_service.domain.transitions import require
from position_service.errors import revision_in_future
from position_service.ids import uuid7
from position_service.ledger.history import History
from position_service.ledger.ledger import Ledger
from position_service.polled import Polled
from position_service.reads import LIVE, Reads
from position_service.watch import Log, beginning, encoded_events, parts

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class Contexts:
    """Makes the context of a decision from a request and its caller."""

    rules: Rules

    def of(self, request: Any) -> Context:
        """The committer replaces the time by the batch's own."""
        return Context(
            now=datetime.now(UTC),
            actor=caller().actor,
            request_id=getattr(request, "request_id", "") or str(uuid4()),
            reason=getattr(request, "reason", ""),
            new_id=uuid7,
            rules=self.rules,
        )


class PositionServicer(rpc.PositionServiceServicer):
    """Every write is one command to the ledger; every read is of the ledger's book or of its history."""

    def __init__(
        self, ledger: Ledger, history: History, reads: Reads, log: Log, contexts: Contexts, retention: timedelta
    ) -> None:
        self._ledger = ledger
        self._history = history
        self._reads = reads
        self._log = log
        self._contexts = contexts
        self._retention = retention
        self._polled = Polled(contexts.rules)

    def _shown(self, view: View | None, p: Position) -> pb.Position:
        """A position as it is in a view; of a past state, without one, only what is a fact of it."""
        return convert.position(p) if view is None else convert.valued(convert.seen(p, view), self._contexts.rules)

    async def _write(
        self, request: Message, command: c.Command, respond: Callable[[Draft], Answer], response: type[Answer]
    ) -> Answer:
        if reach.accounts() is not None:
            await reach.require_command(command, await self._ledger.book(), self._history)
        answer = await self._ledger.write(command, request, self._contexts.of(request), respond, response)
        assert isinstance(answer, response)
        return answer

    async def _change(self, request: Message, command: c.Command, response: type[Answer]) -> Answer:
        """A write that is about one position and answers with it."""

        def respond(draft: Draft) -> Answer:
            after = draft.events[-1].after
            assert after is not None
            return response(position=self._shown(draft, after), revision=draft.revision)

        try:
            return await self._write(request, command, respond, response)
        except PositionNotFound:
            await self._refuse_final(command)
            raise

    async def _refuse_final(self, command: c.Command) -> None:
        """The book holds live positions only. Raises IllegalTransition when the position was there and has ended, and
        PositionNotFound that names it when it was not named by its id.
        """
        if not isinstance(command, c.OnPosition):
            return
        if command.ref.position_id is None:
            if reach.sees(command.ref.account):
                await self._reads.refuse_ended(command.ref)
            return
        ended = await self._history.position(command.ref.position_id)
        if ended is not None and ended.status.is_final and reach.sees(ended.account):
            require(ended, MOVES[type(command)])

    async def OpenPosition(self, request: svc.OpenPositionRequest, context: Any) -> svc.OpenPositionResponse:
        return await self._change(request, convert.open_(request), svc.OpenPositionResponse)

    async def ConfirmOpen(self, request: svc.ConfirmOpenRequest, context: Any) -> svc.ConfirmOpenResponse:
        return await self._change(request, convert.confirm_open(request), svc.ConfirmOpenResponse)

    async def CancelOpen(self, request: svc.CancelOpenRequest, context: Any) -> svc.CancelOpenResponse:
        return await self._change(request, convert.cancel_open(request), svc.CancelOpenResponse)

    async def IncreasePosition(
        self, request: svc.IncreasePositionRequest, context: Any
    ) -> svc.IncreasePositionResponse:
        return await self._change(request, convert.increase(request), svc.IncreasePositionResponse)

    async def ReducePosition(self, request: svc.ReducePositionRequest, context: Any) -> svc.ReducePositionResponse:
        return await self._change(request, convert.reduce_(request), svc.ReducePositionResponse)

    async def ClosePosition(self, request: svc.ClosePositionRequest, context: Any) -> svc.ClosePositionResponse:
        return await self._change(request, convert.close(request), svc.ClosePositionResponse)

    async def ConfirmClose(self, request: svc.ConfirmCloseRequest, context: Any) -> svc.ConfirmCloseResponse:
        return await self._change(request, convert.confirm_close(request), svc.ConfirmCloseResponse)

    async def CancelClose(self, request: svc.CancelCloseRequest, context: Any) -> svc.CancelCloseResponse:
        return await self._change(request, convert.cancel_close(request), svc.CancelCloseResponse)

    async def LiquidatePosition(
        self, request: svc.LiquidatePositionRequest, context: Any
    ) -> svc.LiquidatePositionResponse:
        return await self._change(request, convert.liquidate(request), svc.LiquidatePositionResponse)

    async def UpdatePosition(self, request: svc.UpdatePositionRequest, context: Any) -> svc.UpdatePositionResponse:
        return await self._change(request, convert.update(request), svc.UpdatePositionResponse)

    async def AdjustPosition(self, request: svc.AdjustPositionRequest, context: Any) -> svc.AdjustPositionResponse:
        return await self._change(request, convert.adjust(request), svc.AdjustPositionResponse)

    async def RecordFills(self, request: svc.RecordFillsRequest, context: Any) -> svc.RecordFillsResponse:
        def respond(draft: Draft) -> svc.RecordFillsResponse:
            positions = [self._shown(draft, p) for p in draft.positions.values()]
            return convert_fills.recorded(draft, request, positions)

        return await self._write(request, convert_fills.record_fills(request), respond, svc.RecordFillsResponse)

    async def UpdatePrices(self, request: svc.UpdatePricesRequest, context: Any) -> svc.UpdatePricesResponse:
        def respond(draft: Draft) -> svc.UpdatePricesResponse:
            ignored = len(request.prices) - len(draft.marks)
            return svc.UpdatePricesResponse(applied=len(draft.marks), ignored=ignored, revision=draft.revision)

        command = convert.update_prices(request, datetime.now(UTC))
        return await self._write(request, command, respond, svc.UpdatePricesResponse)

    async def GetPosition(self, request: svc.GetPositionRequest, context: Any) -> Any:
        """The response, or its bytes: what is polled is encoded once as long as it stays the same."""
        book = await self._reads.book(request)
        revision = book.revision  # before any SQL: the book moves on, and an answer must not claim what it lacks
        as_of = await self._reads.as_of(book, request)
        found = await self._reads.one(book, convert.ref(request), as_of)
        if as_of is not None:
            return svc.GetPositionResponse(position=convert.position(found), revision=as_of)
        return self._polled.encoded(convert.seen(found, book), revision)

    async def ListPositions(self, request: svc.ListPositionsRequest, context: Any) -> svc.ListPositionsResponse:
        book = await self._reads.book(request)
        revision = book.revision
        as_of = await self._reads.as_of(book, request)
        found, next_token = await self._reads.many(book, request, as_of)
        positions = [self._shown(book if as_of is None else None, p) for p in found]
        return svc.ListPositionsResponse(
            positions=positions, next_page_token=next_token, revision=revision if as_of is None else as_of
        )

    async def ListPositionsAtRisk(
        self, request: svc.ListPositionsAtRiskRequest, context: Any
    ) -> svc.ListPositionsAtRiskResponse:
        book = await self._ledger.book()
        found, next_token = self._reads.at_risk(book, request, self._contexts.rules)
        positions = [self._shown(book, p) for p in found]
        return svc.ListPositionsAtRiskResponse(positions=positions, next_page_token=next_token, revision=book.revision)

    async def GetPortfolioSummary(
        self, request: svc.GetPortfolioSummaryRequest, context: Any
    ) -> svc.GetPortfolioSummaryResponse:
        book = await self._ledger.book()
        return convert.summary(self._reads.summary(book, request, self._contexts.rules), book.revision)

    async def ListPositionHistory(
        self, request: svc.ListPositionHistoryRequest, context: Any
    ) -> svc.ListPositionHistoryResponse:
        revision = (await self._ledger.book()).revision
        found, next_token = await self._reads.history(request)
        events = [convert_events.position_event(event) for event in found]
        return svc.ListPositionHistoryResponse(events=events, next_page_token=next_token, revision=revision)

    async def VerifyHistory(self, request: svc.VerifyHistoryRequest, context: Any) -> svc.VerifyHistoryResponse:
        require_every_account()
        revision = (await self._ledger.book()).revision
        if (wanted := max(request.from_revision, request.to_revision)) > revision:
            raise revision_in_future(wanted, revision)
        verdict = await self._history.verify(request.from_revision, request.to_revision)
        return svc.VerifyHistoryResponse(
            intact=not verdict.broken,
            events_checked=verdict.checked,
            first_broken_revision=verdict.broken,
            problem=verdict.problem,
            revision=revision,
        )

    async def PurgeClosedPositions(
        self, request: svc.PurgeClosedPositionsRequest, context: Any
    ) -> svc.PurgeClosedPositionsResponse:
        require_every_account()
        age, now = timedelta(days=request.older_than_days) or self._retention, datetime.now(UTC)
        purged = await self._history.purge(now - age, now - KEPT_FOR, dry_run=request.dry_run)
        return svc.PurgeClosedPositionsResponse(purged=purged, revision=(await self._ledger.book()).revision)

    async def WatchPositions(self, request: svc.WatchPositionsRequest, context: Any) -> AsyncIterator[Any]:
        """Responses, or their bytes: events are encoded once for all watchers, and the guard sends either."""
        book = await self._ledger.book()
        after = beginning(request, with_state=request.include_current, head=book.revision)
        wanted = _wanted(request)
        if request.include_current:
            for message in self._snapshot(book, request):
                yield message
        stream = self._log.follow(
            after,
            lambda commit: encoded_events(commit, wanted, svc.WatchPositionsResponse, convert_events.position_event),
            lambda revision: svc.WatchPositionsResponse(phase=types_pb2.STREAM_PHASE_PROGRESS, revision=revision),
            announced=request.include_current,
        )
        async for answer in stream:
            yield answer

    def _snapshot(self, book: Book, request: svc.WatchPositionsRequest) -> Iterator[svc.WatchPositionsResponse]:
        """The live positions that match; only the last message carries the revision to resume after."""
        # What is live is taken at once, at one revision; the messages are made as they are read.
        statuses, matches = convert.statuses(request) or LIVE, reach.matching(request)
        found = [p for p in book.positions.values() if p.status in statuses and matches(p)]
        revision = book.revision
        phase = types_pb2.STREAM_PHASE_SNAPSHOT
        for positions, last in parts((self._shown(book, p) for p in found), pb.Position.ByteSize):
            yield svc.WatchPositionsResponse(
                phase=phase, positions=positions, snapshot_end=last, revision=revision if last else 0
            )
        if not found:
            yield svc.WatchPositionsResponse(phase=phase, snapshot_end=True, revision=revision)


def _wanted(request: svc.WatchPositionsRequest) -> Callable[[Event], bool]:
    """Whether an event passes a watch's filter. An event that leads a position out of the statuses passes as well: who
    keeps a row for each position would be left with a stale one.
    """
    types, statuses, matches = convert_events.event_types(request), convert.statuses(request), reach.matching(request)

    def wanted(event: Event) -> bool:
        after, before = event.after, event.before
        return (
            after is not None
            and (not types or event.type in types)
            and (not statuses or after.status in statuses or (before is not None and before.status in statuses))
            and matches(after)
        )

    return wanted
