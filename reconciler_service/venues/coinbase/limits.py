"""What Coinbase says of its own rate limit: ``x-ratelimit-remaining`` and ``x-ratelimit-reset``, sometimes. Pure.

The names are those that the vendor's SDK reads; what the numbers count is documented nowhere. So they only make us more
careful: with nothing left the next request waits, a few seconds at most, and a word is of no weight once it is a minute
old.
"""

from __future__ import annotations

from collections.abc import Mapping

LONGEST_PAUSE_S = 5.0
GOOD_FOR_S = 60.0

_REMAINING, _RESET = "x-ratelimit-remaining", "x-ratelimit-reset"
_MOST_DIGITS = 9  # more are a date, or an accident


class Told:
    """The last word. Times are seconds of a clock that does not run backwards."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._told_at = 0.0
        self._again_at = 0.0

    def hear(self, headers: Mapping[str, str], now: float) -> None:
        """Take the headers of an answer in. One that says nothing leaves what was said to its age."""
        left = _number(headers, _REMAINING)
        if left is None:
            return
        self._left, self._told_at = left, now
        reset_s = _number(headers, _RESET)
        pause_s = 1.0 if reset_s is None else min(float(reset_s), LONGEST_PAUSE_S)
        self._again_at = now + pause_s if left == 0 else now

    def left(self, now: float) -> int | None:
        """Requests left by the venue's word; None where there is none that says something of now."""
        return self._left if now - self._told_at < GOOD_FOR_S else None

    def wait_s(self, now: float) -> float:
        """Seconds before the next request should be sent."""
        return max(0.0, self._again_at - now)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    told = headers.get(name, "")
    return int(told) if told.isascii() and told.isdigit() and len(told) <= _MOST_DIGITS else None
