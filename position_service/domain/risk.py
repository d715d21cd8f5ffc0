"""What a mark says about a position. Formulas: README, "Numbers". Rounded once, here, to 18 digits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from position_service.domain.numbers import shown
from position_service.domain.position import Position

HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Valuation:
    """Quote currency and percent. Distance is None without a liquidation price."""

    unrealized_pnl: Decimal
    pnl_percent: Decimal
    return_on_margin: Decimal
    notional: Decimal
    distance_percent: Decimal | None


def initial_margin(position: Position) -> Decimal:
    """entry * size / leverage = cost / leverage, quote currency."""
    return shown(position.cost / position.leverage)


def value(position: Position, mark: Decimal) -> Valuation:
    """Value a live position at a mark."""
    sign = position.side.sign
    notional = position.size * mark
    gain = (notional - position.cost) * sign
    percent = gain / position.cost * HUNDRED if position.cost else Decimal(0)
    return Valuation(
        unrealized_pnl=shown(gain),
        pnl_percent=shown(percent),
        return_on_margin=shown(percent * position.leverage),
        notional=shown(notional),
        distance_percent=distance_percent(position, mark),
    )


def distance_percent(position: Position, mark: Decimal) -> Decimal | None:
    """(mark - liquidation) / mark * 100 * sign: how far the price may go against us; negative once crossed."""
    if position.liquidation_price is None:
        return None
    return shown((mark - position.liquidation_price) / mark * HUNDRED * position.side.sign)


def is_at_risk(position: Position, mark: Decimal | None, threshold: Decimal) -> bool:
    """True when a live position is within ``threshold`` percent of its liquidation price, or beyond it."""
    if mark is None or position.liquidation_price is None or not position.size:
        return False
    # Multiplied out: no division, no rounding, the same answer.
    return (mark - position.liquidation_price) * HUNDRED * position.side.sign <= threshold * mark
