"""The demonstration: what a SIMULATED desk holds, and how its venue drifts away from its book.

``book`` is what the desk believes, ``seed`` makes the venue agree, each of ``steps`` makes it disagree in a way that
happens to real desks. ``Walk`` moves the marks a little, so that profit and loss live.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import Dex, Market, Mode, NoPositionError

DESK = "0x5117a7ed00000000000000000000000000000001"  # nobody's
DAY_MS = 86_400_000
COLLATERAL = {"": Decimal(12_500), "xyz": Decimal(1_500)}  # USD a dex
BAND = Decimal("0.005")  # how far the walk strays from where a mark was put
STRIDE = Decimal("0.0006")  # of the mark, at most, a step


@dataclass(frozen=True, slots=True)
class BookPosition:
    """One position as the desk booked it. ``coin`` is the venue's name, ``asset`` the desk's pair."""

    coin: str
    asset: str
    is_long: bool
    size: Decimal
    entry_price: Decimal
    leverage: int
    mode: Mode
    mark_price: Decimal  # where the market stands when the story begins
    liquidation_price: Decimal | None  # as the desk knows it: under isolated margin only, where it stands still


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at the venue and never reaches the book."""

    caption: str  # in a trader's words
    coin: str
    apply: Callable[[Exchange, str], None]  # exchange, address


def book() -> tuple[BookPosition, ...]:
    """Five positions on two dexes."""
    return (
        _held("BTC", "BTC/USD", long="0.5", entry="42000", leverage=5, mark="42500"),
        _held("ETH", "ETH/USD", short="4", entry="2250", leverage=10, mark="2240.5", isolated="2425.48"),
        _held("SOL", "SOL/USD", long="120", entry="98.5", leverage=5, mark="101.2"),
        _held("HYPE", "HYPE/USD", long="300", entry="21.4", leverage=3, mark="22.1"),
        _held("xyz:TSLA", "TSLA/USD", long="12", entry="251.3", leverage=3, mark="253.8", isolated="176.47"),
    )


def new_exchange(now: Callable[[], int]) -> Exchange:
    """The venue before anybody trades: two dexes, the book's markets and some it does not hold."""
    return Exchange(
        now,
        [Dex("xyz", "XYZ")],
        [
            Market("BTC", 5, 40, Decimal(42_500)),
            Market("ETH", 4, 25, Decimal("2240.5")),
            Market("SOL", 2, 20, Decimal("101.2")),
            Market("HYPE", 2, 10, Decimal("22.1")),
            Market("ARB", 1, 10, Decimal("0.951")),
            Market("kPEPE", 0, 10, Decimal("0.011234")),
            Market("xyz:TSLA", 3, 10, Decimal("253.8"), only_isolated=True),
        ],
    )


def seed(exchange: Exchange, address: str = DESK) -> None:
    """Make the venue hold exactly ``book()``, traded a day ago so that it is no news to anyone."""
    yesterday = exchange.now() - DAY_MS
    exchange.open_account(address)
    for dex, usdc in COLLATERAL.items():
        exchange.deposit(address, usdc, dex, at=yesterday)
    for number, held in enumerate(book(), start=1):
        exchange.set_mark(held.coin, held.mark_price)
        exchange.set_leverage(address, held.coin, held.leverage, held.mode)
        exchange.trade(address, held.coin, held.is_long, held.size, held.entry_price, at=yesterday + number)


def steps() -> tuple[Step, ...]:
    """The story, in order."""
    return (
        Step("A bot bought 0.1 BTC at the venue and its fill never reached the book.", "BTC", _missed_fill),
        Step("Somebody closed the SOL long by hand in the venue's own app.", "SOL", _closed_by_hand),
        Step("ETH ran up through the liquidation price; the venue closed the short.", "ETH", _liquidated),
        Step("HYPE leverage was raised from 3x to 10x at the venue.", "HYPE", _leverage_raised),
    )


async def play(exchange: Exchange, address: str = DESK, spacing_s: float = 2.0) -> AsyncIterator[Step]:
    """Wait, apply a step, yield it, for each of ``steps()``. ExchangeError when the venue no longer fits the story."""
    for step in steps():
        await asyncio.sleep(spacing_s)
        step.apply(exchange, address)
        yield step


class Walk:
    """A seeded random walk of the marks in a narrow band; never the cause of a liquidation.

    A mark somebody else moved becomes the middle of a new band.
    """

    def __init__(self, exchange: Exchange, seed: int = 0) -> None:
        self._exchange = exchange
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._anchors: dict[str, Decimal] = {}
        self._last: dict[str, Decimal] = {}

    def step(self) -> None:
        """Move every mark once."""
        for market in self._exchange.markets.values():
            before = market.mark
            if self._last.get(market.coin) != before:
                self._anchors[market.coin] = before
            self._move(market)
            self._last[market.coin] = market.mark

    def _move(self, market: Market) -> None:
        before, anchor = market.mark, self._anchors[market.coin]
        tick = Decimal(1).scaleb(-market.price_decimals)
        # A walk in whole thousandths of the stride: decimals all the way.
        share = STRIDE * self._random.randint(-1000, 1000) / 1000
        after = (before * (1 + share)).quantize(tick)
        if after <= 0 or abs(after - anchor) > anchor * BAND:
            return
        endangered = self._liquidatable()
        self._exchange.set_mark(market.coin, after)
        if self._liquidatable() - endangered:
            self._exchange.set_mark(market.coin, before)

    def _liquidatable(self) -> set[tuple[str, str]]:
        return {
            (account.address, seen.position.coin)
            for account in self._exchange.accounts.values()
            for dex in account.wallets
            for seen in self._exchange.view(account.address, dex).positions
            if seen.is_liquidatable
        }


def _held(
    coin: str,
    asset: str,
    *,
    entry: str,
    leverage: int,
    mark: str,
    long: str = "",
    short: str = "",
    isolated: str = "",
) -> BookPosition:
    """``isolated``: its liquidation price under isolated margin; cross when empty."""
    return BookPosition(
        coin=coin,
        asset=asset,
        is_long=bool(long),
        size=Decimal(long or short),
        entry_price=Decimal(entry),
        leverage=leverage,
        mode=Mode.ISOLATED if isolated else Mode.CROSS,
        mark_price=Decimal(mark),
        liquidation_price=Decimal(isolated) if isolated else None,
    )


def _missed_fill(exchange: Exchange, address: str) -> None:
    exchange.trade(address, "BTC", is_buy=True, size=Decimal("0.1"))


def _closed_by_hand(exchange: Exchange, address: str) -> None:
    exchange.close(address, "SOL")


def _liquidated(exchange: Exchange, address: str) -> None:
    held = next((seen for seen in exchange.view(address).positions if seen.position.coin == "ETH"), None)
    if held is None or held.liquidation is None:
        raise NoPositionError(f"{address} holds no ETH that could be liquidated")
    tick = Decimal(1).scaleb(-held.market.price_decimals)
    exchange.set_mark("ETH", held.liquidation.quantize(tick, ROUND_UP))
    exchange.liquidate(address, "ETH")


def _leverage_raised(exchange: Exchange, address: str) -> None:
    exchange.set_leverage(address, "HYPE", 10, Mode.CROSS)
