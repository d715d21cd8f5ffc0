"""A position as a model of a few lines knows it: fractions, no rounding, no tables."""

from __future__ import annotations

from fractions import Fraction

OPENING, OPEN, REDUCED, CLOSING, CLOSED, LIQUIDATED = range(1, 7)
THRESHOLD = Fraction(5, 100)
MAINTENANCE = Fraction(125, 10_000)


class Held:
    """Signed inventory and its cost; the average entry follows."""

    def __init__(self, signed: Fraction, price: Fraction, *, leverage: str = "1", pending: bool = False) -> None:
        self.sign = 1 if signed > 0 else -1
        self.size, self.cost = abs(signed), abs(signed) * price
        self.peak = self.size
        self.realized = Fraction(0)
        self.leverage, self.liquidation = Fraction(leverage), Fraction(0)  # 0: not given
        self.status, self.back = OPENING if pending else OPEN, OPEN
        self.at_risk, self.revision = False, 0

    def confirm(self, size: Fraction, price: Fraction) -> None:
        self.size, self.cost, self.peak, self.status = size, size * price, size, OPEN

    def cancel(self) -> None:
        self.size, self.status = Fraction(0), CLOSED

    def grow(self, size: Fraction, price: Fraction) -> None:
        self.size, self.cost = self.size + size, self.cost + size * price
        self.peak = max(self.peak, self.size)

    def lessen(self, size: Fraction, price: Fraction, end: int) -> None:
        share = self.cost * size / self.size
        self.realized += (price * size - share) * self.sign
        self.size, self.cost = self.size - size, self.cost - share
        self.status = REDUCED if self.size else end

    def adjust(self, sign: int, size: Fraction, entry: Fraction, close: Fraction) -> None:
        status = self.status
        if status == OPENING and not size:
            return self.cancel()
        if status == OPENING:
            self.sign, self.size, self.cost, self.peak = sign, size, size * entry, size
            return None
        closed = self.size if sign != self.sign else max(self.size - size, Fraction(0))
        if closed:
            self.lessen(closed, close, CLOSED)
        if size:
            self.sign, self.size, self.cost = sign, size, size * entry
            self.back = REDUCED if size < self.peak else OPEN
            self.status = CLOSING if status == CLOSING else self.back
            self.peak = max(self.peak, size)
        return None

    @property
    def entry(self) -> Fraction:
        return self.cost / self.size

    def facts(self) -> tuple[Fraction, int, int, Fraction]:
        return self.size, self.status, self.sign, self.entry

    def is_risky(self, mark: Fraction | None) -> bool:
        if self.status == OPENING:
            return False
        price = self.liquidation
        if not price and self.leverage > 1:
            kept = min(MAINTENANCE, 1 / (2 * self.leverage))
            price = self.entry * (1 - self.sign / self.leverage) / (1 - self.sign * kept)
        return bool(price) and mark is not None and (mark - price) * self.sign <= THRESHOLD * mark
