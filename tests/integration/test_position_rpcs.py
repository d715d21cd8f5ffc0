"""Every RPC of the Position service: what it answers, and every refusal with its code, reason and metadata."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import position_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from tests.position_client import NOW, Client, a_finding, a_run, fill, stamp

Code = grpc.StatusCode
OPENING, OPEN, REDUCED, CLOSING, CLOSED, LIQUIDATED = range(1, 7)
LONG, SHORT = 1, 2
NOBODY = str(uuid.UUID(int=1))


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


def is_error(error, code, reason, **metadata):
    assert (error.code, error.reason, dict(error.metadata)) == (code, reason, metadata), error


def fields_of(error):
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST"), error
    return {violation.field for violation in error.violations}


# ---- the life of a position


async def test_open(client):
    answer = await client.call(
        "OpenPosition",
        asset="BTC/USD",
        size="0.500",
        entry_price="42000.0",
        leverage="3",
        margin_mode="MARGIN_MODE_CROSS",
        liquidation_price="38000",
        fee="1.5",
        labels={"desk": "a"},
        reason="signal",
    )
    held = answer.position
    assert uuid.UUID(held.position_id).version == 7
    assert (held.account, held.venue, held.symbol, held.asset) == ("main", "hyperliquid", "BTC", "BTC/USD")
    assert (held.size, held.entry_price, held.cost_basis, held.peak_size) == ("0.5", "42000", "21000", "0.5")
    assert (held.side, held.status, held.leverage, held.margin_mode) == (LONG, OPEN, "3", 1)
    assert (held.liquidation_price, held.initial_margin, held.realized_pnl) == ("38000", "7000", "-1.5")
    assert (held.product, dict(held.labels), held.reconciliation_status) == (2, {"desk": "a"}, 4)
    assert held.revision == answer.revision == 1
    assert (held.mark_price, held.unrealized_pnl, held.HasField("closed_at")) == ("", "", False)


async def test_every_move_answers_with_the_position_after_it(client):
    ref = {"symbol": "BTC"}
    await client.call("OpenPosition", symbol="BTC", size="2", entry_price="100", pending=True, side="SIDE_SHORT")
    steps = [
        ("ConfirmOpen", {"size": "3", "entry_price": "110"}, OPEN, "3"),
        ("IncreasePosition", {"size": "1", "price": "110"}, OPEN, "4"),
        ("ReducePosition", {"size": "1", "price": "100"}, REDUCED, "3"),
        ("UpdatePosition", {"leverage": "5"}, REDUCED, "3"),
        ("ClosePosition", {}, CLOSING, "3"),
        ("CancelClose", {}, REDUCED, "3"),
        ("ClosePosition", {}, CLOSING, "3"),
        ("ConfirmClose", {"size": "1", "close_price": "100"}, REDUCED, "2"),
        ("LiquidatePosition", {"size": "1", "liquidation_price": "120"}, REDUCED, "1"),
        ("ClosePosition", {"close_price": "109", "fee": "0.25"}, CLOSED, "0"),
    ]
    for revision, (name, fields, status, size) in enumerate(steps, 2):
        answer = await client.call(name, **ref, **fields)
        assert (answer.position.status, answer.position.size) == (status, size), name
        assert answer.position.revision == answer.revision == revision
    final = answer.position
    assert (final.realized_pnl, final.entry_price, final.leverage) == ("10.75", "110", "5")  # 10 + 10 - 10 + 1 - 0.25
    assert final.HasField("closed_at")
    assert (await client.call("GetPosition", position_id=final.position_id)).position == final


async def test_cancelled_and_liquidated_positions_are_final(client):
    held = await client.open(pending=True)
    assert (await client.call("CancelOpen", position_id=held.position_id)).position.status == CLOSED
    held = await client.open()
    answer = await client.call("LiquidatePosition", symbol="BTC", liquidation_price="50")
    assert (answer.position.status, answer.position.realized_pnl) == (LIQUIDATED, "-50")
    listed = await client.call("ListPositions")
    assert (list(listed.positions), listed.revision) == ([], 4)


MOVES = {
    "ConfirmOpen": ({}, "OPENING"),
    "CancelOpen": ({}, "OPENING"),
    "IncreasePosition": ({"size": "1", "price": "1"}, "OPEN, REDUCED"),
    "ReducePosition": ({"size": "1", "price": "1"}, "OPEN, REDUCED"),
    "ClosePosition": ({}, "OPEN, REDUCED"),
    "ConfirmClose": ({"close_price": "1"}, "CLOSING"),
    "CancelClose": ({}, "CLOSING"),
    "LiquidatePosition": ({"liquidation_price": "1"}, "OPEN, REDUCED, CLOSING"),
    "UpdatePosition": ({"leverage": "2"}, "OPENING, OPEN, REDUCED, CLOSING"),
    "AdjustPosition": ({"reason_code": "X", "entry_price": "7"}, "OPENING, OPEN, REDUCED, CLOSING"),
}


@pytest.mark.parametrize("name", MOVES)
async def test_the_error_table_of_every_move(client, name):
    fields, allowed = MOVES[name]
    is_error(
        await client.refused(name, asset="BTC/USD", **fields),
        Code.NOT_FOUND,
        "POSITION_NOT_FOUND",
        wanted="BTC/USD of account main",
    )
    is_error(
        await client.refused(name, position_id=NOBODY, **fields),
        Code.NOT_FOUND,
        "POSITION_NOT_FOUND",
        wanted=f"position {NOBODY}",
    )
    assert fields_of(await client.refused(name, **fields)) == {"position_id"}
    assert fields_of(await client.refused(name, position_id="7", **fields)) == {"position_id"}
    first, second = await client.open(), await client.open(venue="coinbase", symbol="BTC-USD")
    is_error(
        await client.refused(name, asset="BTC/USD", **fields),
        Code.FAILED_PRECONDITION,
        "AMBIGUOUS_ASSET",
        candidates="coinbase/BTC-USD, hyperliquid/BTC",
    )
    is_error(
        await client.refused(name, position_id=first.position_id, expected_revision=7, **fields),
        Code.ABORTED,
        "STALE_REVISION",
        expectedRevision="7",
        actualRevision="1",
    )
    await client.call("ClosePosition", position_id=second.position_id, close_price="1")
    is_error(
        await client.refused(name, position_id=second.position_id, **fields),
        Code.FAILED_PRECONDITION,
        "ILLEGAL_TRANSITION",
        state="CLOSED",
        allowedStates=allowed,
    )
    if "OPEN, " not in allowed:
        is_error(
            await client.refused(name, symbol="BTC", **fields),
            Code.FAILED_PRECONDITION,
            "ILLEGAL_TRANSITION",
            state="OPEN",
            allowedStates=allowed,
        )


async def test_a_second_open_names_the_first(client):
    held = await client.open()
    error = await client.refused("OpenPosition", symbol="BTC", size="1", entry_price="1")
    is_error(error, Code.ALREADY_EXISTS, "POSITION_ALREADY_OPEN", positionId=held.position_id)


@pytest.mark.parametrize("name", ["ReducePosition", "ConfirmClose", "LiquidatePosition"])
async def test_more_than_there_is(client, name):
    await client.open(size="2")
    if name == "ConfirmClose":
        await client.call("ClosePosition", symbol="BTC")
    price = {"ReducePosition": "price", "ConfirmClose": "close_price", "LiquidatePosition": "liquidation_price"}[name]
    error = await client.refused(name, symbol="BTC", size="2.5", **{price: "1"})
    is_error(error, Code.FAILED_PRECONDITION, "SIZE_EXCEEDS_POSITION", size="2", requested="2.5")


# ---- values

HUGE = "9" * 1_000_000
BAD = [
    "NaN",
    "Infinity",
    "1e400",
    "1e5",
    "0." + "1" * 19,
    "1" * 21,
    " ",
    " 1",
    "1 ",
    "\n1",
    "1\n",
    "+1",
    "\u0661",
    "1,5",
    ".5",
    "1.",
    "0x1",
    HUGE,
]
NEGATIVE = ["-1", "-0.1"]
ZEROS = ["0", "0.000"]
AMOUNTS = [
    # RPC, field, the rest of the request, whether it is required, zero and negative amounts are amounts
    ("OpenPosition", "size", {"symbol": "BTC", "entry_price": "1"}, True, False, False),
    ("OpenPosition", "entry_price", {"symbol": "BTC", "size": "1"}, True, False, False),
    ("OpenPosition", "leverage", {"symbol": "BTC", "size": "1", "entry_price": "1"}, False, False, False),
    ("OpenPosition", "liquidation_price", {"symbol": "BTC", "size": "1", "entry_price": "1"}, False, False, False),
    ("OpenPosition", "fee", {"symbol": "BTC", "size": "1", "entry_price": "1"}, False, True, True),
    ("ConfirmOpen", "size", {"symbol": "BTC"}, False, False, False),
    ("ConfirmOpen", "entry_price", {"symbol": "BTC"}, False, False, False),
    ("ConfirmOpen", "fee", {"symbol": "BTC"}, False, True, True),
    ("IncreasePosition", "size", {"symbol": "BTC", "price": "1"}, True, False, False),
    ("IncreasePosition", "price", {"symbol": "BTC", "size": "1"}, True, False, False),
    ("IncreasePosition", "fee", {"symbol": "BTC", "size": "1", "price": "1"}, False, True, True),
    ("ReducePosition", "size", {"symbol": "BTC", "price": "1"}, True, False, False),
    ("ReducePosition", "price", {"symbol": "BTC", "size": "1"}, True, False, False),
    ("ReducePosition", "fee", {"symbol": "BTC", "size": "1", "price": "1"}, False, True, True),
    ("ClosePosition", "close_price", {"symbol": "BTC"}, False, False, False),
    ("ClosePosition", "fee", {"symbol": "BTC"}, False, True, True),
    ("ConfirmClose", "size", {"symbol": "BTC", "close_price": "1"}, False, False, False),
    ("ConfirmClose", "close_price", {"symbol": "BTC"}, True, False, False),
    ("ConfirmClose", "fee", {"symbol": "BTC", "close_price": "1"}, False, True, True),
    ("LiquidatePosition", "liquidation_price", {"symbol": "BTC"}, True, False, False),
    ("LiquidatePosition", "size", {"symbol": "BTC", "liquidation_price": "1"}, False, False, False),
    ("LiquidatePosition", "fee", {"symbol": "BTC", "liquidation_price": "1"}, False, True, True),
    ("UpdatePosition", "leverage", {"symbol": "BTC"}, False, False, False),
    ("UpdatePosition", "liquidation_price", {"symbol": "BTC"}, False, True, False),
    ("AdjustPosition", "size", {"symbol": "BTC", "reason_code": "X", "close_price": "1"}, False, True, False),
    ("AdjustPosition", "entry_price", {"symbol": "BTC", "reason_code": "X", "size": "2"}, False, False, False),
    ("AdjustPosition", "close_price", {"symbol": "BTC", "reason_code": "X", "size": "0"}, True, False, False),
    ("ListPositionsAtRisk", "threshold", {}, False, True, False),
]


async def state(client, database):
    """All there is, as the tables have it."""
    connection = await asyncpg.connect(database)
    try:
        names = ["ledger_head", "events", "positions", "requests", "fills", "payments", "marks", "checks", "drifts"]
        return {name: await connection.fetch(f"SELECT * FROM {name} ORDER BY 1") for name in [*names, "runs"]}
    finally:
        await connection.close()


async def test_bad_amounts_are_refused_by_name_and_change_nothing(client, database):
    await client.open()
    before = await state(client, database)
    for name, field, rest, required, zero, negative in AMOUNTS:
        bad = BAD + ([""] if required else []) + ([] if zero else ZEROS) + ([] if negative else NEGATIVE)
        for value in bad:
            error = await client.refused(name, **rest, **{field: value})
            assert fields_of(error) == {field}, (name, field, value[:20])
    made = {"symbol": "BTC", "fill_id": "1", "size": "1", "price": "1", "executed_at": stamp(NOW)}
    for field in ("size", "price", "fee", "leverage"):
        for value in BAD:
            error = await client.refused("RecordFills", fills=[pb.Fill(**made), pb.Fill(**made | {field: value})])
            assert fields_of(error) == {f"fills[1].{field}"}, (field, value[:20])
    for value in [*BAD, *ZEROS, *NEGATIVE, ""]:
        error = await client.refused("UpdatePrices", prices=[pb.PriceUpdate(symbol="BTC", price=value)])
        assert fields_of(error) == {"prices[0].price"}, value[:20]
    assert await state(client, database) == before


async def test_the_largest_and_the_smallest_amount_survive(client):
    largest, smallest = "9" * 20 + "." + "9" * 18, "0." + "0" * 17 + "1"
    held = await client.open(
        "A", size=largest, price=largest, leverage=largest, liquidation_price=largest, fee=f"-{largest}"
    )
    assert (held.size, held.entry_price, held.leverage, held.realized_pnl) == (largest,) * 4
    held = await client.open("B", size=smallest, price=smallest, leverage=smallest)
    assert (held.size, held.entry_price, held.leverage, held.cost_basis) == (smallest, smallest, smallest, "0")
    for symbol, price in (("A", largest), ("B", smallest)):
        closed = (await client.call("ClosePosition", symbol=symbol, close_price=price)).position
        assert closed.status == CLOSED
        assert closed.realized_pnl == (largest if symbol == "A" else "0")


async def test_a_sum_that_leaves_the_range_is_refused(client):
    await client.open(size="9" * 20)
    assert fields_of(await client.refused("IncreasePosition", symbol="BTC", size="1", price="1")) == {"size"}


@pytest.mark.parametrize("field", ["side", "product", "margin_mode"])
async def test_an_unknown_enum_is_refused(client, field):
    error = await client.refused("OpenPosition", symbol="BTC", size="1", entry_price="1", **{field: 99})
    assert fields_of(error) == {field}
    assert fields_of(await client.refused("ListPositions", statuses=[99])) == {"statuses[0]"}


@pytest.mark.parametrize(
    ("name", "fields", "violated"),
    [
        ("OpenPosition", {"size": "1", "entry_price": "1"}, "asset"),
        ("OpenPosition", {"asset": "BTC", "size": "1", "entry_price": "1"}, "asset"),
        ("OpenPosition", {"asset": "/USD", "size": "1", "entry_price": "1"}, "asset"),
        ("OpenPosition", {"symbol": "B TC", "size": "1", "entry_price": "1"}, "symbol"),
        ("OpenPosition", {"symbol": "B", "account": "x" * 65, "size": "1", "entry_price": "1"}, "account"),
        ("OpenPosition", {"symbol": "B", "size": "1", "entry_price": "1", "request_id": "x" * 129}, "request_id"),
        ("OpenPosition", {"symbol": "B", "size": "1", "entry_price": "1", "request_id": "a\0b"}, "request_id"),
        ("OpenPosition", {"symbol": "B", "size": "1", "entry_price": "1", "reason": "\0"}, "reason"),
        (
            "OpenPosition",
            {"symbol": "B", "size": "1", "entry_price": "1", "deadline": Timestamp(seconds=10**15)},
            "deadline",
        ),
        ("ClosePosition", {"symbol": "B", "deadline": Timestamp(nanos=-5)}, "deadline"),
        ("RecordFills", {}, "fills"),
        ("RecordFills", {"fills": [fill(1, "1"), fill(2, "1", fill_id="")]}, "fills[1].fill_id"),
        ("RecordFills", {"fills": [fill(1, "1"), fill(2, "1", fill_id="\0")]}, "fills[1].fill_id"),
        ("RecordFills", {"fills": [fill(1, "1"), fill(2, "1", asset="BTC")]}, "fills[1].asset"),
        (
            "RecordFills",
            {"fills": [fill(1, "1"), fill(2, "1", executed_at=Timestamp(seconds=10**15))]},
            "fills[1].executed_at",
        ),
        ("RecordFills", {"fills": [fill(1, "1"), fill(2, "1", executed_at=None)]}, "fills[1].executed_at"),
        (
            "UpdatePrices",
            {
                "prices": [
                    pb.PriceUpdate(symbol="B", price="1"),
                    pb.PriceUpdate(symbol="B", price="1", observed_at=Timestamp(seconds=10**15)),
                ]
            },
            "prices[1].observed_at",
        ),
        ("ListPositions", {"page_size": 1001}, "page_size"),
        ("ListPositions", {"page_token": "x"}, "page_token"),
        ("ListPositions", {"page_token": "!!!!"}, "page_token"),
        ("ListPositions", {"page_token": "é"}, "page_token"),
        ("ListPositionHistory", {"page_token": base64.urlsafe_b64encode(b"12x").decode()}, "page_token"),
        ("ListPositionHistory", {"page_token": base64.urlsafe_b64encode(b"9" * 30).decode()}, "page_token"),
        ("ListRuns", {"page_token": base64.urlsafe_b64encode(b"12").decode()}, "page_token"),
        ("ListRuns", {"page_token": base64.urlsafe_b64encode(b"\0").decode()}, "page_token"),
        ("ListDrifts", {"page_token": base64.urlsafe_b64encode(b"x").decode()}, "page_token"),
        ("ListDrifts", {"page_token": base64.urlsafe_b64encode(b"9" * 30).decode()}, "page_token"),
        ("GetPosition", {}, "position_id"),
        ("GetPosition", {"symbol": "B", "min_revision": -1}, "min_revision"),
        ("GetPosition", {"symbol": "B", "as_of_revision": -1}, "as_of_revision"),
        ("GetPosition", {"symbol": "B", "as_of_time": Timestamp(seconds=10**15)}, "as_of_time"),
        ("GetPosition", {"symbol": "B", "as_of_time": stamp(NOW), "as_of_revision": 1}, "as_of_time"),
        ("ListPositions", {"as_of_revision": -1}, "as_of_revision"),
        ("ListPositions", {"as_of_time": Timestamp(nanos=-5)}, "as_of_time"),
        ("ListPositions", {"as_of_time": stamp(NOW), "as_of_revision": 1}, "as_of_time"),
        ("ListPositionsAtRisk", {"page_size": 1001}, "page_size"),
        ("ListPositionsAtRisk", {"page_token": "!!!!"}, "page_token"),
        ("ListPositionsAtRisk", {"page_token": base64.urlsafe_b64encode(b"-1").decode()}, "page_token"),
        ("ListPositionsAtRisk", {"account": "a b"}, "account"),
        ("GetPortfolioSummary", {"venue": "a b"}, "venue"),
        ("AdjustPosition", {"symbol": "B", "size": "1"}, "reason_code"),
        ("AdjustPosition", {"symbol": "B", "size": "1", "reason_code": "adopt venue"}, "reason_code"),
        ("AdjustPosition", {"symbol": "B", "reason_code": "X", "evidence": "\0"}, "evidence"),
        ("AdjustPosition", {"symbol": "B", "reason_code": "X", "evidence": "x" * 4097}, "evidence"),
        ("AdjustPosition", {"symbol": "B", "reason_code": "X", "corrects_revision": -1}, "corrects_revision"),
        ("AdjustPosition", {"symbol": "B", "reason_code": "X", "side": 99}, "side"),
        ("PurgeClosedPositions", {"older_than_days": -1}, "older_than_days"),
        ("PurgeClosedPositions", {"older_than_days": 36_501}, "older_than_days"),
        ("AcquireLease", {"holder": "me"}, "name"),
        ("AcquireLease", {"name": "a b", "holder": "me"}, "name"),
        ("AcquireLease", {"name": "a"}, "holder"),
        ("AcquireLease", {"name": "a", "holder": "x" * 129}, "holder"),
        ("AcquireLease", {"name": "a", "holder": "\0"}, "holder"),
        ("AcquireLease", {"name": "a", "holder": "me", "ttl_ms": -1}, "ttl_ms"),
        ("AcquireLease", {"name": "a", "holder": "me", "ttl_ms": 600_001}, "ttl_ms"),
    ],
)
async def test_what_is_invalid_is_named(client, name, fields, violated):
    assert fields_of(await client.refused(name, **fields)) == {violated}


async def test_labels_stay_within_their_limit_when_they_are_merged(client):
    await client.open(labels={f"n{i}": "" for i in range(32)})
    assert fields_of(await client.refused("UpdatePosition", symbol="BTC", labels={"more": ""})) == {"labels"}


# ---- request ids


async def test_a_repeated_request_gets_the_first_answer_for_ever(client, position):
    request = {"symbol": "BTC", "size": "1", "entry_price": "100", "request_id": "r1"}
    first = await client.call("OpenPosition", **request)
    assert await client.call("OpenPosition", **request) == first
    closed = (await client.call("ClosePosition", symbol="BTC", close_price="1")).position
    assert await client.call("OpenPosition", **request) == first  # also when it would be possible again
    closing = {"symbol": "BTC", "size": "9", "price": "1", "request_id": "r2"}
    is_error(
        await client.refused("ReducePosition", **closing),
        Code.NOT_FOUND,
        "POSITION_NOT_FOUND",
        wanted="BTC of account main",
        positionId=closed.position_id,
    )
    await client.open(size="9")
    answer = await client.call("ReducePosition", **closing)  # a refusal is not remembered: nothing happened
    assert await client.call("ReducePosition", **closing) == answer


@pytest.mark.parametrize(
    ("name", "fields", "differing"),
    [
        ("OpenPosition", {"symbol": "BTC", "size": "2", "entry_price": "100"}, "size"),
        ("OpenPosition", {"symbol": "BTC", "size": "1", "entry_price": "100", "labels": {"a": "b"}}, "labels"),
        ("OpenPosition", {"symbol": "ETH", "size": "2", "entry_price": "100"}, "symbol"),
        ("ClosePosition", {"symbol": "BTC"}, "method"),
    ],
)
async def test_the_same_id_for_something_else_names_what_differs(client, name, fields, differing):
    await client.open(request_id="r1")
    error = await client.refused(name, request_id="r1", **fields)
    is_error(error, Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", requestId="r1", field=differing)


# ---- fills and prices


async def test_fills_are_booked_once(client):
    answer = await client.fills(fill(1, "2", "100"), fill(2, "-0.5", "110"), fill(1, "2", "100"))
    assert (answer.applied, answer.duplicates, answer.revision) == (2, 1, 2)
    (held,) = answer.positions
    assert (held.size, held.realized_pnl, held.status) == ("1.5", "5", REDUCED)
    answer = await client.fills(fill(2, "-0.5", "110"), fill(3, "-2", "90"))
    assert (answer.applied, answer.duplicates, answer.revision) == (1, 1, 4)
    assert [(p.status, p.side, p.size) for p in answer.positions] == [(CLOSED, LONG, "0"), (OPEN, SHORT, "0.5")]
    answer = await client.fills(fill(1, "2"), fill(2, "1"), fill(3, "1"))
    assert (answer.applied, answer.duplicates, answer.revision, len(answer.positions)) == (0, 3, 4, 0)
    assert (await client.fills(fill(1, "1"), account="other")).applied == 1  # ids are the account's own


async def test_a_known_fill_is_skipped_whatever_the_state_is_now(client):
    await client.fills(fill(1, "2", "100"))
    await client.call("ClosePosition", symbol="BTC")
    again = await client.fills(fill(1, "2", "100"))
    assert (again.applied, again.duplicates) == (0, 1)
    again = await client.fills(fill(1, "2", "100"), fill(2, "-2", "100"), request_id="r1")
    assert (again.applied, again.duplicates) == (1, 1)


async def test_one_bad_fill_books_none_of_its_batch(client):
    large = "9" + 19 * "0"
    await client.fills(fill(1, large))
    batch = [fill(2, "1", symbol="ETH"), fill(3, large, symbol="BTC")]
    assert fields_of(await client.refused("RecordFills", fills=batch)) == {"fills[1]"}
    listed = await client.call("ListPositions")
    assert ([p.symbol for p in listed.positions], listed.revision) == (["BTC"], 1)


async def test_a_mark_from_the_future_is_refused(client):
    """The newest observation wins, so it would silence its instrument until then."""
    ahead = pb.PriceUpdate(symbol="BTC", price="1", observed_at=stamp(datetime.now(UTC) + timedelta(days=1)))
    assert fields_of(await client.refused("UpdatePrices", prices=[ahead])) == {"prices[0].observed_at"}


async def test_events_carry_their_hash_and_say_the_same_whenever_they_are_read(client):
    async with client.watching() as stream:
        await stream.next()
        await client.open("BTC", liquidation_price="90")
        (live,) = await stream.events(1)
    await client.call("UpdatePrices", prices=[pb.PriceUpdate(symbol="BTC", price="120")])
    (listed,) = (await client.call("ListPositionHistory", symbol="BTC")).events
    assert listed == live
    assert len(listed.hash) == 32


async def test_prices_value_positions_and_the_newest_wins(client):
    await client.open(size="0.5", price="42000", liquidation_price="38000", leverage="10")
    price = pb.PriceUpdate(symbol="BTC", price="42500", observed_at=stamp(NOW))
    answer = await client.call("UpdatePrices", prices=[price])
    assert (answer.applied, answer.ignored, answer.revision) == (1, 0, 1)
    late = pb.PriceUpdate(symbol="BTC", price="1", observed_at=stamp(NOW - timedelta(seconds=1)))
    assert (await client.call("UpdatePrices", prices=[late])).ignored == 1
    held = (await client.call("GetPosition", symbol="BTC")).position
    assert (held.mark_price, held.unrealized_pnl, held.pnl_percent) == ("42500", "250", "1.190476190476190476")
    assert (held.notional_value, held.return_on_margin) == ("21250", "11.904761904761904762")
    assert held.liquidation_distance_percent == "10.588235294117647059"
    assert held.mark_observed_at.ToDatetime() == NOW.replace(tzinfo=None)
    near = pb.PriceUpdate(symbol="BTC", price="40000")
    answer = await client.call("UpdatePrices", prices=[near])
    assert (answer.applied, answer.revision) == (1, 2)  # a crossing is an event
    assert (await client.call("GetPosition", symbol="BTC")).position.at_risk


# ---- reads


async def test_get_finds_by_id_symbol_and_asset(client):
    held = await client.open()
    for ref in ({"position_id": held.position_id}, {"symbol": "BTC"}, {"asset": "BTC/USD", "venue": "hyperliquid"}):
        answer = await client.call("GetPosition", **ref)
        assert (answer.position, answer.revision) == (held, 1)
    error = await client.refused("GetPosition", symbol="BTC", account="other")
    is_error(error, Code.NOT_FOUND, "POSITION_NOT_FOUND", wanted="BTC of account other")


async def test_who_names_a_position_that_has_ended_is_told_which_and_when(client):
    async def refusal(name, **ref):
        error = await client.refused(name, **ref)
        assert error.reason == "POSITION_NOT_FOUND"
        return error

    await client.open()
    first = (await client.call("ClosePosition", symbol="BTC", close_price="1")).position
    await client.open()
    await client.call("LiquidatePosition", symbol="BTC", liquidation_price="1")
    await client.open("ETH", venue="coinbase")
    last = (await client.call("ListPositions", symbol="BTC", statuses=[LIQUIDATED])).positions[0]
    at = last.closed_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")
    for name, fields in (("GetPosition", {}), ("ClosePosition", {"close_price": "1"}), ("CancelClose", {})):
        error = await refusal(name, asset="BTC/USD", **fields)
        assert error.metadata["positionId"] == last.position_id != first.position_id
        assert f": the last one, {last.position_id}, was liquidated at {at}" in error.message
    for ref in ({"symbol": "BTC", "account": "other"}, {"symbol": "BTC", "venue": "coinbase"}, {"symbol": "SOL"}):
        assert "positionId" not in (await refusal("GetPosition", **ref)).metadata


async def test_a_revision_that_never_comes_ends_with_the_callers_deadline(client):
    method, request_type = client.method("GetPosition")
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await method(request_type(symbol="BTC", min_revision=5), timeout=0.2)
    assert late.value.code() is Code.DEADLINE_EXCEEDED


async def test_a_read_waits_for_the_revision_it_asks_for(client):
    import asyncio

    reading = asyncio.create_task(client.call("GetPosition", symbol="BTC", min_revision=2))
    await client.open("ETH")
    await client.open("BTC")
    assert (await reading).revision == 2


async def test_pages_cover_every_position_once_in_the_order_they_were_opened(client):
    opened = [(await client.open(f"S{i}")).position_id for i in range(7)]
    for statuses in ([], ["POSITION_STATUS_OPEN", "POSITION_STATUS_CLOSED"]):
        found, token = [], ""
        while True:
            page = await client.call("ListPositions", page_size=3, page_token=token, statuses=statuses)
            assert len(page.positions) <= 3
            found += [p.position_id for p in page.positions]
            token = page.next_page_token
            if not token:
                break
        assert found == opened


async def test_lists_filter(client):
    await client.open("BTC")
    await client.open("ETH", account="other")
    await client.open("BTC-USD", venue="coinbase")
    await client.open("SOL")
    await client.call("ReducePosition", symbol="SOL", size="0.5", price="1")
    await client.open("DOGE")
    await client.call("ClosePosition", symbol="DOGE", close_price="1")

    async def symbols(**filters):
        return {p.symbol for p in (await client.call("ListPositions", **filters)).positions}

    assert await symbols() == {"BTC", "ETH", "BTC-USD", "SOL"}
    assert await symbols(account="other") == {"ETH"}
    assert await symbols(venue="coinbase") == {"BTC-USD"}
    assert await symbols(symbol="BTC") == {"BTC"}
    assert await symbols(asset="BTC/USD") == {"BTC", "BTC-USD"}
    assert await symbols(asset="BTC/USD", venue="coinbase") == {"BTC-USD"}
    assert await symbols(statuses=["POSITION_STATUS_REDUCED"]) == {"SOL"}
    assert await symbols(statuses=["POSITION_STATUS_CLOSED"]) == {"DOGE"}
    assert await symbols(statuses=["POSITION_STATUS_CLOSED", "POSITION_STATUS_OPEN"], account="main") == {
        "DOGE",
        "BTC",
        "BTC-USD",
    }
    assert await symbols(statuses=["POSITION_STATUS_LIQUIDATED"]) == set()


async def test_history_tells_every_step_with_before_and_after(client):
    held = await client.open(request_id="r1", reason="signal")
    await client.open("ETH")
    await client.call("ReducePosition", symbol="BTC", size="0.5", price="110", fee="1")
    await client.call("ClosePosition", symbol="BTC", close_price="90")
    answer = await client.call("ListPositionHistory", position_id=held.position_id)
    opened, reduced, closed = answer.events
    assert [e.revision for e in answer.events] == [1, 3, 4]
    assert [e.type for e in answer.events] == [2, 6, 9]
    assert (opened.request_id, opened.reason, opened.account) == ("r1", "signal", "main")
    assert opened.actor
    assert not opened.HasField("before")
    assert opened.after == reduced.before
    assert reduced.after == closed.before
    assert (reduced.trade.size, reduced.trade.price, reduced.trade.realized_pnl) == ("0.5", "110", "4")
    assert (reduced.trade.fee.amount, closed.trade.realized_pnl, closed.after.realized_pnl) == ("1", "-5", "-1")
    assert not answer.next_page_token


async def test_history_pages_and_filters(client):
    await client.open("BTC")
    await client.open("ETH", account="other")
    for _ in range(4):
        await client.call("UpdatePosition", symbol="BTC", leverage="2")

    async def revisions(**fields):
        answer = await client.call("ListPositionHistory", **fields)
        return [e.revision for e in answer.events], answer.next_page_token

    assert (await revisions())[0] == [1, 2, 3, 4, 5, 6]
    assert (await revisions(account="other"))[0] == [2]
    assert (await revisions(asset="BTC/USD"))[0] == [1, 3, 4, 5, 6]
    assert (await revisions(symbol="ETH"))[0] == [2]
    assert (await revisions(venue="coinbase"))[0] == []
    assert (await revisions(after_revision=4))[0] == [5, 6]
    first, token = await revisions(page_size=4)
    second, end = await revisions(page_size=4, page_token=token)
    assert (first, second, end) == ([1, 2, 3, 4], [5, 6], "")
    error = await client.refused("ListPositionHistory", position_id=NOBODY)
    is_error(error, Code.NOT_FOUND, "POSITION_NOT_FOUND", wanted=f"position {NOBODY}")


@pytest.mark.parametrize(
    ("change", "broken", "problem"),
    [
        ("UPDATE events SET reason = 'x' WHERE revision = 3", 3, "does not match"),
        ("UPDATE events SET body = replace(body, '100', '101') WHERE revision = 2", 2, "does not match"),
        ("UPDATE events SET time = time + interval '1 us' WHERE revision = 1", 1, "does not match"),
        ("DELETE FROM events WHERE revision = 3", 3, "missing"),
        ("DELETE FROM events WHERE revision = 5", 5, "missing"),
        ("DELETE FROM events WHERE revision = 1", 1, "missing"),
        ("UPDATE ledger_head SET hash = decode(repeat('01', 32), 'hex')", 5, "the head"),
    ],
)
async def test_verification_names_the_first_broken_link(client, database, change, broken, problem):
    for i in range(5):
        await client.open(f"S{i}")
    whole = await client.call("VerifyHistory")
    assert (whole.intact, whole.events_checked, whole.revision) == (True, 5, 5)
    connection = await asyncpg.connect(database)
    await connection.execute(change)
    await connection.close()
    verdict = await client.call("VerifyHistory")
    assert (verdict.intact, verdict.first_broken_revision) == (False, broken)
    assert problem in verdict.problem
    part = await client.call("VerifyHistory", from_revision=4, to_revision=4)
    assert part.intact == ("DELETE" not in change or broken != 3)  # without the hash before it nothing can be said


async def test_an_empty_history_is_whole(client):
    verdict = await client.call("VerifyHistory")
    assert (verdict.intact, verdict.events_checked, verdict.revision) == (True, 0, 0)


# ---- runs and drift cases


async def test_a_run_is_recorded_once(client):
    held = await client.open(size="1")
    ok = drift_pb2.ScopeCheck(account="main", venue="hyperliquid", scope="main", product=2, outcome=1)
    ok.checked_at.CopyFrom(stamp(held.opened_at.ToDatetime() + timedelta(seconds=1)))
    request = {"run": a_run(checks=[ok], positions_compared=3), "findings": [a_finding()]}
    answer = await client.call("RecordRun", **request)
    (drift,) = answer.drifts
    assert (drift.status, drift.times_seen, drift.summary, drift.revision) == (2, 1, "half is missing", 2)
    assert await client.call("RecordRun", **request) == answer
    error = await client.refused("RecordRun", run=a_run(positions_compared=4))
    is_error(error, Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", requestId=request["run"].run_id, field="run")
    assert (await client.call("GetDrift", drift_id=drift.drift_id)).drift == drift
    assert (await client.call("GetRun", run_id=request["run"].run_id)).run == request["run"]
    assert (await client.call("GetPosition", symbol="BTC")).position.reconciliation_status == 2
    resolved = await client.call("RecordRun", run=a_run(2), resolved_drift_ids=[drift.drift_id])
    assert [(d.status, d.resolution) for d in resolved.drifts] == [(5, "AGREES_AGAIN")]
    synced = (await client.call("GetPosition", symbol="BTC")).position
    assert (synced.reconciliation_status, synced.last_reconciled_at) == (1, ok.checked_at)
    runs = await client.call("ListRuns")
    assert [r.run_id for r in runs.runs] == [a_run(2).run_id, a_run(1).run_id]


async def test_runs_are_paged_newest_first(client):
    for number in range(1, 6):
        await client.call("RecordRun", run=a_run(number))
    first = await client.call("ListRuns", page_size=3)
    second = await client.call("ListRuns", page_size=3, page_token=first.next_page_token)
    assert [uuid.UUID(r.run_id).int for r in [*first.runs, *second.runs]] == [5, 4, 3, 2, 1]
    assert not second.next_page_token


async def test_cases_are_listed_filtered_and_paged(client):
    findings = [a_finding(symbol=s) for s in ("A", "B", "C")] + [a_finding(symbol="A", kind="DRIFT_KIND_SIDE")]
    answer = await client.call("RecordRun", run=a_run(), findings=findings)
    await client.call("TransitionDrift", drift_id=answer.drifts[1].drift_id, status="DRIFT_STATUS_RESOLVED")

    async def found(**fields):
        return [(d.symbol, d.kind) for d in (await client.call("ListDrifts", **fields)).drifts]

    assert await found() == [("A", 4), ("C", 3), ("A", 3)]
    assert await found(symbol="A", kinds=["DRIFT_KIND_SIZE"]) == [("A", 3)]
    assert await found(statuses=["DRIFT_STATUS_RESOLVED"]) == [("B", 3)]
    assert await found(account="other") == []
    first = await client.call("ListDrifts", page_size=2)
    assert await found(page_size=2, page_token=first.next_page_token) == [("A", 3)]


async def test_a_case_is_worked(client):
    answer = await client.call("RecordRun", run=a_run(), findings=[a_finding()])
    drift_id = answer.drifts[0].drift_id
    move = {"drift_id": drift_id, "reason": "known", "request_id": "t1"}
    moved = (await client.call("TransitionDrift", **move, status="DRIFT_STATUS_ACKNOWLEDGED")).drift
    assert (moved.status, moved.reason, moved.revision) == (3, "known", 2)
    assert (await client.call("TransitionDrift", **move, status="DRIFT_STATUS_ACKNOWLEDGED")).drift == moved
    until = stamp(NOW + timedelta(days=9999))
    error = await client.refused("TransitionDrift", drift_id=drift_id, status="DRIFT_STATUS_SNOOZED")
    assert fields_of(error) == {"snoozed_until"}
    snoozed = await client.call(
        "TransitionDrift", drift_id=drift_id, status="DRIFT_STATUS_SNOOZED", snoozed_until=until
    )
    assert snoozed.drift.snoozed_until == until
    error = await client.refused("TransitionDrift", drift_id=drift_id, status=3, expected_revision=1)
    is_error(error, Code.ABORTED, "STALE_REVISION", expectedRevision="1", actualRevision="3")
    resolved = await client.call("TransitionDrift", drift_id=drift_id, status="DRIFT_STATUS_RESOLVED")
    assert (resolved.drift.resolution, resolved.drift.HasField("snoozed_until")) == ("DISMISSED", False)
    assert (await client.call("GetDrift", drift_id=drift_id)).drift == resolved.drift
    error = await client.refused("TransitionDrift", drift_id=drift_id, status="DRIFT_STATUS_ACKNOWLEDGED")
    is_error(
        error, Code.FAILED_PRECONDITION, "ILLEGAL_TRANSITION", state="RESOLVED", allowedStates="CONFIRMED, SNOOZED"
    )


async def test_what_there_is_not_is_not_found(client):
    is_error(await client.refused("GetDrift", drift_id=NOBODY), Code.NOT_FOUND, "DRIFT_NOT_FOUND", driftId=NOBODY)
    error = await client.refused("TransitionDrift", drift_id=NOBODY, status="DRIFT_STATUS_ACKNOWLEDGED")
    is_error(error, Code.NOT_FOUND, "DRIFT_NOT_FOUND", driftId=NOBODY)
    is_error(await client.refused("GetRun", run_id=NOBODY), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=NOBODY)


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({}, "run"),
        ({"run": drift_pb2.Run(run_id=NOBODY)}, "run.started_at"),
        ({"run": a_run(run_id="x")}, "run.run_id"),
        ({"run": a_run(checks=[drift_pb2.ScopeCheck()])}, "run.checks[0]"),
        ({"run": a_run(), "findings": [drift_pb2.Drift()]}, "findings[0]"),
        ({"run": a_run(), "findings": [a_finding(), a_finding(symbol="\0")]}, "findings[1].symbol"),
        ({"run": a_run(), "resolved_drift_ids": ["x"]}, "resolved_drift_ids[0]"),
    ],
)
async def test_an_invalid_run_is_refused_by_name(client, fields, violated):
    assert fields_of(await client.refused("RecordRun", **fields)) == {violated}
