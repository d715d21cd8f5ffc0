"""What a trade does to a position. Average cost, exact to the last digit.

add:     cost += price * added
reduce:  the closed part takes its share of the cost; realised += (price * closed - share) * sign - fee
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from position_service.domain.errors import InvalidValue, SizeExceedsPosition
from position_service.domain.numbers import TOO_LARGE, ZERO, share
from position_service.domain.position import Position, Status


class Fee(NamedTuple):
    """Negative is a rebate. An empty currency is the quote currency."""

    amount: Decimal = ZERO
    currency: str = ""


# Currencies that count as one when a fee is charged in another of them than the pair's quote.
DOLLARS = frozenset({"USD", "USDC"})

NO_FEE = Fee()


def charge(position: Position, fee: Fee) -> Position:
    """Book a fee: into realised PnL when it is in the quote currency, else apart in its own."""
    if not fee.amount:
        return position
    quote = position.quote
    if fee.currency in ("", quote) or (fee.currency in DOLLARS and quote in DOLLARS):
        return replace(position, realized=position.realized - fee.amount)
    fees = dict(position.other_fees)
    fees[fee.currency] = fees.get(fee.currency, ZERO) + fee.amount
    return replace(position, other_fees=tuple(sorted(fees.items())))


def add(position: Position, size: Decimal, price: Decimal, fee: Fee, at: datetime) -> Position:
    """Grow the position. Raises InvalidValue when the size would leave the range of amounts."""
    total = position.size + size
    if total >= TOO_LARGE:
        raise InvalidValue("size", "the position would have more than 20 integer digits")
    grown = replace(
        position,
        size=total,
        cost=position.cost + price * size,
        peak=max(position.peak, total),
        updated_at=at,
    )
    return charge(grown, fee)


def reduce(position: Position, size: Decimal, price: Decimal, fee: Fee, at: datetime) -> Position:
    """Close a part, or all, and realise its PnL. The status becomes REDUCED or, when flat, CLOSED."""
    if size > position.size:
        raise SizeExceedsPosition(position.size, size)
    flat = size == position.size
    # All of the basis goes with the last part, with whatever earlier roundings left in it.
    cost = position.cost if flat else share(position.cost, size, position.size)
    reduced = replace(
        position,
        size=position.size - size,
        cost=position.cost - cost,
        realized=position.realized + (price * size - cost) * position.side.sign,
        status=Status.CLOSED if flat else Status.REDUCED,
        final_entry=position.entry_price if flat else ZERO,
        closed_at=at if flat else None,
        deadline=None,
        returns_to=None,
        at_risk=position.at_risk and not flat,
        updated_at=at,
    )
    return charge(reduced, fee)
