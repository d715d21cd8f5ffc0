"""Requests from bytes."""

from __future__ import annotations

import pytest
from trueup.position.v1 import position_service_pb2 as pb

from grpckit import validation
from grpckit.errors import RpcError
from grpckit.limits import Limits
from grpckit.validation import reader


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
