"""Spot at the SIMULATED venue: tokens, their pairs against USDC, and how a trade or a transfer moves balances.

Every unit that leaves one balance lands in another, goes to the venue as a fee, or is in the ledger:

    balance of a token = transfers in - transfers out + bought - sold - fees of what was bought
    balance of USDC    = transfers in - transfers out + proceeds of sales - fees of sales - cost of what was bought

The fee of a purchase is taken from the bought token, as at the venue.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from reconciler_service.simulator.records import (
    LARGEST,
    SPOT_TOKENS,
    ZERO,
    ExchangeError,
    InsufficientMarginError,
    SpotBalance,
    Transfer,
    UnknownMarketError,
    to_usd_step,
)

CASH = "USDC"
FEE = Decimal("0.0007")  # of what is bought, or of the proceeds
STABLE = Decimal(1)
NATIVE = "PURR"  # the one token whose pair has a name instead of a number


@dataclass(frozen=True, slots=True)
class SpotToken:
    """One token: ``size_decimals`` of what is traded, ``wei_decimals`` of what is held."""

    name: str
    size_decimals: int
    wei_decimals: int
    full_name: str | None = None

    @property
    def index(self) -> int:
        return SPOT_TOKENS.index(self.name)

    @property
    def pair(self) -> str:
        """The venue's name of its pair against USDC."""
        return f"{self.name}/{CASH}" if self.name == NATIVE else f"@{self.index}"


TOKENS = {
    token.name: token
    for token in (
        SpotToken(CASH, 8, 8),
        SpotToken(NATIVE, 0, 5),
        SpotToken("HYPE", 2, 8, "Hyperliquid"),
        SpotToken("UBTC", 5, 10, "Unit Bitcoin"),
        SpotToken("UETH", 4, 9, "Unit Ethereum"),
        SpotToken("USOL", 3, 9, "Unit Solana"),
        SpotToken("USDH", 2, 8),
    )
}


@dataclass(slots=True)
class SpotMarkets:
    """Mids by token, USD. A token without one has a pair that nobody quotes."""

    mids: dict[str, Decimal] = field(
        default_factory=lambda: {
            "HYPE": Decimal("22.1"),
            "UBTC": Decimal(42_500),
            "UETH": Decimal("2240.5"),
            "USOL": Decimal("101.2"),
            "USDH": STABLE,
        }
    )

    def price(self, token: str, price: Decimal | None) -> Decimal:
        """A price that was given, else the mid. Raises ExchangeError."""
        found = self.mids.get(token) if price is None else price
        if found is None:
            raise UnknownMarketError(f"nobody quotes {token}")
        if not found.is_finite() or not 0 < found <= LARGEST:
            raise ExchangeError(f"a price is above 0 and at most {LARGEST}, got {found}")
        return found


def token_of(name: str) -> SpotToken:
    """Raises UnknownMarketError."""
    if name not in TOKENS:
        raise UnknownMarketError(f"no spot token {name!r}")
    return TOKENS[name]


def held(balances: dict[str, SpotBalance], token: str) -> SpotBalance:
    """A copy of the balance, empty where there is none."""
    return replace(balances[token]) if token in balances else SpotBalance(token, ZERO)


def traded(
    balances: dict[str, SpotBalance], token: SpotToken, size: Decimal, price: Decimal, *, is_buy: bool
) -> tuple[dict[str, SpotBalance], Decimal, str]:
    """The balances after a trade of the token against USDC, the fee and the token it was taken in."""
    step = Decimal(1).scaleb(-token.size_decimals)
    if token.name == CASH or not size.is_finite() or not 0 < size <= LARGEST or size % step:
        raise ExchangeError(f"a size of {token.name} is above 0 in steps of {step}, got {size}")
    base, cash = held(balances, token.name), held(balances, CASH)
    worth = size * price
    if is_buy:
        fee = (size * FEE).quantize(Decimal(1).scaleb(-token.wei_decimals))
        base.total += size - fee
        base.entry_notional += worth
        cash.total -= worth
    else:
        fee = (worth * FEE).quantize(Decimal("1e-8"))
        left = base.entry_notional * (base.total - size) / base.total if base.total else ZERO
        base.entry_notional = to_usd_step(left)
        base.total -= size
        cash.total += worth - fee
    for balance in (base, cash):
        if balance.total - balance.hold < 0:
            raise InsufficientMarginError(f"the free {balance.token} does not carry it")
    return balances | {token.name: base, CASH: cash}, fee, token.name if is_buy else CASH


def moved(balances: dict[str, SpotBalance], token: str, amount: Decimal) -> dict[str, SpotBalance]:
    """The balances after ``amount`` of a token came in, or left when below zero."""
    unit = Decimal(1).scaleb(-token_of(token).wei_decimals)
    if not amount.is_finite() or not 0 < abs(amount) <= LARGEST or amount % unit:
        raise ExchangeError(f"an amount of {token} is in steps of {unit}, got {amount}")
    balance = held(balances, token)
    balance.total += amount
    if amount < 0 and balance.total - balance.hold < 0:
        raise InsufficientMarginError(f"the free {token} does not carry it")
    return balances | {token: balance}


def sent(token: str, amount: Decimal, worth: Decimal, address: str, other: str, time: int, reference: str) -> Transfer:
    """The ledger's side of tokens that came from another address, or went there when below zero."""
    source, to = (other, address) if amount > 0 else (address, other)
    told: dict[str, Decimal | str | bool | None] = {
        "token": token,
        "amount": abs(amount),
        "usdcValue": worth,
        "user": source,
        "destination": to,
        "fee": ZERO,
        "nativeTokenFee": ZERO,
        "nonce": None,
        "feeToken": "",
    }
    return Transfer("spotTransfer", told, time, reference)
