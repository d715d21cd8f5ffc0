"""Executions: each opens, adds, reduces, closes or flips the position of its instrument."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from position_service.domain import commands as c
from position_service.domain.algebra import Fee, charge
from position_service.domain.book import Draft
from position_service.domain.errors import DomainError, InvalidValue
from position_service.domain.events import EventType, Trade
from position_service.domain.lifecycle import cancel, confirm, increase, lessen, new_position
from position_service.domain.numbers import share
from position_service.domain.position import Key, Side, Status
from position_service.domain.steps import Context, emit


def record_fills(command: c.RecordFills, draft: Draft, context: Context) -> None:
    order = sorted(range(len(command.fills)), key=lambda i: (command.fills[i].executed_at, i))
    for index in order:
        fill = command.fills[index]
        key = (command.account, fill.venue, fill.fill_id)
        if draft.knows_fill(key):
            continue
        try:
            _book(command.account, fill, draft, context)
        except DomainError as error:
            raise InvalidValue(f"fills[{index}]", str(error)) from error
        draft.fills[key] = draft.revision


def _book(account: str, fill: c.Fill, draft: Draft, context: Context) -> None:
    """Book one execution. It happened, so no live state refuses it."""
    held = draft.held(Key(account, fill.venue, fill.symbol))
    side = Side.LONG if fill.is_buy else Side.SHORT
    trade = Trade(fill.size, fill.price, fill.fee, fill_id=fill.fill_id, executed_at=fill.executed_at)
    if held is not None and held.status is Status.OPENING and held.side is not side:
        cancel(draft, context, held)  # what was announced has not opened, and the market went the other way
        held = None
    if held is None:
        _open(account, fill, side, trade, draft, context)
    elif held.status is Status.OPENING:
        confirm(draft, context, held, trade)
    elif held.side is side:
        increase(draft, context, held, trade)
    elif fill.size <= held.size:
        lessen(draft, context, held, trade, liquidation=fill.liquidation)
    else:
        closing, opening = _split(trade, held.size)
        lessen(draft, context, held, closing, liquidation=fill.liquidation)
        _open(account, fill, side, opening, draft, context)


def _split(trade: Trade, closed: Decimal) -> tuple[Trade, Trade]:
    """A flip is two trades. The second fee is the rest of the first, so nothing is lost to rounding."""
    first = Fee(share(trade.fee.amount, closed, trade.size), trade.fee.currency)
    second = Fee(trade.fee.amount - first.amount, trade.fee.currency)
    return replace(trade, size=closed, fee=first), replace(trade, size=trade.size - closed, fee=second)


def _open(account: str, fill: c.Fill, side: Side, trade: Trade, draft: Draft, context: Context) -> None:
    assert trade.price is not None
    opening = c.Open(
        account=account,
        venue=fill.venue,
        symbol=fill.symbol,
        asset=fill.asset,
        product=fill.product,
        side=side,
        size=trade.size,
        price=trade.price,
        leverage=fill.leverage,
    )
    from_fee = charge(new_position(opening, context), trade.fee)
    emit(draft, context, EventType.OPENED, None, from_fee, replace(trade, realized=from_fee.realized))
