"""What a trade does to a position. Average cost, exact to the last digit.

add:     cost += price * added
reduce:  the closed part takes its share of the cost; realised += (price * closed - share) * sign - fee
restate: of what was closed at a guess, realised -= (guess * closed - share) * sign, then += (price * closed - share)
         * sign - fee: the same share; of what was opened at a guess, cost += price * opened - guessed, realised -= fee;
         of what was opened at a guess and closed since, realised -= (price * opened - guessed) * sign + fee
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from position_service.domain.errors import InvalidValue, SizeExceedsPosition
from position_service.domain.estimating import after_closing, guessed, split
from position_service.domain.numbers import TOO_LARGE, ZERO, share
from position_service.domain.position import Estimate, Guess, Position, Status
from position_service.domain.record import replace


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
    if _is_quote(position, fee.currency):
        return replace(position, realized=position.realized - fee.amount)
    return replace(position, other_fees=_added(position.other_fees, fee.currency, fee.amount))


def credit(position: Position, amount: Decimal, currency: str) -> Position:
    """Book funding, negative when it was paid: apart from realised PnL, and in its own currency unless that is the quote."""
    if _is_quote(position, currency):
        return replace(position, funding=position.funding + amount)
    return replace(position, other_funding=_added(position.other_funding, currency, amount))


def _is_quote(position: Position, currency: str) -> bool:
    quote = position.quote
    return currency in ("", quote) or (currency in DOLLARS and quote in DOLLARS)


def _added(totals: tuple[tuple[str, Decimal], ...], currency: str, amount: Decimal) -> tuple[tuple[str, Decimal], ...]:
    """Totals by currency, sorted, with one amount more."""
    added = dict(totals)
    added[currency] = added.get(currency, ZERO) + amount
    return tuple(sorted(added.items()))


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
        estimates=after_closing(position, size) if position.estimates else (),
    )
    return charge(reduced, fee)


def reverse(position: Position, estimate: Estimate, size: Decimal) -> tuple[Position, Decimal]:
    """Take back what a guess realised, or put in the basis, for ``size`` of it, at most all; also the basis of that.

    The basis of a part is its share, and the estimate keeps the rest: once it is used up, nothing of the guess is left.
    """
    part, rest = split(estimate, size)
    others = (rest if other is estimate else other for other in position.estimates)
    realized = guessed(part, size, part.cost)
    reversed_ = replace(
        position,
        cost=position.cost - part.cost if estimate.kind is Guess.OPENED else position.cost,
        realized=position.realized - realized,
        estimated=position.estimated - realized if estimate.kind is Guess.CLOSED else position.estimated,
        estimates=tuple(other for other in others if other is not None),
    )
    return reversed_, part.cost


def restate(position: Position, estimate: Estimate, cost: Decimal, size: Decimal, price: Decimal, fee: Fee) -> Position:
    """Book what was really executed for ``size`` of an estimate, whose ``cost`` was taken back."""
    paid = price * size
    if estimate.kind is Guess.OPENED:
        return charge(replace(position, cost=position.cost + paid), fee)
    gain = (paid - cost) * estimate.side.sign if estimate.kind is Guess.CLOSED else -paid * estimate.side.sign
    return charge(replace(position, realized=position.realized + gain), fee)
