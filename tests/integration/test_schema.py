"""The schema: what the migrations make is what the code expects, and it refuses what is no amount."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from grpckit.errors import StartupError
from position_service import database as db
from position_service.embedded import EmbeddedPostgres
from position_service.ledger import codec, tables
from tests.position_samples import position

# Which columns hold amounts, and whether a negative one is an amount too.
AMOUNTS = {
    ("positions", "size"): False,
    ("positions", "cost"): True,
    ("positions", "leverage"): False,
    ("positions", "liquidation_price"): False,
    ("positions", "realized"): True,
    ("positions", "peak"): False,
    ("positions", "estimated"): True,
    ("positions", "final_entry"): False,
    ("positions", "funding"): True,
    ("marks", "price"): False,
    ("liquidation_prices", "size"): False,
    ("liquidation_prices", "price"): False,
}


@pytest.fixture
async def connection(database) -> AsyncIterator[asyncpg.Connection]:
    await db.prepare(database)
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_migrations_and_tables_agree(database):
    await db.prepare(database)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(database))
    try:
        async with engine.connect() as connection:
            differences = await connection.run_sync(
                lambda sync: compare_metadata(
                    MigrationContext.configure(sync, opts={"compare_type": True, "compare_server_default": True}),
                    tables.metadata,
                )
            )
            partial = await connection.execute(
                sa.text("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '% WHERE %' ORDER BY 1")
            )
    finally:
        await engine.dispose()
    assert [d for d in differences if "alembic_version" not in str(d)] == []
    assert {name: text.split(" WHERE ")[1] for name, text in partial} == {
        "events_openings": "(type = ANY (ARRAY['position.opened'::text, 'position.opening'::text]))",
        "one_live_key_name": "(revoked_at IS NULL)",
        "one_live_position": "(closed_at IS NULL)",
        "one_open_drift": "(status <> 'RESOLVED'::text)",
        "positions_ended": "(closed_at IS NOT NULL)",
        "positions_owing": "(estimates <> '[]'::text)",
    }


async def test_migrating_twice_and_at_once_is_harmless(database):
    await asyncio.gather(*(db.prepare(database) for _ in range(4)))
    await db.prepare(database)


async def insert_position(connection, **values):
    row = dict(zip([c.name for c in tables.positions.columns], codec.position_row(position(revision=1)), strict=True))
    row |= values
    # As text, because NaN and Infinity cannot be bound to NUMERIC(38,18) by every driver, but can be by others.
    casts = {c.name: c.type.compile(db_dialect()) for c in tables.positions.columns}
    holes = ", ".join(f"${i}::text::{casts[name]}" for i, name in enumerate(row, 1))
    texts = [None if v is None else str(v) for v in row.values()]
    await connection.execute(f"INSERT INTO positions ({', '.join(row)}) VALUES ({holes})", *texts)


def db_dialect():
    from sqlalchemy.dialects import postgresql

    return postgresql.dialect()


async def insert(connection, table, **values):
    if table == "positions":
        await insert_position(connection, **values)
    elif table == "liquidation_prices":
        size, price = values.get("size", "1"), values.get("price", "1")
        await connection.execute(
            "INSERT INTO liquidation_prices VALUES (gen_random_uuid(), 'LONG', $1::text::numeric(38,18),"
            " $2::text::numeric(38,18), now(), 1)",
            str(size),
            str(price),
        )
    else:
        await connection.execute(
            "INSERT INTO marks VALUES ('v', 's', $1::text::numeric(38,18), now(), 1)", str(values["price"])
        )


async def test_the_row_the_others_are_variations_of_is_accepted(connection):
    await insert(connection, "positions")
    await insert(connection, "marks", price="1")
    await insert(connection, "liquidation_prices")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "-0.000000000000000001", "1e61"])
@pytest.mark.parametrize(("table", "column"), AMOUNTS)
async def test_no_column_takes_what_is_no_amount(connection, table, column, value):
    if value.startswith("-0") and AMOUNTS[table, column]:
        pytest.skip("may be negative")
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError)):
        await insert(connection, table, **{column: value})


def test_every_numeric_column_is_tested_above():
    numeric = {
        (t.name, c.name) for t in tables.metadata.tables.values() for c in t.columns if isinstance(c.type, sa.Numeric)
    }
    assert numeric == set(AMOUNTS)


@pytest.mark.parametrize(
    "values",
    [
        {"status": "CLOSED"},  # without an end
        {"size": 0},  # live
        {"status": "CLOSED", "closed_at": "2026-01-01", "size": 0, "cost": 1},
        {"returns_to": "OPEN"},
        {"status": "CLOSING"},
        {"side": "BOTH"},
        {"status": "GONE"},
        {"symbol": ""},
        {"leverage": 0},
    ],
)
async def test_what_the_domain_never_does_the_schema_refuses(connection, values):
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(connection, "positions", **values)


async def test_one_live_position_a_key(connection):
    await insert(connection, "positions")
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(connection, "positions", position_id="00000000-0000-0000-0000-000000000008")


async def test_a_head_is_one_row(connection):
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("INSERT INTO ledger_head SELECT 2, revision, tick, time, hash FROM ledger_head")


async def test_a_session_that_may_lose_commits_is_refused(database):
    unsafe = f"{database}&options=-csynchronous_commit%3Doff"
    with pytest.raises(StartupError, match="synchronous_commit=off"):
        await db.prepare(unsafe)
    await db.prepare(unsafe, allow_unsafe=True)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_may_lose_commits_is_refused(setting, short_folder):
    server = EmbeddedPostgres(short_folder, options=[f"-c {setting}=off"])
    await server.start()
    try:
        with pytest.raises(StartupError, match=f"{setting}=off"):
            await db.prepare(server.dsn)
    finally:
        await server.stop()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://nobody:hunter2@127.0.0.1:1/none",
        "postgresql://user:hunter2@host.invalid/none",
        "mysql://user:hunter2@localhost/none",
        "hunter2",
        "postgresql://user:hunter2@localhost:port/none",
    ],
)
async def test_a_database_that_cannot_be_reached_is_one_line_without_the_password(dsn):
    with pytest.raises(StartupError) as refused:
        await db.prepare(dsn)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


async def test_a_database_that_does_not_exist_is_one_line(postgres):
    with pytest.raises(StartupError, match="InvalidCatalogNameError"):
        await db.prepare(postgres.replace("/postgres?", "/missing?"))


async def test_parameters_of_a_libpq_address_are_understood(database):
    await db.prepare(f"{database}&sslmode=prefer&application_name=trueup")


def test_the_newest_version_is_what_the_migrations_lead_to():
    config = Config()
    config.set_main_option("script_location", str(db.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == db.newest_migration()


def test_starting_does_not_load_what_only_migrations_and_http_need():
    check = "import position_service.app, sys; print(sorted({'alembic', 'aiohttp'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
