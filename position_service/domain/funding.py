"""Funding payments: whose they are. A position's funding is a total of its own, apart from what it realised."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from position_service.domain import commands as c
from position_service.domain.algebra import credit
from position_service.domain.book import Draft, View
from position_service.domain.errors import InvalidValue
from position_service.domain.events import EventType, Trade
from position_service.domain.position import Key, Position
from position_service.domain.steps import Context, emit


def pay(account: str, payment: c.FundingPayment, path: str, draft: Draft, context: Context) -> None:
    """Book one payment. Raises InvalidValue for ``path`` when it is nobody's."""
    owner = _owner(draft, Key(account, payment.venue, payment.symbol), payment.paid_at)
    if owner is None:
        what = f"{payment.symbol} of account {account} at {payment.venue}"
        at = payment.paid_at.isoformat()
        raise InvalidValue(path, f"no position of {what} was held at {at} or since, as far as the tables reach back")
    after = credit(owner, payment.funding.amount, payment.funding.currency)
    emit(draft, context, EventType.FUNDING, owner, after, Trade(executed_at=payment.paid_at, funding=payment.funding))


def _owner(draft: Draft, key: Key, paid_at: datetime) -> Position | None:
    """The position that was held when a payment was made, as far as the book can know.

    Its times are when it was told, so what was opened later may have been held earlier: the next one is the best guess.
    Within a batch the order is that of execution, and what a fill before the payment has opened is what was held.
    """
    held = draft.held(key)
    if held is not None and (held.opened_at <= paid_at or draft.base.position(held.position_id) is None):
        return held
    ended = (p for p in draft.ended(key) if p.peak)  # what was only announced was not held
    since = [(p.closed_at, p.position_id, p) for p in ended if p.closed_at and p.closed_at >= paid_at]
    return min(since, key=lambda each: each[:2])[-1] if since else held


def asks_for_ended(view: View, command: c.RecordFills) -> Iterator[tuple[Key, datetime]]:
    """Of which instruments a decision must know the position that ended first at or after a time."""
    for payment in command.funding:
        key = Key(command.account, payment.venue, payment.symbol)
        held = view.held(key)
        if held is None or held.opened_at > payment.paid_at:
            yield key, payment.paid_at
