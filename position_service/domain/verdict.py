"""What the last reconciliation says of a position. Derived, never stored: it cannot go stale by itself."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from position_service.domain.book import View
from position_service.domain.events import Check
from position_service.domain.position import Position


class Verdict(Enum):
    SYNCED = "SYNCED"
    DRIFT = "DRIFT"
    FAILED = "FAILED"
    PENDING = "PENDING"


def covering(view: View, position: Position) -> Check | None:
    """The check of the scope the position is in: the same product, the longest matching prefix."""
    product, symbol = position.product.value, position.symbol
    best: Check | None = None
    for check in view.checks_of(position.account, position.venue):
        fits = check.product == product and owns(check.symbol_prefix, symbol)
        if fits and (best is None or len(check.symbol_prefix) > len(best.symbol_prefix)):
            best = check
    return best


def owns(prefix: str, symbol: str) -> bool:
    """Whether a scope covers an instrument. The main scope, without a prefix, owns no name that has one."""
    return symbol.startswith(prefix) if prefix else ":" not in symbol


def verdict(view: View, position: Position) -> tuple[Verdict, datetime | None]:
    """The verdict, and when the position's scope was last read completely (None: never since it was opened)."""
    check = covering(view, position)
    last_ok = check.last_ok_at if check else None
    if last_ok is not None and last_ok < position.opened_at:
        last_ok = None
    if any(True for _ in view.drifts_on(position.key)):
        return Verdict.DRIFT, last_ok
    if check is not None and not check.ok:
        return Verdict.FAILED, last_ok
    if check is not None and position.symbol in check.suspects:
        return Verdict.PENDING, None  # the venue did not agree, and has not been seen to disagree twice
    return (Verdict.SYNCED if last_ok else Verdict.PENDING), last_ok
