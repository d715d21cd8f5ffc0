"""Brings the schema up to date. Apart from the rest, because at nearly every start there is nothing to do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

from position_service.database import MIGRATION_LOCK, MIGRATIONS, connect


async def migrate(dsn: str) -> None:
    """Run the migrations that are left, in one transaction. Raises StartupError when the database cannot be reached."""
    # asyncpg reads the address here as everywhere else: SQLAlchemy does not know sslmode and its like.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(dsn), poolclass=sa.NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
