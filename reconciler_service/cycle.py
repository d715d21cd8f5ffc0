"""One reconciliation cycle: read, fetch, compare, look again, explain, record.

book at R -> snapshot of every desk, all at once -> findings
  something is new, gone or doubted?  wait, then book and snapshot of those desks again, at most LOOKS times
confirmed -> explained -> checked against what was booked meanwhile -> one RecordRun
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import grpc
import structlog
from trueup.types.v1 import drift_pb2

from grpckit import tracing
from grpckit.caller import tag
from reconciler_service import convert, convert_marks, equity_watch
from reconciler_service.allocation_watch import Watch
from reconciler_service.book import Book, Reading
from reconciler_service.compare import compare
from reconciler_service.confirm import NOTHING, Look, doubt_again, observe
from reconciler_service.desk import Desk, prompt_s
from reconciler_service.equity_watch import EquityFindings, EquityWatch
from reconciler_service.evidence import Search, explain_all
from reconciler_service.findings import Explanation, Key, Kind, OpenCase
from reconciler_service.health import unanswered
from reconciler_service.model import Outcome, Product, Snapshot
from reconciler_service.policies import Policies, Policy
from reconciler_service.portfolio import Findings, Portfolio
from reconciler_service.sight import (
    Check,
    Sight,
    describe,
    differing,
    fitting,
    orders,
    still_standing,
    suspects,
    without_flight,
)
from reconciler_service.tolerances import Tolerances
from reconciler_service.trust import weigh

LOOKS = 3  # an empty answer is doubted, suspected, confirmed; more would only wait for what keeps moving
MOST_BYTES = 3 * 1024 * 1024  # of findings in one run: a message is at most 4 MiB; the rest comes with the next run
MOST_RESOLVED = 10_000  # the most the contract allows, half a megabyte

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
    left: tuple[Desk, ...] = ()  # did not answer in time, and are to be looked at by themselves
    others: tuple[Result, ...] = ()  # of desks that were looked at by themselves


class Cycle:
    """Runs cycles, of a desk one at a time."""

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

    async def run(
        self, desks: Sequence[Desk], trigger: str, *, dry_run: bool = False, patience_s: float | None = None
    ) -> Result:
        """Reconcile the desks. ``trigger`` is "start", "interval", "request" or "push".

        Desks that do not answer within ``patience_s`` are left out; when all are, nothing is recorded. A dry run finds
        and returns, and neither records nor remembers. Raises grpc.aio.AioRpcError when the Position service cannot be
        read; a venue that fails is no error.
        """
        run = drift_pb2.Run(run_id=str(uuid.uuid4()), trigger=trigger)
        run.started_at.FromDatetime(self._clock())
        with tracing.of_run(run.run_id, trigger):
            return await self._run(run, desks, dry_run, patience_s)

    async def _run(self, run: drift_pb2.Run, desks: Sequence[Desk], dry_run: bool, patience_s: float | None) -> Result:
        tag(run.run_id)  # the Position service's log names the run that a call belongs to
        sights, left, cases, read_at = await self._look_until_settled(desks, patience_s)
        if not sights:
            return Result(run, (), 0, left=left)
        sights = await without_flight(sights, self._book)
        explanations = await asyncio.gather(*(self._explained(one, len(sights), patience_s) for one in sights))
        due, notes = orders(sights, explanations, self._rules.policies)
        drifts = describe(sights, explanations, {case.key for case in cases}, notes, run.run_id)
        shares = await self._allocation(run.run_id)
        worth = await self._worth(sights, run.run_id, patience_s)
        drifts = [*shares.drifts, *worth.drifts, *drifts]  # few, so first: what does not fit waits for the next run
        self._summarise(run, sights, shares, worth)
        if dry_run:
            shown = [*drifts, *suspects(sights, run.run_id)]
            return Result(run, tuple(shown), run.local_revision, left=left)
        resolved = [drift_id for sight in sights for drift_id in sight.verdict.resolved]
        resolved = [*shares.resolved, *worth.resolved, *resolved][:MOST_RESOLVED]
        sent = fitting(drifts, MOST_BYTES)
        standing = await still_standing(sights, self._book, read_at)
        for drift in sent:
            if (key := convert.key(drift)) in standing:
                drift.checked_revision = standing[key]
        answer = await self._book.record(run, sent, resolved)
        # Afterwards: a mark may move a position into what counts as at risk, and of a position that has moved since it
        # was checked the ledger opens no case.
        await self._push_marks(sights)
        # That is no drift, not yet.
        taken = {convert.key(drift) for drift in answer.drifts}
        refused = {key for drift in sent if (key := convert.key(drift)) is not None and key not in taken}
        for sight in sights:
            desk = sight.desk
            desk.memory = doubt_again(sight.verdict.memory, refused)
            desk.answers, desk.book_revision = sight.answers, sight.reading.revision
            desk.notes = {key: note for key, note in desk.notes.items() if key in due}
        if self._portfolio is not None:
            self._portfolio.remember(shares.watch)
        if self._equity is not None:
            self._equity.accounts.update(worth.accounts)
        return Result(answer.run, tuple(answer.drifts), answer.revision, due, left)

    async def _look_until_settled(
        self, desks: Sequence[Desk], patience_s: float | None
    ) -> tuple[list[Sight], tuple[Desk, ...], list[OpenCase], int]:
        """What the desks show that answer, the desks that did not each time, the open cases, and the revision of the book
        that was read first.
        """
        reading, cases = await asyncio.gather(self._book.read(), self._book.open_cases())
        first = reading.revision
        sights, left = await self._look_at([(desk, None) for desk in desks], reading, cases, patience_s)
        for _ in range(LOOKS - 1):
            pending = [(desk, sight) for desk, sight in sights.items() if sight.verdict.pending]
            if not pending:
                break
            await asyncio.sleep(self._rules.confirm_after_s)
            # Who does not answer now stays as it was seen before.
            again, late = await self._look_at(pending, await self._book.read(), cases, patience_s)
            sights |= again
            left |= late
        return list(sights.values()), tuple(left), cases, first

    async def _look_at(
        self,
        desks: Sequence[tuple[Desk, Sight | None]],
        reading: Reading,
        cases: Sequence[OpenCase],
        patience_s: float | None,
    ) -> tuple[dict[Desk, Sight], dict[Desk, None]]:
        """Look at all at once, each with what this cycle saw of it before. Returns what they show, and the desks that do
        not answer in time: those are slow now.
        """
        looks = {
            asyncio.create_task(self._look(desk, before, reading, cases, len(desks))): desk for desk, before in desks
        }
        try:
            await asyncio.wait(looks, timeout=patience_s, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
        sights = {desk: look.result() for look, desk in looks.items() if not look.cancelled()}
        late = dict.fromkeys(desk for desk in looks.values() if desk not in sights)
        for desk in late:
            desk.is_slow = True
            desk.health = unanswered(desk.health, patience_s)
        return sights, late

    async def _look(
        self,
        desk: Desk,
        before: Sight | None,
        reading: Reading,
        cases: Sequence[OpenCase],
        together: int,
    ) -> Sight:
        """Snapshot one desk and compare it. What it saw before is the last look of this cycle, or of the last one."""
        memory = before.verdict.memory if before else desk.memory
        answers = before.answers if before else desk.answers
        revision = before.reading.revision if before else desk.book_revision
        snapshot = await desk.snapshot(self._rules.venue_timeout_s, self._clock, together)
        venue, account = snapshot.venue, snapshot.account
        book = reading.of(account, venue)
        ours = [case for case in cases if (case.venue, case.account) == (venue, account)]
        products = [held.product for held in book.values()] + [case.product for case in ours]
        products += await self._once_kept(desk, snapshot)
        snapshot = desk.narrowed(snapshot, products)
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
        checks = {scope.scope: Check(scope, snapshot, reading) for scope in snapshot.scopes}
        for name, check in before.checks.items() if before else ():
            if check.scope.outcome is Outcome.OK and name in checks and checks[name].scope.outcome is not Outcome.OK:
                checks[name] = check
        return Sight(desk, reading, snapshot, answers, verdict, checks)

    async def _once_kept(self, desk: Desk, snapshot: Snapshot) -> list[Product]:
        """The products of which the book has ended what the venue still holds: another process may have seen it kept."""
        products = []
        for symbol, product in desk.undecided(snapshot):
            if await self._book.has_kept(snapshot.account, snapshot.venue, symbol):
                products.append(product)
            else:
                desk.never_kept.add(symbol)
        return products

    async def _explained(self, sight: Sight, together: int, patience_s: float | None) -> dict[Key, Explanation]:
        """Why what is confirmed is so. Evidence that others will not wait for is asked for at the next look again."""
        search, began = self._rules.search, asyncio.get_running_loop().time()
        if patience_s is not None:
            search = replace(search, timeout_s=min(search.timeout_s, patience_s))
        made = await explain_all(sight.desk, sight.verdict.confirmed, search)
        if asyncio.get_running_loop().time() - began >= min(prompt_s(together), search.timeout_s):
            sight.desk.is_slow = True  # by itself it has the time
        return made

    async def _allocation(self, run_id: str) -> Findings:
        if self._portfolio is None:
            return Findings(Watch())
        return await self._portfolio.look(self._book, run_id)

    async def _worth(self, sights: Sequence[Sight], run_id: str, patience_s: float | None) -> EquityFindings:
        if self._equity is None:
            return EquityFindings()
        looks = [equity_watch.Look(one.desk, one.snapshot, one.verdict, one.reading.revision) for one in sights]
        return await self._equity.look(looks, run_id, patience_s)

    async def _push_marks(self, sights: Sequence[Sight]) -> None:
        """Marks and liquidation prices are by-products: the next cycle brings newer ones, so their failure is only worth a
        line."""
        checks = [check for sight in sights for check in sight.checks.values()]
        # Desks hold the same instruments: of each, the newest mark is pushed.
        checks.sort(key=lambda check: check.scope.observed_at or check.snapshot.requested_at)
        prices = {(p.venue, p.symbol): p for check in checks for p in convert_marks.prices(check.snapshot, check.scope)}
        try:
            await self._book.push_marks(list(prices.values()))
            for check in checks:
                await self._book.push_liquidation_prices(convert_marks.liquidation_prices(check.snapshot, check.scope))
        except grpc.aio.AioRpcError as error:
            _log.warning("marks or liquidation prices not stored", code=error.code().name, detail=error.details())

    def _summarise(self, run: drift_pb2.Run, sights: Sequence[Sight], shares: Findings, worth: EquityFindings) -> None:
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
                convert.check(check.snapshot, check.scope, differing(check.scope, sight.verdict))
                for check in sight.checks.values()
            )
            run.positions_compared += sum(check.compared for check in sight.checks.values())
            run.confirmed += len(sight.verdict.confirmed)
            run.suspected += len(sight.verdict.suspected)
            run.resolved += len(sight.verdict.resolved)
