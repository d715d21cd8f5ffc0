"""API keys at the Reconciler: kept by the Position service, asked about there, and what they open, call by call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from trueup.reconciler.v1 import reconciler_service_pb2 as pb

from grpckit.channel import connect, watch
from grpckit.errors import RpcError, from_rpc
from reconciler_service.app import ReconcilerApp
from reconciler_service.settings import ReconcilerSettings
from tests.access_matrix import RECONCILER, SCOPES, accounts_in, answer, request_of, scope_of
from tests.integration.test_access_keys import KEYS, ROOT, made
from tests.position_client import Client, eventually
from tests.reconciler_samples import TestVenue, held

METHODS = [method for service in RECONCILER for method in service.methods]
BY_NAME = {method.name: method for method in METHODS}
MAY_DO_ALL = {"scopes": list(SCOPES.values()), "every_account": True}


@dataclass
class Pair:
    """Both services, each in need of keys, with a drift in each of two accounts."""

    root: Client
    app: ReconcilerApp
    channel: grpc.aio.Channel
    keys: dict[str, str] = field(default_factory=dict)
    drifts: dict[str, str] = field(default_factory=dict)

    async def call(self, name: str, key: str, **fields: Any) -> Any:
        return await answer(self.channel, BY_NAME[name], request_of(BY_NAME[name], **fields), key)


@contextlib.asynccontextmanager
async def reconciler(address: str, key: str, **settings: Any) -> AsyncIterator[tuple[ReconcilerApp, grpc.aio.Channel]]:
    values = {
        "reconciler_listen": "127.0.0.1:0",
        "position_address": address,
        "position_key": key,
        "auth": "required",
        "drain_grace": 1.0,
        "confirmation_delay": 0.02,
        "progress_interval": 0.2,
        "reconciliation_interval": 3_600.0,
    }
    venues = [TestVenue([held()], account) for account in ("main", "other")]
    app = ReconcilerApp(ReconcilerSettings(**values | settings), venues)
    channel = connect(f"127.0.0.1:{await app.start()}")
    try:
        yield app, channel
    finally:
        await channel.close()
        await app.stop()


@pytest.fixture
async def pair(start_position: Callable[..., Any]) -> AsyncIterator[Pair]:
    service = await start_position(**KEYS, watch_progress_interval=0.2)
    root = Client(service.channel, ROOT)
    own = (await root.call("CreateKey", name="reconciler", **MAY_DO_ALL)).key
    async with reconciler(service.address, own) as (app, channel):
        made_pair = Pair(root, app, channel)
        run = await made_pair.call("Reconcile", ROOT)
        assert not isinstance(run, RpcError), run
        listed = (await root.call("ListDrifts")).drifts
        made_pair.drifts = {drift.account: drift.drift_id for drift in listed if drift.symbol == "BTC"}
        assert set(made_pair.drifts) == {"main", "other"}
        for scope in SCOPES:
            made_pair.keys[scope] = (await made(root, scope, scope, accounts=["main"])).key
        yield made_pair


def requests(method: Any, **fields: Any) -> Any:
    request = request_of(method, **fields)
    if "symbol" in method.input_type.fields_by_name:
        request.ClearField("symbol")
    if method.name == "SnoozeDrift":
        request.until.seconds = 4_000_000_000
    return request


async def test_a_call_takes_its_own_scope_and_no_other(pair):
    assert len(METHODS) > 10
    for method in METHODS:
        for scope, key in pair.keys.items():
            got = await answer(pair.channel, method, requests(method, drift_id=pair.drifts["main"]), key)
            refused = isinstance(got, RpcError) and got.reason == "SCOPE_MISSING"
            assert refused == (scope != scope_of(method)), (method.name, scope, got)
        got = await answer(pair.channel, method, requests(method), "")
        assert isinstance(got, RpcError), method.name
        assert got.reason == "NO_CREDENTIALS", method.name


async def test_what_is_anothers_is_not_there(pair):
    nothing, tried = "00000000-0000-4000-8000-00000000000f", 0
    for method in METHODS:
        names = method.input_type.fields_by_name
        key = pair.keys[scope_of(method)]
        if "drift_id" in names:
            theirs = await answer(pair.channel, method, requests(method, drift_id=pair.drifts["other"]), key)
            nobodys = await answer(pair.channel, method, requests(method, drift_id=nothing), key)
            assert isinstance(theirs, RpcError), method.name
            assert theirs.reason == "DRIFT_NOT_FOUND", (method.name, theirs)
            assert str(theirs).replace(pair.drifts["other"], "?") == str(nobodys).replace(nothing, "?"), method.name
            tried += 1
        elif "account" in names or "accounts" in names:
            for account in ("other", "nobodys"):
                got = await answer(pair.channel, method, requests(method, account=account), key)
                assert isinstance(got, RpcError), method.name
                assert (got.reason, got.metadata) == ("ACCOUNT_FORBIDDEN", {"account": account}), method.name
            tried += 1
    assert tried >= 8


async def test_what_is_anothers_is_in_no_list_stream_or_sum(pair):
    shown_to_root = 0
    for method in METHODS:
        names = method.input_type.fields_by_name
        if "drift_id" in names:
            continue
        forms: list[dict[str, Any]] = [{}, {"include_open": True}, {"after_revision": 0}]
        for fields in [form for form in forms if set(form) <= set(names)]:
            got = await answer(pair.channel, method, requests(method, **fields), pair.keys[scope_of(method)])
            everything = await answer(pair.channel, method, requests(method, **fields), ROOT)
            assert not isinstance(got, RpcError), (method.name, got)
            assert {account for message in got for account in accounts_in(message)} <= {"main"}, method.name
            shown_to_root += any("other" in accounts_in(message) for message in everything)
    assert shown_to_root > 8


async def test_counts_are_of_the_own_accounts(pair):
    (status,) = await pair.call("GetStatus", pair.keys["read"])
    (everything,) = await pair.call("GetStatus", ROOT)
    assert everything.open_drifts > status.open_drifts == 1
    assert (status.position_service_ok, len(status.exchanges), len(everything.exchanges)) == (True, 0, 1)
    (run,) = await pair.call("Reconcile", pair.keys["drift"])
    assert {check.account for check in run.run.checks} == {"main"}
    assert [drift.account for drift in run.drifts] == ["main"]


async def test_who_works_a_case_stands_in_it(pair):
    (acknowledged,) = await pair.call("AcknowledgeDrift", pair.keys["drift"], drift_id=pair.drifts["main"])
    assert acknowledged.drift.actor.startswith("drift/")
    assert acknowledged.drift.account == "main"


async def test_a_live_stream_shows_the_own_events_only(pair):
    call: Any = pair.channel.unary_stream(
        "/trueup.reconciler.v1.ReconcilerService/StreamDriftEvents",
        pb.StreamDriftEventsRequest.SerializeToString,
        pb.StreamDriftEventsResponse.FromString,
    )(pb.StreamDriftEventsRequest(), metadata=[("x-api-key", pair.keys["read"])])
    async with watch(call) as messages:
        await anext(messages)
        for account in ("other", "main"):
            await pair.call("AcknowledgeDrift", ROOT, drift_id=pair.drifts[account])
        async with asyncio.timeout(60):
            while not (message := await anext(messages)).events:
                pass
    assert [event.drift.account for event in message.events] == ["main"]


async def test_a_revocation_reaches_the_reconciler_and_its_streams(pair):
    created = await made(pair.root, "lost")
    call: Any = pair.channel.unary_stream(
        "/trueup.reconciler.v1.ReconcilerService/StreamDriftEvents",
        pb.StreamDriftEventsRequest.SerializeToString,
        pb.StreamDriftEventsResponse.FromString,
    )(pb.StreamDriftEventsRequest(), metadata=[("authorization", f"Bearer {created.key}")])
    async with watch(call) as messages:
        await anext(messages)
        began = asyncio.get_running_loop().time()
        await pair.root.call("RevokeKey", key_id=created.api_key.key_id)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            async for _ in messages:
                pass
    assert (ended.value.code().name, from_rpc(ended.value).reason) == ("UNAUTHENTICATED", "NO_CREDENTIALS")
    assert asyncio.get_running_loop().time() - began < 30
    got = await pair.call("ListVenues", created.key)
    assert isinstance(got, RpcError)
    assert got.reason == "NO_CREDENTIALS"


@pytest.mark.parametrize("own", ["", "wrong", "reader"])
async def test_a_reconciler_without_a_good_key_says_whose_fault_it_is(start_position, own):
    service = await start_position(**KEYS)
    root = Client(service.channel, ROOT)
    key = (await made(root, "reader", every_account=True)).key if own == "reader" else own
    async with reconciler(service.address, key) as (_, channel):

        async def said() -> bool:
            got = await answer(channel, BY_NAME["ListVenues"], requests(BY_NAME["ListVenues"]), ROOT)
            assert isinstance(got, RpcError)
            return (got.code.name, "POSITION_KEY" in got.message) == ("UNAVAILABLE", True)

        await eventually(said)


async def test_the_own_key_may_change_while_it_runs(pair):
    """Two live secrets: the one it has goes on while it is told of the next."""
    own = next(key for key in (await pair.root.call("ListKeys")).api_keys if key.name == "reconciler")
    await pair.root.call("RotateKey", key_id=own.key_id, overlap_ms=60_000)
    assert not isinstance(await pair.call("Reconcile", ROOT), RpcError)
