"""ReconcilerService: parse, call, convert. What a method does is in the runner, the relay or the drift log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import grpc
import structlog
from trueup.position.v1 import reconciliation_log_service_pb2 as log_pb2
from trueup.reconciler.v1 import reconciler_service_pb2 as pb2
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.accounts import account_forbidden, own
from grpckit.caller import caller, on_behalf
from grpckit.errors import RpcError, from_rpc, invalid
from reconciler_service import convert, convert_allocation, convert_health
from reconciler_service.allocation import Targets, allocate, by_venue, exposures, restoring
from reconciler_service.book import PAGE, Book
from reconciler_service.convert_health import Overviewed
from reconciler_service.health import State
from reconciler_service.portfolio import seen_at_venues
from reconciler_service.relay import Relay
from reconciler_service.resolver import Resolver
from reconciler_service.runner import Order, Runner

_KEPT: list[Any] = drift_pb2.DriftStatus.values()[2:]  # a suspicion is nobody's case yet
_OURS = frozenset({"NO_CREDENTIALS", "SCOPE_MISSING"})  # said of us, not of who calls us
_log = structlog.get_logger("reconciler")
_PING_S = 2.0  # a status is wanted soon, and that nothing answers is a status


def translate(error: Exception) -> RpcError | None:
    """Pass the Position service's errors through with their reasons; what has none is that it cannot be reached."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return None
    known = from_rpc(error)
    if known.reason in _OURS:
        message = (
            "the Position service refuses the Reconciler's own key: set POSITION_KEY to one of every scope and account"
        )
        return RpcError(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", message, retry_after_s=10.0)
    if known.reason:
        return known
    if known.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
        message = "the Position service does not answer"
        return RpcError(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", message, retry_after_s=1.0)
    if known.code is grpc.StatusCode.UNIMPLEMENTED:  # while replicas of both are exchanged, another one may be newer
        message = "the Position service is older than this Reconciler: upgrade it first"
        return RpcError(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", message, retry_after_s=5.0)
    return None


def _newest() -> log_pb2.ListRunsRequest:
    """Asks for the last run. Of the last few, for who may see some accounts only: not every run is about them."""
    return log_pb2.ListRunsRequest(page_size=1 if caller().accounts is None else 20)


class ReconcilerServicer(reconciler_service_pb2_grpc.ReconcilerServiceServicer):
    """Runs are the runner's, cases and their stream the Position service's."""

    def __init__(
        self,
        runner: Runner,
        book: Book,
        relay: Relay,
        venues: Callable[[], list[drift_pb2.VenueHealth]],
        targets: Targets,
        resolver: Resolver,
        is_active: Callable[[], bool],
    ) -> None:
        self._is_active = is_active
        self._resolver = resolver
        self._runner = runner
        self._book = book
        self._log = book.log
        self._targets = targets
        self._relay = relay
        self._venues = venues

    async def Reconcile(self, request: pb2.ReconcileRequest, context: Any) -> pb2.ReconcileResponse:
        seen = caller().accounts
        accounts = frozenset(request.accounts) or seen or frozenset()
        if seen is not None and not accounts:
            raise account_forbidden("*")
        order = Order(frozenset(request.venues), accounts, request.dry_run)
        result = await self._runner.reconcile(order)
        results = (result, *result.others)
        for one in results:
            _log.info("reconciled", run_id=one.run.run_id)  # from the request's id to the run's, which calls of it bear
        answer = pb2.ReconcileResponse(
            run=result.run,
            other_runs=[one.run for one in result.others],
            drifts=own(drift for one in results for drift in one.drifts),
            revision=max(one.revision for one in results),
            timestamp=max((one.run.finished_at for one in results), key=lambda at: at.ToNanoseconds()),
        )
        return self._with_overview(answer)

    def _with_overview(self, answer: Overviewed) -> Overviewed:
        """What the venues hold is summed over all accounts: it is not for who may see some only."""
        return answer if caller().accounts is not None else convert_health.with_overview(answer, self._runner.overview)

    async def GetStatus(self, request: pb2.GetStatusRequest, context: Any) -> pb2.GetStatusResponse:
        runner, source, sees_all = self._runner, self._runner.source, caller().accounts is None
        status = pb2.GetStatusResponse(
            timestamp=convert.stamp(datetime.now(UTC)),
            active=self._is_active(),
            venues=own(self._venues()),
            suspected=runner.suspected if sees_all else 0,
            interval_ms=round(runner.interval_s * 1_000),
            source=convert.source(source) if source else types_pb2.SOURCE_UNSPECIFIED,
            last_run=runner.last.run if runner.last and sees_all else None,
        )
        self._with_overview(status)
        try:
            newest = await self._log.ListRuns(_newest(), timeout=_PING_S, metadata=on_behalf())
            status.open_drifts = await self._count_open()
        except grpc.aio.AioRpcError:
            return status
        status.position_service_ok = True
        if newest.runs:
            status.last_run.CopyFrom(newest.runs[0])
        return status

    async def _count_open(self) -> int:
        """The open cases now: people move them between runs."""
        count, request = 0, log_pb2.ListDriftsRequest(page_size=PAGE)
        while True:
            page = await self._log.ListDrifts(request, timeout=_PING_S, metadata=on_behalf())
            count += len(page.drifts)
            if not page.next_page_token:
                return count
            request.page_token = page.next_page_token

    async def GetLastRun(self, request: pb2.GetLastRunRequest, context: Any) -> pb2.GetLastRunResponse:
        newest = await self._log.ListRuns(_newest(), metadata=on_behalf())
        if not newest.runs:
            raise RpcError(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", "no run has finished yet")
        run = newest.runs[0]
        return self._with_overview(pb2.GetLastRunResponse(run=run, timestamp=run.finished_at))

    async def ListRuns(self, request: pb2.ListRunsRequest, context: Any) -> pb2.ListRunsResponse:
        listed = await self._log.ListRuns(convert.copied(log_pb2.ListRunsRequest(), request), metadata=on_behalf())
        return convert.copied(pb2.ListRunsResponse(), listed)

    async def ValidateAllocation(
        self, request: pb2.ValidateAllocationRequest, context: Any
    ) -> pb2.ValidateAllocationResponse:
        booked = own(exposures((await self._book.read()).positions, request.account))
        seen = seen_at_venues(own(self._runner.desks), request.account)
        held = [one for one in booked if one.venue not in seen]
        held += [one for venue in seen.values() for one in venue.held]
        total = Decimal(request.portfolio_value) if request.portfolio_value else None
        made = allocate(by_venue(held), self._targets, total)
        trades = () if made.is_within else restoring(made, held)
        configured = {one.venue for one in own(self._runner.venues) if one.state is not State.UNCONFIGURED}
        basis = convert_allocation.Basis({venue: one.at for venue, one in seen.items()}, by_venue(booked), configured)
        return convert_allocation.answer(made, self._targets, trades, basis)

    async def ListDrifts(self, request: pb2.ListDriftsRequest, context: Any) -> pb2.ListDriftsResponse:
        listed = await self._log.ListDrifts(convert.copied(log_pb2.ListDriftsRequest(), request), metadata=on_behalf())
        return convert.copied(pb2.ListDriftsResponse(), listed)

    async def ListDriftHistory(
        self, request: pb2.ListDriftHistoryRequest, context: Any
    ) -> pb2.ListDriftHistoryResponse:
        asked = convert.copied(log_pb2.ListDriftsRequest(), request)
        asked.statuses.extend(() if request.statuses else _KEPT)
        return convert.copied(pb2.ListDriftHistoryResponse(), await self._log.ListDrifts(asked, metadata=on_behalf()))

    async def GetDrift(self, request: pb2.GetDriftRequest, context: Any) -> pb2.GetDriftResponse:
        found = await self._log.GetDrift(convert.copied(log_pb2.GetDriftRequest(), request), metadata=on_behalf())
        return convert.copied(pb2.GetDriftResponse(), found)

    async def AcknowledgeDrift(
        self, request: pb2.AcknowledgeDriftRequest, context: Any
    ) -> pb2.AcknowledgeDriftResponse:
        move = convert.copied(log_pb2.TransitionDriftRequest(), request)
        move.status = drift_pb2.DRIFT_STATUS_ACKNOWLEDGED
        return convert.copied(pb2.AcknowledgeDriftResponse(), await self._book.move(move))

    async def SnoozeDrift(self, request: pb2.SnoozeDriftRequest, context: Any) -> pb2.SnoozeDriftResponse:
        move = convert.copied(log_pb2.TransitionDriftRequest(), request)
        move.status = drift_pb2.DRIFT_STATUS_SNOOZED
        move.snoozed_until.CopyFrom(request.until)
        try:
            answer = await self._book.move(move)
        except grpc.aio.AioRpcError as error:
            known = from_rpc(error)
            wrong = [one._replace(field="until") for one in known.violations if one.field == "snoozed_until"]
            if not wrong:
                raise
            raise invalid(
                known.message.replace("snoozed_until", "until"), *wrong
            ) from None  # under the name it has here
        return convert.copied(pb2.SnoozeDriftResponse(), answer)

    async def ResolveDrift(self, request: pb2.ResolveDriftRequest, context: Any) -> pb2.ResolveDriftResponse:
        return await self._resolver.resolve(request)

    async def StreamDriftEvents(
        self, request: pb2.StreamDriftEventsRequest, context: Any
    ) -> AsyncGenerator[pb2.StreamDriftEventsResponse, None]:
        async with aclosing(self._relay.subscribe(request)) as answers:
            async for answer in answers:
                yield answer

    async def ListVenues(self, request: pb2.ListVenuesRequest, context: Any) -> pb2.ListVenuesResponse:
        return pb2.ListVenuesResponse(venues=own(self._venues()))
