"""What the venues hold, at a glance. Pure.

Amounts are Decimal, in quote currency. A position without a mark counts as a position and not as an amount.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from reconciler_service.findings import ZERO
from reconciler_service.holding import EXACT
from reconciler_service.model import VenuePosition


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one account at one venue holds. ``at`` is when it was last read completely."""

    venue: str
    at: datetime | None
    positions: tuple[VenuePosition, ...]


@dataclass(frozen=True, slots=True)
class VenueView:
    """One venue over all accounts. ``share`` is its part of the notional at all venues, 0 to 1."""

    positions: int
    share: Decimal
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All venues by name."""

    venues: dict[str, VenueView]
    positions: int
    assets: tuple[str, ...]


def overview(holdings: Iterable[Holdings]) -> Overview:
    """Sum up what the accounts hold. A venue is as old as the account of it that was read longest ago."""
    by_venue: dict[str, list[Holdings]] = {}
    for held in holdings:
        by_venue.setdefault(held.venue, []).append(held)
    with localcontext(EXACT):
        notional = {venue: sum(map(_notional, accounts), ZERO) for venue, accounts in by_venue.items()}
        total = sum(notional.values(), ZERO)
        venues = {
            venue: VenueView(
                positions=sum(len(held.positions) for held in accounts),
                share=notional[venue] / total if total else ZERO,
                at=_oldest(accounts),
            )
            for venue, accounts in by_venue.items()
        }
    positions = [position for accounts in by_venue.values() for held in accounts for position in held.positions]
    assets = {position.asset or position.symbol for position in positions}
    return Overview(venues, len(positions), tuple(sorted(assets)))


def _notional(held: Holdings) -> Decimal:
    return sum((p.size * p.mark_price for p in held.positions if p.mark_price is not None), ZERO)


def _oldest(accounts: list[Holdings]) -> datetime | None:
    times = [held.at for held in accounts]
    return None if None in times else min(time for time in times if time is not None)
