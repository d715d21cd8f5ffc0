"""Getting to a database that can be trusted: durability settings checked, migrations run."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import structlog

from grpckit.run import StartupError
from position_service.ledger.store import patiently

MIGRATIONS = Path(__file__).parent / "migrations"
# Any fixed number: replicas that start together take turns at the migrations.
MIGRATION_LOCK = 7418529630
_START_S = 30.0

log = structlog.get_logger()


async def prepare(dsn: str, *, allow_unsafe: bool = False) -> None:
    """Check that commits are durable and bring the schema up to date.

    Raises StartupError when the database cannot be reached, or loses commits and ``allow_unsafe`` is not set.
    """
    connection = await connect(dsn)
    try:
        if not allow_unsafe:
            await _require_durable(connection)
        version = await _version(connection)
        # A schema of a later release, while it is rolled out or was rolled back: migrations only add before the release
        # after the next, so this one can go on with it.
        is_current = version is not None and version >= newest_migration()
        if version is not None and version > newest_migration():
            log.warning("the schema is of a later release", schema=version, known=newest_migration())
    finally:
        await connection.close()
    if not is_current:
        # Imported only here: at every other start, its libraries would take longer than all the rest.
        from position_service.migrate import migrate  # noqa: PLC0415

        await migrate(dsn)


def newest_migration() -> str:
    """The migration that the schema of this version is at: they are numbered."""
    return max(file.name for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))[:4]


async def connect(dsn: str) -> asyncpg.Connection:
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
    raise StartupError(
        f"cannot reach the database ({told(problem)}): check DATABASE_URL, or leave it empty for the embedded PostgreSQL"
    ) from problem


def told(problem: Exception | None) -> str:
    """What a driver's error may say. Its message may carry the URL, and the URL a password: only one is known not to."""
    name = type(problem).__name__
    if problem is not None and str(problem).startswith("root certificate file "):
        return f"{name}: {problem.args[0]}"  # a file of the home folder: sslmode=verify-full without sslrootcert
    return name


async def _require_durable(connection: asyncpg.Connection) -> None:
    """A server that may lose an acknowledged commit would make every promise of this service a lie."""
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        if await connection.fetchval(f"SHOW {setting}") == "off":
            raise StartupError(
                f"PostgreSQL runs with {setting}=off: acknowledged changes could be lost. "
                f"Turn it on, or set ALLOW_UNSAFE_DATABASE=true if losing data is fine."
            )


async def _version(connection: asyncpg.Connection) -> str | None:
    """The schema's version; None when there is none, or none of ours."""
    try:
        version: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return version
