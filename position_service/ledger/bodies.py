"""The part of an event that has no column of its own, as canonical JSON: one text for one value, its keys in order.

It is what the hash chain covers, so not a byte of it may ever change. Written by hand, because a thousand fills make a
thousand of them: making dicts for an encoder that sorts their keys takes three times as long.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from position_service.domain.events import Event, Trade
from position_service.domain.numbers import canonical
from position_service.domain.position import MarginMode, Position, Status
from position_service.ledger.codec import drift_json, dumps, estimates_json, totals_json

# Texts as JSON. Names and labels come again and again.
_quoted = lru_cache(maxsize=16_384)(json.JSONEncoder(ensure_ascii=False).encode)


def _time(value: datetime | None) -> str:
    return "null" if value is None else f'"{value.isoformat()}"'


def _amount(value: Decimal | None) -> str:
    return "null" if value is None else f'"{canonical(value)}"'


def _word(value: MarginMode | Status | None) -> str:
    return "null" if value is None else f'"{value.value}"'


def position_json(p: Position) -> str:
    """All there is to a position. What came later than the first events is there only if it says something, so that
    the rest is written in the same bytes as ever.
    """
    estimates = f'"estimates":{dumps(estimates_json(p))},' if p.estimates else ""
    funding = f'"funding":"{canonical(p.funding)}",' if p.funding else ""
    other_funding = f'"other_funding":{dumps(totals_json(p.other_funding))},' if p.other_funding else ""
    return (
        f'{{"account":{_quoted(p.account)},"asset":{_quoted(p.asset)},"at_risk":{"true" if p.at_risk else "false"},'
        f'"closed_at":{_time(p.closed_at)},"cost":"{canonical(p.cost)}","deadline":{_time(p.deadline)},'
        f'"estimated":"{canonical(p.estimated)}",{estimates}"final_entry":"{canonical(p.final_entry)}",{funding}'
        f'"labels":{dumps(p.labels) if p.labels else "[]"},"leverage":"{canonical(p.leverage)}",'
        f'"liquidation_price":{_amount(p.liquidation_price)},'
        f'"margin_mode":{_word(p.margin_mode)},'
        f'"opened_at":"{p.opened_at.isoformat()}",'
        f'"other_fees":{dumps(totals_json(p.other_fees)) if p.other_fees else "[]"},{other_funding}'
        f'"peak":"{canonical(p.peak)}","position_id":"{p.position_id}","product":"{p.product.value}",'
        f'"realized":"{canonical(p.realized)}",'
        f'"returns_to":{_word(p.returns_to)},"revision":{p.revision},'
        f'"side":"{p.side.value}","size":"{canonical(p.size)}","status":"{p.status.value}",'
        f'"symbol":{_quoted(p.symbol)},"updated_at":"{p.updated_at.isoformat()}","venue":{_quoted(p.venue)}}}'
    )


def event_body(event: Event) -> str:
    """The body of an event."""
    if event.drift is not None:
        return dumps({"drift": drift_json(event.drift)})
    assert event.after is not None
    note = f',"note":{dumps(event.note)}' if event.note else ""
    trade = f',"trade":{_trade_json(event.trade)}' if event.trade else ""
    return f'{{"after":{position_json(event.after)}{note}{trade}}}'


def _trade_json(trade: Trade) -> str:
    funding = ""
    if paid := trade.funding:
        amounts = f'"{canonical(paid.amount)}",{_quoted(paid.currency)},{_amount(paid.rate)}'
        funding = f'"funding":[{dumps(paid.payment_id)},{amounts}],'
    return (
        f'{{"executed_at":{_time(trade.executed_at)},"fee":["{canonical(trade.fee.amount)}",{_quoted(trade.fee.currency)}],'
        f'"fill_id":{dumps(trade.fill_id)},{funding}"price":{_amount(trade.price)},'
        f'"realized":"{canonical(trade.realized)}","size":"{canonical(trade.size)}"}}'
    )
