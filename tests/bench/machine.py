"""What the benchmark runs on: PostgreSQL, the services and the yardsticks, each in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import grpc
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub

from position_service.database import prepare
from position_service.embedded import EmbeddedPostgres, binaries
from tests.service_process import ServiceProcess

SERVICE = "/trueup.position.v1.PositionService/"
_START_S = 120.0
Answer = TypeVar("Answer")


class Unusable(Exception):
    """The machine lacks something, or is not what the benchmark claims."""


@dataclass(slots=True)
class Size:
    """How much is measured. ``share`` below 1 only proves that it works."""

    rounds: int = 3
    share: float = 1.0

    def of(self, count: int, least: int = 1) -> int:
        return max(least, round(count * self.share))


class Machine:
    """Starts things on demand; ``with machine(...)`` stops them all."""

    def __init__(self, size: Size, folder: Path, on_exit: ExitStack) -> None:
        self.size = size
        self.folder = folder
        self._on_exit = on_exit
        self._postgres: EmbeddedPostgres | None = None
        self._databases = 0
        self._shared: dict[str, Any] = {}

    @property
    def postgres(self) -> EmbeddedPostgres:
        if self._postgres is None:
            server = EmbeddedPostgres(self.folder / "pg")
            asyncio.run(server.start())
            self._on_exit.callback(lambda: asyncio.run(server.stop()))
            self._postgres = server
        return self._postgres

    def shared(self, name: str, start: Callable[[], AbstractContextManager[Answer]]) -> Answer:
        """What several rows use one after the other: started once, stopped at the end."""
        if name not in self._shared:
            self._shared[name] = self._on_exit.enter_context(start())
        found: Answer = self._shared[name]
        return found

    def database(self) -> str:
        """The DSN of a new database with the schema in it, on a server that loses nothing."""
        self._databases += 1
        name = f"bench{self._databases}"
        sql(self.postgres.dsn, f"CREATE DATABASE {name}")
        dsn = self.postgres.dsn.replace("/postgres?", f"/{name}?")
        asyncio.run(prepare(dsn))
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            if (value := sql(dsn, f"SHOW {setting}")) != "on":
                raise Unusable(f"{setting} is {value}: nothing measured here would be durable")
        return dsn

    @contextmanager
    def cpu(self, service: ServiceProcess) -> Iterator[dict[str, float]]:
        """Seconds of CPU that the service and PostgreSQL took in the block, once it is over."""
        postmaster = int((self.folder / "pg" / "data" / "postmaster.pid").read_text().splitlines()[0])
        of = {"service": lambda: _cpu_of(service.process.pid), "PostgreSQL": lambda: _cpu_of(*_children(postmaster))}
        before = {name: read() for name, read in of.items()}
        used: dict[str, float] = {}
        yield used
        used.update({name: read() - before[name] for name, read in of.items()})

    def settle(self, dsn: str) -> None:
        """Leave no work of what came before to what comes next."""
        sql(dsn, "VACUUM ANALYZE")
        sql(dsn, "CHECKPOINT")

    @contextmanager
    def position(self, dsn: str, **settings: str) -> Iterator[ServiceProcess]:
        """The Position service, as in production."""
        service = ServiceProcess(self.folder, {"DATABASE_URL": dsn, **settings})
        try:
            yield service.ready()
        finally:
            if service.process.poll() is None:
                service.terminate()

    @contextmanager
    def module(self, name: str, *arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[str]:
        """A helper of the benchmark that says ``listening`` when it serves. Its address."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | dict(settings or {})
        log = self.folder / f"{name}-{time.monotonic_ns()}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", name, *arguments], env=environment, stdout=out, stderr=out
            )
        try:
            yield f"127.0.0.1:{_port(process, log)}"
        finally:
            process.terminate()
            process.wait(60)


def listening(port: int) -> None:
    """Say where a helper of the benchmark serves; whoever started it waits for that."""
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + _START_S
    while True:
        for line in log.read_text().splitlines():
            if line.startswith('{"port"'):
                return int(json.loads(line)["port"])
        if process.poll() is not None or time.monotonic() > until:
            raise Unusable(f"{process.args!r} did not start: {log.read_text()}")
        time.sleep(0.02)


@contextmanager
def machine(size: Size) -> Iterator[Machine]:
    """A folder for everything, gone afterwards. In /tmp: socket paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="tu-bench-", dir="/tmp"))
    folder.chmod(0o755)
    with ExitStack() as on_exit:
        on_exit.callback(shutil.rmtree, folder, ignore_errors=True)
        yield Machine(size, folder, on_exit)


def sql(dsn: str, query: str, *arguments: Any) -> Any:
    """One statement; the first value of its answer."""

    async def run() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    return asyncio.run(run())


def client(address: str) -> grpc.Channel:
    """A channel for what is not measured."""
    return grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])


def seed(address: str, fills: Iterator[pb.Fill], account: str = "main", batch: int = 5_000) -> None:
    """Open positions by booking fills."""
    with client(address) as channel:
        stub = PositionServiceStub(channel)
        request = pb.RecordFillsRequest(account=account)
        for fill in fills:
            request.fills.append(fill)
            if len(request.fills) == batch:
                stub.RecordFills(request, timeout=120)
                del request.fills[:]
        if request.fills:
            stub.RecordFills(request, timeout=120)


@dataclass(frozen=True, slots=True)
class Load:
    """What h2load measured."""

    seconds: float
    calls: int
    data_bytes: int


def h2load(address: str, method: str, body: bytes, *, calls: int, in_flight: int, connections: int = 4) -> Load:
    """One body, again and again. Raises Unusable when not every call was answered."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        command = ["h2load", "-n", calls, "-c", connections, "-m", in_flight // connections, "-t", 1, "-d", file.name]
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        output = run([*command, *headers, f"http://{address}{SERVICE}{method}"])
    seconds = re.search(r"finished in ([\d.]+)(ms|s|m)", output)
    done = re.search(r"(\d+) succeeded, 0 failed", output)
    data = re.search(r"\((\d+)\) data", output)
    if not (seconds and done and data) or int(done[1]) < calls // connections * connections:
        raise Unusable(f"h2load: {output}")
    scale = {"ms": 1e-3, "s": 1.0, "m": 60.0}[seconds[2]]
    return Load(float(seconds[1]) * scale, int(done[1]), int(data[1]))


def pgbench(dsn: str, script: str, *, clients: int, seconds: int) -> tuple[float, float]:
    """Transactions a second, and the average latency in seconds."""
    parts = re.fullmatch(r"postgresql://(\w+)@/(\w+)\?host=(.+)", dsn)
    assert parts is not None
    user, database, host = parts.groups()
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        threads = min(2, clients)
        options = ["-n", "-M", "prepared", "-c", clients, "-j", threads, "-T", seconds, "-f", file.name]
        output = run([binaries() / "pgbench", *options, "-U", user, "-h", host.replace("%2F", "/"), database])
    tps, latency = re.search(r"tps = ([\d.]+)", output), re.search(r"latency average = ([\d.]+) ms", output)
    if tps is None or latency is None or "number of failed transactions: 0 " not in output:
        raise Unusable(f"pgbench: {output}")
    return float(tps[1]), float(latency[1]) / 1_000


def run(command: Sequence[object]) -> str:
    """A program's output. Raises Unusable when it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise Unusable(f"{command[0]}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stdout


@contextmanager
def own_cpu() -> Iterator[list[float]]:
    """The share of a core that the load's own work took, as the only item once the block is over."""
    share: list[float] = []
    began, before = time.perf_counter(), _cpu_s()
    yield share
    share.append((_cpu_s() - before) / (time.perf_counter() - began))


def _cpu_s() -> float:
    both = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in both)


def _stat(pid: str) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything; none for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _children(parent: int) -> list[int]:
    pids = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [int(pid) for pid in pids if (stat := _stat(pid)) and stat[1] == str(parent)]


def _cpu_of(*pids: int) -> float:
    ticks = sum(int(stat[11]) + int(stat[12]) for pid in pids if (stat := _stat(str(pid))))
    return ticks / os.sysconf("SC_CLK_TCK")
