"""How the portfolio is spread over the venues, against how it should be. Pure.

A venue that holds something and has no target has the target 0. An empty portfolio has no shares that could be wrong:
it is within every tolerance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from reconciler_service.findings import ZERO
from reconciler_service.holding import EXACT
from reconciler_service.model import BookPosition, BookState


@dataclass(frozen=True, slots=True)
class Targets:
    """Shares by venue and how far off one may be: 0.05 is 5 points."""

    shares: Mapping[str, Decimal]
    tolerance: Decimal


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


def notionals(positions: Iterable[BookPosition], account: str = "") -> dict[str, Decimal]:
    """What is held at each venue, at the mark or, without one, at the entry price; long and short add up.

    What is only announced (OPENING) is not held. ``account`` "" stands for every account.
    """
    values: dict[str, Decimal] = {}
    for held in positions:
        if held.state is not BookState.OPENING and account in {"", held.account}:
            price = held.entry_price if held.mark_price is None else held.mark_price
            values[held.venue] = EXACT.add(values.get(held.venue, ZERO), EXACT.multiply(held.size, price))
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
        gap = abs(EXACT.subtract(value, EXACT.multiply(target, total)))
        is_within = gap <= EXACT.multiply(targets.tolerance, total)
        shares[venue] = Share(value, target, actual, EXACT.subtract(actual, target), is_within)
    return Allocation(total, shares)
