"""Reads one Hyperliquid account. ``POST /info`` only: no key, no signature, no way to trade.

Scopes are the perpetual dexes, and ``spot``. What makes a scope's answer unfit to conclude from:

* FAILED   no usable answer, or one that breaks the format. Other scopes stay good. If the list of dexes cannot be read,
           the dexes known so far are read all the same, and the extra scope ``*`` is FAILED: of a dex that is not
           among the readings nothing is known, so it must not be concluded to be empty. The same of sub-accounts.
* SUSPECT  the positions listed are fewer than the totals say. Whether a complete answer is of the right time and may
           be empty is for the Reconciler to judge.

Sub-accounts are accounts of their own, read by their own address: ``members`` finds them, for all masters at once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from reconciler_service.model import CashFlow, Outcome, ScopeReading, Snapshot, Source, VenueFill
from reconciler_service.venues import VenueDataError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.http import HttpSettings, base_of
from reconciler_service.venues.hyperliquid import decode, family, flows, history, pages
from reconciler_service.venues.hyperliquid.client import Client
from reconciler_service.venues.hyperliquid.dexes import DexReader, unread
from reconciler_service.venues.hyperliquid.family import Family
from reconciler_service.venues.hyperliquid.metadata import GOOD_FOR, Metadata
from reconciler_service.venues.hyperliquid.modes import Mode
from reconciler_service.venues.hyperliquid.push import MOST_USERS, TAKEN, HyperliquidDialect
from reconciler_service.venues.hyperliquid.spot import SpotReader, SpotSettings
from reconciler_service.venues.push import Places, SocketWatch
from reconciler_service.venues.wire import EPOCH, happened, milliseconds

BASE_URL = "https://api.hyperliquid.xyz"
WEIGHT_PER_MINUTE = 960  # 80 % of the 1200 that the venue allows an IP address
CALLED = "HYPERLIQUID_KEY"  # the setting that says which address it is, unless another does: errors name it
KEPT = 10_000  # fills the venue keeps; older ones are gone

_HOLDERS = frozenset({"user", "vault", "subAccount"})
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_PRIVATE_KEY = re.compile(r"(0x)?[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """What to read, and how long to trust what seldom changes."""

    metadata_for: timedelta = GOOD_FOR  # before dexes, markets, tokens, the mode, sub-accounts are read again
    spot: SpotSettings | None = field(default_factory=SpotSettings)  # None: not read
    sub_accounts: tuple[str, ...] = ()  # names or addresses of those to read, or "all"
    called: str = CALLED
    http: HttpSettings = field(default_factory=HttpSettings)


class Common:
    """What all accounts at one base URL have in common; an adapter that is given none has one of its own."""

    def __init__(self, metadata_for: timedelta = GOOD_FOR) -> None:
        self.metadata = Metadata(metadata_for)
        self.places = Places(MOST_USERS, TAKEN)  # on the WebSocket


class Hyperliquid:
    """Implements ``Venue``. Safe to use from many tasks of one event loop."""

    name = "hyperliquid"
    tells_flows = True

    def __init__(
        self,
        address: str,
        *,
        source: Source,
        account: str = "main",
        base_url: str = BASE_URL,
        settings: Settings | None = None,
        budget: WeightBudget | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        push_urls: Sequence[str] = (),
        common: Common | None = None,
    ) -> None:
        """``address`` is the public 0x address of a master, sub-account or vault: VenueRefused if it cannot be one.

        ``account`` is our name for it. ``budget`` is by default shared by all adapters of the same ``base_url``.
        ``clock`` gives aware times. No connection is made here.
        ``push_urls`` are the WebSocket's and those of its stand-ins, none to watch nothing.
        """
        self._settings = settings or Settings()
        self.address = checked_address(address, self._settings.called)
        self._push_urls = tuple(push_urls)
        self._clock = clock
        self._base_url = base_url
        self._budget = budget or WeightBudget.shared(str(base_of(base_url).origin()), WEIGHT_PER_MINUTE)
        self._client = Client(self.address, base_url, self._budget, self._settings.http)
        good_for = self._settings.metadata_for
        self._common = common or Common(good_for)
        metadata, spot = self._common.metadata, self._settings.spot
        self._mode = Mode(self._client, good_for)
        self._dexes = DexReader(self._client, metadata, clock)
        self._spot = None if spot is None else SpotReader(self._client, spot, metadata)
        self.family = Family(self._client, account, self._settings.sub_accounts, good_for)
        self.account = account
        self.source = source

    @property
    def budget_left(self) -> int:
        """Weight left in the current minute, of the 960 that we allow ourselves."""
        return self._client.left

    def watch(self) -> SocketWatch | None:
        """A watch over the address."""
        if not self._push_urls:
            return None
        metadata = self._common.metadata
        dialect = HyperliquidDialect(self.address, self._push_urls, lambda dex: metadata.steps(dex).value or {})
        return SocketWatch(dialect, f"{self.name} {self.account}", places=self._common.places)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def check(self) -> None:
        """Refuse an address that answers like a flat account but is none. Weight 60: once at the start is enough."""
        try:
            role = decode.user_role(await self._client.mine("userRole"))
        except VenueDataError as error:
            raise VenueUnreachable(str(error)) from error
        if role.role == "missing":
            raise VenueRefused(
                f"hyperliquid knows no account {self.address}: check {self._settings.called}. "
                "A wrong address reads as a flat account, so it is not used"
            )
        if role.role == "agent":
            hint = f"its master's address {role.master}" if role.master else "its master's address"
            raise VenueRefused(
                f"{self.address} is an agent (API wallet): it holds no positions and reads as flat. "
                f"Set {self._settings.called} to {hint}"
            )
        if role.role not in _HOLDERS:
            raise VenueRefused(f"{self.address} has the role {role.role[:40]!r}, not known to hold positions")

    def member(self, address: str, account: str) -> Hyperliquid:
        """The adapter of a sub-account: it fails alone, and is the caller's to close."""
        return Hyperliquid(
            address,
            source=self.source,
            account=account,
            base_url=self._base_url,
            settings=replace(self._settings, sub_accounts=()),
            budget=self._budget,
            clock=self._clock,
            push_urls=self._push_urls,
            common=self._common,
        )

    @property
    def now(self) -> datetime:
        """The time by its clock."""
        return self._clock()

    async def snapshot(self) -> Snapshot:
        """Read all scopes at once. Never raises VenueError: what failed says so itself."""
        requested_at = self._clock()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mode.refresh(requested_at))
            perpetuals = group.create_task(self._dexes.read(requested_at))
            spot = None if self._spot is None else group.create_task(self._spot.read(requested_at))
        readings = self._by_mode(perpetuals.result())
        marks = {p.symbol: p.mark_price for r in readings for p in r.positions if p.mark_price is not None}
        if spot is not None:
            reading, more = spot.result()
            readings.append(reading if self._mode.has_spot_totals else replace(reading, equity=None))
            marks |= more
        if self.family.error:
            readings.append(unread("sub-accounts", f"sub-accounts: {self.family.error}"))
        told = tuple(marks.items())
        return Snapshot(self.name, self.account, self.source, requested_at, tuple(readings), told, mode=self._mode.name)

    async def fills(self, since: datetime, symbols: Sequence[str] = ()) -> list[VenueFill]:
        """Executions since then (to the millisecond, inclusive), oldest first, each once.

        Without ``symbols`` all perpetuals of all dexes; spot pairs and outcomes only when named. Raises VenueError
        rather than leave any out: also when the venue, which keeps 10 000, may have dropped some of those asked for.
        """

        async def page(start: int, end: int | None) -> list[history.Execution]:
            raw = await self._client.history(pages.FILLS.kind, start, end)
            return history.executions(raw, self.address)

        ordered = history.in_order(await pages.read(pages.FILLS, milliseconds(since), page))
        for fill in ordered[-1:]:
            happened(fill.time, self._clock(), "fills")
        if len(ordered) >= KEPT and ordered[0].time > since:
            raise VenueRefused(
                f"fills: the venue keeps the newest {KEPT}; some before {ordered[0].time.isoformat()} may be gone"
            )
        wanted = frozenset(symbols)
        asked = [fill for fill in ordered if fill.time >= EPOCH + timedelta(milliseconds=milliseconds(since))]
        if not wanted:
            return [fill for fill in asked if history.is_perpetual(fill.symbol)]
        if self._spot is not None and not all(map(history.is_perpetual, wanted)):
            # Fills on any pair of a token move the one holding of it.
            spot = await self._spot.moved([f for f in asked if not history.is_perpetual(f.symbol)], self._clock())
            renamed = {fill.fill_id: fill for fill in spot}
            asked = [renamed.get(fill.fill_id, fill) for fill in asked]
        return [fill for fill in asked if fill.symbol in wanted]

    async def cash_flows(self, since: datetime) -> list[CashFlow]:
        """Funding and what else moved balances without a trade, since then, oldest first. Raises VenueError."""
        start = milliseconds(since)

        async def funding(start: int, end: int | None) -> list[flows.Booked]:
            return [flows.funding(row) for row in await self._client.history(pages.FUNDING.kind, start, end)]

        async def ledger(start: int, end: int | None) -> list[flows.Booked]:
            raw = await self._client.history(pages.LEDGER.kind, start, end)
            return [flows.ledger(row, self.address) for row in raw]

        booked = [*await pages.read(pages.FUNDING, start, funding), *await pages.read(pages.LEDGER, start, ledger)]
        found = [flow for entry in booked for flow in entry.flows]
        if self._spot is not None and any(flow.currency != flows.USDC for flow in found):
            known = (await self._spot.tokens(self._clock())).by_name
            found = [
                replace(flow, currency=known[flow.currency].asset) if flow.currency in known else flow for flow in found
            ]
        return sorted(found, key=lambda flow: (flow.time, flow.flow_id, flow.scope))

    def _by_mode(self, readings: list[ScopeReading]) -> list[ScopeReading]:
        """The readings without what totals say of them, where totals mean nothing in the account's mode."""
        doubted = [one for one in readings if one.outcome is Outcome.SUSPECT]
        if doubted and self._mode.is_unified:
            readings = [replace(one, outcome=Outcome.OK, error="") if one in doubted else one for one in readings]
        elif doubted:
            self._mode.ask_again()  # totals that do not add up are what a change of it looks like
        return readings if self._mode.has_dex_totals else [replace(one, equity=None) for one in readings]


async def members(accounts: Sequence[Hyperliquid]) -> list[Hyperliquid]:
    """Adapters of the sub-accounts that are asked for and are none of ``accounts`` yet, each once.

    Never raises VenueError: what cannot be listed, or is asked for and not to be had, is said by the masters' snapshots.
    """
    if not accounts:
        return []
    masters = {one.account: one for one in accounts}
    known = {one.address for one in accounts}
    found = [
        one
        for one in await family.wanted([one.family for one in accounts], accounts[0].now)
        if one.address not in known
    ]
    named = family.apart(found, masters)
    return [masters[one.master].member(one.address, named[one.address]) for one in found]


def checked_address(address: str, called: str = CALLED) -> str:
    """The lower-case 0x address, or VenueRefused. The text is never repeated: it may be a key, pasted by mistake."""
    address = address.strip().lower()
    if _PRIVATE_KEY.fullmatch(address):
        raise VenueRefused(f"{called} looks like a private key, which is never needed: give the 0x address")
    if not _ADDRESS.fullmatch(address):
        raise VenueRefused(f"{called} must be a public address: 0x and 40 hex digits, 42 characters")
    return address
