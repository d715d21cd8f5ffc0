"""When a finding becomes a drift, and when a drift is over. Pure.

One look is never enough: fills are in flight, venues cache. A finding is confirmed by a second snapshot, requested
later and of a later state, that shows the same fact while the book's position has not moved; a value that moved starts
again. What trades all the time would start again for ever, so there is a second, longer rule: the same difference in
every look for a while is no fill in flight, however both sides moved, unless the book has learned meanwhile that the
first of them had met one. An open case is over when two looks in a row do
not show it. What was not read completely says nothing: suspicions and cases in it stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler_service.compare import scope_of
from reconciler_service.findings import EXPOSURE, Finding, Key, Kind, OpenCase
from reconciler_service.model import BookPosition, Outcome, Product, Snapshot

# A fill reaches the book within seconds. Looks that all meet one in flight, each time of the same size, are ever less
# likely; and since a cycle takes three at most, four looks are two cycles.
LEVEL_LOOKS = 4
LEVEL_FOR = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Look:
    """One snapshot compared with one reading of the book. The book was read before the snapshot was requested."""

    snapshot: Snapshot
    findings: Sequence[Finding]
    book: Mapping[str, BookPosition]  # live positions of this venue and account by symbol


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A finding with its history. Two looks at the same fact confirm it, or many at the same difference."""

    finding: Finding  # as last seen
    first_seen: datetime  # request time of the first look that showed this very fact
    looks: int
    agreed_at: datetime | None = None  # the last good look before it, which showed nothing wrong
    level_since: datetime | None = None  # request time of the first look that showed this difference
    level_looks: int = 1
    anchor: Finding | None = None  # what that look showed

    @property
    def is_confirmed(self) -> bool:
        if self.looks > 1:
            return True
        since = self.level_since or self.first_seen
        return self.level_looks >= LEVEL_LOOKS and self.finding.requested_at - since >= LEVEL_FOR

    @property
    def since(self) -> datetime:
        """Since when it is seen, by the rule that confirms it."""
        return self.level_since or self.first_seen if self.is_level else self.first_seen

    @property
    def is_level(self) -> bool:
        """Whether only the longer rule confirms it."""
        return self.looks == 1 and self.is_confirmed


@dataclass(frozen=True, slots=True)
class Memory:
    """What one account at one venue has shown so far. Lost with the process, at the price of one more look."""

    suspicions: Mapping[Key, Suspicion] = field(default_factory=dict)
    clear_since: Mapping[str, datetime] = field(default_factory=dict)  # drift id: first look that did not show it
    last_look: datetime | None = None
    good_at: Mapping[str, datetime] = field(default_factory=dict)  # scope name: last look that read all of it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one more look says. ``confirmed`` and ``resolved`` are those of all looks of the cycle so far."""

    memory: Memory
    confirmed: tuple[Suspicion, ...] = ()
    suspected: tuple[Suspicion, ...] = ()
    resolved: tuple[str, ...] = ()  # drift ids
    pending: bool = False  # another look now could settle something


NOTHING = Verdict(Memory())


def observe(
    memory: Memory, look: Look, cases: Sequence[OpenCase], moved: Collection[str] = (), earlier: Verdict = NOTHING
) -> Verdict:
    """Take one more look into account.

    ``cases`` are the open cases of this account and venue. ``moved`` are symbols whose position in the book came or
    went since the last look though no live position shows it; their suspicions start again. ``earlier`` is the verdict
    of the look before in the same cycle: what it confirmed or resolved stays so unless this look says otherwise.

    A look of the same time as the last one is no second observation and changes nothing. After an earlier time, the
    clock was set back: what was remembered cannot be put in order with what comes, and is forgotten.
    """
    at = look.snapshot.requested_at
    if at == memory.last_look:
        return _judge(memory, (), earlier, earlier.resolved, pending=True)
    if memory.last_look is not None and at < memory.last_look:
        memory = Memory()
    now = {finding.key: _weigh(memory, look, finding, moved) for finding in look.findings}
    kept = {
        key: old
        for key, old in memory.suspicions.items()
        if key not in now and not is_conclusive(look, old.finding.symbol, old.finding.product, old.finding.kind)
    }
    clear_since: dict[str, datetime] = {}
    resolved = []
    for case in cases:
        since = memory.clear_since.get(case.drift_id)
        if case.key in now:
            continue
        if case.drift_id in earlier.resolved:
            resolved.append(case.drift_id)
        elif not is_conclusive(look, case.symbol, case.product, case.kind):
            if since is not None:
                clear_since[case.drift_id] = since
        elif since is None:
            clear_since[case.drift_id] = at
        else:
            resolved.append(case.drift_id)
    good_at = {scope.scope: at for scope in look.snapshot.scopes if scope.outcome is Outcome.OK}
    pending = (
        any(scope.outcome is Outcome.SUSPECT for scope in look.snapshot.scopes)
        or any(not one.is_confirmed for one in now.values())
        or at in clear_since.values()
    )
    after = Memory({**kept, **now}, clear_since, at, {**memory.good_at, **good_at})
    return _judge(after, now, earlier, resolved, pending=pending)


def doubt_again(memory: Memory, keys: Collection[Key]) -> Memory:
    """Take back the confirmation of what the ledger did not accept: its position has moved since it was compared."""
    suspicions = {key: replace(one, looks=1) if key in keys else one for key, one in memory.suspicions.items()}
    return replace(memory, suspicions=suspicions)


def refute(verdict: Verdict, keys: Collection[Key]) -> Verdict:
    """Begin again with what the book has shown to have been in flight: those looks were level by chance."""

    def again(one: Suspicion) -> Suspicion:
        at = one.finding.requested_at
        return Suspicion(one.finding, at, 1, one.agreed_at, at, anchor=one.finding)

    suspicions = {key: again(one) if key in keys else one for key, one in verdict.memory.suspicions.items()}
    return replace(
        verdict,
        memory=replace(verdict.memory, suspicions=suspicions),
        confirmed=tuple(one for one in verdict.confirmed if one.finding.key not in keys),
        suspected=(*verdict.suspected, *(suspicions[key] for key in keys)),
    )


def is_conclusive(look: Look, symbol: str, product: Product | None, kind: Kind) -> bool:
    """Whether the absence of a finding of this kind in this look means that there is none.

    Not so outside of OK scopes, for positions in transit (but their deadline is judged), and for an entry price while
    the size or side is wrong.
    """
    local = look.book.get(symbol)
    scope = scope_of(look.snapshot, local.product if local is not None else product, symbol)
    if scope is None or scope.outcome is not Outcome.OK:
        return False
    if kind is Kind.OVERDUE:
        return True
    if local is not None and local.in_transit:
        return False
    return kind is not Kind.ENTRY_PRICE or not any(
        finding.symbol == symbol and finding.kind in {Kind.SIZE, Kind.SIDE} for finding in look.findings
    )


def _weigh(memory: Memory, look: Look, finding: Finding, moved: Collection[str]) -> Suspicion:
    """One finding against what was suspected of the same key before."""
    old, at = memory.suspicions.get(finding.key), finding.requested_at
    if old is None:
        scope = scope_of(look.snapshot, finding.product, finding.symbol)
        return Suspicion(finding, at, 1, memory.good_at.get(scope.scope) if scope else None, at, anchor=finding)
    was = old.finding
    if was.fact == finding.fact and was.booked == finding.booked and finding.symbol not in moved:
        if _is_behind(finding, old):
            return replace(old, finding=finding, looks=1)
        return replace(old, finding=finding, looks=old.looks + 1, level_looks=old.level_looks + 1)
    if finding.kind not in EXPOSURE or was.size_delta != finding.size_delta:
        return Suspicion(finding, at, 1, old.agreed_at, at, anchor=finding)
    counts = not _is_behind(finding, None)
    return replace(old, finding=finding, first_seen=at, looks=1, level_looks=old.level_looks + counts)


def _is_behind(finding: Finding, old: Suspicion | None) -> bool:
    """Whether the venue's state is older than the book's: it cannot contradict what came after it.

    ``old`` is the same fact, seen before. The book was read before that look was requested, so it has said the same
    since then at the latest. That is all there is to go by where it has no position: one may just have been closed.
    """
    if finding.observed_at is None:
        return False
    known = [finding.local.updated_at] if finding.local else []
    if old is not None:
        known.append(old.first_seen)
    return bool(known) and finding.observed_at < min(known)


def _judge(
    memory: Memory, now: Collection[Key], earlier: Verdict, resolved: Sequence[str], *, pending: bool
) -> Verdict:
    """Split the suspicions: confirmed are those that a look of this cycle shows and an earlier one showed."""
    everything = memory.suspicions
    shown = {*now, *(one.finding.key for one in earlier.confirmed)}
    return Verdict(
        memory=memory,
        confirmed=tuple(one for key, one in everything.items() if one.is_confirmed and key in shown),
        suspected=tuple(one for one in everything.values() if not one.is_confirmed),
        resolved=tuple(resolved),
        pending=pending,
    )
