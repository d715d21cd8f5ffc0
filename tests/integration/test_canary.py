"""Canaries: secrets that go through bad venue answers, refused logins, a lost database and defects, and that must come
out nowhere: not in a log, an error, an answer, a metric or a repr.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog
from prometheus_client import generate_latest
from trueup.reconciler.v1 import reconciler_service_pb2 as pb

from grpckit import log
from grpckit.channel import connect
from grpckit.errors import RpcError
from position_service.errors import translate
from position_service.reads import Reads
from reconciler_service.app import ReconcilerApp
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.coinbase import scenario, server
from reconciler_service.simulator.coinbase.gate import ApiKey
from reconciler_service.simulator.faults import Kind
from reconciler_service.tables import Account
from tests.access_matrix import RECONCILER, answer, request_of
from tests.coinbase_samples import EC, KEY_NAME, SEC1
from tests.integration.test_access_keys import made, using
from tests.integration.test_access_reconciler import MAY_DO_ALL
from tests.position_client import Client, eventually

PEPPER, ROOT, PASSWORD = (f"canary-{name}-" + name[0] * 40 for name in ("pepper", "root", "password"))
VENUE_KEY = [line for line in SEC1.splitlines() if not line.startswith("-----")]
METHODS = {method.name: method for service in RECONCILER for method in service.methods}
FAULTS = (
    Kind.HTTP_401,
    Kind.HTTP_403,
    Kind.HTTP_429,
    Kind.HTTP_502,
    Kind.TRUNCATED,
    Kind.RESET,
    Kind.REDIRECT,
    Kind.NAN,
    Kind.EMPTY,
)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that is logged, libraries included."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    log.configure("DEBUG", "json", stream)
    logging.root.setLevel(logging.DEBUG)
    yield stream
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


class Told:
    """What was said, wherever; and what must not be in it."""

    def __init__(self, logged: io.StringIO) -> None:
        self._logged = logged
        self._said: list[str] = []
        self.canaries = [PEPPER, ROOT, PASSWORD, *VENUE_KEY]

    def add(self, said: Any) -> None:
        if isinstance(said, BaseException):
            self._said += [repr(said), str(said), repr(vars(said))]
        self._said.append(repr(said))

    def everything(self) -> str:
        return "\n".join([*self._said, self._logged.getvalue(), generate_latest().decode()])

    def check(self) -> None:
        everything = self.everything()
        for canary in self.canaries:
            assert canary not in everything, everything[max(0, everything.index(canary) - 300) :][:600]


async def test_a_key_that_is_refused_rotated_or_revoked_shows_nowhere(lines, start_position, database):
    told = Told(lines)
    dsn = database.replace("postgres@", f"postgres:{PASSWORD}@")
    assert PASSWORD in dsn
    service = await start_position(auth="required", key_pepper=PEPPER, root_key=ROOT, database_url=dsn)
    told.add(service.app._settings)
    root = Client(service.channel, ROOT)
    created = await made(root, "bot", "read", "write")
    rotated = await root.call("RotateKey", key_id=created.api_key.key_id, overlap_ms=60_000)
    told.canaries += [key.split("_", 2)[2] for key in (created.key, rotated.key)]
    for key in (created.key, rotated.key):
        bot = using(root, key)
        await bot.open(key[-8:])
        told.add(await bot.refused("OpenPosition", symbol=key[-8:], size="1", entry_price="1"))
        told.add(await bot.refused("PurgeClosedPositions"))
        bot.metadata = (*bot.metadata, ("x-request-id", key), ("x-on-behalf-of", key))
        told.add(await bot.refused("GetPosition", symbol="NONE"))
        told.add(await using(root, key + "x").refused("ListPositions"))
        told.add(await using(root, key[:-1]).refused("ListPositions"))
    told.add(await root.call("ListKeys"))
    await root.call("RevokeKey", key_id=created.api_key.key_id)
    told.add(await using(root, rotated.key).refused("ListPositions"))
    assert '"API key revoked"' in told.everything()
    told.check()


async def test_a_lost_database_and_a_defect_show_no_password_and_no_key(lines, start_position, database, monkeypatch):
    told = Told(lines)
    dsn = database.replace("postgres@", f"postgres:{PASSWORD}@")
    service = await start_position(auth="required", key_pepper=PEPPER, root_key=ROOT, database_url=dsn)
    root = Client(service.channel, ROOT)
    key = (await made(root)).key
    told.canaries.append(key.split("_", 2)[2])

    async def broken(*_: object) -> None:
        raise RuntimeError(f"defect of {dsn} for {key}")

    monkeypatch.setattr(Reads, "book", broken)
    defect = await using(root, key).refused("ListPositions")
    assert defect.reason == "INTERNAL"
    told.add(defect)
    monkeypatch.undo()
    admin = await asyncpg.connect(database)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await admin.close()
    for _ in range(3):
        try:
            await using(root, key).call("ListPositions")
        except RpcError as error:
            told.add(error)
    assert translate(RuntimeError(dsn)) is None
    assert "RuntimeError" in told.everything()
    told.check()


async def test_bad_answers_of_a_venue_show_no_key(lines, start_position):
    told = Told(lines)
    portfolio = scenario.new_portfolio(lambda: time.time_ns() // 1_000_000)
    venue = await server.serve(portfolio, [ApiKey(KEY_NAME, EC.public_key())], budget=Budget(time.monotonic, 10**6))
    service = await start_position(auth="required", key_pepper=PEPPER, root_key=ROOT)
    own = (await Client(service.channel, ROOT).call("CreateKey", name="reconciler", **MAY_DO_ALL)).key
    told.canaries.append(own.split("_", 2)[2])
    settings = ReconcilerSettings(
        reconciler_listen="127.0.0.1:0",
        position_address=service.address,
        position_key=own,  # type: ignore[arg-type]
        auth="required",
        venues="simulated",
        coinbase_api_url=venue.url,
        venue_timeout=0.5,
        confirmation_delay=0.01,
        reconciliation_interval=3_600,
        drain_grace=1,
        accounts=(Account(venue="coinbase", name="main", key=KEY_NAME, secret=SEC1),),  # type: ignore[arg-type]
    )
    told.add(settings)
    app = ReconcilerApp(settings)
    channel = connect(f"127.0.0.1:{await app.start()}")
    states = set()
    try:
        for kind in (None, *FAULTS):
            venue.faults.clear()
            if kind is not None:
                venue.fault(kind)

            async def reconciled() -> bool:
                told.add(got := await answer(channel, METHODS["Reconcile"], pb.ReconcileRequest(), ROOT))
                return not isinstance(got, RpcError)

            await eventually(reconciled)
            for name in ("GetStatus", "ListVenues", "ListDrifts", "ListRuns"):
                told.add(got := await answer(channel, METHODS[name], request_of(METHODS[name]), ROOT))
                if name == "ListVenues":
                    states |= {health.state for health in got[0].venues if health.venue == "coinbase"}
        told.add(vars(app))
        told.add([vars(one) for one in app._venues])
    finally:
        await channel.close()
        await app.stop()
        await venue.close()
    assert {"OK", "FAILED"} <= states
    told.check()


def test_a_canary_that_gets_out_is_seen(lines):
    told = Told(lines)
    logging.getLogger("x").warning("the pepper is %s", PEPPER)
    with pytest.raises(AssertionError, match="canary-pepper"):
        told.check()
