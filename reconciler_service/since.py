"""Whether what the book did after a look may have settled what the look showed. Pure.

A finding is about the moment its snapshot was taken, and a busy position has moved on before it can be recorded. The
ledger opens a case only at the revision that is named to it, so the question is up to which revision the difference
still stands. It is answered from the book's own steps since the look:

* What was executed after the state that the venue showed moved both sides alike. It settles nothing.
* What was executed before it had been in flight: the look met a moment in which not all was booked, and more may be
  on its way. Then only the next look tells.
* Of what the book was not told the time of execution it may be either. None of it may go in the direction of the
  difference; where that difference has been level for long, less of it than the difference, whose rest is missing.

So nothing is ever recorded that the book's own history might contradict, and what trades on with the times of its
fills is recorded however busy it is. What is left open is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from reconciler_service.findings import ZERO, Finding
from reconciler_service.holding import EXACT


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the book about one instrument. ``change`` of what is held, base units, long positive."""

    revision: int
    symbol: str
    position_id: str
    is_live: bool  # after it
    change: Decimal
    executed_at: datetime | None = None  # at the venue; None: the book was not told
    in_transit: bool = False  # before or after it: only announced, and the venue may be on either side of it


def stands_at(finding: Finding, steps: Iterable[Step], *, is_level: bool) -> int | None:
    """The revision of the book's position, 0 for none, at which a wrong exposure still stands; None: it may not.

    ``steps`` are in the order of their revisions and hold all since the book was read, also what was read already.
    ``is_level``: the difference was the same for long, though both sides moved.
    """
    since = _since(finding, steps)
    if any(step.in_transit or _was_missing(finding, step) for step in since):
        return None
    unknown = ZERO
    for step in since:
        if (step.executed_at is None or finding.observed_at is None) and step.change * finding.size_delta > 0:
            unknown = EXACT.add(unknown, abs(step.change))
    if unknown and (not is_level or unknown >= abs(finding.size_delta)):
        return None
    live, revision = (finding.local.position_id if finding.local else ""), finding.book_revision
    for step in since:
        if step.is_live:
            live, revision = step.position_id, step.revision
        elif step.position_id == live:
            live, revision = "", 0
    return revision


def was_in_flight(finding: Finding, steps: Iterable[Step]) -> bool:
    """Whether the book has learned since that part of a difference was only on its way, known by the times of fills."""
    return any(_was_missing(finding, step) for step in _since(finding, steps))


def _since(finding: Finding, steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if step.symbol == finding.symbol and step.revision > finding.book_revision]


def _was_missing(finding: Finding, step: Step) -> bool:
    """Whether it was executed before the state that the finding shows, and is something."""
    if step.executed_at is None or finding.observed_at is None or not step.change:
        return False
    return step.executed_at <= finding.observed_at
