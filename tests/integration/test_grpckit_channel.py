"""Streams from the client's side: always cancelled, resumed for ever, nothing lost or repeated."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1 import position_service_pb2_grpc as rpc

from grpckit.channel import connect, follow, watch
from grpckit.errors import Pruned, RpcError
from grpckit.guard import Guard
from grpckit.server import Server, Service

FAST = {"first_backoff_s": 0.001, "max_backoff_s": 0.02}


class Log(rpc.PositionServiceServicer):
    """A log of revisions, shared by the servers of a test. Misbehaves as `faults` say, one a stream."""

    def __init__(self):
        self.head = 0
        self.grown = asyncio.Event()
        self.started: list[int] = []
        self.faults: list[object] = []
        self.open = 0

    def append(self, count: int = 1) -> None:
        self.head += count
        grown, self.grown = self.grown, asyncio.Event()
        grown.set()

    async def WatchPositions(self, request, context):
        self.started.append(request.after_revision)
        fault = self.faults.pop(0) if self.faults else None
        revision = request.after_revision
        self.open += 1
        try:
            while True:
                grown = self.grown
                while revision < self.head:
                    revision += 1
                    yield pb.WatchPositionsResponse(revision=revision)
                    if fault is not None:
                        await misbehave(fault)
                        return
                await grown.wait()
        finally:
            self.open -= 1


async def misbehave(fault) -> None:
    if isinstance(fault, Exception):
        raise fault
    if fault == "silent":
        await asyncio.Event().wait()


async def start(log: Log, port: int = 0) -> tuple[Server, int]:
    guard = Guard(observe=lambda _: None)
    services = [
        Service(pb.DESCRIPTOR.services_by_name["PositionService"], rpc.add_PositionServiceServicer_to_server, log)
    ]
    server = Server(f"127.0.0.1:{port}", services, guard)
    return server, await server.start()


@contextlib.asynccontextmanager
async def serving(*faults):
    log = Log()
    log.faults = list(faults)
    server, port = await start(log)
    async with connect(f"127.0.0.1:{port}", watching=True) as channel:
        stub = rpc.PositionServiceStub(channel)
        yield log, lambda revision: stub.WatchPositions(pb.WatchPositionsRequest(after_revision=revision))
    await server.drain(0)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def take(responses, count: int) -> list[int]:
    revisions = []
    async with asyncio.timeout(20), contextlib.aclosing(responses):
        async for response in responses:
            revisions.append(response.revision)
            if len(revisions) == count:
                return revisions
    raise AssertionError("the stream ended")


async def test_a_stream_left_early_is_cancelled_on_the_server():
    async with serving() as (log, begin):
        log.append()
        async with watch(begin(0)) as responses:
            async for response in responses:
                assert (response.revision, log.open) == (1, 1)
                break
        await until(lambda: log.open == 0)


async def test_a_stream_left_by_an_error_is_cancelled_on_the_server():
    async with serving() as (log, begin):
        log.append()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving the block is what is tested
            async with watch(begin(0)) as responses:
                await anext(responses)
                raise ZeroDivisionError
        await until(lambda: log.open == 0)


async def test_a_break_out_of_a_bare_loop_is_enough():
    async with serving() as (log, begin):
        log.append()
        async for _ in watch(begin(0)):
            break
        await until(lambda: log.open == 0)


async def test_without_watch_the_stream_would_stay_open():
    """The fault in gRPC that `watch` is for. When this fails, gRPC has mended it."""
    async with serving() as (log, begin):
        log.append(3)
        call = begin(0)
        async for _ in call:
            break
        log.append()
        async with watch(begin(3)) as other:  # a whole exchange later
            await anext(other)
            assert log.open == 2
        call.cancel()


async def test_follow_survives_restarts_without_loss_or_repetition():
    log, resets = Log(), []
    server, port = await start(log)
    async with connect(f"127.0.0.1:{port}", watching=True) as channel:
        stub = rpc.PositionServiceStub(channel)
        followed = follow(
            lambda revision: stub.WatchPositions(pb.WatchPositionsRequest(after_revision=revision)),
            on_reset=lambda error, revision: resets.append((error.code, error.reason, revision)),
            **FAST,
        )
        taken = asyncio.ensure_future(take(followed, 60))
        for restart in range(3):
            log.append(10)
            await until(lambda: log.open == 1)
            await server.drain(10)
            log.append(10)  # committed while nobody listens
            server, _ = await start(log, port)
            await until(lambda restart=restart: len(log.started) > restart + 1)
        assert await taken == list(range(1, 61))
        await until(lambda: log.open == 0)
    await server.drain(0)
    assert resets[0][:2] == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert len(log.started) == 4
    assert log.started == sorted(log.started)


@pytest.mark.parametrize(
    "fault",
    [
        RpcError(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "no database", retry_after_s=0.001),
        RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "too much", retry_after_s=0.001),
        RpcError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "too late"),
        OSError("a defect: INTERNAL"),
        "end",
    ],
    ids=["unavailable", "exhausted", "deadline", "internal", "plain end"],
)
async def test_what_passes_is_resumed(fault):
    async with serving(fault) as (log, begin):
        log.append(3)
        assert await take(follow(begin, **FAST), 3) == [1, 2, 3]
        assert log.started == [0, 1]


async def test_a_watcher_that_was_too_slow_resumes_where_it_is_told():
    fault = RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW", "too slow", {"resumeAfterRevision": "5"})
    async with serving(fault) as (log, begin):
        log.append(7)
        assert await take(follow(begin, **FAST), 3) == [1, 6, 7]
        assert log.started == [0, 5]


async def test_a_revision_never_goes_back():
    fault = RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW", "too slow", {"resumeAfterRevision": "2"})
    async with serving(fault) as (log, begin):
        log.append(12)
        assert await take(follow(begin, 9, **FAST), 3) == [10, 11, 12]
        assert log.started == [9, 10]


async def test_a_silent_peer_is_taken_for_dead():
    resets = []
    async with serving("silent") as (log, begin):
        log.append(2)
        followed = follow(
            begin, progress_timeout_s=0.2, on_reset=lambda error, revision: resets.append((error, revision)), **FAST
        )
        assert await take(followed, 2) == [1, 2]
        await until(lambda: log.open == 0)
    ((error, revision),) = resets
    assert (error.code, revision) == (grpc.StatusCode.UNAVAILABLE, 1)
    assert "no message for 0.2 s" in error.message


async def test_the_consumers_own_time_counts_for_no_silence():
    async with serving() as (log, begin):
        log.append(2)
        async with contextlib.aclosing(follow(begin, progress_timeout_s=0.05, **FAST)) as responses:
            await anext(responses)
            await asyncio.sleep(0.1)  # a slow consumer is what is tested
            assert (await anext(responses)).revision == 2
        assert log.started == [0]


async def test_a_pruned_revision_is_the_callers_business():
    fault = RpcError(grpc.StatusCode.OUT_OF_RANGE, "REVISION_PRUNED", "too old", {"oldestRevision": "40"})
    async with serving(fault) as (log, begin):
        log.append()
        with pytest.raises(Pruned) as caught:
            await take(follow(begin, **FAST), 2)
    assert (caught.value.oldest_revision, caught.value.reason) == (40, "REVISION_PRUNED")


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION"])
async def test_what_repeating_does_not_mend_is_raised(code):
    async with serving(RpcError(grpc.StatusCode[code], "ACCOUNT_FORBIDDEN", "no")) as (log, begin):
        log.append()
        with pytest.raises(RpcError) as caught:
            await take(follow(begin, **FAST), 2)
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode[code], "ACCOUNT_FORBIDDEN")
        assert log.started == [0]


async def test_an_invalid_request_is_raised():
    async with serving() as (_, begin):
        with pytest.raises(RpcError) as caught:
            await take(follow(begin, -1, **FAST), 1)
    assert [violation.field for violation in caught.value.violations] == ["after_revision"]


async def test_closing_the_follower_cancels_its_stream():
    async with serving() as (log, begin):
        log.append()
        await take(follow(begin, **FAST), 1)
        await until(lambda: log.open == 0)


async def test_cancelling_the_follower_cancels_its_stream():
    async with serving() as (log, begin):
        task = asyncio.ensure_future(take(follow(begin, **FAST), 1))
        await until(lambda: log.open == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: log.open == 0)


async def test_follow_waits_for_a_server_that_is_not_there_yet():
    log = Log()
    server, port = await start(log)
    await server.drain(0)
    failures = asyncio.Event()
    async with connect(f"127.0.0.1:{port}") as channel:
        stub = rpc.PositionServiceStub(channel)
        taken = asyncio.ensure_future(
            take(
                follow(
                    lambda revision: stub.WatchPositions(pb.WatchPositionsRequest(after_revision=revision)),
                    on_reset=lambda _error, _revision: failures.set(),
                    **FAST,
                ),
                1,
            )
        )
        await asyncio.wait_for(failures.wait(), 10)
        server, _ = await start(log, port)
        log.append()
        assert await taken == [1]
    await server.drain(0)


async def test_a_new_channel_does_not_inherit_anothers_backoff():
    """Else a service that has just come up would be called unreachable, for up to the back-off of a stranger."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    async with connect(address) as earlier:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rpc.PositionServiceStub(earlier).ListPositions(pb.ListPositionsRequest())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        server = grpc.aio.server()
        server.add_insecure_port(address)
        await server.start()
        async with connect(address) as later:
            with pytest.raises(grpc.aio.AioRpcError) as answered:
                await rpc.PositionServiceStub(later).ListPositions(pb.ListPositionsRequest())
            assert answered.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await server.stop(0)
