"""A database of the first release: read as it is, its hashes unchanged, and both releases may write."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

import position_service
from position_service.ledger import chain
from tests.position_client import Client, check_ledger, fill

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HELD = UUID(int=7)
COLUMNS = (
    "position_id, account, venue, symbol, asset, product, side, size, cost, status, leverage, margin_mode,"
    " liquidation_price, realized, peak, opened_at, updated_at, revision, closed_at, deadline, returns_to, at_risk,"
    " other_fees, labels, estimated, final_entry"
)


def body(size: str, realized: str, estimated: str, revision: int) -> str:
    """The body of an event as the first release wrote it."""
    return (
        '{"after":{"account":"main","asset":"BTC/USD","at_risk":false,"closed_at":null,"cost":"100","deadline":null,'
        f'"estimated":"{estimated}","final_entry":"0","labels":[],"leverage":"1","liquidation_price":null,'
        '"margin_mode":null,"opened_at":"2026-03-01T12:00:00+00:00","other_fees":[["HYPE","2"]],"peak":"2",'
        f'"position_id":"{HELD}","product":"PERPETUAL","realized":"{realized}","returns_to":null,'
        f'"revision":{revision},"side":"LONG","size":"{size}","status":"OPEN","symbol":"BTC",'
        '"updated_at":"2026-03-01T12:00:00+00:00","venue":"hyperliquid"},"trade":{"executed_at":null,"fee":["0",""],'
        '"fill_id":"","price":"110","realized":"10","size":"1"}}'
    )


async def first_release(dsn: str) -> None:
    """The schema of the first release, with a position that an estimated correction has halved."""
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))
    async with engine.begin() as connection:
        await connection.run_sync(_to_the_first)
    await engine.dispose()
    connection = await asyncpg.connect(dsn)
    hash_ = chain.GENESIS
    for revision, type_, text in (
        (1, "position.opened", body("2", "0", "0", 1)),
        (2, "position.adjusted", body("1", "10", "10", 2)),
    ):
        columns = (revision, revision, AT, type_, "main", HELD, "who", "id", "why", text)
        hash_ = chain.link(hash_, *columns)
        await connection.execute("INSERT INTO events VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)", *columns, hash_)
    await connection.execute("UPDATE ledger_head SET revision = 2, time = $1, hash = $2", AT, hash_)
    await insert(connection, HELD, "BTC", estimated=10)
    await connection.close()


def _to_the_first(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(position_service.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


async def insert(connection: asyncpg.Connection, position_id: UUID, symbol: str, estimated: int = 0) -> None:
    """A row as the first release writes it."""
    await connection.execute(
        f"INSERT INTO positions ({COLUMNS}) VALUES ($1, 'main', 'hyperliquid', $2, 'BTC/USD', 'PERPETUAL', 'LONG',"
        " 1, 100, 'OPEN', 1, NULL, NULL, 10, 2, $3, $3, 2, NULL, NULL, NULL, false, '[[\"HYPE\",\"2\"]]', '[]', $4, 0)",
        position_id,
        symbol,
        AT,
        estimated,
    )


async def test_a_database_of_the_first_release_lives_on(database, start_position):
    await first_release(database)
    client = Client((await start_position()).channel)
    held = (await client.call("GetPosition", symbol="BTC")).position
    assert (held.position_id, held.size, held.realized_pnl, held.estimated_pnl) == (str(HELD), "1", "10", "10")
    assert (held.funding, list(held.estimates), held.other_fees[0].amount) == ("0", [], "2")
    assert await check_ledger(database, client) == 2
    # What was estimated before estimates were kept stays as it is: nothing is known of it that a fill could restate.
    adjust = {"symbol": "BTC", "reason_code": "X", "size": "0", "close_price": "120", "estimated": True}
    assert (await client.call("AdjustPosition", **adjust)).position.estimated_pnl == "30"
    answer = await client.fills(fill(1, "-1", "90"))
    assert (answer.restated, answer.positions[0].realized_pnl, answer.positions[0].estimated_pnl) == (1, "0", "10")
    assert await check_ledger(database, client) == 5


async def test_rows_of_the_first_release_fit_beside_the_new_ones(database, start_position):
    await first_release(database)
    client = Client((await start_position()).channel)
    connection = await asyncpg.connect(database)
    await insert(connection, UUID(int=8), "ETH")
    row = await connection.fetchrow("SELECT funding, other_funding, estimates FROM positions WHERE symbol = 'ETH'")
    assert tuple(row) == (0, "[]", "[]")
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(connection, UUID(int=9), "ETH")
    await connection.close()
    assert (await client.call("GetPosition", symbol="BTC")).position.size == "1"
