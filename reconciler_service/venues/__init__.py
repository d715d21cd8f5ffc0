"""Venues: one folder each. An adapter reads a venue and nothing else; it holds no way to trade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from reconciler_service.health import Push
from reconciler_service.model import CashFlow, Mark, Snapshot, Source, VenueFill


class VenueError(Exception):
    """Base of what a venue can do to us. The text never carries a secret.

    VenueError
     +- VenueUnreachable   no usable answer: timeout, 5xx, HTML, broken JSON, spent budget; try again later
     +- VenueRefused       the venue or our settings make reading pointless: wrong address, bad key
     +- VenueDataError     an answer that breaks the wire format; nothing is concluded from it
    """


class VenueUnreachable(VenueError): ...


class VenueRefused(VenueError): ...


class VenueDataError(VenueError): ...


class Watch(Protocol):
    """What a venue says of its own accord. No word of it is taken for a position: it is a reason to look, now.

    Marks are market data and taken as such.
    """

    @property
    def state(self) -> Push:
        """How it is doing."""

    def marks(self) -> Mapping[str, Mark]:
        """The marks that came since this was asked last, by symbol; none where the venue pushes none."""

    async def run(self, on_change: Callable[[], None]) -> None:
        """Listen until cancelled, and call back when something may have changed. What fails is tried again."""


class Venue(Protocol):
    """Reads one account at one venue."""

    name: str  # e.g. "hyperliquid"
    account: str  # our name for it, e.g. "main"
    source: Source
    tells_flows: bool  # whether ``cash_flows`` are all that moves balances without a trade

    async def check(self) -> None:
        """Refuse an address or key that cannot be right. Raises VenueRefused or VenueUnreachable."""

    async def snapshot(self) -> Snapshot:
        """Read every scope. Never raises for a scope that fails: the scope says so itself."""

    async def fills(self, since: datetime, symbols: Sequence[str] = ()) -> list[VenueFill]:
        """Executions since then, oldest first, each once. Raises VenueError when incomplete."""

    async def cash_flows(self, since: datetime) -> list[CashFlow]:
        """Funding, deposits and transfers since then, oldest first; none where the venue tells none. Raises VenueError."""

    @property
    def budget_left(self) -> int:
        """Request weight left in the current minute."""

    def watch(self) -> Watch | None:
        """A new watch over the account; None where the venue does not push. Polling never depends on it."""

    async def close(self) -> None:
        """Give back connections."""
