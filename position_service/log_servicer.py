"""ReconciliationLogService: parse, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from trueup.position.v1 import reconciliation_log_service_pb2 as svc
from trueup.position.v1 import reconciliation_log_service_pb2_grpc as rpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.accounts import require_every_account
from position_service import convert_log as convert
from position_service import page, reach
from position_service.convert import stamp
from position_service.domain.book import Book, Draft
from position_service.domain.decide import decide
from position_service.domain.drift import Drift, DriftStatus, require
from position_service.domain.errors import DriftNotFound
from position_service.errors import run_not_found
from position_service.ledger.history import History
from position_service.ledger.leases import Leases
from position_service.ledger.ledger import Ledger
from position_service.servicer import Contexts
from position_service.watch import Log, beginning, encoded_events, parts

_OPEN = [s.value for s in DriftStatus if s is not DriftStatus.RESOLVED]


class ReconciliationLogServicer(rpc.ReconciliationLogServiceServicer):
    """Runs and drift cases, in the same ledger as the positions."""

    def __init__(self, ledger: Ledger, history: History, log: Log, contexts: Contexts, leases: Leases) -> None:
        self._ledger = ledger
        self._history = history
        self._log = log
        self._contexts = contexts
        self._leases = leases

    async def RecordRun(self, request: svc.RecordRunRequest, _: Any) -> svc.RecordRunResponse:
        def respond(draft: Draft) -> svc.RecordRunResponse:
            drifts = [convert.drift(d) for d in draft.drifts.values()]
            return svc.RecordRunResponse(run=request.run, drifts=drifts, revision=draft.revision)

        require_every_account()
        command = convert.record_run(request)
        context = replace(self._contexts.of(request), request_id=command.repeats_as)
        answer = await self._ledger.write(command, request, context, respond, svc.RecordRunResponse, _keep_ids)
        assert isinstance(answer, svc.RecordRunResponse)
        for drift in answer.drifts:
            if not drift.account:  # a repetition: the cases as they are now
                drift.CopyFrom(convert.drift(await self._drift(UUID(drift.drift_id))))
        return answer

    async def RecordLiquidationPrices(
        self, request: svc.RecordLiquidationPricesRequest, context: Any
    ) -> svc.RecordLiquidationPricesResponse:
        def respond(draft: Draft) -> svc.RecordLiquidationPricesResponse:
            applied = len(draft.liquidation_prices)
            ignored = len(request.holdings) - applied
            return svc.RecordLiquidationPricesResponse(applied=applied, ignored=ignored, revision=draft.revision)

        command, about = convert.liquidation_prices(request), self._contexts.of(request)
        answer = await self._ledger.write(command, request, about, respond, svc.RecordLiquidationPricesResponse)
        assert isinstance(answer, svc.RecordLiquidationPricesResponse)
        return answer

    async def TransitionDrift(self, request: svc.TransitionDriftRequest, context: Any) -> svc.TransitionDriftResponse:
        command = convert.transition(request)

        def respond(draft: Draft) -> svc.TransitionDriftResponse:
            moved = draft.drifts[command.drift_id]
            return svc.TransitionDriftResponse(drift=convert.drift(moved), revision=draft.revision)

        about = self._contexts.of(request)
        if reach.accounts() is not None:
            await self._drift(command.drift_id)
        try:
            if request.dry_run:
                book = await self._ledger.book()
                tried = respond(decide(book, command, about))
                tried.revision, tried.drift.revision = book.revision, book.drifts[command.drift_id].revision
                return tried
            answer = await self._ledger.write(command, request, about, respond, svc.TransitionDriftResponse)
        except DriftNotFound:
            # The book holds open cases only: say so when the case was there and is resolved.
            ended = await self._history.drift(command.drift_id)
            if ended is not None and not ended.is_open:
                require(ended, command.to)
            raise
        assert isinstance(answer, svc.TransitionDriftResponse)
        return answer

    async def ListRuns(self, request: svc.ListRunsRequest, context: Any) -> svc.ListRunsResponse:
        size, start = page.size(request), page.start(request)
        rows = await self._history.runs(page.uuid(start) if start else None, size + 1)
        more = page.token(str(rows[size - 1].run_id)) if len(rows) > size else ""
        runs = filter(None, (reach.narrowed(convert.run(row.body)) for row in rows[:size]))
        return svc.ListRunsResponse(runs=runs, next_page_token=more)

    async def GetRun(self, request: svc.GetRunRequest, context: Any) -> svc.GetRunResponse:
        body = await self._history.run(UUID(request.run_id))
        run = None if body is None else reach.narrowed(convert.run(body))
        if run is None:
            raise run_not_found(request.run_id)
        return svc.GetRunResponse(run=run)

    async def ListDrifts(self, request: svc.ListDriftsRequest, context: Any) -> svc.ListDriftsResponse:
        size, start = page.size(request), page.start(request)
        before = page.revision(start) if start else 0
        revision = (await self._ledger.book()).revision  # before the SQL: an answer must not claim what it lacks
        filters = {"account": request.account, "venue": request.venue, "symbol": request.symbol}
        statuses = [drift_pb2.DriftStatus.Name(s).removeprefix("DRIFT_STATUS_") for s in request.statuses] or _OPEN
        found = await self._history.drifts(filters, _kinds(request.kinds), statuses, before, size + 1, reach.accounts())
        more = page.token(str(found[size - 1].revision)) if len(found) > size else ""
        drifts = [convert.drift(d) for d in found[:size]]
        return svc.ListDriftsResponse(drifts=drifts, next_page_token=more, revision=revision)

    async def GetDrift(self, request: svc.GetDriftRequest, context: Any) -> svc.GetDriftResponse:
        drift_id = UUID(request.drift_id)
        book = await self._ledger.book()
        revision = book.revision
        found = book.drift(drift_id)
        found = await self._drift(drift_id) if found is None else reach.require_drift(drift_id, found)
        return svc.GetDriftResponse(drift=convert.drift(found), revision=revision)

    async def _drift(self, drift_id: UUID) -> Drift:
        """A case of the tables, open or not. Raises DriftNotFound."""
        return reach.require_drift(drift_id, await self._history.drift(drift_id))

    async def AcquireLease(self, request: svc.AcquireLeaseRequest, context: Any) -> svc.AcquireLeaseResponse:
        require_every_account()
        lease = await self._leases.acquire(request.name, request.holder, request.ttl_ms / 1000)
        return svc.AcquireLeaseResponse(
            acquired=lease.mine, holder=lease.holder, expires_at=stamp(lease.expires_at), fence=lease.fence
        )

    async def WatchDrifts(self, request: svc.WatchDriftsRequest, context: Any) -> AsyncIterator[Any]:
        """As WatchPositions."""
        book = await self._ledger.book()
        matches = _matching(request)
        after = beginning(request, with_state=request.include_open, head=book.revision)
        if request.include_open:
            for message in _snapshot(book, matches):
                yield message
        stream = self._log.follow(
            after,
            lambda commit: encoded_events(
                commit,
                lambda event: event.drift is not None and matches(event.drift),
                svc.WatchDriftsResponse,
                convert.drift_event,
            ),
            lambda revision: svc.WatchDriftsResponse(phase=types_pb2.STREAM_PHASE_PROGRESS, revision=revision),
            announced=request.include_open,
        )
        async for answer in stream:
            yield answer


def _keep_ids(answer: Any) -> bytes:
    """Runs come every minute, for ever: of the cases in their answers only the ids are kept."""
    kept = svc.RecordRunResponse(run=answer.run, revision=answer.revision)
    kept.drifts.extend(drift_pb2.Drift(drift_id=drift.drift_id) for drift in answer.drifts)
    return kept.SerializeToString()


def _snapshot(book: Book, matches: Callable[[Drift], bool]) -> Iterator[svc.WatchDriftsResponse]:
    """The open cases that match, in the order of their last events; the last message carries the revision."""
    revision = book.revision
    found = sorted(filter(matches, book.drifts.values()), key=lambda d: d.revision)
    phase = types_pb2.STREAM_PHASE_SNAPSHOT
    for events, last in parts((convert.as_event(drift) for drift in found), drift_pb2.DriftEvent.ByteSize):
        yield svc.WatchDriftsResponse(phase=phase, events=events, snapshot_end=last, revision=revision if last else 0)
    if not found:
        yield svc.WatchDriftsResponse(phase=phase, snapshot_end=True, revision=revision)


def _kinds(kinds: Sequence[int]) -> list[str]:
    return [drift_pb2.DriftKind.Name(kind).removeprefix("DRIFT_KIND_") for kind in kinds]


def _matching(request: Any) -> Callable[[Drift], bool]:
    """Whether a case passes a request's filter and is the caller's to see."""
    kinds, seen = frozenset(_kinds(request.kinds)), reach.accounts()

    def matches(drift: Drift) -> bool:
        return (
            request.account in ("", drift.key.account)
            and request.venue in ("", drift.key.venue)
            and request.symbol in ("", drift.key.symbol)
            and (not kinds or drift.key.kind in kinds)
            and (seen is None or drift.key.account in seen)
        )

    return matches
