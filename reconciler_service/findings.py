"""What the Reconciler finds and how it explains it. Pure values, no I/O, no protobuf.

Amounts are Decimal: sizes in base units, prices and money in quote currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from reconciler_service.model import BookPosition, Product, Source, VenuePosition

ZERO = Decimal(0)


class Kind(Enum):
    """The one fact in which book and venue disagree."""

    MISSING_LOCALLY = "MISSING_LOCALLY"
    MISSING_AT_VENUE = "MISSING_AT_VENUE"
    SIZE = "SIZE"
    SIDE = "SIDE"
    ENTRY_PRICE = "ENTRY_PRICE"
    LEVERAGE = "LEVERAGE"
    MARGIN_MODE = "MARGIN_MODE"
    LIQUIDATION_PRICE = "LIQUIDATION_PRICE"
    UNMAPPED = "UNMAPPED"
    OVERDUE = "OVERDUE"


class Severity(Enum):
    """INFO: a setting or a small amount. WARNING: exposure is not what the book says. CRITICAL: a whole position."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class Cause(Enum):
    """Why book and venue disagree, as far as the evidence tells."""

    MISSED_FILLS = "MISSED_FILLS"
    LIQUIDATION = "LIQUIDATION"
    CLOSED_AT_VENUE = "CLOSED_AT_VENUE"
    FUNDING = "FUNDING"
    FEE_IN_BASE = "FEE_IN_BASE"
    TRANSFER = "TRANSFER"
    SETTING_CHANGED = "SETTING_CHANGED"
    UNEXPLAINED = "UNEXPLAINED"


EXPOSURE = frozenset({Kind.MISSING_LOCALLY, Kind.MISSING_AT_VENUE, Kind.SIZE, Kind.SIDE})

Key = tuple[str, str, str, Kind]


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement in one snapshot. At least one of ``local`` and ``actual`` is there."""

    kind: Kind
    account: str
    venue: str
    symbol: str
    source: Source
    requested_at: datetime  # of the snapshot that showed it
    rule: str  # the rule and the tolerance that fired, in words
    local: BookPosition | None = None
    actual: VenuePosition | None = None
    mark: Decimal | None = None
    observed_at: datetime | None = None  # the venue's own time of the state

    @property
    def key(self) -> Key:
        """What makes two findings the same case."""
        return self.account, self.venue, self.symbol, self.kind

    @property
    def asset(self) -> str:
        """Canonical pair, "" when neither side knows it."""
        if self.local is not None:
            return self.local.asset
        return (self.actual.asset if self.actual else None) or ""

    @property
    def product(self) -> Product:
        if self.actual is not None:
            return self.actual.product
        assert self.local is not None
        return self.local.product

    @property
    def book_revision(self) -> int:
        """The ledger revision of the book's position; 0 when there is none."""
        return self.local.revision if self.local else 0

    @property
    def booked(self) -> tuple[object, ...]:
        """What the book must say again for this to be the same finding.

        Not its revision: labels and risk limits move it as well, and have nothing to do with what was traded.
        """
        local = self.local
        if local is None:
            return ()
        traded = local.position_id, local.side, local.size, local.entry_price, local.cost_basis, local.realized_pnl
        announced = local.state, local.deadline
        settings = local.leverage, local.margin_mode
        return *traded, *announced, *settings, self.kind is Kind.LIQUIDATION_PRICE and local.liquidation_price

    @property
    def fact(self) -> tuple[object, ...]:
        """What the venue must say again for this to be the same finding.

        A liquidation price moves with the marks and an unmapped or overdue position is what it is, so
        for those the finding itself is the fact.
        """
        actual = self.actual
        if actual is None or self.kind in {Kind.LIQUIDATION_PRICE, Kind.UNMAPPED, Kind.OVERDUE}:
            return ()
        if self.kind is Kind.ENTRY_PRICE:
            return (actual.entry_price,)
        if self.kind is Kind.LEVERAGE:
            return (actual.leverage,)
        if self.kind is Kind.MARGIN_MODE:
            return (actual.margin_mode,)
        return actual.side, actual.size

    @property
    def size_delta(self) -> Decimal:
        """Venue minus book, long positive, base units."""
        held = self.actual.signed_size if self.actual else ZERO
        booked = self.local.signed_size if self.local else ZERO
        return held - booked

    @property
    def notional_delta(self) -> Decimal | None:
        """The absolute size delta at the mark, quote currency; None without a mark."""
        return None if self.mark is None else abs(self.size_delta) * self.mark


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A durable drift case of the ledger, as far as the Reconciler needs it."""

    drift_id: str
    account: str
    venue: str
    symbol: str
    product: Product | None
    kind: Kind

    @property
    def key(self) -> Key:
        return self.account, self.venue, self.symbol, self.kind


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact that supports an explanation. ``kind`` is "fill", "liquidation", "setting", "funding" or "transfer"."""

    kind: str
    text: str
    id: str = ""
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One field of a correction, before and after, as plain text."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, why we think so, and what would mend the book. Nothing is changed by it."""

    cause: Cause
    text: str  # one sentence for a trader
    evidence: tuple[Evidence, ...] = ()
    correction: tuple[Change, ...] = ()
    estimated: bool = False  # the realised PnL of the correction is not from fills
