"""Fixtures: a real PostgreSQL for the session, a database for each test, the services in-process or as processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest

from grpckit.channel import connect
from position_service.app import PositionApp
from position_service.embedded import EmbeddedPostgres
from position_service.settings import PositionSettings
from reconciler_service.venues.budget import WeightBudget

ROOT = Path(__file__).parent.parent
# No test's verdict depends on how fast the machine is.
hypothesis.settings.register_profile("steady", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("steady")
# A shell that runs the tests in the background has SIGINT ignored, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Read here, at import: the variable is taken away before each test, like every other of ours.
RECORDED = Path(os.environ.get("TRUEUP_RECORDED") or ROOT.parent / "shared" / "recorded")


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Payloads that the venues really sent; they live beside the project, not in it."""
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded payloads at {RECORDED}")
    return RECORDED


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for an embedded PostgreSQL: its path short, because socket paths are; others may enter it."""
    folder = Path(tempfile.mkdtemp(prefix="tu-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # a server that was killed may still be leaving


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The DSN of a PostgreSQL of our own. Its database ``postgres`` is only for making others."""
    # Short, because socket paths are; under /tmp, because the server's user must be able to enter it.
    folder = Path(tempfile.mkdtemp(prefix="trueup-test-", dir="/tmp"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder, options=["-c max_connections=300", "-c autovacuum=off"])
    asyncio.run(server.start())
    yield server.dsn
    asyncio.run(server.stop())
    shutil.rmtree(folder)


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[str]:
    """The DSN of an empty database, gone after the test."""
    name = f"t{uuid.uuid4().hex}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {name}")
    yield postgres.replace("/postgres?", f"/{name}?")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


_ACCESS = ("AUTH", "INSECURE", "KEY_", "ROOT_KEY", "TLS_")
StartPosition = Callable[..., Awaitable["Running"]]


class Running:
    """A Position service in this process, and a channel to it."""

    def __init__(self, app: PositionApp, port: int) -> None:
        self.app = app
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.channel = connect(self.address)

    async def stop(self) -> None:
        await self.channel.close()
        await self.app.stop()


@pytest.fixture
async def start_position(database: str) -> AsyncIterator[StartPosition]:
    """Starts Position services on the test's database; as many as wanted. Settings are keyword arguments."""
    running: list[Running] = []

    async def start(**settings: object) -> Running:
        values = {"position_listen": "127.0.0.1:0", "database_url": database, "drain_grace": 1.0} | settings
        app = PositionApp(PositionSettings(**values))  # type: ignore[arg-type]
        service = Running(app, await app.start())
        running.append(service)
        return service

    yield start
    for service in running:
        await service.stop()


@pytest.fixture
async def position(start_position: StartPosition) -> Running:
    """One Position service on the test's database."""
    return await start_position()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not depend on what the developer's shell exports."""
    for name in list(os.environ):
        if name.startswith(
            ("HYPERLIQUID_", "COINBASE_", "DATABASE_", "HTTP_", "POSITION_", "RECONCILER_", "TRUEUP_", *_ACCESS)
        ):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets are shared by URL, and a port may be given out again: what one test spent is not another's."""
    monkeypatch.setattr(WeightBudget, "_shared", {})
