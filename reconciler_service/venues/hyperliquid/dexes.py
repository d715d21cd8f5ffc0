"""The scopes of perpetuals: the main dex and every builder-deployed one, each read by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from reconciler_service.model import Equity, Outcome, Product, ScopeReading
from reconciler_service.venues import VenueDataError, VenueError
from reconciler_service.venues.hyperliquid import decode
from reconciler_service.venues.hyperliquid.client import Client
from reconciler_service.venues.hyperliquid.metadata import Metadata, Steps
from reconciler_service.venues.wire import EXACT

UNLISTED = "*"  # the scope that stands for dexes which could not be listed

PATIENCE_S = 10.0  # for the list of dexes: those that are known must still be read in time
_NOTIONAL_SLACK = Decimal("1e-6")  # relative; the venue's totals carry float noise


class DexReader:
    """Reads the perpetuals of one account, of all the dexes that ``metadata`` knows of."""

    def __init__(self, client: Client, metadata: Metadata, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._metadata = metadata
        self._clock = clock
        self._held: dict[str, int] = {}  # positions in the last usable answer, by dex

    async def read(self, now: datetime) -> list[ScopeReading]:
        """Read all dexes at once; SUSPECT is one whose totals say more than it lists. Never raises VenueError."""
        readings: list[ScopeReading] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._metadata.dexes.get(now, self._listed, bool)
        except (VenueError, TimeoutError) as error:
            readings.append(unread(UNLISTED, f"other dexes than those read: {error or 'no answer in time'}"))
        listed = self._metadata.dexes.value or (decode.MAIN_DEX,)
        # A dex that leaves the list while it holds positions is still asked for them.
        held = [dex for dex, count in self._held.items() if count]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._read(dex)) for dex in dict.fromkeys([*listed, *held])]
        return [task.result() for task in tasks] + readings

    async def _listed(self) -> tuple[str, ...]:
        return decode.perp_dexs(await self._client.public("perpDexs"))

    async def _read(self, dex: str) -> ScopeReading:
        sent_at = self._clock()  # later than the snapshot's own time where listing the dexes took long
        try:
            raw = await self._client.mine("clearinghouseState", dex)
            state = decode.account_state(raw, await self._steps(dex, decode.held_coins(raw), sent_at))
            stray = [p.symbol for p in state.positions if _dex_of(p.symbol) != dex]
            if stray:
                raise VenueDataError(f"{stray[0]} does not belong to the dex {dex!r}")
        except VenueError as error:
            return _reading(dex, Outcome.FAILED, error=str(error))
        self._held[dex] = len(state.positions)
        doubt = _doubt(state)
        return _reading(dex, Outcome.SUSPECT if doubt else Outcome.OK, state, doubt)

    async def _steps(self, dex: str, held: frozenset[str], sent_at: datetime) -> Steps:
        """The dex's size steps: read when first needed, when old, and when a coin is not among them."""
        if not held:
            return {}
        kept = self._metadata.steps(dex)

        async def read() -> Steps:
            if not (steps := decode.size_steps(await self._client.public("meta", dex))):
                raise VenueDataError(f"meta of {dex!r}: no market at all, though {min(held)} is held there")
            return {**(kept.value or {}), **steps}  # a coin that is not listed any more has the step it had

        try:
            return await kept.get(sent_at, read, lambda steps: held <= steps.keys())
        except VenueError:
            # Old steps still hold for the coins they name. A coin they do not name may be new, not unknown.
            if kept.value is None or not held <= kept.value.keys():
                raise
            return kept.value


def unread(what: str, error: str) -> ScopeReading:
    """A reading that is there to be seen: nothing is known of ``what``. No symbol begins with its name and a colon."""
    return _reading(what, Outcome.FAILED, error=error)


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


def _equity(state: decode.AccountState) -> Equity | None:
    if state.account_value is None or state.unrealized_pnl is None:
        return None
    return Equity(EXACT.subtract(state.account_value, state.unrealized_pnl), state.unrealized_pnl)


def _reading(dex: str, outcome: Outcome, state: decode.AccountState | None = None, error: str = "") -> ScopeReading:
    return ScopeReading(
        scope=dex,
        product=Product.PERPETUAL,
        symbol_prefix=f"{dex}:" if dex else "",
        outcome=outcome,
        positions=state.positions if state else (),
        error=error,
        observed_at=state.observed_at if state else None,
        equity=_equity(state) if state else None,
    )
