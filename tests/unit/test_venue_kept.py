"""What accounts share is read by one of them at a time, and a read that fails or is cancelled takes nobody along."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from reconciler_service.venues import VenueError, VenueUnreachable
from reconciler_service.venues.kept import Kept, spread
from tests.reconciler_samples import until

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Source:
    """Reads that end when they are told to, and how many there were."""

    def __init__(self) -> None:
        self.reads = 0
        self.under_way = 0
        self.ends: asyncio.Queue[int | VenueError] = asyncio.Queue()

    async def read(self) -> int:
        self.reads += 1
        self.under_way += 1
        try:
            end = await self.ends.get()
        finally:
            self.under_way -= 1
        if isinstance(end, VenueError):
            raise end
        return end


Ask = Callable[..., Awaitable[int]]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def kept() -> Kept[int]:
    return Kept("numbers", HOUR)


async def asking(kept: Kept[int], source: Source, count: int, least: int = 0) -> list[asyncio.Task[int]]:
    """So many who ask at once, of whom one reads."""
    tasks = [asyncio.create_task(kept.get(NOW, source.read, lambda value: value >= least)) for _ in range(count)]
    await until(lambda: source.under_way == 1)
    return tasks


async def outcomes(tasks: list[asyncio.Task[int]]) -> list[int | BaseException]:
    async with asyncio.timeout(20):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_ask_and_one_reads(kept: Kept[int], source: Source) -> None:
    tasks = await asking(kept, source, 20)
    source.ends.put_nowait(7)
    assert await outcomes(tasks) == [7] * 20
    assert source.reads == 1
    assert await kept.get(NOW + timedelta(minutes=44), source.read, bool) == 7
    assert source.reads == 1


async def test_it_is_read_again_when_it_is_old_or_of_another_time(kept: Kept[int], source: Source) -> None:
    source.ends.put_nowait(1)
    await kept.get(NOW, source.read, bool)
    for at in (NOW + HOUR, NOW - HOUR, NOW + HOUR):
        source.ends.put_nowait(2)
        assert await kept.get(at, source.read, bool) == 2
    assert source.reads == 4


async def test_a_failure_is_shared_by_those_who_waited_for_it_and_by_nobody_else(
    kept: Kept[int], source: Source
) -> None:
    tasks = await asking(kept, source, 20)
    source.ends.put_nowait(VenueUnreachable("status 502"))
    assert [str(one) for one in await outcomes(tasks)] == ["status 502"] * 20
    assert source.reads == 1
    source.ends.put_nowait(7)
    assert await kept.get(NOW, source.read, bool) == 7
    source.ends.put_nowait(VenueUnreachable("again"))
    with pytest.raises(VenueUnreachable, match="again"):
        await kept.get(NOW + HOUR, source.read, bool)
    assert kept.value == 7, "what was read before is there for those it is enough for"


async def test_a_reader_that_is_cancelled_hands_over(kept: Kept[int], source: Source) -> None:
    tasks = await asking(kept, source, 3)
    tasks[0].cancel()
    await until(lambda: source.reads == 2 and source.under_way == 1)
    source.ends.put_nowait(7)
    assert await outcomes(tasks[1:]) == [7, 7]
    assert source.reads == 2


async def test_what_is_not_enough_is_read_again_once_for_all_who_found_it_so(kept: Kept[int], source: Source) -> None:
    source.ends.put_nowait(1)
    await kept.get(NOW, source.read, bool)
    tasks = await asking(kept, source, 5, least=9)
    for number in (2, 3):  # the first read began before the others asked: what they miss may be newer than it
        source.ends.put_nowait(number)
    assert await outcomes(tasks) == [2, 3, 3, 3, 3]
    assert source.reads == 3


def test_what_is_read_together_is_not_read_together_again() -> None:
    times = {spread(HOUR, f"meta {name}") for name in ("", "xyz", "flx", "hyna", "km")}
    assert len(times) == 5
    assert all(timedelta(minutes=45) < one <= HOUR for one in times)
    assert spread(timedelta(0), "meta") == timedelta(0)
