"""The live positions added up. Pure; sums are exact, and only what is shown is rounded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from position_service.domain.book import View
from position_service.domain.numbers import ZERO
from position_service.domain.position import Position, Side
from position_service.domain.risk import Rules, distance_percent, is_at_risk


@dataclass(slots=True)
class Summary:
    """Quote currency, taken as one. Positions without a mark are named, not guessed: they are in no sum but
    ``realized`` and ``funding``.
    """

    positions: int = 0
    at_risk: int = 0
    unrealized: Decimal = ZERO
    realized: Decimal = ZERO
    funding: Decimal = ZERO
    long_notional: Decimal = ZERO
    short_notional: Decimal = ZERO
    assets: set[str] = field(default_factory=set)
    missing_marks: set[str] = field(default_factory=set)

    def add(self, view: View, position: Position, rules: Rules) -> None:
        """Take one more position into account."""
        self.positions += 1
        self.realized += position.realized
        self.funding += position.funding
        self.assets.add(position.asset)
        mark = view.mark(position.instrument)
        if mark is None:
            self.missing_marks.add(f"{position.venue}/{position.symbol}")
            return
        self.at_risk += is_at_risk(position, mark.price, rules)
        notional = position.size * mark.price
        self.unrealized += (notional - position.cost) * position.side.sign
        if position.side is Side.LONG:
            self.long_notional += notional
        else:
            self.short_notional += notional


def at_risk(view: View, positions: Iterable[Position], rules: Rules) -> list[Position]:
    """The positions within the threshold of their liquidation price, given or estimated, nearest first."""
    found = []
    for position in positions:
        mark = view.mark(position.instrument)
        if mark is not None and is_at_risk(position, mark.price, rules):
            distance = distance_percent(position, mark.price, rules)
            assert distance is not None  # nothing without a liquidation price is at risk
            found.append((distance, position.position_id, position))
    return [position for _, _, position in sorted(found, key=lambda entry: entry[:2])]
