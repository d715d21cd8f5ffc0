"""Hyperliquid's wire format of what happened to an account: fills, funding, other ledger entries. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise
from typing import NamedTuple

from reconciler_service.model import VenueFill
from reconciler_service.venues import VenueDataError
from reconciler_service.venues.wire import (
    EXACT,
    amount,
    denoised,
    fields,
    instant,
    integer,
    milliseconds,
    name,
    rows,
    words,
)
from reconciler_service.venues.wire import text as text_of

_BUY = {"B": True, "A": False}


@dataclass(frozen=True, slots=True)
class Funding:
    """One funding payment of a perpetual. ``amount`` is in the dex's collateral: above zero when received."""

    time: datetime
    symbol: str
    amount: Decimal
    rate: Decimal
    size: Decimal  # signed; an average over the samples, so not a multiple of the size step


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A deposit, withdrawal, transfer, ...: ``kind`` is the venue's word, ``amount`` as the venue signs it."""

    time: datetime
    kind: str
    amount: Decimal | None  # None for kinds that name no amount of one currency
    currency: str
    fee: Decimal
    reference: str  # the transaction's hash


def is_perpetual(symbol: str) -> bool:
    """False for spot pairs (``@107``, ``PURR/USDC``) and outcomes (``#10``), which share the list of fills."""
    return not symbol.startswith(("@", "#")) and "/" not in symbol


class Execution(NamedTuple):
    """A fill with the venue's trade id, 0 where it has none."""

    tid: int
    fill: VenueFill

    @property
    def key(self) -> str:
        """What makes two of them the same."""
        return self.fill.fill_id

    @property
    def time_ms(self) -> int:
        """When it happened, milliseconds since 1970."""
        return milliseconds(self.fill.time)


def executions(raw: object, user: str = "") -> list[Execution]:
    """``userFills`` or ``userFillsByTime``, in the order of the list.

    ``user`` is the lower-case address whose fills they are. A fill against someone else's liquidation carries the same
    ``liquidation`` object as the liquidation itself; only with the address are the two told apart.
    """
    return [_execution(fields(row, "fills"), user) for row in rows(raw, "fills")]


def fills(raw: object, user: str = "") -> list[VenueFill]:
    """The same as fills: each once, oldest first."""
    return in_order(executions(raw, user))


def in_order(found: Iterable[Execution]) -> list[VenueFill]:
    """Each execution once, in the order they happened.

    The list's order is the venue's choice, and trade ids are hashes: neither says which of two fills in one millisecond
    came first. ``startPosition`` does: the fills of a coin chain from one position to the next.
    """
    unique = {execution.fill.fill_id: execution for execution in found}.values()
    by_time = sorted(unique, key=lambda execution: (execution.fill.time, execution.tid))
    ordered: list[VenueFill] = []
    position: dict[str, Decimal | None] = {}  # after the last fill so far, by symbol
    for _, together in groupby(by_time, key=lambda execution: execution.fill.time):
        by_symbol: defaultdict[str, list[VenueFill]] = defaultdict(list)
        for execution in together:
            by_symbol[execution.fill.symbol].append(execution.fill)
        for symbol, group in by_symbol.items():
            ordered.extend(_chained(group, position.get(symbol)))
            position[symbol] = _end(ordered[-1])
    return ordered


def funding(raw: object) -> list[Funding]:
    """``userFunding``, oldest first."""
    found = []
    for row in rows(raw, "userFunding"):
        entry = fields(row, "userFunding")
        delta = fields(entry.get("delta"), "userFunding delta")
        coin = name(delta.get("coin"), "userFunding coin")
        found.append(
            Funding(
                time=instant(entry.get("time"), "userFunding time"),
                symbol=coin,
                amount=_number(delta, "usdc", coin),
                rate=_number(delta, "fundingRate", coin),
                size=_number(delta, "szi", coin),
            )
        )
    return sorted(found, key=lambda payment: payment.time)


def ledger(raw: object) -> list[LedgerEntry]:
    """``userNonFundingLedgerUpdates``, oldest first. Kinds are open-ended: an unknown one is kept, not refused."""
    found = []
    for row in rows(raw, "userNonFundingLedgerUpdates"):
        entry = fields(row, "userNonFundingLedgerUpdates")
        delta = fields(entry.get("delta"), "ledger delta")
        kind = text_of(delta.get("type"), "ledger type")
        key = next((key for key in ("usdc", "amount") if delta.get(key) is not None), None)
        token = delta.get("token")
        found.append(
            LedgerEntry(
                time=instant(entry.get("time"), "ledger time"),
                kind=kind,
                amount=None if key is None else _number(delta, key, kind),
                currency=str(token) if token and key == "amount" else "USDC" if key == "usdc" else "",
                fee=Decimal(0) if delta.get("fee") is None else _number(delta, "fee", kind),
                reference=str(entry.get("hash") or ""),
            )
        )
    return sorted(found, key=lambda entry: entry.time)


def _execution(row: dict[str, object], user: str) -> Execution:
    coin = name(row.get("coin"), "fill coin")
    side = row.get("side")
    if not isinstance(side, str) or side not in _BUY:
        raise VenueDataError(f"{coin} side: expected 'B' or 'A', got {str(side)[:20]!r}")
    size, price = _number(row, "sz", coin), _number(row, "px", coin)
    if size <= 0 or price < 0:
        raise VenueDataError(f"{coin} fill: size {size} at price {price}")
    start = None if row.get("startPosition") is None else _number(row, "startPosition", coin)
    time = instant(row.get("time"), f"{coin} time")
    oid = integer(row.get("oid"), f"{coin} oid")
    tid = integer(row.get("tid") or 0, f"{coin} tid")
    fill_id = f"{coin}-{oid}-{tid}-{milliseconds(time)}-{side}"
    if tid == 0:
        # Conversions and old recordings have no trade id, and one order fills many times in a millisecond.
        fill_id += f"-{start}-{size}-{price}" if start is not None else f"-{size}-{price}"
    fill = VenueFill(
        fill_id=fill_id,
        symbol=coin,
        is_buy=_BUY[side],
        size=size,
        price=price,
        time=time,
        fee=Decimal(0) if row.get("fee") is None else _number(row, "fee", coin),
        fee_currency=name(row["feeToken"], f"{coin} feeToken") if row.get("feeToken") else "",
        start_position=start,
        liquidation=_liquidated(row, user),
        text=words(row.get("dir") or "", 64),
    )
    return Execution(tid, fill)


def _number(row: dict[str, object], key: str, whose: str) -> Decimal:
    what = f"{whose} {key}"
    return denoised(amount(row.get(key), what), what)


def _liquidated(row: dict[str, object], user: str) -> bool:
    if row.get("liquidationMarkPx") is not None:  # until 2024
        return True
    liquidation = row.get("liquidation")
    if liquidation is None:
        return False
    whose = fields(liquidation, "liquidation").get("liquidatedUser")
    return not user or not isinstance(whose, str) or whose.lower() == user


def _chained(group: list[VenueFill], before: Decimal | None) -> list[VenueFill]:
    """Fills of one coin in one millisecond, so that each starts where the one before ended.

    That is a walk that uses every edge of a graph once (its nodes are positions), by Hierholzer's algorithm. Where
    there is none (spot fees change the position too), the order stays as it is. ``before`` is where the coin stood:
    it tells where a round trip began.
    """
    leaving: defaultdict[Decimal | None, list[VenueFill]] = defaultdict(list)
    balance: defaultdict[Decimal | None, int] = defaultdict(int)
    for fill in reversed(group):
        leaving[fill.start_position].append(fill)
        balance[fill.start_position] += 1
        balance[_end(fill)] -= 1
    starts = [node for node, surplus in balance.items() if surplus == 1]
    around = before if leaving.get(before) else group[0].start_position
    node = starts[0] if starts else around
    walk: list[VenueFill] = []
    stack: list[VenueFill] = []
    while True:
        if leaving[node]:
            stack.append(leaving[node].pop())
            node = _end(stack[-1])
        elif stack:
            walk.append(stack.pop())
            node = walk[-1].start_position
        else:
            break
    walk.reverse()
    joined = len(walk) == len(group) and all(_end(a) == b.start_position for a, b in pairwise(walk))
    return walk if joined else group


def _end(fill: VenueFill) -> Decimal | None:
    if fill.start_position is None:
        return None
    move = EXACT.add if fill.is_buy else EXACT.subtract
    return move(fill.start_position, fill.size)
