"""RecordFills with expected_revisions, through real services and a real database."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.errors import RpcError
from tests.position_client import Client, check_ledger, fill


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


def seen(revision: int, symbol: str = "BTC", **fields: object) -> pb.ExpectedRevision:
    return pb.ExpectedRevision(symbol=symbol, revision=revision, **fields)


async def test_a_position_that_moved_refuses_the_batch_whole(client, database):
    held = await client.open(size="1")
    moved = (await client.call("IncreasePosition", symbol="BTC", size="0.1", price="100")).position
    batch = {"fills": [fill(1, "2", symbol="ETH"), fill(2, "0.1")], "expected_revisions": [seen(0, "ETH"), seen(1)]}
    error = await client.refused("RecordFills", **batch)
    assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "STALE_REVISION")
    assert error.metadata == {
        "expectedRevision": str(held.revision),
        "actualRevision": str(moved.revision),
        "field": "expected_revisions[1]",
    }
    assert [p.symbol for p in (await client.call("ListPositions")).positions] == ["BTC"]
    answer = await client.call("RecordFills", **batch | {"expected_revisions": [seen(0, "ETH"), seen(moved.revision)]})
    assert (answer.applied, answer.duplicates) == (2, 0)
    assert await check_ledger(database, client) == 4


async def test_none_is_expected_where_none_was_seen(client):
    batch = {"fills": [fill(1, "1")]}
    error = await client.refused("RecordFills", **batch, expected_revisions=[seen(3)])
    assert (error.reason, error.metadata["actualRevision"]) == ("STALE_REVISION", "0")
    held = await client.open(size="1", account="desk")
    error = await client.refused("RecordFills", **batch, account="desk", expected_revisions=[seen(0)])
    assert error.metadata["actualRevision"] == str(held.revision)
    assert (await client.call("RecordFills", **batch, expected_revisions=[seen(0)])).applied == 1


async def test_the_names_are_completed_as_those_of_fills_and_what_names_nothing_is_refused(client):
    held = await client.open(size="1")
    named = pb.ExpectedRevision(asset="BTC/USD", revision=held.revision)
    assert (await client.call("RecordFills", fills=[fill(1, "1")], expected_revisions=[named])).applied == 1
    for wrong, field in (({}, "asset"), ({"asset": "BTC"}, "asset"), ({"symbol": "B C"}, "symbol")):
        error = await client.refused(
            "RecordFills", fills=[fill(2, "1")], expected_revisions=[named, pb.ExpectedRevision(**wrong)]
        )
        assert [v.field for v in error.violations] == [f"expected_revisions[1].{field}"]
    negative = await client.refused("RecordFills", fills=[fill(2, "1")], expected_revisions=[seen(-1)])
    assert [v.field for v in negative.violations] == ["expected_revisions[0].revision"]
    error = await client.refused("RecordFills", expected_revisions=[seen(0)])
    assert [v.field for v in error.violations] == ["fills"]


async def test_a_repetition_has_the_first_answer_and_another_request_sees_what_moved(client):
    held = await client.open(size="1")
    batch = {"fills": [fill(1, "1")], "expected_revisions": [seen(held.revision)]}
    first = await client.call("RecordFills", **batch, request_id="r")
    assert await client.call("RecordFills", **batch, request_id="r") == first
    # Known or not: the position is no more the one that was seen.
    assert (await client.refused("RecordFills", **batch, request_id="other")).reason == "STALE_REVISION"
    other = batch | {"expected_revisions": [seen(held.revision + 1)]}
    error = await client.refused("RecordFills", **other, request_id="r")
    assert (error.reason, error.metadata["field"]) == ("REQUEST_ID_REUSED", "expected_revisions")
    again = {"fills": batch["fills"], "expected_revisions": [seen(first.revision)]}
    answer = await client.call("RecordFills", **again)
    assert (answer.applied, answer.duplicates, answer.revision) == (0, 1, first.revision)


async def test_of_those_who_have_seen_the_same_one_books(start_position, database):
    """At once, at two services: some of them in one batch of one committer, others in two that race for the head."""
    pair = [Client((await start_position()).channel) for _ in range(2)]
    for number in range(4):
        symbol = f"S{number}"
        held = await pair[0].open(symbol, "1")
        calls = [
            pair[n % 2].call(
                "RecordFills",
                fills=[fill(10 * number + n, "1", symbol=symbol)],
                expected_revisions=[seen(held.revision, symbol)],
            )
            for n in range(6)
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refusals = [answer for answer in answers if isinstance(answer, RpcError)]
        assert [error.reason for error in refusals] == ["STALE_REVISION"] * 5
        assert (await pair[0].call("GetPosition", symbol=symbol)).position.size == "2"
    await check_ledger(database, pair[1])
