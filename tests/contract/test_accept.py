"""What is accepted at a glance is valid: whatever protovalidate refuses, of every request, is left to it."""

from __future__ import annotations

import protovalidate
import pytest
from google.protobuf import message_factory
from hypothesis import given
from hypothesis import strategies as st
from trueup.position.v1 import position_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2

from grpckit.accept import Unknown, acceptor
from position_service.app import SERVICES
from tests.contract.test_bad_input import changes, valid

RECONCILER = reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"]
METHODS = [method for service in (*SERVICES, RECONCILER) for method in service.methods]
# With a rule that is not told at a glance: a pattern of its own, a number that may be left out, a list of values.
LEFT = {"AdjustPosition", "CreateKey", "WatchPositions", "WatchDrifts", "StreamDriftEvents"}
HOT = ("OpenPosition", "ReducePosition", "ClosePosition", "RecordFills", "UpdatePrices", "GetPosition")
TEXT = st.text(st.sampled_from("0123456789.-+eE\n\r\t\x00\x7f\x85\u2028\u0661aZ_:/@#é "), max_size=24)


def told(descriptor):
    try:
        return acceptor(descriptor)
    except Unknown:
        return None


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_is_refused_is_not_accepted(method):
    accepts = told(method.input_type)
    assert (accepts is None) == (method.name in LEFT)
    if accepts is None:
        return
    tried = 0
    for path, value, change in changes(method.input_type):
        request = valid(method.input_type)
        change(request)
        if protovalidate.collect_violations(request):
            assert not accepts((request,)), f"{path} = {str(value)[:40]!r}"
            assert not accepts((valid(method.input_type), request, valid(method.input_type)))
            tried += 1
    assert tried or not any(True for _ in changes(method.input_type))


@pytest.mark.parametrize("name", HOT)
def test_what_bots_send_is_accepted(name):
    request = valid(next(m for m in METHODS if m.name == name).input_type)
    assert told(request.DESCRIPTOR)((request, request))


@given(texts=st.lists(TEXT, min_size=12, max_size=12), numbers=st.lists(st.integers(-2, 9), min_size=3, max_size=3))
def test_any_texts_are_judged_as_by_protovalidate(texts, numbers):
    names = [field.name for field in pb.OpenPositionRequest.DESCRIPTOR.fields if field.cpp_type == field.CPPTYPE_STRING]
    enums = dict(zip(("product", "side", "margin_mode"), numbers, strict=True))
    request = pb.OpenPositionRequest(**dict(zip(names, texts, strict=False)), **enums)
    assert told(request.DESCRIPTOR)((request,)) == (not protovalidate.collect_violations(request))


@given(rows=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=3))
def test_line_breaks_do_not_make_two_of_one(rows):
    prices = [pb.PriceUpdate(venue=venue, symbol=symbol, price=price) for venue, symbol, price in rows]
    request = pb.UpdatePricesRequest(prices=prices)
    assert told(request.DESCRIPTOR)((request,)) == (not protovalidate.collect_violations(request))


def test_a_text_with_a_line_break_does_not_pass_for_two():
    split = [pb.PriceUpdate(symbol="A\n1\n\nB", price="2"), pb.PriceUpdate(symbol="C", price="3")]
    joined = [pb.PriceUpdate(symbol="A", price="1\n\nB\n2")]
    for prices in (split, joined):
        assert not told(pb.UpdatePricesRequest.DESCRIPTOR)((pb.UpdatePricesRequest(prices=prices),))


@pytest.mark.parametrize(("name", "field"), [("TransitionDrift", "status"), ("ResolveDrift", "action")])
def test_a_number_that_may_not_be_chosen_is_not_accepted(name, field):
    descriptor = next(m for m in METHODS if m.name == name).input_type
    for number in range(-1, 12):
        request = valid(descriptor)
        setattr(request, field, number)
        assert told(descriptor)((request,)) == (not protovalidate.collect_violations(request))


def test_a_message_of_no_fields_is_valid():
    empty = message_factory.GetMessageClass(RECONCILER.methods_by_name["GetLastRun"].input_type)()
    assert told(empty.DESCRIPTOR)((empty,))
