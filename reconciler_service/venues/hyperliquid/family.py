"""The sub-accounts of the masters: which there are, which are asked for, and what we call them.

A sub-account is an address of its own, so it is an account of its own here: ``main/hedge`` for the one that its owner named "hedge".
Names are free text at the venue. What our contracts do not take as a name is replaced by ``-``, and of two that
would then be the same, each has the beginning of its address added. A name is kept while the process lives.

The setting is one for all masters. A name in it must be that of one sub-account only: where several masters have one of
that name, none is read, and the error names them, to be given by address or as ``main/hedge``. Until every master's are
known, a bare name is not decided.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from reconciler_service.venues import VenueDataError, VenueError, VenueRefused
from reconciler_service.venues.hyperliquid import decode
from reconciler_service.venues.hyperliquid.client import Client
from reconciler_service.venues.hyperliquid.decode import SubAccount
from reconciler_service.venues.kept import spread

ALL = "all"
PATIENCE_S = 10.0
LONGEST = 64  # characters of an account's name
AGAIN = timedelta(minutes=5)  # before a name that is wrong is looked for again

_FOREIGN = re.compile(r"[^A-Za-z0-9_.:@#+-]+")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_TAG = 8  # hex digits of an address that tell two names apart


class Member(NamedTuple):
    """A sub-account. ``account`` is our name of it, ``label`` its owner's; the address is in lower case."""

    master: str  # the account it belongs to
    address: str
    account: str
    label: str

    @property
    def words(self) -> frozenset[str]:
        """What names it and no other, in lower case."""
        return frozenset({self.address, self.account.lower(), f"{self.master}/{self.label}".lower()})


class Family:
    """The sub-accounts of one master. ``error`` says why those asked for are not all known; empty when they are."""

    def __init__(self, client: Client, account: str, wanted: Collection[str], good_for: timedelta) -> None:
        """``account`` is the master's; ``wanted`` holds names or addresses, or "all"; empty: none are asked for.

        Raises VenueRefused for an account's name that leaves no room for another.
        """
        if wanted and len(account) > LONGEST // 2:
            raise VenueRefused(f"the account's name is longer than {LONGEST // 2}: sub-accounts could not be named")
        self.account = account
        self.wanted = frozenset(one.lower() for one in wanted)
        self.members: tuple[Member, ...] | None = None  # None: not listed yet
        self.error = "not listed yet" if wanted else ""
        self._client = client
        self._good_for = spread(good_for, client.address)
        self._listed_at: datetime | None = None

    async def refresh(self, now: datetime) -> None:
        """List them when it is time to. Never raises VenueError: what was listed last holds."""
        good_for = min(self._good_for, AGAIN) if self.error else self._good_for
        if not self.wanted or (self._listed_at is not None and now - self._listed_at < good_for):
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                listed = decode.sub_accounts(await self._client.mine("subAccounts2"))
            named = names(self.account, listed)
        except (VenueError, TimeoutError) as error:
            self.error, self._listed_at = str(error) or "no answer in time", None
            return
        self.error, self._listed_at = "", now
        told = [(one.address.lower(), one.label) for one in listed]
        self.members = tuple(Member(self.account, address, named[address], label) for address, label in told)


async def wanted(families: Sequence[Family], now: datetime) -> list[Member]:
    """The sub-accounts that are asked for, each once; what is wrong is said by the families. Never raises VenueError."""
    asked = [family for family in families if family.wanted]
    await asyncio.gather(*(family.refresh(now) for family in asked))
    words = frozenset[str]().union(*(family.wanted for family in asked))
    found, wrong = chosen({family.account: family.members for family in asked}, words)
    for family in asked:
        is_listed = not family.error or family.account in wrong
        family.error = wrong.get(family.account, "") if is_listed else family.error
    return found


def chosen(
    families: Mapping[str, Sequence[Member] | None], words: Collection[str]
) -> tuple[list[Member], dict[str, str]]:
    """Those that are meant by ``words``, and what is wrong, by the master's account to say it of.

    ``families`` are by master; None: its sub-accounts are not known yet.
    """
    members = [one for listed in families.values() for one in listed or ()]
    unknown = [master for master, listed in families.items() if listed is None]
    found = {one.address: one for one in members if ALL in words}
    wrong: defaultdict[str, list[str]] = defaultdict(list)
    absent = []
    for word in sorted(set(words) - {ALL}):
        exact = [one for one in members if word in one.words]
        meant = exact or [one for one in members if word == one.label.lower()]
        if len(meant) > 1:
            told = ", ".join(f"{one.account} ({one.address})" for one in meant)
            for master in dict.fromkeys(one.master for one in meant):
                wrong[master].append(
                    f"{word} in HYPERLIQUID_SUB_ACCOUNTS may be {told}: give one of these names or addresses"
                )
        elif meant and (exact or not unknown):
            found[meant[0].address] = meant[0]
        elif meant:
            wrong[meant[0].master].append(
                f"{word} is not read before the sub-accounts of {', '.join(unknown)} are known"
            )
        elif not unknown:
            absent.append(word)
    if absent:
        wrong[next(iter(families))].insert(0, f"there is none called {', '.join(absent)}")
    return list(found.values()), {master: "; ".join(said) for master, said in wrong.items()}


def apart(found: Sequence[Member], taken: Collection[str]) -> dict[str, str]:
    """Our name of each, by address: another than those that are taken, e.g. by one whose owner gave its name on."""
    return {
        one.address: one.account if one.account not in taken else _told_apart(one.account, one.address, LONGEST)
        for one in found
    }


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
