"""API keys of the Position service: made, rotated, revoked, and what they open, call by call."""

from __future__ import annotations

import asyncio
import functools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from trueup.position.v1 import position_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from grpckit.errors import RpcError, StartupError
from grpckit.limits import Limits
from position_service.app import PositionApp
from position_service.settings import PositionSettings
from tests.access_matrix import IDS, POSITION, SCOPES, WHOLE, accounts_in, answer, request_of, scope_of
from tests.position_client import Client, a_finding, a_run, eventually, stamp
from trueup_cli.dev_ca import SERVER, DevCa

ROOT = "root-" + "r" * 40
KEYS = {"auth": "required", "key_pepper": "p" * 40, "root_key": ROOT}
METHODS = [method for service in POSITION for method in service.methods]
CHANGED_S = 30.0  # what is promised for a revocation


@pytest.fixture
async def root(start_position) -> Client:
    """Who may do everything, at a service that needs keys."""
    return Client((await start_position(**KEYS, watch_progress_interval=0.2)).channel, ROOT)


async def made(root: Client, name: str = "bot", *scopes: str, **fields: Any) -> Any:
    given = fields or {"accounts": ["main"]}
    return await root.call("CreateKey", name=name, scopes=[SCOPES[scope] for scope in scopes or ("read",)], **given)


def using(root: Client, key: str) -> Client:
    """The same service, called with another key."""
    client = Client.__new__(Client)
    client._stubs, client.metadata = root._stubs, (("x-api-key", key),)
    return client


async def test_a_key_is_shown_once_and_only_its_digest_is_stored(root, database):
    created = await made(root, "bot", "read", "write")
    key, known = created.key, created.api_key
    assert key.startswith(f"trueup_{known.key_id}_")
    assert (known.name, list(known.accounts), known.every_account) == ("bot", ["main"], False)
    assert known.created_by == "root"
    listed = (await root.call("ListKeys")).api_keys
    assert [one.name for one in listed] == ["root", "bot"]
    assert key not in str(listed)
    connection = await asyncpg.connect(database)
    stored = str(await connection.fetch("SELECT * FROM api_keys"))
    await connection.close()
    assert known.key_id in stored
    assert key.split("_", 2)[2] not in stored


async def test_who_calls_stands_in_the_event(root):
    created = await made(root, "bot", "read", "write")
    bot = using(root, created.key)
    opened = await bot.open()
    event = (await bot.call("ListPositionHistory", position_id=opened.position_id)).events[0]
    assert event.actor == f"bot/{created.api_key.key_id}"


@pytest.mark.parametrize(
    "metadata", [(), (("x-api-key", "guess"),), (("authorization", "Basic x"),), (("x-api-key", "trueup_a_b"),)]
)
async def test_strangers_are_refused(root, metadata):
    root.metadata = metadata
    error = await root.refused("GetPosition", symbol="BTC")
    assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "NO_CREDENTIALS")


async def test_a_name_is_one_keys_until_that_is_revoked(root):
    first = (await made(root)).api_key.key_id
    error = await root.refused("CreateKey", name="bot", scopes=[1], every_account=True)
    assert (error.reason, error.metadata) == ("KEY_NAME_TAKEN", {"keyId": first})
    await root.call("RevokeKey", key_id=first)
    assert (await made(root)).api_key.key_id != first


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "accounts"),
        ({"accounts": ["main"], "every_account": True}, "accounts"),
        ({"accounts": ["main"], "expires_at": stamp(datetime(2026, 1, 1, tzinfo=UTC))}, "expires_at"),
    ],
)
async def test_rights_are_spelled_out(root, fields, field):
    error = await root.refused("CreateKey", name="bot", scopes=[1], **fields)
    assert [violation.field for violation in error.violations] == [field]


async def test_a_key_expires(root):
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    bot = using(root, (await made(root, accounts=["main"], expires_at=stamp(soon))).key)
    await bot.call("ListPositions")

    async def refused() -> bool:
        try:
            await bot.call("ListPositions")
        except RpcError as error:
            return error.reason == "NO_CREDENTIALS"
        return False

    await eventually(refused)
    assert datetime.now(UTC) >= soon


async def test_both_secrets_of_a_rotated_key_live_for_the_overlap(root):
    created = await made(root)
    key_id = created.api_key.key_id
    rotated = await root.call("RotateKey", key_id=key_id, overlap_ms=3_600_000)
    assert (rotated.api_key.key_id, rotated.api_key.generation) == (key_id, 1)
    for key in (created.key, rotated.key):
        await using(root, key).call("ListPositions")
    again = await root.call("RotateKey", key_id=key_id)
    for key in (created.key, rotated.key):
        assert (await using(root, key).refused("ListPositions")).reason == "NO_CREDENTIALS"
    await using(root, again.key).call("ListPositions")


@pytest.mark.parametrize("name", ["RotateKey", "RevokeKey"])
async def test_what_is_not_there_cannot_be_changed(root, name):
    error = await root.refused(name, key_id="nobody")
    assert (error.reason, error.metadata) == ("KEY_NOT_FOUND", {"keyId": "nobody"})


async def test_a_revoked_key_cannot_be_rotated_back_to_life(root):
    key_id = (await made(root)).api_key.key_id
    revoked = (await root.call("RevokeKey", key_id=key_id)).api_key
    assert (revoked.revoked_by, revoked.HasField("revoked_at")) == ("root", True)
    assert (await root.call("RevokeKey", key_id=key_id)).api_key == revoked
    assert (await root.refused("RotateKey", key_id=key_id)).reason == "KEY_NOT_FOUND"
    assert [one.name for one in (await root.call("ListKeys")).api_keys] == ["root"]
    assert revoked in (await root.call("ListKeys", include_ended=True)).api_keys


async def test_keys_are_listed_in_pages(root):
    names = ["root", *[f"bot-{number}" for number in range(5)]]
    for name in names[1:]:
        await made(root, name)
    listed, token = [], ""
    while True:
        page = await root.call("ListKeys", page_size=2, page_token=token)
        assert len(page.api_keys) <= 2
        listed += [one.name for one in page.api_keys]
        token = page.next_page_token
        if not token:
            break
    assert listed == names


@pytest.mark.parametrize("name", ["RevokeKey", "RotateKey"])
async def test_the_streams_of_a_key_that_ended_end_and_those_of_others_go_on(root, name):
    lost, kept = await made(root, "lost"), await made(root, "kept")
    async with using(root, lost.key).watching() as ended, using(root, kept.key).watching() as open_:
        await asyncio.gather(ended.next(), open_.next())
        await root.call(name, key_id=lost.api_key.key_id)
        error = await ended.failed()
        assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "NO_CREDENTIALS")
        await open_.next()
        await open_.next()


async def test_a_revocation_reaches_other_replicas_and_their_streams(start_position, root):
    other = Client((await start_position(**KEYS, watch_progress_interval=0.2)).channel, ROOT)
    created = await made(root)
    bot = using(other, created.key)
    await bot.call("ListPositions")  # a key of another replica is found when it is first presented
    async with bot.watching() as stream:
        await stream.next()
        revoked = asyncio.get_running_loop().time()
        await root.call("RevokeKey", key_id=created.api_key.key_id)
        assert (await stream.failed()).reason == "NO_CREDENTIALS"
        assert (await bot.refused("ListPositions")).reason == "NO_CREDENTIALS"
        assert asyncio.get_running_loop().time() - revoked < CHANGED_S


async def test_without_keys_required_any_key_is_taken_and_keys_can_be_made(start_position):
    loose = Client((await start_position(key_pepper="p" * 40)).channel, "whatever")
    await loose.open()
    created = await made(loose)
    assert created.api_key.created_by == "anonymous"
    strict = Client((await start_position(**KEYS)).channel, created.key)
    assert len((await strict.call("ListPositions")).positions) == 1


async def test_without_a_pepper_no_key_can_be_made(start_position):
    loose = Client((await start_position()).channel)
    assert (await loose.refused("CreateKey", name="bot", scopes=[1], every_account=True)).reason == "KEYS_UNCONFIGURED"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"auth": "required"}, "no pepper"),
        ({"auth": "required", "key_pepper": "short"}, "KEY_PEPPER is too short"),
        ({"auth": "required", "key_pepper": "p" * 40, "root_key": "short"}, "ROOT_KEY is too short"),
        ({"auth": "off", "position_listen": "0.0.0.0:0"}, "without API keys"),
        ({"position_listen": "0.0.0.0:0"}, "without TLS"),
        ({"http_listen": "0.0.0.0:0"}, "without TLS"),
    ],
)
async def test_it_does_not_start_open_to_everybody(database, settings, said):
    values = {"position_listen": "127.0.0.1:0", "database_url": database} | settings
    app = PositionApp(PositionSettings(**values))
    try:
        with pytest.raises(StartupError, match=said) as caught:
            await app.start()
    finally:
        await app.stop()
    assert "short" not in str(caught.value).replace("too short", "")


async def test_with_tls_it_does_not_start_without_keys_off_loopback(database, tmp_path):
    DevCa(tmp_path).ensure()
    chain = DevCa(tmp_path).issue(SERVER, "trueup", ["127.0.0.1"])
    files = {"tls_cert_file": chain, "tls_key_file": chain.with_suffix(".key")}
    app = PositionApp(PositionSettings(position_listen="0.0.0.0:0", database_url=database, **files))
    try:
        with pytest.raises(StartupError, match="API keys are required, and there is no pepper"):
            await app.start()
    finally:
        await app.stop()


@pytest.mark.parametrize("settings", [{"position_listen": "0.0.0.0:0"}, {"http_listen": "0.0.0.0:0"}])
async def test_it_refuses_before_there_is_a_database(database, short_folder, settings):
    values = {"position_listen": "127.0.0.1:0", "key_pepper": "p" * 40} | settings
    for where in ({"database_url": database}, {"db_path": short_folder / "db"}):
        app = PositionApp(PositionSettings(**values | where))
        try:
            with pytest.raises(StartupError, match="without TLS"):
                await app.start()
        finally:
            await app.stop()
    assert not (short_folder / "db").exists()
    connection = await asyncpg.connect(database)
    assert await connection.fetch("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    await connection.close()


# -- every call, with every scope, for the own account and another's --------------------------------


class World:
    """A ledger with the same things in two accounts, and a key of each scope for the first."""

    def __init__(self, root: Client, channel: Any) -> None:
        self.root, self.channel = root, channel
        self.keys: dict[str, str] = {}
        self.own: dict[str, str] = {}
        self.other: dict[str, str] = {}

    async def fill(self) -> World:
        for number, (account, ids) in enumerate((("main", self.own), ("other", self.other)), 1):
            ids["position_id"] = (await self.root.open("X", account=account)).position_id
            run = a_run(number, checks=[{"account": account, "venue": "hyperliquid", "checked_at": stamp(NOW)}])
            recorded = await self.root.call("RecordRun", run=run, findings=[a_finding(account=account)])
            ids["run_id"], ids["drift_id"] = recorded.run.run_id, recorded.drifts[0].drift_id
        for scope in SCOPES:
            self.keys[scope] = (await made(self.root, scope, scope, accounts=["main"])).key
        return self


NOW = datetime.now(UTC)


@pytest.fixture
async def world(start_position) -> World:
    service = await start_position(**KEYS, watch_progress_interval=0.2)
    return await World(Client(service.channel, ROOT), service.channel).fill()


def test_the_matrix_is_of_every_call():
    assert len(METHODS) > 30
    assert {scope_of(method) for method in METHODS} == set(SCOPES)
    assert {method.name for method in METHODS} >= WHOLE


async def test_a_call_takes_its_own_scope_and_no_other(world):
    for method in METHODS:
        for scope, key in world.keys.items():
            got = await answer(world.channel, method, request_of(method, **world.own), key)
            if scope == scope_of(method):
                assert not isinstance(got, RpcError) or got.reason != "SCOPE_MISSING", (method.name, got)
            else:
                assert isinstance(got, RpcError), (method.name, scope)
                assert (got.reason, got.metadata) == ("SCOPE_MISSING", {"scope": scope_of(method).upper()}), method.name


async def test_nobody_calls_without_a_key(world):
    for method in METHODS:
        got = await answer(world.channel, method, request_of(method, **world.own), "")
        assert isinstance(got, RpcError), method.name
        assert got.reason == "NO_CREDENTIALS", method.name


async def test_the_own_account_is_served_and_what_concerns_all_is_not(world):
    served = 0
    for method in METHODS:
        got = await answer(world.channel, method, request_of(method, **world.own), world.keys[scope_of(method)])
        if method.name in WHOLE:
            assert isinstance(got, RpcError), method.name
            assert (got.reason, got.metadata) == ("ACCOUNT_FORBIDDEN", {"account": "*"}), (method.name, got)
        else:
            assert not isinstance(got, RpcError) or got.code.name not in ("UNAUTHENTICATED", "PERMISSION_DENIED"), got
            served += not isinstance(got, RpcError)
    assert served > 12


async def test_another_account_cannot_be_named(world):
    named = 0
    for method in METHODS:
        if method.name in WHOLE or "account" not in method.input_type.fields_by_name:
            continue
        ids = {"account": "other"} if "symbol" in method.input_type.fields_by_name else world.own | {"account": "other"}
        for account in ("other", "nobodys"):  # whether there is such an account makes no difference
            request = request_of(method, **(ids | {"account": account}))
            got = await answer(world.channel, method, request, world.keys[scope_of(method)])
            assert isinstance(got, RpcError), method.name
            assert (got.reason, got.metadata) == ("ACCOUNT_FORBIDDEN", {"account": account}), method.name
        named += 1
    assert named > 15


async def test_what_is_anothers_looks_like_what_never_was(world):
    tried = 0
    for method in METHODS:
        fields = [name for name in IDS if name in method.input_type.fields_by_name]
        if method.name in WHOLE or not fields:
            continue
        (name,) = fields
        nothing = str(uuid.uuid4())
        key = world.keys[scope_of(method)]
        theirs = await answer(world.channel, method, request_of(method, **{name: world.other[name]}), key)
        nobodys = await answer(world.channel, method, request_of(method, **{name: nothing}), key)
        assert isinstance(theirs, RpcError), method.name
        assert theirs.code.name == "NOT_FOUND", (method.name, theirs)
        assert str(theirs).replace(world.other[name], "?") == str(nobodys).replace(nothing, "?"), method.name
        assert str(theirs.metadata).replace(world.other[name], "?") == str(nobodys.metadata).replace(nothing, "?")
        tried += 1
    assert tried > 10


async def test_what_is_anothers_is_in_no_list_stream_or_sum(world):
    """The same calls with a key for everything show it, so the test can fail."""
    seen_by_root = 0
    for method in METHODS:
        if scope_of(method) != "read":
            continue
        names = method.input_type.fields_by_name
        forms: list[dict[str, Any]] = [{}, {"include_current": True}, {"include_open": True}, {"after_revision": 0}]
        for fields in [form for form in forms if set(form) <= set(names)]:
            request = request_of(method, **fields)
            for name in ("position_id", "symbol"):
                if name in names:
                    request.ClearField(name)
            got = await answer(world.channel, method, request, world.keys["read"])
            everything = await answer(world.channel, method, request, ROOT)
            if isinstance(got, RpcError) or isinstance(everything, RpcError):
                continue
            assert {account for message in got for account in accounts_in(message)} <= {"main"}, method.name
            seen_by_root += any("other" in accounts_in(message) for message in everything)
    assert seen_by_root > 6


async def test_sums_and_pages_are_of_the_own_accounts(world):
    bot = Client(world.channel, world.keys["read"])
    assert (await bot.call("GetPortfolioSummary")).total_positions == 1
    assert (await world.root.call("GetPortfolioSummary")).total_positions == 2
    assert len((await bot.call("ListRuns")).runs) == 1
    assert len((await bot.call("ListPositions", statuses=["POSITION_STATUS_CLOSED"])).positions) == 0


async def test_a_position_that_ended_is_its_accounts_only(world):
    for ids in (world.own, world.other):
        await world.root.call("ClosePosition", position_id=ids["position_id"], close_price="101")
    bot, writer = (Client(world.channel, world.keys[scope]) for scope in ("read", "write"))
    assert (await bot.call("GetPosition", position_id=world.own["position_id"])).position.account == "main"
    closed = await bot.call("ListPositions", statuses=["POSITION_STATUS_CLOSED"])
    assert [position.account for position in closed.positions] == ["main"]
    assert (await bot.refused("GetPosition", position_id=world.other["position_id"])).reason == "POSITION_NOT_FOUND"
    ended = await writer.refused("ReducePosition", position_id=world.own["position_id"], size="1", price="1")
    assert ended.reason == "ILLEGAL_TRANSITION"
    theirs = await writer.refused("ReducePosition", position_id=world.other["position_id"], size="1", price="1")
    assert theirs.reason == "POSITION_NOT_FOUND"


async def test_the_account_that_is_meant_when_none_is_named_must_be_the_callers(world):
    desk = Client(world.channel, (await made(world.root, "desk", "read", "write", accounts=["desk"])).key)
    for name, fields in (
        ("GetPosition", {"symbol": "X"}),
        ("OpenPosition", {"symbol": "Y", "size": "1", "entry_price": "1"}),
        ("ReducePosition", {"symbol": "X", "size": "1", "price": "1"}),
        (
            "RecordFills",
            {"fills": [pb.Fill(symbol="X", fill_id="1", is_buy=True, size="1", price="1", executed_at=stamp(NOW))]},
        ),
    ):
        error = await desk.refused(name, **fields)
        assert (error.reason, error.metadata) == ("ACCOUNT_FORBIDDEN", {"account": "main"}), name
    await desk.open("X", account="desk")


async def test_the_counts_of_a_run_of_several_accounts_are_nobodys_own(world):
    checks = [{"account": name, "venue": "hyperliquid", "checked_at": stamp(NOW)} for name in ("main", "other")]
    run = a_run(9, checks=checks, positions_compared=2, confirmed=1, equity=[drift_pb2.EquityCheck(account="other")])
    await world.root.call("RecordRun", run=run)
    seen = (await Client(world.channel, world.keys["read"]).call("GetRun", run_id=run.run_id)).run
    assert [check.account for check in seen.checks] == ["main"]
    assert (seen.positions_compared, seen.confirmed, len(seen.equity)) == (0, 0, 0)


async def test_who_guesses_has_to_wait_and_nobody_else_has(start_position):
    limits = Limits(failed_keys_burst=3, failed_keys_per_s=0.01)
    root = Client((await start_position(**KEYS, limits=limits)).channel, ROOT)
    created = await made(root)
    for guess in ("a", "b", "trueup_c_d"):
        assert (await using(root, guess).refused("GetPosition", symbol="BTC")).reason == "NO_CREDENTIALS"
    told = await using(root, "e").refused("GetPosition", symbol="BTC")
    assert (told.code.name, told.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert 0 < told.retry_after_s <= 100
    # Never seen before, and from the same address; within seconds of being made it is known that there is such a key.
    await eventually(functools.partial(using(root, created.key).call, "ListPositions"))
