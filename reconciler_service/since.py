"""Whether what the book did after a look may have settled what the look showed. Pure.

A finding is about the moment its snapshot was taken, and a busy position has moved on before it can be recorded. The
ledger opens a case only at the revision that is named to it, so the question is up to which revision the difference
still stands. It is answered from the book's own steps since the look:

* What was executed after the state that the venue showed moved both sides alike. It settles nothing.
* What was executed before it had been missing: it is taken off the difference, exactly.
* Of what the book was not told the time of execution it may be either. All of it that goes in the direction of the
  difference is taken for missing: if even that is less than the difference, the rest of it is missing still.

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


def stands_at(finding: Finding, steps: Iterable[Step]) -> int | None:
    """The revision of the book's position, 0 for none, at which a wrong exposure still stands; None: it may not.

    ``steps`` are in the order of their revisions and hold all since the book was read, also what was read already.
    """
    since = _since(finding, steps)
    missing, unknown = finding.size_delta, ZERO
    for step in since:
        if step.in_transit:
            return None
        if _was_missing(finding, step):
            missing = EXACT.subtract(missing, step.change)
    for step in since:
        if (step.executed_at is None or finding.observed_at is None) and step.change * finding.size_delta > 0:
            unknown = EXACT.add(unknown, abs(step.change))
    if missing * finding.size_delta <= 0 or abs(missing) <= unknown:
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
