"""Hyperliquid's spot tokens: what they are called, what a balance of one is as a position. Pure.

Decisions a reader should know:

* A holding bears the venue's name of the token's pair against USDC: ``@107``, ``PURR/USDC``. Fills name pairs as well,
  and the token's own name may be a perpetual's (``HYPE``), which is another position. A token without such a pair goes
  by the first one against another currency of the cash list; fills on any of these move the same holding.
* The asset is the token against USD. Tokens that the Unit bridge made are what they stand for: ``UBTC`` is BTC. They
  are told by their full name ("Unit Bitcoin"); a setting overrides.
* Cash (USDC, USDH, ...) is no position: it is the collateral, in ``Equity.cash``.
* A balance is exact to ``weiDecimals``, tradable in steps of ``szDecimals``: less than one step is dust and left out.
* A total below zero is borrowed: a short position.
* Tokens that the metadata does not name, outcome tokens (``+10``, settled ``o10``) among them, have no asset.
* The venue's ``entryNtl`` is no entry price: how fees and transfers count in it is not documented.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from reconciler_service.model import Product, Side, VenuePosition
from reconciler_service.venues import VenueDataError
from reconciler_service.venues.hyperliquid.decode import UNKNOWN_STEP, SpotBalance
from reconciler_service.venues.wire import EXACT, fields, integer, is_name, name, quantised, rows, shown

# What the Unit bridge is known to have brought, in case the metadata leaves the full names out.
BRIDGED = {"UBTC": "BTC", "UETH": "ETH", "USOL": "SOL"}

_UNIT = "Unit "
_MOST_DECIMALS = 18


@dataclass(frozen=True, slots=True)
class Token:
    """One spot token. ``pair`` is the name its holdings and their fills go by; empty where it has none."""

    index: int
    name: str
    asset: str  # the base of its canonical pair, e.g. "BTC" for UBTC
    step: Decimal  # smallest tradable size
    unit: Decimal  # smallest balance
    pair: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """``spotMeta``. ``pairs`` are those whose fills move a holding of their base token, ``listed`` all there are."""

    by_name: Mapping[str, Token] = field(default_factory=dict)
    pairs: Mapping[str, Token] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()


def tokens(raw: object, cash: Collection[str], assets: Mapping[str, str]) -> Tokens:
    """``spotMeta``. ``cash`` are token names in the order of preference, ``assets`` what tokens stand for."""
    meta = fields(raw, "spotMeta")
    told = [fields(row, "spotMeta token") for row in rows(meta.get("tokens"), "spotMeta tokens")]
    # Anybody may list a token: one with a name that nobody can book must not hide the others. Held, it is an error.
    listed = [_token(row, assets) for row in told if is_name(row.get("name"))]
    strange = {integer(row.get("index"), "spotMeta token index") for row in told if not is_name(row.get("name"))}
    if not listed:
        raise VenueDataError("spotMeta tokens: the list is empty, so it is not known what a held token is")
    by_index = {token.index: token for token in listed}
    if len(by_index) != len(listed):
        raise VenueDataError("spotMeta tokens: an index is listed twice")
    rank = {one: place for place, one in enumerate(cash)}
    markets: dict[int, list[tuple[int, int, str]]] = {}
    names = set[str]()
    for row in rows(meta.get("universe"), "spotMeta universe"):
        market = fields(row, "spotMeta universe")
        if not is_name(market.get("name")):
            continue
        pair = name(market.get("name"), "spot pair name")
        sides = [integer(one, f"{pair} tokens") for one in rows(market.get("tokens"), f"{pair} tokens")]
        if len(sides) != 2 or not by_index.keys() | strange >= set(sides):
            raise VenueDataError(f"{pair} tokens: {shown(sides)} are not two tokens that are listed")
        if not strange.isdisjoint(sides):
            continue
        names.add(pair)
        base, quote = sides
        place = rank.get(by_index[quote].name)
        if place is not None:
            markets.setdefault(base, []).append((place, integer(market.get("index"), f"{pair} index"), pair))
    named = {
        index: Token(one.index, one.name, one.asset, one.step, one.unit, min(markets[index])[2])
        if index in markets
        else one
        for index, one in by_index.items()
    }
    return Tokens(
        by_name={one.name: one for one in named.values()},
        pairs={pair: named[base] for base, found in markets.items() for _, _, pair in found},
        listed=frozenset(names),
    )


def coins(balances: Iterable[SpotBalance], cash: Collection[str]) -> frozenset[str]:
    """The names of the tokens that are held or borrowed and are no cash."""
    return frozenset(one.coin for one in balances if one.total and one.coin not in cash)


def position(balance: SpotBalance, known: Tokens, mids: Mapping[str, Decimal]) -> VenuePosition | None:
    """A balance as a position; None for dust. Raises VenueDataError."""
    token = known.by_name.get(balance.coin)
    total = balance.total if token is None else quantised(balance.total, token.unit, f"{balance.coin} total")
    step = UNKNOWN_STEP if token is None else token.step
    if EXACT.abs(total) < step:
        return None
    is_known = token is not None and bool(token.pair)
    symbol = token.pair if token is not None and token.pair else _unlisted(balance.coin)
    return VenuePosition(
        symbol=symbol,
        asset=f"{token.asset}/USD" if token is not None and is_known else None,
        product=Product.SPOT,
        side=Side.LONG if total > 0 else Side.SHORT,
        size=EXACT.abs(total),
        size_step=step,
        mark_price=mids.get(symbol),
        raw_size=f"{balance.total:f}",
    )


def _unlisted(coin: str) -> str:
    """A symbol for what no pair names: never that of a perpetual."""
    return name(coin if coin.startswith("+") else f"{coin}/USDC", "balances coin")


def _token(row: Mapping[str, object], assets: Mapping[str, str]) -> Token:
    coin = name(row.get("name"), "spot token name")
    full = row.get("fullName")
    bridged = coin.removeprefix("U") if isinstance(full, str) and full.startswith(_UNIT) else ""
    return Token(
        index=integer(row.get("index"), f"{coin} index"),
        name=coin,
        asset=assets.get(coin) or BRIDGED.get(coin) or bridged or coin,
        step=_step(row, "szDecimals", coin),
        unit=_step(row, "weiDecimals", coin),
    )


def _step(row: Mapping[str, object], key: str, coin: str) -> Decimal:
    decimals = integer(row.get(key), f"{coin} {key}")
    if not 0 <= decimals <= _MOST_DECIMALS:
        raise VenueDataError(f"{coin} {key}: {decimals} is out of range")
    return Decimal(1).scaleb(-decimals)
