"""Fetches a venue's fills for what was confirmed, and explains it. Explanations are kept while the facts stay."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from reconciler_service.confirm import Suspicion
from reconciler_service.desk import Desk
from reconciler_service.explain import Trades, explain, fills_behind
from reconciler_service.findings import EXPOSURE, Cause, Explanation, Key, Kind
from reconciler_service.model import CashFlow, Product, VenueFill
from reconciler_service.venues import VenueError, VenueUnreachable

_log = structlog.get_logger("reconciler")

_WITHOUT_FILLS = frozenset({Kind.LEVERAGE, Kind.MARGIN_MODE, Kind.LIQUIDATION_PRICE, Kind.UNMAPPED})
MARGIN = timedelta(minutes=5)  # before the last agreement: clocks differ, and an announced position may take as long
ASK_AGAIN = timedelta(seconds=30)  # before a case that no fill explains is looked into again
WIDE_AGAIN = timedelta(minutes=10)  # before all the fills of the lookback are read again about the same case
LATE = timedelta(minutes=10)  # for so long fills may still arrive that explain what none explained


@dataclass(frozen=True, slots=True)
class Search:
    """How to look for evidence. ``quote``: currencies whose fees are realised PnL."""

    quote: frozenset[str] = frozenset({"USD", "USDC"})
    lookback: timedelta = timedelta(days=7)
    timeout_s: float = 30.0


async def explain_all(desk: Desk, confirmed: Sequence[Suspicion], search: Search) -> dict[Key, Explanation]:
    """Explain every confirmed finding of one desk. Never raises VenueError: what is not known stays unexplained."""
    desk.explained = {one.finding.key: known for one in confirmed if (known := desk.explained.get(one.finding.key))}
    desk.asked = {one.finding.key: at for one in confirmed if (at := desk.asked.get(one.finding.key))}
    desk.searched = {one.finding.key: at for one in confirmed if (at := desk.searched.get(one.finding.key))}
    open_ones = [one for one in confirmed if not _is_known(desk, one)]
    new = [one for one in open_ones if not _same(desk, one)]
    narrow = await _trades(desk, open_ones, search, wide=False)
    for one in open_ones:
        trades = narrow[one.finding.symbol]
        made = explain(one.finding, trades, search.quote)
        # What was not found among all fills is not unsaid because it is not among the newest either.
        if made.cause is not Cause.UNEXPLAINED or not _same(desk, one) or one.finding.key not in desk.asked:
            _keep(desk, one, made)
        if not trades.error:  # what could not be read is asked for at the next look
            desk.asked[one.finding.key] = one.finding.requested_at
    # Nothing in the likely window: look once through all that the search may cover.
    unexplained = [
        one
        for one in new
        if desk.explained[one.finding.key][1].cause is Cause.UNEXPLAINED and _may_search_wide(desk, one)
    ]
    wide = await _trades(desk, unexplained, search, wide=True)
    for one in unexplained:
        if one.finding.symbol in wide:
            if wide[one.finding.symbol].error:
                del desk.searched[one.finding.key]
            _keep(desk, one, explain(one.finding, wide[one.finding.symbol], search.quote))
    moved_ones = [one for one in open_ones if _may_have_moved(one, desk.explained[one.finding.key][1])]
    flows = await _flows(desk, moved_ones, search)
    for one in moved_ones:
        if flows is None:
            desk.asked.pop(one.finding.key, None)
        if not flows:
            continue
        found = wide.get(one.finding.symbol) or narrow[one.finding.symbol]
        _keep(desk, one, explain(one.finding, found, search.quote, flows))
    return {key: made for key, (_, made) in desk.explained.items()}


async def missed_by(desk: Desk, one: Suspicion, search: Search) -> Sequence[VenueFill]:
    """The fills that account for all of a finding, looked for as for an explanation; empty when none do.

    Raises VenueError when the venue's fills cannot be read.
    """
    for wide in (False, True):
        trades = (await _trades(desk, [one], search, wide=wide)).get(one.finding.symbol, Trades())
        if trades.error:
            raise VenueUnreachable(trades.error)
        if run := fills_behind(one.finding, trades):
            return run
    return ()


def _identity(one: Suspicion) -> object:
    return one.finding.fact, one.finding.booked, one.since


def _same(desk: Desk, one: Suspicion) -> bool:
    known = desk.explained.get(one.finding.key)
    return known is not None and known[0] == _identity(one)


def _is_known(desk: Desk, one: Suspicion) -> bool:
    if not _same(desk, one):
        return False
    settled = desk.explained[one.finding.key][1].cause is not Cause.UNEXPLAINED
    if settled or one.finding.kind in _WITHOUT_FILLS or one.finding.requested_at - one.first_seen > LATE:
        return True
    asked = desk.asked.get(one.finding.key)
    return asked is not None and one.finding.requested_at - asked < ASK_AGAIN


def _may_search_wide(desk: Desk, one: Suspicion) -> bool:
    """Once, and again after a while: a drift of a position that trades on is another fact at every look, and days of
    fills may cost a venue's whole budget."""
    now, last = one.finding.requested_at, desk.searched.get(one.finding.key)
    if last is not None and now - last < WIDE_AGAIN:
        return False
    desk.searched[one.finding.key] = now
    return True


def _may_have_moved(one: Suspicion, made: Explanation) -> bool:
    """Whether money or coins that came or went without a trade could be the reason."""
    if made.cause is not Cause.UNEXPLAINED:
        return False
    is_spot = one.finding.product is Product.SPOT and one.finding.kind in EXPOSURE
    return is_spot or one.finding.kind is Kind.LIQUIDATION_PRICE


async def _flows(desk: Desk, wanted: Sequence[Suspicion], search: Search) -> list[CashFlow] | None:
    """What moved balances since book and venue agreed; None where it cannot be read: then it stays unexplained."""
    if not wanted:
        return []
    earliest = wanted[0].finding.requested_at - search.lookback
    since = max(earliest, min(_agreed(one, earliest) for one in wanted) - MARGIN)
    try:
        async with asyncio.timeout(search.timeout_s):
            return await desk.venue.cash_flows(since)
    except (VenueError, TimeoutError) as error:
        _log.warning("cash flows not read", venue=desk.venue.name, account=desk.venue.account, error=str(error))
    except Exception:  # noqa: BLE001 - one adapter's defect must not stop the other venues
        _log.exception("venue adapter failed", venue=desk.venue.name, account=desk.venue.account)
    return None


def _keep(desk: Desk, one: Suspicion, made: Explanation) -> None:
    desk.explained[one.finding.key] = _identity(one), made


async def _trades(desk: Desk, wanted: Sequence[Suspicion], search: Search, *, wide: bool) -> dict[str, Trades]:
    """The fills by symbol, one read for all of them."""
    need = [one for one in wanted if one.finding.kind not in _WITHOUT_FILLS]
    found = {one.finding.symbol: Trades() for one in wanted} if not wide else {}
    if not need:
        return found
    earliest = need[0].finding.requested_at - search.lookback
    since = earliest if wide else max(earliest, min(_agreed(one, earliest) for one in need) - MARGIN)
    symbols = sorted({one.finding.symbol for one in need})
    try:
        async with asyncio.timeout(search.timeout_s):
            fills = await desk.venue.fills(since, symbols)
    except (VenueError, TimeoutError) as error:
        return found | {symbol: Trades(since=since, error=str(error) or "no answer in time") for symbol in symbols}
    except Exception:  # noqa: BLE001 - one adapter's defect must not stop the other venues
        _log.exception("venue adapter failed", venue=desk.venue.name, account=desk.venue.account)
        return found | {symbol: Trades(since=since, error="internal error, see the log") for symbol in symbols}
    by_symbol: dict[str, list[VenueFill]] = defaultdict(list)
    for fill in fills:
        by_symbol[fill.symbol].append(fill)
    return found | {symbol: Trades(by_symbol[symbol], since) for symbol in symbols}


def _agreed(one: Suspicion, otherwise: datetime) -> datetime:
    """When book and venue last agreed about it, as far as anybody knows."""
    local = one.finding.local
    if local is None:
        return one.agreed_at or otherwise
    if one.finding.kind is Kind.OVERDUE:
        return local.updated_at  # nothing was compared since it was announced
    return one.agreed_at or local.agreed_at or local.updated_at
