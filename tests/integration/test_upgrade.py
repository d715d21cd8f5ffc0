"""Old and new side by side: a release writes, and starts, on the schema that the next one has expanded."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import asyncpg
import structlog

from position_service.database import MIGRATIONS, newest_migration
from tests.position_client import Client, check_ledger

# What a later release may do to tables that are in use: add, with defaults.
EXPANDED = """
ALTER TABLE positions ADD COLUMN later text NOT NULL DEFAULT 'x';
ALTER TABLE events ADD COLUMN later text;
ALTER TABLE requests ADD COLUMN later numeric NOT NULL DEFAULT 0;
ALTER TABLE fills ADD COLUMN later text NOT NULL DEFAULT '';
CREATE TABLE later_things (id bigint PRIMARY KEY);
UPDATE alembic_version SET version_num = '9999';
"""


async def test_a_release_runs_and_starts_on_the_schema_of_the_next(start_position: Any, database: str) -> None:
    running = await start_position()
    client = Client(running.channel)
    await client.open("BEFORE", request_id="r1")
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == newest_migration()
    await connection.execute(EXPANDED)

    await client.open("WHILE", request_id="r2")  # it was running when the next release began
    with structlog.testing.capture_logs() as logs:
        again = Client((await start_position()).channel)  # it was restarted, or rolled back to
    (line,) = (one for one in logs if one["event"] == "the schema is of a later release")
    assert (line["schema"], line["known"]) == ("9999", newest_migration())
    await again.open("AFTER", request_id="r3")
    for one in (client, again):
        listed = await one.call("ListPositions")
        assert [held.symbol for held in listed.positions] == ["BEFORE", "WHILE", "AFTER"]
        assert (await one.open("WHILE", request_id="r2")).symbol == "WHILE", "repeated, not done again"
    assert await check_ledger(database, again) == 3
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999", "left as it was"
    await connection.close()


def test_migrations_follow_each_other_by_their_numbers() -> None:
    told = {}
    for file in sorted((MIGRATIONS / "versions").glob("[0-9]*.py")):
        text = file.read_text()
        revision, before = (
            re.search(rf"^{name} = (.*)$", text, re.MULTILINE) for name in ("revision", "down_revision")
        )
        assert revision is not None, file
        assert before is not None, file
        assert revision[1] == f'"{file.name[:4]}"', file
        assert revision[1] not in told, f"{file.name}: that number is taken by {told[revision[1]]}"
        assert before[1] == (list(told)[-1] if told else "None"), file
        told[revision[1]] = file.name


async def test_processes_that_start_together_migrate_once(start_position: Any, database: str) -> None:
    """An empty database and three processes: one makes the schema, the others wait for it."""
    services = await asyncio.gather(*(start_position() for _ in range(3)))
    for number, service in enumerate(services):
        await Client(service.channel).open(f"S{number}")
    assert await check_ledger(database) == 3
