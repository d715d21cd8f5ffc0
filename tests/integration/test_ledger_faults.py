"""What becomes of writes when the database, or the wire to it, fails: once or not at all, and the caller can tell."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.errors import RpcError
from position_service.embedded import EmbeddedPostgres
from position_service.ledger.line import Line, StoreUnavailable
from tests.database_proxy import Proxy, proxied
from tests.position_client import Client, check_ledger, eventually, fill

OPEN = {"symbol": "BTC", "size": "1", "entry_price": "100", "request_id": "request-one"}


@pytest.fixture
async def proxy(database) -> AsyncIterator[Proxy]:
    async with proxied(database) as proxy:
        yield proxy


@pytest.fixture
async def service(proxy, start_position):
    return await start_position(database_url=proxy.dsn)


@pytest.fixture
def client(service) -> Client:
    return Client(service.channel)


def impatient(service, seconds=0.3):
    """Waiting the usual seconds for a database that is away would prove nothing more."""
    service.app._ledger.committer._patience_s = seconds


def is_unavailable(error):
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"), error
    assert error.retry_after_s


async def test_a_commit_whose_reply_is_lost_happened_once_and_is_answered(proxy, client, database):
    proxy.swallow_reply_to(b"request-one")
    first = await client.call("OpenPosition", **OPEN)
    assert proxy.faults == 1
    assert (first.revision, first.position.size) == (1, "1")
    assert await client.call("OpenPosition", **OPEN) == first
    assert (await client.open("ETH")).revision == 2
    assert await check_ledger(database, client) == 2


async def test_a_change_without_a_request_id_whose_reply_is_lost_happened_once(proxy, client, database):
    """Nothing in the tables but the event itself can tell then."""
    await client.open("BTC")
    proxy.swallow_reply_to(b"lost-and-found")
    grown = await client.call("IncreasePosition", symbol="BTC", size="1", price="100", reason="lost-and-found")
    assert proxy.faults == 1
    assert (grown.revision, grown.position.size) == (2, "2")
    assert await check_ledger(database, client) == 2


async def test_a_lost_reply_is_recognised_after_another_writers_commits(proxy, client, database, start_position):
    other = Client((await start_position()).channel)
    proxy.swallow_reply_to(b"request-one")
    proxy.is_open.clear()
    ours = asyncio.create_task(client.call("OpenPosition", **OPEN))
    await eventually(lambda: _true(proxy.faults == 1))
    assert (await other.open("ETH")).revision == 2
    proxy.is_open.set()
    assert (await ours).revision == 1
    assert (await client.open("SOL")).revision == 3
    assert await check_ledger(database, client) == 3


async def _true(condition):
    return condition


async def test_a_statement_that_never_arrived_is_sent_again(proxy, client, database):
    proxy.cut_before(b"request-one")
    first = await client.call("OpenPosition", **OPEN)
    assert proxy.faults == 1
    assert await client.call("OpenPosition", **OPEN) == first
    assert await check_ledger(database, client) == 1


@pytest.mark.parametrize("fault", ["swallow_reply_to", "cut_before"])
async def test_a_batch_of_fills_is_booked_once(proxy, client, database, fault):
    getattr(proxy, fault)(b"a-fill-of-the-batch")
    answer = await client.fills(fill(1, "2", fill_id="a-fill-of-the-batch"), fill(2, "-1"))
    assert proxy.faults == 1
    assert (answer.applied, answer.revision, answer.positions[0].size) == (2, 2, "1")
    assert await check_ledger(database, client) == 2


async def test_a_mark_whose_commit_lost_its_reply_is_kept(proxy, client):
    await client.open("a-rare-symbol")
    proxy.swallow_reply_to(b"a-rare-symbol")
    await client.call("UpdatePrices", prices=[pb.PriceUpdate(symbol="a-rare-symbol", price="7")])
    assert proxy.faults == 1
    assert (await client.call("GetPosition", symbol="a-rare-symbol")).position.mark_price == "7"


@pytest.mark.parametrize("fault", ["swallow_reply_to", "cut_before"])
async def test_while_the_database_is_away_nobody_is_told_otherwise(proxy, service, client, database, fault):
    """Whether the change happened is not known then; the same request id tells, once the database is back."""
    impatient(service)
    await client.open("ETH")
    getattr(proxy, fault)(b"request-one")
    proxy.is_open.clear()
    is_unavailable(await client.refused("OpenPosition", **OPEN))
    assert proxy.faults == 1
    proxy.drop_all()
    is_unavailable(await client.refused("GetPosition", symbol="ETH"))
    is_unavailable(await client.refused("ListPositions"))
    is_unavailable(await client.refused("OpenPosition", symbol="SOL", size="1", entry_price="1"))
    proxy.is_open.set()
    first = await eventually(lambda: client.call("OpenPosition", **OPEN))
    assert first.revision == 2
    assert await client.call("OpenPosition", **OPEN) == first
    reused = await client.refused("OpenPosition", **OPEN | {"size": "2"})
    assert (reused.code, reused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert dict(reused.metadata) == {"requestId": "request-one", "field": "size"}
    assert await check_ledger(database, client) == 2


async def test_catching_up_that_breaks_half_way_leaves_the_book_whole(proxy, client, start_position):
    other = Client((await start_position()).channel)
    proxy.is_open.clear()
    proxy.drop_all()
    await other.open("BTC")
    await other.call("ClosePosition", symbol="BTC", close_price="1")
    second = await other.open("BTC")
    proxy.cut_before(b"FROM marks")  # after the events were read
    proxy.is_open.set()
    found = await eventually(lambda: client.call("GetPosition", symbol="BTC"))
    assert proxy.faults == 1
    assert found.position == second
    refused = await client.refused("OpenPosition", symbol="BTC", size="1", entry_price="1")
    assert (refused.reason, dict(refused.metadata)) == ("POSITION_ALREADY_OPEN", {"positionId": second.position_id})


async def test_one_poisoned_command_does_not_take_its_companions_down(start_position, database):
    service = await start_position()
    client, committer = Client(service.channel), service.app._ledger.committer
    connection = await asyncpg.connect(database)
    await connection.execute("ALTER TABLE positions ADD CONSTRAINT poison CHECK (symbol <> 'POISON')")
    await connection.close()
    names = [f"S{i}" for i in range(10)]
    names[4:4] = ["POISON"]
    async with committer.lock:  # what comes meanwhile is one batch
        first = asyncio.create_task(client.open("FIRST"))
        await eventually(lambda: _true(committer._queue.empty() and committer._queue._unfinished_tasks))
        writes = [asyncio.create_task(client.open(name, request_id=name)) for name in names]
        await eventually(lambda: _true(committer._queue.qsize() == len(names)))
    await first
    answers = await asyncio.gather(*writes, return_exceptions=True)
    problems = [(name, a) for name, a in zip(names, answers, strict=True) if isinstance(a, Exception)]
    assert [name for name, _ in problems] == ["POISON"]
    assert (problems[0][1].code, problems[0][1].reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "poison" not in str(problems[0][1])
    assert await check_ledger(database, client) == len(names)
    assert {p.symbol for p in (await client.call("ListPositions")).positions} == {"FIRST", *names} - {"POISON"}


async def test_twins_in_one_batch_are_one_change(start_position, database):
    """A client that sends a request again before the first was answered."""
    service = await start_position()
    client = Client(service.channel)
    async with service.app._ledger.committer.lock:
        calls = [asyncio.create_task(client.call("OpenPosition", **OPEN)) for _ in range(5)]
        await eventually(lambda: _true(service.app._ledger.committer._queue._unfinished_tasks == len(calls)))
    first, *rest = await asyncio.gather(*calls)
    assert rest == [first] * 4
    assert await check_ledger(database, client) == 1


async def test_twins_are_one_change_also_beside_a_request_that_is_known(start_position, database):
    """All ids of such a batch are looked up before the first of the twins is committed; the second must not go by that."""
    service = await start_position()
    client, committer = Client(service.channel), service.app._ledger.committer
    await client.open("ETH")
    increase = {"symbol": "ETH", "size": "1", "price": "100", "request_id": "increase-one"}
    known = await client.call("IncreasePosition", **increase)
    async with committer.lock:  # what comes meanwhile is one batch
        first = asyncio.create_task(client.open("FIRST"))
        await eventually(lambda: _true(committer._queue.empty() and committer._queue._unfinished_tasks))
        requests = [("IncreasePosition", increase), ("OpenPosition", OPEN), ("OpenPosition", OPEN)]
        calls = [asyncio.create_task(client.call(name, **fields)) for name, fields in requests]
        await eventually(lambda: _true(committer._queue.qsize() == len(calls)))
    await first
    again, one, other = await asyncio.gather(*calls)
    assert (again, one) == (known, other)
    assert await check_ledger(database, client) == 4


async def test_every_write_of_a_batch_with_a_known_id_is_answered(start_position, database):
    """One is refused by the state, the other is not; both repeat the id of something else."""
    service = await start_position()
    client, committer = Client(service.channel), service.app._ledger.committer
    await client.call("OpenPosition", **OPEN)
    async with committer.lock:  # what comes meanwhile is one batch
        first = asyncio.create_task(client.open("FIRST"))
        await eventually(lambda: _true(committer._queue.empty() and committer._queue._unfinished_tasks))
        others = ({"symbol": "NONE", "size": "1", "price": "1"}, {"symbol": "BTC", "size": "0.5", "price": "1"})
        calls = [
            asyncio.create_task(client.refused("ReducePosition", **other, request_id=OPEN["request_id"]))
            for other in others
        ]
        await eventually(lambda: _true(committer._queue.qsize() == len(calls)))
    await first
    for refused in await asyncio.gather(*calls):
        assert (refused.reason, refused.metadata["field"]) == ("REQUEST_ID_REUSED", "method")
    assert await check_ledger(database, client) == 2


async def test_a_caller_that_leaves_does_not_undo_its_change(start_position, database):
    service = await start_position()
    client, committer = Client(service.channel), service.app._ledger.committer
    async with committer.lock:
        call = asyncio.create_task(client.call("OpenPosition", **OPEN))
        await eventually(lambda: _true(committer._queue._unfinished_tasks == 1))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert (await eventually(lambda: client.call("GetPosition", symbol="BTC"))).revision == 1
    assert await check_ledger(database, client) == 1


async def test_a_committer_that_is_cancelled_refuses_what_it_had_in_hand_and_goes_on(start_position, database):
    service = await start_position()
    client, committer = Client(service.channel), service.app._ledger.committer
    async with committer.lock:
        call = asyncio.create_task(client.refused("OpenPosition", **OPEN))
        await eventually(lambda: _true(committer._queue.empty() and committer._queue._unfinished_tasks))
        committer._task.cancel()
        is_unavailable(await call)
    first = await client.call("OpenPosition", **OPEN)
    assert await client.call("OpenPosition", **OPEN) == first
    assert await check_ledger(database, client) == 1


async def test_a_look_that_is_cancelled_is_told_to_all_who_wait_for_one(start_position, monkeypatch):
    service = await start_position()
    client, ledger = Client(service.channel), service.app._ledger
    await client.open("BTC")
    looking, never = asyncio.Event(), asyncio.Event()

    async def hang():
        looking.set()
        await never.wait()

    monkeypatch.setattr(ledger, "refresh", hang)
    calls = [asyncio.create_task(client.refused("GetPosition", symbol="BTC"))]
    await looking.wait()
    calls.append(
        asyncio.create_task(client.refused("GetPosition", symbol="BTC"))
    )  # it waits for the look after this one
    async with asyncio.timeout(10):
        while not ledger._asked:
            await asyncio.sleep(0)
    ledger._checking.cancel()
    ledger._poller.cancel()
    monkeypatch.undo()
    for call in calls:
        is_unavailable(await call)
    assert (await client.call("GetPosition", symbol="BTC")).revision == 1
    assert not ledger._poller.done()


async def test_nobody_waits_for_a_silent_database_once_for_each_before_him():
    """Looks take turns on one connection: the limit is that of a look, with its waiting."""
    connected: list[asyncio.StreamWriter] = []

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)  # held: what nobody holds is closed
        await asyncio.Event().wait()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    line = Line(f"postgresql://nobody@127.0.0.1:{silent.sockets[0].getsockname()[1]}/none?sslmode=disable", 1.0)
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(line.row("SELECT 1") for _ in range(8)), return_exceptions=True)
    assert {type(one) for one in found} == {StoreUnavailable}
    assert str(found[-1]) == "no answer within 1 s"
    silent.close()


class Cluster:
    """A PostgreSQL of the test's own, which may be hurt."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder)
        self.start, self.stop = self._server.start, self._server.stop

    @property
    def dsn(self) -> str:
        return self._server.dsn

    async def restart_at_once(self) -> None:
        """As after a power cut: nothing is finished, the log is replayed."""
        data = self._server._data
        arguments = ["-w", "-D", data, "-l", data / "restart.log", "-m", "immediate", "restart"]
        await asyncio.to_thread(self._server._run, "pg_ctl", *arguments)


@pytest.fixture
async def cluster(short_folder) -> AsyncIterator[Cluster]:
    cluster = Cluster(short_folder)
    await cluster.start()
    yield cluster
    await cluster.stop()


async def test_a_database_restart_loses_nothing_that_was_acknowledged(cluster, start_position):
    service = await start_position(database_url=cluster.dsn)
    client = Client(service.channel)
    acknowledged: dict[str, str] = {}
    refusals: list[RpcError] = []
    done = asyncio.Event()

    async def writer(name: int) -> None:
        for number in range(100_000):
            symbol = f"W{name}-{number}"
            while symbol not in acknowledged:
                try:
                    answer = await client.open(symbol, request_id=symbol)
                    acknowledged[symbol] = answer.position_id
                except RpcError as error:
                    is_unavailable(error)
                    refusals.append(error)
                    await asyncio.sleep(0.05)
            if done.is_set():
                return

    writers = [asyncio.create_task(writer(i)) for i in range(8)]
    for _ in range(2):
        before = len(acknowledged)
        await eventually(lambda goal=before + 50: _true(len(acknowledged) > goal))
        await cluster.restart_at_once()
    before = len(acknowledged)
    await eventually(lambda: _true(len(acknowledged) > before + 50))
    done.set()
    await asyncio.gather(*writers)
    await check_ledger(cluster.dsn, client)
    connection = await asyncpg.connect(cluster.dsn)
    booked = {row["symbol"]: str(row["position_id"]) for row in await connection.fetch("SELECT * FROM positions")}
    await connection.close()
    assert booked == acknowledged


async def test_a_loaded_ledger_leaves_the_garbage_collector_on(database, start_position):
    """The process begins without it, so that what is imported is not searched."""
    gc.disable()
    try:
        await start_position()
        assert gc.isenabled()
    finally:
        gc.enable()
