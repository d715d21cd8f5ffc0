"""The database of the ledger, for those who copy it as a whole: found, opened, dumped, restored."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from position_service import embedded
from position_service.database import MIGRATION_LOCK, prepare, told
from position_service.embedded import EmbeddedPostgres, default_folder
from position_service.ledger.history import History, Verdict
from position_service.ledger.store import Store, patiently
from position_service.ledger.tables import metadata
from position_service.settings import PositionSettings
from trueup_cli.failures import UNREACHABLE, Failure
from trueup_cli.whole_file import replaced

_LEAVING_S = 3.0  # connections of a service that was just stopped
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""


class Head(NamedTuple):
    """Where a ledger stands; ``events`` is how many it keeps."""

    revision: int
    events: int


@asynccontextmanager
async def opened(db_path: Path | None, *, to_write: bool) -> AsyncIterator[str]:
    """The DSN of the service's database, started for as long as it is needed when it is embedded and does not run.

    ``to_write``: nobody else may have it, and a folder without one gets one. Raises Failure, StartupError.
    """
    settings = PositionSettings.load()
    if db_path is None and settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    folder = db_path or settings.db_path or default_folder()
    server = EmbeddedPostgres(folder)
    if not to_write:
        _must_exist(server, folder)
    await server.start()
    try:
        if to_write and not server.is_owner:
            raise Failure(f"a service is using {folder}: stop it first")
        yield server.dsn
    finally:
        # A service that has come to share it would lose it.
        if server.is_owner and not to_write and await _is_used(server.dsn):
            await server.leave()
        await server.stop()


def _must_exist(server: EmbeddedPostgres, folder: Path) -> None:
    try:
        found = server.exists
    except OSError as error:
        raise Failure(f"cannot look into {folder}: {error.strerror}; run it as the user of the service") from None
    if not found:
        raise Failure(f"there is no database in {folder}: set DB_PATH or DATABASE_URL, or say --db-path")


async def _is_used(dsn: str) -> bool:
    async with connected(dsn) as connection:
        return bool(await connection.fetchval(_OTHERS))


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection. Raises Failure, without the DSN: it may hold a password."""
    try:
        connection = await asyncpg.connect(dsn, timeout=30)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        says = f"cannot reach the database ({told(error)}): check DATABASE_URL or DB_PATH"
        raise Failure(says, UNREACHABLE) from None
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def head(connection: asyncpg.Connection) -> Head | None:
    """Where the ledger stands; None where there is none."""
    if await connection.fetchval("SELECT to_regclass('ledger_head') IS NULL OR to_regclass('events') IS NULL"):
        return None
    row = await connection.fetchrow("SELECT revision, (SELECT count(*) FROM events) FROM ledger_head")
    return Head(*row) if row else None


async def dump(dsn: str, file: Path) -> Head:
    """Write all of the database to a file that appears when it is complete; what the ledger was. Raises Failure."""
    async with connected(dsn) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        found = await head(connection)
        if found is None:
            raise Failure("there is no ledger in this database: start the Position service once")
        # pg_dump sees what this transaction sees, so the revision is exactly what is in the file.
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        with replaced(file) as draft:
            await _run(
                "pg_dump", dsn, "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}",
                f"--file={draft}",
            )  # fmt: skip
    return found


async def must_be_dump(file: Path) -> None:
    """Raises Failure unless a file is a dump of a ledger, as far as its table of contents tells."""
    contents = await _run("pg_restore", None, "--list", str(file))
    if " ledger_head " not in contents:
        raise Failure(f"{file} is no backup of a ledger")


async def restore(dsn: str, file: Path, *, replace: bool) -> tuple[Head, Verdict]:
    """Put a dump in the place of what is there, all or nothing; what the ledger is then, and whether it is intact.

    A dump of an earlier release is brought up to date.

    Raises Failure: the ledger is not empty and not to be replaced, or somebody uses it.
    """
    async with connected(dsn) as connection:
        # Services wait for this lock when they start: none comes in before all is done.
        await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        await _alone(connection)
        found = await head(connection)
        if found and found.revision and not replace:
            raise Failure(
                f"the ledger is not empty: {found.events} events up to revision {found.revision}. "
                "Back it up, then say --replace to put the backup in its place"
            )
        before = await _tables(connection)
        await _run(
            "pg_restore", dsn, "--clean", "--if-exists", "--no-owner", "--no-privileges", "--exit-on-error",
            "--single-transaction", str(file),
        )  # fmt: skip
        await _drop_newer(connection, before)
        restored = await head(connection)
        assert restored is not None, "the dump has the table"
        # The migrations take the lock themselves.
        await connection.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)
        await prepare(dsn, allow_unsafe=True)
        store = Store(dsn, statement_timeout_s=3600)
        await store.open()
        try:
            return restored, await History(store).verify()
        finally:
            await store.close()


async def _tables(connection: asyncpg.Connection) -> dict[str, int]:
    """The tables of the ledger that are there, and what tells each from another of its name."""
    rows = await connection.fetch(
        "SELECT name, to_regclass(name)::oid AS oid FROM unnest($1::text[]) AS name", list(metadata.tables)
    )
    return {row["name"]: row["oid"] for row in rows if row["oid"] is not None}


async def _drop_newer(connection: asyncpg.Connection, before: dict[str, int]) -> None:
    """Drop the tables that a restore left as they were: the dump is of a release that did not have them yet.

    Only afterwards: until the dump is in its place, all of what was there is kept.
    """
    left = sorted(before.items() & (await _tables(connection)).items())
    if left:
        await connection.execute(f"DROP TABLE {', '.join(name for name, _ in left)}")


async def _alone(connection: asyncpg.Connection) -> None:
    """Raises Failure while others are connected: a service would go on with what it has in memory."""
    others = 0
    async for _ in patiently(_LEAVING_S):
        if not (others := await connection.fetchval(_OTHERS)):
            return
    raise Failure(f"{others} other connections use the database: stop the services first")


async def _run(program: str, dsn: str | None, *options: str) -> str:
    """Run one of PostgreSQL's programs; its output. Raises Failure with what it complains of."""
    where, secret = _without_password(dsn) if dsn is not None else ("", {})
    process = await asyncio.create_subprocess_exec(
        str(embedded.binaries() / program),
        *options,
        *((f"--dbname={where}",) if where else ()),
        env=os.environ | {"LC_ALL": "C"} | secret,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us, who end it
    )
    try:
        output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines() or [f"ended with {process.returncode}"]
        raise Failure(f"{program} failed: {lines[0].removeprefix(f'{program}: ')}")
    return output.decode(errors="replace")


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """The DSN as it may stand in a command line, and the environment that carries the password."""
    parts = urlsplit(dsn)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    password = unquote(password) or dict(query).get("password", "")
    kept = urlencode([(key, value) for key, value in query if key != "password"])
    bare = urlunsplit((parts.scheme, f"{name}{at}{host}", parts.path, kept, parts.fragment))
    return bare, {"PGPASSWORD": password} if password else {}
