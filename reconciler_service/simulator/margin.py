"""What follows from a wallet and the marks: summaries, margins, liquidation prices. Pure.

Identities that hold exactly, as in recorded answers of the venue:

    account value = total raw USD + sum(sign x position value)      total notional = sum(position value)
    total margin used = sum(margin used)                            isolated margin used = raw USD + sign x value
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from reconciler_service.simulator.records import ZERO, Market, Mode, to_usd_step
from reconciler_service.simulator.wallet import Position, Wallet

RATIO_STEP = Decimal("0.00000001")  # ratios and liquidation prices carry eight decimals


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals in USD; ``raw`` is negative when longs were bought with more than the collateral."""

    account_value: Decimal
    notional: Decimal
    raw: Decimal
    margin_used: Decimal


@dataclass(frozen=True, slots=True)
class PositionView:
    """One position at the current mark. ``liquidation`` is None where no price can liquidate it."""

    position: Position
    market: Market
    value: Decimal
    unrealized: Decimal
    return_on_equity: Decimal
    margin_used: Decimal
    liquidation: Decimal | None

    @property
    def is_liquidatable(self) -> bool:
        """Whether the mark has reached the liquidation price."""
        return self.liquidation is not None and self.position.sign * (self.market.mark - self.liquidation) <= 0


@dataclass(frozen=True, slots=True)
class WalletView:
    """One wallet at the current marks: all of it, its cross part, and each position."""

    total: Summary
    cross: Summary
    maintenance: Decimal  # of the cross positions, USD
    positions: tuple[PositionView, ...]

    @property
    def free(self) -> Decimal:
        """Cross collateral that backs nothing yet; negative when margin is short."""
        return self.cross.account_value - self.cross.margin_used


def view(wallet: Wallet, markets: Mapping[str, Market]) -> WalletView:
    """Value a wallet. ``markets`` must know every coin held."""
    views = tuple(_view_position(wallet, position, markets) for position in wallet.positions.values())
    crossed = [seen for seen in views if seen.position.mode is Mode.CROSS]
    isolated_raw = sum((position.raw_usd for position in wallet.positions.values()), ZERO)
    return WalletView(
        total=_summarise(wallet.cash + isolated_raw, views),
        cross=_summarise(wallet.cash, crossed),
        maintenance=to_usd_step(sum((seen.value * seen.market.maintenance_rate for seen in crossed), ZERO)),
        positions=views,
    )


def liquidation_price(wallet: Wallet, coin: str, markets: Mapping[str, Market]) -> Decimal | None:
    """The mark at which equity meets maintenance margin, other marks unchanged; None when there is none above 0.

    Solves  bucket + sum(signed value) = sum(maintenance rate x value)  for the coin's price. Reproduces the
    recorded isolated examples (raw -95.059824, size 0.0335, cap 50: 2866.2694) as far as their raw USD is shown.
    """
    position = wallet.positions[coin]
    bucket, owed = position.raw_usd, ZERO
    if position.mode is Mode.CROSS:
        bucket = wallet.cash
        for other in wallet.positions.values():
            if other.mode is Mode.CROSS and other.coin != coin:
                market = markets[other.coin]
                bucket += other.size * market.mark
                owed += other.value(market.mark) * market.maintenance_rate
    slope = position.size - abs(position.size) * markets[coin].maintenance_rate
    price = (owed - bucket) / slope
    return price.quantize(RATIO_STEP) if price > 0 else None


def _view_position(wallet: Wallet, position: Position, markets: Mapping[str, Market]) -> PositionView:
    market = markets[position.coin]
    value = position.value(market.mark)
    unrealized = position.size * market.mark - position.cost
    if position.mode is Mode.CROSS:
        margin_used = to_usd_step(value / position.leverage)
    else:
        margin_used = position.raw_usd + position.sign * value
    return PositionView(
        position=position,
        market=market,
        value=value,
        unrealized=unrealized,
        return_on_equity=(unrealized * position.leverage / abs(position.cost)).quantize(RATIO_STEP),
        margin_used=margin_used,
        liquidation=liquidation_price(wallet, position.coin, markets),
    )


def _summarise(raw: Decimal, views: Iterable[PositionView]) -> Summary:
    seen = list(views)
    return Summary(
        account_value=raw + sum((one.position.sign * one.value for one in seen), ZERO),
        notional=sum((one.value for one in seen), ZERO),
        raw=raw,
        margin_used=sum((one.margin_used for one in seen), ZERO),
    )
