"""Starting, answering for health, stopping in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1 import position_service_pb2_grpc as rpc

from grpckit.channel import connect, watch
from grpckit.errors import StartupError, from_rpc
from grpckit.guard import Guard
from grpckit.limits import Limits
from grpckit.server import Server, Service

NAME = pb.DESCRIPTOR.services_by_name["PositionService"].full_name
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


class Servicer(rpc.PositionServiceServicer):
    def __init__(self):
        self.entered, self.release = asyncio.Event(), asyncio.Event()

    async def GetPosition(self, request, context):
        self.entered.set()
        await self.release.wait()
        return pb.GetPositionResponse(revision=4)

    async def WatchPositions(self, request, context):
        yield pb.WatchPositionsResponse(revision=1)
        await asyncio.Event().wait()


def server_of(listen: str = "127.0.0.1:0", servicer: Servicer | None = None, **arguments) -> Server:
    guard = Guard(observe=lambda _: None)
    services = [Service(NAME, rpc.add_PositionServiceServicer_to_server, servicer or Servicer())]
    return Server(listen, services, guard, **arguments)


@contextlib.asynccontextmanager
async def running(**arguments):
    server = server_of(**arguments)
    port = await server.start()
    async with connect(f"127.0.0.1:{port}") as channel:
        yield server, channel, port
    await server.drain(0)


async def test_a_taken_port_is_a_clear_error():
    async with running() as (_, _, port):
        second = server_of(f"127.0.0.1:{port}")
        with pytest.raises(StartupError, match=rf"cannot listen on 127\.0\.0\.1:{port}: the port is taken: stop"):
            await second.start()


async def test_a_port_taken_by_anything_else_is_a_clear_error():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StartupError, match="the port is taken"):
            await server_of(f"127.0.0.1:{other.getsockname()[1]}").start()


async def test_a_port_is_free_again_after_the_drain():
    async with running() as (_, _, port):
        pass
    again = server_of(f"127.0.0.1:{port}")
    assert await again.start() == port
    await again.drain(0)


async def test_unix_sockets_are_not_stolen(tmp_path):
    address = f"unix:{tmp_path}/s"
    first = server_of(address)
    assert await first.start() == 0
    with pytest.raises(StartupError, match="another process listens on this socket"):
        await server_of(address).start()
    async with connect(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING
    await first.drain(0)
    again = server_of(address)
    await again.start()
    await again.drain(0)


@pytest.mark.parametrize(
    ("listen", "complaint"),
    [
        ("nonsense", "expected host:port"),
        ("127.0.0.1:99999", "expected host:port"),
        ("0.0.0.0:0", "refusing to listen on 0.0.0.0:0 without TLS"),
        (":0", "without TLS"),
        ("[::]:0", "without TLS"),
        ("example.org:0", "without TLS"),
    ],
)
def test_addresses_that_do_not_start(listen, complaint):
    with pytest.raises(StartupError, match=complaint):
        server_of(listen)


async def test_an_address_of_another_machine_is_a_clear_error():
    with pytest.raises(StartupError, match="this machine has no address"):
        await server_of("192.0.2.1:0", insecure=True).start()


async def test_insecure_must_be_spelled_out():
    server = server_of("0.0.0.0:0", insecure=True, drain_wait_s=0)
    assert await server.start() > 0
    await server.drain(0)


async def reflected(channel) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    async with watch(call) as responses:
        return [service.name for service in (await anext(responses)).list_services_response.service]


async def test_reflection_is_on_for_loopback():
    async with running() as (_, channel, _):
        assert await reflected(channel) == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            NAME,
        ]


async def test_reflection_is_off_elsewhere():
    async with running(listen="0.0.0.0:0", insecure=True, drain_wait_s=0) as (_, channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reflected(channel)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_of_the_server_and_of_each_service():
    async with running() as (server, channel, _):
        stub = health_pb2_grpc.HealthStub(channel)

        async def check(service: str) -> int:
            return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status

        assert await check("") == await check(NAME) == SERVING
        server.set_serving(False, NAME)
        assert (await check(""), await check(NAME)) == (SERVING, NOT_SERVING)
        with pytest.raises(KeyError):
            server.set_serving(True, "no.such.Service")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check("no.such.Service")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        statuses = (await stub.List(health_pb2.HealthListRequest())).statuses
        assert {name: status.status for name, status in statuses.items()} == {"": SERVING, NAME: NOT_SERVING}


async def test_health_watch_sees_each_change_until_the_drain():
    async with running() as (server, channel, _):
        stub = health_pb2_grpc.HealthStub(channel)
        unknown = watch(stub.Watch(health_pb2.HealthCheckRequest(service="no.such.Service")))
        async with unknown, watch(stub.Watch(health_pb2.HealthCheckRequest(service=NAME))) as statuses:
            assert (await anext(unknown)).status == UNKNOWN
            assert (await anext(statuses)).status == SERVING
            server.set_serving(False)
            assert (await anext(statuses)).status == NOT_SERVING
            server.set_serving(True)
            assert (await anext(statuses)).status == SERVING
            drained = asyncio.ensure_future(server.drain(30))
            with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012 - the loop is what ends
                while True:
                    assert (await anext(statuses)).status == NOT_SERVING
            assert from_rpc(caught.value).reason == "DRAINING"
            await asyncio.wait_for(drained, 10)


async def test_balancers_see_not_serving_before_calls_are_refused():
    servicer = Servicer()
    servicer.release.set()
    async with running(servicer=servicer, drain_wait_s=0.3) as (server, channel, _):
        health = health_pb2_grpc.HealthStub(channel)
        async with watch(health.Watch(health_pb2.HealthCheckRequest())) as statuses:
            assert (await anext(statuses)).status == SERVING
            drained = asyncio.ensure_future(server.drain(30))
            assert (await anext(statuses)).status == NOT_SERVING
            assert not server.stopping.is_set()
            server.set_serving(True)  # too late: it is final
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
            assert (await rpc.PositionServiceStub(channel).GetPosition(pb.GetPositionRequest())).revision == 4
            await asyncio.wait_for(drained, 10)


async def test_draining_ends_watches_at_once_and_lets_calls_end():
    servicer = Servicer()
    async with running(servicer=servicer) as (server, channel, _):
        stub = rpc.PositionServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        async with (
            watch(stub.WatchPositions(pb.WatchPositionsRequest())) as first,
            watch(stub.WatchPositions(pb.WatchPositionsRequest())) as second,
            watch(health.Watch(health_pb2.HealthCheckRequest())) as statuses,
        ):
            for stream in (first, second, statuses):
                await anext(stream)
            under_way = asyncio.ensure_future(stub.GetPosition(pb.GetPositionRequest()))
            await servicer.entered.wait()
            # The grace is far longer than the test may take: watches must not wait it out.
            drained = asyncio.ensure_future(server.drain(600))
            again = asyncio.ensure_future(server.drain(600))
            for stream in (first, second):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await asyncio.wait_for(anext(stream), 10)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                assert from_rpc(caught.value).reason == "DRAINING"
            assert server.stopping.is_set()
            assert not drained.done()
            servicer.release.set()
            assert (await under_way).revision == 4
            await asyncio.wait_for(asyncio.gather(drained, again), 10)


async def test_calls_that_outlast_the_grace_are_ended():
    servicer = Servicer()
    async with running(servicer=servicer) as (server, channel, _):
        under_way = asyncio.ensure_future(rpc.PositionServiceStub(channel).GetPosition(pb.GetPositionRequest()))
        await servicer.entered.wait()
        await asyncio.wait_for(server.drain(0.05), 10)
        with pytest.raises(grpc.aio.AioRpcError):
            await under_way


async def test_drain_before_start_is_harmless():
    await server_of().drain(1)


async def test_starting_twice_is_a_defect():
    async with running() as (server, _, _):
        with pytest.raises(RuntimeError):
            await server.start()


def test_services_are_known_by_name_or_not_at_all():
    with pytest.raises(StartupError, match=r"the service no\.such\.Service is unknown"):
        Server("127.0.0.1:0", [Service("no.such.Service", lambda *_: None, object())], Guard())


async def test_requests_beyond_the_limit_are_refused():
    async with running(limits=Limits(request_bytes=1_000)) as (_, channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{NAME}/GetPosition")(b"x" * 2_000)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
