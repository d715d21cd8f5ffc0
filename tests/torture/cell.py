"""One ledger under torture: a database of its own, the processes that serve it, the clients, and the verdict."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub

from grpckit.channel import connect
from position_service.embedded import EmbeddedPostgres
from tests.service_process import ServiceProcess
from tests.torture.checker import Checker, check
from tests.torture.load import Load, Size

PATCHED = "tests.torture.launch"


class Cluster:
    """A PostgreSQL of our own, which may be hurt. Short paths under /tmp, because sockets need them."""

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trueup-torture-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._server = EmbeddedPostgres(self.folder, options=["-c max_connections=300", *options])
        self.dsn = ""

    async def start(self) -> None:
        await self._server.start()
        self.dsn = self._server.dsn

    async def crash(self) -> None:
        """As after a power cut: nothing is finished, the log is replayed."""
        data = self._server._data
        arguments = ["-w", "-D", data, "-l", data / "restart.log", "-m", "immediate", "restart"]
        await asyncio.to_thread(self._server._run, "pg_ctl", *arguments)

    async def stop(self) -> None:
        await self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def new_database(self) -> str:
        """The DSN of an empty database."""
        name = f"t{uuid.uuid4().hex}"
        admin = await asyncpg.connect(self.dsn)
        try:
            await admin.execute(f"CREATE DATABASE {name}")
        finally:
            await admin.close()
        return self.dsn.replace("/postgres?", f"/{name}?")


_CELLS: dict[Path, list[Cell]] = {}  # by the folder of their cluster, so that whatever ends a part ends them


@asynccontextmanager
async def cluster(*options: str) -> AsyncIterator[Cluster]:
    """A PostgreSQL for the time of a block."""
    one = Cluster(*options)
    try:
        await one.start()
        yield one
    finally:
        for cell in _CELLS.pop(one.folder, []):
            await cell.give_up()
        await one.stop()


@dataclass
class Verdict:
    """What one ledger went through, and what was wrong."""

    operations: int = 0
    delivered: int = 0
    revision: int = 0
    repeated: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


class Cell:
    """``dsn`` is where the processes find the ledger, which may be through a proxy; ``true_dsn`` is the ledger itself."""

    def __init__(self, folder: Path, name: str, seed: int, size: Size, true_dsn: str, dsn: str = "", **settings: str):
        self.name, self.seed = name, seed
        self.true_dsn, self._dsn = true_dsn, dsn or true_dsn
        self.load = Load(name, seed, size)
        self.processes: list[ServiceProcess] = []
        self._folder = folder
        self._settings = {"DRAIN_GRACE": "1", "LOG_LEVEL": "INFO", "WATCH_PROGRESS_INTERVAL": "0.5"} | settings
        self._all: list[ServiceProcess] = []
        _CELLS.setdefault(folder, []).append(self)

    async def start(self, **settings: str) -> ServiceProcess:
        """One more process; it serves when this returns."""
        process = await self.launch(**settings)
        self.processes.append(process)
        self.use()
        return process

    async def launch(self, **settings: str) -> ServiceProcess:
        """The same, without giving it to the clients yet."""
        wanted = {"DATABASE_URL": self._dsn, "LOG_FORMAT": "json"} | self._settings | settings
        module = PATCHED if any(name.startswith("TORTURE_") for name in wanted) else "position_service"
        process = ServiceProcess(self._folder, wanted, module=module)
        self._all.append(process)
        await asyncio.to_thread(process.ready)
        return process

    def use(self) -> None:
        """Tell the clients where to go."""
        self.load.use(*(process.address for process in self.processes))

    async def kill(self, process: ServiceProcess) -> None:
        """Kill -9."""
        self.processes.remove(process)
        process.process.send_signal(signal.SIGKILL)
        self.use()
        await asyncio.to_thread(process.process.wait)

    async def replace_dead(self) -> int:
        """Start anew what has ended by itself; how many that were."""
        dead = [process for process in self.processes if process.process.poll() is not None]
        for process in dead:
            self.processes.remove(process)
        self.use()
        for _ in dead:
            await self.start()
        return len(dead)

    async def finish(self, deadline_s: float = 60.0) -> Verdict:
        """Stop the load, let the service verify its own history, end the processes, judge."""
        violations = await self.finish_load(deadline_s)
        verdict = await self.judge()
        verdict.violations[:0] = [f"{self.name}: {line}" for line in violations]
        return verdict

    async def finish_load(self, deadline_s: float = 60.0) -> list[str]:
        """Let every client come to an end; what is wrong if they do not."""
        violations: list[str] = []
        try:
            await self.load.stop(deadline_s)
        except TimeoutError:
            violations.append("alive: clients or watchers did not come to an end")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            violations.append(f"alive: a client ended with {type(error).__name__}: {error}")
        return violations

    async def judge(self) -> Verdict:
        """End the processes, once the load has ended, and judge what was recorded."""
        violations: list[str] = []
        if self.processes:
            violations += await self._own_verdict(self.processes[0].address)
        await self.end()
        _CELLS.get(self._folder, [self]).remove(self)
        checker: Checker = await check(self.true_dsn, self.load.history)
        history = self.load.history
        return Verdict(
            operations=history.size,
            delivered=history.delivered,
            revision=checker._chain.revision,
            repeated=history.repeated,
            codes=history.codes,
            violations=[f"{self.name}: {line}" for line in violations + checker.violations],
        )

    async def give_up(self) -> None:
        """End everything, without a verdict."""
        await self.load.give_up()
        await self.end()

    async def _own_verdict(self, address: str) -> list[str]:
        async with connect(address) as channel:
            stub: Any = PositionServiceStub(channel)
            try:
                verdict = await stub.VerifyHistory(pb.VerifyHistoryRequest(), timeout=60)
            except grpc.aio.AioRpcError as error:
                return [f"alive: VerifyHistory ended with {error.code().name} {error.details()}"]
        return [] if verdict.intact else [f"chain: VerifyHistory says {verdict.problem}"]

    async def end(self) -> None:
        """End every process that was ever started, by its pid."""
        for process in self._all:
            if process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
                process.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.process.wait)
        self.processes = []


def memory_kb(pid: int) -> int:
    """What a process has resident."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
