"""Executions: each opens, adds, reduces, closes or flips the position of its instrument, or restates an estimate."""

from __future__ import annotations

from position_service.domain import commands as c
from position_service.domain.algebra import charge
from position_service.domain.book import Draft
from position_service.domain.errors import DomainError, InvalidValue, StaleRevision
from position_service.domain.events import EventType, Trade
from position_service.domain.funding import pay
from position_service.domain.lifecycle import cancel, confirm, increase, lessen, new_position
from position_service.domain.position import Key, Side, Status
from position_service.domain.record import replace
from position_service.domain.restating import restate_estimates
from position_service.domain.steps import Context, emit


def record_fills(command: c.RecordFills, draft: Draft, context: Context) -> None:
    """Fills and funding payments in the order of their times; what a fill closes at the time of a payment is closed.

    Raises StaleRevision when a position is not the one the caller has seen.
    """
    for index, (instrument, expected) in enumerate(command.expected):
        held = draft.held(Key(command.account, *instrument))
        if (actual := held.revision if held else 0) != expected:
            raise StaleRevision(expected, actual, f"expected_revisions[{index}]")
    fills = [(fill.executed_at, 0, index) for index, fill in enumerate(command.fills)]
    payments = [(payment.paid_at, 1, index) for index, payment in enumerate(command.funding)]
    for _, is_payment, index in sorted(fills + payments):
        if is_payment:
            _take_payment(command, index, draft, context)
        else:
            _take_fill(command, index, draft, context)


def _take_payment(command: c.RecordFills, index: int, draft: Draft, context: Context) -> None:
    payment = command.funding[index]
    key = (command.account, payment.venue, payment.funding.payment_id)
    if not draft.knows_payment(key):
        pay(command.account, payment, f"funding[{index}]", draft, context)
        draft.payments[key] = draft.revision


def _take_fill(command: c.RecordFills, index: int, draft: Draft, context: Context) -> None:
    fill = command.fills[index]
    key = (command.account, fill.venue, fill.fill_id)
    if draft.knows_fill(key):
        return
    try:
        _book(command.account, fill, draft, context)
    except DomainError as error:
        raise InvalidValue(f"fills[{index}]", str(error)) from error
    draft.fills[key] = draft.revision


def _book(account: str, fill: c.Fill, draft: Draft, context: Context) -> None:
    """Book one execution. It happened, so no live state refuses it."""
    key = Key(account, fill.venue, fill.symbol)
    side = Side.LONG if fill.is_buy else Side.SHORT
    trade = Trade(fill.size, fill.price, fill.fee, fill_id=fill.fill_id, executed_at=fill.executed_at)
    left = restate_estimates(draft, context, key, side, trade, liquidation=fill.liquidation)
    if left is not None:
        _trade(account, fill, side, left, draft, context)


def _trade(account: str, fill: c.Fill, side: Side, trade: Trade, draft: Draft, context: Context) -> None:
    """Open, add, reduce, close or flip: what no correction has anticipated."""
    held = draft.held(Key(account, fill.venue, fill.symbol))
    if held is not None and held.status is Status.OPENING and held.side is not side:
        cancel(draft, context, held)  # what was announced has not opened, and the market went the other way
        held = None
    if held is None:
        _open(account, fill, side, trade, draft, context)
    elif held.status is Status.OPENING:
        confirm(draft, context, held, trade)
    elif held.side is side:
        increase(draft, context, held, trade)
    elif trade.size <= held.size:
        lessen(draft, context, held, trade, liquidation=fill.liquidation)
    else:
        closing, opening = trade.split(held.size)
        lessen(draft, context, held, closing, liquidation=fill.liquidation)
        _open(account, fill, side, opening, draft, context)


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
