"""Estimated closes and the fills that really happened, through real services and a real database."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import asyncpg
import pytest
from trueup.types.v1 import types_pb2

from tests.position_client import Client, check_ledger, fill, stamp

CLOSED = 5
LONG, SHORT = 1, 2
REVERSED, RESTATED = 15, 16
OPENED, SPENT = 2, 3
FINAL = ["POSITION_STATUS_CLOSED"]
ADOPT = {"symbol": "BTC", "reason_code": "ADOPT_VENUE", "estimated": True}


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


async def adopted(client: Client, size: str = "0", price: str = "110", **fields: object):
    """The book takes the venue's size over at a guessed price; the position."""
    return (await client.call("AdjustPosition", **ADOPT, size=size, close_price=price, **fields)).position


async def events_of(client: Client, position_id: str):
    return (await client.call("ListPositionHistory", position_id=position_id)).events


async def test_a_final_record_is_restated_after_a_restart_by_another_replica(start_position, database):
    first = await start_position()
    client = Client(first.channel)
    held = await client.open(size="2", price="100")
    ended = await adopted(client)
    assert (ended.realized_pnl, ended.estimated_pnl) == ("20", "20")
    (owed,) = ended.estimates
    assert (owed.revision, owed.time, owed.side, owed.size, owed.price) == (2, ended.updated_at, LONG, "2", "110")
    again = await client.open(size="5", price="200")
    await first.stop()

    client, other = Client((await start_position()).channel), Client((await start_position()).channel)
    async with client.watching(after_revision=3) as stream:
        true = fill(1, "-2", "104", fee="0.3"), fill(2, "1", "210")
        answer = await other.fills(*true, request_id="r1")
        assert (answer.applied, answer.restated, answer.revision) == (2, 1, 6)
        watched = await stream.events(3)
    final = (await client.call("GetPosition", position_id=held.position_id)).position
    assert (final.status, final.realized_pnl, final.estimated_pnl) == (CLOSED, "7.7", "0")
    assert (list(final.estimates), final.closed_at, final.revision) == ([], ended.closed_at, 5)
    assert list((await other.call("ListPositions", statuses=FINAL)).positions) == [final]
    now = (await client.call("GetPosition", symbol="BTC")).position
    assert (now.position_id, now.size, now.realized_pnl) == (again.position_id, "6", "0")

    _, adjusted, back, booked = await events_of(client, held.position_id)
    assert [e.type for e in (back, booked)] == [REVERSED, RESTATED]
    assert (adjusted.after.realized_pnl, back.before, booked.before) == ("20", adjusted.after, back.after)
    assert (back.trade.realized_pnl, booked.trade.realized_pnl, booked.trade.fill_id) == ("-20", "7.7", "f1")
    assert booked.trade.executed_at == true[0].executed_at
    assert {json.loads(e.note)["corrects_revision"] for e in (back, booked)} == {2}
    assert watched[:2] == [back, booked]  # also what the replica had not in its book: the position before
    assert watched[2].before.position_id == again.position_id

    then = await client.call("GetPosition", position_id=held.position_id, as_of_revision=2)
    assert (then.position.realized_pnl, then.position.estimates) == ("20", ended.estimates)
    for each in (client, other):
        assert await each.fills(*true, request_id="r1") == answer
        assert (await each.fills(*true)).duplicates == 2
    assert await check_ledger(database, client) == 6


async def test_pieces_restate_wherever_they_arrive(start_position, database):
    """Three fills, three replicas, the last of them started in between; the position is live."""
    one, two = [Client((await start_position()).channel) for _ in range(2)]
    await one.open(size="3", price="1")
    await one.call("IncreasePosition", symbol="BTC", size="4", price="2")  # 11 / 7 does not end
    await adopted(two, "1", "1.7")
    assert (await one.fills(fill(1, "-1", "1.5"))).restated == 1
    assert (await two.fills(fill(2, "-3", "1.6"))).restated == 1
    three = Client((await start_position()).channel)
    left = (await three.call("GetPosition", symbol="BTC")).position
    assert [(e.size, e.price) for e in left.estimates] == [("2", "1.7")]
    answer = await three.fills(fill(3, "-3", "1.8"))  # two of the estimate, one of what is left
    assert (answer.restated, answer.positions[0].status, answer.positions[0].size) == (1, CLOSED, "0")
    cash = -Fraction(11) + Fraction("1.5") + 3 * Fraction("1.6") + 3 * Fraction("1.8")
    for each in (one, two, three):
        found = (await each.call("GetPosition", position_id=left.position_id)).position
        assert (Fraction(found.realized_pnl), found.estimated_pnl, len(found.estimates)) == (cash, "0", 0)
        assert (await each.refused("GetPosition", symbol="BTC")).reason == "POSITION_NOT_FOUND"
    await check_ledger(database, one)


async def test_a_fill_sent_to_both_restates_once(start_position, database):
    pair = [Client((await start_position()).channel) for _ in range(2)]
    for number in range(8):
        symbol = f"S{number}"
        held = await pair[0].open(symbol, "2", "100")
        await pair[1].call("AdjustPosition", **ADOPT | {"symbol": symbol}, size="0", close_price="110")
        calls = (each.fills(fill(number, "-2", "90", symbol=symbol)) for each in pair)
        answers = await asyncio.gather(*calls)
        assert sorted((a.applied, a.restated, a.duplicates) for a in answers) == [(0, 0, 1), (1, 1, 0)]
        final = (await pair[0].call("GetPosition", position_id=held.position_id)).position
        assert (final.realized_pnl, final.estimated_pnl) == ("-20", "0")
    await check_ledger(database, pair[0])


async def test_two_fills_at_two_services_share_an_estimate(start_position, database):
    pair = [Client((await start_position()).channel) for _ in range(2)]
    held = await pair[0].open(size="4", price="100")
    await adopted(pair[0])
    calls = (pair[n % 2].fills(fill(n, "-0.5", str(100 + n))) for n in range(8))
    answers = await asyncio.gather(*calls)
    assert [a.restated for a in answers] == [1] * 8
    final = (await pair[1].call("GetPosition", position_id=held.position_id)).position
    assert (final.realized_pnl, final.estimated_pnl) == ("14", "0")
    assert (await pair[0].fills(fill(9, "-1"))).restated == 0
    await check_ledger(database, pair[1])


async def test_what_is_executed_after_the_correction_is_a_trade(client):
    await client.open(size="2", price="100")
    await adopted(client, "1")
    later = stamp(datetime.now(UTC) + timedelta(hours=1))
    answer = await client.fills(fill(1, "-1", "90", executed_at=later))
    assert (answer.applied, answer.restated, answer.positions[0].status) == (1, 0, CLOSED)
    assert len(answer.positions[0].estimates) == 1


async def test_what_is_executed_after_the_state_that_was_corrected_is_a_trade(client, database):
    now = datetime.now(UTC)
    seen = now - timedelta(minutes=5)
    await client.open(size="3", price="100")
    (estimate,) = (await adopted(client, "2", as_of=stamp(seen))).estimates
    assert estimate.time == stamp(seen)
    answer = await client.fills(fill(1, "-1", "90", executed_at=stamp(seen + timedelta(microseconds=1))))
    assert (answer.applied, answer.restated, answer.positions[0].size) == (1, 0, "1")
    answer = await client.fills(fill(2, "-1", "104", executed_at=stamp(seen)))
    assert (answer.restated, answer.positions[0].size, answer.positions[0].realized_pnl) == (1, "1", "-6")
    await check_ledger(database, client)


async def test_the_state_that_was_corrected_is_not_in_the_future(client):
    held = await client.open(size="2", price="100")
    later = stamp(datetime.now(UTC) + timedelta(hours=1))
    refused = await client.refused("AdjustPosition", **ADOPT, size="0", close_price="110", as_of=later)
    assert (refused.reason, [v.field for v in refused.violations]) == ("INVALID_REQUEST", ["as_of"])
    # Clocks differ a little; what is executed later than the commit is a trade all the same.
    soon = stamp(datetime.now(UTC) + timedelta(seconds=40))
    (estimate,) = (after := await adopted(client, as_of=soon)).estimates
    assert (after.position_id, estimate.time) == (held.position_id, after.updated_at)


async def test_a_short_and_a_fee_in_another_currency(client, database):
    await client.open(size="2", price="100", side=SHORT)
    ended = await adopted(client)
    answer = await client.fills(fill(1, "2", "95", fee="0.01", fee_currency="HYPE"))
    (final,) = answer.positions
    assert (ended.realized_pnl, final.realized_pnl) == ("-20", "10")
    assert list(final.other_fees) == [types_pb2.Fee(currency="HYPE", amount="0.01")]
    await check_ledger(database, client)


async def age(database: str, days: int) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(f"UPDATE positions SET closed_at = closed_at - interval '{days} days'")
    await connection.close()


async def test_what_is_owed_is_not_purged(start_position, database):
    client = Client((await start_position()).channel)
    await client.open("ETH")
    await client.call("ClosePosition", symbol="ETH", close_price="1")
    held = await client.open(size="2", price="100")
    await adopted(client)
    await age(database, 70)
    assert (await client.call("PurgeClosedPositions", dry_run=True)).purged == 1
    assert (await client.call("PurgeClosedPositions")).purged == 1
    other = Client((await start_position()).channel)
    assert (await other.fills(fill(1, "-2", "90"))).restated == 1
    assert (await client.call("GetPosition", position_id=held.position_id)).position.realized_pnl == "-20"
    await age(database, 70)
    assert (await client.call("PurgeClosedPositions")).purged == 1
    assert (await client.call("GetPosition", position_id=held.position_id)).position.realized_pnl == "-20"
    assert (await client.call("VerifyHistory")).intact
    assert (await client.fills(fill(2, "-2", "90"))).restated == 0


async def test_what_is_settled_is_purged_and_no_more_loaded(start_position, database):
    client = Client((await start_position()).channel)
    await client.open(size="2", price="100")
    await adopted(client)
    await age(database, 92)
    other = Client((await start_position()).channel)
    assert (await client.call("PurgeClosedPositions", dry_run=True)).purged == 1
    assert (await other.fills(fill(1, "-2", "90"))).restated == 0
    assert (await client.call("PurgeClosedPositions")).purged == 1


async def test_what_was_taken_over_as_it_was_long_ago_is_settled_at_once(client):
    long_ago = stamp(datetime.now(UTC) - timedelta(days=91))
    held = await client.open(size="2", price="100", estimated=True, as_of=long_ago)
    assert not held.estimates
    adjusted = await adopted(client, "1", as_of=long_ago)
    assert (list(adjusted.estimates), adjusted.estimated_pnl) == ([], "10")


OPENED_AT_A_GUESS = [
    ("OpenPosition", {"size": "2", "entry_price": "100"}),
    ("ConfirmOpen", {"size": "2", "entry_price": "100"}),
    ("AdjustPosition", {"size": "2", "entry_price": "100", "reason_code": "ADOPT_VENUE"}),
]


@pytest.mark.parametrize(("name", "fields"), OPENED_AT_A_GUESS, ids=[name for name, _ in OPENED_AT_A_GUESS])
async def test_what_was_opened_at_a_guess_is_not_opened_again_by_its_fills(start_position, database, name, fields):
    first = await start_position()
    client = Client(first.channel)
    size = "2"
    if name == "ConfirmOpen":
        await client.open(size="1", price="1", pending=True)
    elif name == "AdjustPosition":
        size = "1.5"
        await client.open(size="0.5", price="100")
    held = (await client.call(name, symbol="BTC", estimated=True, **fields)).position
    assert [(e.kind, e.side, e.size, e.price) for e in held.estimates] == [(OPENED, LONG, size, "100")]
    (reduced,) = (await client.fills(fill(1, "-0.5", "110", executed_at=later()))).positions
    assert sorted(e.kind for e in reduced.estimates) == [OPENED, SPENT]
    await first.stop()

    client = Client((await start_position()).channel)  # from the tables
    assert (await client.call("GetPosition", symbol="BTC")).position.estimates == reduced.estimates
    answer = await client.fills(fill(2, size, "104", fee="0.3"))
    assert (answer.restated, answer.positions[0].size) == (1, "1.5")
    ended = (await client.call("ClosePosition", symbol="BTC", close_price="110")).position
    cash = 2 * Fraction(110) - (Fraction(2) - Fraction(size)) * 100 - Fraction(size) * 104 - Fraction("0.3")
    assert (Fraction(ended.realized_pnl), ended.estimated_pnl, len(ended.estimates)) == (cash, "0", 0)
    events = await events_of(client, held.position_id)
    assert [e.trade.fill_id for e in events if e.type == RESTATED] == ["f2", "f2"]
    assert REVERSED not in [e.type for e in events]
    await check_ledger(database, client)


def later():
    return stamp(datetime.now(UTC) + timedelta(hours=1))


async def test_nothing_is_guessed_of_what_is_only_announced(client):
    fields = {"symbol": "BTC", "size": "1", "entry_price": "1", "estimated": True}
    refused = await client.refused("OpenPosition", **fields, pending=True)
    assert [v.field for v in refused.violations] == ["estimated"]
    refused = await client.refused("OpenPosition", **fields, as_of=later())
    assert [v.field for v in refused.violations] == ["as_of"]
