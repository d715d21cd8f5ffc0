"""ResolveDrift: ends a case, and with ADOPT_VENUE or APPLY_FILLS mends the book. The only way a position is changed here.

    the case -> has the position moved since? -> a fresh look at book and venue: is it still what the case shows?
    -> the missed fills -> plan (pure) -> commands, each with the revision it was decided on -> the case is RESOLVED

Every command has a request id made of the case, the revision of the position and what it says, so a repetition changes
nothing, and each is refused when the position has moved since: two Reconcilers that mend the same case at once do it
once. What an attempt that was cut off has done already, here or there, is recognised by those ids, and is no reason to
refuse the next attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import grpc
from trueup.position.v1 import position_pb2, position_service_pb2
from trueup.position.v1 import reconciliation_log_service_pb2 as log_pb2
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from grpckit.caller import on_behalf
from grpckit.errors import RpcError, from_rpc
from reconciler_service import convert, convert_correct
from reconciler_service.book import Book
from reconciler_service.compare import compare, scope_of
from reconciler_service.confirm import Suspicion
from reconciler_service.correct import SETTINGS, Action, NotCorrectable, Plan, plan
from reconciler_service.cycle import LOOKS, Rules
from reconciler_service.desk import Desk
from reconciler_service.evidence import missed_by
from reconciler_service.findings import Finding, Kind, OpenCase
from reconciler_service.model import BookPosition, Outcome, VenueFill
from reconciler_service.policies import excess
from reconciler_service.runner import Runner
from reconciler_service.trust import weigh
from reconciler_service.venues import VenueError

KEPT = "KEEP_LOCAL"
_OPEN = "CONFIRMED, ACKNOWLEDGED, SNOOZED"
_Event = position_pb2.PositionEventType
# Events that leave what is held as it is: size, side, settings, and the price but for what was guessed of it.
_HARMLESS = {
    _Event.POSITION_EVENT_TYPE_RISK_ENTERED,
    _Event.POSITION_EVENT_TYPE_RISK_LEFT,
    _Event.POSITION_EVENT_TYPE_REVERSED,
    _Event.POSITION_EVENT_TYPE_RESTATED,
    _Event.POSITION_EVENT_TYPE_FUNDING,
}

_TRIES = 4  # of a correction whose position others move
# What a command is refused with when the position was moved between the look at it and the command.
_FASTER = {"STALE_REVISION", "POSITION_NOT_FOUND", "POSITION_ALREADY_OPEN"}


@dataclass(frozen=True, slots=True)
class _Case:
    """A case as it stands, and what was asked for it."""

    sent: drift_pb2.Drift
    known: OpenCase
    asked: pb.ResolveDriftRequest
    action: Action
    actor: str  # "": who makes the current call
    max_usd: Decimal | None  # the most a correction may be about; None: whatever it is

    @property
    def prefix(self) -> str:
        """What the request ids of its corrections begin with."""
        return f"resolve:{self.sent.drift_id}:"

    @property
    def reason(self) -> str:
        return self.asked.reason or f"{self.action.value} of drift {self.sent.drift_id}"


class Resolver:
    """Resolves one case of a desk at a time, never while this process looks at it."""

    def __init__(
        self, book: Book, runner: Runner, rules: Rules, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._book = book
        self._runner = runner
        self._rules = rules
        self._clock = clock

    async def resolve(
        self, asked: pb.ResolveDriftRequest, *, actor: str = "", max_usd: Decimal | None = None
    ) -> pb.ResolveDriftResponse:
        """Resolve a case for ``actor``, by default who makes the current call.

        Raises RpcError as the contract says, also for a correction of more than ``max_usd``, and grpc.aio.AioRpcError
        of the Position service.
        """
        name = pb.ResolveAction.Name(asked.action).removeprefix("RESOLVE_ACTION_")
        if asked.action in {pb.RESOLVE_ACTION_KEEP_LOCAL, pb.RESOLVE_ACTION_DISMISS}:
            return await self._end(asked)
        found = await self._find(asked, name)
        known = convert.open_case(found.drift)
        if found.drift.status == drift_pb2.DRIFT_STATUS_RESOLVED:
            return pb.ResolveDriftResponse(drift=found.drift, revision=found.revision)
        if known is None:
            raise _not_correctable(asked, "no position is wrong in it: KEEP_LOCAL or DISMISS it")
        async with self._runner.desk(known.venue, known.account).turn:
            found = await self._find(asked, name)  # as it is now: a cycle may have moved or ended it
            if found.drift.status == drift_pb2.DRIFT_STATUS_RESOLVED:
                return pb.ResolveDriftResponse(drift=found.drift, revision=found.revision)
            case = _Case(found.drift, known, asked, Action[name], actor, max_usd)
            made = await self._plan_and_do(case)
            answer = pb.ResolveDriftResponse(
                drift=found.drift,
                revision=found.revision,
                correction=convert.changes(made.correction),
                estimated=made.estimated,
                assumed_price=convert_correct.assumed_price(made.commands),
            )
            if asked.dry_run:
                return answer
            ended = await self._move(asked, drift_pb2.DRIFT_STATUS_RESOLVED, name, asked.reason, actor)
            answer.drift.CopyFrom(ended.drift)
            answer.revision = ended.revision
            return answer

    async def _end(self, asked: pb.ResolveDriftRequest) -> pb.ResolveDriftResponse:
        """Without a correction. A case that is kept stays, acknowledged: so it is continued, not opened anew."""
        dismissed = asked.action == pb.RESOLVE_ACTION_DISMISS
        # With a request id it may be a repetition, and the case has moved on by the first: the ledger knows.
        is_first = asked.dry_run or not asked.request_id
        found = await self._find(asked, "DISMISSED" if dismissed else "", checks_revision=is_first)
        is_as_seen = asked.expected_revision in {0, found.drift.revision}
        unchanged = pb.ResolveDriftResponse(drift=found.drift, revision=found.revision)
        if asked.dry_run or found.drift.status == drift_pb2.DRIFT_STATUS_RESOLVED:
            return unchanged
        if dismissed:
            ended = await self._move(asked, drift_pb2.DRIFT_STATUS_RESOLVED, "DISMISSED", asked.reason, checked=True)
        elif found.drift.status == drift_pb2.DRIFT_STATUS_ACKNOWLEDGED and is_as_seen:
            return unchanged
        else:
            reason = f"{KEPT}: {asked.reason or 'the book is right, the venue is to be mended'}"[:512]
            ended = await self._move(asked, drift_pb2.DRIFT_STATUS_ACKNOWLEDGED, "", reason, checked=True)
        return pb.ResolveDriftResponse(drift=ended.drift, revision=ended.revision)

    async def _find(
        self, asked: pb.ResolveDriftRequest, resolution: str, *, checks_revision: bool = True
    ) -> log_pb2.GetDriftResponse:
        """Read the case. Raises RpcError unless it is open and as expected, or was resolved by this very action."""
        found = await self._book.log.GetDrift(log_pb2.GetDriftRequest(drift_id=asked.drift_id), metadata=on_behalf())
        drift = found.drift
        if drift.status == drift_pb2.DRIFT_STATUS_RESOLVED:
            if resolution and drift.resolution == resolution and not asked.dry_run:
                return found
            message = f"the drift is RESOLVED ({drift.resolution}) already"
            metadata = {"state": "RESOLVED", "allowedStates": _OPEN}
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION", message, metadata)
        if checks_revision and asked.expected_revision and asked.expected_revision != drift.revision:
            raise _stale("the case has changed", asked.expected_revision, drift.revision)
        return found

    async def _plan_and_do(self, case: _Case) -> Plan:
        """What to do, done unless it is a dry run. Looks again when somebody was faster: what is left of it?"""
        with_fills, revision = True, 0
        for left in reversed(range(_TRIES)):
            finding, made = await self._plan(case, with_fills=with_fills)
            if finding is None or case.asked.dry_run:
                return made
            revision = finding.book_revision
            try:
                if await self._carry_out(case, finding, made):
                    return made
                with_fills = False
            except grpc.aio.AioRpcError as error:
                if not left or from_rpc(error).reason not in _FASTER:
                    raise
        raise _stale("the position moves all the time", case.sent.local.revision, revision)

    async def _plan(self, case: _Case, *, with_fills: bool) -> tuple[Finding | None, Plan]:
        """What to do; no finding when an earlier attempt has done it all. ``with_fills``: the venue's may be booked."""
        known, asked = case.known, case.asked
        desk = self._runner.desk(known.venue, known.account)
        local = await self._book.held(known.account, known.venue, known.symbol)
        was_begun = await self._was_begun(case, local)
        finding = await self._look(desk, known, local)
        if finding is None and was_begun:
            return None, Plan()
        if finding is None or not convert.is_same(case.sent, finding):
            revision = local.revision if local else 0
            raise _stale("book and venue no longer differ as the case says", case.sent.local.revision, revision)
        try:
            missed = await self._missed(desk, case.action, finding) if with_fills else ()
            made = plan(case.action, finding, missed, self._rules.search.quote)
        except NotCorrectable as error:
            raise _not_correctable(asked, str(error)) from None
        if case.max_usd is not None and (why := excess(case.max_usd, finding, made.commands)):
            raise _not_correctable(asked, why)
        return finding, made

    async def _was_begun(self, case: _Case, local: BookPosition | None) -> bool:
        """Whether an earlier attempt has corrected something. Raises RpcError when anybody else moved the position.

        What leaves the holding as it is is no move: crossing the risk threshold, a restated estimate, funding, and of
        wrong exposure a setting.
        """
        seen, known = case.sent.local.revision, case.known
        if local is None and not seen:
            return False
        request = position_service_pb2.ListPositionHistoryRequest(
            position_id="" if seen or local is None else local.position_id,
            account=known.account,
            venue=known.venue,
            symbol=known.symbol,
            after_revision=seen,
        )
        harmless = _HARMLESS if known.kind in SETTINGS else _HARMLESS | {_Event.POSITION_EVENT_TYPE_UPDATED}
        events = await self._book.history(request)
        ours = [event for event in events if event.request_id.startswith(case.prefix)]
        others = [event for event in events if event not in ours and event.type not in harmless]
        if others:
            raise _stale("the position has moved since the case was seen", seen, others[-1].revision)
        return bool(ours)

    async def _look(self, desk: Desk, known: OpenCase, local: BookPosition | None) -> Finding | None:
        """Look at the venue now. Raises RpcError(VENUE_UNREACHABLE) when it gives no answer to build on."""
        book, error = {} if local is None else {known.symbol: local}, ""
        for attempt in range(LOOKS):
            if attempt:
                await asyncio.sleep(self._rules.confirm_after_s)
            snapshot = await desk.snapshot(self._rules.venue_timeout_s, self._clock)
            snapshot, desk.answers = weigh(snapshot, desk.answers, book, self._rules.oldest_state, self._clock())
            desk.saw(snapshot)
            scope = scope_of(snapshot, local.product if local else known.product, known.symbol)
            if scope is not None and scope.outcome is Outcome.OK:
                only = tuple(one for one in scope.positions if one.symbol == known.symbol)
                snapshot = replace(snapshot, scopes=(replace(scope, positions=only),))
                found = compare(tuple(book.values()), snapshot, self._rules.tolerances)
                return next((finding for finding in found if finding.kind is known.kind), None)
            error = scope.error if scope else "it did not say anything of this kind of instrument"
        raise _unreachable(known.venue, error)

    async def _missed(self, desk: Desk, action: Action, finding: Finding) -> tuple[VenueFill, ...]:
        """The fills that account for the finding. To adopt the venue they only help, so it goes on without them."""
        if finding.kind in SETTINGS or finding.kind is Kind.UNMAPPED:
            return ()
        before = desk.memory.suspicions.get(finding.key)
        one = Suspicion(finding, finding.requested_at, 2, before.agreed_at if before else None)
        try:
            return tuple(await missed_by(desk, one, self._rules.search))
        except VenueError as error:
            if action is Action.APPLY_FILLS:
                raise _unreachable(finding.venue, str(error)) from None
            return ()

    async def _carry_out(self, case: _Case, finding: Finding, made: Plan) -> bool:
        """False when some of the fills are in the book already: they do not account for it then."""
        revision = finding.book_revision
        evidence = "; ".join([case.sent.explanation.text, *(fact.text for fact in case.sent.explanation.evidence)])
        for command in made.commands:
            request = convert_correct.request(
                command,
                finding,
                prefix=case.prefix,
                revision=revision,
                reason=case.reason,
                evidence=evidence[:4_096],
            )
            revision, known = await self._book.correct(request, case.actor)
            if known:
                return False
        return True

    async def _move(
        self,
        asked: pb.ResolveDriftRequest,
        status: drift_pb2.DriftStatus,
        resolution: str,
        reason: str,
        actor: str = "",
        *,
        checked: bool = False,
    ) -> log_pb2.TransitionDriftResponse | log_pb2.GetDriftResponse:
        request = log_pb2.TransitionDriftRequest(
            drift_id=asked.drift_id,
            status=status,
            resolution=resolution,
            reason=reason,
            request_id=asked.request_id,
            # After a correction the case ends, whatever happened to it meanwhile.
            expected_revision=asked.expected_revision if checked else 0,
        )
        try:
            return await self._book.move(request, actor)
        except grpc.aio.AioRpcError as error:
            # Another Reconciler's cycle may have seen that both agree again, and ended it.
            if not resolution or from_rpc(error).reason != "ILLEGAL_TRANSITION":
                raise
            return await self._book.log.GetDrift(log_pb2.GetDriftRequest(drift_id=asked.drift_id), metadata=on_behalf())


def _stale(what: str, expected: int, actual: int) -> RpcError:
    metadata = {"expectedRevision": str(expected), "actualRevision": str(actual)}
    message = f"{what}: reconcile, look at it again and decide again"
    return RpcError(grpc.StatusCode.ABORTED, "STALE_REVISION", message, metadata)


def _not_correctable(asked: pb.ResolveDriftRequest, why: str) -> RpcError:
    action = pb.ResolveAction.Name(asked.action).removeprefix("RESOLVE_ACTION_")
    metadata = {"driftId": asked.drift_id, "action": action}
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, "NOT_CORRECTABLE", f"{action}: {why}", metadata)


def _unreachable(venue: str, why: str) -> RpcError:
    message = f"{venue} gives no answer to build on: {why}"
    return RpcError(grpc.StatusCode.UNAVAILABLE, "VENUE_UNREACHABLE", message, {"venue": venue}, retry_after_s=1.0)
