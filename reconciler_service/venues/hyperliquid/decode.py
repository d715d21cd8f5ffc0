"""Hyperliquid's wire format of account state and metadata, as values. Pure; tolerant of unknown keys.

Every function takes parsed JSON (``http.parse``) and raises VenueDataError, naming the field, for what breaks the
format. Integers may be JSON numbers or strings. Conventions:

* ``symbol`` is the venue's own name and ``size`` is in the venue's own units of it: one ``kPEPE`` is 1000 PEPE, and its
  asset is ``kPEPE/USD``, so that no number means something else than it says. ``xyz:TSLA`` has the asset ``TSLA/USD``.
  Collateral (USDC, USDH, ...) counts as USD.
* A coin that the dex's metadata does not know has no asset, and a size step of 10^-8.
* Sizes lose their float noise against the market's step; a size that is off its step by more is an error.
* A price of zero or less is no price. Prices are rounded to 18 fraction digits, half to even.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from reconciler_service.model import MarginMode, Product, Side, VenuePosition
from reconciler_service.venues import VenueDataError, VenueRefused
from reconciler_service.venues.wire import (
    EXACT,
    amount,
    denoised,
    fields,
    instant,
    integer,
    name,
    plain,
    quantised,
    rounded,
    rows,
    text,
    words,
)

MAIN_DEX = ""
UNKNOWN_STEP = Decimal("1e-8")

_PRICE_DIGITS = Decimal("1e-6")  # a perpetual's price has at most 6 - szDecimals fraction digits
_MAX_SIZE_DECIMALS = 18
_TOO_MUCH = Decimal(10) ** 20  # no amount has more integer digits
_MARGIN_MODES = {"cross": MarginMode.CROSS, "isolated": MarginMode.ISOLATED}


@dataclass(frozen=True, slots=True)
class AccountState:
    """One dex's ``clearinghouseState``. Amounts are in the dex's collateral; None where the answer leaves them out."""

    positions: tuple[VenuePosition, ...]  # flat ones are left out
    observed_at: datetime | None
    account_value: Decimal | None
    total_notional: Decimal | None  # what the position values add up to, by the venue's own count
    total_raw_usd: Decimal | None
    total_margin_used: Decimal | None
    listed_notional: Decimal | None  # what the values of the listed positions do add up to
    unrealized_pnl: Decimal | None = None  # of the listed positions


@dataclass(frozen=True, slots=True)
class SpotBalance:
    """One token of ``spotClearinghouseState``; ``total`` is negative when borrowed. Free is total - hold."""

    coin: str
    token: int | None
    total: Decimal
    hold: Decimal
    entry_notional: Decimal


@dataclass(frozen=True, slots=True)
class Role:
    """What an address is: ``user``, ``vault``, ``subAccount``, ``agent`` or ``missing``."""

    role: str
    master: str = ""  # the address that an agent or a sub-account belongs to


@dataclass(frozen=True, slots=True)
class SubAccount:
    """A sub-account: an address of its own, to be read like any other."""

    address: str
    label: str


def refuse_error(raw: object) -> object:
    """Pass an answer on, unless it is an error that came with status 200: VenueRefused with the venue's words."""
    if isinstance(raw, dict) and raw.get("status") == "err":
        raise VenueRefused(f"hyperliquid says: {words(raw.get('response'))}")
    return raw


def held_coins(raw: object) -> frozenset[str]:
    """The coins a ``clearinghouseState`` lists, without reading more of it: to know which metadata it needs."""
    listed = rows(fields(raw, "clearinghouseState").get("assetPositions"), "assetPositions")
    return frozenset(name(_position_of(row).get("coin"), "coin") for row in listed)


def account_state(raw: object, steps: Mapping[str, Decimal]) -> AccountState:
    """A ``clearinghouseState`` of one dex; ``steps`` are that dex's size steps by coin."""
    state = fields(raw, "clearinghouseState")
    listed = [_position_of(row) for row in rows(state.get("assetPositions"), "assetPositions")]
    decoded = [_position(row, steps) for row in listed]
    positions = tuple(position for position in decoded if position is not None)
    if len({position.symbol for position in positions}) != len(positions):
        raise VenueDataError("assetPositions: a coin is listed twice")
    totals = fields(state.get("marginSummary") or {}, "marginSummary")
    values = [_optional(row, "positionValue") for row in listed]
    return AccountState(
        positions=positions,
        observed_at=None if state.get("time") is None else instant(state["time"], "time"),
        account_value=_optional(totals, "accountValue"),
        total_notional=_optional(totals, "totalNtlPos"),
        total_raw_usd=_optional(totals, "totalRawUsd"),
        total_margin_used=_optional(totals, "totalMarginUsed"),
        listed_notional=_complete_sum(values),
        unrealized_pnl=_complete_sum([_optional(row, "unrealizedPnl") for row in listed]),
    )


def size_steps(raw: object) -> dict[str, Decimal]:
    """``meta``: the smallest size change of each coin, delisted ones included."""
    universe = rows(fields(raw, "meta").get("universe"), "universe")
    return dict(_step(fields(market, "universe")) for market in universe)


def all_size_steps(raw: object) -> tuple[dict[str, Decimal], ...]:
    """``allPerpMetas``: one ``meta`` for each dex, in the order of ``perpDexs``."""
    return tuple(size_steps(meta) for meta in rows(raw, "allPerpMetas"))


def perp_dexs(raw: object) -> tuple[str, ...]:
    """``perpDexs``: names of all dexes, the main one ("" here, ``null`` there) first."""
    listed = rows(raw, "perpDexs")
    if not listed:
        raise VenueDataError("perpDexs: the list is empty, not even the main dex is in it")
    named = [name(fields(dex, "perpDexs").get("name"), "perpDexs name") for dex in listed if dex is not None]
    return tuple(dict.fromkeys([MAIN_DEX, *named]))


def marks(raw: object) -> dict[str, Decimal]:
    """``metaAndAssetCtxs``: mark prices by coin; markets without one are left out."""
    pair = rows(raw, "metaAndAssetCtxs")
    if len(pair) != 2:
        raise VenueDataError(f"metaAndAssetCtxs: expected two parts, got {len(pair)}")
    universe = rows(fields(pair[0], "meta").get("universe"), "universe")
    contexts = rows(pair[1], "assetCtxs")
    if len(universe) != len(contexts):
        raise VenueDataError(f"metaAndAssetCtxs: {len(universe)} markets but {len(contexts)} contexts")
    found = {}
    for market, context in zip(universe, contexts, strict=True):
        coin = text(fields(market, "universe").get("name"), "universe name")
        mark = _price(fields(context, "assetCtxs"), "markPx", coin)
        if mark is not None:
            found[coin] = mark
    return found


def mids(raw: object) -> dict[str, Decimal]:
    """``allMids``: the middle of the book by coin, spot pairs among them; what has none is left out."""
    answer = fields(raw, "allMids")
    return {coin: mid for coin in answer if (mid := _price(answer, coin, "mid of")) is not None}


def spot_balances(raw: object) -> tuple[SpotBalance, ...]:
    """``spotClearinghouseState``: every token held, zero rows included."""
    found = []
    for row in rows(fields(raw, "spotClearinghouseState").get("balances"), "balances"):
        balance = fields(row, "balances")
        coin = text(balance.get("coin"), "balances coin")
        token = balance.get("token")
        found.append(
            SpotBalance(
                coin=coin,
                token=None if token is None else integer(token, f"{coin} token"),
                total=denoised(amount(balance.get("total"), f"{coin} total"), f"{coin} total"),
                hold=denoised(amount(balance.get("hold", 0), f"{coin} hold"), f"{coin} hold"),
                entry_notional=denoised(amount(balance.get("entryNtl", 0), f"{coin} entryNtl"), f"{coin} entryNtl"),
            )
        )
    return tuple(found)


def user_role(raw: object) -> Role:
    """``userRole``."""
    answer = fields(raw, "userRole")
    data = fields(answer.get("data") or {}, "userRole data")
    master = data.get("user") or data.get("master") or ""
    return Role(text(answer.get("role"), "role"), name(master, "userRole data") if master else "")


def user_abstraction(raw: object) -> str:
    """``userAbstraction``: a bare JSON string, e.g. ``default`` or ``unifiedAccount``."""
    return name(raw, "userAbstraction")


def sub_accounts(raw: object) -> tuple[SubAccount, ...]:
    """``subAccounts`` and ``subAccounts2``: ``null`` when there are none."""
    listed = [fields(row, "subAccounts") for row in rows([] if raw is None else raw, "subAccounts")]
    return tuple(
        SubAccount(text(row.get("subAccountUser"), "subAccountUser"), str(row.get("name") or "")) for row in listed
    )


def _step(market: dict[str, object]) -> tuple[str, Decimal]:
    coin = text(market.get("name"), "universe name")
    decimals = integer(market.get("szDecimals"), f"{coin} szDecimals")
    if not 0 <= decimals <= _MAX_SIZE_DECIMALS:
        raise VenueDataError(f"{coin} szDecimals: {decimals} is out of range")
    return coin, Decimal(1).scaleb(-decimals)


def _position_of(row: object) -> dict[str, object]:
    return fields(fields(row, "assetPositions").get("position"), "position")


def _position(row: dict[str, object], steps: Mapping[str, Decimal]) -> VenuePosition | None:
    coin = name(row.get("coin"), "coin")
    wire_size = row.get("szi")
    step = steps.get(coin)
    signed = amount(wire_size, f"{coin} szi")
    signed = denoised(signed, f"{coin} szi") if step is None else quantised(signed, step, f"{coin} szi")
    if signed == 0:
        return None
    size = EXACT.abs(signed)
    leverage = fields(row.get("leverage") or {}, f"{coin} leverage")
    return VenuePosition(
        symbol=coin,
        asset=None if step is None else f"{coin.partition(':')[2] or coin}/USD",
        product=Product.PERPETUAL,
        side=Side.LONG if signed > 0 else Side.SHORT,
        size=size,
        size_step=step or UNKNOWN_STEP,
        entry_price=_price(row, "entryPx", coin),
        leverage=None if leverage.get("value") is None else plain(amount(leverage["value"], f"{coin} leverage")),
        margin_mode=_MARGIN_MODES.get(str(leverage.get("type"))),
        liquidation_price=_price(row, "liquidationPx", coin),
        mark_price=mark_of(_optional(row, "positionValue", coin), size, step),
        raw_size=str(wire_size),
    )


def _optional(row: Mapping[str, object], key: str, coin: str = "") -> Decimal | None:
    return None if row.get(key) is None else amount(row[key], f"{coin} {key}".strip())


def _price(row: Mapping[str, object], key: str, coin: str) -> Decimal | None:
    value = _optional(row, key, coin)
    return plain(rounded(value)) if value is not None and rounded(value) > 0 else None


def mark_of(value: Decimal | None, size: Decimal, step: Decimal | None) -> Decimal | None:
    """positionValue / |szi|, on the market's price grid where that gives the value back: then it is exact.

    None where there is no value, and for a quotient that is no price any more.
    """
    if value is None or value <= 0:
        return None
    mark = EXACT.divide(value, size)
    if step is not None:
        on_grid = rounded(mark, max(EXACT.divide(_PRICE_DIGITS, step), _PRICE_DIGITS))
        if EXACT.abs(EXACT.subtract(EXACT.multiply(on_grid, size), value)) < _PRICE_DIGITS:
            mark = on_grid
    return plain(rounded(mark)) or None if mark < _TOO_MUCH else None


def _complete_sum(values: list[Decimal | None]) -> Decimal | None:
    """None where one of them is not known."""
    total = Decimal(0)
    for value in values:
        if value is None:
            return None
        total = EXACT.add(total, value)
    return total
