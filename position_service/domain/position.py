"""The position and the words it is made of."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from position_service.domain.numbers import ZERO, shown
from position_service.domain.record import record


class Side(Enum):
    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        return 1 if self is Side.LONG else -1

    @property
    def other(self) -> Side:
        return Side.SHORT if self is Side.LONG else Side.LONG


class Product(Enum):
    SPOT = "SPOT"
    PERPETUAL = "PERPETUAL"
    FUTURE = "FUTURE"


class MarginMode(Enum):
    CROSS = "CROSS"
    ISOLATED = "ISOLATED"


class Status(Enum):
    OPENING = "OPENING"
    OPEN = "OPEN"
    REDUCED = "REDUCED"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    LIQUIDATED = "LIQUIDATED"

    @property
    def is_final(self) -> bool:
        return self in (Status.CLOSED, Status.LIQUIDATED)


class Key(NamedTuple):
    """The natural key: at most one live position has it (one-way netting)."""

    account: str
    venue: str
    symbol: str


class Instrument(NamedTuple):
    venue: str
    symbol: str


@record
class Mark:
    """A mark price: quote currency a unit, and when it was observed."""

    price: Decimal
    observed_at: datetime


@record
class LiquidationPrice:
    """What a venue says of a holding: at which price it liquidates it. None: it names none."""

    side: Side
    size: Decimal
    price: Decimal | None
    observed_at: datetime


class Guess(Enum):
    """What a correction has guessed the price of."""

    CLOSED = "CLOSED"  # what it closed
    OPENED = "OPENED"  # what it opened or added, and is still in the position
    SPENT = "SPENT"  # that, closed since


@record
class Estimate:
    """What a correction closed or opened at a guessed price, as far as the fills that really did are missing.

    ``cost`` is the basis that goes with ``size``. Closed, the guess realised (price * size - cost) * sign of ``side``;
    opened, the cost is in the position's basis; spent, it has been subtracted from what closing it brought.
    """

    revision: int  # of the correction
    at: datetime  # when it was made: what was executed later it cannot have anticipated
    side: Side  # that was closed, or opened
    size: Decimal
    price: Decimal
    cost: Decimal
    kind: Guess = Guess.CLOSED

    @property
    def fill_side(self) -> Side:
        """The side of the fills that it anticipates: purchases are LONG."""
        return self.side.other if self.kind is Guess.CLOSED else self.side


@record
class Position:
    """One holding. Size in base units, never negative; prices and PnL in quote currency.

    ``cost`` is the sum of price x size of what is open, kept exactly; the entry price follows from it.
    """

    position_id: UUID
    account: str
    venue: str
    symbol: str
    asset: str
    product: Product
    side: Side
    size: Decimal
    cost: Decimal
    status: Status
    leverage: Decimal
    margin_mode: MarginMode | None
    liquidation_price: Decimal | None  # given by whoever keeps the book; what the venue says stands beside it
    realized: Decimal
    peak: Decimal
    opened_at: datetime
    updated_at: datetime
    revision: int = 0
    closed_at: datetime | None = None
    deadline: datetime | None = None
    returns_to: Status | None = None  # where a cancelled close leads back to
    at_risk: bool = False
    other_fees: tuple[tuple[str, Decimal], ...] = ()  # by currency, sorted
    labels: tuple[tuple[str, str], ...] = ()  # by name, sorted
    estimated: Decimal = ZERO  # the part of ``realized`` that corrections had to guess
    final_entry: Decimal = ZERO  # the entry price it had when it became flat
    funding: Decimal = ZERO  # received less paid; no part of ``realized``
    other_funding: tuple[tuple[str, Decimal], ...] = ()  # by currency, sorted
    estimates: tuple[Estimate, ...] = ()  # outstanding, oldest first

    @property
    def key(self) -> Key:
        return Key(self.account, self.venue, self.symbol)

    @property
    def instrument(self) -> Instrument:
        return Instrument(self.venue, self.symbol)

    @property
    def quote(self) -> str:
        """The currency of prices: what stands after the slash of the canonical pair."""
        return self.asset.rpartition("/")[2]

    @property
    def entry_price(self) -> Decimal:
        """Average entry price, rounded half-even to 18 digits; of a flat position, the last one it had."""
        return shown(self.cost / self.size) if self.size else self.final_entry
