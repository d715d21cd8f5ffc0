"""AcquireLease: of several that could do a job one does it, by the database's time, and the fence tells who is late."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime

import asyncpg
import pytest

from tests.position_client import Client, eventually

LONG_MS = 600_000


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


@pytest.fixture
async def pair(start_position) -> tuple[Client, Client]:
    return Client((await start_position()).channel), Client((await start_position()).channel)


async def ask(client: Client, holder: str, ttl_ms: int = LONG_MS, name: str = "reconciler"):
    """acquired, holder, fence."""
    answer = await client.call("AcquireLease", name=name, holder=holder, ttl_ms=ttl_ms)
    assert answer.HasField("expires_at") == bool(answer.holder)
    assert not answer.acquired or answer.holder == holder
    return answer.acquired, answer.holder, answer.fence


async def expire(database: str, shift: str) -> None:
    """Move the end of every lease, counted from the database's now."""
    connection = await asyncpg.connect(database)
    await connection.execute(f"UPDATE leases SET expires_at = clock_timestamp() + interval '{shift}'")
    await connection.close()


async def test_who_comes_first_holds_it_and_renews_it(pair):
    ours, theirs = pair
    before = datetime.now(UTC)
    answer = await ours.call("AcquireLease", name="reconciler", holder="a", ttl_ms=60_000)
    assert (answer.acquired, answer.holder, answer.fence) == (True, "a", 1)
    lasts = (answer.expires_at.ToDatetime(UTC) - before).total_seconds()
    assert 60 <= lasts < 90
    refused = await theirs.call("AcquireLease", name="reconciler", holder="b", ttl_ms=1)
    assert (refused.acquired, refused.holder, refused.fence) == (False, "a", 1)
    assert refused.expires_at == answer.expires_at
    renewed = await theirs.call("AcquireLease", name="reconciler", holder="a", ttl_ms=120_000)
    assert (renewed.acquired, renewed.fence) == (True, 1)
    assert renewed.expires_at.ToDatetime() > answer.expires_at.ToDatetime()
    assert await ask(theirs, "b", name="other-job") == (True, "b", 1)


async def test_it_is_taken_over_once_the_database_says_it_is_over(pair, database):
    ours, theirs = pair
    assert await ask(ours, "a") == (True, "a", 1)
    await expire(database, "1 minute")
    assert await ask(theirs, "b") == (False, "a", 1)
    await expire(database, "0")
    assert await ask(theirs, "b") == (True, "b", 2)
    assert await ask(ours, "a") == (False, "b", 2)  # it is late, and its fence of 1 is too
    await expire(database, "-1 hour")
    assert await ask(theirs, "b") == (True, "b", 3)  # in between it held nothing


async def test_it_is_over_by_itself(pair):
    ours, theirs = pair
    assert (await ask(ours, "a", 200))[0]
    began = time.monotonic()

    async def taken():
        return (await ask(theirs, "b"))[0]

    await eventually(taken)
    assert time.monotonic() - began < 10


async def test_it_is_given_up_by_its_holder_only(pair):
    ours, theirs = pair
    assert await ask(ours, "a", 0) == (False, "", 0)  # nobody ever held it
    assert await ask(ours, "a") == (True, "a", 1)
    assert await ask(theirs, "b", 0) == (False, "a", 1)
    assert await ask(ours, "a", 0) == (False, "", 1)
    assert await ask(ours, "a", 0) == (False, "", 1)
    assert await ask(theirs, "b") == (True, "b", 2)
    assert await ask(ours, "a", 0) == (False, "b", 2)
    assert await ask(theirs, "b", 0) == (False, "", 2)
    assert await ask(theirs, "b") == (True, "b", 3)


async def test_it_outlives_the_service(start_position):
    first = await start_position()
    assert await ask(Client(first.channel), "a") == (True, "a", 1)
    await first.stop()
    again = Client((await start_position()).channel)
    assert await ask(again, "b") == (False, "a", 1)
    assert await ask(again, "a") == (True, "a", 1)


async def test_of_many_who_come_at_once_one_holds_it(pair):
    for number in range(10):
        asked = (ask(client, f"{n}", name=f"job-{number}") for n, client in enumerate(pair * 8))
        answers = await asyncio.gather(*asked)
        assert sum(acquired for acquired, _, _ in answers) == 1
        (winner,) = {holder for _, holder, _ in answers}
        assert answers[int(winner)] == (True, winner, 1)


async def test_two_never_hold_it_at_once_and_the_fence_only_grows(pair):
    """The clock here is the database's: both run on this machine. A renewal never shortens what is held."""
    until = time.monotonic() + 3
    holders: dict[int, str] = {}  # by fence
    ends: dict[int, datetime] = {}  # by fence: until when its holder may believe that it holds it
    dice = random.Random(7)

    async def contend(client: Client, holder: str, ttl_ms: int) -> None:
        while time.monotonic() < until:
            answer = await client.call("AcquireLease", name="job", holder=holder, ttl_ms=ttl_ms)
            now, end = datetime.now(UTC), answer.expires_at.ToDatetime(UTC)
            if answer.acquired and now < end:
                assert answer.fence >= max(holders, default=0), "somebody else has held it since"
                assert holders.setdefault(answer.fence, holder) == holder
                assert all(ends[fence] <= now for fence in ends if fence < answer.fence), "two hold it"
                ends[answer.fence] = end
                if dice.random() < 0.3:
                    ends[answer.fence] = now
                    await client.call("AcquireLease", name="job", holder=holder)
            await asyncio.sleep(dice.random() / 50)

    async with asyncio.TaskGroup() as group:
        for number, client in enumerate(pair * 4):
            group.create_task(contend(client, f"h{number}", (20, 40, 80)[number % 3]))
    assert len(holders) > 10
    assert len(set(holders.values())) > 1
