"""What is true of Hyperliquid whoever asks: its dexes, their markets, its tokens. One for all accounts of a process.

Each would cost 20 weight an account and hour, and the venue answers everybody the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from reconciler_service.venues.hyperliquid.tokens import Tokens
from reconciler_service.venues.kept import Kept

GOOD_FOR = timedelta(hours=1)

Steps = Mapping[str, Decimal]  # size steps by coin


class Metadata:
    """Of one base URL. The accounts that share it read tokens by the same settings."""

    def __init__(self, good_for: timedelta = GOOD_FOR) -> None:
        """``good_for`` is how long a part is used before it is read again."""
        self._good_for = good_for
        self._steps: dict[str, Kept[Steps]] = {}
        self.dexes: Kept[tuple[str, ...]] = Kept("perpDexs", good_for)
        self.tokens: Kept[Tokens] = Kept("spotMeta", good_for)

    def steps(self, dex: str) -> Kept[Steps]:
        """The size steps of one dex."""
        return self._steps.setdefault(dex, Kept(f"meta {dex}", self._good_for))
