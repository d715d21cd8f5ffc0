"""A book in a file: what is read, what is refused with its line, and ids that make importing twice once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trueup.position.v1 import position_pb2
from trueup.types.v1 import types_pb2

from grpckit.json_form import dumps, to_json
from trueup_cli import book_file
from trueup_cli.book_file import BadBook, Row

HEADER = "asset,venue,side,size,entry_price,leverage,margin_mode,liquidation_price,labels\n"
BTC = "BTC/USD,hyperliquid,long,0.5,42000,5,cross,38000,desk=a;bot=7\n"


def rows(text: str, batch: str = "") -> list[Row]:
    return book_file.read(text, batch)[0]


def problems(text: str) -> list[str]:
    with pytest.raises(BadBook) as caught:
        book_file.read(text)
    return str(caught.value).splitlines()


def test_a_row_says_all_that_a_position_is_opened_with():
    (row,) = rows(HEADER + BTC)
    request = row.request
    assert row.line == 2
    assert row.key == ("main", "hyperliquid", "BTC")
    assert (request.asset, request.size, request.entry_price) == ("BTC/USD", "0.5", "42000")
    assert (request.leverage, request.liquidation_price) == ("5", "38000")
    assert request.side == types_pb2.SIDE_LONG
    assert request.margin_mode == types_pb2.MARGIN_MODE_CROSS
    assert dict(request.labels) == {"desk": "a", "bot": "7"}
    assert not request.pending


def test_names_are_completed_as_the_service_does_it():
    (coinbase, builder) = rows("symbol,venue,size,entry_price\nLINK-USD,coinbase,1,2\nxyz:TSLA,,1,2\n")
    assert (coinbase.request.asset, coinbase.request.venue) == ("LINK/USD", "coinbase")
    assert (builder.request.asset, builder.request.venue) == ("TSLA/USD", "hyperliquid")


def test_json_numbers_never_pass_through_a_float():
    (row,) = rows('{"asset": "BTC/USD", "size": 0.100000000000000001, "entry_price": 42000, "leverage": 1e1}')
    assert (row.request.size, row.request.entry_price, row.request.leverage) == ("0.100000000000000001", "42000", "10")


def test_an_exported_position_is_taken_and_an_ended_one_is_skipped():
    position = position_pb2.Position(
        position_id="01a21440-63d8-7000-8838-c8165598b4ce",
        account="desk",
        venue="hyperliquid",
        symbol="ETH",
        asset="ETH/USD",
        side=types_pb2.SIDE_SHORT,
        size="4",
        entry_price="2250.123456789012345678",
        status=position_pb2.POSITION_STATUS_REDUCED,
        mark_price="2240",
        labels={"bot": "7"},
        other_fees=[types_pb2.Fee(currency="HYPE", amount="0.1")],
    )
    live = dumps(to_json(position)).decode()
    position.status = position_pb2.POSITION_STATUS_LIQUIDATED
    found, skipped = book_file.read(f"{live}\n\n{dumps(to_json(position)).decode()}\n")
    assert skipped == 1
    (row,) = found
    assert (row.key, row.request.side) == (("desk", "hyperliquid", "ETH"), types_pb2.SIDE_SHORT)
    assert (row.request.size, row.request.entry_price) == ("4", "2250.123456789012345678")
    assert dict(row.request.labels) == {"bot": "7"}


def test_an_announced_position_is_announced_again():
    (row,) = rows('{"asset": "BTC/USD", "size": "1", "entry_price": "2", "status": "POSITION_STATUS_OPENING"}')
    assert row.request.pending


def test_a_spreadsheets_mark_spaces_and_blank_lines_do_no_harm():
    (row,) = rows("\ufeffAsset , size,Entry_Price\n\n  ,,\n BTC/USD , 1 , 2 \n")
    assert (row.line, row.request.asset, row.request.size) == (4, "BTC/USD", "1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("asset,sise,entry_price\nBTC/USD,1,2\n", "line 1: unknown column 'sise'; known are account, "),
        ("asset,size,size\nBTC/USD,1,2\n", "line 1: the column size is there twice"),
        ("asset,size,entry_price\nBTC/USD,1\n", "line 2: 2 cells, but 3 columns"),
        ('asset,size,entry_price\nBTC/USD,"1,2\n', "line 2: unexpected end of data"),
        ("asset,size,entry_price\nBTC/USD,-1,2\n", "line 2: size: must be a plain decimal > 0"),
        ("asset,size,entry_price\nBTC/USD,NaN,2\n", "line 2: size: must be a plain decimal > 0"),
        ("asset,size,entry_price\nBTC/USD,1,\n", "line 2: entry_price: must be a plain decimal > 0"),
        ("asset,size,entry_price\nBTC,1,2\n", "line 2: asset: must be a pair"),
        ("size,entry_price\n1,2\n", "line 2: asset: give the asset"),
        ("asset,side,size,entry_price\nBTC/USD,up,1,2\n", "line 2: side: 'up' is none of long, short"),
        ("asset,size,entry_price,product\nBTC/USD,1,2,swap\n", "line 2: product: 'swap' is none of spot, perpetual"),
        ('{"asset": "BTC/USD", "size": "1", "entry_price": "2", "sise": "1"}', "line 1: unknown field 'sise'"),
        ('{"asset": "BTC/USD", "size": NaN, "entry_price": "2"}', "line 1: not JSON: NaN is not a number"),
        ('{"asset": "BTC/USD", "size": true, "entry_price": "2"}', "line 1: size: True is neither text nor a number"),
        ('{"symbol": true, "size": "1", "entry_price": "2"}', "line 1: symbol: True is neither text nor a number"),
        ('{"asset": "BTC/USD", "size": "1", "entry_price": "2", "labels": {"a": 1}}', "line 1: labels: must be texts"),
        ('{"asset": "BTC/USD"', "line 1: not JSON: "),
        ('{"asset": "A/USD", "size": "1", "entry_price": "2"}\n[1]', "line 2: not a JSON object"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, says: str):
    (problem,) = problems(text)
    assert problem.startswith(says)


def test_every_problem_is_told_not_only_the_first():
    found = problems("asset,size,entry_price\nBTC/USD,0,2\nETH/USD,1,2\nSOL/USD,x,2\n")
    assert [problem.partition(":")[0] for problem in found] == ["line 2", "line 4"]


def test_every_problem_of_a_row_is_told():
    found = problems("asset,side,size,entry_price\nBTC/USD,up,x,\nETH,long,1,0\nBTC/USD,long,1,2\n")
    assert [tuple(problem.split(": ")[:2]) for problem in found[:-1]] == [
        ("line 2", "side"),
        ("line 2", "size"),
        ("line 2", "entry_price"),
        ("line 3", "asset"),
        ("line 3", "entry_price"),
    ]
    assert found[-1] == "line 4: main hyperliquid BTC stands in line 2 already"
    (problem,) = problems("asset,sise,size,prise\nBTC/USD,1,1,2\n")
    assert problem.startswith("line 1: unknown column 'sise', 'prise'; known are")


def test_many_problems_are_counted():
    found = problems("asset,size,entry_price\n" + "".join(f"A{n}/USD,0,2\n" for n in range(25)))
    assert len(found) == 21
    assert found[-1] == "and 5 more"


def test_one_instrument_twice_is_refused_however_it_is_spelt():
    text = "asset,symbol,venue,size,entry_price\nBTC/USD,,,1,2\n,BTC,hyperliquid,1,2\n"
    assert problems(text) == ["line 3: main hyperliquid BTC stands in line 2 already"]


def test_an_id_follows_from_what_a_row_says():
    first = rows(HEADER + BTC)[0].request.request_id
    assert first.startswith("import-")
    spelt_out = rows('{"symbol": "BTC", "account": "main", "size": "0.5", "entry_price": "42000", "leverage": 5,'
                     ' "side": "SIDE_LONG", "margin_mode": "CROSS", "liquidation_price": "38000",'
                     ' "labels": {"bot": "7", "desk": "a"}}')  # fmt: skip
    assert spelt_out[0].request.request_id == first
    others = {
        rows(HEADER + BTC.replace("42000", "42001"))[0].request.request_id,
        rows(HEADER + BTC.replace("long", "short"))[0].request.request_id,
        rows(HEADER + BTC, batch="again")[0].request.request_id,
    }
    assert len(others | {first}) == 4


DIGITS = st.decimals(min_value="0.000000000000000001", max_value=10**19, places=18).map(lambda d: f"{d:f}")


@given(size=DIGITS, price=DIGITS, leverage=DIGITS)
def test_amounts_arrive_to_the_last_digit_from_either_format(size: str, price: str, leverage: str):
    table = rows(f"asset,size,entry_price,leverage\nBTC/USD,{size},{price},{leverage}\n")[0].request
    record = {"asset": "BTC/USD", "size": size, "entry_price": price, "leverage": leverage}
    assert (table.size, table.entry_price, table.leverage) == (size, price, leverage)
    assert rows(json.dumps(record))[0].request == table
