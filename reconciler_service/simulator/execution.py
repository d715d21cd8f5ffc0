"""Details of an execution at the SIMULATED venue: its ids, its parts, its prose. Pure."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from reconciler_service.simulator.records import ExchangeError, Market

MOST_PARTS = 100_000  # fills one order may be split into
FIRST_OID = 700_000_000_000
FIRST_TID = 500_000_000_000_000  # ids stay below 2**53, so that readers with doubles survive


def event_hash(number: int) -> str:
    """The transaction hash of an order, deposit or liquidation: unique, repeatable, meaningless."""
    return "0x" + hashlib.sha256(f"simulated {number}".encode()).hexdigest()


def split(size: Decimal, parts: int, market: Market) -> list[Decimal]:
    """Equal parts on the market's grid, the last one takes the rest."""
    step = Decimal(1).scaleb(-market.size_decimals)
    each = size / max(parts, 1) // step * step
    if not 1 <= parts <= MOST_PARTS or not each:
        raise ExchangeError(f"{size} {market.coin} cannot be filled in {parts} parts")
    return [each] * (parts - 1) + [size - each * (parts - 1)]


def direction(start: Decimal, delta: Decimal) -> str:
    """The venue's prose for a perpetual fill."""
    side = "Long" if (start or delta) > 0 else "Short"
    if start * delta >= 0:
        return f"Open {side}"
    return f"Close {side}" if abs(delta) <= abs(start) else ("Long > Short" if start > 0 else "Short > Long")
