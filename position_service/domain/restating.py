"""Fills that a correction anticipated: they take the place of its guess, they are not traded again.

A correction that closes or opens at a guessed price leaves an Estimate. The fill that really did arrives later, perhaps
when the position has long ended. Then an event takes back what the guess realised and another books what is true; where
the guess realised nothing the second is enough. Nothing is edited.
"""

from __future__ import annotations

import json

from position_service.domain.algebra import restate, reverse
from position_service.domain.book import Draft
from position_service.domain.estimating import is_outstanding
from position_service.domain.events import EventType, Trade
from position_service.domain.position import Estimate, Guess, Key, Position, Side
from position_service.domain.steps import Context, emit

REASON_CODE = "FILL_ARRIVED"


def restate_estimates(
    draft: Draft, context: Context, key: Key, side: Side, trade: Trade, *, liquidation: bool
) -> Trade | None:
    """Use a fill of a side, LONG a purchase, up on the outstanding estimates of its instrument, oldest first.

    Returns what it has beyond them, to be traded; None when that is nothing.
    """
    left: Trade | None = trade
    while left is not None and (found := _oldest(draft, context, key, side, left)):
        position, estimate = found
        part, left = (left, None) if left.size <= estimate.size else left.split(estimate.size)
        _restate(draft, context, position, estimate, part, liquidation=liquidation)
    return left


def _oldest(draft: Draft, context: Context, key: Key, side: Side, trade: Trade) -> tuple[Position, Estimate] | None:
    """The oldest estimate that the fill may be what it anticipated, and whose it is."""
    assert trade.executed_at is not None
    found = [
        (estimate.revision, position, estimate)
        for position in draft.owing(key)
        for estimate in position.estimates
        if estimate.fill_side is side and trade.executed_at <= estimate.at and is_outstanding(estimate, context.now)
    ]
    return min(found, key=lambda each: each[0])[1:] if found else None  # of equal ones the first: what is spent


def _restate(
    draft: Draft, context: Context, before: Position, estimate: Estimate, trade: Trade, *, liquidation: bool
) -> None:
    assert trade.price is not None
    after, cost = reverse(before, estimate, trade.size)
    note = {"reason_code": REASON_CODE, "corrects_revision": estimate.revision}
    if liquidation:
        note["liquidation"] = True
    between = before
    if estimate.kind is Guess.CLOSED:
        guess = Trade(trade.size, estimate.price, realized=after.realized - before.realized)
        between = after = emit(
            draft, context, EventType.REVERSED, before, after, guess, note=_json(note, estimated=True)
        )
    after = restate(after, estimate, cost, trade.size, trade.price, trade.fee)
    true = Trade(
        trade.size, trade.price, trade.fee, after.realized - between.realized, trade.fill_id, trade.executed_at
    )
    emit(draft, context, EventType.RESTATED, between, after, true, note=_json(note, estimated=False))


def _json(note: dict[str, object], *, estimated: bool) -> str:
    """Of a sum over events that say they are estimated, the reversal takes back what the correction put in."""
    return json.dumps(note | {"estimated": estimated}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
