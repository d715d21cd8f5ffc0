"""Funding payments through real services and a real database: once, to whom they belong, and never mixed with PnL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as pb

from tests.position_client import NOW, Client, check_ledger, fill, stamp

FUNDING = 17
CLOSED = 5


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


def payment(number: int, amount: str = "-1.5", **fields: object) -> pb.FundingPayment:
    made = {"symbol": "BTC", "payment_id": f"p{number}", "amount": amount, "paid_at": stamp(datetime.now(UTC))}
    return pb.FundingPayment(**(made | fields))


async def paid(client: Client, *payments: pb.FundingPayment, **fields: object):
    return await client.call("RecordFills", funding=payments, **fields)


async def test_funding_is_apart_from_what_is_realised(client, database):
    held = await client.open(size="2", price="100")
    answer = await paid(client, payment(1, rate="0.0000125"), payment(2, "4", currency="HYPE"), payment(3, "0.25"))
    assert (answer.applied, answer.duplicates, answer.funding_applied, answer.funding_duplicates) == (0, 0, 3, 0)
    (after,) = answer.positions
    assert (after.funding, after.realized_pnl, after.revision, answer.revision) == ("-1.25", "0", 4, 4)
    assert list(after.other_funding) == [position_pb2.FundingTotal(currency="HYPE", amount="4")]
    opened, first, second, third = (await client.call("ListPositionHistory", position_id=held.position_id)).events
    assert {e.type for e in (first, second, third)} == {FUNDING}
    entry = position_pb2.Funding(payment_id="p1", amount="-1.5", rate="0.0000125")
    assert (first.trade.funding, first.trade.size, first.trade.realized_pnl) == (entry, "0", "0")
    assert (first.before, first.after.funding, second.trade.funding.currency) == (opened.after, "-1.5", "HYPE")
    assert first.trade.HasField("executed_at")
    summary = await client.call("GetPortfolioSummary")
    assert (summary.total_funding, summary.total_realized_pnl) == ("-1.25", "0")
    assert (await client.call("GetPosition", symbol="BTC", as_of_revision=2)).position.funding == "-1.5"
    await check_ledger(database, client)


async def test_a_payment_is_booked_once_for_ever(start_position, database):
    one, two = [Client((await start_position()).channel) for _ in range(2)]
    await one.open()
    both = payment(1), payment(1, payment_id="f1")
    first = await one.fills(fill(1, "1"), funding=both, request_id="r1")
    assert (first.applied, first.funding_applied) == (1, 2)  # an id of a payment is no fill's
    assert await two.fills(fill(1, "1"), funding=both, request_id="r1") == first
    again = await two.fills(fill(1, "1"), funding=[*both, payment(2), payment(2)])
    assert (again.applied, again.duplicates, again.funding_applied, again.funding_duplicates) == (0, 1, 1, 3)
    answers = await asyncio.gather(*(paid(c, payment(3), payment(4)) for c in (one, two) * 3))
    assert sorted(a.funding_applied for a in answers) == [0] * 5 + [2]
    three = Client((await start_position()).channel)
    assert (await three.call("GetPosition", symbol="BTC")).position.funding == "-7.5"
    assert (await paid(three, *both)).funding_duplicates == 2
    await check_ledger(database, one)


async def test_it_goes_to_what_was_held_though_that_has_ended(start_position, database):
    one, two = [Client((await start_position()).channel) for _ in range(2)]
    first = await one.open()
    ended = (await one.call("ClosePosition", symbol="BTC", close_price="110")).position
    live = await one.open()
    async with two.watching(after_revision=live.revision) as stream:
        at = {"paid_at": ended.closed_at}
        (after,) = (await paid(one, payment(1, **at))).positions
        assert (after.position_id, after.status, after.funding, after.realized_pnl) == (
            first.position_id,
            CLOSED,
            "-1.5",
            "10",
        )
        await paid(two, payment(2, **at), payment(3))
        events = await stream.events(3)
    assert [e.type for e in events] == [FUNDING] * 3
    # The other replica has never had the ended position in its book; what was before is told all the same.
    assert [e.before.funding for e in events] == ["0", "-1.5", "0"]
    assert events[0].before.closed_at == ended.closed_at
    assert [e.position_id for e in events] == [first.position_id] * 2 + [live.position_id]
    for each in (one, two):
        final = (await each.call("GetPosition", position_id=first.position_id)).position
        assert (final.funding, final.closed_at) == ("-3", ended.closed_at)
    await check_ledger(database, two)


async def test_payments_to_what_has_ended_do_not_forget_each_other(start_position, database):
    """Two services and a batch of calls, all about a position that neither has in its book."""
    pair = [Client((await start_position()).channel) for _ in range(2)]
    held = await pair[0].open()
    ended = (await pair[0].call("ClosePosition", symbol="BTC", close_price="110")).position
    at = {"paid_at": ended.closed_at}
    await asyncio.gather(*(paid(pair[n % 2], payment(n, "1", **at)) for n in range(20)))
    final = (await pair[1].call("GetPosition", position_id=held.position_id)).position
    assert final.funding == "20"
    await check_ledger(database, pair[0])


async def test_a_position_that_another_service_has_just_closed(start_position, database):
    """The one that is asked holds it as live until it has looked."""
    one, two = [Client((await start_position()).channel) for _ in range(2)]
    for number in range(10):
        held = await one.open()
        assert (await two.call("GetPosition", symbol="BTC")).position == held
        closing = one.call("ClosePosition", symbol="BTC", close_price="110")
        _, answer = await asyncio.gather(closing, paid(two, payment(number, paid_at=held.opened_at)))
        assert [p.position_id for p in answer.positions] == [held.position_id]
        final = (await two.call("GetPosition", position_id=held.position_id)).position
        assert (final.status, final.funding, final.realized_pnl) == (CLOSED, "-1.5", "10")
    await check_ledger(database, two)


async def test_a_backfill_finds_what_was_held_then(client, database):
    told = [fill(10, "1", "100"), fill(30, "-1", "110"), fill(50, "-1", "100"), fill(70, "1", "90")]
    when = [stamp(NOW + timedelta(seconds=s)) for s in (20, 60)]
    answer = await client.fills(
        *reversed(told), funding=[payment(n, str(n + 1), paid_at=at) for n, at in enumerate(when)]
    )
    assert [(p.status, p.realized_pnl, p.funding) for p in answer.positions] == [
        (CLOSED, "10", "1"),
        (CLOSED, "10", "2"),
    ]
    await check_ledger(database, client)


async def test_what_is_nobodys_is_refused_and_named(client, database):
    await client.open("ETH")
    before = await client.call("VerifyHistory")
    for missing in (payment(2), payment(2, symbol="ETH", venue="coinbase")):
        request = {"fills": [fill(1, "1", symbol="SOL")], "funding": [payment(1, symbol="ETH"), missing]}
        error = await client.refused("RecordFills", **request)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert [v.field for v in error.violations] == ["funding[1]"]
    assert await client.call("VerifyHistory") == before
    # Once there is somebody, the same request is booked.
    await client.open()
    answer = await client.call("RecordFills", **request | {"funding": [payment(1, symbol="ETH"), payment(2)]})
    assert (answer.applied, answer.funding_applied) == (1, 2)
    await check_ledger(database, client)


async def test_a_known_payment_is_skipped_where_it_would_be_refused_now(client):
    held = await client.open()
    ended = (await client.call("ClosePosition", symbol="BTC", close_price="110")).position
    one = payment(1, paid_at=ended.closed_at)
    assert (await paid(client, one)).funding_applied == 1
    later = stamp(datetime.now(UTC) + timedelta(days=1))
    again = await paid(client, payment(1, paid_at=later))
    assert (again.funding_applied, again.funding_duplicates) == (0, 1)
    final = (await client.call("GetPosition", position_id=held.position_id)).position
    assert final.funding == "-1.5"


async def test_the_payments_of_what_is_purged_stay_known(client, database):
    held = await client.open()
    closed_at = (await client.call("ClosePosition", symbol="BTC", close_price="110")).position.closed_at
    one = payment(1, paid_at=closed_at)
    await paid(client, one)
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE positions SET closed_at = closed_at - interval '99 days'")
    await connection.close()
    assert (await client.call("PurgeClosedPositions")).purged == 1
    assert (await paid(client, one)).funding_duplicates == 1
    error = await client.refused("RecordFills", funding=[payment(2, paid_at=closed_at)])
    assert [v.field for v in error.violations] == ["funding[0]"]
    assert (await client.call("GetPosition", position_id=held.position_id)).position.funding == "-1.5"
    assert (await client.call("VerifyHistory")).intact


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", ""),
        ("amount", "1e3"),
        ("amount", "0.0000000000000000001"),
        ("amount", "NaN"),
        ("rate", "x"),
        ("currency", "no spaces"),
        ("payment_id", ""),
        ("payment_id", "\0"),
        ("asset", "BTC"),
        ("paid_at", Timestamp(seconds=10**15)),
        ("paid_at", None),
    ],
)
async def test_a_bad_entry_is_named(client, field, value):
    await client.open()
    error = await client.refused("RecordFills", funding=[payment(1), payment(2, **{field: value})])
    assert [v.field for v in error.violations] == [f"funding[1].{field}"]
    assert (await client.call("GetPosition", symbol="BTC")).position.funding == "0"


async def test_the_names_of_an_instrument_are_the_usual_ones(client):
    await client.open()
    await client.open("BTC-USD", venue="coinbase")
    answer = await paid(
        client,
        payment(1, symbol="", asset="BTC/USD"),
        payment(2, symbol="", asset="BTC/USD", venue="coinbase"),
    )
    assert [(p.symbol, p.funding) for p in answer.positions] == [("BTC", "-1.5"), ("BTC-USD", "-1.5")]
    error = await client.refused("RecordFills", funding=[payment(3, symbol="")])
    assert [v.field for v in error.violations] == ["funding[0].asset"]
