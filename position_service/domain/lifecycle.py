"""The life of a position, one rule a command: opening, growing, closing, settings."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from position_service.domain import commands as c
from position_service.domain.algebra import Fee, add, charge, reduce
from position_service.domain.book import Draft
from position_service.domain.errors import InvalidValue, PositionAlreadyOpen
from position_service.domain.estimating import decided_at
from position_service.domain.estimating import opened as guess
from position_service.domain.events import EventType, Trade
from position_service.domain.numbers import ZERO
from position_service.domain.position import Key, Position, Status
from position_service.domain.record import replace
from position_service.domain.steps import Context, emit, target
from position_service.domain.transitions import Move

CONFIRM_WITHIN = timedelta(minutes=5)
MOST_LABELS = 32  # of one request the contract counts them; here, of what merging leads to


def open_(command: c.Open, draft: Draft, context: Context) -> None:
    if held := draft.held(Key(command.account, command.venue, command.symbol)):
        raise PositionAlreadyOpen(held.position_id, f"{command.symbol} of account {command.account} at {command.venue}")
    opened = new_position(command, context)
    at = decided_at(command.as_of, context.now)
    if command.pending:
        _refuse_fee(command.fee)
        if command.estimated:
            raise InvalidValue("estimated", "nothing is executed yet: say so when you confirm")
        deadline = command.deadline or context.now + CONFIRM_WITHIN
        trade = Trade(command.size, command.price)
        emit(draft, context, EventType.OPENING, None, replace(opened, deadline=deadline), trade)
    else:
        charged = charge(opened, command.fee)
        if command.estimated:
            charged = guess(charged, charged.size, charged.cost, draft.revision + 1, at)
        trade = Trade(command.size, command.price, command.fee, charged.realized)
        emit(draft, context, EventType.OPENED, None, charged, trade)


def _refuse_fee(fee: Fee) -> None:
    """What is only announced has cost nothing yet."""
    if fee.amount:
        raise InvalidValue("fee", "nothing is executed yet: give the fee when you confirm")


def new_position(command: c.Open, context: Context) -> Position:
    """The position an Open asks for, before fees."""
    return Position(
        position_id=context.new_id(),
        account=command.account,
        venue=command.venue,
        symbol=command.symbol,
        asset=command.asset,
        product=command.product,
        side=command.side,
        size=command.size,
        cost=command.size * command.price,
        status=Status.OPENING if command.pending else Status.OPEN,
        leverage=command.leverage,
        margin_mode=command.margin_mode,
        liquidation_price=command.liquidation_price,
        realized=ZERO,
        peak=command.size,
        opened_at=context.now,
        updated_at=context.now,
        labels=command.labels,
    )


def confirm_open(command: c.ConfirmOpen, draft: Draft, context: Context) -> None:
    before = target(draft, command, Move.CONFIRM_OPEN)
    as_announced = command.size is None and command.price is None
    trade = Trade(command.size or before.size, command.price or before.entry_price, command.fee)
    at = decided_at(command.as_of, context.now)
    cost = before.cost if as_announced else None
    confirm(draft, context, before, trade, cost=cost, guessed_at=at if command.estimated else None)


def confirm(
    draft: Draft,
    context: Context,
    before: Position,
    trade: Trade,
    cost: Decimal | None = None,
    guessed_at: datetime | None = None,
) -> None:
    """An announced position is open, as executed; ``cost`` where the price is only known rounded. ``guessed_at``: when it
    was guessed, for the fills that really opened it to restate."""
    assert trade.price is not None
    basis = trade.size * trade.price if cost is None else cost
    after = replace(before, status=Status.OPEN, size=trade.size, cost=basis, peak=trade.size, deadline=None)
    after = charge(after, trade.fee)
    if guessed_at is not None:
        after = guess(after, after.size, after.cost, draft.revision + 1, guessed_at)
    emit(draft, context, EventType.OPEN_CONFIRMED, before, after, replace(trade, realized=after.realized))


def cancel_open(command: c.CancelOpen, draft: Draft, context: Context) -> None:
    cancel(draft, context, target(draft, command, Move.CANCEL_OPEN))


def cancel(draft: Draft, context: Context, before: Position) -> None:
    """An announced position never opened."""
    after = replace(
        before,
        status=Status.CLOSED,
        size=ZERO,
        cost=ZERO,
        peak=ZERO,
        deadline=None,
        closed_at=context.now,
        at_risk=False,
    )
    emit(draft, context, EventType.OPEN_CANCELLED, before, after)


def increase_(command: c.Increase, draft: Draft, context: Context) -> None:
    before = target(draft, command, Move.INCREASE)
    increase(draft, context, before, Trade(command.size, command.price, command.fee))


def increase(draft: Draft, context: Context, before: Position, trade: Trade) -> None:
    """Grow a position by a trade."""
    assert trade.price is not None
    after = add(before, trade.size, trade.price, trade.fee, context.now)
    emit(draft, context, EventType.INCREASED, before, after, replace(trade, realized=after.realized - before.realized))


def reduce_(command: c.Reduce, draft: Draft, context: Context) -> None:
    before = target(draft, command, Move.REDUCE)
    lessen(draft, context, before, Trade(command.size, command.price, command.fee))


def lessen(draft: Draft, context: Context, before: Position, trade: Trade, *, liquidation: bool = False) -> Position:
    """Close a part or all of a position by a trade. Raises SizeExceedsPosition."""
    assert trade.price is not None
    after = reduce(before, trade.size, trade.price, trade.fee, context.now)
    if liquidation:
        type_ = EventType.LIQUIDATED
        after = replace(after, status=Status.LIQUIDATED) if after.status is Status.CLOSED else after
    else:
        type_ = EventType.CLOSED if after.status is Status.CLOSED else EventType.REDUCED
    return emit(draft, context, type_, before, after, replace(trade, realized=after.realized - before.realized))


def close(command: c.Close, draft: Draft, context: Context) -> None:
    before = target(draft, command, Move.CLOSE)
    if command.price is not None:
        lessen(draft, context, before, Trade(before.size, command.price, command.fee))
        return
    _refuse_fee(command.fee)
    deadline = command.deadline or context.now + CONFIRM_WITHIN
    after = replace(before, status=Status.CLOSING, returns_to=before.status, deadline=deadline)
    emit(draft, context, EventType.CLOSING, before, after)


def confirm_close(command: c.ConfirmClose, draft: Draft, context: Context) -> None:
    before = target(draft, command, Move.CONFIRM_CLOSE)
    lessen(draft, context, before, Trade(command.size or before.size, command.price, command.fee))


def cancel_close(command: c.CancelClose, draft: Draft, context: Context) -> None:
    before = target(draft, command, Move.CANCEL_CLOSE)
    assert before.returns_to is not None
    after = replace(before, status=before.returns_to, returns_to=None, deadline=None)
    emit(draft, context, EventType.CLOSE_CANCELLED, before, after)


def liquidate(command: c.Liquidate, draft: Draft, context: Context) -> None:
    before = target(draft, command, Move.LIQUIDATE)
    trade = Trade(command.size or before.size, command.price, command.fee)
    lessen(draft, context, before, trade, liquidation=True)


def update(command: c.Update, draft: Draft, context: Context) -> None:
    before = target(draft, command, Move.UPDATE)
    labels = dict(() if command.replace_labels else before.labels) | dict(command.labels or {})
    if len(labels) > MOST_LABELS:
        raise InvalidValue("labels", f"the position would have {len(labels)} labels, and {MOST_LABELS} are allowed")
    given = command.liquidation_price
    after = replace(
        before,
        leverage=command.leverage or before.leverage,
        margin_mode=command.margin_mode or before.margin_mode,
        liquidation_price=before.liquidation_price if given is None else given or None,
        labels=tuple(sorted(labels.items())),
    )
    emit(draft, context, EventType.UPDATED, before, after)
