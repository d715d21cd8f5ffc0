"""`trueup relay` between a real ledger and a real NATS server, each of them killed: every event once, in order."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import StreamConfig

from grpckit.channel import connect
from tests.e2e.command_line import CommandLine
from tests.e2e.processes import BIN, Process, environment, free_port
from tests.position_client import Client, a_finding, a_run, check_ledger
from tests.service_process import ServiceProcess
from trueup_cli.jetstream import Letter, Stream

STREAM = "trueup"


class Server:
    """A NATS server with JetStream on disk, at a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.url = f"nats://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        options = ["-js", "-sd", self._folder / "js", "-a", "127.0.0.1", "-p", str(self._port)]
        self.process = Process([BIN / "nats-server", *options], environment(self._folder))
        self.process.wait_for("Server is ready")

    def kill(self) -> None:
        self.process.stop(signal.SIGKILL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def ledger(database: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    settings = {"DATABASE_URL": database, "WATCH_PROGRESS_INTERVAL": "1", "POSITION_LISTEN": f"127.0.0.1:{free_port()}"}
    process = ServiceProcess(tmp_path, settings).ready()
    yield process
    process.kill()


@pytest.fixture
async def client(ledger: ServiceProcess) -> AsyncIterator[Client]:
    async with connect(ledger.address) as channel:
        yield Client(channel)


@pytest.fixture
def cli(server: Server, ledger: ServiceProcess, tmp_path: Path) -> CommandLine:
    return CommandLine(environment(tmp_path, POSITION_ADDRESS=ledger.address, NATS_URL=server.url))


async def stored(server: Server, last: int) -> list[tuple[str, int, dict[str, Any]]]:
    """Everything in the stream, once the ledger's revision is in it: subject, id and body."""
    connection = await nats.connect(server.url)
    try:
        stream = connection.jetstream()

        async def messages() -> list[tuple[str, int, dict[str, Any]]]:
            state = (await stream.stream_info(STREAM)).state
            found = [
                await stream.get_msg(STREAM, seq=number) for number in range(state.first_seq or 1, state.last_seq + 1)
            ]
            return [(m.subject or "", int((m.headers or {})["Nats-Msg-Id"]), json.loads(m.data or b"")) for m in found]

        async with asyncio.timeout(60):
            while True:
                try:
                    found = await messages()
                    if {revision for _, revision, _ in found} >= set(range(1, last + 1)):
                        return found
                except nats.js.errors.NotFoundError:
                    pass  # the relay has not begun
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


def each_once_and_in_order(found: list[tuple[str, int, dict[str, Any]]], last: int) -> None:
    assert sorted(revision for _, revision, _ in found) == list(range(1, last + 1))
    for kind in ("positions", "drifts"):
        revisions = [revision for subject, revision, _ in found if subject.startswith(f"trueup.{kind}.")]
        assert revisions == sorted(revisions)
    assert all(int(body["revision"]) == revision for _, revision, body in found)


async def test_events_go_by_account_and_kind(client: Client, server: Server, cli: CommandLine, database: str):
    await client.open("BTC")
    await client.open("ETH", account="main/desk.2")
    await client.call("ReducePosition", symbol="BTC", size="0.5", price="110")
    held = (await client.call("GetPosition", symbol="BTC")).position
    finding = a_finding(local=a_finding().actual)
    finding.local.revision = held.revision
    await client.call("RecordRun", run=a_run(1), findings=[finding])
    last = await check_ledger(database)
    done = await asyncio.to_thread(cli.rows, "relay", "--events", str(last))
    assert sorted(int(row["revision"]) for row in done) == list(range(1, last + 1))
    found = await stored(server, last)
    each_once_and_in_order(found, last)
    subjects = {revision: subject for subject, revision, _ in found}
    assert [subjects[number] for number in (1, 2, 3)] == [
        "trueup.positions.main.opened",
        "trueup.positions.main_desk_2.opened",
        "trueup.positions.main.reduced",
    ]
    assert subjects[last] == "trueup.drifts.main.size"
    bodies = {revision: body for _, revision, body in found}
    assert bodies[3]["after"]["size"] == "0.5"
    assert bodies[last]["drift"]["summary"] == "half is missing"


async def test_whoever_is_killed_nothing_is_lost_or_doubled(
    client: Client, server: Server, cli: CommandLine, database: str
):
    """The stream forgets ids at once, so that nothing but what the relay reads back from it keeps events single."""
    connection = await nats.connect(server.url)
    await connection.jetstream().add_stream(StreamConfig(STREAM, subjects=["trueup.>"], duplicate_window=0.1))
    await connection.close()
    enough = asyncio.Event()

    async def trade() -> None:
        number = 0
        while not enough.is_set():
            await client.open(f"S{number}")
            if number % 7 == 0:
                await client.call("RecordRun", run=a_run(number), findings=[a_finding(symbol=f"V{number}")])
            number += 1

    async def published(relay: Process, more: int = 25) -> None:
        """Wait until it has published so many more, for a kill to hit it at work."""
        before = len(relay.lines)
        async with asyncio.timeout(60):
            while len(relay.lines) < before + more:
                assert relay.popen.poll() is None, relay.output
                await asyncio.sleep(0.005)

    trading = asyncio.create_task(trade())
    relay = cli.started("relay")
    try:
        for _ in range(2):
            await published(relay)
            await asyncio.to_thread(relay.stop, signal.SIGKILL)
            relay = cli.started("relay")
            await published(relay)
            server.kill()
            await asyncio.to_thread(server.start)
        await published(relay)
        enough.set()
        await trading
        last = await check_ledger(database)
        each_once_and_in_order(await stored(server, last), last)
    finally:
        trading.cancel()
        await asyncio.to_thread(relay.stop, signal.SIGKILL)


async def test_two_at_once_store_each_event_once(client: Client, server: Server, cli: CommandLine, database: str):
    """Nothing but where the stream ends keeps them apart: ids are forgotten at once. Each is killed, the other goes on."""
    connection = await nats.connect(server.url)
    await connection.jetstream().add_stream(StreamConfig(STREAM, subjects=["trueup.>"], duplicate_window=0.1))
    await connection.close()
    relays = [cli.started("relay"), cli.started("relay")]
    numbers = itertools.count(1)

    async def trade(events: int) -> int:
        for number in itertools.islice(numbers, events):
            await client.open(f"S{number}")
            if number % 5 == 0:
                await client.call("RecordRun", run=a_run(number), findings=[a_finding(symbol=f"V{number}")])
        return await check_ledger(database)

    try:
        for _ in range(2):
            each_once_and_in_order(await stored(server, last := await trade(40)), last)
            await asyncio.to_thread(relays.pop(0).stop, signal.SIGKILL)
            each_once_and_in_order(await stored(server, last := await trade(20)), last)
            relays.append(cli.started("relay"))
    finally:
        for relay in relays:
            await asyncio.to_thread(relay.stop, signal.SIGKILL)


async def test_who_is_behind_stores_nothing_twice(server: Server):
    def told(revision: int, kind: str = "positions") -> Letter:
        return Letter(kind, revision, f"trueup.{kind}.main.any", b"{}")

    notes: list[str] = []
    async with (
        Stream(server.url, STREAM, "trueup", notes.append) as one,
        Stream(server.url, STREAM, "trueup", notes.append) as other,
    ):
        inner = one._stream
        await inner.update_stream((await inner.stream_info(STREAM)).config.evolve(duplicate_window=0.1))
        await other.publish(told(5))
        for letter in (told(5), told(7), told(8, "drifts")):
            await one.publish(letter)
        await asyncio.sleep(0.3)  # longer than the stream knows ids
        for letter in (told(7), told(8, "drifts"), told(9)):
            await other.publish(letter)
        await one.publish(told(9))
        assert (await inner.stream_info(STREAM)).state.messages == 4
        for known in (one, other):
            assert await known.stored() == {"positions": 9, "drifts": 8}
    assert notes == [], "that somebody else has written is nothing to tell"


async def test_an_answer_that_is_lost_is_looked_for_in_the_stream(server: Server, monkeypatch: pytest.MonkeyPatch):
    async with Stream(server.url, STREAM, "trueup", lambda _: None) as target:
        inner, tries = target._stream, []
        config = (await inner.stream_info(STREAM)).config
        await inner.update_stream(config.evolve(duplicate_window=0.1))
        publish = inner.publish

        async def lose(*arguments: Any, **options: Any) -> Any:
            tries.append(await publish(*arguments, **options))
            if len(tries) == 1:
                await asyncio.sleep(0.5)  # longer than the stream knows ids
                raise TimeoutError
            return tries[-1]

        monkeypatch.setattr(inner, "publish", lose)
        for revision in (7, 9):
            await target.publish(Letter("positions", revision, "trueup.positions.main.opened", b"{}"))
        assert len(tries) == (await inner.stream_info(STREAM)).state.messages == 2
        await target.publish(Letter("drifts", 8, "trueup.drifts.main.size", b"{}"))
        assert await target.stored() == {"positions": 9, "drifts": 8}


async def test_a_stream_that_has_forgotten_is_not_guessed_about(
    client: Client, server: Server, cli: CommandLine, database: str
):
    await client.open("BTC")
    await client.open("ETH")
    await asyncio.to_thread(cli.rows, "relay", "--events", "2")
    connection = await nats.connect(server.url)
    stream = connection.jetstream()
    await stream.purge_stream(STREAM)
    told = await asyncio.to_thread(cli.refused, "relay")
    assert "say where to go on with --after-revision" in told
    await client.open("SOL")
    rows = await asyncio.to_thread(cli.rows, "relay", "--after-revision", "2", "--events", "1")
    assert rows == [{"kind": "positions", "revision": "3"}]
    await client.open("XRP")
    assert await asyncio.to_thread(cli.rows, "relay", "--events", "1") == [{"kind": "positions", "revision": "4"}]
    told = await asyncio.to_thread(cli.refused, "relay", "--after-revision", "1000")
    assert "the stream is of another ledger" in told
    await stream.add_stream(StreamConfig("other", subjects=["other.>"]))
    told = await asyncio.to_thread(cli.refused, "relay", "--stream", "other")
    assert "takes other subjects than trueup.>" in told
    await connection.close()


def test_errors_say_what_to_do(tmp_path: Path):
    cli = CommandLine(environment(tmp_path, NATS_URL=f"nats://someone:hidden@127.0.0.1:{free_port()}"))
    told = cli.refused("relay")
    assert "check the URL" in told
    assert "hidden" not in told
    code = "import sys; sys.modules['nats'] = None; sys.argv = ['trueup', 'relay']; from trueup_cli.app import main; main()"
    with Process([sys.executable, "-c", code], cli.env) as process:
        assert process.ended() == 1
        assert "pip install 'trueup[nats]'" in process.output
