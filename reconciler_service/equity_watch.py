"""Checks after each cycle what every account is worth, against the book and what moved the venue's balances.

Only accounts whose venue tells all that moves its balances. What is remembered stands in the runs: a new process goes
on from the start of the one before, and ends no case that counts from another start. Where somebody has ended the case
of a gap that is still there, the account is taken as it is: it begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import structlog
from trueup.position.v1 import position_service_pb2
from trueup.types.v1 import drift_pb2, types_pb2

from reconciler_service import convert_equity as convert
from reconciler_service.book import Book
from reconciler_service.confirm import Verdict
from reconciler_service.desk import Desk
from reconciler_service.equity import ASK_AGAIN, OVERLAP, Account, judged, moved, seen, worth
from reconciler_service.findings import EXPOSURE, ZERO, Kind
from reconciler_service.holding import EXACT
from reconciler_service.model import CashFlow, Snapshot
from reconciler_service.venues import Venue, VenueError

MOST_RUNS = 500  # to look through for what was remembered

_UNSETTLED = EXPOSURE | {Kind.ENTRY_PRICE, Kind.OVERDUE}

Key = tuple[str, str]  # venue, account

_log = structlog.get_logger("reconciler")


@dataclass(frozen=True, slots=True)
class EquityRules:
    """``tolerance`` in USD. ``quote``: currencies that count as USD. Without alerts a gap is only reported."""

    tolerance: Decimal = Decimal(1)
    alerts: bool = False
    quote: frozenset[str] = frozenset({"USD", "USDC"})
    timeout_s: float = 30.0
    is_kept: bool = True  # go on from the start of the process before


@dataclass(frozen=True, slots=True)
class Look:
    """One desk as a cycle has seen it last, and the book's revision that was compared."""

    desk: Desk
    snapshot: Snapshot
    verdict: Verdict
    revision: int


@dataclass(frozen=True, slots=True)
class EquityFindings:
    """``accounts`` are those of the looks, to be remembered once the run is recorded."""

    accounts: Mapping[Key, Account] = field(default_factory=dict)
    checks: tuple[drift_pb2.EquityCheck, ...] = ()
    drifts: tuple[drift_pb2.Drift, ...] = ()
    resolved: tuple[str, ...] = ()


class EquityWatch:
    """What is remembered of an account belongs to who has the turn of its desk."""

    def __init__(self, book: Book, rules: EquityRules) -> None:
        self.accounts: dict[Key, Account] = {}
        self._book = book
        self._rules = rules
        self._unanswered: dict[Key, datetime] = {}  # questions that failed: not repeated at every look
        self._is_restored = not rules.is_kept

    def forget(self) -> None:
        """Go on from what the runs say: another process may have run some."""
        if self._rules.is_kept:
            self.accounts.clear()
            self._is_restored = False

    async def look(self, looks: Sequence[Look], run_id: str, patience_s: float | None = None) -> EquityFindings:
        """Check the accounts of one cycle. ``patience_s`` is how long a venue may take to say what moved its balances.

        Raises grpc.aio.AioRpcError when the book cannot be read.
        """
        known: dict[Key, Account] = {}
        found = EquityFindings(known)
        watched = [one for one in looks if one.desk.venue.tells_flows]
        if not watched:
            return found
        await self._restore([one.desk.venue for one in watched])
        cases: dict[Key, drift_pb2.Drift] = {}
        if self._rules.alerts:
            listed = await self._book.open_drifts(drift_pb2.DRIFT_KIND_EQUITY)
            cases = {(case.venue, case.account): case for case in listed}
        keys = [(one.snapshot.venue, one.snapshot.account) for one in watched]
        checked = await asyncio.gather(
            *(self._checked(one, self._known(key, cases), patience_s) for one, key in zip(watched, keys, strict=True))
        )
        for one, key, account in zip(watched, keys, checked, strict=True):
            if account is None:
                continue
            known[key] = account
            if not account.is_agreed:
                continue
            check = convert.check(key, account, self._rules.tolerance)
            found = replace(found, checks=(*found.checks, check))
            if not self._rules.alerts:
                continue
            if account.is_confirmed or (key in cases and account.looks):
                drift = convert.drift(key, account, check, one.snapshot.source, run_id)
                found = replace(found, drifts=(*found.drifts, drift))
            elif key in cases and convert.is_of(cases[key], account) and account.clear > 1:
                found = replace(found, resolved=(*found.resolved, cases[key].drift_id))
        return found

    def _known(self, key: Key, cases: Mapping[Key, drift_pb2.Drift]) -> Account | None:
        known = self.accounts.get(key)
        was_ended = self._rules.alerts and known is not None and known.was_confirmed and known.is_confirmed
        return None if was_ended and key not in cases else known

    async def _restore(self, venues: Sequence[Venue]) -> None:
        """Read what was remembered from the newest runs. Raises grpc.aio.AioRpcError when they cannot be read."""
        if self._is_restored:
            return
        wanted = {(venue.name, venue.account) for venue in venues}
        found: dict[Key, Account] = {}
        async for run in self._book.newest_runs(MOST_RUNS):
            for check in run.equity:
                if (key := (check.venue, check.account)) not in found and check.HasField("basis"):
                    found[key] = convert.account(check)
            if found.keys() >= wanted:
                break
        self.accounts = {**found, **self.accounts}
        self._is_restored = True

    async def _checked(self, one: Look, known: Account | None, patience_s: float | None) -> Account | None:
        """The account after this look; None: it says nothing."""
        now = worth(one.snapshot)
        if now is None or (known is not None and now.at <= known.now.at):
            return None
        is_settled = not any(
            suspicion.finding.kind in _UNSETTLED for suspicion in one.verdict.memory.suspicions.values()
        )
        if known is None:
            return Account(now, now, one.revision, flows_at=min(now.times.values())) if is_settled else None
        before = known.gap
        realized, revision = await self._realized(one, known.revision)
        account = seen(known, now, realized, revision)
        if account.is_to_ask(self._rules.tolerance, is_settled=is_settled):
            # Asked only now: what moved without a trade shows in the cash, and each question costs weight.
            key = one.snapshot.venue, one.snapshot.account
            failed_at = self._unanswered.get(key)
            if failed_at is not None and now.at - failed_at < ASK_AGAIN:
                return None
            flows = await self._flows(one.desk, (known.flows_at or known.start.at) - OVERLAP, patience_s)
            if flows is None:
                self._unanswered[key] = now.at
                return None
            account = moved(account, flows, self._rules.quote)
        return judged(account, before, self._rules.tolerance, is_settled=is_settled)

    async def _flows(self, desk: Desk, since: datetime, patience_s: float | None) -> list[CashFlow] | None:
        """What moved the balances since then; None when the venue does not tell now."""
        timeout_s = self._rules.timeout_s if patience_s is None else min(self._rules.timeout_s, patience_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await desk.venue.cash_flows(since)
        except (VenueError, TimeoutError) as error:
            desk.is_slow |= isinstance(error, TimeoutError)  # by itself it has more time
            _log.warning("cash flows not read", venue=desk.venue.name, account=desk.venue.account, error=str(error))
        except Exception:  # noqa: BLE001 - one adapter's defect must not stop the other venues
            _log.exception("venue adapter failed", venue=desk.venue.name, account=desk.venue.account)
        return None

    async def _realized(self, one: Look, after: int) -> tuple[Decimal, int]:
        """What the book's contracts of an account have realised after a revision, and up to which one."""
        if one.revision <= after:
            return ZERO, after
        request = position_service_pb2.ListPositionHistoryRequest(
            account=one.snapshot.account, venue=one.snapshot.venue, after_revision=after
        )
        total, revision = ZERO, one.revision
        for event in await self._book.history(request):
            revision = max(revision, event.revision)
            if event.after.product != types_pb2.PRODUCT_SPOT:
                change = EXACT.subtract(Decimal(event.after.realized_pnl or 0), Decimal(event.before.realized_pnl or 0))
                total = EXACT.add(total, change)
        return total, revision
