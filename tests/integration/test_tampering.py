"""Whoever edits the events is found out: whatever byte, of whatever column, of an event of whatever type."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from trueup.position.v1 import position_service_pb2 as pb

from position_service.domain.events import EventType
from position_service.ledger import tables
from tests.position_client import NOW, Client, a_finding, a_run, fill, stamp


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


@pytest.fixture
async def connection(database):
    """To the tables, as somebody has them who has taken their constraints away."""
    connection = await asyncpg.connect(database)
    checks = "SELECT conname FROM pg_constraint WHERE conrelid = 'events'::regclass AND contype = 'c'"
    for row in await connection.fetch(checks):
        await connection.execute(f"ALTER TABLE events DROP CONSTRAINT {row['conname']}")
    yield connection
    await connection.close()


async def every_type(client: Client) -> None:
    """A life with an event of every type."""

    async def do(name: str, symbol: str = "BTC", **fields: Any) -> None:
        await client.call(name, symbol=symbol, reason="because", **fields)

    await do("OpenPosition", size="2", entry_price="100", pending=True, liquidation_price="50")
    await do("ConfirmOpen")
    await do("IncreasePosition", size="1", price="110", fee="0.1")
    await do("ReducePosition", size="0.5", price="120")
    await do("ClosePosition")
    await do("CancelClose")
    await do("UpdatePosition", leverage="3", labels={"desk": "ä"})
    await do("AdjustPosition", size="1", close_price="100", reason_code="X", evidence="seen")
    for price in ("51", "100"):
        await client.call("UpdatePrices", prices=[pb.PriceUpdate(symbol="BTC", price=price)])
    await do("LiquidatePosition", liquidation_price="50")
    await do("OpenPosition", "XRP", size="2", entry_price="1")
    await do("AdjustPosition", "XRP", size="1", close_price="1", reason_code="X", estimated=True)
    paid = pb.FundingPayment(symbol="XRP", payment_id="p", amount="0.1", paid_at=stamp(datetime.now(UTC)))
    await client.call("RecordFills", fills=[fill(1, "-1", "2", symbol="XRP")], funding=[paid])
    await do("OpenPosition", "ETH", size="1", entry_price="1", pending=True)
    await do("CancelOpen", "ETH")
    await do("OpenPosition", "SOL", size="1", entry_price="1")
    await do("ClosePosition", "SOL", close_price="2")
    drift = (await client.call("RecordRun", run=a_run(1), findings=[a_finding()])).drifts[0].drift_id
    later = NOW + timedelta(hours=1)
    await client.call("RecordRun", run=a_run(2), findings=[a_finding("0.6", last_seen=stamp(later))])
    for status in ("ACKNOWLEDGED", "CONFIRMED"):
        await client.call("TransitionDrift", drift_id=drift, status=f"DRIFT_STATUS_{status}")
    soon = stamp(later.replace(year=2099))
    await client.call("TransitionDrift", drift_id=drift, status="DRIFT_STATUS_SNOOZED", snoozed_until=soon)
    await client.call("RecordRun", run=a_run(3), resolved_drift_ids=[drift])


def flips(column: str, value: Any) -> Iterator[Any]:
    """The value with a bit of one byte turned over: near its beginning, its middle and its end."""
    if isinstance(value, str):
        yield value + "x"
        places = {round(share * (len(value) - 1)) for share in ((0, 0.2, 0.5, 0.8, 1) if column == "body" else (0, 1))}
        for at in places if value else ():
            yield value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
    elif isinstance(value, int):
        yield from (value ^ (1 << bit) for bit in (8, 62))
    else:
        raw = value if isinstance(value, bytes) else value.bytes
        for place in (0, len(raw) // 2, len(raw) - 1):
            other = bytes(byte ^ (4 if at == place else 0) for at, byte in enumerate(raw))
            yield other if isinstance(value, bytes) else uuid.UUID(bytes=other)


COLUMNS = [column.name for column in tables.events.columns if column.name != "time"]


async def found(client: Client) -> tuple[int, int]:
    """The first broken link, and how many before it hold."""
    verdict = await client.call("VerifyHistory")
    assert verdict.intact == (not verdict.first_broken_revision) == (not verdict.problem)
    return verdict.first_broken_revision, verdict.events_checked


async def one_of_each_type(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    rows = await connection.fetch("SELECT DISTINCT ON (type) * FROM events ORDER BY type, revision")
    assert {row["type"] for row in rows} == {type_.value for type_ in EventType}
    return list(rows)


async def test_a_flipped_byte_is_found_in_every_column_of_every_type(client, connection):
    await every_type(client)
    flipped = 0
    for row in await one_of_each_type(connection):
        revision = row["revision"]
        for column in COLUMNS:
            for value in flips(column, row[column]):
                at = value if column == "revision" else revision
                await connection.execute(f"UPDATE events SET {column} = $1 WHERE revision = $2", value, revision)
                assert await found(client) == (revision, revision - 1), (row["type"], column, value)
                await connection.execute(f"UPDATE events SET {column} = $1 WHERE revision = $2", row[column], at)
                flipped += 1
    assert flipped > 500
    assert (await found(client))[0] == 0


async def test_a_flipped_byte_of_a_time_is_found(client, connection):
    """Also where it makes a year that Python cannot read."""
    await every_type(client)
    for row in await one_of_each_type(connection):
        revision, time = row["revision"], row["time"]
        for change in ("1 us", "16.777216 s", "20000 years", "-5000 years"):
            await connection.execute(
                f"UPDATE events SET time = time + interval '{change}' WHERE revision = $1", revision
            )
            assert await found(client) == (revision, revision - 1), (row["type"], change)
            await connection.execute("UPDATE events SET time = $1 WHERE revision = $2", time, revision)
        await connection.execute("UPDATE events SET time = 'infinity' WHERE revision = $1", revision)
        assert await found(client) == (revision, revision - 1)
        await connection.execute("UPDATE events SET time = $1 WHERE revision = $2", time, revision)
    assert (await found(client))[0] == 0


async def test_a_deleted_an_invented_and_two_swapped_events_are_found(client, connection):
    await every_type(client)
    rows = await connection.fetch("SELECT * FROM events ORDER BY revision")
    head = len(rows)
    for row in rows:
        revision = row["revision"]
        await connection.execute("DELETE FROM events WHERE revision = $1", revision)
        assert await found(client) == (revision, revision - 1)
        await insert(connection, row, revision)
    for revision in (head + 1, head + 1000, -1):
        await insert(connection, rows[-1], revision)
        assert await found(client) == (revision, head)
        await connection.execute("DELETE FROM events WHERE revision = $1", revision)
    for first, second in [(1, 2), (2, head), (head - 1, head), (3, 9)]:
        await swap(connection, first, second)
        assert await found(client) == (first, first - 1)
        await swap(connection, first, second)
    assert await found(client) == (0, head)


async def insert(connection: asyncpg.Connection, row: asyncpg.Record, revision: int) -> None:
    values = [revision, *list(row.values())[1:]]
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await connection.execute(f"INSERT INTO events VALUES ({places})", *values)


async def swap(connection: asyncpg.Connection, first: int, second: int) -> None:
    for old, new in ((first, -7), (second, first), (-7, second)):
        await connection.execute("UPDATE events SET revision = $1 WHERE revision = $2", new, old)
