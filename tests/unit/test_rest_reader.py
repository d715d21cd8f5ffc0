"""Requests from JSON and from parameters: strict about names, exact about numbers, precise about what is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from trueup.position.v1 import position_pb2, position_service_pb2, reconciliation_log_service_pb2
from trueup.reconciler.v1 import reconciler_service_pb2
from trueup.types.v1 import types_pb2

from grpckit.errors import RpcError
from grpckit.rest.reader import Reader
from grpckit.rest.request import parse_json, parse_query, path_of

Open = position_service_pb2.OpenPositionRequest
List = position_service_pb2.ListPositionsRequest
Prices = position_service_pb2.UpdatePricesRequest
Trade = position_pb2.Trade


def from_body(kind: type[Any], text: str) -> Any:
    message = kind()
    reader = Reader(message)
    reader.read_object(parse_json(text.encode()))
    reader.finish()
    return message


def from_query(kind: type[Any], text: str) -> Any:
    message = kind()
    reader = Reader(message)
    for path, values in parse_query(text, 100).items():
        reader.read_text(path, values)
    reader.finish()
    return message


def wrong(read: Any, kind: type[Any], text: str) -> dict[str, str]:
    """The fields that are refused, and why."""
    with pytest.raises(RpcError) as raised:
        read(kind, text)
    assert (raised.value.code.name, raised.value.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    return {violation.field: violation.description for violation in raised.value.violations}


def test_the_seed_of_all_requests() -> None:
    read = from_query(Open, "asset=BTC/USD&entry_price=42000&size=0.5&leverage=5")
    assert read == Open(asset="BTC/USD", entry_price="42000", size="0.5", leverage="5")


def test_body_and_query_make_one_request() -> None:
    message = Open()
    reader = Reader(message)
    reader.read_object(parse_json(b'{"asset": "BTC/USD"}'))
    reader.read_text("size", ["0.5"])
    reader.finish()
    assert message == Open(asset="BTC/USD", size="0.5")


def test_a_field_from_two_places_is_refused() -> None:
    message = Open()
    reader = Reader(message)
    reader.read_object(parse_json(b'{"size": "1"}'))
    reader.read_text("size", ["1"])
    with pytest.raises(RpcError, match="size: is given more than once"):
        reader.finish()


@pytest.mark.parametrize(("in_body", "fits"), [("BTC/USD", True), ("ETH/USD", False)])
def test_a_body_may_repeat_the_path_and_not_contradict_it(in_body: str, *, fits: bool) -> None:
    message = position_service_pb2.ClosePositionRequest()
    reader = Reader(message)
    reader.read_object(parse_json(json.dumps({"asset": in_body}).encode()))
    reader.read_variable("asset", "BTC/USD")
    if fits:
        reader.finish()
    else:
        with pytest.raises(RpcError, match="asset: is given more than once"):
            reader.finish()


Close = position_service_pb2.ClosePositionRequest


@pytest.mark.parametrize("name", ["close_price", "closePrice", "price"])
def test_a_field_has_other_names_where_the_contract_says_so(name: str) -> None:
    assert from_query(Close, f"{name}=42500") == Close(close_price="42500")
    assert from_body(Close, json.dumps({name: "42500"})) == Close(close_price="42500")
    assert from_query(position_service_pb2.ReducePositionRequest, "close_price=7").price == "7"


@pytest.mark.parametrize("query", ["price=1&close_price=2", "closePrice=1&close_price=2", "price=1&closePrice=1"])
def test_a_field_under_two_names_is_refused(query: str) -> None:
    assert wrong(from_query, Close, query) == {"close_price": "is given more than once"}
    body = json.dumps(dict(part.split("=") for part in query.split("&")))
    assert wrong(from_body, Close, body) == {"close_price": "is given more than once"}


@pytest.mark.parametrize("text", ["LONG", "long", "SIDE_LONG", "side_long", "Long", "1"])
def test_enums_by_name_with_or_without_their_prefix(text: str) -> None:
    assert from_query(Open, f"side={text}").side == types_pb2.SIDE_LONG
    assert from_body(Open, json.dumps({"side": text})).side == types_pb2.SIDE_LONG


def test_an_unknown_enum_value_lists_the_known_ones() -> None:
    assert wrong(from_query, Open, "side=up") == {"side": "must be one of LONG, SHORT"}


def test_repeated_parameters_are_a_list() -> None:
    statuses = from_query(List, "statuses=OPEN&statuses=POSITION_STATUS_REDUCED&page_size=5").statuses
    assert list(statuses) == [position_pb2.POSITION_STATUS_OPEN, position_pb2.POSITION_STATUS_REDUCED]
    venues = from_query(reconciler_service_pb2.ReconcileRequest, "venues=a&venues=b&dry_run=TRUE")
    assert (list(venues.venues), venues.dry_run) == (["a", "b"], True)


def test_nested_fields_are_dotted_and_maps_too() -> None:
    assert from_query(Trade, "fee.currency=USDC&fee.amount=1.5").fee == types_pb2.Fee(currency="USDC", amount="1.5")
    assert dict(from_query(Open, "labels.desk=alpha&labels.a.b=c").labels) == {"desk": "alpha", "a.b": "c"}


def test_times_are_rfc3339() -> None:
    read = from_query(List, "as_of_time=2026-01-31T12:00:00.5Z")
    assert (read.as_of_time.seconds, read.as_of_time.nanos) == (1769860800, 500_000_000)
    assert wrong(from_query, List, "as_of_time=yesterday") == {
        "as_of_time": "must be a time, e.g. 2026-01-31T12:00:00Z"
    }


@pytest.mark.parametrize(
    ("kind", "query", "field", "description"),
    [
        (Open, "sise=1", "sise", "OpenPositionRequest has no such field; did you mean size?"),
        (Open, "zzzz=1", "zzzz", "OpenPositionRequest has no such field"),
        (Open, "size=1&size=2", "size", "is given more than once"),
        (Trade, "fee=1", "fee", "needs a field: fee.…"),
        (Trade, "fee.amounts=1", "fee.amounts", "Fee has no such field; did you mean amount?"),
        (Open, "size.x=1", "size.x", "has no fields of its own"),
        (Open, "pending=maybe", "pending", "must be true or false"),
        (List, "page_size=1e3", "page_size", "must be a whole number"),
        (List, "page_size=1_0", "page_size", "must be a whole number"),
        (List, "page_size=", "page_size", "must be a whole number"),
        (List, "page_size=99999999999", "page_size", "is out of range"),
        (List, "min_revision=99999999999999999999", "min_revision", "is out of range"),
        (Prices, "prices=x", "prices", "belongs into a JSON body"),
    ],
)
def test_wrong_parameters_name_the_field(kind: type[Any], query: str, field: str, description: str) -> None:
    assert wrong(from_query, kind, query) == {field: description}


@pytest.mark.parametrize(
    ("kind", "body", "field", "description"),
    [
        (Open, '{"sise": "1"}', "sise", "OpenPositionRequest has no such field; did you mean size?"),
        (Trade, '{"fee": {"amounts": "1"}}', "fee.amounts", "Fee has no such field; did you mean amount?"),
        (Open, '{"asset": 5}', "asset", "must be a string"),
        (Open, '{"size": true}', "size", "must be a string"),
        (Open, '{"size": ["1"]}', "size", "must be a string"),
        (Trade, '{"fee": "1"}', "fee", "must be a JSON object"),
        (Open, '{"labels": ["a"]}', "labels", "must be a JSON object"),
        (Open, '{"labels": {"a": 1}}', 'labels["a"]', "must be a string"),
        (Open, '{"labels": {"a": null}}', 'labels["a"]', "must be a string"),
        (Open, '{"pending": "true"}', "pending", "must be true or false"),
        (Open, '{"pending": 1}', "pending", "must be true or false"),
        (Open, '{"asset": "\\ud800"}', "asset", "is not valid text"),
        (Open, "[]", "", "must be a JSON object"),
        (Open, '"text"', "", "must be a JSON object"),
        (List, '{"statuses": "OPEN"}', "statuses", "must be a JSON array"),
        (List, '{"statuses": ["OPEN", "SHUT"]}', "statuses[1]", "must be one of "),
        (List, '{"statuses": [null]}', "statuses[0]", "must be one of "),
        (List, '{"page_size": 1.5}', "page_size", "must be a whole number"),
        (List, '{"as_of_time": 5}', "as_of_time", "must be a time, e.g. 2026-01-31T12:00:00Z"),
        (Prices, '{"prices": [{"price": "1"}, {"prise": "2"}]}', "prices[1].prise", "PriceUpdate has no such field"),
        (Prices, '{"prices": [5]}', "prices[0]", "must be a JSON object"),
    ],
)
def test_wrong_bodies_name_the_field(kind: type[Any], body: str, field: str, description: str) -> None:
    found = wrong(from_body, kind, body)
    assert list(found) == [field]
    assert found[field].startswith(description)


def test_every_wrong_field_is_named_up_to_a_bound() -> None:
    assert len(wrong(from_body, Open, '{"sise": "1", "asset": 5, "side": "up"}')) == 3
    assert len(wrong(from_body, Open, json.dumps({f"x{index}": 1 for index in range(1_000)}))) == 20


def test_null_is_absent_and_camel_case_is_read() -> None:
    assert from_body(Open, '{"size": null, "entryPrice": "42000"}') == Open(entry_price="42000")
    assert wrong(from_body, Open, '{"entry_price": "1", "entryPrice": "1"}') == {
        "entry_price": "is given more than once"
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"size": "1", "size": "2"}', "size: is given more than once"),
        ('{"size": NaN}', "NaN is no number"),
        ('{"size": Infinity}', "Infinity is no number"),
        ('{"size": "1"', "the body is not JSON: .* at line 1, column"),
        ('{"size": "1"} x', "the body is not JSON: Extra data"),
        ("[" * 100_000, "nested too deeply"),
        ("{'size': 1}", "the body is not JSON"),
    ],
)
def test_what_is_not_json_is_refused(body: str, message: str) -> None:
    with pytest.raises(RpcError, match=message):
        from_body(Open, body)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(RpcError, match="the body is not UTF-8"):
        parse_json(b'{"asset": "\xff"}')
    with pytest.raises(RpcError, match="the query is not UTF-8"):
        parse_query("asset=%FF", 10)
    with pytest.raises(RpcError, match="more than 3 parameters"):
        parse_query("a=1&b=2&c=3&d=4", 3)


def test_bytes_are_base64() -> None:
    kind = position_pb2.PositionEvent
    assert from_body(kind, '{"hash": "-_8="}').hash == from_body(kind, '{"hash": "+/8"}').hash == b"\xfb\xff"
    assert wrong(from_body, kind, '{"hash": "a b"}') == {"hash": "must be base64"}


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a/b?c=/d", "/a/b"),
        ("http://desk.example.com:80/a/b?c", "/a/b"),
        ("http://desk.example.com", "/"),
        ("/a?u=http://x/y", "/a"),
        ("*", "*"),
    ],
)
def test_the_path_of_a_request_target(raw: str, path: str) -> None:
    assert path_of(raw) == path


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=0, max_value=10**19))
def test_a_json_number_is_the_amount_digit_by_digit(amount: Decimal) -> None:
    written = f"{amount:f}"
    assert from_body(Open, f'{{"size": {written}}}').size == written


@given(st.floats(1e-18, 1e19, allow_nan=False))
def test_what_python_writes_of_a_float_is_the_amount_it_shows(amount: float) -> None:
    exact = Decimal(repr(amount))
    for read in (from_body(Open, json.dumps({"size": amount})), from_query(Open, f"size={quote(repr(amount))}")):
        assert Decimal(read.size) == exact
        assert "e" not in read.size


def test_exponents_are_for_numbers_alone() -> None:
    assert from_body(Open, '{"size": 1.124e-05}').size == "0.00001124"
    assert from_query(Open, "size=1.124e-05&entry_price=1E%2B2") == Open(size="0.00001124", entry_price="100")
    assert from_body(Open, '{"size": "1.124e-05"}').size == "1.124e-05"  # the contract has none: the service refuses it
    assert from_query(Open, "asset=1e5").asset == "1e5"
    assert from_query(Open, "size=1e999999999").size == "1e999999999"


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
REQUESTS = st.builds(
    Open,
    asset=TEXT,
    size=TEXT,
    side=st.sampled_from([0, 1, 2]),
    labels=st.dictionaries(TEXT, TEXT, max_size=4),
    pending=st.booleans(),
)
TRADES = st.builds(
    Trade,
    size=TEXT,
    fee=st.none() | st.builds(types_pb2.Fee, currency=TEXT, amount=TEXT),
    executed_at=st.none() | st.builds(Timestamp, seconds=st.integers(0, 10**10), nanos=st.integers(0, 10**9 - 1)),
)
LISTS = st.builds(
    List,
    statuses=st.lists(st.integers(0, 6), max_size=5),
    page_size=st.integers(-(2**31), 2**31 - 1),
    min_revision=st.integers(-(2**63), 2**63 - 1),
    venue=TEXT,
)


@given(st.one_of(REQUESTS, LISTS, TRADES))
@settings(max_examples=300)
def test_what_protobuf_writes_as_json_is_read_back(message: Any) -> None:
    for proto_names in (True, False):
        text = json_format.MessageToJson(message, preserving_proto_field_name=proto_names)
        assert from_body(type(message), text) == message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(Open.DESCRIPTOR.fields_by_name)), inner)
    ),
    max_leaves=10,
)


@given(VALUES, st.sampled_from([Open, List, Prices, reconciliation_log_service_pb2.RecordRunRequest]))
@settings(max_examples=500)
def test_no_json_breaks_the_reader(value: Any, kind: type[Any]) -> None:
    with suppress(RpcError):
        from_body(kind, json.dumps(value))


@given(st.text(alphabet="abcdefsize._=&%+0123456789[]", max_size=60))
def test_no_query_breaks_the_reader(text: str) -> None:
    with suppress(RpcError):
        from_query(Open, text)
