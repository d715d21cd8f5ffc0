"""The HTTP edge on real sockets, in front of real gRPC servers, and of the real Position service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import pytest
from prometheus_client import CollectorRegistry
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1 import position_service_pb2_grpc as rpc
from trueup.position.v1 import reconciliation_log_service_pb2 as log_pb
from trueup.position.v1 import reconciliation_log_service_pb2_grpc as log_rpc
from trueup.reconciler.v1 import reconciler_service_pb2 as reconciler_pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc as reconciler_rpc

from grpckit.errors import RpcError, StartupError
from grpckit.guard import ANONYMOUS, Guard
from grpckit.rest.limits import EdgeLimits
from grpckit.rest.metrics import EdgeMetrics
from grpckit.rest.routes import Routes
from grpckit.rest.server import HttpServer
from grpckit.rest.upstream import Upstream
from grpckit.server import Server, Service
from reconciler_service.page import FILES, desk_page

POSITION = pb.DESCRIPTOR.services_by_name["PositionService"]
LOG = log_pb.DESCRIPTOR.services_by_name["ReconciliationLogService"]
RECONCILER = reconciler_pb.DESCRIPTOR.services_by_name["ReconcilerService"]
SERVICES = [POSITION, LOG, RECONCILER]
UUID = "0192f0c1-0000-7000-8000-000000000001"
BINDINGS = [(route.verb, route.template.openapi, route.path) for route in Routes(SERVICES)]
EVENTS = {"Accept": "text/event-stream"}


class Positions(rpc.PositionServiceServicer):
    """Keeps the last request; streams what `messages` yields."""

    request: Any = None
    ended = 0
    error: Exception | None = None

    def __init__(self) -> None:
        self.messages = self.quiet
        self.entered, self.release = asyncio.Event(), asyncio.Event()

    async def OpenPosition(self, request: Any, context: Any) -> Any:
        self.request = request
        if self.error is not None:
            raise self.error
        return pb.OpenPositionResponse(revision=7)

    async def ListPositions(self, request: Any, context: Any) -> Any:
        self.request = request
        return pb.ListPositionsResponse()

    async def GetPortfolioSummary(self, request: Any, context: Any) -> Any:
        self.entered.set()
        await self.release.wait()
        return pb.GetPortfolioSummaryResponse(total_positions=1, assets=["BTC/USD"], total_unrealized_pnl="250")

    async def ListPositionsAtRisk(self, request: Any, context: Any) -> Any:
        self.request = request
        return pb.ListPositionsAtRiskResponse()

    async def WatchPositions(self, request: Any, context: Any) -> Any:
        self.request = request
        try:
            async for message in self.messages():
                yield message
        finally:
            self.ended += 1

    async def quiet(self) -> AsyncIterator[Any]:
        for revision in (0, 7, 8):
            yield pb.WatchPositionsResponse(revision=revision)
        await asyncio.Event().wait()


class Edge:
    """An edge in front of one gRPC server, and a client of it."""

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self.calls: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.http: HttpServer
        self.grpc: Server
        self.url = ""
        self.port = 0
        self.session: aiohttp.ClientSession

    def authenticate(self, metadata: Any, peer: str) -> Any:
        self.metadata = dict(metadata)
        return ANONYMOUS

    async def ask(self, verb: str, path: str, **arguments: Any) -> tuple[int, Any, Any]:
        async with self.session.request(verb, self.url + path, **arguments) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None, response.headers


@contextlib.asynccontextmanager
async def served(positions: Positions | None = None, **arguments: Any) -> AsyncIterator[Edge]:
    edge = Edge(positions or Positions())
    guard = Guard(observe=lambda seen: edge.calls.append("/" + seen.method), authenticate=edge.authenticate)
    services = [
        Service(POSITION, rpc.add_PositionServiceServicer_to_server, edge.positions),
        Service(LOG, log_rpc.add_ReconciliationLogServiceServicer_to_server, log_rpc.ReconciliationLogServiceServicer()),
        Service(RECONCILER, reconciler_rpc.add_ReconcilerServiceServicer_to_server, reconciler_rpc.ReconcilerServiceServicer()),
    ]  # fmt: skip
    edge.grpc = Server("127.0.0.1:0", services, guard)
    port = await edge.grpc.start()
    metrics = EdgeMetrics(CollectorRegistry())
    edge.http = HttpServer("127.0.0.1:0", [Upstream(f"127.0.0.1:{port}", SERVICES)], metrics=metrics, **arguments)
    edge.port = await edge.http.start()
    edge.url = f"http://127.0.0.1:{edge.port}"
    try:
        async with aiohttp.ClientSession() as edge.session:
            yield edge
    finally:
        await edge.http.stop(1)
        await edge.grpc.drain(0)


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def raw(port: int, request: bytes) -> bytes:
    """What the edge answers to these bytes, until it hangs up or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.5):
            while part := await reader.read(65_536):
                answer += part
    writer.close()
    return answer


async def test_every_binding_of_every_method_reaches_its_method() -> None:
    examples = {"asset": "BTC/USD", "name": "reconciler"}
    async with served() as edge:
        edge.positions.release.set()
        for verb, template, method in BINDINGS:
            edge.calls.clear()
            path = re.sub(r"\{(\w+)\}", lambda found: examples.get(found[1], UUID), template)
            async with edge.session.request(verb, edge.url + path) as response:
                assert response.status not in {404, 405}, (verb, path)
            await until(lambda: edge.calls)  # streams end when their client has left
            assert edge.calls == [method], (verb, path)
    assert len(BINDINGS) > 50


async def test_the_calls_of_old_scripts_work_word_for_word() -> None:
    async with served() as edge:
        edge.positions.release.set()
        headers = {"X-API-Key": "whatever"}
        opened = "/api/positions/open?asset=BTC/USD&entry_price=42000&size=0.5&leverage=5"
        assert (await edge.ask("POST", opened, headers=headers))[:2] == (200, {"revision": "7"})
        expected = pb.OpenPositionRequest(asset="BTC/USD", entry_price="42000", size="0.5", leverage="5")
        assert edge.positions.request == expected
        assert edge.metadata["x-api-key"] == "whatever"
        _, summary, _ = await edge.ask("GET", "/api/positions/summary")
        assert summary["total_positions"] == 1
        assert set(summary) >= {"total_unrealized_pnl", "total_notional_value", "positions_at_risk", "assets"}
        await edge.ask("GET", "/api/positions/at-risk?threshold=5")
        assert edge.positions.request == pb.ListPositionsAtRiskRequest(threshold="5")
        await edge.ask("GET", "/api/positions/BTC/USD")
        assert edge.positions.request == pb.ListPositionsRequest(asset="BTC/USD")


async def test_an_encoded_slash_reaches_the_service_as_one() -> None:
    async with served() as edge:
        answer = await raw(edge.port, b"GET /api/positions/BTC%2FUSD HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert edge.positions.request == pb.ListPositionsRequest(asset="BTC/USD")


async def test_a_life_at_the_real_position_service(position: Any) -> None:
    upstream = Upstream(position.address, [POSITION, LOG])
    http = HttpServer("127.0.0.1:0", [upstream], metrics=EdgeMetrics(CollectorRegistry()))
    url = f"http://127.0.0.1:{await http.start()}/api/positions"
    async with aiohttp.ClientSession() as session:

        async def ask(verb: str, path: str, **arguments: Any) -> Any:
            async with session.request(verb, url + path, **arguments) as response:
                return response.status, await response.json()

        status, opened = await ask("POST", "/open?asset=BTC/USD&entry_price=42000&size=0.5&leverage=5")
        assert status == 200
        held = opened["position"]
        assert (held["size"], held["entry_price"], held["side"]) == ("0.5", "42000", "SIDE_LONG")
        status, again = await ask("POST", "/open", json={"asset": "BTC/USD", "entry_price": 42000.5, "size": 1})
        assert (status, again["details"][0]["reason"]) == (409, "POSITION_ALREADY_OPEN")
        assert again["details"][0]["metadata"]["positionId"] == held["position_id"]
        _, listed = await ask("GET", "/BTC/USD")
        assert [one["position_id"] for one in listed["positions"]] == [held["position_id"]]
        _, reduced = await ask("POST", "/BTC/USD/reduce?size=0.1&price=42100")
        assert (reduced["position"]["size"], reduced["position"]["realized_pnl"]) == ("0.4", "10")
        _, closed = await ask("POST", "/BTC/USD/close?close_price=42500")
        assert closed["position"]["status"] == "POSITION_STATUS_CLOSED"
        assert closed["position"]["realized_pnl"] == "210"
        _, history = await ask("GET", "/BTC/USD/history")
        assert [event["type"] for event in history["events"]] == [
            "POSITION_EVENT_TYPE_OPENED",
            "POSITION_EVENT_TYPE_REDUCED",
            "POSITION_EVENT_TYPE_CLOSED",
        ]
        status, unknown = await ask("POST", "/ETH/USD/close?close_price=1")
        assert (status, unknown["details"][0]["reason"]) == (404, "POSITION_NOT_FOUND")
        status, twice = await ask("POST", "/BTC/USD/close?close_price=42500")
        assert (status, twice["details"][0]["reason"]) == (404, "POSITION_NOT_FOUND")
        assert f"the last one, {held['position_id']}, was closed at 20" in twice["message"]
    await http.stop(1)


async def test_a_service_serves_its_own_part(start_position: Any) -> None:
    service = await start_position(http_listen="127.0.0.1:0")
    async with aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{service.app.http_port}"
        async with session.get(f"{base}/healthz") as response:
            assert (response.status, (await response.json())["status"]) == (200, "SERVING")
        async with session.get(f"{base}/api/positions/active") as response:
            assert (await response.json())["positions"] == []
        async with session.get(f"{base}/metrics") as response:
            assert 'grpc_calls_total{code="OK",method="trueup.position.v1.PositionService/ListPositions"}' in (
                await response.text()
            )


async def test_unknown_fields_are_named() -> None:
    async with served() as edge:
        for arguments in ({"json": {"asset": "BTC/USD", "sise": "1"}}, {"params": {"sise": "1"}}):
            status, body, _ = await edge.ask("POST", "/api/positions/open", **arguments)
            assert (status, body["code"]) == (400, 3)
            assert body["details"][1]["field_violations"][0]["field"] == "sise"
        assert not edge.calls


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", '{"asset": "BTC/USD", "size": 0.5, "entry_price": 42000}'),
        ("application/x-www-form-urlencoded", '{"asset": "BTC/USD", "size": "0.5", "entry_price": "42000"}'),
        ("application/x-www-form-urlencoded", "asset=BTC/USD&size=0.5&entry_price=42000"),
        ("application/x-www-form-urlencoded", "asset=BTC%2FUSD&size=0.5&entry_price=42000"),
        ("text/plain;charset=UTF-8", '{"asset": "BTC/USD", "size": "0.5", "entry_price": "42000"}'),
    ],
)
async def test_a_body_is_json_or_a_form(kind: str, body: str) -> None:
    async with served() as edge:
        arguments = {"data": body.encode(), "headers": {"Content-Type": kind}}
        assert (await edge.ask("POST", "/api/positions/open", **arguments))[0] == 200
        assert edge.positions.request == pb.OpenPositionRequest(asset="BTC/USD", size="0.5", entry_price="42000")
        status, refused, _ = await edge.ask("POST", "/api/positions/open?size=0.5", **arguments)
        assert (status, refused["message"]) == (400, "size: is given more than once")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for data, message in (
            (b"sise=1", "sise: OpenPositionRequest has no such"),
            (b"a=\xff", "the body is not UTF-8"),
        ):
            status, refused, _ = await edge.ask("POST", "/api/positions/open", data=data, headers=form)
            assert (status, refused["message"].startswith(message)) == (400, True)


async def test_the_services_own_rules_are_answered_as_theirs() -> None:
    async with served() as edge:
        status, body, _ = await edge.ask("POST", "/api/positions/open", json={"asset": "BTC/USD", "size": "x"})
        assert status == 400
        assert body["details"][1]["field_violations"][0]["field"] == "size"
        assert edge.calls == ["/trueup.position.v1.PositionService/OpenPosition"]


async def test_errors_arrive_whole() -> None:
    async with served() as edge:
        edge.positions.error = RpcError(
            grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "größer", {"a": "b"}, retry_after_s=2.5
        )
        request = "/api/positions/open?asset=BTC/USD&entry_price=1&size=1"
        status, body, headers = await edge.ask("POST", request, headers={"X-Request-Id": "abc"})
        assert (status, body["code"], body["message"]) == (503, 14, "größer")
        assert [detail["@type"].rpartition(".")[2] for detail in body["details"]] == ["ErrorInfo", "RetryInfo"]
        assert (headers["Retry-After"], headers["X-Request-Id"]) == ("3", "abc")
        edge.positions.error = RuntimeError("postgresql://user:hunter2@db")
        status, body, _ = await edge.ask("POST", request)
        assert (status, body["details"][0]["reason"]) == (500, "INTERNAL")
        assert "hunter2" not in json.dumps(body)
        status, body, _ = await edge.ask("GET", "/api/reconciliation/status")
        assert (status, body["details"][0]["reason"]) == (501, "NOT_IMPLEMENTED")


async def test_a_service_that_is_gone_is_503_and_unhealthy() -> None:
    async with served() as edge:
        await edge.grpc.drain(0)
        status, body, headers = await edge.ask("GET", "/api/positions/active")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert body["message"] == "trueup.position.v1.PositionService does not answer"
        status, body, _ = await edge.ask("GET", "/healthz")
        assert (status, set(body["services"].values())) == (503, {"UNREACHABLE"})
        assert (await edge.ask("GET", "/livez"))[:2] == (503, {"status": "UNREACHABLE"})


async def test_a_service_that_does_not_serve_is_alive() -> None:
    async with served() as edge:
        edge.grpc.set_serving(serving=False)
        assert (await edge.ask("GET", "/healthz"))[0] == 503
        assert (await edge.ask("GET", "/livez"))[:2] == (200, {"status": "ALIVE"})


async def test_credentials_are_forwarded_and_bytes_that_cannot_be_are_refused() -> None:
    async with served() as edge:
        headers = {"X-API-Key": "k", "Authorization": "Bearer t", "X-Request-Id": "r", "X-Other": "o"}
        _, _, answered = await edge.ask("GET", "/api/positions/active", headers=headers)
        seen = {name: edge.metadata.get(name) for name in ("x-api-key", "authorization", "x-request-id", "x-other")}
        assert seen == {"x-api-key": "k", "authorization": "Bearer t", "x-request-id": "r", "x-other": None}
        assert answered["X-Request-Id"] == "r"
        for value in (b"k\xc3\xbc", b"x" * 5_000):
            request = b"GET /v1/positions HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + value + b"\r\n\r\n"
            assert (await raw(edge.port, request)).startswith(b"HTTP/1.1 400")


async def test_a_stream_is_a_message_a_line() -> None:
    async with served() as edge, edge.session.get(f"{edge.url}/v1/positions:watch?include_current=true") as response:
        assert response.content_type == "application/x-ndjson"
        lines = [json.loads(await response.content.readline()) for _ in range(3)]
        assert [line["revision"] for line in lines] == ["0", "7", "8"]
        assert edge.positions.request == pb.WatchPositionsRequest(include_current=True)


async def test_events_carry_their_revision_and_resume_after_it() -> None:
    async with served() as edge:
        url = f"{edge.url}/v1/positions:watch?include_current=true"
        async with edge.session.get(url, headers=EVENTS) as response:
            assert response.content_type == "text/event-stream"
            text = await response.content.readuntil(b'"revision":"8"')
        assert re.findall(rb"^id: (\d+)", text, re.MULTILINE) == [b"7", b"8"]
        async with edge.session.get(url, headers=EVENTS | {"Last-Event-ID": "8"}) as response:
            await response.content.readline()
            assert edge.positions.request == pb.WatchPositionsRequest(after_revision=8)


async def test_a_client_that_leaves_cancels_the_stream_behind() -> None:
    async with served(limits=EdgeLimits(heartbeat_s=60)) as edge:  # it is noticed without a write that fails
        response = await edge.session.get(f"{edge.url}/v1/positions:watch", headers=EVENTS)
        await response.content.readline()
        assert edge.positions.ended == 0
        response.close()
        await until(lambda: edge.positions.ended == 1)


async def test_quiet_streams_have_heartbeats() -> None:
    async with served(limits=EdgeLimits(heartbeat_s=0.02)) as edge, asyncio.timeout(10):
        response = await edge.session.get(f"{edge.url}/v1/positions:watch", headers=EVENTS)
        assert (await response.content.readuntil(b": still here\n\n")).count(b"data:") == 3
        response.close()


async def test_a_stream_refused_at_once_is_a_status() -> None:
    async with served() as edge:
        status, body, _ = await edge.ask("GET", "/v1/positions:watch?account=%20", headers=EVENTS)
        assert (status, body["details"][1]["field_violations"][0]["field"]) == (400, "account")


async def test_a_stream_that_breaks_says_why_at_its_end() -> None:
    async def breaking() -> AsyncIterator[Any]:
        yield pb.WatchPositionsResponse(revision=7)
        raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW", "too slow", {"resumeAfterRevision": "7"})

    async with served() as edge:
        edge.positions.messages = breaking
        async with edge.session.get(f"{edge.url}/v1/positions:watch") as response:
            first, last = (await response.read()).splitlines()
        assert json.loads(first)["revision"] == "7"
        assert json.loads(last)["error"]["details"][0]["metadata"] == {"resumeAfterRevision": "7"}
        async with edge.session.get(f"{edge.url}/v1/positions:watch", headers=EVENTS) as response:
            assert b'event: error\ndata: {"code":8,' in await response.read()


async def test_a_stopping_edge_ends_streams_and_lets_calls_finish() -> None:
    async with served() as edge:
        stream = await edge.session.get(f"{edge.url}/v1/positions:watch")
        await stream.content.readline()
        asked = asyncio.create_task(edge.ask("GET", "/api/positions/summary"))
        await edge.positions.entered.wait()
        stopping = asyncio.create_task(edge.http.stop(10))
        rest = (await stream.read()).splitlines()
        assert json.loads(rest[-1])["error"]["details"][0]["reason"] == "DRAINING"
        assert not asked.done()
        edge.positions.release.set()
        assert (await asked)[0] == 200
        await stopping
        with pytest.raises(aiohttp.ClientConnectionError):
            await edge.ask("GET", "/healthz")


async def test_streams_are_bounded() -> None:
    async with served(limits=EdgeLimits(streams=1)) as edge:
        async with edge.session.get(f"{edge.url}/v1/positions:watch") as first:
            await first.content.readline()
            status, body, headers = await edge.ask("GET", "/v1/positions:watch")
            assert (status, body["details"][0]["reason"], headers["Retry-After"]) == (429, "OVERLOADED", "1")
        await until(lambda: edge.positions.ended == 1)
        async with edge.session.get(f"{edge.url}/v1/positions:watch") as again:
            assert again.status == 200


async def test_a_reader_that_stalls_is_let_go() -> None:
    async def flood() -> AsyncIterator[Any]:
        while True:
            yield pb.WatchPositionsResponse(revision=7, positions=[{"labels": {"x": "y" * 50_000}}])

    async with served(limits=EdgeLimits(stalled_s=0.1)) as edge:
        edge.positions.messages = flood
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1)
        writer.write(b"GET /v1/positions:watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: edge.positions.ended == 1)
        writer.close()


async def test_head_options_and_verbs_that_are_not_there() -> None:
    async with served() as edge:
        assert (await edge.ask("HEAD", "/v1/positions"))[:2] == (200, None)
        assert (await edge.ask("HEAD", "/v1/positions:watch"))[:2] == (200, None)
        assert (await edge.ask("HEAD", "/openapi.json"))[:2] == (200, None)
        status, _, headers = await edge.ask("OPTIONS", "/v1/positions")
        assert (status, headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
        status, body, headers = await edge.ask("DELETE", "/v1/positions")
        assert (status, body["code"], headers["Allow"]) == (405, 12, "GET, HEAD, OPTIONS")
        assert body["message"] == "/v1/positions does not answer DELETE, only GET, HEAD, OPTIONS"
        (info,) = body["details"]
        assert (info["reason"], info["metadata"]) == ("VERB_NOT_ALLOWED", {"allow": "GET, HEAD, OPTIONS"})
        assert (await edge.ask("POST", "/metrics"))[0] == 405
        for verb, path in (("GET", "/api/nothing"), ("OPTIONS", "/nothing"), ("POST", "/api/positions/BTC")):
            status, body, _ = await edge.ask(verb, path)
            assert (status, body["code"], body["details"][0]["reason"]) == (404, 5, "PATH_NOT_FOUND")
            assert body["message"].startswith(f"there is nothing at {path}: ")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"data": b'{"asset": "\xff"}', "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"<x/>", "headers": {"Content-Type": "text/xml"}}, 415),
        ({"data": b" " * 2_000, "headers": {"Content-Type": "application/json"}}, 413),
        ({"data": b"not gzip", "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"}}, 400),
        ({"params": [("asset", "x")] * 2_000}, 400),
        ({"headers": {"Origin": "https://evil.example.com"}}, 403),
        ({"headers": {"Host": "evil.example.com"}}, 421),
    ],
)
async def test_what_cannot_be_read_is_refused(arguments: dict[str, Any], status: int) -> None:
    async with served(limits=EdgeLimits(body_bytes=1_000, line_bytes=64_000)) as edge:
        async with edge.session.post(f"{edge.url}/api/positions/open", **arguments) as response:
            assert response.status == status
        assert not edge.calls


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /v1/positions HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/positions/%FF/USD HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/positions HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
        b"POST /api/positions/open HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_bytes_that_are_no_request_are_refused_and_the_edge_lives_on(request_: bytes) -> None:
    async with served() as edge:
        answer = await raw(edge.port, request_)
        assert re.match(rb"HTTP/1.\d 4\d\d|$", answer), answer[:80]
        assert (await edge.ask("GET", "/v1/positions"))[0] == 200
        assert edge.calls == ["/trueup.position.v1.PositionService/ListPositions"]


async def test_a_body_that_trickles_in_is_given_up() -> None:
    async with served(limits=EdgeLimits(body_s=0.05)) as edge:
        head = b"POST /api/positions/open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
        assert (await raw(edge.port, head)).startswith(b"HTTP/1.1 408")


async def test_expect_continue_is_answered() -> None:
    async with served() as edge:
        head = b"POST /api/positions/open HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
        answer = await raw(edge.port, head)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400")


async def test_allowed_origins_may_read() -> None:
    async with served(cors_origins=["https://desk.example.com"]) as edge:
        headers = {"Origin": "https://desk.example.com", "Access-Control-Request-Method": "POST"}
        status, _, granted = await edge.ask("OPTIONS", "/api/positions/open", headers=headers)
        assert (status, granted["Access-Control-Allow-Methods"]) == (204, "OPTIONS, POST")
        for path in ("/v1/positions", "/nothing"):
            _, _, granted = await edge.ask("GET", path, headers=headers)
            assert granted["Access-Control-Allow-Origin"] == "https://desk.example.com"
        async with edge.session.get(f"{edge.url}/v1/positions:watch", headers=headers) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://desk.example.com"


async def test_the_pages_need_nothing_from_elsewhere() -> None:
    async with served() as edge:
        for path, kind in (("/docs", "text/html"), ("/docs.js", "text/javascript"), ("/docs.css", "text/css")):
            async with edge.session.get(edge.url + path) as response:
                assert (response.status, response.content_type) == (200, kind)
                assert "://" not in (await response.text())
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        async with edge.session.get(edge.url + "/", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, "/docs")
        _, document, _ = await edge.ask("GET", "/openapi.json")
        assert len(document["paths"]) > 40


async def test_pages_of_the_app_stand_beside_the_edges_own() -> None:
    async with served(own_pages=desk_page()) as edge:
        async with edge.session.get(edge.url + "/", allow_redirects=False) as response:
            assert (response.status, response.content_type) == (200, "text/html")
            page = await response.text()
        files = re.findall(r'(?:href|src)="(page/[^"]+)"', page)
        assert len(files) >= 5
        modules = re.findall(r'from "\./([^"]+)"', "".join(file.read_text() for file in FILES.glob("*.js")))
        for path in {*files, *(f"page/{name}" for name in modules)}:
            async with edge.session.get(f"{edge.url}/{path}") as response:
                assert response.status == 200, path
                text = (await response.text()).replace("http://www.w3.org/2000/svg", "")
                assert "://" not in text
                assert "innerHTML" not in text
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*src=)|style=|\son\w+=", page), "the policy would refuse it"
        async with edge.session.get(edge.url + "/docs") as response:
            assert response.status == 200
        async with edge.session.get(edge.url + "/page/index.html") as response:
            assert response.status == 404


async def test_a_taken_port_says_what_to_do() -> None:
    async with served() as edge:
        second = HttpServer(f"127.0.0.1:{edge.port}", [], metrics=EdgeMetrics(CollectorRegistry()))
        with pytest.raises(StartupError, match=rf"cannot serve HTTP on 127\.0\.0\.1:{edge.port}: the port is taken"):
            await second.start()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", edge.port))


async def test_off_loopback_it_refuses_to_start_without_tls() -> None:
    with pytest.raises(StartupError, match=r"refusing to serve HTTP on 0\.0\.0\.0:0 without TLS"):
        HttpServer("0.0.0.0:0", [])
    HttpServer("0.0.0.0:0", [], insecure=True, metrics=EdgeMetrics(CollectorRegistry()))
    with pytest.raises(StartupError, match="is not a listen address"):
        HttpServer("nonsense", [])


async def test_unix_sockets(tmp_path: Any) -> None:
    server = HttpServer(f"unix:{tmp_path}/s", [], metrics=EdgeMetrics(CollectorRegistry()))
    assert await server.start() == 0
    thief = HttpServer(f"unix:{tmp_path}/s", [], metrics=EdgeMetrics(CollectorRegistry()))
    with pytest.raises(StartupError, match="another process listens on this socket"):
        await thief.start()
    # After the thief's look, so that the connection it left behind is gone by now.
    connector = aiohttp.UnixConnector(f"{tmp_path}/s")
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://localhost/healthz") as answer:
        assert answer.status == 200
    await server.stop(0)
