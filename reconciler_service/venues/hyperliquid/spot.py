"""The scope ``spot``: every token held, with the mids to tell dust by and to value it.

The venue tells no time of the balances. That they are old can be told by the perpetuals of the same look (``trust``), and
by their being back at an earlier state (``States``); of a cache that is behind from the beginning it cannot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from reconciler_service.model import Equity, Outcome, Product, ScopeReading, VenueFill, VenuePosition
from reconciler_service.venues import VenueDataError, VenueError
from reconciler_service.venues.hyperliquid import decode, tokens
from reconciler_service.venues.hyperliquid.client import Client
from reconciler_service.venues.hyperliquid.metadata import Metadata
from reconciler_service.venues.hyperliquid.tokens import Tokens
from reconciler_service.venues.wire import EXACT

SCOPE = "spot"
CASH = ("USDC", "USDH", "USDE", "USDT0")  # tokens that count as USD, the one that names the holdings first
OUTCOME = "#"  # what begins so is no pair
STATES = 16  # of the balances, that are remembered
BACK_FOR = timedelta(seconds=10)  # before balances that went back are believed
PATIENCE_S = 20.0  # three questions in a row must leave time for the other scopes

Marks = dict[str, Decimal]  # by symbol
State = frozenset[tuple[str, Decimal]]  # what is held of each token


@dataclass(frozen=True, slots=True)
class SpotSettings:
    """What the tokens of an account are. ``assets``: what a token stands for, where the rule does not know it."""

    cash: Sequence[str] = CASH
    assets: Mapping[str, str] | None = None
    if_booked: bool = True  # compared only where the book keeps spot positions of the account


class States:
    """Tells balances that went back to an earlier state. The venue gives them no time, and a cache may be behind.

    Every trade, fee and transfer leaves another state. To be back at an earlier one in every balance takes a transfer
    and the very same one back: rare, and believed once it lasts. What orders hold is left out, it comes and goes; and so
    is an empty answer, which is for others to believe, and newer than nothing.
    """

    def __init__(self) -> None:
        self._seen: deque[State] = deque(maxlen=STATES)  # in order, the last one is believed
        self._back: tuple[State, datetime] | None = None  # what it went back to, and when that was first asked for

    def doubt(self, balances: Iterable[decode.SpotBalance], asked_at: datetime) -> str:
        """Take balances in. Returns why they are not believed; empty when they are."""
        state = frozenset((one.coin, one.total) for one in balances if one.total)
        if not state:
            return ""
        if self._seen and state != self._seen[-1] and state in self._seen:
            if self._back is None or self._back[0] != state or self._back[1] > asked_at:
                self._back = state, asked_at
            if asked_at - self._back[1] < BACK_FOR:
                return (
                    "old: every balance is as it was before the last change, and the venue tells no time: asking again"
                )
        self._back = None
        if not self._seen or state != self._seen[-1]:
            self._seen.append(state)
        return ""


class SpotReader:
    """Reads the tokens of one account. The metadata is read when a token is held, when old, and for a new token."""

    def __init__(self, client: Client, settings: SpotSettings, metadata: Metadata) -> None:
        self._client = client
        self._settings = settings
        self._metadata = metadata
        self._states = States()
        self._mids: dict[str, Decimal] = {}  # the last ones seen

    async def read(self, now: datetime) -> tuple[ScopeReading, Marks]:
        """The scope and marks. Never raises VenueError. The venue tells no time of the state."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._read(now)
        except (VenueError, TimeoutError) as error:
            return self._reading(Outcome.FAILED, error=str(error) or f"no answer within {PATIENCE_S:g} s"), {}

    async def _read(self, now: datetime) -> tuple[ScopeReading, Marks]:
        cash = self._settings.cash
        balances = decode.spot_balances(await self._client.mine("spotClearinghouseState"))
        if len({one.coin for one in balances}) != len(balances):
            raise VenueDataError("balances: a token is listed twice")
        held = tokens.coins(balances, cash)
        known = await self._tokens(now, lambda known: held <= known.by_name.keys()) if held else Tokens()
        fresh = await self._prices() if held else {}
        found = [tokens.position(one, known, self._mids) for one in balances if one.coin in held]
        positions = tuple(one for one in found if one is not None)
        marks = {one.symbol: fresh[one.symbol] for one in positions if one.symbol in fresh}
        doubt = self._states.doubt(balances, now)
        outcome = Outcome.SUSPECT if doubt else Outcome.OK
        return self._reading(outcome, positions, _equity(balances, cash, positions), doubt), marks

    async def moved(self, fills: Iterable[VenueFill], now: datetime) -> list[VenueFill]:
        """Fills on spot pairs as what they did to holdings: named like them, fees in the asset's name.

        They do not chain from one start to the next, since fees and transfers move a balance too. Raises VenueError.
        """
        listed = list(fills)
        pairs = frozenset(fill.symbol for fill in listed if not fill.symbol.startswith(OUTCOME))
        known = await self._tokens(now, lambda known: pairs <= known.listed) if listed else Tokens()
        return [_moved(fill, known) for fill in listed]

    async def tokens(self, now: datetime) -> Tokens:
        """The venue's tokens. Raises VenueError."""
        return await self._tokens(now, lambda _: True)

    async def _tokens(self, now: datetime, is_enough: Callable[[Tokens], bool]) -> Tokens:
        kept = self._metadata.tokens

        async def read() -> Tokens:
            raw = await self._client.public("spotMeta")
            return tokens.tokens(raw, self._settings.cash, self._settings.assets or {})

        try:
            return await kept.get(now, read, is_enough)
        except VenueError:
            # Old metadata still holds for what it names. What it does not name may be new, not unknown.
            if kept.value is None or not is_enough(kept.value):
                raise
            return kept.value

    async def _prices(self) -> dict[str, Decimal]:
        """Mids of now. Where they cannot be had, older ones tell dust; without any, airdropped dust would be a drift."""
        try:
            fresh = decode.mids(await self._client.public("allMids"))
        except VenueError:
            if not self._mids:
                raise
            return {}
        self._mids = fresh
        return fresh

    def _reading(
        self,
        outcome: Outcome,
        positions: tuple[VenuePosition, ...] = (),
        equity: Equity | None = None,
        error: str = "",
    ) -> ScopeReading:
        return ScopeReading(
            SCOPE, Product.SPOT, "", outcome, positions, error, equity=equity, if_booked=self._settings.if_booked
        )


def _equity(balances: Iterable[decode.SpotBalance], cash: Sequence[str], positions: Iterable[VenuePosition]) -> Equity:
    settled = held = Decimal(0)
    for one in balances:
        settled = EXACT.add(settled, one.total) if one.coin in cash else settled
    unpriced = []
    for position in positions:
        if position.mark_price is None:
            unpriced.append(position.symbol)
        else:
            held = EXACT.add(held, EXACT.multiply(position.signed_size, position.mark_price))
    return Equity(settled, holdings=held, unpriced=tuple(unpriced))


def _moved(fill: VenueFill, known: Tokens) -> VenueFill:
    token = known.pairs.get(fill.symbol)
    charged = known.by_name.get(fill.fee_currency)
    return VenueFill(
        fill_id=fill.fill_id,
        symbol=token.pair if token else fill.symbol,
        is_buy=fill.is_buy,
        size=fill.size,
        price=fill.price,
        time=fill.time,
        fee=fill.fee,
        fee_currency=charged.asset if charged else fill.fee_currency,
        text=fill.text,
    )
