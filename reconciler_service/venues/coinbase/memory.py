"""What one question's earlier answers say about the next one: a held thing does not leave a list without a second look.

An empty or shortened list comes as a success; so does an old one out of a cache. Neither is concluded from at first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler_service.venues.coinbase.fields import Moment

FORGOTTEN_AFTER = timedelta(hours=1)  # times of wallets: a clock that the venue set back must not blind us for ever


@dataclass(slots=True)
class Memory:
    """Of the last answer that was believed, and of the first one since that was not."""

    held: frozenset[str] = frozenset()  # wallets or contracts that were not flat
    updated: Mapping[str, Moment] = field(default_factory=dict)  # the venue's time of each wallet
    believed_at: datetime | None = None
    _asked: int = 0
    _missed: int | None = None  # how many snapshots had been asked for when something was first missed

    def begin(self) -> int:
        """The number of this look; give it to ``missing``."""
        self._asked += 1
        return self._asked

    def missing(self, gone: int, what: str, look: int) -> str:
        """Why a list that lacks ``gone`` held things is not believed yet; empty once a later look agrees."""
        if not gone or (self._missed is not None and look > self._missed):
            return ""
        if self._missed is None:
            self._missed = self._asked  # only a look asked for after this answer can confirm it
        return f"{gone} of {len(self.held)} {what} held before are not listed any more; asking again"

    def older(self, updated: Mapping[str, Moment], now: datetime) -> str:
        """Why a list is older than the one before; empty if nothing in it is."""
        if self.believed_at is None or now - self.believed_at > FORGOTTEN_AFTER:
            return ""
        for key, at in updated.items():
            before = self.updated.get(key)
            if before is not None and at < before:
                return f"a wallet's state of {at.at.isoformat()} is older than the one read before: stale"
        return ""

    def believe(self, held: frozenset[str], now: datetime, updated: Mapping[str, Moment] | None = None) -> None:
        """Take an answer as the new truth."""
        self.held = held
        self.updated = updated or {}
        self.believed_at = now
        self._missed = None
