"""What the SIMULATED venue is made of: markets, executions, payments. Pure values, amounts are Decimal.

Prices are USD a unit, sizes base units, times integer milliseconds since 1970, as on the venue's wire.

ExchangeError                the operation cannot be done; nothing was changed
 +- UnknownAccountError       no such address
 +- UnknownMarketError        no such coin or dex
 +- NoPositionError           the account holds nothing there
 +- InsufficientMarginError   the free collateral does not carry it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

USD_STEP = Decimal("0.000001")  # the venue keeps dollars to six decimals
PRICE_DECIMALS = 6  # a price has at most this many decimals less the market's szDecimals
LARGEST = Decimal(10) ** 9  # bound on sizes and prices: keeps every product and sum inside Decimal's 28 digits
MOST_DIGITS = 25
SPOT_TOKENS = ("USDC", "PURR", "HYPE", "UBTC", "UETH", "USOL", "USDH")  # index = place; what spot balances may hold
ZERO = Decimal(0)
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class ExchangeError(Exception):
    """Base of what an operation can be refused for; see the tree above."""


class UnknownAccountError(ExchangeError): ...


class UnknownMarketError(ExchangeError): ...


class NoPositionError(ExchangeError): ...


class InsufficientMarginError(ExchangeError): ...


class Role(StrEnum):
    """What ``userRole`` says of an address. An address never heard of is MISSING."""

    USER = "user"
    AGENT = "agent"
    MISSING = "missing"
    VAULT = "vault"
    SUB_ACCOUNT = "subAccount"


class Mode(StrEnum):
    """How a position is margined."""

    CROSS = "cross"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True)
class Dex:
    """One perpetuals dex. The main one is named ""; HIP-3 dexes prefix their coins with ``name:``."""

    name: str
    full_name: str
    deployer: str = "0x" + "d" * 40
    fee_token: str = "USDC"  # noqa: S105 - a currency


@dataclass(slots=True)
class Market:
    """One perpetual: its grid, its leverage cap, its mark price."""

    coin: str
    size_decimals: int
    max_leverage: int
    mark: Decimal
    only_isolated: bool = False
    funding_rate: Decimal = Decimal("0.0000125")

    @property
    def dex(self) -> str:
        return self.coin.partition(":")[0] if ":" in self.coin else ""

    @property
    def price_decimals(self) -> int:
        return PRICE_DECIMALS - self.size_decimals

    @property
    def maintenance_rate(self) -> Decimal:
        """Maintenance margin as a share of notional: half the initial margin at the highest leverage."""
        return 1 / Decimal(2 * self.max_leverage)

    def check_size(self, size: Decimal) -> Decimal:
        """A size that fits the grid; otherwise ExchangeError, never rounding."""
        return _on_grid(size, self.size_decimals, f"size of {self.coin}")

    def check_price(self, price: Decimal) -> Decimal:
        """A price that fits the grid; otherwise ExchangeError, never rounding."""
        return _on_grid(price, self.price_decimals, f"price of {self.coin}")


@dataclass(frozen=True, slots=True)
class Liquidation:
    """The venue's remark on a fill that was a liquidation."""

    user: str
    mark: Decimal
    method: str = "market"


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one account. ``start_position`` is signed and before the fill."""

    coin: str
    price: Decimal
    size: Decimal
    is_buy: bool
    time: int
    start_position: Decimal
    direction: str  # the venue's prose, e.g. "Open Long"
    closed_pnl: Decimal  # before fees
    oid: int
    tid: int
    hash: str
    fee: Decimal
    fee_token: str
    recorded_at: int = 0  # when the venue booked it; differs from ``time`` for back-dated fills
    liquidation: Liquidation | None = None

    @property
    def signed_size(self) -> Decimal:
        return self.size if self.is_buy else -self.size


@dataclass(frozen=True, slots=True)
class FundingPayment:
    """Funding of one position; ``usdc`` is signed, positive = received by the account."""

    coin: str
    usdc: Decimal
    size: Decimal
    rate: Decimal
    time: int


@dataclass(frozen=True, slots=True)
class FundingRate:
    """One hourly rate of a market."""

    coin: str
    rate: Decimal
    time: int


@dataclass(frozen=True, slots=True)
class Deposit:
    """Collateral that arrived on one dex."""

    usdc: Decimal
    time: int
    hash: str
    dex: str = ""


@dataclass(frozen=True, slots=True)
class LiquidationEntry:
    """The ledger's side of a liquidation; ``positions`` are (coin, signed size) before it."""

    notional: Decimal
    account_value: Decimal
    mode: Mode
    positions: tuple[tuple[str, Decimal], ...]
    time: int
    hash: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Any other entry of the ledger: ``kind`` is the venue's word, ``told`` what it says besides, in its own names."""

    kind: str
    told: Mapping[str, Decimal | str | bool | None]
    time: int
    hash: str


LedgerEntry = Deposit | LiquidationEntry | Transfer


@dataclass(slots=True)
class SpotBalance:
    """Spot holding of one token; ``entry_notional`` in USD."""

    token: str
    total: Decimal
    hold: Decimal = ZERO
    entry_notional: Decimal = ZERO


@dataclass(slots=True)
class History:
    """Everything that ever happened to one account, oldest first."""

    fills: list[Fill] = field(default_factory=list)
    funding: list[FundingPayment] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)

    def copy(self) -> History:
        return History(list(self.fills), list(self.funding), list(self.ledger))


def to_usd_step(amount: Decimal) -> Decimal:
    """Round to the venue's six decimals, half to even. Whoever rounds keeps the remainder somewhere."""
    return amount.quantize(USD_STEP)


def _on_grid(value: Decimal, decimals: int, what: str) -> Decimal:
    if not value.is_finite() or not 0 < value <= LARGEST:
        raise ExchangeError(f"{what} must be above 0 and at most {LARGEST}, got {value}")
    step = Decimal(1).scaleb(-decimals)
    if value.adjusted() < -decimals or len(value.as_tuple().digits) > MOST_DIGITS or value % step:
        raise ExchangeError(f"{what} must be a multiple of {step}, got {value}")
    return value
