"""Getting to a database that can be trusted: durability settings checked, migrations run."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from grpckit.run import StartupError
from position_service.ledger.store import patiently

# Any fixed number: replicas that start together take turns at the migrations.
MIGRATION_LOCK = 7418529630
_START_S = 30.0


async def prepare(dsn: str, *, allow_unsafe: bool = False) -> None:
    """Check that commits are durable and bring the schema up to date.

    Raises StartupError when the database cannot be reached, or loses commits and ``allow_unsafe`` is not set.
    """
    # asyncpg reads the address here as everywhere else: SQLAlchemy does not know sslmode and its like.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connect(dsn), poolclass=sa.NullPool)
    try:
        async with engine.begin() as connection:
            if not allow_unsafe:
                await _require_durable(connection)
            await connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


async def _connect(dsn: str) -> asyncpg.Connection:
    """Connect, with patience for a server that is starting or recovering. Raises StartupError."""
    problem: Exception | None = None
    try:
        async for _ in patiently(_START_S):
            try:
                return await asyncpg.connect(dsn)
            except asyncpg.CannotConnectNowError as error:
                problem = error
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        problem = error
    # The message of a driver may carry the URL, and the URL a password.
    raise StartupError(
        f"cannot reach the database ({type(problem).__name__}): check DATABASE_URL, or leave it empty for the "
        "embedded PostgreSQL"
    ) from problem


async def _require_durable(connection: AsyncConnection) -> None:
    """A server that may lose an acknowledged commit would make every promise of this service a lie."""
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        value = (await connection.execute(sa.text(f"SHOW {setting}"))).scalar_one()
        if value == "off":
            raise StartupError(
                f"PostgreSQL runs with {setting}=off: acknowledged changes could be lost. "
                f"Turn it on, or set ALLOW_UNSAFE_DATABASE=true if losing data is fine."
            )


def newest_migration() -> str:
    """The migration that the schema of this version is at."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None, "there is one"
    return newest


def _migrate(connection: sa.Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
