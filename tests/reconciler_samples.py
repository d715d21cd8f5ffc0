"""Positions, snapshots and a venue to reconcile in tests. The venue is the test's own, behind the port of venues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from reconciler_service.model import (
    BookPosition,
    BookState,
    CashFlow,
    MarginMode,
    Outcome,
    Product,
    ScopeReading,
    Side,
    Snapshot,
    Source,
    VenueFill,
    VenuePosition,
)
from reconciler_service.venues import VenueError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STEP = Decimal("0.00001")


def booked(size: str = "0.5", **fields: Any) -> BookPosition:
    """A BTC long of the book, bought at 42 000."""
    values: dict[str, Any] = {
        "position_id": "0192f0c1-0000-7000-8000-000000000001",
        "account": "main",
        "venue": "hyperliquid",
        "symbol": "BTC",
        "asset": "BTC/USD",
        "product": Product.PERPETUAL,
        "side": Side.LONG,
        "size": Decimal(size),
        "entry_price": Decimal(42000),
        "state": BookState.OPEN,
        "revision": 7,
        "updated_at": NOW - timedelta(hours=1),
        "leverage": Decimal(5),
        "margin_mode": MarginMode.CROSS,
        "liquidation_price": Decimal(38000),
    }
    return BookPosition(**values | fields)


def held(size: str = "0.5", **fields: Any) -> VenuePosition:
    """The same as the venue reports it."""
    values: dict[str, Any] = {
        "symbol": "BTC",
        "asset": "BTC/USD",
        "product": Product.PERPETUAL,
        "side": Side.LONG,
        "size": Decimal(size),
        "size_step": STEP,
        "entry_price": Decimal(42000),
        "leverage": Decimal(5),
        "margin_mode": MarginMode.CROSS,
        "liquidation_price": Decimal(38000),
        "mark_price": Decimal(42150),
    }
    return VenuePosition(**values | fields)


def scope(*positions: VenuePosition, **fields: Any) -> ScopeReading:
    """A scope that was read completely."""
    values: dict[str, Any] = {
        "scope": "",
        "product": Product.PERPETUAL,
        "symbol_prefix": "",
        "outcome": Outcome.OK,
        "positions": positions,
    }
    return ScopeReading(**values | fields)


def snapshot(*scopes: ScopeReading, at: datetime = NOW, **fields: Any) -> Snapshot:
    """What hyperliquid says of the account main."""
    values: dict[str, Any] = {
        "venue": "hyperliquid",
        "account": "main",
        "source": Source.SIMULATED,
        "requested_at": at,
        "scopes": scopes,
    }
    return Snapshot(**values | fields)


def fill(size: str, price: str = "42150", *, start: str | None = None, at: datetime = NOW, **fields: Any) -> VenueFill:
    """An execution; a negative size sells."""
    signed = Decimal(size)
    values: dict[str, Any] = {
        "fill_id": f"f{size}@{price}-{at.timestamp()}",
        "symbol": "BTC",
        "is_buy": signed > 0,
        "size": abs(signed),
        "price": Decimal(price),
        "time": at,
        "start_position": None if start is None else Decimal(start),
    }
    return VenueFill(**values | fields)


class TestVenue:
    """A venue that says what the test tells it to. ``error`` is raised instead of an answer."""

    __test__ = False
    tells_flows = False
    budget_left = 960
    source = Source.SIMULATED

    def __init__(
        self, positions: Iterable[VenuePosition] = (), account: str = "main", name: str = "hyperliquid"
    ) -> None:
        self.name = name
        self.account = account
        self.positions = {position.symbol: position for position in positions}
        self.executions: list[VenueFill] = []
        self.flows: list[CashFlow] = []
        self.outcome = Outcome.OK
        self.lag = timedelta(0)  # how old its states are
        self.script: list[Callable[[], None]] = []  # what happens before its next looks, one each
        self.error: Exception | None = None
        self.check_error: VenueError | None = None
        self.snapshots = 0
        self.closed = False
        self._looked = asyncio.Event()

    def hold(self, position: VenuePosition) -> None:
        self.positions[position.symbol] = position

    def change(self, symbol: str, **fields: Any) -> None:
        self.positions[symbol] = replace(self.positions[symbol], **fields)

    async def next_look(self) -> None:
        """Wait until a snapshot is asked for, from now on."""
        self._looked.clear()
        async with asyncio.timeout(10):
            await self._looked.wait()

    async def check(self) -> None:
        if self.check_error:
            raise self.check_error

    async def snapshot(self) -> Snapshot:
        self.snapshots += 1
        if self.script:
            self.script.pop(0)()
        self._looked.set()
        now = datetime.now(UTC)
        if self.error:
            raise self.error
        positions = tuple(self.positions.values()) if self.outcome is Outcome.OK else ()
        only = scope(*positions, outcome=self.outcome, observed_at=now - self.lag, error="" if positions else "nothing")
        marks = tuple((p.symbol, p.mark_price) for p in positions if p.mark_price)
        return snapshot(only, at=now, venue=self.name, account=self.account, marks=marks)

    async def fills(self, since: datetime, symbols: Sequence[str] = ()) -> list[VenueFill]:
        if self.error:
            raise self.error
        return [one for one in self.executions if one.time >= since and (not symbols or one.symbol in symbols)]

    async def cash_flows(self, since: datetime) -> list[CashFlow]:
        if self.error:
            raise self.error
        return [one for one in self.flows if one.time >= since]

    def watch(self) -> None:
        return None

    async def close(self) -> None:
        self.closed = True


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for something that nobody announces. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
