"""The live positions added up. Pure; sums are exact, and only what is shown is rounded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from position_service.domain.book import View
from position_service.domain.numbers import ZERO
from position_service.domain.position import Instrument, Position, Side, Status
from position_service.domain.risk import Rules, distance_percent, is_at_risk


@dataclass(slots=True)
class Summary:
    """Quote currency, taken as one. A position whose mark is missing, or was observed before ``oldest``, is named and
    not guessed: it is in no sum but those of realised PnL and funding. At risk it is by the newest mark, however old.
    An announced position holds nothing: it is counted, and is in no sum and not at risk."""

    oldest: datetime
    positions: int = 0
    at_risk: int = 0
    unrealized: Decimal = ZERO
    realized: Decimal = ZERO
    funding: Decimal = ZERO
    estimated: Decimal = ZERO  # the part of ``realized`` that corrections had to guess
    long_notional: Decimal = ZERO
    short_notional: Decimal = ZERO
    assets: set[str] = field(default_factory=set)
    missing_marks: set[Instrument] = field(default_factory=set)
    old_marks: set[Instrument] = field(default_factory=set)

    def add(self, view: View, position: Position, rules: Rules) -> None:
        """Take one more position into account."""
        self.positions += 1
        self.realized += position.realized
        self.funding += position.funding
        self.estimated += position.estimated
        self.assets.add(position.asset)
        if position.status is Status.OPENING:
            return
        mark = view.mark(position.instrument)
        if mark is None:
            self.missing_marks.add(position.instrument)
            return
        self.at_risk += is_at_risk(position, mark.price, rules, view.liquidation_price(position.position_id))
        if mark.observed_at < self.oldest:
            self.old_marks.add(position.instrument)
            return
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
        seen = view.liquidation_price(position.position_id)
        if mark is not None and is_at_risk(position, mark.price, rules, seen):
            distance = distance_percent(position, mark.price, rules, seen)
            assert distance is not None  # nothing without a liquidation price is at risk
            found.append((distance, position.position_id, position))
    return [position for _, _, position in sorted(found, key=lambda entry: entry[:2])]
