"""Venues that misbehave: every fault of the simulators at every endpoint, in random sequences, in process.

After each sequence, what the Reconciler would believe is compared with the truth: a scope that is OK says exactly what
the venue holds; everything else is visibly not OK. Partial or empty is never flat, and no bad answer makes a position.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from reconciler_service.model import BookPosition, BookState, Outcome, Snapshot, Source
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.coinbase import scenario as coinbase_scenario
from reconciler_service.simulator.coinbase import server as coinbase_server
from reconciler_service.simulator.coinbase.gate import ApiKey
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.wire import Style
from reconciler_service.trust import weigh
from reconciler_service.venues import VenueError
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.coinbase import auth
from reconciler_service.venues.coinbase.adapter import Coinbase
from reconciler_service.venues.coinbase.adapter import Settings as CoinbaseSettings
from reconciler_service.venues.http import HttpSettings, Retries, Timeouts
from reconciler_service.venues.hyperliquid.adapter import Hyperliquid
from reconciler_service.venues.hyperliquid.adapter import Settings as HyperliquidSettings
from tests.coinbase_samples import EC, KEY_NAME, SEC1
from tests.torture.run import Box, Run, side_by_side

FAST = HttpSettings(
    timeouts=Timeouts(total_s=0.4, read_s=0.4),
    retries=Retries(attempts=2, wait_s=0.001, max_wait_s=0.002, jitter_s=0.001, deadline_s=2),
    max_bytes=1_000_000,
)
UNLIMITED = 10**9
LANES = 6  # a sequence mostly waits
OLDEST = timedelta(seconds=10)
# Of the socket only; no adapter listens here.
NOT_HERE = {Kind.DUPLICATE, Kind.LOST}
MORE: dict[Kind, Sequence[Mapping[str, Any]]] = {
    Kind.OVERSIZED: ({"size": 2_000_000},),
    Kind.SLOW: ({"delay_s": 0.01},),
    Kind.NAN: ({}, {"bare": True}),
    Kind.CLOCK_SKEW: ({"skew_ms": -60_000}, {"skew_ms": 150_000}),
    Kind.PARTIAL_SCOPE: ({"dex": "xyz"}, {"dex": ""}),
    Kind.LATE_FILLS: ({"delay_s": 5},),
}
FAULTS = [(kind, more) for kind in Kind if kind not in NOT_HERE for more in MORE.get(kind, ({},))]
ENDPOINTS = {
    "hyperliquid": (
        "clearinghouseState",
        "perpDexs",
        "meta",
        "userFillsByTime",
        "userRole",
        "userAbstraction",
        "spotMeta",
        "spotClearinghouseState",
        "allMids",
    ),
    "coinbase": ("accounts", "cfm/positions", "cfm/balance_summary", "products", "best_bid_ask", "fills"),
}


@dataclass(slots=True)
class Desk:
    """One simulated venue and what is needed to look at it, with what it truly holds."""

    venue: str
    running: Any
    connect: Any  # a new adapter, which knows nothing yet
    trade: Any


@asynccontextmanager
async def hyperliquid(chance: random.Random) -> AsyncIterator[Desk]:
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    running = await server.serve(exchange, style=Style(), budget=Budget(time.monotonic, limit=UNLIMITED))

    def connect() -> Hyperliquid:
        settings = HyperliquidSettings(http=FAST)
        return Hyperliquid(
            scenario.DESK,
            source=Source.SIMULATED,
            base_url=running.url,
            settings=settings,
            budget=WeightBudget(UNLIMITED),
        )

    def trade() -> None:
        exchange.trade(scenario.DESK, "BTC", chance.random() < 0.5, Decimal("0.01"))

    try:
        yield Desk("hyperliquid", running, connect, trade)
    finally:
        await running.close()


@asynccontextmanager
async def coinbase(chance: random.Random) -> AsyncIterator[Desk]:
    portfolio = coinbase_scenario.new_portfolio(lambda: time.time_ns() // 1_000_000)
    keys = [ApiKey(KEY_NAME, EC.public_key())]
    running = await coinbase_server.serve(portfolio, keys, budget=Budget(time.monotonic, UNLIMITED))

    def connect() -> Coinbase:
        return Coinbase(
            auth.key(KEY_NAME, SEC1),
            source=Source.SIMULATED,
            base_url=running.url,
            settings=CoinbaseSettings(http=FAST),
            budget=WeightBudget(UNLIMITED),
        )

    def trade() -> None:
        portfolio.trade("BTC-USD", is_buy=chance.random() < 0.5, size=Decimal("0.01"))

    try:
        yield Desk("coinbase", running, connect, trade)
    finally:
        await running.close()


async def bad_venues(run: Run, seconds: float, share: float) -> None:
    """Sequences of one to three faults, cold and warm, until the floor and the time are reached."""
    box = Box(run, "venues", seconds, bad_venue_sequence=round(5000 * share))

    async def lane(number: int) -> None:
        chance = random.Random(f"{run.seed} venues {number}")
        make = hyperliquid if number % 2 else coinbase
        async with make(chance) as desk:
            while box.going():
                await _sequence(run, desk, chance)
                run.count("bad venue sequence")

    await side_by_side(LANES, lane)
    box.close()


async def _sequence(run: Run, desk: Desk, chance: random.Random) -> None:  # noqa: C901 - one story
    truth, warm = await _truth(desk), chance.random() < 0.6
    adapter = desk.connect()
    try:
        answers: Any = {}
        book = _book(truth)
        if warm:
            _, answers = weigh(await adapter.snapshot(), {}, book, OLDEST, datetime.now(UTC))
        told = []
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            kind, more = chance.choice(FAULTS)
            if kind is Kind.HANG and chance.random() < 0.8:
                continue  # each costs a timeout
            endpoint = chance.choice(ENDPOINTS[desk.venue])
            if desk.venue == "coinbase":
                more = {name: value for name, value in more.items() if name != "dex"}
                if kind is Kind.PARTIAL_SCOPE:
                    continue
            desk.running.fault(kind, types=frozenset({endpoint}), **more)
            told.append(f"{kind.value} {endpoint} {dict(more) or ''}".strip())
            run.count(f"venue {desk.venue} {kind.value}")
        # Of an empty answer one look only: the second that agrees is believed, as promised.
        looks = 1 if any(one.startswith("empty") for one in told) else chance.choice((1, 2))
        for _ in range(looks):
            snapshot, answers = weigh(await adapter.snapshot(), answers, book, OLDEST, datetime.now(UTC))
            wrong = _wrong(snapshot, truth)
            if wrong:
                run.wrong("venues", [f"flat: {desk.venue} {'warm' if warm else 'cold'} with {told}: {wrong}"])
        try:
            await adapter.fills(datetime.now(UTC) - timedelta(minutes=1), ["BTC"])
        except VenueError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            run.wrong(
                "venues", [f"error: fills of {desk.venue} with {told} ended with {type(error).__name__}: {error}"]
            )
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        run.wrong("venues", [f"error: {desk.venue} ended with {type(error).__name__}: {error}"])
    finally:
        desk.running.faults.clear()
        await adapter.close()
    if chance.random() < 0.2:
        desk.trade()


async def _truth(desk: Desk) -> Snapshot:
    """What a venue without a fault says; the tests of the adapters show that this is so. On a busy machine it may say
    nothing in time, which is no truth.
    """
    adapter = desk.connect()
    try:
        async with asyncio.timeout(60):
            while True:
                snapshot = await adapter.snapshot()
                if all(scope.outcome is Outcome.OK for scope in snapshot.scopes):
                    return snapshot
    finally:
        await adapter.close()


def _held(snapshot: Snapshot) -> dict[str, dict[str, tuple[str, Decimal, Any]]]:
    return {s.scope: {p.symbol: (p.side.value, p.size, p.entry_price) for p in s.positions} for s in snapshot.scopes}


def _wrong(snapshot: Snapshot, truth: Snapshot) -> str:
    """What an OK scope says that is not so; "" when nothing is."""
    true = _held(truth)
    for scope in snapshot.scopes:
        if scope.outcome is not Outcome.OK:
            if not scope.error:
                return f"scope {scope.scope!r} is {scope.outcome.value} and does not say why"
            continue
        said = {p.symbol: (p.side.value, p.size, p.entry_price) for p in scope.positions}
        expected = true.get(scope.scope, {})
        if said.keys() != expected.keys():
            return f"scope {scope.scope!r} is OK with {sorted(said)}, the venue holds {sorted(expected)}"
        for symbol, (side, size, _) in said.items():
            if (side, round(size, 9)) != (expected[symbol][0], round(expected[symbol][1], 9)):
                return f"scope {scope.scope!r} is OK with {symbol} {side} {size}, the venue holds {expected[symbol]}"
    return ""


def _book(truth: Snapshot) -> dict[str, BookPosition]:
    """A book that agrees with the venue."""
    now = datetime.now(UTC)
    return {
        held.symbol: BookPosition(
            position_id=held.symbol,
            account=truth.account,
            venue=truth.venue,
            symbol=held.symbol,
            asset=held.asset or held.symbol,
            product=scope.product,
            side=held.side,
            size=held.size,
            entry_price=held.entry_price or Decimal(1),
            state=BookState.OPEN,
            revision=1,
            updated_at=now,
        )
        for scope in truth.scopes
        for held in scope.positions
    }
