"""The story every desk knows: two positions, a process that dies, and nobody who has to be asked what they were."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as pb
from trueup.types.v1 import types_pb2

from grpckit.channel import connect
from position_service.embedded import EmbeddedPostgres
from tests.position_client import NOW as THEN
from tests.position_client import Client, check_ledger, stamp
from tests.service_process import ServiceProcess


@pytest.fixture
def folder(short_folder: Path) -> Iterator[Path]:
    yield short_folder
    pid = short_folder / "db" / "data" / "postmaster.pid"
    if pid.exists():  # of a test that failed half-way
        os.kill(int(pid.read_text().splitlines()[0]), signal.SIGQUIT)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[ServiceProcess, Client]]:
    """A Position service on the folder's database, and a client; killed when the test has not ended it itself."""
    process = ServiceProcess(folder, {"DB_PATH": str(folder / "db"), "DRAIN_GRACE": "2"})
    try:
        async with connect(process.ready().address) as channel:
            yield process, Client(channel)
    finally:
        process.kill()


async def by_symbol(client: Client) -> dict[str, position_pb2.Position]:
    return {position.symbol: position for position in (await client.call("ListPositions")).positions}


async def priced(client: Client, seconds: int, **prices: str) -> None:
    """Marks as they were observed so many seconds after the story began."""
    at = stamp(THEN.replace(second=seconds))
    marks = [pb.PriceUpdate(symbol=symbol, price=price, observed_at=at) for symbol, price in prices.items()]
    assert (await client.call("UpdatePrices", prices=marks)).applied == len(marks)


async def test_two_positions_survive_a_crash_and_trading_goes_on(folder: Path):
    async with served(folder) as (process, client):
        opened = {
            "BTC": await client.open(
                "BTC",
                "0.5",
                "42000",
                asset="BTC/USD",
                leverage="5",
                margin_mode=types_pb2.MARGIN_MODE_CROSS,
                liquidation_price="38000",
                fee="9.45",
                labels={"desk": "a", "bot": "7"},
                reason="the signal",
                request_id="order-1",
            ),
            "ETH": await client.open(
                "ETH",
                "4.2",
                "2250.123456789012345678",
                side=types_pb2.SIDE_SHORT,
                leverage="10",
                margin_mode=types_pb2.MARGIN_MODE_ISOLATED,
                liquidation_price="2420",
                fee="0.001",
                fee_currency="HYPE",
                request_id="order-2",
            ),
        }
        await priced(client, 1, BTC="42500", ETH="2240.5")
        before = await by_symbol(client)
        assert before["BTC"].unrealized_pnl == "250"
        assert before["BTC"].liquidation_distance_percent == "10.588235294117647059"
        process.kill()

    async with served(folder) as (process, client):
        after = await by_symbol(client)
        # Every field: size, prices, leverage, fees, labels, times, revision, and what follows from the marks.
        assert after == before
        assert {field.name for field, _ in after["BTC"].ListFields()} >= {
            "labels",
            "mark_price",
            "opened_at",
            "revision",
        }
        # An answer that was lost in the crash is asked for again, and is the first one.
        again = await client.open(
            "BTC",
            "0.5",
            "42000",
            asset="BTC/USD",
            leverage="5",
            margin_mode=types_pb2.MARGIN_MODE_CROSS,
            liquidation_price="38000",
            fee="9.45",
            labels={"desk": "a", "bot": "7"},
            reason="the signal",
            request_id="order-1",
        )
        assert again == opened["BTC"]

        # An old price does not come back; a new one does.
        stale = pb.PriceUpdate(symbol="BTC", price="1", observed_at=stamp(THEN))
        assert (await client.call("UpdatePrices", prices=[stale])).ignored == 1
        await priced(client, 2, BTC="43000", ETH="2260.123456789012345678")
        fresh = await by_symbol(client)
        assert fresh["BTC"].unrealized_pnl == "500"
        assert fresh["ETH"].unrealized_pnl == "-42"  # (2260.12... - 2250.12...) * 4.2, short
        assert fresh["BTC"].revision == before["BTC"].revision

        # Trading goes on: 0.2 of 0.5 at 43000 with a fee, then the rest; the short is closed at once.
        position = before["BTC"].position_id
        reduced = (
            await client.call("ReducePosition", position_id=position, size="0.2", price="43000", fee="4.3")
        ).position
        assert (reduced.size, reduced.entry_price) == ("0.3", "42000")
        assert reduced.realized_pnl == "186.25"  # 0.2 * 1000 - 4.3 - 9.45
        closed = (await client.call("ClosePosition", position_id=position, close_price="41000", fee="6.15")).position
        assert closed.realized_pnl == "-119.9"  # 186.25 - 0.3 * 1000 - 6.15
        short = (await client.call("ClosePosition", symbol="ETH", close_price="2200.123456789012345678")).position
        assert short.realized_pnl == "210"  # 50 * 4.2
        assert [(fee.currency, fee.amount) for fee in short.other_fees] == [("HYPE", "0.001")]
        process.kill()

    async with served(folder) as (process, client):
        assert await by_symbol(client) == {}
        ended = {
            p.symbol: p for p in (await client.call("ListPositions", statuses=["POSITION_STATUS_CLOSED"])).positions
        }
        assert {symbol: p.realized_pnl for symbol, p in ended.items()} == {"BTC": "-119.9", "ETH": "210"}
        history = (await client.call("ListPositionHistory")).events
        kinds = [position_pb2.PositionEventType.Name(event.type).rpartition("TYPE_")[2] for event in history]
        assert kinds == ["OPENED", "OPENED", "REDUCED", "CLOSED", "CLOSED"]
        assert sum(float(event.trade.realized_pnl or 0) for event in history) == pytest.approx(-119.9 + 210)
        await check_ledger(EmbeddedPostgres(folder / "db").dsn, client)
        assert process.terminate() == 0
