"""Three Position services on one PostgreSQL, killed at random under load: clients notice nothing but a retry."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub

from grpckit.channel import connect, follow
from grpckit.errors import RpcError
from tests.e2e.processes import free_port
from tests.position_client import Client, check_ledger
from tests.service_process import ServiceProcess

REPLICAS, WRITERS, WATCHERS, KILLS = 3, 6, 3, 4
BETWEEN = 20  # writes that are acknowledged before the next one is killed
PATIENCE_S = 120.0


class Fleet:
    """The replicas, behind one name: a client takes one after the other, as behind a headless service."""

    def __init__(self, database: str, folder: Path) -> None:
        self._settings = {"DATABASE_URL": database, "WATCH_PROGRESS_INTERVAL": "1", "LOG_FORMAT": "json"}
        self._folder = folder
        self._ports = [free_port() for _ in range(REPLICAS)]
        self.target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self._ports)
        self._running = [self._start(port) for port in self._ports]

    def _start(self, port: int) -> ServiceProcess:
        return ServiceProcess(self._folder, self._settings | {"POSITION_LISTEN": f"127.0.0.1:{port}"})

    async def ready(self) -> None:
        for process in self._running:
            await asyncio.to_thread(process.ready)

    async def replace(self, number: int) -> None:
        """Kill one as the kernel does, and start it again at its address."""
        await asyncio.to_thread(self._running[number].kill)
        self._running[number] = self._start(self._ports[number])
        await asyncio.to_thread(self._running[number].ready)

    def stop(self) -> None:
        for process in self._running:
            process.kill()


class Desk:
    """What the clients did, and all that they noticed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.acknowledged: dict[str, str] = {}  # position by request
        self.reduced = 0
        self.noticed: Counter[grpc.StatusCode] = Counter()
        self.enough = asyncio.Event()

    async def sure(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Repeat a call, the same each time, until it is answered; only that nobody was there is a reason to."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await attempt()
                except RpcError as error:
                    if error.code is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    self.noticed[error.code] += 1
                    await asyncio.sleep(0.05)

    async def write(self, name: str) -> None:
        """Open, trade and read back what was acknowledged, wherever the next call goes."""
        number = 0
        while not self.enough.is_set():
            symbol = f"{name}-{number}"
            number += 1
            opened = await self.sure(lambda s=symbol: self.client.open(s, request_id=s))
            self.acknowledged[symbol] = opened.position_id
            found = (await self.sure(lambda s=symbol: self.client.call("GetPosition", symbol=s))).position
            assert found == opened, "a strong read showed less than was acknowledged"
            trade = {"symbol": "SHARED", "size": "1", "price": "100", "request_id": f"{symbol}-trade"}
            await self.sure(lambda t=trade: self.client.call("ReducePosition", **t))
            self.reduced += 1

    async def reached(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.acknowledged) < count:
                await asyncio.sleep(0.02)


async def watched(stub: Any, until: asyncio.Future[int]) -> list[Any]:
    """Every event from the first on, as one subscriber sees them across all that ends its streams."""
    events: list[Any] = []
    stream = follow(
        lambda revision: stub.WatchPositions(pb.WatchPositionsRequest(after_revision=revision)), progress_timeout_s=30
    )
    async with aclosing(stream), asyncio.timeout(PATIENCE_S):
        async for message in stream:
            events += message.events
            if until.done() and message.revision >= until.result():
                break
    return events


@asynccontextmanager
async def fleet_on(database: str, folder: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(database, folder)
    try:
        await fleet.ready()
        yield fleet
    finally:
        fleet.stop()


async def test_replicas_killed_under_load_lose_and_double_nothing(database: str, tmp_path: Path) -> None:
    chance = random.Random()
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with (
        fleet_on(database, tmp_path) as fleet,
        connect(fleet.target) as calls,
        connect(fleet.target, watching=True) as streams,
    ):
        desk = Desk(Client(calls))
        await desk.client.open("SHARED", size="100000")
        watchers = [asyncio.create_task(watched(PositionServiceStub(streams), end)) for _ in range(WATCHERS)]
        async with asyncio.TaskGroup() as load:
            for writer in range(WRITERS):
                load.create_task(desk.write(f"W{writer}"))
            for kill in range(KILLS):
                await desk.reached(BETWEEN * (kill + 1))
                await fleet.replace(chance.randrange(REPLICAS))
            await desk.reached(len(desk.acknowledged) + BETWEEN)
            desk.enough.set()

        total = await check_ledger(database, desk.client)
        end.set_result(total)
        await desk.sure(lambda: desk.client.open("LAST"))  # so that streams which are quiet move on
        seen = await asyncio.gather(*watchers)
        left = (await desk.client.call("GetPosition", symbol="SHARED")).position

    assert left.size == str(100_000 - desk.reduced)
    assert total == 1 + len(desk.acknowledged) + desk.reduced, "something was lost, or happened twice"
    for events in seen:
        mine = [event for event in events if event.revision <= total]
        assert [event.revision for event in mine] == list(range(1, total + 1)), "a watch left out or repeated something"
        opened = {e.after.symbol: e.position_id for e in mine if e.type == position_pb2.POSITION_EVENT_TYPE_OPENED}
        assert opened == desk.acknowledged | {"SHARED": left.position_id}
    assert set(desk.noticed) <= {grpc.StatusCode.UNAVAILABLE}
