"""When a push starts a cycle: at once, but not for ever, and never at the cost of the interval. Pure.

What a cycle costs is measured. The more of the budget is spent, the further apart are the looks at a desk that trades
all the time: twice a second at first, and soon as far apart as the budget lasts for good. So it gets slower and not
deaf. What is kept, pushes never spend: a quarter of the budget is for corrections by policies
and for the interval, a quarter for the interval and what people ask for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GATHER_S = 0.03  # one trade comes as several messages: its fill, the position, the balance
SPACING_S = 0.5  # between two beginnings, at the least
AGAIN_S = 1.0  # weight comes back as it becomes a minute old
MINUTE_S = 60.0
KEPT = 2  # one half of the budget is never spent on pushes
RESERVED = 4  # one quarter of it is never spent on what policies do either


@dataclass(slots=True)
class Pace:
    """Of one desk. Times are seconds of a clock that does not run backwards, weights those of the venue's budget."""

    full: int = 0  # the most that was ever left of the budget
    weight: float = 0.0  # of one cycle, as measured
    pushed_at: float = math.inf  # the first push that no cycle has answered yet
    began_at: float = -math.inf  # of the last cycle that a push started

    def push(self, now: float) -> None:
        """The venue says that something changed."""
        self.pushed_at = min(self.pushed_at, now)

    def answer(self, now: float, *, to_push: bool) -> None:
        """A cycle begins, because of a push or not: only what is pushed from now on may be too late for it."""
        self.pushed_at = math.inf
        if to_push:
            self.began_at = now

    def measure(self, spent: float) -> None:
        """A cycle that a push started has spent so much of the budget.

        It may seem less than it was, by what became a minute old meanwhile: so what is known is given up by halves.
        """
        self.weight = max(spent, self.weight / 2)

    def may_correct(self, left: int) -> bool:
        """Whether a policy may be carried out. ``left`` is of the budget."""
        self.full = max(self.full, left)
        return left * RESERVED >= self.full

    def wait_s(self, left: int, now: float) -> float:
        """Seconds until a push may start a cycle: 0 is now, infinite when there is none. ``left`` is of the budget."""
        self.full = max(self.full, left)
        if math.isinf(self.pushed_at):
            return math.inf
        if left * KEPT < self.full:
            return AGAIN_S
        return max(0.0, self.pushed_at + GATHER_S - now, self.began_at + self._spacing_s(left) - now)

    def _spacing_s(self, left: int) -> float:
        """Seconds between two beginnings, the more the more is spent.

        Twice the even spacing when all of the pushes' half is spent: from nothing it takes a minute to get there, and
        by then the first of it comes back.
        """
        if not self.full:
            return SPACING_S
        for_pushes = self.full - self.full / KEPT
        even_s = self.weight * MINUTE_S / for_pushes
        return max(SPACING_S, 2 * even_s * (self.full - left) / for_pushes)
