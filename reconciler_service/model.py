"""What the Reconciler reasons about: positions, snapshots, fills. Pure values, no I/O, no protobuf.

Sizes are in base units and never negative; prices are in quote currency a unit; all amounts are Decimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from enum import Enum
from typing import NamedTuple

_EXACT = Context(prec=160)


class Side(Enum):
    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        return 1 if self is Side.LONG else -1


class Product(Enum):
    SPOT = "SPOT"
    PERPETUAL = "PERPETUAL"
    FUTURE = "FUTURE"


class MarginMode(Enum):
    CROSS = "CROSS"
    ISOLATED = "ISOLATED"


class Source(Enum):
    SIMULATED = "SIMULATED"
    LIVE = "LIVE"


class Outcome(Enum):
    """How far a scope's answer can be trusted. Nothing is ever concluded from anything but OK."""

    OK = "OK"
    FAILED = "FAILED"
    SUSPECT = "SUSPECT"


class BookState(Enum):
    """Where a live position of the book stands. Final ones are never compared."""

    OPENING = "OPENING"
    OPEN = "OPEN"
    REDUCED = "REDUCED"
    CLOSING = "CLOSING"


@dataclass(frozen=True, slots=True)
class BookPosition:
    """One live position as the book has it. ``revision`` is that of its last event."""

    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str
    product: Product
    side: Side
    size: Decimal
    entry_price: Decimal
    state: BookState
    revision: int
    updated_at: datetime
    leverage: Decimal | None = None
    margin_mode: MarginMode | None = None
    liquidation_price: Decimal | None = None
    cost_basis: Decimal | None = None  # exact sum of price x size of what is open; None: entry price x size
    realized_pnl: Decimal = Decimal(0)
    mark_price: Decimal | None = None
    deadline: datetime | None = None  # of OPENING and CLOSING
    agreed_at: datetime | None = None  # when the venue last agreed with it

    @property
    def in_transit(self) -> bool:
        """Announced but not confirmed: the venue may or may not have followed yet."""
        return self.state is BookState.OPENING or self.state is BookState.CLOSING

    @property
    def signed_size(self) -> Decimal:
        return self.size if self.side is Side.LONG else -self.size


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """One position as the venue reports it, sizes quantised to the venue's step."""

    symbol: str
    asset: str | None  # canonical pair; None: the venue's metadata does not know the instrument
    product: Product
    side: Side
    size: Decimal
    size_step: Decimal  # the venue's smallest size change
    entry_price: Decimal | None = None
    leverage: Decimal | None = None
    margin_mode: MarginMode | None = None
    liquidation_price: Decimal | None = None
    mark_price: Decimal | None = None
    raw_size: str = ""  # as it stood on the wire, for the audit

    @property
    def signed_size(self) -> Decimal:
        return self.size if self.side is Side.LONG else -self.size


@dataclass(frozen=True, slots=True)
class Equity:
    """What a scope is worth by the venue's own numbers, in USD and what counts as USD.

    The parts add up to ``value`` exactly. ``unpriced`` are currencies and coins held there that no price is known for:
    they are in none of the parts.
    """

    cash: Decimal  # settled: deposits, realised PnL, fees and funding are in it; below zero when borrowed
    unrealized_pnl: Decimal = Decimal(0)  # of the contracts, at the marks
    holdings: Decimal = Decimal(0)  # coins held, at the marks
    unpriced: tuple[str, ...] = ()

    @property
    def value(self) -> Decimal:
        """The account value of the scope."""
        return _EXACT.add(_EXACT.add(self.cash, self.unrealized_pnl), self.holdings)


@dataclass(frozen=True, slots=True)
class ScopeReading:
    """One scope of one account: a dex, spot, futures. Complete when OK, worthless otherwise."""

    scope: str  # "" is the venue's main scope
    product: Product
    symbol_prefix: str  # instruments of the scope begin with it, e.g. "xyz:"
    outcome: Outcome
    positions: tuple[VenuePosition, ...] = ()
    error: str = ""  # why not OK, without secrets
    observed_at: datetime | None = None  # the venue's own time of the state
    equity: Equity | None = None  # None: not told here, or not meaningful in the account's mode
    if_booked: bool = False  # compared only where the book keeps positions of this product
    is_absent: bool = False  # empty because the venue says that it keeps nothing of the kind for the account


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a venue says of one account, requested at one time. A symbol stands in it at most once."""

    venue: str
    account: str
    source: Source
    requested_at: datetime  # taken before the first request was sent
    scopes: tuple[ScopeReading, ...]
    marks: tuple[tuple[str, Decimal], ...] = ()  # (symbol, mark price)
    mode: str = ""  # how the venue keeps the account, in its own word, e.g. "unifiedAccount"; "" where it has none
    clock_skew: timedelta | None = None  # the venue's clock minus ours; None: not measured


class Mark(NamedTuple):
    """What an instrument is worth at a venue. ``at`` is the venue's time of it."""

    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One execution. ``start_position`` is the signed size before it, where the venue says so."""

    fill_id: str
    symbol: str
    is_buy: bool
    size: Decimal
    price: Decimal
    time: datetime
    fee: Decimal = Decimal(0)
    fee_currency: str = ""
    start_position: Decimal | None = None
    liquidation: bool = False
    text: str = ""  # the venue's own prose, e.g. "Open Long"

    @property
    def signed_size(self) -> Decimal:
        return self.size if self.is_buy else -self.size


class FlowKind(Enum):
    """FUNDING: paid or received for holding a perpetual. TRANSFER: money or coins that came, went or moved."""

    FUNDING = "FUNDING"
    TRANSFER = "TRANSFER"


@dataclass(frozen=True, slots=True)
class CashFlow:
    """What moved a balance without a trade. A move between two scopes of one account is two of them.

    Both have the id of what the venue booked, so ``flow_id`` is unique together with ``scope``.
    """

    flow_id: str
    kind: FlowKind
    time: datetime
    scope: str  # whose balance moved
    currency: str  # e.g. "USDC"; of a coin the base of its asset, e.g. "BTC"
    amount: Decimal  # above zero: received
    symbol: str = ""  # the instrument that was funded
    text: str = ""  # the venue's own word, e.g. "accountClassTransfer"
