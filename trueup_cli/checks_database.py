"""What `trueup doctor` looks at in the database; nothing is started, made or changed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from position_service.database import newest_migration
from position_service.embedded import EmbeddedPostgres, default_folder
from position_service.settings import PositionSettings
from trueup_cli import checks, dump
from trueup_cli.checks import Finding, Level
from trueup_cli.failures import Failure

_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


async def database(settings: PositionSettings, *, serving: bool) -> AsyncIterator[Finding]:
    """Whether the database is there, durable, migrated, and on time. ``serving``: a Position service uses some."""
    if settings.database_url is not None:
        where, dsn = "the database of DATABASE_URL", settings.database_url.get_secret_value()
    else:
        folder = settings.db_path or default_folder()
        server = EmbeddedPostgres(folder)
        where, dsn = f"the embedded PostgreSQL in {folder}", server.dsn
        finding = _at_rest(folder, server, serving=serving)
        if finding is not None:
            yield finding
            return
    try:
        async with dump.connected(dsn) as connection:
            yield Finding(Level.OK, "database", f"{where} answers")
            async for finding in _inside(connection, allowed=settings.allow_unsafe_database):
                yield finding
    except (Failure, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        says = str(error) if isinstance(error, Failure) else f"{where} fails ({type(error).__name__})"
        yield Finding(Level.PROBLEM, "database", says, "start it, or set DATABASE_URL; empty: the embedded one")


def _at_rest(folder: Path, server: EmbeddedPostgres, *, serving: bool) -> Finding | None:
    """What is to be said of an embedded database that does not run; None when it does."""
    try:
        if server.exists and server.answers():
            return None
        exists = server.exists
    except OSError as error:
        todo = "run doctor as the user of the service"
        return Finding(Level.WARNING, "database", f"cannot look into {folder}: {error.strerror}", todo)
    if serving:
        todo = "set DB_PATH or DATABASE_URL as the service has it, and it is looked into"
        return Finding(Level.OK, "database", f"the service that runs has one elsewhere than in {folder}", todo)
    if exists:
        return Finding(Level.OK, "database", f"there is one in {folder}; it starts with the Position service")
    above = checks.folder(folder)
    if os.access(above, os.W_OK | os.X_OK):
        return Finding(Level.OK, "database", f"none in {folder} yet: the Position service makes it")
    return Finding(Level.PROBLEM, "database", f"{above} cannot be written to", "set DB_PATH to a folder that can")


async def _inside(connection: asyncpg.Connection, *, allowed: bool) -> AsyncIterator[Finding]:
    off = [name for name in _DURABLE if await connection.fetchval(f"SHOW {name}") == "off"]
    if not off:
        yield Finding(Level.OK, "durability", "commits are durable")
    else:
        level = Level.WARNING if allowed else Level.PROBLEM
        says = f"{', '.join(off)} is off: acknowledged changes could be lost"
        yield Finding(level, "durability", says, "turn it on; the Position service refuses to start")
    yield await _schema(connection)
    began = datetime.now(UTC)
    theirs = await connection.fetchval("SELECT clock_timestamp()")
    yield checks.clock("clock of the database", theirs, began, datetime.now(UTC))


async def _schema(connection: asyncpg.Connection) -> Finding:
    """Whether the tables are those of this version."""
    newest = newest_migration()
    found = None
    if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    ledger = await dump.head(connection)
    if found is None or ledger is None:
        return Finding(Level.WARNING, "schema", "there are no tables yet", "the Position service makes them")
    says = f"migration {found}; {ledger.events} events up to revision {ledger.revision}"
    if found != newest:
        return Finding(Level.WARNING, "schema", f"{says}; this version has {newest}", "restart the Position service")
    return Finding(Level.OK, "schema", says)
