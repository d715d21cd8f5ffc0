"""The money of one account on one dex: cross cash, positions, and how a trade moves between them.

The cost of what is open is kept, not its average, and every dollar moved out of one bucket lands in another, so

    cash + sum(isolated rawUsd) + sum(cost) = deposits + sum(closedPnl) - sum(fees) + sum(funding)

holds to the last digit after every operation, whatever was rounded on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from reconciler_service.simulator.records import ZERO, Market, Mode, to_usd_step


@dataclass(slots=True)
class Position:
    """One open position. ``size`` and ``cost`` are signed: below zero when short."""

    coin: str
    leverage: int
    mode: Mode
    size: Decimal = ZERO
    cost: Decimal = ZERO  # sum of signed size x price of what is open, USD
    raw_usd: Decimal = ZERO  # the isolated bucket; stays zero when cross
    funding_since_open: Decimal = ZERO  # paid by the user when positive
    funding_since_change: Decimal = ZERO

    @property
    def sign(self) -> int:
        return -1 if self.size < 0 else 1

    @property
    def entry(self) -> Decimal:
        """Average price of what is open, unrounded."""
        return self.cost / self.size

    def value(self, mark: Decimal) -> Decimal:
        """Notional at a mark price, never negative, exact."""
        return abs(self.size) * mark


@dataclass(slots=True)
class Wallet:
    """Cross cash (USD, may be negative) and positions by coin."""

    cash: Decimal = ZERO
    positions: dict[str, Position] = field(default_factory=dict)

    def copy(self) -> Wallet:
        return Wallet(self.cash, {coin: replace(position) for coin, position in self.positions.items()})

    def trade(
        self, coin: str, delta: Decimal, price: Decimal, fee: Decimal, leverage: int, mode: Mode
    ) -> tuple[Decimal, Decimal]:
        """Book a signed size at a price; leverage and mode count only when it opens a position.

        Returns (closed PnL before fees, size that was opened).
        """
        position = self.positions.get(coin)
        closed = ZERO
        pnl = ZERO
        if position is not None and position.sign * delta < 0:
            closed = min(abs(delta), abs(position.size))
            pnl = self._reduce(position, closed, price)
        opened = abs(delta) - closed
        if opened:
            held = self.positions.setdefault(coin, Position(coin, leverage, mode))
            self._open(held, opened.copy_sign(delta), price)
        self._charge(coin, fee)
        return pnl, opened

    def receive_funding(self, coin: str, usdc: Decimal) -> None:
        """Book a funding payment; positive is received."""
        position = self.positions[coin]
        position.funding_since_open -= usdc
        position.funding_since_change -= usdc
        self._charge(coin, -usdc)

    def set_leverage(self, market: Market, leverage: int, mode: Mode) -> None:
        """Re-margin an open position at its mark; does nothing when flat.

        Becoming isolated, or isolated at a lower leverage, moves initial margin in from cash. A higher leverage
        leaves the margin where it is. Becoming cross moves the whole bucket back.
        """
        position = self.positions.get(market.coin)
        if position is None:
            return
        if mode is Mode.CROSS:
            self.cash += position.raw_usd
            position.raw_usd = ZERO
        else:
            value = position.value(market.mark)
            wanted = to_usd_step(value / leverage) - position.sign * value
            if position.mode is Mode.CROSS or wanted > position.raw_usd:
                self.cash -= wanted - position.raw_usd
                position.raw_usd = wanted
        position.leverage, position.mode = leverage, mode

    def _reduce(self, position: Position, closed: Decimal, price: Decimal) -> Decimal:
        quantity = closed * position.sign
        flat = closed == abs(position.size)
        # A share that does not terminate is rounded; the remainder stays in the cost of what is left.
        share = position.cost if flat else to_usd_step(position.cost * quantity / position.size)
        pnl = quantity * price - share
        margin_before = position.raw_usd + position.cost
        kept = 1 - closed / abs(position.size)
        position.size -= quantity
        position.cost -= share
        position.funding_since_change = ZERO
        if position.mode is Mode.CROSS:
            self.cash += quantity * price
        else:
            position.raw_usd += quantity * price
            margin = position.raw_usd + position.cost
            released = position.raw_usd if flat else max(ZERO, margin - to_usd_step(margin_before * kept))
            position.raw_usd -= released
            self.cash += released
        if flat:
            del self.positions[position.coin]
        return pnl

    def _open(self, position: Position, quantity: Decimal, price: Decimal) -> None:
        spent = quantity * price
        position.size += quantity
        position.cost += spent
        position.funding_since_change = ZERO
        if position.mode is Mode.CROSS:
            self.cash -= spent
        else:
            margin = to_usd_step(abs(spent) / position.leverage)
            self.cash -= margin
            position.raw_usd += margin - spent

    def _charge(self, coin: str, amount: Decimal) -> None:
        """Take an amount from the bucket that carries the coin now."""
        position = self.positions.get(coin)
        if position is not None and position.mode is Mode.ISOLATED:
            position.raw_usd -= amount
        else:
            self.cash -= amount
