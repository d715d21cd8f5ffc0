"""How far a snapshot can be believed, given what was known before. Pure.

A venue's cache may serve an old state, and a wrong or half-broken backend may serve an empty one. Both come as a
success; neither is concluded from. They become SUSPECT, which the run and the venue's health show. This is the one
place for it; adapters doubt only what the answer itself contradicts, e.g. fewer positions than its own totals say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler_service.compare import scope_of
from reconciler_service.model import BookPosition, Outcome, ScopeReading, Snapshot

EMPTY = "empty, where positions were: waiting for a second answer"

# Two positions or more that vanish at once are rather a backend that lost its data than somebody who closed them all
# within one look. Such a backend says so again at once, and is mended or failed over within seconds; a last position
# that goes is ordinary, and the next answer confirms it.
MASS = 2
MASS_FOR = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Answer:
    """The last usable answer of one scope."""

    requested_at: datetime
    observed_at: datetime | None
    positions: int  # when last it had any; as many as the book held if it never had
    empty_since: datetime | None  # request time of the first of the empty answers in a row that it ends


Answers = Mapping[str, Answer]  # by scope name


def weigh(
    snapshot: Snapshot,
    answers: Answers,
    book: Mapping[str, BookPosition],
    oldest: timedelta,
    received_at: datetime | None = None,
) -> tuple[Snapshot, dict[str, Answer]]:
    """Downgrade what cannot be believed yet; return the snapshot and what to remember of it.

    A state is of the wrong time when the venue's own time of it lies ``oldest`` or more before the request or after
    ``received_at`` (by default the request), or not after the state it gave before. A state without a time of its own is
    doubted with the venue's main scope, which was asked for in the same moment. An empty scope is believed when
    the answer before was empty as well, and long enough ago if much has vanished; or when there was no answer before
    and the book holds nothing there. A scope that is said not to be there at all is believed only where the book holds
    nothing. What an adapter does not believe itself is not remembered. When the clock was set back, nothing that was
    remembered counts.
    """
    owners = (scope_of(snapshot, local.product, local.symbol) for local in book.values() if not local.in_transit)
    held = Counter(id(owner) for owner in owners)
    known = dict(answers)
    last = {name: one for name, one in answers.items() if one.requested_at <= snapshot.requested_at}
    wrong = {
        scope.scope: _wrong_time(
            scope, snapshot.requested_at, received_at or snapshot.requested_at, last.get(scope.scope), oldest
        )
        for scope in snapshot.scopes
    }
    beside = f"tells no time, and what it was read with is {wrong['']}" if wrong.get("") else ""
    scopes = []
    for scope in snapshot.scopes:
        if scope.outcome is not Outcome.OK:
            scopes.append(scope)
            continue
        before = last.get(scope.scope)
        doubt = beside if scope.observed_at is None else wrong[scope.scope]
        if scope.is_absent and (booked := held[id(scope)]):
            doubt = f"absent, says the venue, where the book holds {booked}: look at the account and its key"
        elif not doubt:
            known[scope.scope] = answer = _answer(scope, snapshot.requested_at, before, held[id(scope)])
            doubt = _emptied(answer, before)
        scopes.append(replace(scope, outcome=Outcome.SUSPECT, error=doubt) if doubt else scope)
    return replace(snapshot, scopes=tuple(scopes)), known


def _wrong_time(
    scope: ScopeReading, requested_at: datetime, received_at: datetime, before: Answer | None, oldest: timedelta
) -> str:
    observed = scope.observed_at
    if observed is None:
        return ""
    if requested_at - observed >= oldest:
        return f"old: the state is {(requested_at - observed).total_seconds():.1f} s older than the request"
    if observed - received_at >= oldest:
        ahead_s = (observed - received_at).total_seconds()
        return f"of the future: the state is {ahead_s:.1f} s younger than its receipt: a clock is wrong"
    if before is not None and before.observed_at is not None and observed <= before.observed_at:
        return "old: the same state as before"
    return ""


def _answer(scope: ScopeReading, at: datetime, before: Answer | None, held: int) -> Answer:
    positions = sum(bool(position.size) for position in scope.positions)
    if positions:
        return Answer(at, scope.observed_at, positions, None)
    if before is None:
        return Answer(at, scope.observed_at, held, at)
    return Answer(at, scope.observed_at, before.positions, before.empty_since or at)


def _emptied(answer: Answer, before: Answer | None) -> str:
    """Why a scope is not believed to be empty yet."""
    if answer.empty_since is None or (before is None and not answer.positions):
        return ""
    empty_for = answer.requested_at - answer.empty_since
    if answer.positions < MASS:
        return EMPTY if not empty_for else ""
    if empty_for >= MASS_FOR:
        return ""
    return f"empty, where {answer.positions} positions were: doubted for {MASS_FOR.total_seconds():.0f} s"
