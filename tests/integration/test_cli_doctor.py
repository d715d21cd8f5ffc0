"""What `trueup doctor` says of services that do not answer where they are called, and of settings that are not theirs."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc
import pytest

from grpckit.listen import Listen
from position_service.settings import PositionSettings
from reconciler_service.app import ReconcilerApp
from reconciler_service.settings import ReconcilerSettings
from tests.database_proxy import proxied
from tests.position_client import eventually
from trueup_cli import checks_access
from trueup_cli.checks import Finding, Level
from trueup_cli.checks_services import POSITION, RECONCILER, _is_at, service
from trueup_cli.doctor import _findings
from trueup_cli.session import Session

NOBODY = "127.0.0.1:9"


async def test_one_that_is_where_it_would_listen_is_named_and_its_port_no_problem(position):
    found = await service(POSITION, NOBODY, position.address)
    assert found.level is Level.PROBLEM
    assert found.says == f"nothing answers at {NOBODY}; one is at {position.address}"
    assert found.todo == "set POSITION_ADDRESS to that"
    other = await service(RECONCILER, NOBODY, position.address)
    assert (other.says, other.todo[-22:]) == (f"nothing answers at {NOBODY}", "set RECONCILER_ADDRESS")


async def test_a_port_that_somebody_else_holds_is_said_to_be_taken_where_it_is_called():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await service(POSITION, address, address)
        assert found.says == f"nothing answers at {address}; it could not listen on {address}"
        assert found.todo.startswith("the port is taken: stop the process that holds it")
        elsewhere = await service(POSITION, NOBODY, address)
        assert elsewhere.says == f"nothing answers at {NOBODY}"


async def test_the_other_service_is_not_taken_for_it(position):
    found = await service(RECONCILER, position.address, position.address)
    assert (found.level, found.says) == (Level.PROBLEM, f"what answers at {position.address} is not it")


async def test_who_knows_of_no_health_may_be_a_proxy():
    server = grpc.aio.server()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    found = await service(POSITION, address, NOBODY)
    await server.stop(None)
    assert (found.level, found.says) == (Level.PROBLEM, f"what answers at {address} is not it")
    assert found.todo.endswith("or call it directly: a proxy may let no health check through")


async def test_one_whose_database_is_away_does_not_serve(database, start_position, monkeypatch):
    monkeypatch.setattr("position_service.ledger.ledger.REACHABLE_S", 1.0)
    async with proxied(database) as proxy:
        running = await start_position(database_url=proxy.dsn)

        async def found() -> Finding:
            return await service(POSITION, running.address, running.address)

        async def is_(level: Level) -> bool:
            return (await found()).level is level

        await eventually(partial(is_, Level.OK))
        proxy.is_open.clear()
        proxy.drop_all()
        await eventually(partial(is_, Level.PROBLEM))
        assert (await found()).says == f"at {running.address} is not serving"
        todo = "it starts or drains, or misses what it depends on: its database; look again, then its log"
        assert (await found()).todo == todo
        proxy.is_open.set()


async def test_a_reconciler_without_a_book_is_asked_what_it_misses(database, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database)
    app = ReconcilerApp(ReconcilerSettings(position_address=NOBODY, reconciler_listen="127.0.0.1:0"), [])
    address = f"127.0.0.1:{await app.start()}"
    try:
        async with Session(NOBODY, address, is_json=True) as session:
            found = {finding.what: finding async for finding in _findings(session)}
    finally:
        await app.stop()
    assert found["Reconciler"].says == f"at {address} is not serving"
    assert "misses what it depends on: its Position service" in found["Reconciler"].todo
    assert found["reconciler -> book"].todo == "set its POSITION_ADDRESS"


async def test_one_that_answers_says_how_it_was_called(position):
    assert (await service(POSITION, position.address, NOBODY)).says == f"serves at {position.address}, without TLS"


@pytest.mark.parametrize(
    ("address", "listen", "is_at"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051", True),
        ("localhost:50051", "127.0.0.1:50051", True),
        ("127.0.0.1:50051", "0.0.0.0:50051", True),
        ("10.0.0.5:50051", "10.0.0.5:50051", True),
        ("10.0.0.5:50051", "0.0.0.0:50051", False),
        ("127.0.0.1:50051", "10.0.0.5:50051", False),
        ("127.0.0.1:50052", "127.0.0.1:50051", False),
        ("unix:/run/trueup", "unix:/run/trueup", True),
        ("unix:/run/trueup", "127.0.0.1:50051", False),
    ],
)
def test_which_address_is_that_of_who_listens_here(address: str, listen: str, is_at: bool):
    assert _is_at(address, Listen.parse(listen)) is is_at


def test_settings_are_told_as_those_of_here_not_of_what_runs():
    (found,) = checks_access.settings(PositionSettings(), "Position service", "127.0.0.1:1")
    assert found.says == "no keys, no TLS, on 127.0.0.1:1: if it is started with the settings here"
    (found,) = checks_access.settings(PositionSettings(), "Position service", "0.0.0.0:1")
    assert found.level is Level.PROBLEM
    assert found.says.startswith(
        "with the settings here it would not start: refusing to listen on 0.0.0.0:1 without TLS"
    )
