"""What corrections guess: how an estimate is made, what closing does to it, and when it is settled.

opened at a guess   its cost is in the basis            --closed, or a part of it-->   spent   its cost was realised
closed at a guess   its price was realised

The fill that really happened puts its own price there. One that has not come for so long that nobody will tell it any
more, or that many later corrections have followed, never takes the guess back: the estimate is settled, and stays in
what the position says was estimated.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from position_service.domain.errors import InvalidValue
from position_service.domain.numbers import ZERO, share, shown
from position_service.domain.position import Estimate, Guess, Position
from position_service.domain.record import replace

# Every event of a position carries its estimates, so both are bounded.
KEPT_FOR = timedelta(days=90)
MOST = 64  # of one position

_CLOCKS_DIFFER = timedelta(minutes=1)  # by no more than that


def decided_at(as_of: datetime | None, now: datetime) -> datetime:
    """The time of the state a correction was decided on; None: now. Raises InvalidValue for the future."""
    if as_of is not None and as_of > now + _CLOCKS_DIFFER:
        raise InvalidValue("as_of", "is in the future")
    return min(as_of or now, now)


def opened(position: Position, size: Decimal, cost: Decimal, revision: int, at: datetime) -> Position:
    """The position with an estimate of what a correction opened or added: ``size``, which moved the basis by ``cost``.

    That may be nothing, or less: where the price of what was held is corrected as well, or little is left of larger
    trades either way. All of it gives way to what the fills say; only for show, it has a price then too.
    """
    price = shown(cost / size) if cost > 0 else position.entry_price
    made = Estimate(revision, at, position.side, size, price, cost, Guess.OPENED)
    return replace(position, estimates=(*position.estimates, made))


def split(estimate: Estimate, size: Decimal) -> tuple[Estimate, Estimate | None]:
    """A part of an estimate and the rest; None when it is all of it. Rounding stays in the rest, so nothing is lost."""
    if size == estimate.size:
        return estimate, None
    cost = share(estimate.cost, size, estimate.size)
    part = replace(estimate, size=size, cost=cost)
    return part, replace(estimate, size=estimate.size - size, cost=estimate.cost - cost)


def after_closing(position: Position, size: Decimal) -> tuple[Estimate, ...]:
    """The estimates of a position once ``size`` of it is closed: of what was opened at a guess its share is spent.

    What is spent of one correction is one estimate, before what is left of it.
    """
    left: list[Estimate] = []
    for estimate in position.estimates:
        gone = estimate.size if size == position.size else share(estimate.size, size, position.size)
        if estimate.kind is not Guess.OPENED or not gone:
            left.append(estimate)
            continue
        part, rest = split(estimate, gone)
        if left and left[-1].kind is Guess.SPENT and left[-1].revision == part.revision:
            earlier = left.pop()
            part = replace(part, size=part.size + earlier.size, cost=part.cost + earlier.cost)
        left.append(replace(part, kind=Guess.SPENT))
        if rest is not None:
            left.append(rest)
    return tuple(left)


def moved(position: Position, by: Decimal) -> Position:
    """A later correction moves the basis: the newest guess in it was off by so much, and its fill will tell the truth."""
    newest = next((each for each in reversed(position.estimates) if each.kind is Guess.OPENED), None)
    if newest is None or not by:
        return position
    cost = newest.cost + by
    corrected = replace(newest, cost=cost, price=shown(cost / newest.size) if cost > 0 else newest.price)
    return replace(position, estimates=tuple(corrected if each is newest else each for each in position.estimates))


def outstanding(estimates: tuple[Estimate, ...], now: datetime) -> tuple[Estimate, ...]:
    """Those that a fill may still restate, oldest first."""
    return tuple(each for each in estimates[-MOST:] if is_outstanding(each, now))


def is_outstanding(estimate: Estimate, now: datetime) -> bool:
    return now - estimate.at <= KEPT_FOR


def guessed(estimate: Estimate, size: Decimal, cost: Decimal) -> Decimal:
    """What an estimate realised for ``size`` of it, at its ``cost``."""
    if estimate.kind is Guess.CLOSED:
        return (estimate.price * size - cost) * estimate.side.sign
    return cost * -estimate.side.sign if estimate.kind is Guess.SPENT else ZERO
