"""Two Reconcilers as processes: one is active, the other stands by and answers, and takes over after kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from trueup.position.v1 import reconciliation_log_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2

from grpckit.channel import connect, watch
from reconciler_service.lease import Lease
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.wire import Style
from tests.reconciler_samples import until

TTL_S = 1.0


class Replica:
    """``python -m reconciler_service`` and a client of it."""

    def __init__(self, process: asyncio.subprocess.Process, channel: grpc.aio.Channel, address: str) -> None:
        self.process = process
        self.address = address
        self.channel = channel
        self.stub = reconciler_service_pb2_grpc.ReconcilerServiceStub(channel)

    async def status(self) -> pb.GetStatusResponse:
        return await self.stub.GetStatus(pb.GetStatusRequest(), wait_for_ready=True, timeout=20)

    async def active(self, *, wanted: bool = True) -> None:
        """Wait until it is the active one, or is not."""
        async with asyncio.timeout(20):
            while (await self.status()).active is not wanted:
                await asyncio.sleep(0.02)

    async def told(self) -> str:
        """What ``trueup venues`` says to people about who runs the cycles."""
        env = {**os.environ, "RECONCILER_ADDRESS": self.address}
        command = (Path(sys.executable).parent / "trueup", "venues", "--json")
        pipe = asyncio.subprocess.PIPE
        asked = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe, stderr=pipe)
        venues, said = await asyncio.wait_for(asked.communicate(), 60)
        assert (asked.returncode, b'"hyperliquid"' in venues) == (0, True), said
        return said.decode()

    async def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        await asyncio.wait_for(self.process.wait(), 20)


Start = Callable[[str], Awaitable[Replica]]


@pytest.fixture
async def venue() -> AsyncIterator[Any]:
    """A simulated venue that holds five positions the book has not."""
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    serving = await server.serve(exchange, style=Style(), budget=Budget(time.monotonic, limit=10**9))
    serving.exchange = exchange
    yield serving
    await serving.close()


@pytest.fixture
async def start(position: Any, venue: Any, tmp_path: Path) -> AsyncIterator[Start]:
    replicas: list[Replica] = []

    async def start_one(name: str) -> Replica:
        socket = f"unix:{tmp_path}/{name}.sock"
        settings = {
            "RECONCILER_LISTEN": socket,
            "POSITION_ADDRESS": position.address,
            "VENUES": "simulated",
            "HYPERLIQUID_ADDRESS": scenario.DESK,
            "HYPERLIQUID_API_URL": venue.url,
            "RECONCILIATION_INTERVAL": "0.2",
            "CONFIRMATION_DELAY": "0.02",
            "RECONCILER_LEASE_TTL": str(TTL_S),
            "DRAIN_GRACE": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        with (tmp_path / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "reconciler_service", env={**os.environ, **settings}, stderr=log
            )
        replicas.append(Replica(process, connect(socket, watching=True), socket))
        return replicas[-1]

    yield start_one
    for replica in replicas:
        await replica.channel.close()
        if replica.process.returncode is None:
            await replica.end(signal.SIGKILL)


async def test_a_standby_answers_and_takes_over_after_kill_9(start: Start, venue: Any) -> None:
    first = await start("first")
    await first.active()
    second = await start("second")
    assert not (await second.status()).active
    # It serves what there is, and runs what is asked for.
    asked = await second.stub.Reconcile(pb.ReconcileRequest(), timeout=20)
    assert {drift.symbol for drift in asked.drifts} == {"BTC", "ETH", "SOL", "HYPE", "xyz:TSLA"}
    listed = await second.stub.ListDrifts(pb.ListDriftsRequest())
    assert len(listed.drifts) == 5, "two Reconcilers saw it, and it is one case each"
    assert (await first.status()).active
    assert not (await second.status()).active
    assert "stands by" in await second.told()

    async with asyncio.timeout(30), watch(second.stub.StreamDriftEvents(pb.StreamDriftEventsRequest())) as stream:
        await anext(stream)
        await first.end(signal.SIGKILL)
        killed_at = time.monotonic()
        venue.exchange.trade(scenario.DESK, "ARB", True, Decimal(1_000))
        symbols: list[str] = []
        while "ARB" not in symbols:
            symbols += [event.drift.symbol for event in (await anext(stream)).events]
    took_s = time.monotonic() - killed_at
    assert (await second.status()).active
    assert await second.told() == ""
    assert took_s < 10 * TTL_S
    newest = (await second.stub.GetLastRun(pb.GetLastRunRequest())).run
    assert newest.trigger in {"start", "interval"}


async def test_who_leaves_in_good_order_is_replaced_at_once(start: Start) -> None:
    first = await start("first")
    await first.active()
    second = await start("second")
    await second.active(wanted=False)
    await first.end(signal.SIGTERM)
    await second.active()
    runs = (await second.stub.ListRuns(pb.ListRunsRequest(page_size=1000))).runs
    assert {run.trigger for run in runs} <= {"start", "interval"}
    assert not any(check.outcome != drift_pb2.CHECK_OUTCOME_OK for check in runs[0].checks)


async def test_a_lease_ends_by_itself_when_the_ledger_is_away(start_position: Any, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/p.sock"
    service = await start_position(position_listen=address)
    async with connect(address) as channel:
        log = reconciliation_log_service_pb2_grpc.ReconciliationLogServiceStub(channel)
        mine, other = Lease(log, TTL_S), Lease(log, TTL_S)
        taken: list[str] = []
        tasks = [asyncio.create_task(mine.keep(lambda: taken.append("mine")))]
        await until(lambda: mine.is_held)
        tasks.append(asyncio.create_task(other.keep(lambda: taken.append("other"))))
        await service.app.stop()
        await until(lambda: not mine.is_held)
        await other.give_up()  # it holds nothing: nothing to tell
        await start_position(position_listen=address)
        await until(lambda: mine.is_held or other.is_held)
        assert mine.is_held is not other.is_held
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        holder, standby = (mine, other) if mine.is_held else (other, mine)
        await holder.give_up()
        assert not holder.is_held
        last = asyncio.create_task(standby.keep(lambda: taken.append("last")))
        await until(lambda: standby.is_held)
        last.cancel()
        assert taken[0] == "mine"
        assert taken[-1] == "last"
