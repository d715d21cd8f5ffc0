"""What the services depend on, as health and metrics tell it: the database that goes away, the writer that is slower."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from grpckit.channel import connect, watch
from tests.database_proxy import proxied
from tests.position_client import Client, eventually

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE = "trueup.position.v1.PositionService"


async def statuses(channel: Any) -> dict[str, int]:
    answer = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    return {name: one.status for name, one in answer.statuses.items()}


async def test_without_its_database_the_process_lives_and_its_services_do_not_serve(
    database: str, start_position: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("position_service.ledger.ledger.REACHABLE_S", 1.0)
    with structlog.testing.capture_logs() as logs:
        await _outage(database, start_position)
    told = [one.get("error", "") for one in logs if one["event"].startswith("database ")]
    assert told[-1] == "", "the last word is that it answers again"
    assert all(one != other for one, other in pairwise(told)), "what does not change is told once"


async def test_a_replica_without_its_database_gets_no_calls(
    database: str, start_position: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("position_service.ledger.ledger.REACHABLE_S", 1.0)
    async with proxied(database) as proxy:
        cut_off, other = await start_position(database_url=proxy.dsn), await start_position()
        both = f"ipv4:127.0.0.1:{cut_off.port},127.0.0.1:{other.port}"
        async with connect(both, service=SERVICE) as channel:
            client, numbers = Client(channel), itertools.count()

            async def all_is_written() -> bool:
                """Taking turns, half of these would reach the one that cannot write: it says so, after trying for long."""
                for number in itertools.islice(numbers, 20):
                    try:
                        async with asyncio.timeout(3):
                            await client.open(f"S{number}")
                    except TimeoutError:
                        return False
                return True

            stub = health_pb2_grpc.HealthStub(cut_off.channel)

            async def says(status: Any) -> bool:
                return (await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == status

            assert await all_is_written()
            proxy.is_open.clear()
            proxy.drop_all()
            await eventually(partial(says, NOT_SERVING))
            await eventually(all_is_written)
            proxy.is_open.set()
            await eventually(partial(says, SERVING))
            await other.stop()
            await eventually(all_is_written)


async def _outage(database: str, start_position: Any) -> None:
    async with proxied(database) as proxy:
        running = await start_position(database_url=proxy.dsn)
        stub = health_pb2_grpc.HealthStub(running.channel)
        one = health_pb2.HealthCheckRequest(service=SERVICE)
        async with watch(stub.Watch(one)) as told, asyncio.timeout(60):
            assert (await anext(told)).status == SERVING
            assert set((await statuses(running.channel)).values()) == {SERVING}
            proxy.is_open.clear()
            proxy.drop_all()
            assert (await anext(told)).status == NOT_SERVING
            found = await statuses(running.channel)
            assert found.pop("") == SERVING
            assert set(found.values()) == {NOT_SERVING}
            assert {SERVICE, "database"} < set(found)
            assert (await stub.Check(one)).status == NOT_SERVING
            assert (await stub.Check(health_pb2.HealthCheckRequest(service="database"))).status == NOT_SERVING
            assert REGISTRY.get_sample_value("trueup_database_up") == 0
            proxy.is_open.set()
            assert (await anext(told)).status == SERVING
            assert REGISTRY.get_sample_value("trueup_database_up") == 1


async def test_batches_conflicts_and_failures_are_counted(start_position: Any, monkeypatch: pytest.MonkeyPatch):
    ours, theirs = await start_position(), await start_position()
    counts, client = ours.app._ledger.committer.counts, Client(ours.channel)
    monkeypatch.setattr(ours.app._ledger, "refresh", asyncio.Event().wait)  # it learns of nothing by itself
    await client.open("A")
    await Client(theirs.channel).open("B")
    await client.open("C")
    assert (counts.conflicts, counts.failures) == (1, 0)
    assert sum(counts.writes._counts) == sum(counts.seconds._counts) == 2
    assert counts.writes._sum == 2
