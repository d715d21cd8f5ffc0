"""What moved balances without a trade: ``userFunding`` and ``userNonFundingLedgerUpdates``, as cash flows. Pure.

The ledger's kinds are open-ended. Those below are known; of others it is not known whose balance moved, so they are no
flow (``history.ledger`` keeps them). A fee is charged on top of what the sender sent, in USDC, and in HYPE where the venue says
``nativeTokenFee``. Which side of a transfer we are, the addresses tell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256

from reconciler_service.model import CashFlow, FlowKind
from reconciler_service.venues.hyperliquid import history
from reconciler_service.venues.hyperliquid.spot import SCOPE as SPOT
from reconciler_service.venues.wire import EXACT, amount, denoised, fields, ident, instant, milliseconds, name

MAIN = ""
USDC = "USDC"
NATIVE = "HYPE"

_DIGITS = 16  # of a digest: enough to tell the entries of one transaction apart

Delta = Mapping[str, object]
Move = tuple[str, str, Decimal]  # scope, currency, signed amount


@dataclass(frozen=True, slots=True)
class Booked:
    """One entry of either history, and the flows it stands for."""

    key: str
    time_ms: int
    flows: tuple[CashFlow, ...]


def funding(raw: object) -> Booked:
    """One row of ``userFunding``. Amounts are in the dex's collateral; above zero: received."""
    (paid,) = history.funding([raw])
    at = milliseconds(paid.time)
    scope = paid.symbol.partition(":")[0] if ":" in paid.symbol else MAIN
    key = f"funding-{at}-{paid.symbol}"
    flow = CashFlow(key, FlowKind.FUNDING, paid.time, scope, USDC, paid.amount, paid.symbol, "funding")
    return Booked(key, at, (flow,))


def ledger(raw: object, user: str) -> Booked:
    """One row of ``userNonFundingLedgerUpdates``; ``user`` is the lower-case address whose ledger it is."""
    row = fields(raw, "userNonFundingLedgerUpdates")
    delta = fields(row.get("delta"), "ledger delta")
    kind = name(delta.get("type"), "ledger type")
    at = instant(row.get("time"), "ledger time")
    reference = f"{ident(row['hash'], 'ledger hash') if row.get('hash') else ''}-{kind}"
    moves = _MOVES[kind](delta, user) if kind in _MOVES else iter(())
    totals: dict[tuple[str, str], Decimal] = {}
    for scope, currency, moved in moves:
        totals[scope, currency] = EXACT.add(totals.get((scope, currency), Decimal(0)), moved)
    # A transaction may hold several entries of one kind: what they say tells them apart.
    told = sha256(json.dumps(delta, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]
    key = f"{milliseconds(at)}-{reference}-{told}"
    flows = tuple(
        CashFlow(f"{key}-{currency}", FlowKind.TRANSFER, at, scope, currency, moved, text=kind)
        for (scope, currency), moved in totals.items()
        if moved
    )
    return Booked(key, milliseconds(at), flows)


def _number(delta: Delta, key: str) -> Decimal:
    what = f"{delta.get('type')} {key}"
    return denoised(amount(delta.get(key), what), what)


def _fee(delta: Delta, key: str = "fee") -> Decimal:
    return Decimal(0) if delta.get(key) in (None, "") else _number(delta, key)


def _is(delta: Delta, key: str, user: str) -> bool:
    return str(delta.get(key) or "").lower() == user


def _usdc(sign: int, key: str = "usdc") -> Callable[[Delta, str], Iterator[Move]]:
    """USDC of the main dex that came (+1) or went (-1, and its fee)."""

    def moves(delta: Delta, _: str) -> Iterator[Move]:
        yield MAIN, USDC, EXACT.multiply(_number(delta, key), Decimal(sign))
        if sign < 0:
            yield MAIN, USDC, -_fee(delta)

    return moves


def _between_classes(delta: Delta, _: str) -> Iterator[Move]:
    moved = _number(delta, "usdc")
    to, source = (MAIN, SPOT) if delta.get("toPerp") is True else (SPOT, MAIN)
    yield to, USDC, moved
    yield source, USDC, -moved


def _between_accounts(delta: Delta, user: str) -> Iterator[Move]:
    moved = _number(delta, "usdc")
    if _is(delta, "destination", user):
        yield MAIN, USDC, moved
    if _is(delta, "user", user):
        yield MAIN, USDC, -moved
        yield MAIN, USDC, -_fee(delta)


def _sent(delta: Delta, user: str) -> Iterator[Move]:
    """Tokens sent, between addresses or between the dexes of one."""
    token, moved = name(delta.get("token"), "ledger token").partition(":")[0], _number(delta, "amount")
    source, to = (_dex(delta, key) for key in ("sourceDex", "destinationDex"))
    if _is(delta, "destination", user):
        yield to, token, moved
    if _is(delta, "user", user):
        yield source, token, -moved
        yield source, USDC, -_fee(delta)
        yield SPOT, NATIVE, -_fee(delta, "nativeTokenFee")


def _dex(delta: Delta, key: str) -> str:
    """A scope; the main dex is written as an empty text."""
    told = delta.get(key, SPOT)
    return name(told, f"ledger {key}") if told else MAIN


def _given(delta: Delta, _: str) -> Iterator[Move]:
    yield SPOT, name(delta.get("token") or USDC, "ledger token"), _number(delta, "amount")


def _staked(delta: Delta, _: str) -> Iterator[Move]:
    moved = _number(delta, "amount")
    yield SPOT, name(delta.get("token") or NATIVE, "ledger token"), -moved if delta.get("isDeposit") is True else moved


_MOVES: Mapping[str, Callable[[Delta, str], Iterator[Move]]] = {
    "deposit": _usdc(+1),
    "withdraw": _usdc(-1),
    "vaultCreate": _usdc(-1),
    "vaultDeposit": _usdc(-1),
    "vaultDistribution": _usdc(+1),
    "vaultWithdraw": _usdc(+1, "netWithdrawnUsd"),
    "accountClassTransfer": _between_classes,
    "internalTransfer": _between_accounts,
    "subAccountTransfer": _between_accounts,
    "spotTransfer": _sent,
    "send": _sent,
    "spotGenesis": _given,
    "rewardsClaim": _given,
    "cStakingTransfer": _staked,
}
