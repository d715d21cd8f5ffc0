"""Reads as of a revision or a time: what was recorded then, whatever happened since."""

from __future__ import annotations

import uuid
from datetime import UTC, timedelta

import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as pb

from tests.position_client import NOW, Client, fill, stamp

CLOSED = "POSITION_STATUS_CLOSED"
EVERY_STATUS = list(range(1, 7))
# What follows from marks and checks; these have no history.
DERIVED = [
    "mark_price",
    "mark_observed_at",
    "unrealized_pnl",
    "pnl_percent",
    "return_on_margin",
    "notional_value",
    "initial_margin",
    "liquidation_distance_percent",
    "estimated_liquidation_price",
    "margin_ratio",
    "reconciliation_status",
    "last_reconciled_at",
]


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


def bare(position):
    """A position without what is derived."""
    copy = type(position)()
    copy.CopyFrom(position)
    for name in DERIVED:
        copy.ClearField(name)
    return copy


async def everything(client: Client, **fields):
    """Every position there is, or was."""
    return await client.call("ListPositions", statuses=EVERY_STATUS, page_size=1000, **fields)


STEPS = [
    ("OpenPosition", {"symbol": "BTC", "size": "2", "entry_price": "100", "liquidation_price": "90"}),
    ("OpenPosition", {"symbol": "ETH", "size": "1", "entry_price": "10", "side": 2, "pending": True}),
    ("UpdatePrices", {"prices": [pb.PriceUpdate(symbol="BTC", price="91")]}),  # enters risk
    ("ConfirmOpen", {"symbol": "ETH", "size": "1.5"}),
    ("ReducePosition", {"symbol": "BTC", "size": "1", "price": "91", "fee": "0.1", "fee_currency": "HYPE"}),
    ("RecordFills", {"fills": [fill(1, "-4", "95"), fill(2, "1", "96"), fill(3, "2", "9", symbol="ETH")]}),  # flips
    ("UpdatePosition", {"symbol": "BTC", "leverage": "3", "labels": {"a": "b"}}),
    ("AdjustPosition", {"symbol": "BTC", "reason_code": "X", "size": "1", "close_price": "94", "estimated": True}),
    ("ClosePosition", {"symbol": "ETH"}),
    ("CancelClose", {"symbol": "ETH"}),
    ("OpenPosition", {"symbol": "BTC-USD", "venue": "coinbase", "size": "1", "entry_price": "100"}),
    ("ClosePosition", {"symbol": "BTC", "close_price": "90"}),
    ("LiquidatePosition", {"symbol": "ETH", "liquidation_price": "1"}),
    ("OpenPosition", {"symbol": "BTC", "size": "7", "entry_price": "100", "account": "other"}),
]


async def lived(client: Client):
    """Do the steps; every position by revision, as the service had it then and as the events tell."""
    seen = {}
    for name, fields in STEPS:
        revision = (await client.call(name, **fields)).revision
        now = await everything(client)
        assert now.revision == revision
        seen[revision] = [bare(p) for p in now.positions]
    events = (await client.call("ListPositionHistory", page_size=1000)).events
    told, state = {}, {}
    for event in events:
        state[event.position_id] = bare(event.after)
        told[event.revision] = sorted(state.values(), key=lambda p: p.position_id)
    return seen, told, events


async def test_every_revision_shows_what_was_recorded_then(client, start_position):
    seen, told, events = await lived(client)
    assert len(told) == events[-1].revision > len(seen) >= len(STEPS)
    other = Client((await start_position()).channel)
    for revision, positions in told.items():
        for asked in (client, other):
            answer = await everything(asked, as_of_revision=revision)
            assert (answer.revision, list(answer.positions)) == (revision, positions)
        assert seen.get(revision, positions) == positions
        live = [p for p in positions if p.status <= 4]
        assert list((await client.call("ListPositions", as_of_revision=revision)).positions) == live
        for position in positions:
            one = await client.call("GetPosition", position_id=position.position_id, as_of_revision=revision)
            assert (one.position, one.revision) == (position, revision)
        for position in live:
            key = {"account": position.account, "venue": position.venue, "symbol": position.symbol}
            one = await client.call("GetPosition", **key, as_of_revision=revision)
            assert one.position == position


async def test_every_time_shows_what_was_recorded_by_then(client):
    _, told, events = await lived(client)
    for event, later in zip(events, [*events[1:], None], strict=True):
        if later is not None and later.time == event.time:
            continue  # committed together
        answer = await everything(client, as_of_time=event.time)
        assert (answer.revision, list(answer.positions)) == (event.revision, told[event.revision])
        if later is not None:
            just_before = stamp(later.time.ToDatetime(UTC) - timedelta(microseconds=1))
            assert await everything(client, as_of_time=just_before) == answer
        one = await client.call("GetPosition", position_id=event.position_id, as_of_time=event.time)
        assert (one.position, one.revision) == (bare(event.after), event.revision)
    # In the future there is what there is.
    assert (await everything(client, as_of_time=stamp(NOW + timedelta(days=9999)))).revision == events[-1].revision


async def test_before_the_first_event_there_was_nothing(client):
    for _ in range(2):
        answer = await everything(client, as_of_time=stamp(NOW - timedelta(days=9999)))
        assert (list(answer.positions), answer.revision, answer.next_page_token) == ([], 0, "")
        held = await client.open(account=f"a{_}")
    for ref in ({"position_id": held.position_id}, {"symbol": "BTC", "account": "a0"}):
        error = await client.refused("GetPosition", **ref, as_of_time=stamp(NOW - timedelta(days=9999)))
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "POSITION_NOT_FOUND")


async def test_what_was_not_live_then_is_found_by_id_only(client):
    first = await client.open()  # 1
    await client.call("ClosePosition", symbol="BTC", close_price="1")  # 2
    second = await client.open(venue="coinbase", symbol="BTC-USD")  # 3
    third = await client.open()  # 4

    async def found(revision, **ref):
        return (await client.call("GetPosition", as_of_revision=revision, **ref)).position.position_id

    async def refused(revision, **ref):
        return (await client.refused("GetPosition", as_of_revision=revision, **ref)).reason

    btc, pair = {"symbol": "BTC"}, {"asset": "BTC/USD"}
    assert await found(1, **btc) == await found(1, **pair) == first.position_id
    assert await refused(2, **btc) == await refused(3, **btc) == "POSITION_NOT_FOUND"
    assert await found(3, **pair) == second.position_id
    assert await found(4, **btc) == third.position_id
    assert await refused(4, **pair) == "AMBIGUOUS_ASSET"
    assert await found(2, position_id=first.position_id) == first.position_id
    assert await refused(2, position_id=second.position_id) == "POSITION_NOT_FOUND"
    assert await refused(4, position_id=str(uuid.UUID(int=1))) == "POSITION_NOT_FOUND"
    assert await refused(4, symbol="BTC", account="other") == "POSITION_NOT_FOUND"


async def test_what_has_not_happened_is_refused(client):
    await client.open()
    for name, fields in (("GetPosition", {"symbol": "BTC"}), ("ListPositions", {})):
        error = await client.refused(name, as_of_revision=2, **fields)
        assert (error.code, error.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_IN_FUTURE")
        assert dict(error.metadata) == {"headRevision": "1"}


async def test_the_past_is_filtered_and_paged_like_the_present(client):
    for number in range(5):
        await client.open(f"S{number}")
    await client.open("S0", account="other")
    await client.call("ClosePosition", symbol="S1", close_price="1")
    at = (await client.call("ReducePosition", symbol="S2", size="0.5", price="1")).revision
    for number in (0, 2, 3, 4):
        await client.call("ClosePosition", symbol=f"S{number}", close_price="1")

    async def symbols(**fields):
        found, token = [], ""
        while True:
            page = await client.call("ListPositions", as_of_revision=at, page_size=2, page_token=token, **fields)
            assert len(page.positions) <= 2
            assert page.revision == at
            found += [p.symbol for p in page.positions]
            token = page.next_page_token
            if not token:
                return found

    assert await symbols() == ["S0", "S2", "S3", "S4", "S0"]
    assert await symbols(account="main") == ["S0", "S2", "S3", "S4"]
    assert await symbols(symbol="S0") == ["S0", "S0"]
    assert await symbols(asset="S3/USD", venue="hyperliquid") == ["S3"]
    assert await symbols(venue="coinbase") == []
    assert await symbols(statuses=[CLOSED]) == ["S1"]
    assert await symbols(statuses=[CLOSED, "POSITION_STATUS_REDUCED"]) == ["S1", "S2"]


async def test_the_past_has_no_marks(client):
    await client.open(price="100", liquidation_price="90")
    await client.call("UpdatePrices", prices=[pb.PriceUpdate(symbol="BTC", price="110")])
    now = (await client.call("GetPosition", symbol="BTC")).position
    then = (await client.call("GetPosition", symbol="BTC", as_of_revision=1)).position
    assert (now.unrealized_pnl, then.unrealized_pnl, then.mark_price) == ("10", "", "")
    assert bare(now) == then
