"""Fills that a correction anticipated: they take the place of its guess, they are not traded again.

A correction that closes at a guessed price leaves an Estimate. The fill that really closed it arrives later, perhaps when
the position has long ended. Then an event takes the guess back and another books what is true; nothing is edited.
"""

from __future__ import annotations

import json

from position_service.domain.algebra import restate, reverse
from position_service.domain.book import Draft
from position_service.domain.events import EventType, Trade
from position_service.domain.position import Estimate, Key, Position, Side
from position_service.domain.steps import Context, emit

REASON_CODE = "FILL_ARRIVED"


def restate_estimates(
    draft: Draft, context: Context, key: Key, closes: Side, trade: Trade, *, liquidation: bool
) -> Trade | None:
    """Use a fill up on the outstanding estimates of its instrument, oldest first.

    Returns what it has beyond them, to be traded; None when that is nothing.
    """
    left: Trade | None = trade
    while left is not None and (found := _oldest(draft, key, closes, left)):
        position, estimate = found
        part, left = (left, None) if left.size <= estimate.size else left.split(estimate.size)
        _restate(draft, context, position, estimate, part, liquidation=liquidation)
    return left


def _oldest(draft: Draft, key: Key, closes: Side, trade: Trade) -> tuple[Position, Estimate] | None:
    """The oldest estimate that the fill may be what it anticipated, and whose it is."""
    assert trade.executed_at is not None
    found = [
        (estimate.revision, position, estimate)
        for position in draft.owing(key)
        for estimate in position.estimates
        if estimate.side is closes and trade.executed_at <= estimate.at
    ]
    return min(found, key=lambda each: each[0])[1:] if found else None


def _restate(
    draft: Draft, context: Context, before: Position, estimate: Estimate, trade: Trade, *, liquidation: bool
) -> None:
    assert trade.price is not None
    after, cost = reverse(before, estimate, trade.size)
    guess = Trade(trade.size, estimate.price, realized=after.realized - before.realized)
    note = {"reason_code": REASON_CODE, "corrects_revision": estimate.revision}
    if liquidation:
        note["liquidation"] = True
    between = emit(draft, context, EventType.REVERSED, before, after, guess, note=_json(note, estimated=True))
    after = restate(between, estimate, cost, trade.size, trade.price, trade.fee)
    true = Trade(
        trade.size, trade.price, trade.fee, after.realized - between.realized, trade.fill_id, trade.executed_at
    )
    emit(draft, context, EventType.RESTATED, between, after, true, note=_json(note, estimated=False))


def _json(note: dict[str, object], *, estimated: bool) -> str:
    """Of a sum over events that say they are estimated, the reversal takes back what the correction put in."""
    return json.dumps(note | {"estimated": estimated}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
