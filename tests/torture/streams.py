"""Faults of those who listen, and of too many who talk: restart storms, stalled subscribers, overload."""

from __future__ import annotations

import asyncio
import random
import selectors
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub

from grpckit.channel import connect, follow, watch
from grpckit.errors import from_rpc
from tests.bench.http2 import END_STREAM, HEADERS, WINDOW_UPDATE, Connection, frame, request_headers
from tests.bench.http2 import message as framed
from tests.torture.cell import Cell, cluster, memory_kb
from tests.torture.history import Watched
from tests.torture.load import Server, Size
from tests.torture.run import Box, Run

QUIET = Size(writers=1, accounts=1, feeders=0, readers=0, watchers=1, pause_s=0.15)
FIRST_BYTES = 256
SLOW_S = 11.0  # what the service takes for stalled, and a second
TOLD = b"resume"  # of the text of WATCHER_TOO_SLOW
MOST_GROWTH_KB = 256 * 1024  # of a service with a thousand subscribers, two hundred of which take nothing


async def storms(run: Run, seconds: float, share: float) -> None:
    """Rolling restarts while hundreds follow with the client helper that is shipped: nothing lost, nothing twice."""
    followers = max(20, round(500 * share))
    box = Box(run, "storms", seconds, restart_storm=max(1, round(5 * share)))
    chance = random.Random(f"{run.seed} storms")
    async with cluster() as postgres:
        while box.going():
            cell = Cell(postgres.folder, "r", chance.randrange(1 << 30), QUIET, await postgres.new_database())
            port = await _port(cell)
            cell.load.start()
            async with (
                connect(f"127.0.0.1:{port}", watching=True) as one,
                connect(f"127.0.0.1:{port}", watching=True) as two,
            ):
                stubs = [PositionServiceStub(one), PositionServiceStub(two)]
                tasks = [asyncio.create_task(_follow(cell, stubs[n % 2])) for n in range(followers)]
                for _ in range(3):
                    if not box.going():
                        break
                    await cell.load.more(10)
                    await cell.kill(cell.processes[0])
                    await cell.start(POSITION_LISTEN=f"127.0.0.1:{port}")
                    run.count("restart storm")
                    run.count("resumed watcher", followers)
                await cell.load.more(10)
                verdict = await _settled(cell, tasks)
            run.took("storms", verdict)
    box.close()


async def _port(cell: Cell) -> int:
    """Start a service at a port of the system's choice, to start it there again."""
    process = await cell.start()
    return process.port


async def _follow(cell: Cell, stub: Any) -> None:
    watched = Watched("", 0)
    cell.load.history.watched.append(watched)
    connection = watched.begin()
    request = lambda after: stub.WatchPositions(pb.WatchPositionsRequest(after_revision=after))  # noqa: E731
    async for message in follow(request, 0):
        connection.take(message)


async def _settled(cell: Cell, tasks: list[asyncio.Task[None]]) -> Any:
    """Let everyone get to the last event, then judge."""
    cell.load._stop.set()
    await asyncio.gather(*cell.load._tasks[:1])
    last = max(one.answer.revision for one in cell.load.history.operations if one.answer is not None)
    until = time.monotonic() + 120
    while any(one.bookmark < last for one in cell.load.history.watched) and time.monotonic() < until:
        await asyncio.sleep(0.1)
    behind = sum(one.bookmark < last for one in cell.load.history.watched)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    verdict = await cell.finish()
    if behind:
        verdict.violations.append(f"alive: {behind} followers did not get to {last} within two minutes")
    return verdict


async def stalled(run: Run, seconds: float, share: float) -> None:
    """A fifth of the subscribers take nothing: memory is bounded, they are told to resume, the others get everything."""
    subscribers = max(50, round(1000 * share))
    box = Box(run, "stalled", seconds, stalled_subscriber=subscribers // 5)
    chance = random.Random(f"{run.seed} stalled")
    async with cluster() as postgres:
        while box.going():
            size = Size(writers=0, accounts=1, feeders=1, batch=300, readers=0, watchers=1, pause_s=1.0)
            cell = Cell(postgres.folder, "g", chance.randrange(1 << 30), size, await postgres.new_database())
            process = await cell.start()
            healthy = [Watched("", 0) for _ in range(subscribers - subscribers // 5)]
            cell.load.history.watched += healthy[:50]  # the checker looks at some whole, at all of them by number
            servers = [Server(process.address) for _ in range(4)]
            before = memory_kb(process.process.pid)
            reading = [asyncio.create_task(_take(servers[n % 4], one)) for n, one in enumerate(healthy)]
            still = [Still(process.address, subscribers // 20) for _ in range(4)]
            long_enough = share >= 0.5
            async with standing(still):
                cell.load.start()
                await cell.load.more(max(4, round(50 * share)), 240)
                cell.load._stop.set()
                await asyncio.gather(*cell.load._tasks[:1])
                last = max(one.answer.revision for one in cell.load.history.operations if one.answer is not None)
                behind = await _all_at(healthy, last)
                grown = memory_kb(process.process.pid) - before
                count = sum(one.count for one in still)
                run.count("stalled subscriber", count)
                run.count("subscriber", subscribers)
                await asyncio.sleep(SLOW_S if long_enough else 0)
                for one in still:
                    one.ends = time.monotonic() + (60 if long_enough else 0)
            told = sum(one.told for one in still)
            run.count("stalled subscriber told to resume", told)
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
            for server in servers:
                await server.close()
            verdict = await cell.finish()
            if long_enough and told < count:
                verdict.violations.append(f"slow: of {count} stalled subscribers {told} were told to resume")
            if behind:
                verdict.violations.append(f"alive: {behind} healthy subscribers did not get to {last}")
            if grown > MOST_GROWTH_KB:
                verdict.violations.append(f"memory: the service grew by {grown} kB")
            run.say(
                f"stalled: {subscribers} subscribers, {last} events, grew by {grown} kB, {told} were told to resume"
            )
            verdict.delivered += sum(len(c.events) for one in healthy[50:] for c in one.connections)
            run.took("stalled", verdict)
    box.close()


async def _take(server: Server, watched: Watched) -> None:
    while True:
        connection = watched.begin()
        request = pb.WatchPositionsRequest(after_revision=connection.after)
        try:
            async with watch(server.watching.WatchPositions(request)) as stream:
                async for message in stream:
                    connection.take(message)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)


class Still(Connection):
    """Streams on a connection that lives, of which nothing is taken but the first bytes, until they read on."""

    def __init__(self, address: str, count: int) -> None:
        super().__init__(address, stream_window=FIRST_BYTES)
        self.count = count
        self.ends: float | None = None  # once it reads on: when it stops, by the monotonic clock
        self.told = 0
        body = framed(pb.WatchPositionsRequest(after_revision=0).SerializeToString())
        self._left = {self.call(request_headers("/trueup.position.v1.PositionService/WatchPositions"), body)
                      for _ in range(count)}  # fmt: skip
        self.flush()

    def stand(self) -> None:
        """Answer pings; once it reads on, take everything until every stream has ended, or its time is over."""
        reads_on = False
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while self._left and (self.ends is None or time.monotonic() < self.ends):
                if self.ends is not None and not reads_on:
                    reads_on = True
                    for stream in self._left:
                        self._out += frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 1 << 30))
                if selector.select(timeout=0.1):
                    self.receive()
                self.flush()
        self.close()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS and flags & END_STREAM:  # the status; gRPC does not compress its text
            self.told += TOLD in payload
        super()._take(kind, flags, stream, payload)

    def on_end(self, stream: int) -> None:
        self._left.discard(stream)


@asynccontextmanager
async def standing(still: Sequence[Still]) -> AsyncIterator[None]:
    """Each in a thread of its own; ended whatever happens in the block: threads would keep the process."""
    keeping = [asyncio.create_task(asyncio.to_thread(one.stand)) for one in still]
    try:
        yield
    finally:
        for one in still:
            one.ends = 0.0 if one.ends is None else one.ends
        await asyncio.gather(*keeping, return_exceptions=True)  # what was not told is counted by who asks


async def _all_at(watched: list[Watched], revision: int) -> int:
    """How many have not got there in two minutes."""
    until = time.monotonic() + 120
    while time.monotonic() < until and any(one.bookmark < revision for one in watched):
        await asyncio.sleep(0.1)
    return sum(one.bookmark < revision for one in watched)


async def overload(run: Run, seconds: float, share: float) -> None:
    """Ten times as many calls at once as are let in: refused early and by name, and served again when it is over."""
    box = Box(run, "overload", seconds, overload=max(1, round(5 * share)))
    chance = random.Random(f"{run.seed} overload")
    admitted = 10  # few: a quick machine is done with forty before the others come
    async with cluster() as postgres:
        while box.going():
            size = Size(writers=40 * admitted, accounts=40, feeders=0, readers=4, watchers=2)
            dsn = await postgres.new_database()
            cell = Cell(
                postgres.folder, "o", chance.randrange(1 << 30), size, dsn, LIMITS__UNARY_IN_FLIGHT=str(admitted)
            )
            try:
                process = await cell.start()
                cell.load.start()
                await cell.load.more(round(1500 * min(1.0, share + 0.3)))
                run.count("overload")
                codes = cell.load.history.codes
                run.count("call refused for overload", codes.get("RESOURCE_EXHAUSTED OVERLOADED", 0))
                if not codes.get("RESOURCE_EXHAUSTED OVERLOADED"):
                    run.wrong("overload", ["overload: nothing was refused"])
                verdict = await cell.finish_load()
                run.wrong("overload", await _serves(process.address))
            except TimeoutError as error:
                run.wrong("overload", [f"alive: {error}"])
                verdict = []
            run.wrong("overload", verdict)
            run.took("overload", await cell.judge())
    box.close()


async def _serves(address: str) -> list[str]:
    """Whether it answers at once, now that nobody else asks."""
    async with connect(address) as channel:
        stub: Any = PositionServiceStub(channel)
        try:
            await stub.ListPositions(pb.ListPositionsRequest(page_size=1), timeout=30)
        except grpc.aio.AioRpcError as error:
            return [f"overload: it did not recover: {from_rpc(error)}"]
    return []
