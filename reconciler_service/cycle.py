"""One reconciliation cycle: read, fetch, compare, look again, explain, record.

book at R -> snapshot of every desk, all at once -> findings
  something is new, gone or doubted?  wait, then book and snapshot of those desks again, at most LOOKS times
confirmed -> explained -> one RecordRun
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import grpc
import structlog
from trueup.types.v1 import drift_pb2

from reconciler_service import convert, equity_watch
from reconciler_service.allocation_watch import Watch
from reconciler_service.book import Book, Reading
from reconciler_service.compare import compare, scope_of
from reconciler_service.confirm import NOTHING, Look, Suspicion, Verdict, doubt_again, observe
from reconciler_service.desk import Desk
from reconciler_service.equity_watch import EquityFindings, EquityWatch
from reconciler_service.evidence import Search, explain_all
from reconciler_service.findings import Explanation, Key, Kind, OpenCase
from reconciler_service.model import Outcome, ScopeReading, Snapshot
from reconciler_service.policies import Policies, Policy, objection, unmet
from reconciler_service.portfolio import Findings, Portfolio
from reconciler_service.tolerances import Tolerances
from reconciler_service.trust import Answer, weigh

LOOKS = 3  # an empty answer is doubted, suspected, confirmed; more would only wait for what keeps moving
MOST_BYTES = 3 * 1024 * 1024  # of findings in one run: a message is at most 4 MiB; the rest comes with the next run
MOST_RESOLVED = 10_000  # the most the contract allows, half a megabyte
MOST_FINDINGS = 10_000  # the same
_ENVELOPE = 8  # bytes: the tag and the length of one finding

_log = structlog.get_logger("reconciler")


@dataclass(frozen=True, slots=True)
class Rules:
    """How to reconcile. Times in seconds unless they say otherwise."""

    tolerances: Tolerances = field(default_factory=Tolerances)
    confirm_after_s: float = 0.4
    oldest_state: timedelta = timedelta(seconds=10)
    venue_timeout_s: float = 30.0
    search: Search = field(default_factory=Search)
    policies: Policies = field(default_factory=Policies)


@dataclass(frozen=True, slots=True)
class Result:
    """What a cycle found, as the ledger keeps it."""

    run: drift_pb2.Run
    drifts: tuple[drift_pb2.Drift, ...]
    revision: int
    due: Mapping[Key, Policy] = field(default_factory=dict)  # what policies are to be tried on


@dataclass(frozen=True, slots=True)
class _Check:
    """One scope as one look of the cycle read it, and the book that it was compared with."""

    scope: ScopeReading
    snapshot: Snapshot
    reading: Reading

    @property
    def compared(self) -> int:
        """How many positions of the book: none where the scope was not read completely."""
        if self.scope.outcome is not Outcome.OK:
            return 0
        held = self.reading.of(self.snapshot.account, self.snapshot.venue).values()
        return sum(scope_of(self.snapshot, one.product, one.symbol) is self.scope for one in held)


@dataclass(frozen=True, slots=True)
class _Sight:
    """One desk as the cycle has seen it so far. The desk itself changes only when the cycle is not a dry run.

    ``checks`` are what the run says of each scope: its last look, or the last one before it that read all of the scope.
    What was confirmed rests on that look, and a later one that fails takes nothing back: recording the failure instead
    would say of positions compared a second ago that nobody looked. The failure shows in the venue's health, and in
    the next run if it lasts.
    """

    desk: Desk
    reading: Reading
    snapshot: Snapshot
    answers: dict[str, Answer]
    verdict: Verdict
    checks: Mapping[str, _Check]  # by scope name


class Cycle:
    """Runs cycles, one at a time."""

    def __init__(
        self,
        book: Book,
        rules: Rules,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        portfolio: Portfolio | None = None,
        equity: EquityWatch | None = None,
    ) -> None:
        """``portfolio`` and ``equity`` None: the allocation, or what accounts are worth, is not watched."""
        self._portfolio = portfolio
        self._equity = equity
        self._book = book
        self._rules = rules
        self._clock = clock

    @property
    def suspected_shares(self) -> int:
        """Venues whose share of the portfolio waits for a second look."""
        return self._portfolio.watch.suspected if self._portfolio else 0

    async def run(self, desks: Sequence[Desk], trigger: str, *, dry_run: bool = False) -> Result:
        """Reconcile the desks. ``trigger`` is "start", "interval", "request" or "push".

        A dry run finds and returns, and neither records nor remembers. Raises grpc.aio.AioRpcError when the Position
        service cannot be read; a venue that fails is no error.
        """
        run = drift_pb2.Run(run_id=str(uuid.uuid4()), trigger=trigger)
        run.started_at.FromDatetime(self._clock())
        sights, cases = await self._look_until_settled(desks)
        search = self._rules.search
        explanations = await asyncio.gather(*(explain_all(one.desk, one.verdict.confirmed, search) for one in sights))
        due, notes = _orders(sights, explanations, self._rules.policies)
        drifts = _describe(sights, explanations, {case.key for case in cases}, notes, run.run_id)
        shares = await self._allocation(sights, run.run_id)
        worth = await self._worth(sights, run.run_id)
        drifts = [*shares.drifts, *worth.drifts, *drifts]  # few, so first: what does not fit waits for the next run
        self._summarise(run, sights, shares, worth)
        if dry_run:
            shown = [*drifts, *_suspects(sights, run.run_id)]
            return Result(run, tuple(shown), run.local_revision)
        resolved = [drift_id for sight in sights for drift_id in sight.verdict.resolved]
        resolved = [*shares.resolved, *worth.resolved, *resolved][:MOST_RESOLVED]
        sent = _fitting(drifts)
        answer = await self._book.record(run, sent, resolved)
        # Afterwards: a mark may move a position into what counts as at risk, and of a position that has moved since it
        # was compared the ledger opens no case.
        await self._push_marks(sights)
        # The ledger opens no case of a position that has moved since it was compared: that is no drift, not yet.
        taken = {convert.key(drift) for drift in answer.drifts}
        refused = {key for drift in sent if (key := convert.key(drift)) is not None and key not in taken}
        for sight in sights:
            desk = sight.desk
            desk.memory = doubt_again(sight.verdict.memory, refused)
            desk.answers, desk.book_revision = sight.answers, sight.reading.revision
            desk.notes = {key: note for key, note in desk.notes.items() if key in due}
        if self._portfolio is not None:
            self._portfolio.watch = shares.watch
        if self._equity is not None:
            self._equity.accounts = worth.accounts
        return Result(answer.run, tuple(answer.drifts), answer.revision, due)

    async def _look_until_settled(self, desks: Sequence[Desk]) -> tuple[list[_Sight], list[OpenCase]]:
        reading, cases = await asyncio.gather(self._book.read(), self._book.open_cases())
        sights = list(await asyncio.gather(*(self._look(desk, None, reading, cases) for desk in desks)))
        for _ in range(LOOKS - 1):
            pending = [index for index, sight in enumerate(sights) if sight.verdict.pending]
            if not pending:
                break
            await asyncio.sleep(self._rules.confirm_after_s)
            reading = await self._book.read()
            again = await asyncio.gather(
                *(self._look(sights[index].desk, sights[index], reading, cases) for index in pending)
            )
            for index, sight in zip(pending, again, strict=True):
                sights[index] = sight
        return sights, cases

    async def _look(self, desk: Desk, before: _Sight | None, reading: Reading, cases: Sequence[OpenCase]) -> _Sight:
        """Snapshot one desk and compare it. What it saw before is the last look of this cycle, or of the last one."""
        memory = before.verdict.memory if before else desk.memory
        answers = before.answers if before else desk.answers
        revision = before.reading.revision if before else desk.book_revision
        snapshot = await desk.snapshot(self._rules.venue_timeout_s, self._clock)
        venue, account = snapshot.venue, snapshot.account
        book = reading.of(account, venue)
        ours = [case for case in cases if (case.venue, case.account) == (venue, account)]
        snapshot = desk.narrowed(snapshot, [held.product for held in book.values()] + [case.product for case in ours])
        snapshot, answers = weigh(snapshot, answers, book, self._rules.oldest_state, self._clock())
        desk.saw(snapshot)
        findings = compare(tuple(book.values()), snapshot, self._rules.tolerances)
        unbooked = [
            finding.symbol
            for finding in findings
            if finding.kind is Kind.MISSING_LOCALLY and (old := memory.suspicions.get(finding.key)) and old.looks == 1
        ]
        moved = set[str]()
        if unbooked and revision != reading.revision:
            # A position may have been opened and closed between the two readings, and neither shows it.
            moved = await self._book.touched(account, venue, revision)
        verdict = observe(memory, Look(snapshot, findings, book), ours, moved, before.verdict if before else NOTHING)
        checks = {scope.scope: _Check(scope, snapshot, reading) for scope in snapshot.scopes}
        for name, check in before.checks.items() if before else ():
            if check.scope.outcome is Outcome.OK and name in checks and checks[name].scope.outcome is not Outcome.OK:
                checks[name] = check
        return _Sight(desk, reading, snapshot, answers, verdict, checks)

    async def _allocation(self, sights: Sequence[_Sight], run_id: str) -> Findings:
        if self._portfolio is None:
            return Findings(Watch())
        reads = [(check.scope, check.snapshot) for sight in sights for check in sight.checks.values()]
        return await self._portfolio.look(reads, self._book, run_id)

    async def _worth(self, sights: Sequence[_Sight], run_id: str) -> EquityFindings:
        if self._equity is None:
            return EquityFindings()
        looks = [equity_watch.Look(one.desk, one.snapshot, one.verdict, one.reading.revision) for one in sights]
        return await self._equity.look(looks, run_id)

    async def _push_marks(self, sights: Sequence[_Sight]) -> None:
        """Marks and liquidation prices are by-products: the next cycle brings newer ones, so their failure is only worth a
        line."""
        checks = [check for sight in sights for check in sight.checks.values()]
        # Desks hold the same instruments: of each, the newest mark is pushed.
        checks.sort(key=lambda check: check.scope.observed_at or check.snapshot.requested_at)
        prices = {(p.venue, p.symbol): p for check in checks for p in convert.prices(check.snapshot, check.scope)}
        try:
            await self._book.push_marks(list(prices.values()))
            for check in checks:
                await self._book.push_liquidation_prices(convert.liquidation_prices(check.snapshot, check.scope))
        except grpc.aio.AioRpcError as error:
            _log.warning("marks or liquidation prices not stored", code=error.code().name, detail=error.details())

    def _summarise(self, run: drift_pb2.Run, sights: Sequence[_Sight], shares: Findings, worth: EquityFindings) -> None:
        run.finished_at.FromDatetime(self._clock())
        readings = [sight.reading for sight in sights]
        readings += [check.reading for sight in sights for check in sight.checks.values()]
        run.local_revision = min((reading.revision for reading in readings), default=0)
        run.equity.extend(worth.checks)
        run.confirmed += len(shares.drifts) + len(worth.drifts)
        run.suspected += shares.watch.suspected
        run.resolved += len(shares.resolved) + len(worth.resolved)
        for sight in sights:
            run.source = convert.source(sight.snapshot.source)
            run.checks.extend(
                convert.check(check.snapshot, check.scope, _differing(check.scope, sight.verdict))
                for check in sight.checks.values()
            )
            run.positions_compared += sum(check.compared for check in sight.checks.values())
            run.confirmed += len(sight.verdict.confirmed)
            run.suspected += len(sight.verdict.suspected)
            run.resolved += len(sight.verdict.resolved)


def _orders(
    sights: Sequence[_Sight], explanations: Sequence[dict[Key, Explanation]], policies: Policies
) -> tuple[dict[Key, Policy], dict[Key, str]]:
    """What policies are to be tried on, and why one is not, or failed after the cycle before."""
    due: dict[Key, Policy] = {}
    notes: dict[Key, str] = {}
    for sight, explained in zip(sights, explanations, strict=True):
        for one in sight.verdict.confirmed:
            key, policy = one.finding.key, policies.of(one.finding)
            if policy is None:
                continue
            if why := objection(policy, one.finding, explained[key]):
                notes[key] = unmet(policy, why)
                continue
            due[key] = policy
            if note := sight.desk.notes.get(key):
                notes[key] = note
    return due, notes


def _describe(
    sights: Sequence[_Sight],
    explanations: Sequence[dict[Key, Explanation]],
    known: Collection[Key],
    notes: Mapping[Key, str],
    run_id: str,
) -> list[drift_pb2.Drift]:
    """The confirmed findings as the ledger takes them: new cases before known ones, the worst first."""
    drifts = [
        (key in known, convert.drift(one, explained[key], sight.reading.read_at, run_id, notes.get(key, "")))
        for sight, explained in zip(sights, explanations, strict=True)
        for one in sight.verdict.confirmed
        for key in (one.finding.key,)
    ]
    return [drift for _, drift in sorted(drifts, key=lambda pair: (pair[0], -pair[1].severity))]


def _fitting(drifts: Sequence[drift_pb2.Drift]) -> list[drift_pb2.Drift]:
    """As many as fit into one message."""
    fitting, room = [], MOST_BYTES
    for drift in drifts[:MOST_FINDINGS]:
        room -= drift.ByteSize() + _ENVELOPE
        if room < 0:
            break
        fitting.append(drift)
    return fitting


def _suspects(sights: Sequence[_Sight], run_id: str) -> list[drift_pb2.Drift]:
    return [
        convert.drift(one, None, sight.reading.read_at, run_id) for sight in sights for one in sight.verdict.suspected
    ]


def _differing(scope: ScopeReading, verdict: Verdict) -> list[str]:
    """The instruments of a scope that were seen to differ, confirmed or not: without a case they are not synced either.

    The ledger opens no case for a position that has moved since.
    """
    seen: tuple[Suspicion, ...] = (*verdict.suspected, *verdict.confirmed)
    found = {one.finding.symbol for one in seen if one.finding.product is scope.product}
    return sorted(symbol for symbol in found if symbol.startswith(scope.symbol_prefix))
