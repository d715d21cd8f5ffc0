"""Reads one Hyperliquid account. ``POST /info`` only: no key, no signature, no way to trade.

Scopes are the perpetual dexes. What makes a scope's answer unfit to conclude from:

* FAILED   no usable answer, or one that breaks the format. Other scopes stay good. If the list of dexes cannot be read,
           the dexes known so far are read all the same, and the extra scope ``*`` is FAILED: of a dex that is not
           among the readings nothing is known, so it must not be concluded to be empty.
* SUSPECT  the positions listed are fewer than the totals say. Whether a complete answer is of the right time and may
           be empty is for the Reconciler to judge.

Spot balances are not a scope yet (``decode.spot_balances`` reads them); sub-accounts are read by their own address.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from reconciler_service.model import Outcome, Product, ScopeReading, Snapshot, Source, VenueFill
from reconciler_service.venues import VenueDataError, VenueError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.http import HttpSettings, JsonHttp, Request, base_of
from reconciler_service.venues.hyperliquid import decode, history
from reconciler_service.venues.wire import EPOCH, EXACT, milliseconds, rows

BASE_URL = "https://api.hyperliquid.xyz"
WEIGHT_PER_MINUTE = 960  # 80 % of the 1200 that the venue allows an IP address
UNLISTED = "*"  # the scope that stands for dexes which could not be listed
PAGE = 2000  # fills in a full page
KEPT = 10_000  # fills the venue keeps; older ones are gone

_MAX_PAGES = 25
_ROWS_PER_WEIGHT = 20
_WEIGHTS = {"clearinghouseState": 2, "userRole": 60}
_WEIGHT = 20  # of every other type
_HOLDERS = frozenset({"user", "vault", "subAccount"})
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_PRIVATE_KEY = re.compile(r"(0x)?[0-9a-f]{64}", re.ASCII)
_NOTIONAL_SLACK = Decimal("1e-6")  # relative; the venue's totals carry float noise


@dataclass(frozen=True, slots=True)
class Settings:
    """How to ask, and how long to trust what seldom changes."""

    metadata_for: timedelta = timedelta(hours=1)  # before the dexes and their markets are read again
    http: HttpSettings = field(default_factory=HttpSettings)


@dataclass(slots=True)
class _Scope:
    """What is remembered of one dex between snapshots."""

    steps: dict[str, Decimal] = field(default_factory=dict)
    steps_at: datetime | None = None
    held: int = 0  # positions in the last OK reading


class Hyperliquid:
    """Implements ``Venue``. Safe to use from many tasks of one event loop."""

    name = "hyperliquid"

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
    ) -> None:
        """``address`` is the public 0x address of a master, sub-account or vault: VenueRefused if it cannot be one.

        ``account`` is our name for it. ``budget`` is by default shared by all adapters of the same ``base_url``.
        ``clock`` gives aware times. No connection is made here.
        """
        self._address = checked_address(address)
        self._settings = settings or Settings()
        self._clock = clock
        budget = budget or WeightBudget.shared(str(base_of(base_url).origin()), WEIGHT_PER_MINUTE)
        self._http = JsonHttp(base_url, budget, settings=self._settings.http)
        self._dexes: tuple[str, ...] = (decode.MAIN_DEX,)
        self._dexes_at: datetime | None = None
        self._scopes: dict[str, _Scope] = {}
        self.account = account
        self.source = source

    @property
    def budget_left(self) -> int:
        """Weight left in the current minute, of the 960 that we allow ourselves."""
        return self._http.budget.left

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def check(self) -> None:
        """Refuse an address that answers like a flat account but is none. Weight 60: once at the start is enough."""
        try:
            role = decode.user_role(await self._info("userRole", user=self._address))
        except VenueDataError as error:
            raise VenueUnreachable(str(error)) from error
        if role.role == "missing":
            raise VenueRefused(
                f"hyperliquid knows no account {self._address}: check HYPERLIQUID_ADDRESS. "
                "A wrong address reads as a flat account, so it is not used"
            )
        if role.role == "agent":
            hint = f"its master's address {role.master}" if role.master else "its master's address"
            raise VenueRefused(
                f"{self._address} is an agent (API wallet): it holds no positions and reads as flat. "
                f"Set HYPERLIQUID_ADDRESS to {hint}"
            )
        if role.role not in _HOLDERS:
            raise VenueRefused(f"{self._address} has the role {role.role[:40]!r}, not known to hold positions")

    async def snapshot(self) -> Snapshot:
        """Read all dexes at once. Never raises VenueError: what failed says so itself."""
        requested_at = self._clock()
        readings: list[ScopeReading] = []
        try:
            await self._list_dexes(requested_at)
        except VenueError as error:
            # No symbol begins with "*:": the reading is there to be seen, it covers no position.
            readings.append(_reading(UNLISTED, Outcome.FAILED, error=f"other dexes than those read: {error}"))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._read(dex)) for dex in self._dexes]
        readings = [task.result() for task in tasks] + readings
        marks = {p.symbol: p.mark_price for r in readings for p in r.positions if p.mark_price is not None}
        return Snapshot(self.name, self.account, self.source, requested_at, tuple(readings), tuple(marks.items()))

    async def fills(self, since: datetime, symbols: Sequence[str] = ()) -> list[VenueFill]:
        """Executions since then (to the millisecond, inclusive), oldest first, each once.

        Without ``symbols`` all perpetuals of all dexes; spot pairs and outcomes only when named. Raises VenueError
        rather than leave any out: also when the venue, which keeps 10 000, may have dropped some of those asked for.
        """
        start, end = milliseconds(since), None
        found: dict[str, history.Execution] = {}
        for _ in range(_MAX_PAGES):
            page = await self._fills_page(start, end)
            found.update((row.fill.fill_id, row) for row in page)
            if len(page) < PAGE:
                break
            first, last = page[0].fill.time, page[-1].fill.time
            # A full page is cut at its far end: the newest one if the list is oldest-first, else the oldest.
            beyond = (milliseconds(last), end) if first <= last else (start, milliseconds(last))
            if beyond == (start, end):
                raise VenueUnreachable(f"fills: {PAGE} or more in the millisecond {start}, more than a page holds")
            start, end = beyond
        else:
            raise VenueUnreachable(f"fills: more than {_MAX_PAGES} pages since {since.isoformat()}")
        ordered = history.in_order(found.values())
        if len(ordered) >= KEPT and ordered[0].time > since:
            raise VenueRefused(
                f"fills: the venue keeps the newest {KEPT}; some before {ordered[0].time.isoformat()} may be gone"
            )
        wanted = frozenset(symbols)
        return [
            fill
            for fill in ordered
            if fill.time >= EPOCH + timedelta(milliseconds=milliseconds(since))
            and (fill.symbol in wanted if wanted else history.is_perpetual(fill.symbol))
        ]

    async def _fills_page(self, start: int, end: int | None) -> list[history.Execution]:
        bounds = {"startTime": start} if end is None else {"startTime": start, "endTime": end}
        raw = await self._info("userFillsByTime", user=self._address, **bounds)
        self._http.budget.charge(-(-len(rows(raw, "fills")) // _ROWS_PER_WEIGHT))
        return history.executions(raw, self._address)

    async def _list_dexes(self, now: datetime) -> None:
        if self._dexes_at is None or now - self._dexes_at >= self._settings.metadata_for:
            listed = decode.perp_dexs(await self._info("perpDexs"))
            # A dex that leaves the list while it holds positions is still asked for them.
            held = [dex for dex, scope in self._scopes.items() if scope.held]
            self._dexes = tuple(dict.fromkeys([*listed, *held]))
            self._dexes_at = now

    async def _read(self, dex: str) -> ScopeReading:
        scope = self._scopes.setdefault(dex, _Scope())
        sent_at = self._clock()  # later than the snapshot's own time where listing the dexes took long
        try:
            raw = await self._info("clearinghouseState", user=self._address, **_dex(dex))
            state = decode.account_state(raw, await self._steps(dex, scope, decode.held_coins(raw), sent_at))
            stray = [p.symbol for p in state.positions if _dex_of(p.symbol) != dex]
            if stray:
                raise VenueDataError(f"{stray[0]} does not belong to the dex {dex!r}")
        except VenueError as error:
            return _reading(dex, Outcome.FAILED, error=str(error))
        if doubt := _doubt(state):
            return _reading(dex, Outcome.SUSPECT, state, doubt)
        scope.held = len(state.positions)
        return _reading(dex, Outcome.OK, state)

    async def _steps(self, dex: str, scope: _Scope, held: frozenset[str], sent_at: datetime) -> dict[str, Decimal]:
        """The dex's size steps: read when first needed, when old, and when a coin is not among them."""
        if not held:
            return {}
        age = None if scope.steps_at is None else sent_at - scope.steps_at
        fresh = age is not None and age < self._settings.metadata_for and held <= scope.steps.keys()
        if not fresh:
            try:
                scope.steps = decode.size_steps(await self._info("meta", **_dex(dex)))
                scope.steps_at = sent_at
            except VenueError:
                # Old steps still hold for the coins they name. A coin they do not name may be new, not unknown.
                if not held <= scope.steps.keys():
                    raise
        return scope.steps

    async def _info(self, kind: str, **body: object) -> object:
        label = f"hyperliquid {kind}{' of ' + str(body['dex']) if 'dex' in body else ''}"
        request = Request("POST", "/info", label, weight=_WEIGHTS.get(kind, _WEIGHT), body={"type": kind, **body})
        return decode.refuse_error(await self._http.send(request))


def checked_address(address: str) -> str:
    """The lower-case 0x address, or VenueRefused. The text is never repeated: it may be a key, pasted by mistake."""
    address = address.strip().lower()
    if _PRIVATE_KEY.fullmatch(address):
        raise VenueRefused("HYPERLIQUID_ADDRESS looks like a private key, which is never needed: give the 0x address")
    if not _ADDRESS.fullmatch(address):
        raise VenueRefused("HYPERLIQUID_ADDRESS must be a public address: 0x and 40 hex digits, 42 characters")
    return address


def _dex(dex: str) -> dict[str, object]:
    return {"dex": dex} if dex else {}


def _dex_of(symbol: str) -> str:
    return symbol.partition(":")[0] if ":" in symbol else decode.MAIN_DEX


def _doubt(state: decode.AccountState) -> str:
    """Why an answer that reads well is not complete; empty if it is."""
    listed, total = state.listed_notional, state.total_notional
    if listed is not None and total is not None:
        slack = EXACT.multiply(_NOTIONAL_SLACK, max(total, Decimal(1)))
        if EXACT.subtract(total, listed) > slack:
            return f"positions worth {listed:f} are listed, the account's total is {total:f}: some are missing"
    return ""


def _reading(dex: str, outcome: Outcome, state: decode.AccountState | None = None, error: str = "") -> ScopeReading:
    return ScopeReading(
        scope=dex,
        product=Product.PERPETUAL,
        symbol_prefix=f"{dex}:" if dex else "",
        outcome=outcome,
        positions=state.positions if state else (),
        error=error,
        observed_at=state.observed_at if state else None,
    )
