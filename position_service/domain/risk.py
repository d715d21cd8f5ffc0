"""What a mark says about a position. Formulas: README, "Numbers". Rounded once, here, to 18 digits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from position_service.domain.numbers import ZERO, shown
from position_service.domain.position import LiquidationPrice, Position, Product, Status

HUNDRED = Decimal(100)
_HALF = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class Rules:
    """How near is too near, and what a liquidation price is estimated with when the venue's own is not known."""

    threshold: Decimal = Decimal(5)  # percent of the mark; at or below it a position is at risk
    maintenance: Decimal = Decimal("0.0125")  # margin to be kept, as a share of the notional: half of 1/40


@dataclass(frozen=True, slots=True)
class Valuation:
    """Quote currency, percent and a share of the mark. The last two are None where no liquidation price is known."""

    unrealized_pnl: Decimal
    pnl_percent: Decimal
    return_on_margin: Decimal
    notional: Decimal
    distance_percent: Decimal | None
    margin_ratio: Decimal | None


def initial_margin(position: Position) -> Decimal:
    """entry * size / leverage = cost / leverage, quote currency."""
    return shown(position.cost / position.leverage)


def estimated_liquidation(position: Position, rules: Rules) -> Decimal | None:
    """The liquidation price a leveraged position would have on its own margin; None when it has a given one.

    entry * (1 - sign/leverage) / (1 - sign*maintenance), quote currency a unit: where what is left of the initial
    margin is the maintenance margin. It is the isolated case of Hyperliquid's formula
    (https://hyperliquid.gitbook.io/hyperliquid-docs/trading/liquidations). Funding, other collateral of a cross
    account, margin that was added or taken out, and a market's own margin tiers are not in it.

    Venues keep at most half of the initial margin (the same page: half of it at the market's *highest* leverage), so
    the maintenance margin is taken as 1 / (2 * leverage) where the setting is above that: otherwise a leverage whose
    margin is less than the setting would be liquidated before it loses anything. Spot is owed to nobody, and a
    leverage of 1 may only mean that none was given: neither has an estimate.
    """
    leveraged = position.product is not Product.SPOT and position.leverage > 1
    if position.liquidation_price is not None or not leveraged or not position.size:
        return None
    sign, leverage = position.side.sign, position.leverage
    kept = min(rules.maintenance * leverage, _HALF)  # as a share of the initial margin
    return shown(position.cost * (leverage - sign) / (position.size * (leverage - sign * kept))) or None


def observed_liquidation(position: Position, seen: LiquidationPrice | None) -> Decimal | None:
    """The venue's own price, as far as it is about this position: what has traded since has another one."""
    if seen is None or seen.size != position.size or seen.side is not position.side:
        return None
    return seen.price


def liquidation(position: Position, rules: Rules, seen: LiquidationPrice | None = None) -> Decimal | None:
    """The price that decides: what the venue says, else the given one, else the estimate."""
    if seen is not None and (observed := observed_liquidation(position, seen)) is not None:
        return observed
    given = position.liquidation_price
    return estimated_liquidation(position, rules) if given is None else given


def value(position: Position, mark: Decimal, rules: Rules, seen: LiquidationPrice | None = None) -> Valuation:
    """Value a live position at a mark; ``seen`` is what its venue says of it."""
    sign = position.side.sign
    notional = position.size * mark
    gain = (notional - position.cost) * sign
    percent = gain / position.cost * HUNDRED if position.cost else ZERO
    ratio = _margin_ratio(position, mark, rules, seen)
    return Valuation(
        unrealized_pnl=shown(gain),
        pnl_percent=shown(percent),
        return_on_margin=shown(percent * position.leverage),
        notional=shown(notional),
        distance_percent=None if ratio is None else shown(ratio * HUNDRED),
        margin_ratio=None if ratio is None else shown(ratio),
    )


def _margin_ratio(position: Position, mark: Decimal, rules: Rules, seen: LiquidationPrice | None) -> Decimal | None:
    """(mark - liquidation) / mark * sign: how far the price may go against us; negative once crossed."""
    price = liquidation(position, rules, seen)
    return None if price is None else (mark - price) / mark * position.side.sign


def distance_percent(
    position: Position, mark: Decimal, rules: Rules, seen: LiquidationPrice | None = None
) -> Decimal | None:
    """That in percent."""
    ratio = _margin_ratio(position, mark, rules, seen)
    return None if ratio is None else shown(ratio * HUNDRED)


def is_at_risk(position: Position, mark: Decimal | None, rules: Rules, seen: LiquidationPrice | None = None) -> bool:
    """True when a live position is within the threshold of its liquidation price, or beyond it.

    An announced one never is: it holds nothing yet.
    """
    if mark is None or not position.size or position.status is Status.OPENING:
        return False
    if (price := liquidation(position, rules, seen)) is None:
        return False
    # Multiplied out: no division, no rounding, the same answer.
    return (mark - price) * HUNDRED * position.side.sign <= rules.threshold * mark
