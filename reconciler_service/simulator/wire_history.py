"""Spells what happened to an account: fills, funding, ledger, with the venue's paging. Pure.

``startTime`` and ``endTime`` are inclusive milliseconds. A page holds at most 2 000 fills or 500 other entries, and
only the newest 10 000 fills exist. Time queries answer oldest first, ``userFills`` newest first, as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import groupby
from typing import TypeVar

from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import (
    ZERO,
    Deposit,
    Fill,
    FundingPayment,
    FundingRate,
    LedgerEntry,
    Transfer,
    to_usd_step,
)
from reconciler_service.simulator.wire import Json, number

FILLS_PAGE = 2_000
FILLS_KEPT = 10_000
ENTRIES_PAGE = 500
NOBODY = "0x" + "e" * 40  # the other side of transfers
NO_HASH = "0x" + "0" * 64

Timed = TypeVar("Timed", Fill, FundingPayment, FundingRate, LedgerEntry)


def user_fills(fills: Sequence[Fill], *, aggregate: bool = False) -> list[Json]:
    """``userFills``: the newest 2 000, newest first."""
    kept = _ordered(fills, aggregate=aggregate)[-FILLS_PAGE:]
    return [spell_fill(fill) for fill in reversed(kept)]


def user_fills_by_time(
    fills: Sequence[Fill], start: int, end: int | None = None, *, aggregate: bool = False, newest_first: bool = False
) -> list[Json]:
    """``userFillsByTime``: one page of the fills in a period, oldest first unless ``newest_first`` (``reversed``)."""
    kept = _ordered(fills, aggregate=aggregate)[-FILLS_KEPT:]
    within = _within(kept, start, end)
    if newest_first:
        within.reverse()
    return [spell_fill(fill) for fill in within[:FILLS_PAGE]]


def user_funding(payments: Sequence[FundingPayment], start: int, end: int | None = None) -> list[Json]:
    """``userFunding``: payments in a period, oldest first; ``usdc`` is positive when received."""
    return [
        {
            "time": paid.time,
            "hash": NO_HASH,
            "delta": {
                "type": "funding",
                "coin": paid.coin,
                "usdc": number(paid.usdc),
                "szi": number(paid.size),
                "fundingRate": number(paid.rate),
                "nSamples": None,
            },
        }
        for paid in _within(payments, start, end)[:ENTRIES_PAGE]
    ]


def user_ledger_updates(
    entries: Sequence[LedgerEntry], start: int, end: int | None = None, owner: str = ""
) -> list[Json]:
    """``userNonFundingLedgerUpdates``: what moved ``owner``'s money in a period, oldest first."""
    return [
        {"time": entry.time, "hash": entry.hash, "delta": _ledger_delta(entry, owner)}
        for entry in _within(entries, start, end)[:ENTRIES_PAGE]
    ]


def funding_history(exchange: Exchange, coin: str, start: int, end: int | None = None) -> list[Json]:
    """``fundingHistory`` of a market, oldest first. An unknown coin raises UnknownMarketError."""
    exchange.market(coin)
    rates = [rate for rate in exchange.rates if rate.coin == coin]
    return [
        {"coin": coin, "fundingRate": number(rate.rate), "premium": "0.0", "time": rate.time}
        for rate in _within(rates, start, end)[:ENTRIES_PAGE]
    ]


def _within(entries: Iterable[Timed], start: int, end: int | None) -> list[Timed]:
    found = [entry for entry in entries if entry.time >= start and (end is None or entry.time <= end)]
    return sorted(found, key=lambda entry: entry.time)


def _ordered(fills: Sequence[Fill], *, aggregate: bool) -> list[Fill]:
    # The sort is stable: fills of one millisecond stay in the order they happened.
    ordered = sorted(fills, key=lambda fill: fill.time)
    if not aggregate:
        return ordered
    return [
        _merged(list(group))
        for _, group in groupby(ordered, key=lambda fill: (fill.time, fill.coin, fill.oid, fill.is_buy))
    ]


def _merged(parts: list[Fill]) -> Fill:
    """One fill for the partial fills of an order in one millisecond, at their average price."""
    size = sum((part.size for part in parts), ZERO)
    cost = sum((part.size * part.price for part in parts), ZERO)
    return replace(
        parts[0],
        size=size,
        price=to_usd_step(cost / size),
        closed_pnl=sum((part.closed_pnl for part in parts), ZERO),
        fee=sum((part.fee for part in parts), ZERO),
    )


def spell_fill(fill: Fill) -> Json:
    """One fill as the venue lists it."""
    row: dict[str, Json] = {
        "coin": fill.coin,
        "px": number(fill.price),
        "sz": number(fill.size),
        "side": "B" if fill.is_buy else "A",
        "time": fill.time,
        "startPosition": number(fill.start_position),
        "dir": fill.direction,
        "closedPnl": number(fill.closed_pnl),
        "hash": fill.hash,
        "oid": fill.oid,
        "crossed": True,
        "fee": number(fill.fee),
        "tid": fill.tid,
        "feeToken": fill.fee_token,
        "twapId": None,
    }
    if fill.liquidation is not None:
        row["liquidation"] = {
            "liquidatedUser": fill.liquidation.user,
            "markPx": number(fill.liquidation.mark),
            "method": fill.liquidation.method,
        }
    return row


def _ledger_delta(entry: LedgerEntry, owner: str) -> Json:
    if isinstance(entry, Deposit):
        if not entry.dex:
            return {"type": "deposit", "usdc": number(entry.usdc)}
        # Bridges reach the main dex only: what arrives on another one was sent there.
        ends = {"user": NOBODY, "destination": owner, "sourceDex": "", "destinationDex": entry.dex}
        worth = {"token": "USDC", "amount": number(entry.usdc), "usdcValue": number(entry.usdc)}
        return {"type": "send", **ends, **worth, "fee": "0.0", "nativeTokenFee": "0.0", "nonce": None, "feeToken": ""}
    if isinstance(entry, Transfer):
        told = {key: number(one) if isinstance(one, Decimal) else one for key, one in entry.told.items()}
        return {"type": entry.kind} | told
    return {
        "type": "liquidation",
        "liquidatedNtlPos": number(entry.notional),
        "accountValue": number(entry.account_value),
        "leverageType": entry.mode.value.capitalize(),
        "liquidatedPositions": [{"coin": coin, "szi": number(size)} for coin, size in entry.positions],
    }
