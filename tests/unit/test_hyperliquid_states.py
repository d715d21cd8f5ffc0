"""Balances have no time at the venue: only their being back at an earlier state tells that they are old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from reconciler_service.venues.hyperliquid.decode import SpotBalance
from reconciler_service.venues.hyperliquid.spot import STATES, States

NOW = datetime(2026, 11, 22, tzinfo=UTC)
D = Decimal


def balances(usdc: str, hype: str, hold: str = "0") -> list[SpotBalance]:
    told = (("USDC", usdc, hold), ("HYPE", hype, "0"), ("PURR", "0", "0"))
    return [SpotBalance(coin, None, D(total), D(held), D(0)) for coin, total, held in told]


BEFORE, AFTER = balances("100", "4.5"), balances("77.9", "5.4993")


def doubts(*looks: tuple[float, list[SpotBalance]]) -> list[bool]:
    """Whether each of these looks, at these seconds, was doubted."""
    states = States()
    return [bool(states.doubt(seen, NOW + timedelta(seconds=at))) for at, seen in looks]


def test_what_changes_and_stays_is_believed() -> None:
    assert (
        doubts((0, BEFORE), (1, BEFORE), (2, AFTER), (3, AFTER), (4, balances("77.9", "5.4993", "20"))) == [False] * 5
    )


def test_an_answer_out_of_a_cache_is_doubted_however_often_it_comes_between() -> None:
    assert doubts((0, BEFORE), (1, AFTER), (2, BEFORE), (3, AFTER), (12.5, BEFORE), (13, AFTER)) == [
        *(False, False, True),
        *(False, True, False),
    ]


def test_what_was_moved_and_moved_back_is_believed_once_it_lasts() -> None:
    assert doubts((0, BEFORE), (1, AFTER), (2, BEFORE), (11.9, BEFORE), (12, BEFORE), (13, BEFORE), (14, AFTER)) == [
        *(False, False, True),
        *(True, False, False),
        True,
    ]


def test_an_empty_answer_makes_the_next_one_no_older() -> None:
    assert doubts((0, BEFORE), (1, []), (2, BEFORE), (3, balances("0", "0")), (4, BEFORE), (5, AFTER)) == [False] * 6


def test_another_old_state_begins_the_wait_anew_and_so_does_a_clock_that_is_set_back() -> None:
    older = balances("1", "2")
    assert doubts((0, older), (1, BEFORE), (2, AFTER), (3, BEFORE), (12, older), (14, older), (22, older))[3:] == [
        *(True, True, True),
        False,
    ]
    assert doubts((0, BEFORE), (1, AFTER), (2, BEFORE), (-50, BEFORE), (-41, BEFORE), (-40, BEFORE))[2:] == [
        *(True, True, True),
        False,
    ]


def test_no_more_states_are_remembered_than_some() -> None:
    looks = [(float(n), balances(str(n + 1), "1")) for n in range(STATES + 1)]
    assert doubts(*looks, (99.0, looks[0][1]))[-1] is False
    assert doubts(*looks, (99.0, looks[1][1]))[-1] is True
