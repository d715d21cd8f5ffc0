"""The sub-accounts of a master: which there are, and what we call them.

A sub-account is an address of its own, so it is an account of its own here: ``main/hedge`` for the one that its owner named "hedge".
Names are free text at the venue. What our contracts do not take as a name is replaced by ``-``, and of two that
would then be the same, each has the beginning of its address added. A name is kept while the process lives.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from reconciler_service.venues import VenueDataError, VenueError, VenueRefused
from reconciler_service.venues.hyperliquid import decode
from reconciler_service.venues.hyperliquid.client import Client
from reconciler_service.venues.hyperliquid.decode import SubAccount

ALL = "all"
PATIENCE_S = 10.0
LONGEST = 64  # characters of an account's name

_FOREIGN = re.compile(r"[^A-Za-z0-9_.:@#+-]+")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_TAG = 8  # hex digits of an address that tell two names apart


class Family:
    """Finds the sub-accounts of one master. ``error`` says why they are not all known; empty when they are."""

    def __init__(self, client: Client, account: str, wanted: Collection[str], good_for: timedelta) -> None:
        """``account`` is the master's; ``wanted`` holds names or addresses, or "all"; empty: none are asked for.

        Raises VenueRefused for an account's name that leaves no room for another.
        """
        if wanted and len(account) > LONGEST // 2:
            raise VenueRefused(f"HYPERLIQUID_ACCOUNT is longer than {LONGEST // 2}: sub-accounts could not be named")
        self._client = client
        self._account = account
        self._wanted = frozenset(one.lower() for one in wanted)
        self._good_for = good_for
        self._listed_at: datetime | None = None
        self._known: set[str] = set()
        self.error = "not listed yet" if wanted else ""

    async def new(self, now: datetime) -> list[tuple[str, str]]:
        """Address and account of those not told before, when it is time to look. Never raises VenueError."""
        if not self._wanted or (self._listed_at is not None and now - self._listed_at < self._good_for):
            return []
        try:
            async with asyncio.timeout(PATIENCE_S):
                listed = decode.sub_accounts(await self._client.mine("subAccounts2"))
            named = names(self._account, listed)
        except (VenueError, TimeoutError) as error:
            self.error = str(error) or "no answer in time"
            return []
        told = {word for one in listed for word in (one.address.lower(), one.label.lower())}
        absent = sorted(self._wanted - told - {ALL})
        self.error = f"there is none called {', '.join(absent)}" if absent else ""
        self._listed_at = None if absent else now
        found = [one for one in listed if self._is_wanted(one) and one.address.lower() not in self._known]
        self._known |= {one.address.lower() for one in found}
        return [(one.address.lower(), named[one.address.lower()]) for one in found]

    def _is_wanted(self, one: SubAccount) -> bool:
        return not self._wanted.isdisjoint({ALL, one.address.lower(), one.label.lower()})


def names(master: str, listed: Sequence[SubAccount]) -> dict[str, str]:
    """Our name of each, by its address in lower case. Raises VenueDataError for what is no address."""
    plain = {}
    for one in listed:
        address = one.address.lower()
        if not _ADDRESS.fullmatch(address) or address in plain:
            raise VenueDataError(f"subAccounts: {address[:60]!r} is no address, or stands there twice")
        plain[address] = _FOREIGN.sub("-", one.label).strip("-")
    room = LONGEST - len(master) - 1
    short = {address: label[:room] for address, label in plain.items()}
    often = Counter(short.values())
    return {
        address: f"{master}/{label if label and often[label] == 1 else _told_apart(label, address, room)}"
        for address, label in short.items()
    }


def _told_apart(label: str, address: str, room: int) -> str:
    tag = address[: 2 + _TAG]
    return f"{label[: max(0, room - len(tag) - 1)]}-{tag}".strip("-")[:room]
