"""Waiting for company: not when nobody comes, and never for long."""

from __future__ import annotations

import asyncio
from itertools import chain, count, repeat

import pytest

from position_service.ledger.crowd import gathered


@pytest.mark.parametrize(
    ("came", "looks"),
    [
        ([0], 2),
        ([3], 2),
        ([1, 2, 5], 4),  # as long as more came in each step, and one step more
    ],
)
async def test_it_ends_when_nobody_came_in_a_step(came: list[int], looks: int) -> None:
    asked, waiting = count(1), chain(came, repeat(came[-1]))

    def now() -> int:
        next(asked)
        return next(waiting)

    async with asyncio.timeout(10):
        await gathered(now, most_s=3600)
    assert next(asked) - 1 == looks


async def test_it_ends_in_time_though_more_keep_coming() -> None:
    growing = count()
    async with asyncio.timeout(10):
        await gathered(lambda: next(growing), most_s=0.005)
    assert next(growing) > 1


async def test_no_time_is_no_wait() -> None:
    looked = count()
    await gathered(lambda: next(looked), most_s=0)
    assert next(looked) == 1
