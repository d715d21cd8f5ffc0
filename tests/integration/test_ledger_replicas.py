"""Several Position services on one database: one history, no fork, and each as good as the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import asyncpg
import grpc
import pytest

from grpckit.channel import connect
from grpckit.errors import RpcError
from tests.position_client import Client, check_ledger, fill
from tests.service_process import ServiceProcess

WRITERS, WRITES = 4, 25


@pytest.fixture
async def pair(start_position) -> tuple[Client, Client]:
    return Client((await start_position()).channel), Client((await start_position()).channel)


async def written_by_all(*clients: Client) -> dict[str, str]:
    """Everyone writes at once: own positions, and one that all fight for. What was acknowledged."""
    acknowledged: dict[str, str] = {}
    await clients[0].open("SHARED", size="1000")

    async def write(client: Client, name: str) -> None:
        for number in range(WRITES):
            symbol = f"{name}-{number}"
            opened = await client.open(symbol, request_id=symbol)
            acknowledged[symbol] = opened.position_id
            await client.call("ReducePosition", symbol="SHARED", size="1", price="100", request_id=f"{symbol}-reduce")

    async with asyncio.TaskGroup() as group:
        for number, client in enumerate(clients):
            for writer in range(WRITERS):
                group.create_task(write(client, f"{number}-{writer}"))
    return acknowledged


async def check_everything(database, acknowledged, *clients):
    total = await check_ledger(database, clients[0])
    for client in clients:
        left = (await client.call("GetPosition", symbol="SHARED")).position
        assert left.size == str(1000 - len(acknowledged))
        listed = await client.call("ListPositions", page_size=1000)
        assert {p.symbol: p.position_id for p in listed.positions} == acknowledged | {"SHARED": left.position_id}
        assert listed.revision == total == 2 * len(acknowledged) + 1


async def test_two_services_write_one_dense_history(pair, database):
    acknowledged = await written_by_all(*pair)
    assert len(acknowledged) == 2 * WRITERS * WRITES
    await check_everything(database, acknowledged, *pair)


async def test_what_one_acknowledged_the_other_shows_at_once(pair):
    ours, theirs = pair
    for number in range(30):
        opened = await ours.open(f"S{number}")
        found = await theirs.call("GetPosition", symbol=f"S{number}")
        assert (found.position, found.revision) == (opened, number * 2 + 1)
        await theirs.call("ClosePosition", symbol=f"S{number}", close_price="1")
        assert (await ours.refused("GetPosition", symbol=f"S{number}")).reason == "POSITION_NOT_FOUND"


async def test_a_request_repeated_at_the_other_service_gets_the_first_answer(pair):
    ours, theirs = pair
    request = {"symbol": "BTC", "size": "1", "entry_price": "100", "request_id": "r1"}
    answers = await asyncio.gather(*(client.call("OpenPosition", **request) for client in (ours, theirs) * 5))
    assert answers == [answers[0]] * 10
    reused = await theirs.refused("OpenPosition", **request | {"size": "2"})
    assert (reused.reason, reused.metadata["field"]) == ("REQUEST_ID_REUSED", "size")


async def test_a_fill_sent_to_both_is_booked_once(pair, database):
    ours, theirs = pair
    batches = [[fill(number, "1"), fill(number + 1, "-0.5")] for number in range(0, 20, 2)]
    answers = await asyncio.gather(*(c.fills(*b) for b in batches for c in (ours, theirs)))
    assert Counter(a.applied for a in answers) == {2: 10, 0: 10}
    assert (await ours.call("GetPosition", symbol="BTC")).position.size == "5"
    await check_ledger(database, ours)


async def test_of_two_who_open_the_same_one_wins(pair):
    for number in range(10):
        answers = await asyncio.gather(
            *(client.open(f"S{number}", side=1 + i) for i, client in enumerate(pair)), return_exceptions=True
        )
        lost = [a for a in answers if isinstance(a, RpcError)]
        (won,) = (a for a in answers if not isinstance(a, Exception))
        assert [(e.code, e.reason, dict(e.metadata)) for e in lost] == [
            (grpc.StatusCode.ALREADY_EXISTS, "POSITION_ALREADY_OPEN", {"positionId": won.position_id})
        ]


async def test_of_two_with_the_same_expectation_one_is_stale(pair):
    held = await pair[0].open(size="100")
    fields = {"symbol": "BTC", "size": "1", "price": "1", "expected_revision": held.revision}
    answers = await asyncio.gather(*(c.call("ReducePosition", **fields) for c in pair), return_exceptions=True)
    assert sorted(getattr(a, "reason", "") for a in answers) == ["", "STALE_REVISION"]


async def test_watches_show_the_same_commits_in_the_same_order_on_both(pair):
    await pair[0].open("ONE")

    async def follow(client):
        async with client.watching(after_revision=1) as stream:
            events = await stream.events(2 * 2 * WRITERS * WRITES + 1)
            return [(e.revision, e.type, e.position_id, e.after, e.before) for e in events]

    watchers = [asyncio.create_task(follow(client)) for client in pair]
    await written_by_all(*pair)
    one, other = await asyncio.gather(*watchers)
    assert one == other
    assert [event[0] for event in one] == list(range(2, len(one) + 2))


async def test_prices_and_drifts_of_one_are_seen_by_the_other(pair):
    from trueup.position.v1 import position_service_pb2 as pb

    from tests.position_client import a_finding, a_run

    ours, theirs = pair
    await ours.open("BTC")
    await ours.call("UpdatePrices", prices=[pb.PriceUpdate(symbol="BTC", price="110")])
    assert (await theirs.call("GetPosition", symbol="BTC")).position.mark_price == "110"
    (drift,) = (await theirs.call("RecordRun", run=a_run(1), findings=[a_finding()])).drifts
    assert (await ours.call("GetPosition", symbol="BTC")).position.reconciliation_status == 2
    await ours.call("RecordRun", run=a_run(2), findings=[a_finding()])
    assert (await theirs.call("GetDrift", drift_id=drift.drift_id)).drift.times_seen == 2
    await theirs.call("RecordRun", run=a_run(3), resolved_drift_ids=[drift.drift_id])
    assert (await ours.call("GetPosition", symbol="BTC")).position.reconciliation_status != 2


async def test_two_processes_write_one_dense_history(database, tmp_path: Path):
    processes = [ServiceProcess(tmp_path, {"DATABASE_URL": database}) for _ in range(2)]
    try:
        for process in processes:
            process.ready()
        async with connect(processes[0].address) as first, connect(processes[1].address) as second:
            clients = Client(first), Client(second)
            acknowledged = await written_by_all(*clients)
            await check_everything(database, acknowledged, *clients)
            processes[0].kill()
            await clients[1].open("AFTER")
            await check_ledger(database, clients[1])
        assert processes[1].terminate() == 0
    finally:
        for process in processes:
            process.kill()
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM positions") == len(acknowledged) + 2
    await connection.close()
