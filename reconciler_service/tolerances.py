"""How far book and venue may be apart, for everything and for single venues and symbols. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Shares are of the larger value, 0.01 is 1 %.

    ``overrides`` are other values for a venue, a symbol or both, by (venue, symbol) and the name of the field; ""
    stands for every one. ``set_for`` says of the fields that are not the general ones what they were set for.
    """

    size: Decimal = Decimal(0)  # share of the size; one size step is always tolerated
    price: Decimal = Decimal("0.0001")  # share of the entry price: venues show five significant digits
    usd: Decimal = Decimal(1)  # in quote currency: differences worth less are dust
    leverage: Decimal = Decimal("0.01")  # absolute
    liquidation_isolated: Decimal = Decimal("0.01")  # share of the liquidation price
    liquidation_cross: Decimal = Decimal("0.1")
    overrides: Mapping[tuple[str, str], Mapping[str, Decimal]] = field(default_factory=dict)
    set_for: Mapping[str, str] = field(default_factory=dict)

    def of(self, venue: str, symbol: str) -> Tolerances:
        """Those of one instrument. Of each field the most specific value wins: both, the symbol, the venue."""
        values: dict[str, Decimal] = {}
        set_for: dict[str, str] = {}
        for key in ((venue, ""), ("", symbol), (venue, symbol)):
            for name, value in self.overrides.get(key, {}).items():
                values[name] = value
                set_for[name] = " ".join(part for part in key if part)
        return replace(self, **values, overrides={}, set_for=set_for) if values else self

    def told(self, name: str) -> str:
        """What a field was set for, in words; empty when it is the general value."""
        return f"set for {self.set_for[name]}" if name in self.set_for else ""
