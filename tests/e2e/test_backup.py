"""Backup while everything runs, restore elsewhere: the ledger of that moment, whole, verified, and it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from trueup.position.v1 import position_service_pb2 as pb
from trueup.types.v1 import types_pb2

from grpckit.channel import connect
from position_service.embedded import EmbeddedPostgres
from tests.e2e.command_line import CommandLine
from tests.e2e.processes import environment
from tests.integration.test_migrations import HELD, first_release
from tests.position_client import Client, check_ledger, fill, stamp
from tests.service_process import ServiceProcess
from trueup_cli import client as cli_client


@pytest.fixture
def folder(short_folder: Path) -> Iterator[Path]:
    yield short_folder
    for pid in short_folder.glob("*/data/postmaster.pid"):  # of a test that failed half-way
        os.kill(int(pid.read_text().splitlines()[0]), signal.SIGQUIT)


@pytest.fixture
def cli(folder: Path) -> CommandLine:
    return CommandLine(environment(folder))


@asynccontextmanager
async def served(folder: Path, **settings: str) -> AsyncIterator[tuple[ServiceProcess, Client]]:
    process = ServiceProcess(folder, {"DRAIN_GRACE": "2"} | settings)
    try:
        async with connect(process.ready().address) as channel:
            yield process, Client(channel)
    finally:
        process.kill()


async def state(client: Client) -> dict[str, object]:
    """All that a client can see of the book."""
    every = [f"POSITION_STATUS_{name}" for name in ("OPEN", "REDUCED", "CLOSED")]
    return {
        "positions": (await client.call("ListPositions", statuses=every)).positions,
        "history": (await client.call("ListPositionHistory", page_size=1000)).events,
    }


async def test_a_backup_of_a_running_ledger_is_restored_and_trading_goes_on(folder: Path, cli: CommandLine):
    file, old, new = folder / "ledger.dump", folder / "old", folder / "new"
    async with served(folder, DB_PATH=str(old)) as (process, client):
        order = {"leverage": "5", "labels": {"desk": "a"}, "request_id": "order-1"}
        opened = await client.open("BTC", "0.5", "42000", **order)
        await client.fills(fill(1, "0.1", "42500"), fill(2, "-0.2", "43000"))
        await client.open("ETH", "4", "2250", side=types_pb2.SIDE_SHORT)
        await client.call("ClosePosition", symbol="ETH", close_price="2200")
        await client.call("UpdatePrices", prices=[pb.PriceUpdate(symbol="BTC", price="43100")])
        there, head = await state(client), (await client.call("ListPositions")).revision

        told = await asyncio.to_thread(cli.row, "backup", file, DB_PATH=str(old))
        assert (told["revision"], told["events"]) == (str(head), str(head))
        assert file.stat().st_size == told["bytes"]
        assert file.stat().st_mode & 0o077 == 0

        # It goes on meanwhile; none of this is in the file.
        await client.open("SOL", "10", "100")
        await client.call("ClosePosition", symbol="BTC", close_price="1")
        refused = await asyncio.to_thread(cli.refused, "restore", file, "--replace", DB_PATH=str(old))
        assert refused == f"a service is using {old}: stop it first"
        assert process.terminate() == 0

    refused = await asyncio.to_thread(cli.refused, "restore", file, "--db-path", str(old))
    assert refused.startswith(f"the ledger is not empty: {head + 2} events up to revision {head + 2}")
    restored = await asyncio.to_thread(cli.row, "restore", file, "--db-path", str(new))
    assert restored == {"revision": str(head), "events": str(head), "intact": True}

    async with served(folder, DB_PATH=str(new)) as (process, client):
        assert await state(client) == there
        assert (await client.call("ListPositions")).revision == head
        # What was answered before is answered again; fills that are known are not booked twice.
        assert await client.open("BTC", "0.5", "42000", **order) == opened
        assert (await client.fills(fill(1, "0.1", "42500"))).duplicates == 1
        # A follower that had seen more goes on with a snapshot of what is true now.
        async with cli_client.Client(process.address) as follower:
            seen = pb.WatchPositionsRequest(after_revision=head + 2)
            async with aclosing(follower.follow_positions(seen)) as stream, asyncio.timeout(30):
                first = await anext(stream)
            assert first.phase == types_pb2.STREAM_PHASE_SNAPSHOT
            assert [position.symbol for position in first.positions] == ["BTC"]
        closed = (await client.call("ClosePosition", symbol="BTC", close_price="42100")).position
        assert (closed.status, closed.size) == (5, "0")
        assert await check_ledger(EmbeddedPostgres(new).dsn, client) == head + 1
        assert process.terminate() == 0

    # At rest it is backed up as well, and replaces what is there when that is spelled out.
    told = await asyncio.to_thread(cli.table, "backup", file, "--db-path", str(new))
    assert f"{head + 1} events up to revision {head + 1}" in told
    assert not EmbeddedPostgres(new).answers()
    told = await asyncio.to_thread(cli.table, "restore", file, "--db-path", str(old), "--replace")
    assert told == f"restored: {head + 1} events up to revision {head + 1}, the history is intact\n"
    assert not EmbeddedPostgres(old).answers()


@pytest.fixture
async def databases(postgres: str) -> AsyncIterator[tuple[str, str]]:
    """Two empty databases of a server somewhere."""
    names = [f"backup{number}_{os.getpid()}" for number in (1, 2)]
    admin = await asyncpg.connect(postgres)
    for name in names:
        await admin.execute(f"CREATE DATABASE {name}")
    yield tuple(postgres.replace("/postgres?", f"/{name}?") for name in names)
    for name in names:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_any_postgresql_by_its_url(folder: Path, cli: CommandLine, databases: tuple[str, str]):
    (here, there), file = databases, folder / "ledger.dump"
    refused = await asyncio.to_thread(cli.refused, "backup", file, DATABASE_URL=here)
    assert refused.startswith("there is no ledger in this database")
    assert not file.exists()
    async with served(folder, DATABASE_URL=here) as (_, client):
        await client.open("BTC", "0.5", "42000")
        await asyncio.to_thread(cli.row, "backup", file, DATABASE_URL=here)
        refused = await asyncio.to_thread(cli.refused, "restore", file, "--replace", DATABASE_URL=here)
        assert "other connections use the database: stop the services first" in refused
        before = (await client.call("ListPositions")).positions
    # A database whose tables are made and empty is as good as a new one.
    async with served(folder, DATABASE_URL=there) as (process, client):
        assert process.terminate() == 0
    assert (await asyncio.to_thread(cli.row, "restore", file, DATABASE_URL=there))["intact"] is True
    async with served(folder, DATABASE_URL=there) as (_, client):
        assert (await client.call("ListPositions")).positions == before


async def test_a_backup_of_an_earlier_release_takes_the_place_of_a_newer_ledger(
    folder: Path, cli: CommandLine, databases: tuple[str, str]
):
    (here, there), file = databases, folder / "ledger.dump"
    await first_release(here)
    await asyncio.to_thread(cli.row, "backup", file, DATABASE_URL=here)
    paid = pb.FundingPayment(symbol="BTC", payment_id="p1", amount="-1.5", paid_at=stamp(datetime.now(UTC)))
    async with served(folder, DATABASE_URL=there) as (process, client):
        await client.fills(fill(1, "2"), funding=[paid])
        assert process.terminate() == 0
    told = await asyncio.to_thread(cli.row, "restore", file, "--replace", DATABASE_URL=there)
    assert told == {"revision": "2", "events": "2", "intact": True}
    async with served(folder, DATABASE_URL=there) as (_, client):
        (held,) = (await client.call("ListPositions")).positions
        assert (held.position_id, held.size, held.funding) == (str(HELD), "1", "0")
        # Nothing that was paid in the other ledger is known in this one.
        assert (await client.fills(funding=[paid])).funding_applied == 1
        assert await check_ledger(there, client) == 3


async def test_a_history_that_was_edited_is_named_and_a_restore_is_all_or_nothing(
    folder: Path, cli: CommandLine, databases: tuple[str, str]
):
    (here, there), file = databases, folder / "ledger.dump"
    async with served(folder, DATABASE_URL=here) as (process, client):
        for symbol in ("A", "B", "C"):
            await client.open(symbol)
        assert process.terminate() == 0
    connection = await asyncpg.connect(here)
    await connection.execute("UPDATE events SET reason = 'nothing to see' WHERE revision = 2")
    await connection.close()
    await asyncio.to_thread(cli.row, "backup", file, DATABASE_URL=here)

    damaged = folder / "damaged.dump"
    damaged.write_bytes(file.read_bytes()[: -(file.stat().st_size // 3)])
    refused = await asyncio.to_thread(cli.refused, "restore", damaged, DATABASE_URL=there)
    assert "pg_restore failed" in refused
    connection = await asyncpg.connect(there)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.close()

    told = await asyncio.to_thread(cli.refused, "restore", file, DATABASE_URL=there)
    assert told.startswith("restored, but its history is BROKEN at revision 2: its hash does not match")


def test_what_is_no_backup_and_no_database_is_said(folder: Path, cli: CommandLine):
    other = folder / "other.txt"
    other.write_text("something else")
    assert "pg_restore failed" in cli.refused("restore", other, "--db-path", str(folder / "db"))
    assert "No such file or directory" in cli.refused("restore", folder / "none.dump", "--db-path", str(folder / "db"))
    assert not (folder / "db").exists()
    told = cli.refused("backup", folder / "x.dump", "--db-path", str(folder / "none"))
    assert told.startswith(f"there is no database in {folder / 'none'}")
    secret = "postgresql://u:hunter2@127.0.0.1:9/x"
    assert "hunter2" not in cli.refused("backup", folder / "x.dump", code=3, DATABASE_URL=secret)
