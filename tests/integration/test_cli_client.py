"""The Python client against a real service: typed calls and errors, pages, streams that go on."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing

import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2 as rpb
from trueup.types.v1 import types_pb2

from grpckit.errors import RpcError, StartupError
from trueup_cli.client import Client, Unreachable, pages
from trueup_cli.dev_ca import SERVER, DevCa

NOBODY = "127.0.0.1:9"
DEADLINE_S = 30.0


@pytest.fixture
async def client(position):
    async with Client(position.address, NOBODY) as connected:
        yield connected


def an_opening(symbol: str = "BTC", **fields) -> pb.OpenPositionRequest:
    return pb.OpenPositionRequest(**({"symbol": symbol, "size": "1", "entry_price": "100"} | fields))


async def taken(stream, count: int) -> list:
    """The first messages of a stream that is not progress."""
    found = []
    async with aclosing(stream) as responses, asyncio.timeout(DEADLINE_S):
        async for response in responses:
            if response.phase != types_pb2.STREAM_PHASE_PROGRESS:
                found.append(response)
            if len(found) == count:
                break
    return found


async def test_calls_are_those_of_the_contract_and_errors_are_typed(client):
    opened = (await client.positions.OpenPosition(an_opening())).position
    assert opened.status == 2
    with pytest.raises(RpcError) as caught:
        await client.positions.OpenPosition(an_opening())
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.ALREADY_EXISTS, "POSITION_ALREADY_OPEN")
    assert caught.value.metadata["positionId"] == opened.position_id
    with pytest.raises(RpcError) as caught:
        await client.positions.OpenPosition(an_opening("ETH", size="much"))
    assert [violation.field for violation in caught.value.violations] == ["size"]


async def test_what_is_not_said_is_as_the_command_line_has_it(start_position, tmp_path, monkeypatch):
    DevCa(tmp_path).ensure()
    DevCa(tmp_path).issue(SERVER, "trueup", ["127.0.0.1"])
    files = {"tls_cert_file": tmp_path / "server.pem", "tls_key_file": tmp_path / "server.key"}
    service = await start_position(auth="required", key_pepper="p" * 40, root_key="r" * 40, **files)
    (tmp_path / "root.key").write_text("r" * 40)
    (tmp_path / "root.key").chmod(0o600)
    monkeypatch.setenv("POSITION_ADDRESS", service.address)
    monkeypatch.setenv("TLS_CA_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("TRUEUP_KEY_FILE", str(tmp_path / "root.key"))
    request = pb.ListPositionsRequest()
    async with Client() as client:
        assert not (await client.positions.ListPositions(request)).positions
        stream = client.follow_positions()
        async with aclosing(stream), asyncio.timeout(DEADLINE_S):
            assert (await anext(stream)).snapshot_end
    async with Client(key="") as client:
        with pytest.raises(RpcError) as caught:
            await client.positions.ListPositions(request)
    assert caught.value.reason == "NO_CREDENTIALS"
    authority = grpc.ssl_channel_credentials((tmp_path / "ca.pem").read_bytes())
    monkeypatch.setenv("TLS_CA_FILE", str(tmp_path / "none.pem"))
    async with Client(credentials=authority) as client:  # in place of the file, which is not looked at then
        assert not (await client.positions.ListPositions(request)).positions
    monkeypatch.delenv("TLS_CA_FILE")
    monkeypatch.delenv("TRUEUP_KEY_FILE")
    async with Client() as client:
        with pytest.raises(Unreachable, match="speaks TLS: set TLS_CA_FILE"):
            await client.positions.ListPositions(request)
    monkeypatch.setenv("TLS_CA_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(StartupError, match="No such file"):
        Client()


async def test_with_an_address_nothing_else_is_of_the_settings(start_position, monkeypatch):
    """A key is not sent to whom it is not for, and TLS is not spoken with who is called without."""
    service = await start_position(auth="required", key_pepper="p" * 40, root_key="r" * 40)
    monkeypatch.setenv("TLS_CA_FILE", "/none/ca.pem")
    monkeypatch.setenv("TRUEUP_KEY", "r" * 40)
    async with Client(service.address) as client:
        with pytest.raises(RpcError) as caught:
            await client.positions.ListPositions(pb.ListPositionsRequest())
        assert caught.value.reason == "NO_CREDENTIALS"
    async with Client(reconciler_address=service.address) as client:
        with pytest.raises(RpcError) as caught:
            await client.reconciler.ListVenues(rpb.ListVenuesRequest())
        assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED
    async with Client(service.address, key="r" * 40) as client:
        assert not (await client.positions.ListPositions(pb.ListPositionsRequest())).positions


async def test_silence_says_whose_it_is(client):
    with pytest.raises(Unreachable) as caught:
        await client.reconciler.ListVenues(rpb.ListVenuesRequest())
    assert caught.value.address == NOBODY
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


async def test_a_peer_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts; nobody ever reads
        async with Client(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2) as client:
            with pytest.raises(Unreachable) as caught:
                await client.positions.ListPositions(pb.ListPositionsRequest())
    assert caught.value.code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


@pytest.mark.parametrize("size", [1, 2, 5, 0])
async def test_pages_yield_every_row_once(client, size: int):
    for number in range(5):
        await client.positions.OpenPosition(an_opening(f"S{number}"))
    request = pb.ListPositionsRequest(page_size=size)
    found = [row.symbol async for row in pages(client.positions.ListPositions, request)]
    assert found == [f"S{number}" for number in range(5)]
    assert request == pb.ListPositionsRequest(page_size=size)  # the caller's is not touched
    events = pages(client.positions.ListPositionHistory, pb.ListPositionHistoryRequest(page_size=size))
    assert [event.revision async for event in events] == [1, 2, 3, 4, 5]


async def test_a_stream_begins_with_what_is_there_and_goes_on(client):
    await client.positions.OpenPosition(an_opening("A"))
    stream = client.follow_positions()
    async with aclosing(stream), asyncio.timeout(DEADLINE_S):
        snapshot = await anext(stream)
        assert [position.symbol for position in snapshot.positions] == ["A"]
        await client.positions.OpenPosition(an_opening("B"))
        while not (message := await anext(stream)).events:
            pass
        assert [event.after.symbol for event in message.events] == ["B"]


async def test_a_stream_without_a_snapshot_goes_on_where_it_was_after_the_service_was_gone(start_position):
    first = await start_position()
    async with Client(first.address) as client:
        await client.positions.OpenPosition(an_opening("A"))
        resets: list[int] = []
        stream = client.follow_positions(
            pb.WatchPositionsRequest(symbol="B"), on_reset=lambda _, revision: resets.append(revision)
        )
        async with aclosing(stream), asyncio.timeout(DEADLINE_S):
            assert (await anext(stream)).revision == 1  # where it begins: A is not told
            await first.app.stop()
            second = await start_position(position_listen=first.address)
            await client.positions.OpenPosition(an_opening("B"), wait_for_ready=True)
            while not (message := await anext(stream)).events:
                pass
            assert [event.after.symbol for event in message.events] == ["B"]
            assert set(resets) == {1}
    assert second.address


async def test_a_revision_that_is_not_known_begins_again_with_a_snapshot(client):
    """Pruned, or of a ledger that a backup has replaced."""
    await client.positions.OpenPosition(an_opening("A"))
    resets: list[tuple[str, int]] = []
    stream = client.follow_positions(
        pb.WatchPositionsRequest(after_revision=1_000, account="main"),
        on_reset=lambda error, revision: resets.append((error.reason, revision)),
    )
    (snapshot,) = await taken(stream, 1)
    assert (snapshot.phase, snapshot.snapshot_end) == (types_pb2.STREAM_PHASE_SNAPSHOT, True)
    assert [position.symbol for position in snapshot.positions] == ["A"]
    assert resets == [("REVISION_IN_FUTURE", 0)]


async def test_from_the_first_revision_every_event_is_told(client):
    for symbol in ("A", "B"):
        await client.positions.OpenPosition(an_opening(symbol))
    messages = await taken(client.follow_positions(pb.WatchPositionsRequest(after_revision=0)), 2)
    assert [event.revision for message in messages for event in message.events] == [1, 2]


async def test_what_repeating_does_not_mend_is_raised(client):
    stream = client.follow_positions(pb.WatchPositionsRequest(include_current=True, after_revision=5))
    with pytest.raises(RpcError) as caught:
        await taken(stream, 1)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
