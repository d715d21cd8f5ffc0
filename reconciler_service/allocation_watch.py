"""When a wrong share of a venue becomes a drift, and when that is over. Pure.

As with positions, one look is not enough: a share is suspected, and confirmed by a later look that shows it on the same
side. Shares move with every mark, so a case begins beyond the tolerance and ends only below a smaller bound, when two
looks in a row show that. A look is of the whole portfolio or it is none: the caller gives none that is not. Its parts
may be of different times; nothing of it may be of the look before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler_service.allocation import Allocation, Targets, is_released


@dataclass(frozen=True, slots=True)
class Outside:
    """A venue beyond its tolerance. ``is_over``: it holds too much."""

    is_over: bool
    first_seen: datetime
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Watch:
    """What was seen so far. Lost with the process, at the price of one more look."""

    at: datetime | None = None  # of the newest part of the last look
    outside: Mapping[str, Outside] = field(default_factory=dict)  # by venue
    released: Collection[str] = ()  # venues with a case that the last look showed near their target

    @property
    def suspected(self) -> int:
        """How many venues wait for a second look."""
        return sum(one.looks == 1 for one in self.outside.values())


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one more look says."""

    watch: Watch
    confirmed: Mapping[str, datetime] = field(default_factory=dict)  # venue: since when
    over: tuple[str, ...] = ()  # venues whose case has ended


def judge(
    watch: Watch,
    made: Allocation,
    targets: Targets,
    cases: Collection[str],
    at: datetime,
    newest: datetime | None = None,
) -> Judgement:
    """Take a look into account. ``cases`` are the venues with an open case.

    ``at`` is when its oldest part was asked for, ``newest`` its newest one, None: the same. A look that is not all
    later than the last one is no second observation and changes nothing.
    """
    if watch.at is not None and at <= watch.at:
        return Judgement(watch)
    outside: dict[str, Outside] = {}
    confirmed: dict[str, datetime] = {}
    released: list[str] = []
    over: list[str] = []
    for venue, share in made.shares.items():
        if not share.within_tolerance:
            is_over, old = share.drift > 0, watch.outside.get(venue)
            again = old is not None and old.is_over is is_over
            outside[venue] = one = (
                Outside(is_over, old.first_seen, old.looks + 1) if old and again else Outside(is_over, at)
            )
            if one.looks > 1 or venue in cases:
                confirmed[venue] = one.first_seen
        elif venue not in cases:
            continue
        elif not is_released(made, venue, targets):
            confirmed[venue] = at
        elif venue in watch.released:
            over.append(venue)
        else:
            released.append(venue)
    # A venue that neither holds anything nor has a target any more is as it should be.
    for venue in sorted(set(cases) - made.shares.keys()):
        (over if venue in watch.released else released).append(venue)
    return Judgement(Watch(newest or at, outside, released), confirmed, tuple(over))
