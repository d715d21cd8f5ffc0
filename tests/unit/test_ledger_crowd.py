"""Waiting for company: as many as last time, not when nobody comes, and never for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import chain, count, repeat

import pytest

from position_service.ledger.crowd import _QUIET_TURNS, Crowd

MOST = 50
QUIET = _QUIET_TURNS + 1  # looks until it believes that nobody comes


class Door:
    """How many are waiting at each look, the last number for ever."""

    def __init__(self) -> None:
        self.looks = 0
        self._numbers: Iterator[int] = repeat(1)

    def see(self, numbers: Iterable[int]) -> None:
        self.looks = 0
        known = list(numbers)
        self._numbers = chain(known, repeat(known[-1]))

    def __call__(self) -> int:
        self.looks += 1
        return next(self._numbers)


async def gathered(crowd: Crowd, door: Door, *numbers: int) -> int:
    """How often it looked at who is waiting until it went."""
    door.see(numbers)
    async with asyncio.timeout(10):
        await crowd.gather()
    return door.looks


async def test_who_comes_alone_goes_at_once() -> None:
    door = Door()
    crowd = Crowd(door, MOST, 3600)
    assert [await gathered(crowd, door, 1) for _ in range(20)] == [1] * 20


async def test_as_many_as_last_time_go_as_soon_as_they_are_there() -> None:
    door = Door()
    crowd = Crowd(door, MOST, 3600)
    assert await gathered(crowd, door, 5) == 1
    assert await gathered(crowd, door, 2, 3, 3, 4, 5) == 5
    assert await gathered(crowd, door, 9) == 1
    assert await gathered(crowd, door, 8, 8, 9) == 3


async def test_nobody_waits_for_those_who_do_not_come_again() -> None:
    door = Door()
    crowd = Crowd(door, MOST, 3600)
    await gathered(crowd, door, 5)
    assert await gathered(crowd, door, 1) == QUIET
    assert await gathered(crowd, door, 1) == 1


@pytest.mark.parametrize(("unseen", "looks"), [(False, [1] * 16), (True, ([1] * 7 + [QUIET]) * 2)])
async def test_those_who_cannot_be_seen_are_looked_for_now_and_then(unseen: bool, looks: list[int]) -> None:
    door = Door()
    crowd = Crowd(door, MOST, 3600, unseen=unseen)
    assert [await gathered(crowd, door, 1) for _ in range(16)] == looks


async def test_a_crowd_may_grow() -> None:
    door = Door()
    crowd = Crowd(door, MOST, 3600)
    for _ in range(7):
        await gathered(crowd, door, 5)
    assert await gathered(crowd, door, 5, 6, 7) == 2 + QUIET  # more than last time: until nobody else came
    assert await gathered(crowd, door, 5, 6, 7) == 3


async def test_no_more_are_waited_for_than_can_go() -> None:
    door = Door()
    crowd = Crowd(door, MOST, 3600)
    await gathered(crowd, door, 1000)
    assert await gathered(crowd, door, MOST) == 1


async def test_it_ends_in_time_though_more_keep_coming() -> None:
    growing = count(5, -1)
    crowd = Crowd(lambda: next(growing), 1_000_000, 0.005)
    await crowd.gather()  # there were five
    growing = count(-1_000_000_000)
    async with asyncio.timeout(10):
        await crowd.gather()
    assert next(growing) < 0


async def test_no_time_is_no_wait() -> None:
    door = Door()
    crowd = Crowd(door, MOST, 0)
    await gathered(crowd, door, 5)
    assert await gathered(crowd, door, 1) == 1


async def test_it_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer takes a millisecond and more: those who come one after the other would wait for that again and again."""
    crowd = Crowd(lambda: 5, MOST, 3600, unseen=True)
    await crowd.gather()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_at", lambda *_: pytest.fail("a timer"))
    for waiting in (1, 5, 1, 1, 1, 1, 1, 1, 1, 1):
        crowd._waiting = lambda now=waiting: now
        await crowd.gather()
