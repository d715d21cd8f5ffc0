"""PurgeClosedPositions: the tables forget, the history does not."""

from __future__ import annotations

import asyncpg
import pytest
from trueup.position.v1 import position_service_pb2 as pb

from tests.position_client import Client, fill

FINAL = ["POSITION_STATUS_CLOSED", "POSITION_STATUS_LIQUIDATED"]


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


async def ended(client: Client, database: str, symbol: str, days_ago: float, **fields: str):
    """A position that ended so many days ago."""
    await client.open(symbol, **fields)
    ref = {"symbol": symbol, "account": fields.get("account", "")}
    position = (await client.call("ClosePosition", **ref, close_price="110")).position
    connection = await asyncpg.connect(database)
    await connection.execute(
        "UPDATE positions SET closed_at = now() - make_interval(secs => $2) WHERE position_id = $1::text::uuid",
        position.position_id,
        days_ago * 86_400,
    )
    await connection.close()
    return position


async def in_tables(client: Client) -> list[str]:
    return [p.symbol for p in (await client.call("ListPositions", statuses=FINAL)).positions]


async def test_only_what_ended_long_enough_ago_goes(client, database):
    await client.open("LIVE")
    await ended(client, database, "OLD", 60.01)
    await ended(client, database, "YOUNG", 59.99)
    await ended(client, database, "NOW", 0)
    before = await client.call("VerifyHistory")
    assert (await client.call("PurgeClosedPositions", dry_run=True)).purged == 1
    assert await in_tables(client) == ["OLD", "YOUNG", "NOW"]
    answer = await client.call("PurgeClosedPositions")
    assert (answer.purged, answer.revision) == (1, before.revision)
    assert await in_tables(client) == ["YOUNG", "NOW"]
    assert (await client.call("PurgeClosedPositions")).purged == 0
    assert (await client.call("PurgeClosedPositions", older_than_days=58, dry_run=True)).purged == 1
    assert (await client.call("PurgeClosedPositions", older_than_days=36_500)).purged == 0
    assert (await client.call("PurgeClosedPositions", older_than_days=1)).purged == 1
    assert await in_tables(client) == ["NOW"]
    assert [p.symbol for p in (await client.call("ListPositions")).positions] == ["LIVE"]
    assert await client.call("VerifyHistory") == before


async def test_the_age_is_the_servers_own_unless_given(start_position, database):
    client = Client((await start_position(retention_days=2)).channel)
    await ended(client, database, "OLD", 2.01)
    await ended(client, database, "YOUNG", 1.99)
    assert (await client.call("PurgeClosedPositions")).purged == 1
    assert await in_tables(client) == ["YOUNG"]


async def test_what_is_purged_can_still_be_told(client, database, start_position):
    held = await ended(client, database, "OLD", 99, reason="signal", request_id="r1")
    await ended(client, database, "OLD", 99, account="other")
    live = await client.open("OLD", size="7")
    asked = [
        ("GetPosition", {"position_id": held.position_id}),
        ("GetPosition", {"position_id": held.position_id, "as_of_revision": 1}),
        ("ListPositions", {"as_of_revision": 2, "statuses": FINAL}),
        ("ListPositionHistory", {"position_id": held.position_id}),
        ("ListPositionHistory", {}),
        ("ListPositionHistory", {"symbol": "OLD"}),
        ("ListPositionHistory", {"asset": "OLD/USD", "account": "main"}),
        ("ListPositionHistory", {"asset": "OLD/USD", "venue": "hyperliquid", "page_size": 2}),
        ("ListPositionHistory", {"venue": "coinbase"}),
        ("OpenPosition", {"symbol": "OLD", "size": "1", "entry_price": "100", "reason": "signal", "request_id": "r1"}),
        ("VerifyHistory", {}),
    ]
    before = [await client.call(name, **fields) for name, fields in asked]
    assert [len(answer.events) for answer in before[3:9]] == [2, 5, 5, 3, 2, 0]
    assert (await client.call("PurgeClosedPositions")).purged == 2
    other = Client((await start_position()).channel)
    for each in (client, other):
        assert [await each.call(name, **fields) for name, fields in asked] == before
        error = await each.refused("ReducePosition", position_id=held.position_id, size="1", price="1")
        assert (error.reason, error.metadata["state"]) == ("ILLEGAL_TRANSITION", "CLOSED")
        assert (await each.call("GetPosition", symbol="OLD")).position == live


async def test_the_fills_of_what_is_purged_stay_known(client, database):
    await client.fills(fill(1, "1", "100"), fill(2, "-1", "110"))
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE positions SET closed_at = now() - interval '99 days'")
    await connection.close()
    assert await client.call("PurgeClosedPositions") == pb.PurgeClosedPositionsResponse(purged=1, revision=2)
    again = await client.fills(fill(1, "1", "100"), fill(2, "-1", "110"))
    assert (again.applied, again.duplicates) == (0, 2)


async def test_an_empty_ledger_has_nothing_to_purge(client):
    assert await client.call("PurgeClosedPositions") == pb.PurgeClosedPositionsResponse()
