"""The guard, in front of a real server and a real channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest
import structlog
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1 import position_service_pb2_grpc as rpc

from grpckit.accounts import require_account, require_every_account
from grpckit.caller import FOR_ACCOUNTS, ON_BEHALF_OF, on_behalf
from grpckit.channel import connect, watch
from grpckit.clients import Clients
from grpckit.errors import DETAILS_KEY, RpcError, StartupError, Violation, from_rpc
from grpckit.guard import Caller, Guard, caller, request_id
from grpckit.limits import Limits
from grpckit.methods import methods_of
from grpckit.observe import Metrics, Observation
from grpckit.server import Server, Service

CONTRACT = pb.DESCRIPTOR.services_by_name["PositionService"]
DSN = "postgresql://user:hunter2@db.internal:5432/book"


class Servicer(rpc.PositionServiceServicer):
    """Does whatever the test says: `get` answers GetPosition, `stream` WatchPositions."""

    get = staticmethod(lambda _request: pb.GetPositionResponse(revision=7))
    stream = staticmethod(lambda _request: None)

    async def GetPosition(self, request, context):
        answer = self.get(request)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def OpenPosition(self, request, context):
        return pb.OpenPositionResponse()

    async def RecordFills(self, request, context):
        return pb.RecordFillsResponse()

    async def WatchPositions(self, request, context):
        async for message in self.stream(request):
            yield message


@contextlib.asynccontextmanager
async def served(servicer, **guard_arguments) -> AsyncIterator[tuple[rpc.PositionServiceStub, Guard, grpc.aio.Channel]]:
    guard = Guard(observe=guard_arguments.pop("observe", lambda _: None), **guard_arguments)
    server = Server("127.0.0.1:0", [Service(CONTRACT, rpc.add_PositionServiceServicer_to_server, servicer)], guard)
    port = await server.start()
    async with connect(f"127.0.0.1:{port}") as channel:
        yield rpc.PositionServiceStub(channel), guard, channel
    await server.drain(0)


def doing(*, get=None, stream=None) -> Servicer:
    servicer = Servicer()
    if get is not None:
        servicer.get = get
    if stream is not None:
        servicer.stream = stream
    return servicer


async def refused(call) -> RpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value)


async def test_health_watches_without_end_keep_no_probe_and_no_client_away():
    guard = Guard(observe=lambda _: None, limits=Limits(public_in_flight=1, public_streams_in_flight=2))
    server = Server("127.0.0.1:0", [Service(CONTRACT, rpc.add_PositionServiceServicer_to_server, doing())], guard)
    port = await server.start()
    server.health.set_serving(serving=True)
    async with connect(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        taken = [watch(health.Watch(health_pb2.HealthCheckRequest())) for _ in range(2)]
        for one in taken:
            assert (await anext(one)).status == health_pb2.HealthCheckResponse.SERVING
        got = await refused(health.Watch(health_pb2.HealthCheckRequest()).read())
        assert (got.code, got.reason) == (grpc.StatusCode.UNIMPLEMENTED, "OVERLOADED")
        await health.Check(health_pb2.HealthCheckRequest(), timeout=20)
        async with connect(f"dns:///127.0.0.1:{port}", service=CONTRACT.full_name) as looking:
            answer = await rpc.PositionServiceStub(looking).GetPosition(pb.GetPositionRequest(), timeout=20)
        assert answer.revision == 7
        for one in taken:
            one.cancel()
        await eventually(lambda: not any(guard.in_flight.values()))
    await server.drain(0)


async def rest(call) -> None:
    """Reads what is left of a stream."""
    while await call.read() is not grpc.aio.EOF:
        pass


def raising(error):
    def get(_request):
        raise error

    return get


async def eventually(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_rich_error_arrives_whole():
    sent = RpcError(
        grpc.StatusCode.ABORTED,
        "STALE_REVISION",
        "the position has changed: größer",
        {"expectedRevision": "3", "actualRevision": "5"},
        [Violation("expected_revision", "is stale")],
        1.25,
    )
    async with served(doing(get=raising(sent))) as (stub, _, _):
        got = await refused(stub.GetPosition(pb.GetPositionRequest()))
    assert vars(got) == vars(sent)


async def test_a_services_own_exceptions_are_translated():
    def translate(error):
        if isinstance(error, LookupError):
            return RpcError(grpc.StatusCode.NOT_FOUND, "POSITION_NOT_FOUND", "no such position", {"asset": str(error)})
        return None

    async with served(doing(get=raising(LookupError("X"))), translate=translate) as (stub, _, _):
        got = await refused(stub.GetPosition(pb.GetPositionRequest()))
    assert (got.code, got.reason, got.metadata) == (grpc.StatusCode.NOT_FOUND, "POSITION_NOT_FOUND", {"asset": "X"})


@contextlib.asynccontextmanager
async def wiretap(port: int) -> AsyncIterator[tuple[int, bytearray]]:
    """A proxy that keeps every byte the server sends."""
    heard = bytearray()

    connections: list[asyncio.Task[None]] = []

    async def copy(source, sink, keep) -> None:
        while data := await source.read(65536):
            keep(data)
            sink.write(data)
            await sink.drain()
        sink.close()

    async def relay(reader, writer) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer), contextlib.closing(up_writer), contextlib.suppress(ConnectionError):
            await asyncio.gather(copy(reader, up_writer, lambda _: None), copy(up_reader, writer, heard.extend))

    proxy = await asyncio.start_server(
        lambda *pair: connections.append(asyncio.ensure_future(relay(*pair))), "127.0.0.1", 0
    )
    async with proxy:
        yield proxy.sockets[0].getsockname()[1], heard
        for connection in connections:
            connection.cancel()
        await asyncio.wait(connections, timeout=10)


async def fail_through(port: int) -> tuple[bytes, list[RpcError]]:
    """Makes a unary call and a stream fail; returns every byte and everything decoded."""
    async with wiretap(port) as (tapped, heard), connect(f"127.0.0.1:{tapped}") as channel:
        stub = rpc.PositionServiceStub(channel)
        errors = []
        for call in (stub.GetPosition(pb.GetPositionRequest()), stub.WatchPositions(pb.WatchPositionsRequest()).read()):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            errors.append(from_rpc(caught.value))
            heard.extend(repr((caught.value, caught.value.trailing_metadata())).encode())
    return bytes(heard), errors


async def leaking_stream(_request):
    yield pb.WatchPositionsResponse(revision=1)
    raise OSError(f"could not connect to {DSN}")


@pytest.mark.parametrize("broken_translation", [False, True])
async def test_the_catch_all_leaks_nothing(broken_translation):
    async def stream(_request):
        if True:
            raise OSError(f"could not connect to {DSN}")
        yield

    servicer = doing(get=raising(OSError(f"could not connect to {DSN}")), stream=stream)
    guard = Guard(observe=lambda _: None, translate=(lambda _: 1 / 0) if broken_translation else None)
    server = Server("127.0.0.1:0", [Service(CONTRACT, rpc.add_PositionServiceServicer_to_server, servicer)], guard)
    with structlog.testing.capture_logs() as logs:
        heard, errors = await fail_through(await server.start())
    await server.drain(0)
    for secret in (b"hunter2", b"db.internal", b"postgresql", b"OSError", b"ZeroDivision", b"Traceback"):
        assert secret not in heard
    for error in errors:
        assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        (log,) = [log for log in logs if log.get("correlation_id") == error.metadata["correlationId"]]
        assert isinstance(log["exc_info"], ZeroDivisionError if broken_translation else OSError)


async def test_without_the_guard_the_same_search_finds_the_secret():
    servicer = doing(get=raising(OSError(f"could not connect to {DSN}")), stream=leaking_stream)
    bare = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_PositionServiceServicer_to_server(servicer, bare)
    port = bare.add_insecure_port("127.0.0.1:0")
    await bare.start()
    async with wiretap(port) as (tapped, heard), connect(f"127.0.0.1:{tapped}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await rpc.PositionServiceStub(channel).GetPosition(pb.GetPositionRequest())
    await bare.stop(0)
    assert b"hunter2" in heard


async def test_a_misspelt_reason_is_a_defect_like_any_other():
    error = RpcError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_REASON", "hidden")
    async with served(doing(get=raising(error))) as (stub, _, _):
        got = await refused(stub.GetPosition(pb.GetPositionRequest()))
    assert (got.code, got.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hidden" not in got.message


async def test_a_handler_may_end_its_call_itself():
    class Aborts(rpc.PositionServiceServicer):
        async def GetPosition(self, request, context):
            await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    seen: list[Observation] = []
    async with served(Aborts(), observe=seen.append) as (stub, _, _):
        got = await refused(stub.GetPosition(pb.GetPositionRequest()))
    assert (got.code, got.message) == (grpc.StatusCode.DATA_LOSS, "gone")
    assert [call.code for call in seen] == [grpc.StatusCode.DATA_LOSS]


async def test_answers_that_do_not_serialise_are_errors_like_any_other():
    async with served(doing(get=lambda _: "not a message")) as (stub, _, _):
        assert (await refused(stub.GetPosition(pb.GetPositionRequest()))).reason == "INTERNAL"


async def test_bytes_that_do_not_parse_are_an_invalid_request():
    async with served(Servicer()) as (_, _, channel):
        got = await refused(channel.unary_unary(f"/{CONTRACT.full_name}/GetPosition")(b"\xff\xff\xff"))
    assert (got.code, got.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert "GetPositionRequest" in got.message


async def test_invalid_fields_are_named_by_their_path():
    request = pb.RecordFillsRequest()
    for index in range(5):
        request.fills.add(symbol="BTC", fill_id=str(index), size="1", price="1")
        request.fills[index].executed_at.GetCurrentTime()
    request.fills[3].size = "1e5"
    async with served(Servicer()) as (stub, _, _):
        got = await refused(stub.RecordFills(request))
    assert [violation.field for violation in got.violations] == ["fills[3].size"]
    assert got.message.startswith("fills[3].size: ")


async def test_labels_are_named_by_their_key():
    request = pb.OpenPositionRequest(asset="BTC/USD", size="1", entry_price="1", labels={"desk": "x" * 300})
    async with served(Servicer()) as (stub, _, _):
        got = await refused(stub.OpenPosition(request))
    assert [violation.field for violation in got.violations] == ['labels["desk"]']


async def test_many_violations_fit_the_headers_and_the_rest_is_counted():
    request = pb.RecordFillsRequest(fills=[pb.Fill()] * 500)
    async with served(Servicer()) as (stub, _, _):
        got = await refused(stub.RecordFills(request))
    assert got.reason == "INVALID_REQUEST"
    assert 10 < len(got.violations) < 200
    assert got.violations[0].field == "fills[0].symbol"
    assert got.violations[-1].field == ""
    assert "more violations are left out" in got.violations[-1].description


async def test_an_error_stuffed_with_text_still_arrives():
    error = RpcError(
        grpc.StatusCode.FAILED_PRECONDITION,
        "AMBIGUOUS_ASSET",
        "ü" * 20_000,
        {f"key{index}": "v" * 5_000 for index in range(50)},
        [Violation("ä" * 3_000, "ö" * 3_000)] * 300,
    )
    async with served(doing(get=raising(error))) as (stub, _, _):
        got = await refused(stub.GetPosition(pb.GetPositionRequest()))
    assert (got.code, got.reason) == (error.code, error.reason)
    assert got.message.endswith("…")


@pytest.mark.parametrize("method", ["ListPositions", "UpdatePrices"])
async def test_methods_left_out_are_unimplemented_with_a_reason(method):
    async with served(Servicer()) as (_, _, channel):
        got = await refused(channel.unary_unary(f"/{CONTRACT.full_name}/{method}")(b""))
    assert (got.code, got.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")


async def test_a_stream_left_out_is_unimplemented_with_a_reason():
    class Nothing(rpc.PositionServiceServicer):
        pass

    async with served(Nothing()) as (stub, _, _):
        got = await refused(stub.WatchPositions(pb.WatchPositionsRequest()).read())
    assert (got.code, got.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")


@pytest.mark.parametrize("path", [f"/{CONTRACT.full_name}/NoSuchMethod", "/no.Such/Service"])
async def test_methods_no_contract_has_are_unimplemented_with_a_reason(path):
    async with served(Servicer()) as (_, _, channel):
        got = await refused(channel.unary_unary(path)(b""))
    assert (got.code, got.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")


async def test_not_implemented_error_is_unimplemented():
    async with served(doing(get=raising(NotImplementedError()))) as (stub, _, _):
        assert (await refused(stub.GetPosition(pb.GetPositionRequest()))).reason == "NOT_IMPLEMENTED"


async def test_overload_counts_unary_calls_and_streams_apart():
    release = asyncio.Event()

    async def get():
        await release.wait()
        return pb.GetPositionResponse()

    async def stream(_request):
        yield pb.WatchPositionsResponse(revision=1)
        await release.wait()

    limits = Limits(unary_in_flight=1, streams_in_flight=1, overload_retry_s=0.25)
    async with served(doing(get=lambda _: get(), stream=stream), limits=limits) as (stub, guard, _):
        async with watch(stub.WatchPositions(pb.WatchPositionsRequest())) as first:
            assert (await anext(first)).revision == 1
            got = await refused(stub.WatchPositions(pb.WatchPositionsRequest()).read())
            assert (got.code, got.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert got.retry_after_s == 0.25

            busy = asyncio.ensure_future(stub.GetPosition(pb.GetPositionRequest()))  # the full lane is the other one
            await eventually(lambda: guard.in_flight["unary"] == 1)
            assert (await refused(stub.GetPosition(pb.GetPositionRequest()))).reason == "OVERLOADED"
            release.set()
            await busy
        await stub.GetPosition(pb.GetPositionRequest())  # and it recovers
        await eventually(lambda: not any(guard.in_flight.values()))
        assert not guard._deadlines._due


async def test_calls_that_bring_no_deadline_get_one():
    limits = Limits(unary_deadline_s=0.05)
    async with served(doing(get=lambda _: asyncio.Event().wait()), limits=limits) as (stub, _, _):
        got = await refused(stub.GetPosition(pb.GetPositionRequest()))
    assert (got.code, got.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_calls_that_began_later_run_out_later():
    limits = Limits(unary_deadline_s=0.1)
    entered = asyncio.Event()

    async def get():
        entered.set()
        await asyncio.Event().wait()

    async with served(doing(get=lambda _: get()), limits=limits) as (stub, guard, _):
        first = asyncio.ensure_future(refused(stub.GetPosition(pb.GetPositionRequest())))
        await entered.wait()
        await asyncio.wait({first}, timeout=0.05)  # the second begins while the first has time left
        errors = await asyncio.wait_for(
            asyncio.gather(first, refused(stub.GetPosition(pb.GetPositionRequest())), return_exceptions=False), 10
        )
        assert [error.reason for error in errors] == ["DEADLINE_EXCEEDED"] * 2
        assert (await refused(stub.GetPosition(pb.GetPositionRequest()))).reason == "DEADLINE_EXCEEDED"
        await eventually(lambda: guard.in_flight["unary"] == 0)


async def test_a_callers_longer_deadline_is_honoured():
    entered = asyncio.Event()
    seen = []

    async def get():
        entered.set()
        await asyncio.wait({asyncio.ensure_future(asyncio.Event().wait())}, timeout=0.1)
        return pb.GetPositionResponse(revision=9)

    async with served(doing(get=lambda _: get()), limits=Limits(unary_deadline_s=0.01), observe=seen.append) as (
        stub,
        _,
        _,
    ):
        assert (await stub.GetPosition(pb.GetPositionRequest(), timeout=30)).revision == 9


async def test_a_handlers_own_timeout_is_a_defect_and_no_deadline():
    async with served(doing(get=raising(TimeoutError()))) as (stub, _, _):
        assert (await refused(stub.GetPosition(pb.GetPositionRequest()))).code is grpc.StatusCode.INTERNAL


async def test_cancellation_reaches_the_handler_and_is_observed():
    seen: list[Observation] = []
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def get():
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with served(doing(get=lambda _: get()), observe=seen.append) as (stub, guard, _):
        call = stub.GetPosition(pb.GetPositionRequest())
        pending = asyncio.ensure_future(call.code())
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 10)
        await pending
        await eventually(lambda: guard.in_flight["unary"] == 0)
    assert [seen_call.code for seen_call in seen] == [grpc.StatusCode.CANCELLED]


@pytest.mark.parametrize("scopes", [None, frozenset({1})])
async def test_the_caller_is_known_in_unary_calls_and_streams(scopes):
    def authenticate(metadata, _peer):
        return Caller(dict(metadata)["x-actor"], scopes)

    actors = []

    def get(_request):
        actors.append((caller().actor, request_id()))
        return pb.GetPositionResponse()

    async def stream(_request):
        for revision in (1, 2):
            await asyncio.sleep(0)  # between messages the task has been elsewhere
            actors.append((caller().actor, request_id()))
            yield pb.WatchPositionsResponse(revision=revision)

    async with served(doing(get=get, stream=stream), authenticate=authenticate) as (stub, _, _):

        async def both(name: str) -> None:
            metadata = (("x-actor", name), ("x-request-id", f"r-{name}"))
            call = stub.GetPosition(pb.GetPositionRequest(), metadata=metadata)
            await call
            assert ("x-request-id", f"r-{name}") in [tuple(entry) for entry in await call.trailing_metadata()]
            async with watch(stub.WatchPositions(pb.WatchPositionsRequest(), metadata=metadata)) as responses:
                assert [response.revision async for response in responses] == [1, 2]

        await asyncio.gather(both("ann"), both("bob"))
    assert sorted(actors) == [("ann", "r-ann")] * 3 + [("bob", "r-bob")] * 3


@pytest.mark.parametrize(
    ("scopes", "named", "actor"),
    [
        (None, "policy:SIZE", "policy:SIZE"),
        (frozenset({1, 4}), "ann", "ann"),
        (frozenset({1, 2, 3}), "ann", "service"),  # whoever may not do everything stays who it is
        (None, "a b", "service"),
        (None, "x" * 129, "service"),
    ],
)
async def test_a_service_that_may_do_everything_speaks_for_others(scopes, named, actor):
    seen = []

    def get(_request):
        seen.append((caller().actor, on_behalf(), on_behalf("policy:SIDE")))
        return pb.GetPositionResponse()

    async with served(doing(get=get), authenticate=lambda *_: Caller("service", scopes)) as (stub, _, _):
        await stub.GetPosition(pb.GetPositionRequest(), metadata=[(ON_BEHALF_OF, named)])
    assert seen == [(actor, ((ON_BEHALF_OF, actor),), ((ON_BEHALF_OF, "policy:SIDE"),))]


def test_who_has_no_name_is_not_named_to_others():
    assert on_behalf() == ()
    assert on_behalf("a b") == ()


def test_outside_of_a_call_nobody_is_calling():
    with pytest.raises(LookupError):
        caller()


async def test_a_caller_without_the_scope_is_refused():
    async with served(Servicer(), authenticate=lambda *_: Caller("reader", frozenset({1}))) as (stub, _, _):
        await stub.GetPosition(pb.GetPositionRequest())
        got = await refused(stub.RecordFills(pb.RecordFillsRequest()))
    assert (got.code, got.reason, got.metadata) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "SCOPE_MISSING",
        {"scope": "WRITE"},
    )


async def test_strangers_learn_nothing_before_they_are_known():
    def authenticate(_metadata, _peer):
        raise RpcError(grpc.StatusCode.UNAUTHENTICATED, "NO_CREDENTIALS", "no valid key")

    async with served(Servicer(), authenticate=authenticate) as (stub, _, channel):
        assert (await refused(stub.RecordFills(pb.RecordFillsRequest(request_id="x" * 999)))).reason == "NO_CREDENTIALS"
        got = await refused(channel.unary_unary(f"/{CONTRACT.full_name}/GetPosition")(b"\xff"))
        assert got.reason == "NO_CREDENTIALS"


NO_KEY = RpcError(grpc.StatusCode.UNAUTHENTICATED, "NO_CREDENTIALS", "no valid key")


@pytest.mark.parametrize("answer", [Caller("ann", frozenset({1})), NO_KEY, Caller("bob", frozenset({2}))])
async def test_a_caller_may_have_to_be_looked_up(answer):
    asked = []

    async def look_up(metadata, _peer):
        asked.append(dict(metadata)["x-api-key"])
        await asyncio.sleep(0)
        if isinstance(answer, RpcError):
            raise answer
        return answer

    def get(_request):
        return pb.GetPositionResponse(revision=len(caller().actor))

    async def stream(request):
        yield get(request)

    async with served(doing(get=get, stream=stream), authenticate=look_up) as (stub, guard, _):
        unary = stub.GetPosition(pb.GetPositionRequest(), metadata=[("x-api-key", "k")])
        streamed = watch(stub.WatchPositions(pb.WatchPositionsRequest(), metadata=[("x-api-key", "k")]))
        if isinstance(answer, Caller) and answer.actor == "ann":
            assert (await unary).revision == (await anext(streamed)).revision == 3
        else:
            reason = answer.reason if isinstance(answer, RpcError) else "SCOPE_MISSING"
            assert (await refused(unary)).reason == (await refused(anext(streamed))).reason == reason
        await eventually(lambda: not any(guard.in_flight.values()))
    assert asked == ["k", "k"]


async def test_a_stream_ends_when_its_caller_is_no_longer_welcome():
    async def stream(_request):
        yield pb.WatchPositionsResponse(revision=1)
        await asyncio.Event().wait()

    def authenticate(metadata, _peer):
        return Caller("bot", client=dict(metadata)["x-api-key"])

    async with served(doing(stream=stream), authenticate=authenticate) as (stub, guard, _):
        kept, lost = (
            watch(stub.WatchPositions(pb.WatchPositionsRequest(), metadata=[("x-api-key", key)])) for key in "kl"
        )
        assert [(await anext(one)).revision for one in (kept, lost)] == [1, 1]
        guard.end_streams(lambda who: NO_KEY if who is not None and who.client == "l" else None)
        got = await refused(anext(lost))
        assert (got.code, got.reason) == (NO_KEY.code, NO_KEY.reason)
        await eventually(lambda: guard.in_flight["stream"] == 1)
        kept.cancel()


async def test_a_stream_that_is_ended_while_nobody_reads_it_is_cut_off():
    large = pb.WatchPositionsResponse(events=[{"reason": "x" * 1_000_000}]).SerializeToString()
    sent, closed = 0, asyncio.Event()

    async def stream(_request):
        nonlocal sent
        try:
            while True:
                yield large
                sent += 1
        finally:
            closed.set()

    limits = Limits(stalled_end_s=0.01)
    async with served(doing(stream=stream), limits=limits) as (stub, guard, _):
        call = stub.WatchPositions(pb.WatchPositionsRequest())
        await call.read()
        before = -1
        while sent != before:  # until the network takes no more; gone on too early, it would only see less
            before = sent
            await asyncio.sleep(0.3)
        guard.end_streams(lambda _: NO_KEY)
        await asyncio.wait_for(closed.wait(), 20)
        await eventually(lambda: guard.in_flight["stream"] == 0)
        got = await refused(rest(call))
        assert (got.code, got.reason) == (NO_KEY.code, NO_KEY.reason)


async def test_who_is_known_may_still_be_refused():
    async def stream(_request):
        yield pb.WatchPositionsResponse(revision=1)
        await asyncio.Event().wait()

    limits = Limits(client_calls_per_s=0.001, client_burst=4, client_streams=1)
    who = {"authenticate": lambda metadata, _: Caller("b", client=dict(metadata).get("x-api-key", ""))}
    async with served(doing(stream=stream), admit=Clients(limits), limits=limits, **who) as (stub, guard, _):
        first = watch(stub.WatchPositions(pb.WatchPositionsRequest()))
        await anext(first)
        full = await refused(anext(watch(stub.WatchPositions(pb.WatchPositionsRequest()))))
        assert (full.code.name, full.reason, full.retry_after_s) == ("RESOURCE_EXHAUSTED", "OVERLOADED", 0.5)
        first.cancel()
        await eventually(lambda: guard.in_flight["stream"] == 0)
        again = watch(stub.WatchPositions(pb.WatchPositionsRequest()))
        assert (await anext(again)).revision == 1
        again.cancel()
        await stub.GetPosition(pb.GetPositionRequest())
        got = await refused(stub.GetPosition(pb.GetPositionRequest()))
        assert (got.code.name, got.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert got.retry_after_s > 1
        await stub.GetPosition(pb.GetPositionRequest(), metadata=[("x-api-key", "other")])


async def test_a_caller_of_some_accounts_names_no_others():
    async def stream(_request):
        yield pb.WatchPositionsResponse(revision=1)

    who = Caller("bot", None, frozenset({"main", "desk"}))
    async with served(doing(stream=stream), authenticate=lambda *_: who) as (stub, _, _):
        await stub.GetPosition(pb.GetPositionRequest(account="main"))
        await stub.GetPosition(pb.GetPositionRequest())  # for the service to say what this means
        got = await refused(stub.GetPosition(pb.GetPositionRequest(account="other")))
        assert (got.code, got.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_FORBIDDEN")
        assert got.metadata == {"account": "other"}
        assert (await anext(watch(stub.WatchPositions(pb.WatchPositionsRequest(account="desk"))))).revision == 1
        responses = watch(stub.WatchPositions(pb.WatchPositionsRequest(account="other")))
        assert (await refused(anext(responses))).reason == "ACCOUNT_FORBIDDEN"


@pytest.mark.parametrize(
    ("own", "named", "left"),
    [
        (None, "main,desk", {"main", "desk"}),
        ({"main"}, "main,desk", {"main"}),
        ({"main"}, "desk", set()),  # nobody becomes more by naming accounts
        ({"main"}, "", set()),
    ],
)
async def test_accounts_are_passed_on(own, named, left):
    seen = []

    def get(_request):
        with contextlib.suppress(RpcError):
            require_account("main")
            seen.append("main")
        with pytest.raises(RpcError, match="every account"):
            require_every_account()
        seen.append(caller().accounts)
        assert FOR_ACCOUNTS not in dict(on_behalf("policy:SIZE"))
        seen.append(dict(on_behalf())[FOR_ACCOUNTS])
        return pb.GetPositionResponse()

    who = Caller("bot", None, None if own is None else frozenset(own))
    async with served(doing(get=get), authenticate=lambda *_: who) as (stub, _, _):
        await stub.GetPosition(pb.GetPositionRequest(), metadata=[(FOR_ACCOUNTS, named)])
    assert seen == (["main"] if "main" in left else []) + [left, ",".join(sorted(left))]


async def test_encoded_messages_pass_through():
    encoded = pb.WatchPositionsResponse(revision=11).SerializeToString()

    async def stream(_request):
        yield encoded
        yield pb.WatchPositionsResponse(revision=12)

    async with served(doing(stream=stream)) as (stub, _, _):
        responses = watch(stub.WatchPositions(pb.WatchPositionsRequest()))
        assert [response.revision async for response in responses] == [11, 12]


async def test_every_call_is_observed_and_counted():
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    async def stream(_request):
        yield pb.WatchPositionsResponse()
        yield pb.WatchPositionsResponse()

    async with served(doing(stream=stream), observe=metrics) as (stub, _, _):
        await stub.GetPosition(pb.GetPositionRequest())
        await refused(stub.OpenPosition(pb.OpenPositionRequest()))
        async with watch(stub.WatchPositions(pb.WatchPositionsRequest())) as responses:
            assert len([response async for response in responses]) == 2

    def sample(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    get = f"{CONTRACT.full_name}/GetPosition"
    assert sample("grpc_calls_total", method=get, code="OK") == 1
    assert sample("grpc_unary_seconds_count", method=get) == 1
    open_position = f"{CONTRACT.full_name}/OpenPosition"
    assert sample("grpc_errors_total", method=open_position, reason="INVALID_REQUEST") == 1
    assert sample("grpc_stream_messages_total", method=f"{CONTRACT.full_name}/WatchPositions") == 2


async def test_what_alerts_count_is_shown_before_it_happens():
    """Or Prometheus would see no increase in the first one."""
    registry = CollectorRegistry()
    async with served(Servicer(), observe=Metrics(registry)):
        pass
    calls, errors = ("grpc_calls_total", "grpc_errors_total")
    methods = [*(f"{CONTRACT.full_name}/{method.name}" for method in CONTRACT.methods), "grpc.health.v1.Health/Check"]
    for method in methods:
        for code in ("INTERNAL", "UNKNOWN", "DATA_LOSS"):
            assert registry.get_sample_value(calls, {"method": method, "code": code}) == 0, method
        for reason in ("OVERLOADED", "STORE_UNAVAILABLE"):
            assert registry.get_sample_value(errors, {"method": method, "reason": reason}) == 0, method


async def test_broken_metrics_break_no_answer():
    def observe(_observation):
        raise ZeroDivisionError

    async with served(Servicer(), observe=observe) as (stub, _, _):
        assert (await stub.GetPosition(pb.GetPositionRequest())).revision == 7


async def test_one_log_line_a_call_and_quiet_reads():
    with structlog.testing.capture_logs() as logs:
        async with served(Servicer(), authenticate=lambda *_: Caller("bot-7")) as (stub, _, _):
            await stub.GetPosition(pb.GetPositionRequest())
            await refused(
                stub.RecordFills(pb.RecordFillsRequest(fills=[pb.Fill()]), metadata=(("x-request-id", "abc"),))
            )
    read, write = logs
    assert (read["log_level"], read["code"], read["method"]) == ("debug", "OK", f"{CONTRACT.full_name}/GetPosition")
    assert (write["log_level"], write["code"], write["reason"]) == ("info", "INVALID_ARGUMENT", "INVALID_REQUEST")
    assert (write["actor"], write["request_id"]) == ("bot-7", "abc")
    assert write["peer"].startswith("ipv4:127.0.0.1:")
    assert write["ms"] > 0


async def test_draining_refuses_calls_and_ends_streams_between_messages():
    async def stream(_request):
        revision = 0
        while True:
            revision += 1
            yield pb.WatchPositionsResponse(revision=revision)
            if revision % 50 == 0:
                await asyncio.sleep(0)

    async with served(doing(stream=stream)) as (stub, guard, _):
        revisions = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012 - the loop is what ends
            async for response in watch(stub.WatchPositions(pb.WatchPositionsRequest())):
                revisions.append(response.revision)
                if response.revision == 100:
                    guard.drain()
        ended = from_rpc(caught.value)
        refusal = await refused(stub.GetPosition(pb.GetPositionRequest()))
    assert revisions == list(range(1, len(revisions) + 1))
    for error in (ended, refusal):
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert error.retry_after_s == 1.0


async def test_a_stream_that_swallows_its_cancellation_still_ends_as_draining():
    async def stream(_request):
        yield pb.WatchPositionsResponse(revision=1)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with served(doing(stream=stream)) as (stub, guard, _):
        responses = watch(stub.WatchPositions(pb.WatchPositionsRequest()))
        await anext(responses)
        guard.drain()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(responses)
    assert from_rpc(caught.value).reason == "DRAINING"


async def test_a_stream_cancelled_while_it_waits_is_no_success():
    seen: list[Observation] = []

    async def stream(_request):
        yield pb.WatchPositionsResponse(revision=1)
        await asyncio.Event().wait()

    async with served(doing(stream=stream), observe=seen.append) as (stub, _, _):
        async with watch(stub.WatchPositions(pb.WatchPositionsRequest())) as responses:
            await anext(responses)
        await eventually(lambda: seen)
    assert [(observation.code, observation.messages) for observation in seen] == [(grpc.StatusCode.CANCELLED, 1)]


async def test_a_stream_cancelled_while_it_sends_leaves_nothing_behind():
    ended, seen = asyncio.Event(), []
    large = pb.WatchPositionsResponse(events=[{"reason": "x" * 1_000_000}]).SerializeToString()
    sent = 0

    async def stream(_request):
        nonlocal sent
        try:
            while True:
                yield large
                sent += 1
        finally:
            ended.set()

    async with served(doing(stream=stream), observe=seen.append) as (stub, guard, _):
        call = stub.WatchPositions(pb.WatchPositionsRequest())
        await call.read()
        before = -1
        while sent != before:  # until the network takes no more: the reader has stopped
            before = sent
            for _ in range(500):
                await asyncio.sleep(0)
        assert guard.in_flight["stream"] == 1
        call.cancel()
        await asyncio.wait_for(ended.wait(), 10)
        await eventually(lambda: guard.in_flight["stream"] == 0 and seen)
    assert [observation.code for observation in seen] == [grpc.StatusCode.CANCELLED]


def a_contract(name: str, *, scope: bool, client_streaming: bool = False):
    """Builds a service descriptor that breaks the rules."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package=name, dependency=["trueup/position/v1/position_service.proto"], syntax="proto3"
    )
    method = file.service.add(name="Bad").method.add(
        name="Call",
        input_type=".trueup.position.v1.GetPositionRequest",
        output_type=".trueup.position.v1.GetPositionResponse",
        client_streaming=client_streaming,
    )
    if scope:
        method.options.CopyFrom(CONTRACT.methods_by_name["GetPosition"].GetOptions())
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{name}.Bad")


def test_a_method_without_a_scope_does_not_start():
    with pytest.raises(StartupError, match=r"noscope\.Bad/Call names no \(trueup\.types\.v1\.scope\)"):
        Server("127.0.0.1:0", [Service(a_contract("noscope", scope=False), lambda *_: None, object())], Guard())


def test_client_streaming_does_not_start():
    with pytest.raises(StartupError, match="streams requests"):
        methods_of(a_contract("clientstream", scope=True, client_streaming=True))


async def test_plain_functions_do_not_start():
    class Plain(rpc.PositionServiceServicer):
        def GetPosition(self, request, context):
            return pb.GetPositionResponse()

    class Writes(rpc.PositionServiceServicer):
        async def WatchPositions(self, request, context):
            await context.write(pb.WatchPositionsResponse())

    for servicer, complaint in ((Plain(), "async def"), (Writes(), "async generator")):
        server = Server(
            "127.0.0.1:0", [Service(CONTRACT, rpc.add_PositionServiceServicer_to_server, servicer)], Guard()
        )
        with pytest.raises(StartupError, match=complaint):
            await server.start()


async def test_details_stay_under_the_header_limit():
    """Counted as the strictest proxy would: base64 and percent-encoded."""
    error = RpcError(
        grpc.StatusCode.INTERNAL, "INTERNAL", "ü" * 9_000, {"k": "v" * 9_000}, [Violation("f", "d" * 99)] * 999
    )
    async with served(doing(get=raising(error))) as (stub, _, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetPosition(pb.GetPositionRequest())
    details = dict(caught.value.trailing_metadata())[DETAILS_KEY]
    message = caught.value.details().encode()
    assert len(details) * 4 / 3 + 3 * len(message) + 200 < 8_192
