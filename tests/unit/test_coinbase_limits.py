"""What the venue says is left: respected, for a little while, and never for ever."""

from __future__ import annotations

import pytest

from reconciler_service.venues.coinbase.limits import GOOD_FOR_S, LONGEST_PAUSE_S, Told


def told(remaining: str | None = None, reset: str | None = None, *, now: float = 100.0) -> Told:
    made = Told()
    given = {"x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset}
    made.hear({name: value for name, value in given.items() if value is not None}, now)
    return made


def test_what_is_left_is_told_until_it_is_a_minute_old() -> None:
    one = told("7", "30")
    assert (one.left(100.0), one.left(100.0 + GOOD_FOR_S - 1), one.left(100.0 + GOOD_FOR_S)) == (7, 7, None)
    assert one.wait_s(100.0) == 0


@pytest.mark.parametrize(
    ("reset", "pause_s"), [("3", 3.0), ("0", 0.0), ("60", LONGEST_PAUSE_S), (None, 1.0), ("soon", 1.0), ("9" * 10, 1.0)]
)
def test_with_nothing_left_the_next_request_waits_a_little(reset: str | None, pause_s: float) -> None:
    one = told("0", reset)
    assert (one.left(100.0), one.wait_s(100.0), one.wait_s(100.0 + pause_s)) == (0, pause_s, 0)
    one.hear({"x-ratelimit-remaining": "5"}, 100.0)
    assert one.wait_s(100.0) == 0


@pytest.mark.parametrize("word", ["", "-1", "1.5", "many", "1" * 10, "\u0661"])
def test_what_is_no_number_says_nothing(word: str) -> None:
    assert told(word).left(100.0) is None
    one = told("0")
    one.hear({"x-ratelimit-remaining": word}, 100.5)
    assert (one.left(100.5), one.wait_s(100.5)) == (0, 0.5)
