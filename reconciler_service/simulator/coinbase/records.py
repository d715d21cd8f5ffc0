"""What a SIMULATED Coinbase is made of. Amounts are Decimal, times milliseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from reconciler_service.simulator.records import ZERO

SPOT = "SPOT"
FUTURE = "FUTURE"


@dataclass(slots=True)
class Market:
    """One product. ``step`` is the smallest size change: base units, contracts for futures."""

    product_id: str
    base: str
    quote: str
    step: Decimal
    price: Decimal
    kind: str = SPOT
    contract_size: Decimal | None = None  # base units a contract
    expiry: str = ""
    funding_rate: str = ""  # not empty: perpetual-style
    is_listed: bool = True  # an expired contract is not listed, but can be asked for


@dataclass(slots=True)
class Wallet:
    """One account row."""

    uuid: str
    currency: str
    available: Decimal
    updated_at: int
    hold: Decimal = ZERO
    type: str = "ACCOUNT_TYPE_CRYPTO"
    platform: str = "ACCOUNT_PLATFORM_CONSUMER"
    is_ready: bool = True


@dataclass(slots=True)
class Contracts:
    """One futures position. ``count`` is signed, ``cost`` the sum of signed base size x price of what is open."""

    product_id: str
    count: Decimal
    cost: Decimal
    realized: Decimal = ZERO


REVERSAL = "REVERSAL"


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution, or what undoes one. ``size`` is as on the wire: base, contracts, or quote if it says so."""

    tid: int
    product_id: str
    is_buy: bool
    size: Decimal
    price: Decimal
    commission: Decimal
    time: int
    recorded_at: int
    trade_type: str = "FILL"
    trade_id: str = ""
    is_size_in_quote: bool = False
    nanoseconds: int = 0  # beyond the millisecond
    filled: Decimal | None = None  # what the base wallet moved by, where the size is in quote

    @property
    def base_size(self) -> Decimal:
        """What was traded, in base units or contracts."""
        return self.size if self.filled is None else self.filled
