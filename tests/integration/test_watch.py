"""Watches: ordered, unique, reliable, atomic, resumable, bookmarkable."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import grpc
import pytest

from position_service import watch
from position_service.ledger.feed import Feed
from tests.position_client import Client, a_finding, a_run, check_ledger, fill

PROGRESS, EVENTS, SNAPSHOT = 3, 2, 1
OPENED, REDUCED = "POSITION_EVENT_TYPE_OPENED", "POSITION_EVENT_TYPE_REDUCED"


@pytest.fixture
async def service(start_position):
    return await start_position(watch_progress_interval=0.2)


@pytest.fixture
def client(service) -> Client:
    return Client(service.channel)


async def some_life(client, rounds=6):
    """Commits of one to three events, for several accounts and symbols."""
    for number in range(rounds):
        await client.open(f"S{number}", account=f"a{number % 2}")
        batch = [fill(3 * number, "2"), fill(3 * number + 1, "-1"), fill(3 * number + 2, "1")]
        await client.fills(*batch, account="fills")


async def history(client):
    return list((await client.call("ListPositionHistory", page_size=1000)).events)


def key(event):
    return event.revision, event.type, event.position_id, event.after.revision


async def test_what_is_current_first_then_what_happens(client):
    held = await client.open("BTC")
    async with client.watching(include_current=True) as stream:
        snapshot = await stream.next()
        assert (snapshot.phase, snapshot.revision, snapshot.snapshot_end) == (SNAPSHOT, 1, True)
        assert list(snapshot.positions) == [held]
        await client.open("ETH")
        (event,) = await stream.events(1)
        assert (event.revision, event.after.symbol) == (2, "ETH")


async def test_a_snapshot_of_nothing_ends_too(client):
    async with client.watching(include_current=True) as stream:
        snapshot = await stream.next()
        assert (snapshot.phase, snapshot.revision, snapshot.snapshot_end) == (SNAPSHOT, 0, True)


async def test_a_large_snapshot_comes_in_parts_and_only_the_last_can_be_resumed_from(client, monkeypatch):
    monkeypatch.setattr(watch, "PART_BYTES", 16 * 1024)
    await client.fills(*(fill(i, "1", symbol=f"S{i}") for i in range(450)))
    await client.open("OTHER", account="other")
    async with client.watching(include_current=True, account="main") as stream:
        parts = [await stream.next()]
        while not parts[-1].snapshot_end:
            parts.append(await stream.next())
    assert sorted(p.symbol for part in parts for p in part.positions) == sorted(f"S{i}" for i in range(450))
    assert [part.revision for part in parts] == [0] * (len(parts) - 1) + [451]
    assert len(parts) > 1


async def test_only_new_events_unless_asked_otherwise(client):
    await client.open("BTC")
    async with client.watching() as stream:
        assert (await stream.next()).phase == PROGRESS
        await client.open("ETH")
        assert [e.revision for e in await stream.events(1)] == [2]


@pytest.mark.parametrize("ring", [4096, 3])
async def test_resuming_from_any_revision_gives_the_rest_once_and_in_order(client, service, ring, monkeypatch):
    """Also from SQL, when the ring does not reach back: there the order and the parts must be the same."""
    monkeypatch.setattr(service.app._ledger.committer, "feed", Feed(0, size=ring))
    await some_life(client)
    expected = [key(event) for event in await history(client)]
    total = expected[-1][0]
    for after in range(1, total):
        async with client.watching(after_revision=after) as stream:
            found = [key(event) for event in await stream.events(total - after)]
        assert found == [event for event in expected if event[0] > after]


async def test_the_events_of_a_command_come_together(client, service, monkeypatch):
    monkeypatch.setattr(service.app._ledger.committer, "feed", Feed(0, size=2))
    await client.open("BTC")
    async with client.watching() as live:
        await live.next()
        for number in range(4):
            await client.fills(*(fill(10 * number + i, "1") for i in range(3)))
        lives = [await live.commit() for _ in range(4)]
    async with client.watching(after_revision=1) as late:
        assert (await late.next()).phase == PROGRESS  # where it begins
        lates = [await late.commit() for _ in range(4)]
    for messages in (lives, lates):
        assert [[e.revision for e in m.events] for m in messages] == [[2, 3, 4], [5, 6, 7], [8, 9, 10], [11, 12, 13]]
        assert [m.revision for m in messages] == [4, 7, 10, 13]


async def test_resuming_inside_a_command_delivers_its_rest(client):
    await client.fills(fill(1, "3"), fill(2, "-1"), fill(3, "-1"))
    for after in (1, 2):
        async with client.watching(after_revision=after) as stream:
            assert (await stream.next()).revision == after  # where it begins
            message = await stream.commit()
            assert [e.revision for e in message.events] == list(range(after + 1, 4))
            assert message.revision == 3


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({"account": "a1"}, lambda e: e.account == "a1"),
        ({"symbol": "BTC"}, lambda e: e.after.symbol == "BTC"),
        ({"asset": "S1/USD"}, lambda e: e.after.asset == "S1/USD"),
        ({"venue": "coinbase"}, lambda e: e.after.venue == "coinbase"),
        ({"types": [REDUCED]}, lambda e: e.type == 6),
        ({"types": [OPENED, REDUCED], "account": "fills"}, lambda e: e.type in (2, 6) and e.account == "fills"),
        ({"statuses": ["POSITION_STATUS_REDUCED"]}, lambda e: 3 in (e.after.status, e.before.status)),
        ({"statuses": ["POSITION_STATUS_OPEN"], "types": [REDUCED]}, lambda e: e.type == 6 and e.before.status == 2),
    ],
)
async def test_filters_leave_out_and_never_reorder(client, filters, passes):
    await client.open("ONE")
    await some_life(client)
    await client.open("LAST", venue="coinbase")
    expected = [key(event) for event in await history(client) if passes(event) and event.revision > 1]
    async with client.watching(after_revision=1, **filters) as stream:
        found = [key(event) for event in await stream.events(len(expected))]
        rest = await stream.next()
    assert found == expected
    assert rest.phase == PROGRESS  # and not one event more


async def test_a_position_that_leaves_the_statuses_is_seen_leaving(client):
    """Whoever keeps a row for each position of some statuses ends with the rows that are."""
    await client.open("A")
    await client.open("B")
    await client.call("ClosePosition", symbol="B")
    filters = {"statuses": ["POSITION_STATUS_OPEN", "POSITION_STATUS_CLOSING"], "account": "main"}
    async with client.watching(include_current=True, **filters) as stream:
        rows = {p.position_id: p for p in (await stream.next()).positions}
        assert sorted(p.symbol for p in rows.values()) == ["A", "B"]
        await client.open("C")
        await client.open("D", account="other")
        await client.call("ReducePosition", symbol="A", size="0.5", price="1")  # leaves
        await client.call("ReducePosition", symbol="A", size="0.1", price="1")  # is outside
        await client.call("ConfirmClose", symbol="B", close_price="1")  # leaves
        await client.call("ClosePosition", symbol="A")  # comes back, from REDUCED to CLOSING
        await client.call("UpdatePosition", symbol="C", labels={"the": "end"})
        seen = await stream.events(5)
    for event in seen:
        rows[event.position_id] = event.after
        if event.after.status not in (2, 4):
            del rows[event.position_id]
    assert [(e.after.symbol, e.type) for e in seen] == [("C", 2), ("A", 6), ("B", 9), ("A", 7), ("C", 11)]
    listed = (await client.call("ListPositions", **filters)).positions
    assert {p.position_id: p.revision for p in listed} == {p.position_id: p.revision for p in rows.values()}


async def test_a_quiet_stream_says_how_far_it_is(client):
    async with client.watching() as stream:
        message = await stream.next()
        assert (message.phase, message.revision, len(message.events)) == (PROGRESS, 0, 0)
        assert (await stream.next()).phase == PROGRESS


async def test_a_stream_that_nothing_passes_moves_its_bookmark(client):
    """A filter must not leave its reader with a revision that is pruned one day."""
    async with client.watching(account="nobody") as stream:
        for number in range(5):
            await client.open(f"S{number}")
        while (message := await stream.next()).revision < 5:
            assert message.phase == PROGRESS


async def test_many_watchers_see_the_same(client):
    await client.open("ONE")
    async with asyncio.TaskGroup() as group:

        async def follow():
            async with client.watching(after_revision=1) as stream:
                return [key(event) for event in await stream.events(24)]

        watchers = [group.create_task(follow()) for _ in range(20)]
        await some_life(client)
    expected = [key(event) for event in await history(client) if event.revision > 1]
    assert len(expected) == 24
    assert all(watcher.result() == expected for watcher in watchers)


async def test_a_client_that_reconnects_at_random_misses_nothing(client):
    """Bookmarkable: the revision of any message is where to go on."""
    await client.open("ONE")
    chance = random.Random(7)
    found, bookmark = [], 1
    writing = asyncio.create_task(some_life(client))
    while bookmark < 25:
        async with client.watching(after_revision=bookmark) as stream:
            for _ in range(chance.randint(1, 3)):
                if bookmark < 25:
                    message = await stream.next()
                    assert message.revision >= bookmark
                    found += [key(event) for event in message.events]
                    bookmark = message.revision
    await writing
    assert found == [key(event) for event in await history(client) if event.revision > 1]


async def test_a_publication_that_failed_leaves_no_gap(client, service, monkeypatch):
    await client.open("ONE")
    feed = service.app._ledger.feed
    publish = feed.publish
    async with client.watching(after_revision=0) as stream:
        await stream.events(1)
        monkeypatch.setattr(feed, "publish", lambda _: 1 / 0)
        await client.refused("OpenPosition", symbol="TWO", size="1", entry_price="1")
        monkeypatch.setattr(feed, "publish", publish)
        await client.open("THREE")
        assert [event.revision for event in await stream.events(2)] == [2, 3]


async def test_the_future_cannot_be_resumed_from(client):
    await client.open("BTC")
    for name in ("WatchPositions", "WatchDrifts"):
        async with client.watching(name, after_revision=2) as stream:
            error = await stream.failed()
        assert (error.code, error.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_IN_FUTURE")
        assert dict(error.metadata) == {"headRevision": "1"}


async def test_what_was_pruned_cannot_be_resumed_from(client, database, start_position):
    for number in range(5):
        await client.open(f"S{number}")
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM events WHERE revision < 4")
    await connection.close()
    fresh = Client((await start_position()).channel)  # whose ring is empty
    async with fresh.watching(after_revision=2) as stream:
        error = await stream.failed()
    assert (error.code, error.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_PRUNED")
    assert dict(error.metadata) == {"oldestRevision": "4"}
    async with fresh.watching(after_revision=3) as stream:
        assert [e.revision for e in await stream.events(2)] == [4, 5]


@pytest.mark.parametrize(("name", "field"), [("WatchPositions", "include_current"), ("WatchDrifts", "include_open")])
async def test_a_snapshot_and_a_bookmark_exclude_each_other(client, name, field):
    async with client.watching(name, after_revision=1, **{field: True}) as stream:
        error = await stream.failed()
    assert (error.reason, [v.field for v in error.violations]) == ("INVALID_REQUEST", ["after_revision"])


async def test_draining_ends_a_watch_with_a_reason_to_reconnect(client, service):
    await client.open("BTC")
    async with client.watching() as stream:
        await stream.next()
        stopping = asyncio.create_task(service.app.stop())
        error = await stream.failed()
        await stopping
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert error.retry_after_s


async def test_a_batch_of_a_thousand_fills_comes_in_one_message_that_every_client_can_take(client):
    await client.open("ONE")
    async with client.watching(after_revision=1) as stream:
        await stream.next()
        await client.fills(*(fill(i, "1", symbol=f"SYMBOL-{i % 50}") for i in range(1000)))
        message = await stream.commit()
    assert len(message.events) == 1000
    assert message.ByteSize() < 4 * 1024 * 1024


async def test_the_largest_batch_comes_in_parts_and_the_bookmark_moves_with_the_last(client):
    """Every client takes messages of 4 MiB; one that breaks off half-way gets the whole batch again."""
    await client.open("ONE")
    async with client.watching(after_revision=1) as stream:
        await stream.next()
        await client.fills(*(fill(i, "1", symbol=f"SYMBOL-{i % 50}") for i in range(10_000)))
        parts = [await stream.commit()]
        while parts[-1].revision == 1:
            parts.append(await stream.next())
    assert [e.revision for part in parts for e in part.events] == list(range(2, 10_002))
    assert [part.revision for part in parts] == [1] * (len(parts) - 1) + [10_001]
    assert max(part.ByteSize() for part in parts) < 2 * 1024 * 1024
    async with client.watching(after_revision=parts[0].revision) as stream:
        assert [e.revision for e in await stream.events(10_000)] == list(range(2, 10_002))


async def test_from_the_first_event_on(client):
    """Revision 0 is a bookmark like any other: it is where an empty ledger's watch begins."""
    async with client.watching() as stream:
        assert (await stream.next()).revision == 0
    await client.open("BTC")
    async with client.watching(after_revision=0) as stream:
        assert [e.revision for e in await stream.events(1)] == [1]


async def test_drifts_are_watched_like_positions(client, database):
    async with client.watching("WatchDrifts", include_open=True) as stream:
        snapshot = await stream.next()
        assert (snapshot.phase, snapshot.snapshot_end, snapshot.revision) == (SNAPSHOT, True, 0)
        answer = await client.call("RecordRun", run=a_run(1), findings=[a_finding(), a_finding(symbol="ETH")])
        message = await stream.commit()
        assert [(e.revision, e.type, e.drift) for e in message.events] == [
            (1, 1, answer.drifts[0]),
            (2, 1, answer.drifts[1]),
        ]
        await client.open("BTC")  # not a drift
        await client.call("RecordRun", run=a_run(2), resolved_drift_ids=[answer.drifts[0].drift_id])
        (resolved,) = await stream.events(1)
        assert (resolved.revision, resolved.type, resolved.drift.status) == (4, 6, 5)
    async with client.watching("WatchDrifts", include_open=True) as stream:
        assert [e.drift.symbol for e in (await stream.next()).events] == ["ETH"]
    async with client.watching("WatchDrifts", after_revision=1, symbol="ETH", kinds=["DRIFT_KIND_SIZE"]) as stream:
        assert [e.revision for e in await stream.events(1)] == [2]
    await check_ledger(database, client)
