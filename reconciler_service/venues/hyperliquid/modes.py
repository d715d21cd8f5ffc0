"""How the venue keeps an account (``userAbstraction``), read now and then: it may be changed at run time. Pure but for that.

``default``, ``disabled`` and the old ``dexAbstraction`` keep the collateral of each dex and of spot apart. In
``unifiedAccount`` and ``portfolioMargin`` all balances stand in ``spotClearinghouseState``, and the totals of a dex mean
nothing; its positions still do. Of a mode that is not known, or not known of, the totals are not believed either.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from reconciler_service.venues import VenueError
from reconciler_service.venues.hyperliquid import decode
from reconciler_service.venues.hyperliquid.client import Client
from reconciler_service.venues.kept import spread

PATIENCE_S = 5.0  # the snapshot waits for it

_APART = frozenset({"default", "disabled", "dexAbstraction"})
_TOGETHER = frozenset({"unifiedAccount", "portfolioMargin"})


class Mode:
    """The mode of one account; ``name`` is empty until it could be read."""

    def __init__(self, client: Client, good_for: timedelta) -> None:
        self._client = client
        self._good_for = spread(good_for, client.address)
        self._read_at: datetime | None = None
        self.name = ""

    @property
    def has_dex_totals(self) -> bool:
        """Whether account value and cash of a single dex mean anything."""
        return self.name in _APART

    @property
    def is_unified(self) -> bool:
        """Whether the totals of a single dex are known to mean nothing."""
        return self.name in _TOGETHER

    @property
    def has_spot_totals(self) -> bool:
        """Whether the cash of spot is what it says."""
        return self.name in _APART or self.name in _TOGETHER

    def ask_again(self) -> None:
        """Read it with the next look, whenever it was read."""
        self._read_at = None

    async def refresh(self, now: datetime) -> None:
        """Read it when it is due. Never raises VenueError: what was read last holds until it can be read again."""
        if self._read_at is not None and now - self._read_at < self._good_for:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                self.name = decode.user_abstraction(await self._client.mine("userAbstraction"))
        except (VenueError, TimeoutError):
            return
        self._read_at = now
