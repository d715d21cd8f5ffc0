"""What a cycle has seen of one desk, and what is said of it: checks, orders for policies, drifts as they are recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import grpc
import structlog
from trueup.types.v1 import drift_pb2

from reconciler_service import convert
from reconciler_service.book import Book, Reading
from reconciler_service.compare import scope_of
from reconciler_service.confirm import Suspicion, Verdict, refute
from reconciler_service.desk import Desk
from reconciler_service.findings import EXPOSURE, Explanation, Key
from reconciler_service.model import Outcome, ScopeReading, Snapshot
from reconciler_service.policies import Policies, Policy, objection, unmet
from reconciler_service.since import stands_at, was_in_flight
from reconciler_service.trust import Answer

MOST_FINDINGS = 10_000  # the most the contract allows
_ENVELOPE = 8  # bytes: the tag and the length of one finding

_log = structlog.get_logger("reconciler")


@dataclass(frozen=True, slots=True)
class Check:
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
class Sight:
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
    checks: Mapping[str, Check]  # by scope name


async def without_flight(sights: Sequence[Sight], book: Book) -> list[Sight]:
    """The sights without what only seemed level: the book has learned that the first look met a fill in flight.

    Where that look showed no position in the book, nothing says from which revision on to ask, and nothing is taken
    back. Raises grpc.aio.AioRpcError when the book cannot be read.
    """
    after = []
    for sight in sights:
        anchors = [
            one.anchor
            for one in sight.verdict.confirmed
            if one.is_level and one.anchor is not None and one.anchor.local is not None
        ]
        if anchors:
            since = min(anchor.book_revision for anchor in anchors)
            steps = await book.steps(sight.snapshot.account, sight.snapshot.venue, since)
            flying = [anchor.key for anchor in anchors if was_in_flight(anchor, steps)]
            after.append(replace(sight, verdict=refute(sight.verdict, flying)))
        else:
            after.append(sight)
    return after


async def still_standing(sights: Sequence[Sight], book: Book, after_revision: int) -> dict[Key, int]:
    """Up to which revision of its position each wrong exposure stands, though the book has moved since it was read.

    ``after_revision`` is of the cycle's first reading. Where the book cannot be read nothing is said: then only what
    has not moved at all is recorded.
    """
    standing: dict[Key, int] = {}
    for sight in sights:
        exposed = [one for one in sight.verdict.confirmed if one.finding.kind in EXPOSURE]
        if not exposed:
            continue
        try:
            steps = await book.steps(sight.snapshot.account, sight.snapshot.venue, after_revision)
        except grpc.aio.AioRpcError as error:
            _log.warning("what was booked meanwhile not read", code=error.code().name, detail=error.details())
            return standing
        for one in exposed:
            if (revision := stands_at(one.finding, steps, is_level=one.is_level)) is not None:
                standing[one.finding.key] = revision
    return standing


def orders(
    sights: Sequence[Sight], explanations: Sequence[dict[Key, Explanation]], policies: Policies
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


def describe(
    sights: Sequence[Sight],
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


def fitting(drifts: Sequence[drift_pb2.Drift], room: int) -> list[drift_pb2.Drift]:
    """As many as fit into so many bytes."""
    fitting = []
    for drift in drifts[:MOST_FINDINGS]:
        room -= drift.ByteSize() + _ENVELOPE
        if room < 0:
            break
        fitting.append(drift)
    return fitting


def suspects(sights: Sequence[Sight], run_id: str) -> list[drift_pb2.Drift]:
    """What is not confirmed yet, as a dry run shows it."""
    return [
        convert.drift(one, None, sight.reading.read_at, run_id) for sight in sights for one in sight.verdict.suspected
    ]


def differing(scope: ScopeReading, verdict: Verdict) -> list[str]:
    """The instruments of a scope that were seen to differ, confirmed or not: without a case they are not synced either.

    The ledger opens no case where what was booked since may have settled it.
    """
    seen: tuple[Suspicion, ...] = (*verdict.suspected, *verdict.confirmed)
    found = {one.finding.symbol for one in seen if one.finding.product is scope.product}
    return sorted(symbol for symbol in found if symbol.startswith(scope.symbol_prefix))
