"""How the portfolio is spread over the venues, against how it should be, and what would restore that. Pure.

A venue that holds something and has no target has the target 0. An empty portfolio has no shares that could be wrong:
it is within every tolerance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from reconciler_service.findings import ZERO
from reconciler_service.holding import EXACT, STEP
from reconciler_service.model import BookPosition, BookState, Side


@dataclass(frozen=True, slots=True)
class Targets:
    """Shares by venue and how far off one may be: 0.05 is 5 points."""

    shares: Mapping[str, Decimal]
    tolerance: Decimal
    release: Decimal = ZERO  # the smaller bound below which a case ends, so that none flickers at the tolerance


@dataclass(frozen=True, slots=True)
class Share:
    """One venue. ``value`` in quote currency; the rest are shares, 0.8 is 80 %."""

    value: Decimal
    target: Decimal
    actual: Decimal
    drift: Decimal  # actual - target
    within_tolerance: bool


@dataclass(frozen=True, slots=True)
class Allocation:
    """All venues. ``portfolio_value`` is what the shares are shares of."""

    portfolio_value: Decimal
    shares: dict[str, Share]

    @property
    def is_within(self) -> bool:
        """Whether every venue is within the tolerance."""
        return all(share.within_tolerance for share in self.shares.values())


@dataclass(frozen=True, slots=True)
class Exposure:
    """One position by its worth: ``size`` in base units, ``price`` in quote currency a unit."""

    account: str
    venue: str
    symbol: str
    asset: str
    side: Side
    size: Decimal
    price: Decimal
    size_step: Decimal = STEP

    @property
    def value(self) -> Decimal:
        return EXACT.multiply(self.size, self.price)


@dataclass(frozen=True, slots=True)
class Trade:
    """What would be traded. Without a symbol: the venue holds nothing that could be grown, ``notional`` says how much."""

    venue: str
    notional: Decimal  # quote currency
    account: str = ""
    symbol: str = ""
    asset: str = ""
    is_buy: bool = True
    size: Decimal = ZERO


def exposures(positions: Iterable[BookPosition], account: str = "") -> list[Exposure]:
    """What the book holds, at the mark or, without one, at the entry price.

    What is only announced (OPENING) is not held. ``account`` "" stands for every account.
    """
    return [
        Exposure(
            held.account,
            held.venue,
            held.symbol,
            held.asset,
            held.side,
            held.size,
            held.entry_price if held.mark_price is None else held.mark_price,
        )
        for held in positions
        if held.state is not BookState.OPENING and account in {"", held.account}
    ]


def by_venue(held: Iterable[Exposure]) -> dict[str, Decimal]:
    """What is held at each venue; long and short add up."""
    values: dict[str, Decimal] = {}
    for one in held:
        values[one.venue] = EXACT.add(values.get(one.venue, ZERO), one.value)
    return values


def allocate(values: Mapping[str, Decimal], targets: Targets, portfolio_value: Decimal | None = None) -> Allocation:
    """Compare the venues' shares with their targets. ``portfolio_value`` None: the sum of the values.

    Whether a share is within its tolerance is decided exactly, not by the shown share.
    """
    total = portfolio_value
    if total is None:
        total = sum(values.values(), ZERO)
    shares = {}
    for venue in sorted({*values, *targets.shares}):
        value, target = values.get(venue, ZERO), targets.shares.get(venue, ZERO)
        if not total:
            shares[venue] = Share(value, target, ZERO, ZERO, within_tolerance=True)
            continue
        actual = EXACT.divide(value, total)
        drift, is_within = EXACT.subtract(actual, target), _is_within(value, target, total, targets.tolerance)
        shares[venue] = Share(value, target, actual, drift, is_within)
    return Allocation(total, shares)


def is_released(made: Allocation, venue: str, targets: Targets) -> bool:
    """Whether a venue is so near its target that its case is over."""
    share, total = made.shares.get(venue), made.portfolio_value
    return share is None or not total or _is_within(share.value, share.target, total, targets.release)


def restoring(made: Allocation, held: Iterable[Exposure]) -> tuple[Trade, ...]:
    """The trades after which every venue has its target share.

    The positions of a venue grow or shrink alike, each by whole size steps, rounded towards less.
    """
    positions = sorted(held, key=lambda one: (one.venue, one.account, one.symbol))
    trades: list[Trade] = []
    for venue, share in made.shares.items():
        gap = EXACT.subtract(EXACT.multiply(share.target, made.portfolio_value), share.value)
        if not gap:
            continue
        if not share.value:
            trades.append(Trade(venue, abs(gap)))
            continue
        for one in positions:
            if one.venue != venue:
                continue
            exact = EXACT.divide(EXACT.multiply(one.size, abs(gap)), share.value)
            steps = EXACT.divide(exact, one.size_step).to_integral_value(ROUND_DOWN)
            if size := EXACT.multiply(steps, one.size_step):
                is_buy = (gap > 0) is (one.side is Side.LONG)
                notional = EXACT.multiply(size, one.price)
                trades.append(Trade(venue, notional, one.account, one.symbol, one.asset, is_buy, size))
    return tuple(trades)


def _is_within(value: Decimal, target: Decimal, total: Decimal, bound: Decimal) -> bool:
    gap = abs(EXACT.subtract(value, EXACT.multiply(target, total)))
    return gap <= EXACT.multiply(bound, total)
