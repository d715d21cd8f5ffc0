"""Liquidation prices as the venue says them: kept beside the positions, refreshed with every cycle, never a stale drift."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import position_service_pb2 as book_pb
from trueup.position.v1 import reconciliation_log_service_pb2 as log_pb
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from reconciler_service.simulator import scenario
from reconciler_service.simulator.records import Mode
from tests.position_client import Client, check_ledger, fill, stamp
from tests.simulated_desk import Desk, simulated_desk

RISK_ENTERED = 13


def said(price: str, size: str = "1", symbol: str = "BTC", side: str = "SIDE_LONG", **fields: Any) -> dict[str, Any]:
    holding = log_pb.HoldingLiquidation(symbol=symbol, side=side, size=size, price=price)
    known = {"account": "main", "venue": "hyperliquid", "observed_at": stamp(datetime.now(UTC)), "holdings": [holding]}
    return known | fields


async def shown(client: Client, symbol: str = "BTC") -> tuple[str, str]:
    position = (await client.call("GetPosition", symbol=symbol)).position
    return position.venue_liquidation_price, position.liquidation_distance_percent


async def test_it_is_durable_and_everybodys_and_no_event(start_position, database):
    first = await start_position()
    client, other = Client(first.channel), Client((await start_position()).channel)
    held = await client.open(size="1", price="100")
    await client.call("UpdatePrices", prices=[book_pb.PriceUpdate(symbol="BTC", price="100")])
    answer = await client.call("RecordLiquidationPrices", **said("80"))
    assert (answer.applied, answer.ignored, answer.revision) == (1, 0, held.revision)
    for each in (client, other):
        assert await shown(each) == ("80", "20")
    entered = await other.call("RecordLiquidationPrices", **said("96"))
    assert entered.revision == held.revision + 1
    assert await shown(client) == ("96", "4")
    events = (await client.call("ListPositionHistory", position_id=held.position_id)).events
    assert [event.type for event in events] == [2, RISK_ENTERED]
    assert not events[-1].after.venue_liquidation_price  # an event tells what is so for ever
    old = said("70", observed_at=stamp(datetime.now(UTC) - timedelta(minutes=1)))
    assert (await client.call("RecordLiquidationPrices", **old)).ignored == 1
    await first.stop()
    client = Client((await start_position()).channel)
    assert await shown(client) == ("96", "4")
    assert (await client.call("RecordLiquidationPrices", **said(""))).applied == 1
    assert await shown(client) == ("", "")
    assert await shown(other) == ("", "")
    await check_ledger(database, client)


async def test_what_has_ended_is_passed_over_and_purged(start_position, database):
    client = Client((await start_position()).channel)
    await client.open(size="1", price="100")
    await client.call("RecordLiquidationPrices", **said("80"))
    await client.call("ClosePosition", symbol="BTC", close_price="100")
    answer = await client.call("RecordLiquidationPrices", **said("81"))
    assert (answer.applied, answer.ignored) == (0, 1)
    await client.open(size="1", price="100")
    assert await shown(client) == ("", "")
    assert await shown(Client((await start_position()).channel)) == ("", "")
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE positions SET closed_at = closed_at - interval '99 days'")
    assert await connection.fetchval("SELECT count(*) FROM liquidation_prices") == 1
    assert (await client.call("PurgeClosedPositions")).purged == 1
    assert await connection.fetchval("SELECT count(*) FROM liquidation_prices") == 0
    await connection.close()


async def test_what_nobody_can_have_said_is_refused(position):
    client = Client(position.channel)
    await client.open(size="1", price="100")
    for wrong, field in (
        (said("0"), "holdings[0].price"),
        (said("80", "0"), "holdings[0].size"),
        (said("80", side="SIDE_UNSPECIFIED"), "holdings[0].side"),
        (said("80", symbol=""), "holdings[0].symbol"),
        (said("80", account=""), "account"),
        (said("80", venue=""), "venue"),
        (said("80", holdings=[]), "holdings"),
        (said("80", observed_at=None), "observed_at"),
        (said("80", observed_at=stamp(datetime.now(UTC) + timedelta(hours=1))), "observed_at"),
        (said("80", observed_at=Timestamp(seconds=2**40)), "observed_at"),
    ):
        refused = await client.refused("RecordLiquidationPrices", **wrong)
        assert (refused.reason, [v.field for v in refused.violations]) == ("INVALID_REQUEST", [field])


# ---- with a venue


@pytest.fixture
async def desk(position: Any) -> AsyncIterator[Desk]:
    async with simulated_desk(position) as running:
        await running.reconcile()
        yield running


async def held(desk: Desk, symbol: str) -> Any:
    (found,) = (await desk.book.ListPositions(book_pb.ListPositionsRequest(symbol=symbol))).positions
    return found


async def test_an_adopted_position_trades_on_without_a_drift(desk: Desk) -> None:
    desk.exchange.set_leverage(scenario.DESK, "ARB", 5, Mode.ISOLATED)
    desk.exchange.trade(scenario.DESK, "ARB", True, Decimal(900), Decimal("0.95"))
    (drift,) = (await desk.reconcile()).drifts
    await desk.reconciler.ResolveDrift(
        pb.ResolveDriftRequest(drift_id=drift.drift_id, action=pb.RESOLVE_ACTION_ADOPT_VENUE), timeout=30
    )
    await desk.reconcile()
    adopted = await held(desk, "ARB")
    assert (adopted.liquidation_price, adopted.estimated_liquidation_price) == ("", "")
    before = Decimal(adopted.venue_liquidation_price)
    assert before > 0
    (done,) = desk.exchange.trade(scenario.DESK, "ARB", False, Decimal(600), Decimal("1.05"))
    sold = fill(1, "-600", "1.05", symbol="ARB", executed_at=stamp(datetime.fromtimestamp(done.time / 1_000, UTC)))
    await desk.book.RecordFills(book_pb.RecordFillsRequest(account=drift.account, fills=[sold]))
    traded = await held(desk, "ARB")
    assert (traded.venue_liquidation_price, bool(traded.estimated_liquidation_price)) == ("", True)
    for _ in range(2):
        assert not [each for each in (await desk.reconcile()).drifts if each.symbol == "ARB"]
    after = await held(desk, "ARB")
    assert Decimal(after.venue_liquidation_price) != before
    mark, price = Decimal(after.mark_price), Decimal(after.venue_liquidation_price)
    assert abs(Decimal(after.liquidation_distance_percent) - (mark - price) / mark * 100) < Decimal("1e-12")


async def test_a_price_that_somebody_gave_is_compared_and_distances_go_by_the_venues(desk: Desk) -> None:
    await desk.reconcile()
    before = await held(desk, "SOL")
    assert before.venue_liquidation_price
    update = book_pb.UpdatePositionRequest(position_id=before.position_id, liquidation_price="20")
    await desk.book.UpdatePosition(update)
    (drift,) = (await desk.reconcile()).drifts
    assert drift.kind == drift_pb2.DRIFT_KIND_LIQUIDATION_PRICE
    given = await held(desk, "SOL")
    assert (given.liquidation_price, given.venue_liquidation_price) == ("20", before.venue_liquidation_price)
    assert given.liquidation_distance_percent == before.liquidation_distance_percent
    await desk.reconciler.ResolveDrift(
        pb.ResolveDriftRequest(drift_id=drift.drift_id, action=pb.RESOLVE_ACTION_ADOPT_VENUE), timeout=30
    )
    assert (await held(desk, "SOL")).liquidation_price == before.venue_liquidation_price
    assert not (await desk.reconcile()).drifts
