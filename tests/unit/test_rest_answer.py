"""Answers as JSON: statuses, numbers, streams; and what pages of other sites may do."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from trueup.position.v1 import position_pb2, position_service_pb2
from trueup.reconciler.v1 import reconciler_service_pb2
from trueup.types.v1 import types_pb2

from grpckit.errors import RpcError, Violation, to_status
from grpckit.json_form import to_json
from grpckit.rest.answer import Refusal, error_response, status_json
from grpckit.rest.origins import Origins
from grpckit.rest.streams import Events, Lines, resume, wants_events

Watch = position_service_pb2.WatchPositionsRequest


def test_defaults_are_written_and_large_integers_are_strings() -> None:
    answer = position_service_pb2.GetPortfolioSummaryResponse(total_positions=2, assets=["BTC/USD"], revision=2**60)
    assert to_json(answer) == {
        "total_positions": 2,
        "total_unrealized_pnl": "",
        "total_notional_value": "",
        "positions_at_risk": 0,
        "assets": ["BTC/USD"],
        "total_realized_pnl": "",
        "long_notional": "",
        "short_notional": "",
        "net_notional": "",
        "missing_marks": [],
        "confirmed_pnl": "",
        "estimated_pnl": "",
        "old_marks": [],
        "total_funding": "",
        "revision": "1152921504606846976",
    }
    position = to_json(position_pb2.Position(side=types_pb2.SIDE_LONG))
    assert (position["side"], position["labels"], position["at_risk"]) == ("SIDE_LONG", {}, False)
    assert "closed_at" not in position


@pytest.mark.parametrize(
    ("code", "http"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 400),
        (grpc.StatusCode.FAILED_PRECONDITION, 400),
        (grpc.StatusCode.OUT_OF_RANGE, 400),
        (grpc.StatusCode.UNAUTHENTICATED, 401),
        (grpc.StatusCode.PERMISSION_DENIED, 403),
        (grpc.StatusCode.NOT_FOUND, 404),
        (grpc.StatusCode.ABORTED, 409),
        (grpc.StatusCode.ALREADY_EXISTS, 409),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
        (grpc.StatusCode.CANCELLED, 499),
        (grpc.StatusCode.UNKNOWN, 500),
        (grpc.StatusCode.INTERNAL, 500),
        (grpc.StatusCode.DATA_LOSS, 500),
        (grpc.StatusCode.UNIMPLEMENTED, 501),
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    ],
)
def test_every_code_has_its_http_status(code: grpc.StatusCode, http: int) -> None:
    assert error_response(status_pb2.Status(code=code.value[0])).status == http


def test_details_are_expanded_and_retry_is_a_header() -> None:
    error = RpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        "too much",
        {"limit": "5"},
        [Violation("size", "is wrong")],
        retry_after_s=1.2,
    )
    response = error_response(to_status(error))
    assert response.headers["Retry-After"] == "2"
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "code": 8,
        "message": "too much",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "OVERLOADED",
                "domain": "trueup",
                "metadata": {"limit": "5"},
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1.200s"},
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "field_violations": [{"field": "size", "description": "is wrong"}],
            },
        ],
    }
    unauthenticated = error_response(status_pb2.Status(code=16))
    assert unauthenticated.headers["WWW-Authenticate"] == "Bearer"


def test_details_that_nobody_knows_are_left_out() -> None:
    known, broken = any_pb2.Any(), any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
    known.Pack(error_details_pb2.ErrorInfo(reason="R"))
    strange = any_pb2.Any(type_url="type.googleapis.com/who.knows.What", value=b"x")
    found = status_json(status_pb2.Status(code=5, message="m", details=[strange, broken, known]))
    assert [detail["reason"] for detail in found["details"]] == ["R"]


def test_streams_are_lines_or_events() -> None:
    message = position_service_pb2.WatchPositionsResponse(revision=7)
    assert json.loads(Lines().message(message)) == to_json(message)
    assert Lines().message(message).count(b"\n") == 1
    events = Events(2.0)
    assert events.start() == b"retry: 2000\n\n"
    head, data, *end = events.message(message).split(b"\n")
    assert (head, end) == (b"id: 7", [b"", b""])
    assert json.loads(data.removeprefix(b"data: ")) == to_json(message)
    assert events.heartbeat().startswith(b":")


def test_a_snapshot_under_way_gives_no_id_to_resume_after() -> None:
    assert not Events(1).message(position_service_pb2.WatchPositionsResponse()).startswith(b"id:")


def test_resuming_goes_on_after_the_event_and_without_a_snapshot() -> None:
    request = Watch(include_current=True, account="main", after_revision=3)
    resume(request, "41")
    assert request == Watch(account="main", after_revision=41)
    drifts = reconciler_service_pb2.StreamDriftEventsRequest(include_open=True)
    resume(drifts, "41")
    assert drifts == reconciler_service_pb2.StreamDriftEventsRequest(after_revision=41)


@pytest.mark.parametrize("text", ["", "0", "x", "-1", "1.5", "9" * 40, "²"])
def test_ids_that_are_no_revision_are_not_resumed_after(text: str) -> None:
    request = Watch(include_current=True)
    resume(request, text)
    assert request == Watch(include_current=True)


@pytest.mark.parametrize(
    ("accept", "events"),
    [
        ("text/event-stream", True),
        ("application/json, Text/Event-Stream;q=0.9", True),
        ("", False),
        ("*/*", False),
        ("application/x-ndjson", False),
    ],
)
def test_who_wants_events(accept: str, *, events: bool) -> None:
    assert wants_events(accept) is events


def asked(verb: str = "POST", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request(verb, "/v1/fills", headers={"Host": "127.0.0.1:8000"} | named)


@pytest.mark.parametrize(
    "request_",
    [
        asked(),
        asked("GET", Origin="https://evil.example.com"),  # it cannot read the answer
        asked(Origin="http://127.0.0.1:8000"),
        asked(Host="localhost:8000", Origin="http://localhost:8000"),
        asked(Host="[::1]:8000"),
        asked(Host="desk.internal:8000"),
        asked(Origin="https://desk.example.com"),
        asked(Sec_Fetch_Site="same-origin"),
        asked(Sec_Fetch_Site="none"),
    ],
)
def test_what_may_be_asked(request_: web.BaseRequest) -> None:
    Origins(["https://desk.example.com"], ["desk.internal"]).check(request_)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asked(Origin="https://evil.example.com"), 403),
        (asked("DELETE", Origin="https://evil.example.com"), 403),
        (asked(Origin="null"), 403),
        (asked(Origin="http://127.0.0.1:3000"), 403),
        (asked(Sec_Fetch_Site="cross-site"), 403),
        (asked("GET", Host="evil.example.com:8000"), 421),
        (asked(Host="evil.example.com:8000", Origin="http://evil.example.com:8000"), 421),
        (asked("GET", Host="127.0.0.1.evil.example.com"), 421),
        (asked("GET", Host="[::"), 421),
        (asked("GET", Host="10.0.0.7:8000"), 421),
    ],
)
def test_what_other_sites_may_not_ask(request_: web.BaseRequest, status: int) -> None:
    with pytest.raises(Refusal) as raised:
        Origins(["https://desk.example.com"], ["desk.internal"]).check(request_)
    assert raised.value.status == status


def test_off_loopback_every_name_is_ours_unless_names_are_given() -> None:
    Origins(loopback=False).check(asked(Host="desk.example.com"))
    with pytest.raises(Refusal):
        Origins(hosts=["desk.example.com"], loopback=False).check(asked(Host="other.example.com"))


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:8000", "desk.localhost", "127.0.0.1:8000", "[::1]:8000"])
def test_names_of_loopback_are_always_ours(name: str) -> None:
    """Nobody can point them elsewhere, and probes of balancers use them."""
    Origins(hosts=["desk.example.com"], loopback=False).check(asked("GET", Host=name))


def test_cors_is_off_unless_an_origin_is_allowed() -> None:
    preflight = asked("OPTIONS", Origin="https://desk.example.com", Access_Control_Request_Method="POST")
    assert Origins().preflight(preflight, "POST") == {}
    granted = Origins(["https://desk.example.com/"]).preflight(preflight, "POST")
    assert granted["Access-Control-Allow-Origin"] == "https://desk.example.com"
    assert granted["Access-Control-Allow-Methods"] == "POST"
    assert Origins(["*"]).headers(preflight)["Vary"] == "Origin"
