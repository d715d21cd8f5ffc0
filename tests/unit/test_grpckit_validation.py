"""Requests from bytes."""

from __future__ import annotations

import pytest
from trueup.position.v1 import access_service_pb2, position_pb2, reconciliation_log_service_pb2
from trueup.position.v1 import position_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2

from grpckit import validation
from grpckit.errors import RpcError
from grpckit.limits import Limits
from grpckit.validation import reader

ACTIONS = ", ".join(reconciler_service_pb2.ResolveAction.keys()[1:])


def read(message_type, raw: bytes, *, full_bytes: int = 65_536):
    return reader(message_type, message_type.FromString, full_bytes)(raw)


def test_a_valid_request_is_returned():
    request = pb.GetPositionRequest(asset="BTC/USD")
    assert read(pb.GetPositionRequest, request.SerializeToString()) == request


def test_every_field_of_a_small_request_is_named():
    request = pb.OpenPositionRequest(asset="BTC/USD", size="-1", entry_price="NaN")
    with pytest.raises(RpcError) as caught:
        read(pb.OpenPositionRequest, request.SerializeToString())
    assert [violation.field for violation in caught.value.violations] == ["size", "entry_price"]
    assert caught.value.message.endswith("(and 1 more)")


CASE = "0198c0de-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("request_", "field", "choices"),
    [
        (reconciler_service_pb2.ResolveDriftRequest(drift_id=CASE), "action", ACTIONS),
        (reconciler_service_pb2.ResolveDriftRequest(drift_id=CASE, action=99), "action", ACTIONS),
        (
            reconciliation_log_service_pb2.TransitionDriftRequest(drift_id=CASE, status=1),  # SUSPECTED
            "status",
            "DRIFT_STATUS_CONFIRMED, DRIFT_STATUS_ACKNOWLEDGED, DRIFT_STATUS_SNOOZED, DRIFT_STATUS_RESOLVED",
        ),
        (
            access_service_pb2.CreateKeyRequest(name="x", scopes=[1, 0], accounts=["main"]),
            "scopes[1]",
            "SCOPE_READ, SCOPE_WRITE, SCOPE_DRIFT, SCOPE_ADMIN",
        ),
        (
            pb.ListPositionsRequest(statuses=[1, 99]),
            "statuses[1]",
            ", ".join(name for name in position_pb2.PositionStatus.keys()[1:]),
        ),
    ],
)
def test_what_is_none_of_the_choices_is_told_them(request_, field, choices):
    with pytest.raises(RpcError) as caught:
        read(type(request_), request_.SerializeToString())
    (violation,) = caught.value.violations
    assert (violation.field, violation.description) == (field, f"must be one of {choices}")
    assert violation.description in caught.value.message


def test_a_choice_inside_of_an_item_is_found():
    fill = pb.Fill(fill_id="1", symbol="BTC", size="1", price="1", product=99)
    request = pb.RecordFillsRequest(fills=[fill])
    with pytest.raises(RpcError) as caught:
        read(pb.RecordFillsRequest, request.SerializeToString())
    told = {violation.field: violation.description for violation in caught.value.violations}
    assert told["fills[0].product"].startswith("must be one of PRODUCT_SPOT, ")


def test_only_the_first_field_of_a_large_request_is_named():
    request = pb.RecordFillsRequest(fills=[pb.Fill()] * 900)
    with pytest.raises(RpcError) as caught:
        read(pb.RecordFillsRequest, request.SerializeToString(), full_bytes=100)
    assert len(caught.value.violations) == 1


def test_polled_reads_are_validated_once_and_only_valid_ones_remembered(monkeypatch):
    checked = []

    class Counting:
        def collect_violations(self, message, **options):
            checked.append(message)
            return validation_of(message, **options)

    validation_of = validation._validator.collect_violations
    monkeypatch.setattr(validation, "_validator", Counting())
    polled = reader(pb.GetPositionRequest, pb.GetPositionRequest.FromString, 65_536, remember=True)
    valid = pb.GetPositionRequest(asset="BTC/USD")
    first, second = polled(valid.SerializeToString()), polled(valid.SerializeToString())
    assert first == second == valid
    assert first is not second
    assert len(checked) == 1
    for _ in range(2):
        with pytest.raises(RpcError):
            polled(pb.GetPositionRequest(asset="not a name").SerializeToString())
    polled(pb.GetPositionRequest(asset="ETH/USD").SerializeToString())
    assert len(checked) == 1 + 2 * 2 + 1


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(validation, "_REMEMBERED", 10)
    polled = reader(pb.GetPositionRequest, pb.GetPositionRequest.FromString, 65_536, remember=True)
    for number in range(100):
        polled(pb.GetPositionRequest(asset=f"A{number}").SerializeToString())
    (remembered,) = [cell.cell_contents for cell in polled.__closure__ if isinstance(cell.cell_contents, set)]
    assert len(remembered) <= 10


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_are_above_zero(value):
    with pytest.raises(ValueError, match="unary_deadline_s must be above zero"):
        Limits(unary_deadline_s=value)
