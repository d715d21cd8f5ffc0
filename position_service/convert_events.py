"""Between protobuf and the domain, for what happened to positions."""

from __future__ import annotations

from typing import Any

from trueup.position.v1 import position_pb2 as pb

from position_service.convert import position, stamp
from position_service.domain.events import Event, EventType, Trade
from position_service.domain.numbers import canonical, shown

_ON_POSITIONS = [e for e in EventType if e.value.startswith("position.")]
_EVENT_TYPES = {pb.PositionEventType.Value(f"POSITION_EVENT_TYPE_{e.name}"): e for e in _ON_POSITIONS}
_EVENT_TYPE_PB: dict[EventType, Any] = {e: value for value, e in _EVENT_TYPES.items()}


def event_types(request: Any) -> set[EventType]:
    """The types of events a request names; none when it leaves that open."""
    return {_EVENT_TYPES[value] for value in request.types if value in _EVENT_TYPES}


def position_event(event: Event) -> pb.PositionEvent:
    """A position's event with the position before and after it: facts, the same whenever they are read."""
    message = pb.PositionEvent(
        revision=event.revision,
        time=stamp(event.time),
        type=_EVENT_TYPE_PB[event.type],
        position_id=str(event.subject),
        account=event.account,
        actor=event.actor,
        request_id=event.request_id,
        reason=event.reason,
        before=position(event.before) if event.before else None,
        after=position(event.after) if event.after else None,
        note=event.note,
        hash=event.hash,
    )
    if event.trade:
        message.trade.CopyFrom(_trade(event.trade))
    return message


def _trade(trade: Trade) -> pb.Trade:
    message = pb.Trade(
        size=canonical(trade.size),
        price=canonical(trade.price) if trade.price is not None else "",
        realized_pnl=canonical(shown(trade.realized)),
        fill_id=trade.fill_id,
        executed_at=stamp(trade.executed_at),
    )
    if trade.fee.amount:
        message.fee.amount = canonical(trade.fee.amount)
        message.fee.currency = trade.fee.currency
    if paid := trade.funding:
        message.funding.payment_id = paid.payment_id
        message.funding.amount = canonical(paid.amount)
        message.funding.currency = paid.currency
        message.funding.rate = canonical(paid.rate) if paid.rate is not None else ""
    return message
