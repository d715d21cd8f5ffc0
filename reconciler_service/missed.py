"""Which of a venue's fills never reached the book. Pure.

The book stands at one signed size, the venue at another. A fill says how large it was and, where the venue says so,
from which size it started; that aligns the chain of fills with the book.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from reconciler_service.findings import ZERO, Finding
from reconciler_service.holding import Holding, book_fills
from reconciler_service.model import CashFlow, FlowKind, VenueFill

PRICE_NOISE = Decimal("0.0001")  # venues show an average entry price with five significant digits


def missed_fills(
    booked: Holding, held: Decimal, entry: Decimal | None, fills: Sequence[VenueFill], booked_at: datetime | None
) -> Sequence[VenueFill]:
    """The fills that lead from the book to the venue; empty when none do.

    ``held`` is the venue's signed size, ``entry`` its average price, ``booked_at`` the time of the book's last change.
    ``fills`` are of one instrument, oldest first. First choice is a run up to the newest fill: the shortest one that
    leaves out no fill younger than the book. Where a fill was lost in the middle and later ones were booked, it is the
    one run that makes up the difference, if there is only one.
    """
    chain = _chain(held, fills)
    return _newest_run(booked, held, entry, chain, booked_at) or _lost_run(booked, held, entry, chain)


def _chain(held: Decimal, fills: Sequence[VenueFill]) -> Sequence[VenueFill]:
    """The newest fills that follow each other without a gap up to what the venue held in its snapshot.

    Fills after the snapshot are left out. Empty when none leads there: the list is behind. Venues that do not say from
    which size a fill started are taken at their word.
    """
    if not fills or fills[-1].start_position is None:
        return fills
    end = next((index for index in range(len(fills), 0, -1) if _ends_at(fills[index - 1]) == held), 0)
    start = end
    while start > 0 and (start == end or _ends_at(fills[start - 1]) == fills[start].start_position):
        start -= 1
    return fills[start:end]


def _ends_at(fill: VenueFill) -> Decimal | None:
    return None if fill.start_position is None else fill.start_position + fill.signed_size


def _newest_run(
    booked: Holding, held: Decimal, entry: Decimal | None, fills: Sequence[VenueFill], booked_at: datetime | None
) -> Sequence[VenueFill]:
    shortest: Sequence[VenueFill] = ()
    missing = held - booked.size
    for start in range(len(fills) - 1, -1, -1):
        missing -= fills[start].signed_size
        if missing:
            continue
        run = fills[start:]
        if held == booked.size and not _leads_to(booked, run, entry):
            continue  # in and out again: only the entry price can tell
        shortest = shortest or run
        if booked_at is None or start == 0 or fills[start - 1].time <= booked_at:
            return run
    return shortest


def _lost_run(booked: Holding, held: Decimal, entry: Decimal | None, fills: Sequence[VenueFill]) -> Sequence[VenueFill]:
    missing = held - booked.size
    if not missing:
        return ()
    starts: dict[Decimal, list[int]] = {}
    total, runs = ZERO, []
    for end, fill in enumerate(fills):
        starts.setdefault(total, []).append(end)
        total += fill.signed_size
        runs += [fills[start : end + 1] for start in starts.get(total - missing, ())]
        if len(runs) > len(fills):
            return ()  # too many to tell apart
    if len(runs) > 1:
        runs = [run for run in runs if _leads_to(booked, run, entry)]
    return runs[0] if len(runs) == 1 else ()


def _leads_to(booked: Holding, run: Sequence[VenueFill], entry: Decimal | None) -> bool:
    """Whether the average price after the run is the venue's."""
    price = book_fills(booked, run, frozenset()).entry
    return entry is not None and price is not None and abs(price - entry) <= PRICE_NOISE * entry


def missed_net(finding: Finding, fills: Sequence[VenueFill]) -> Sequence[VenueFill]:
    """The newest fills that, less their fees charged in the traded asset, make up the difference; empty when none do."""
    missing, names, charged = finding.size_delta, _names(finding), ZERO
    for start in range(len(fills) - 1, -1, -1):
        fill = fills[start]
        fee = fill.fee if fill.fee_currency in names else ZERO
        missing, charged = missing - fill.signed_size + fee, charged + fee
        if not missing:
            return fills[start:] if charged else ()
    return ()


def transfers_behind(finding: Finding, flows: Sequence[CashFlow]) -> Sequence[CashFlow]:
    """The newest transfers of the asset that make up the difference; empty when none do."""
    missing, names = finding.size_delta, _names(finding)
    moved = [flow for flow in flows if flow.kind is FlowKind.TRANSFER and flow.currency in names]
    for start in range(len(moved) - 1, -1, -1):
        missing -= moved[start].amount
        if not missing:
            return moved[start:]
    return ()


def base_fees(finding: Finding, fills: Sequence[VenueFill]) -> Sequence[VenueFill]:
    """The newest fills whose fees, charged in the traded asset, make up what the venue holds less; empty when none."""
    missing, names = -finding.size_delta, _names(finding)
    charged = [fill for fill in fills if fill.fee > 0 and fill.fee_currency in names]
    for start in range(len(charged) - 1, -1, -1):
        missing -= charged[start].fee
        if not missing:
            return charged[start:]
    return ()


def _names(finding: Finding) -> frozenset[str]:
    """What the traded asset is called where fees and transfers name a currency."""
    return frozenset({finding.symbol, finding.asset.partition("/")[0]})
