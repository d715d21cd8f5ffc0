"""The one table of legal moves. What is not in it is refused."""

from __future__ import annotations

from enum import Enum

from position_service.domain.errors import IllegalTransition
from position_service.domain.position import Position, Status


class Move(Enum):
    """What can be asked of a live position; the value is the verb in messages."""

    CONFIRM_OPEN = "confirm the opening"
    CANCEL_OPEN = "cancel the opening"
    INCREASE = "increase"
    REDUCE = "reduce"
    CLOSE = "close"
    CONFIRM_CLOSE = "confirm the close"
    CANCEL_CLOSE = "cancel the close"
    LIQUIDATE = "liquidate"
    UPDATE = "update"
    ADJUST = "adjust"


_HELD = frozenset({Status.OPEN, Status.REDUCED})
_LIVE = frozenset({Status.OPENING, Status.OPEN, Status.REDUCED, Status.CLOSING})

ALLOWED: dict[Move, frozenset[Status]] = {
    Move.CONFIRM_OPEN: frozenset({Status.OPENING}),
    Move.CANCEL_OPEN: frozenset({Status.OPENING}),
    Move.INCREASE: _HELD,
    Move.REDUCE: _HELD,
    Move.CLOSE: _HELD,
    Move.CONFIRM_CLOSE: frozenset({Status.CLOSING}),
    Move.CANCEL_CLOSE: frozenset({Status.CLOSING}),
    Move.LIQUIDATE: _HELD | {Status.CLOSING},
    Move.UPDATE: _LIVE,
    Move.ADJUST: _LIVE,
}


def require(position: Position, move: Move) -> None:
    """Raise IllegalTransition unless the position's state allows the move."""
    allowed = ALLOWED[move]
    if position.status not in allowed:
        raise IllegalTransition(move.value, position.status.value, [s.value for s in Status if s in allowed])
