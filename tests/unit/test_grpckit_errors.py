"""Errors on their way to google.rpc.Status and back."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from grpckit.errors import DETAILS_KEY, DOMAIN, Pruned, RpcError, Violation, clip_message, from_rpc, invalid, to_status

CODE = grpc.StatusCode.FAILED_PRECONDITION


def received(status: status_pb2.Status | None, *, details: bytes | None = None) -> RpcError:
    """Reads a status as a client gets it."""
    raw = details if details is not None else status.SerializeToString() if status else None
    trailing = grpc.aio.Metadata(*(() if raw is None else ((DETAILS_KEY, raw),)))
    return from_rpc(grpc.aio.AioRpcError(CODE, grpc.aio.Metadata(), trailing, "message"))


def test_an_error_always_carries_its_reason_and_domain():
    status = to_status(RpcError(CODE, "ILLEGAL_TRANSITION", "no"))
    info = error_details_pb2.ErrorInfo()
    assert status.code == 9
    assert len(status.details) == 1
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("ILLEGAL_TRANSITION", DOMAIN)


def test_a_misspelt_reason_is_a_defect():
    with pytest.raises(ValueError, match="unknown error reason 'ILLEGAL_TRANSITON'"):
        to_status(RpcError(CODE, "ILLEGAL_TRANSITON", "no"))


def test_servers_that_are_not_ours_have_no_reason():
    assert received(None).reason == ""
    assert received(None, details=b"\xff\xff").reason == ""
    foreign = status_pb2.Status(code=9)
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="STALE_REVISION", domain="example.org"))
    foreign.details.append(packed)
    assert received(foreign).reason == ""


def test_text_shows_code_reason_and_message():
    assert str(RpcError(CODE, "AMBIGUOUS_ASSET", "which?")) == "FAILED_PRECONDITION AMBIGUOUS_ASSET: which?"


@pytest.mark.parametrize(
    ("metadata", "oldest"), [({"oldestRevision": "40"}, 40), ({}, None), ({"oldestRevision": "x"}, None)]
)
def test_pruned_knows_the_oldest_revision_where_it_is_told(metadata, oldest):
    assert Pruned(grpc.StatusCode.OUT_OF_RANGE, "REVISION_PRUNED", "gone", metadata).oldest_revision == oldest


def test_what_is_left_out_is_counted():
    violations = [Violation(f"items[{index}].size", "must be positive") for index in range(1_000)]
    got = received(to_status(invalid("bad", *violations))).violations
    kept = len(got) - 1
    assert list(got[:kept]) == violations[:kept]
    assert got[-1].description == f"{1_000 - kept} more violations are left out"
    assert kept > 50


TEXT = st.text(st.characters(exclude_categories=()), max_size=3_000)  # lone surrogates too


@given(TEXT, st.dictionaries(TEXT, TEXT, max_size=20), st.lists(st.tuples(TEXT, TEXT), max_size=50))
def test_any_error_fits_the_headers(message, metadata, violations):
    error = RpcError(CODE, "AMBIGUOUS_ASSET", message, metadata, [Violation(*pair) for pair in violations], 0.5)
    status = to_status(error)
    # As the strictest peer counts: base64 for the details, percent-encoding for the message.
    percent_encoded = sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in status.message.encode())
    assert status.ByteSize() * 4 / 3 + percent_encoded < 7_900
    got = received(status)
    assert (got.reason, got.retry_after_s) == ("AMBIGUOUS_ASSET", 0.5)
    assert bool(got.violations) == bool(violations)


@given(st.text(max_size=100))
def test_short_messages_are_left_alone(text):
    assert clip_message(text) == text
