"""Routes of the real contracts, and the OpenAPI document made of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from trueup.position.v1 import position_service_pb2, reconciliation_log_service_pb2
from trueup.reconciler.v1 import reconciler_service_pb2

from grpckit.errors import StartupError
from grpckit.rest.openapi import describe
from grpckit.rest.routes import NotRouted, Routes

POSITION = position_service_pb2.DESCRIPTOR.services_by_name["PositionService"]
LOG = reconciliation_log_service_pb2.DESCRIPTOR.services_by_name["ReconciliationLogService"]
RECONCILER = reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"]
ROUTES = Routes([POSITION, LOG, RECONCILER])
UUID = "0192f0c1-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("verb", "path", "method", "variables"),
    [
        ("GET", "/api/positions/summary", "GetPortfolioSummary", {}),
        ("GET", "/api/positions/active", "ListPositions", {}),
        ("GET", "/api/positions/at-risk", "ListPositionsAtRisk", {}),
        ("GET", "/api/positions/BTC/USD", "ListPositions", {"asset": "BTC/USD"}),
        ("GET", "/api/positions/BTC%2FUSD", "ListPositions", {"asset": "BTC/USD"}),
        ("PATCH", "/api/positions/BTC/USD", "UpdatePosition", {"asset": "BTC/USD"}),
        ("POST", "/api/positions/open", "OpenPosition", {}),
        ("POST", "/api/positions/BTC/USD/close", "ClosePosition", {"asset": "BTC/USD"}),
        ("POST", "/api/positions/BTC/USD/reduce", "ReducePosition", {"asset": "BTC/USD"}),
        ("GET", "/api/positions/BTC/USD/history", "ListPositionHistory", {"asset": "BTC/USD"}),
        ("GET", "/api/positions/BTC%2FUSD/history", "ListPositionHistory", {"asset": "BTC/USD"}),
        ("GET", "/api/reconciliation/status", "GetStatus", {}),
        ("GET", "/api/reconciliation/last", "GetLastRun", {}),
        ("GET", "/api/reconciliation/allocation", "ValidateAllocation", {}),
        ("GET", "/api/reconciliation/drift-history", "ListDriftHistory", {}),
        ("GET", "/v1/drifts", "ListDrifts", {}),
        ("POST", "/api/reconciliation/sync", "Reconcile", {}),
        ("HEAD", f"/v1/positions/{UUID}", "GetPosition", {"position_id": UUID}),
        ("POST", f"/v1/positions/{UUID}:close", "ClosePosition", {"position_id": UUID}),
        ("GET", "/v1/positions:watch", "WatchPositions", {}),
        ("POST", "/v1/leases/reconciler", "AcquireLease", {"name": "reconciler"}),
    ],
)
def test_find(verb: str, path: str, method: str, variables: dict[str, str]) -> None:
    route, found = ROUTES.find(verb, path)
    assert (route.method.name, found) == (method, variables)


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("GET", "/nothing", set()),
        ("GET", "/api/positions/", set()),
        ("GET", "/api/positions/open", set()),  # one segment is no asset; POST has it
        ("DELETE", "/v1/positions", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/v1/fills", {"POST", "OPTIONS"}),
        ("PUT", "/api/positions/BTC/USD", {"GET", "HEAD", "PATCH", "OPTIONS"}),
        ("HEAD", "/v1/fills", {"POST", "OPTIONS"}),
    ],
)
def test_not_routed(verb: str, path: str, allowed: set[str]) -> None:
    with pytest.raises(NotRouted) as raised:
        ROUTES.find(verb, path)
    assert raised.value.allowed == allowed | ({"POST", "OPTIONS"} if path == "/api/positions/open" else set())


def service_of(*rules: http_pb2.HttpRule) -> Any:
    """A service whose methods have these rules."""
    name = f"routes_{abs(hash(str(rules)))}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=name, syntax="proto3")
    file.message_type.add(name="Request").field.add(name="known", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    service = file.service.add(name="Service")
    for index, rule in enumerate(rules):
        method = service.method.add(name=f"M{index}", input_type=f".{name}.Request", output_type=f".{name}.Request")
        extension: Any = annotations_pb2.http
        method.options.Extensions[extension].CopyFrom(rule)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call, unused-ignore]
    return pool.FindServiceByName(f"{name}.Service")


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([http_pb2.HttpRule(get="/a/{known}"), http_pb2.HttpRule(get="/a/{known=*}")], "both answer GET"),
        ([http_pb2.HttpRule(get="/a/{missing}")], "has no field missing"),
        ([http_pb2.HttpRule(post="/a", body="missing")], "has no field missing"),
        ([http_pb2.HttpRule(get="/a/{known.inner}")], "has no field known.inner"),
        ([http_pb2.HttpRule(get="/a", response_body="known")], "not supported"),
        ([http_pb2.HttpRule(custom=http_pb2.CustomHttpPattern(kind="X", path="/a"))], "not supported"),
    ],
)
def test_contracts_that_cannot_be_served_do_not_start(rules: list[http_pb2.HttpRule], problem: str) -> None:
    with pytest.raises(StartupError, match=problem):
        Routes([service_of(*rules)])


def test_the_same_path_may_have_several_verbs() -> None:
    rules = [http_pb2.HttpRule(get="/a/{known}"), http_pb2.HttpRule(delete="/a/{known}"), http_pb2.HttpRule(put="/a/x")]
    assert Routes([service_of(*rules)]).allowed("/a/x") == {"GET", "HEAD", "DELETE", "PUT", "OPTIONS"}


DOCUMENT = json.loads(json.dumps(describe(ROUTES, "trueup")))


def test_the_document_has_every_binding() -> None:
    operations = [(verb, path) for path, verbs in DOCUMENT["paths"].items() for verb in verbs]
    assert len(operations) == len(set(operations)) == len(list(ROUTES))
    identifiers = [verbs[verb]["operationId"] for verbs in DOCUMENT["paths"].values() for verb in verbs]
    assert len(set(identifiers)) == len(identifiers)
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_reference_of_the_document_is_there() -> None:
    for found in re.findall(r'"\$ref": "#/components/(\w+)/([^"]+)"', json.dumps(DOCUMENT)):
        assert found[1] in DOCUMENT["components"][found[0]]


def test_everything_in_the_document_is_described() -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, inner in schema.get("properties", {}).items()
        if name != "Status" and not inner.get("description")
    ]
    assert not bare
    assert all(tag["description"] for tag in DOCUMENT["tags"])
    operations = [operation for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]
    assert all(operation["description"] for operation in operations)


def test_a_summary_is_a_whole_sentence() -> None:
    history = DOCUMENT["paths"]["/api/positions/{asset}/history"]["get"]["summary"]
    assert history.endswith("or of every position that matches.")
    assert DOCUMENT["paths"]["/v1/positions"]["get"]["summary"].endswith("in the order they were opened.")
    operations = [operation for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]
    assert [one["summary"] for one in operations if not one["summary"].endswith(".")] == []


def test_other_names_of_a_field_are_documented() -> None:
    close = DOCUMENT["components"]["schemas"]["trueup.position.v1.ClosePositionRequest"]["properties"]
    assert close["close_price"]["description"].endswith("Requests may call it price as well.")
    assert "price" not in close


def test_path_variables_of_the_document_are_parameters() -> None:
    for path, verbs in DOCUMENT["paths"].items():
        for operation in verbs.values():
            named = {one["name"] for one in operation["parameters"] if one["in"] == "path" and one["required"]}
            assert named == set(re.findall(r"\{(\w+)\}", path))


def test_types_in_the_document_are_those_on_the_wire() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    position = schemas["trueup.position.v1.Position"]["properties"]
    assert (position["revision"]["type"], position["revision"]["format"]) == ("string", "int64")
    assert position["size"]["format"] == "decimal"
    assert position["opened_at"]["format"] == "date-time"
    assert position["labels"]["additionalProperties"] == {"type": "string"}
    assert position["other_fees"]["items"] == {"$ref": "#/components/schemas/trueup.types.v1.Fee"}
    assert schemas["trueup.types.v1.Side"]["enum"] == ["SIDE_UNSPECIFIED", "SIDE_LONG", "SIDE_SHORT"]
    assert "SIDE_SHORT gains when the price falls." in schemas["trueup.types.v1.Side"]["description"]
    summary = schemas["trueup.position.v1.GetPortfolioSummaryResponse"]["properties"]
    assert summary["total_positions"]["type"] == "integer"
