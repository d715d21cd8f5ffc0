"""The Reconciler's own key, and the certificate it calls with, are replaced while it runs: nobody restarts it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as pb

from grpckit import reopened as module
from grpckit.channel import connect
from grpckit.errors import RpcError, StartupError
from grpckit.reopened import reopened
from grpckit.secret_file import SecretInUse
from grpckit.tls import Calling, calling
from position_service.settings import PositionSettings
from tests.access_matrix import answer, request_of
from tests.integration.test_access_keys import KEYS, ROOT
from tests.integration.test_access_reconciler import BY_NAME, MAY_DO_ALL, reconciler
from tests.position_client import Client, eventually
from trueup_cli.client import Client as Both
from trueup_cli.dev_ca import CLIENT, SERVER, DevCa


@pytest.fixture(autouse=True)
def _look_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Certificates of one authority; those of another one are in `next`."""
    for place in (tmp_path, tmp_path / "next"):
        ca = DevCa(place)
        ca.ensure()
        ca.issue(SERVER, "trueup", ["localhost", "127.0.0.1"])
        ca.issue(CLIENT, "reconciler")
    shutil.copy(tmp_path / "ca.pem", tmp_path / "client-ca.pem")
    return tmp_path


def replace(folder: Path, *names: str) -> None:
    """Another authority's files in place of those that are there, the key first, as everybody does it."""
    for name in names:
        (folder / "next" / name).replace(folder / name)


def serving(folder: Path) -> dict[str, Any]:
    return {
        "tls_cert_file": folder / "server.pem",
        "tls_key_file": folder / "server.key",
        "tls_client_ca_file": folder / "client-ca.pem",
    }


def presenting(folder: Path) -> dict[str, Any]:
    return {
        "tls_ca_file": folder / "ca.pem",
        "tls_client_cert_file": folder / "client.pem",
        "tls_client_key_file": folder / "client.key",
    }


async def test_key_and_client_certificate_are_rotated_without_a_restart(
    start_position: Callable[..., Any], folder: Path, tmp_path: Path
):
    service = await start_position(**KEYS, **serving(folder))
    credentials = Calling(*presenting(folder).values()).credentials
    async with connect(service.address, credentials=credentials) as channel:
        root = Client(channel, ROOT)
        made = await root.call("CreateKey", name="reconciler", **MAY_DO_ALL)
        key = tmp_path / "reconciler.key"
        key.write_text(made.key)
        key.chmod(0o600)
        files = presenting(folder) | {"position_key_file": key}
        async with reconciler(service.address, "", **files) as (app, to):

            async def runs() -> bool:
                got = await answer(to, BY_NAME["Reconcile"], request_of(BY_NAME["Reconcile"]), ROOT)
                return not isinstance(got, RpcError)

            assert await runs()
            # The key: no overlap, so the one that the Reconciler began with is worth nothing from now on.
            rotated = await root.call("RotateKey", key_id=made.api_key.key_id, overlap_ms=0)
            key.write_text(rotated.key)
            await eventually(runs)
            # The certificate: of another authority, and soon no other is let in.
            replace(folder, "client.key", "client.pem")
            shutil.copy(folder / "next" / "ca.pem", folder / "client-ca.pem")
            await service.stop()
            again = await start_position(**KEYS, **serving(folder), position_listen=service.address)
            assert again.port == service.port
            await eventually(runs)
            # The drift stream came along: it tells what is new.
            async with connect(
                service.address, credentials=Calling(*presenting(folder).values()).credentials
            ) as renewed:
                head = (await Client(renewed, ROOT).call("ListDrifts")).revision

            async def followed() -> bool:
                return app._feed.revision >= head > 0

            await eventually(followed)


async def test_a_client_that_stays_comes_along(start_position: Callable[..., Any], folder: Path, tmp_path: Path):
    service = await start_position(**KEYS, **serving(folder))
    key = tmp_path / "root.key"
    key.write_text("not yet")
    key.chmod(0o600)
    files = calling(PositionSettings(**presenting(folder)))
    async with Both(service.address, service.address, files=files, key=SecretInUse(key, "X_FILE")) as client:
        with pytest.raises(RpcError, match="not valid"):
            await client.positions.ListPositions(pb.ListPositionsRequest())
        key.write_text(ROOT)
        await client.positions.ListPositions(pb.ListPositionsRequest())
        replace(folder, "client.key", "client.pem")
        shutil.copy(folder / "next" / "ca.pem", folder / "client-ca.pem")
        await service.stop()
        await start_position(**KEYS, **serving(folder), position_listen=service.address)

        async def answers() -> bool:
            return await client.positions.ListPositions(pb.ListPositionsRequest()) is not None

        await eventually(answers)


@pytest.fixture
async def channel(start_position: Callable[..., Any], folder: Path) -> AsyncIterator[tuple[Any, Client]]:
    """A channel that is opened anew, and the service it leads to."""
    service = await start_position(**serving(folder), watch_progress_interval=0.2)
    files = calling(PositionSettings(**presenting(folder)))
    made = reopened(lambda credentials: connect(service.address, credentials=credentials), files)
    yield made, Client(made)
    await made.close()


async def test_what_runs_goes_on_and_the_old_connection_is_closed_after_it(channel: tuple[Any, Client], folder: Path):
    made, client = channel
    await client.open("BTC")
    watching: Any = made.unary_stream(
        "/trueup.position.v1.PositionService/WatchPositions",
        pb.WatchPositionsRequest.SerializeToString,
        pb.WatchPositionsResponse.FromString,
    )
    stream = watching(pb.WatchPositionsRequest())
    await stream.read()
    first = made._line
    replace(folder, "client.key")  # half of it: the two do not belong together
    await client.open("ETH")
    assert made._line is first
    (folder / "client-ca.pem").write_bytes((folder / "ca.pem").read_bytes() + (folder / "next" / "ca.pem").read_bytes())
    replace(folder, "client.pem")
    await client.open("SOL")
    assert made._line is not first
    seen: list[str] = []
    async with asyncio.timeout(60):
        while "SOL" not in seen:
            seen += [event.after.symbol for event in (await stream.read()).events]
    assert seen == ["ETH", "SOL"], "the stream goes on where it was"
    assert made._old == {first}
    stream.cancel()

    async def closed() -> bool:
        return not made._old and not made._closing

    await eventually(closed)
    await client.open("XRP")


async def test_closed_it_takes_no_calls(channel: tuple[Any, Client]):
    made, client = channel
    await client.open("BTC")
    await made.close()
    with pytest.raises(grpc.aio.UsageError):
        await client.open("ETH")


def test_what_cannot_be_used_is_told_at_the_start(folder: Path):
    (folder / "client.pem").write_text("no certificate")
    with pytest.raises(StartupError, match="cannot be used"):
        calling(PositionSettings(**presenting(folder)))


async def test_every_channel_that_calls_with_the_same_files_comes_along(folder: Path):
    files = Calling(*presenting(folder).values())
    dialled: list[tuple[str, Any]] = []

    def dial(name: str, credentials: Any) -> grpc.aio.Channel:
        dialled.append((name, credentials))
        return connect("127.0.0.1:1", credentials=credentials)

    channels = [reopened(partial(dial, name), files) for name in ("one", "two", "three")]
    before = files.credentials
    replace(folder, "client.key", "client.pem", "ca.pem")
    for one in channels:
        with pytest.raises(grpc.aio.AioRpcError):
            await one.unary_unary("/x/Y")(b"", timeout=0.01)
    after = files.credentials
    assert after is not before
    assert dialled == [(name, known) for known in (before, after) for name in ("one", "two", "three")]
    for one in channels:
        await one.close()
