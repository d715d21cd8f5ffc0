"""AdjustPosition through the real service: what it answers, what it leaves in the history, what survives."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest

from grpckit.errors import RpcError
from tests.position_client import Client, check_ledger

OPENING, OPEN, REDUCED, CLOSING, CLOSED = range(1, 6)
LONG, SHORT = 1, 2
ADJUSTED = 12
ADOPT = {"symbol": "BTC", "reason_code": "ADOPT_VENUE"}


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


async def field_refused(client: Client, **fields: object) -> str:
    error = await client.refused("AdjustPosition", **fields)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"), error
    (violation,) = error.violations
    return violation.field


async def test_a_correction_says_what_is_so_and_leaves_evidence(client, database):
    held = await client.open(size="2", price="100")
    fields = {"size": "0.5", "close_price": "110", "estimated": True, "evidence": "szi 0.5", "corrects_revision": 1}
    answer = await client.call("AdjustPosition", **ADOPT, **fields, reason="missed fills", request_id="r1")
    after = answer.position
    assert (after.size, after.entry_price, after.cost_basis, after.status) == ("0.5", "100", "50", REDUCED)
    assert (after.realized_pnl, after.estimated_pnl, after.peak_size) == ("15", "15", "2")
    assert after.revision == answer.revision == 2
    opened, adjusted = (await client.call("ListPositionHistory", position_id=held.position_id)).events
    assert (adjusted.type, adjusted.reason, adjusted.request_id) == (ADJUSTED, "missed fills", "r1")
    assert (adjusted.before, adjusted.after.size) == (opened.after, "0.5")
    assert (adjusted.trade.size, adjusted.trade.price, adjusted.trade.realized_pnl) == ("1.5", "110", "15")
    assert json.loads(adjusted.note) == {
        "reason_code": "ADOPT_VENUE",
        "estimated": True,
        "evidence": "szi 0.5",
        "corrects_revision": 1,
    }
    assert (await client.call("GetPosition", symbol="BTC")).position == after
    assert await check_ledger(database, client) == 2


async def test_a_correction_survives_a_restart_and_another_service_shows_it(start_position, client):
    await client.open(size="3", price="1")
    await client.call("IncreasePosition", symbol="BTC", size="4", price="2")  # 11 / 7 does not end
    fields = {"size": "5", "close_price": "1.1", "estimated": True, "evidence": "é"}
    after = (await client.call("AdjustPosition", **ADOPT, **fields)).position
    for _ in range(2):
        other = Client((await start_position()).channel)
        assert (await other.call("GetPosition", symbol="BTC")).position == after


async def test_the_wrong_side_and_what_is_not_there(client, database):
    await client.open(size="2", price="100")
    turn = {"side": SHORT, "size": "3", "entry_price": "105", "close_price": "110"}
    after = (await client.call("AdjustPosition", **ADOPT, **turn)).position
    assert (after.side, after.size, after.entry_price, after.realized_pnl) == (SHORT, "3", "105", "20")
    assert (after.estimated_pnl, after.status, after.HasField("closed_at")) == ("0", OPEN, False)
    after = (await client.call("AdjustPosition", **ADOPT, size="0", close_price="105")).position
    assert (after.status, after.size, after.realized_pnl, after.entry_price) == (CLOSED, "0", "20", "105")
    assert (await client.call("GetPosition", position_id=after.position_id)).position == after
    await client.open()
    await check_ledger(database, client)


async def test_what_is_only_announced_may_never_have_opened(client, database):
    await client.open(size="2", pending=True)
    after = (await client.call("AdjustPosition", **ADOPT, size="1.5")).position
    assert (after.status, after.size, after.realized_pnl) == (OPENING, "1.5", "0")
    after = (await client.call("AdjustPosition", **ADOPT, size="0")).position
    assert (after.status, after.size, after.peak_size, after.realized_pnl) == (CLOSED, "0", "0", "0")
    await check_ledger(database, client)


async def test_a_closing_position_can_be_corrected(client, database):
    await client.open(size="2", price="100")
    await client.call("ClosePosition", symbol="BTC")
    after = (await client.call("AdjustPosition", **ADOPT, size="1", close_price="100")).position
    assert (after.status, after.HasField("deadline")) == (CLOSING, True)
    assert (await client.call("CancelClose", symbol="BTC")).position.status == REDUCED
    await check_ledger(database, client)


async def test_what_is_no_correction_is_refused_by_name(client, database):
    await client.open(size="2", price="100")
    assert await field_refused(client, **ADOPT) == "size"
    assert await field_refused(client, **ADOPT, size="2.0", entry_price="100.00", side=LONG) == "size"
    assert await field_refused(client, **ADOPT, size="1") == "close_price"
    assert await field_refused(client, **ADOPT, size="0") == "close_price"
    assert await field_refused(client, **ADOPT, side=SHORT, entry_price="1") == "close_price"
    assert await field_refused(client, **ADOPT, side=SHORT, close_price="1") == "entry_price"
    assert await field_refused(client, **ADOPT, size="3", corrects_revision=2) == "corrects_revision"
    assert await check_ledger(database, client) == 1


async def test_a_repeated_correction_is_made_once(client):
    await client.open(size="2", price="100")
    correction = {**ADOPT, "size": "1", "close_price": "110", "request_id": "r1"}
    first = await client.call("AdjustPosition", **correction)
    assert await client.call("AdjustPosition", **correction) == first
    error = await client.refused("AdjustPosition", **correction | {"estimated": True})
    assert (error.reason, error.metadata["field"]) == ("REQUEST_ID_REUSED", "estimated")


async def test_of_two_corrections_of_the_same_state_one_is_stale(client):
    held = await client.open(size="2", price="100")
    fields = {**ADOPT, "close_price": "110", "expected_revision": held.revision}
    calls = (client.call("AdjustPosition", **fields, size=size) for size in ("1", "1.5"))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [a.reason for a in answers if isinstance(a, RpcError)] == ["STALE_REVISION"]


async def test_the_largest_and_the_smallest_correction(client, database):
    largest, smallest = "9" * 20 + "." + "9" * 18, "0." + "0" * 17 + "1"
    await client.open(size=smallest, price=smallest)
    after = (await client.call("AdjustPosition", **ADOPT, size=largest)).position
    assert (after.size, after.entry_price) == (largest, smallest)
    after = (await client.call("AdjustPosition", **ADOPT, entry_price=largest)).position
    assert after.entry_price == largest
    after = (await client.call("AdjustPosition", **ADOPT, size=smallest, close_price=largest)).position
    assert (after.size, after.entry_price, after.realized_pnl) == (smallest, largest, "0")
    await check_ledger(database, client)
