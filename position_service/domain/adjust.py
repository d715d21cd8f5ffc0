"""Corrections: the book is made to say what is so. Never an edit: an event of its own, with a reason and evidence."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

from position_service.domain import commands as c
from position_service.domain.algebra import NO_FEE, reduce
from position_service.domain.book import Draft
from position_service.domain.errors import InvalidValue
from position_service.domain.estimating import decided_at, moved, opened
from position_service.domain.events import EventType, Trade
from position_service.domain.numbers import CONTEXT, FRACTION_DIGITS, TOO_LARGE, ZERO
from position_service.domain.position import Estimate, Position, Side, Status
from position_service.domain.record import replace
from position_service.domain.steps import Context, emit, target
from position_service.domain.transitions import Move

_FINEST = Decimal(1).scaleb(-2 * FRACTION_DIGITS)  # of a basis: price x size


def adjust(command: c.Adjust, draft: Draft, context: Context) -> None:
    """Correct side, size and entry price. What the correction closes is realised at ``close_price``.

    Raises InvalidValue when nothing is corrected, when PnL would have to be invented, for a link to no event, or
    for a state that is in the future.
    """
    before = target(draft, command, Move.ADJUST)
    at = decided_at(command.as_of, context.now)
    if command.corrects_revision > draft.revision:
        raise InvalidValue("corrects_revision", f"has not happened: the head is at {draft.revision}")
    side, size = command.side or before.side, before.size if command.size is None else command.size
    closed = _closed(before, side, size)
    after = _corrected(before, side, size, closed, command, context)
    if after == before:
        raise InvalidValue("size", "the position says so already: nothing is corrected")
    realized = after.realized - before.realized
    if command.estimated:
        after = replace(after, estimated=before.estimated + realized)
        after = _with_estimates(after, before, closed, command.close_price, draft.revision + 1, at)
    note = {"reason_code": command.reason_code, "estimated": command.estimated}
    if command.evidence:
        note["evidence"] = command.evidence
    if command.corrects_revision:
        note["corrects_revision"] = command.corrects_revision
    price = command.close_price if closed else None
    trade = Trade(closed or abs(after.size - before.size), price, realized=realized)
    text = json.dumps(note, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    emit(draft, context, EventType.ADJUSTED, before, after, trade, note=text)


def _closed(before: Position, side: Side, size: Decimal) -> Decimal:
    """How much of what is held the correction closes: all of it when the side was wrong."""
    if before.status is Status.OPENING:
        return ZERO  # announced, not held: there is nothing to realise
    return before.size if side is not before.side else max(before.size - size, ZERO)


def _with_estimates(
    after: Position, before: Position, closed: Decimal, price: Decimal | None, revision: int, at: datetime
) -> Position:
    """With what the fills that really closed, opened or added it will restate when they arrive."""
    if before.status is Status.OPENING:
        return after  # announced, not held
    turns = after.side is not before.side
    if closed:
        assert price is not None  # the correction would have been refused
        cost = price * closed - (after.realized - before.realized) * before.side.sign
        guess = Estimate(revision, at, before.side, closed, price, cost)
        after = replace(after, estimates=(*after.estimates, guess))
    grown = after.size if turns else after.size - before.size
    if grown <= 0:
        return after
    return opened(after, grown, after.cost if turns else after.cost - before.cost, revision, at)


def _corrected(
    before: Position, side: Side, size: Decimal, closed: Decimal, command: c.Adjust, context: Context
) -> Position:
    """The position as it should have been."""
    after = before
    if closed:
        if command.close_price is None:
            raise InvalidValue("close_price", f"is needed: the correction closes {closed:f}, and at some price")
        after = reduce(before, closed, command.close_price, NO_FEE, context.now)
    if not size:
        return after if closed else _never_opened(before, context)
    if size >= TOO_LARGE:
        raise InvalidValue("size", "has more than 20 integer digits")
    cost = _cost(before, after, side, size, command.entry_price)
    if size <= before.size and side is before.side:
        after = moved(after, cost - after.cost)
    held = before.returns_to or before.status
    if size != before.size:
        held = Status.REDUCED if size < before.peak else Status.OPEN
    is_opening, is_closing = before.status is Status.OPENING, before.status is Status.CLOSING
    return replace(
        after,
        side=side,
        size=size,
        cost=cost,
        status=before.status if is_opening or is_closing else held,
        peak=size if is_opening else max(before.peak, size),
        final_entry=ZERO,
        closed_at=None,
        deadline=before.deadline,
        returns_to=held if is_closing else None,
        at_risk=before.at_risk,  # so that leaving the risk is an event of its own, as ever
    )


def _cost(before: Position, after: Position, side: Side, size: Decimal, entry_price: Decimal | None) -> Decimal:
    """The basis of the corrected size: at the given price, or what it was, in proportion."""
    turns = after is not before and side is not before.side
    if entry_price is None and turns:
        raise InvalidValue("entry_price", "is needed when the side is corrected")
    # The price that is shown is rounded: to repeat it is to leave the basis, with all its digits, as it is.
    if entry_price is not None and (turns or entry_price != before.entry_price):
        return entry_price * size
    return after.cost if after.size == size else (before.cost * size / before.size).quantize(_FINEST, context=CONTEXT)


def _never_opened(before: Position, context: Context) -> Position:
    return replace(
        before,
        status=Status.CLOSED,
        size=ZERO,
        cost=ZERO,
        peak=ZERO,
        deadline=None,
        closed_at=context.now,
        at_risk=False,
    )
