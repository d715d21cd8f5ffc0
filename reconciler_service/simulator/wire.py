"""Spells the SIMULATED venue's state as Hyperliquid's ``/info`` does. Pure: from the model to JSON values.

Amounts are decimal strings with at least one fraction digit ("30135.0"), counts and times JSON integers.
Shapes follow the vendor's documentation and payloads people recorded; the tests compare key by key.
Histories (fills, funding, ledger) are in ``wire_history``.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from reconciler_service.simulator import spot
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.margin import PositionView, Summary, WalletView
from reconciler_service.simulator.records import SPOT_TOKENS, ZERO, Market, Mode, Role, SpotBalance

Json = Any  # what json.dumps takes

USDC_INDEX = 0
UNIFIED = frozenset({"unifiedAccount", "portfolioMargin"})
SPREAD = Decimal("0.0001")  # half of it on either side of the mark makes the impact prices


@dataclass(frozen=True, slots=True)
class Style:
    """How faithfully the venue's untidiness is copied.

    ``noise_percent`` of the positions get binary-float noise in ``szi`` ("0.30000000000000004"), chosen by coin and
    ``seed``, always the same ones. ``round_entry`` rounds ``entryPx`` to the market's price grid (6 - szDecimals
    decimals), which fits every recorded entry price; off, it carries 18 decimals.
    """

    noise_percent: int = 33
    round_entry: bool = True
    seed: int = 0


def number(value: Decimal) -> str:
    """Plain notation, no trailing zeros but at least one fraction digit, no minus zero."""
    text = f"{value:f}"
    whole, _, fraction = text.partition(".")
    text = f"{whole}.{fraction.rstrip('0') or '0'}"
    return "0.0" if text == "-0.0" else text


def noisy(value: Decimal) -> str:
    """The value with an error in its 17th significant digit, as a double printed in full would show."""
    if not value:
        return number(value)
    # Leading digits decide the sign, so that 0.3 errs upwards and 1161681.9 may err downwards.
    error = Decimal(4).scaleb(value.adjusted() - 16)
    return number(value - error if value.as_tuple().digits[0] % 2 == 0 else value + error)


def clearinghouse_state(exchange: Exchange, address: str, dex: str = "", style: Style | None = None) -> Json:
    """``clearinghouseState`` of one dex. An unknown address gets zeros, an unknown dex UnknownMarketError."""
    seen = exchange.view(address, dex)
    account = exchange.accounts.get(address.lower())
    paid: Mapping[str, Decimal] = account.funding_paid if account else {}
    # Unified, the collateral stands in spot, and a dex's own totals mean nothing.
    is_unified = account is not None and account.abstraction in UNIFIED
    return {
        "marginSummary": _summary(seen.total, bare=is_unified),
        "crossMarginSummary": _summary(seen.cross, bare=is_unified),
        "crossMaintenanceMarginUsed": number(seen.maintenance),
        "withdrawable": number(ZERO if is_unified else max(ZERO, seen.free)),
        "assetPositions": _positions(seen, paid, style or Style()),
        "time": exchange.now(),
    }


def spot_clearinghouse_state(exchange: Exchange, address: str) -> Json:
    """``spotClearinghouseState``: what the address holds of each spot token; unified, with the collateral of all dexes."""
    account = exchange.accounts.get(address.lower())
    balances = dict(account.spot) if account else {}
    if account and account.abstraction in UNIFIED:
        totals = [exchange.view(address, dex).total for dex in account.wallets]
        cash = replace(balances.get("USDC", SpotBalance("USDC", ZERO)))
        cash.total += sum((one.account_value for one in totals), ZERO)
        cash.hold += sum((one.margin_used for one in totals), ZERO)
        balances["USDC"] = cash
    return {
        "balances": [
            {
                "coin": balance.token,
                "token": SPOT_TOKENS.index(balance.token),
                "total": number(balance.total),
                "hold": number(balance.hold),
                "entryNtl": number(balance.entry_notional),
            }
            for balance in balances.values()
        ]
    }


def all_mids(exchange: Exchange, dex: str = "") -> Json:
    """``allMids`` of one dex: coin to mid price. The simulated book is symmetric: the mid is the mark.

    Spot pairs come with the main dex.
    """
    mids = {market.coin: number(market.mark) for market in exchange.markets_of(dex)}
    return mids | ({} if dex else {spot.TOKENS[token].pair: number(mid) for token, mid in exchange.spot.mids.items()})


def meta(exchange: Exchange, dex: str = "") -> Json:
    """``meta`` of one dex: the markets in listing order, which is the order of the contexts."""
    markets = exchange.markets_of(dex)
    caps = sorted({market.max_leverage for market in markets})
    return {
        "universe": [_universe_entry(market) for market in markets],
        # The venue numbers one-tier tables by their leverage.
        "marginTables": [
            [cap, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": cap}]}] for cap in caps
        ],
        "collateralToken": USDC_INDEX,
    }


def all_perp_metas(exchange: Exchange) -> Json:
    """``allPerpMetas``: ``meta`` of every dex, the main one first."""
    return [meta(exchange, dex) for dex in exchange.dexes]


def meta_and_asset_ctxs(exchange: Exchange, dex: str = "") -> Json:
    """``metaAndAssetCtxs``: ``[meta, contexts]``, to be zipped by index."""
    return [meta(exchange, dex), [_context(exchange, market) for market in exchange.markets_of(dex)]]


def perp_dexs(exchange: Exchange) -> Json:
    """``perpDexs``: null for the main dex, then one object a HIP-3 dex."""
    return [
        None
        if not dex.name
        else {
            "name": dex.name,
            "fullName": dex.full_name,
            "deployer": dex.deployer,
            "oracleUpdater": None,
            "feeRecipient": dex.deployer,
            "assetToStreamingOiCap": [[market.coin, "100000000.0"] for market in exchange.markets_of(dex.name)],
        }
        for dex in exchange.dexes.values()
    ]


def spot_meta() -> Json:
    """``spotMeta``: the tokens balances may name, each but USDC with one pair against it."""
    return {
        "universe": [
            {
                "tokens": [token.index, USDC_INDEX],
                "name": token.pair,
                "index": token.index,
                "isCanonical": token.name == spot.NATIVE,
            }
            for token in spot.TOKENS.values()
            if token.name != spot.CASH
        ],
        "tokens": [
            {
                "name": token.name,
                "szDecimals": token.size_decimals,
                "weiDecimals": token.wei_decimals,
                "index": token.index,
                "tokenId": f"0x{token.index:032x}",
                "isCanonical": token.name in (spot.CASH, spot.NATIVE),
                "evmContract": None,
                "fullName": token.full_name,
            }
            for token in spot.TOKENS.values()
        ],
    }


def user_role(exchange: Exchange, address: str) -> Json:
    """``userRole``: what an address is; agents and sub-accounts name whom they belong to."""
    role = exchange.role(address)
    if role is Role.AGENT:
        return {"role": role.value, "data": {"user": exchange.account(address).master}}
    if role is Role.SUB_ACCOUNT:
        return {"role": role.value, "data": {"master": exchange.account(address).master}}
    return {"role": role.value}


def sub_accounts(exchange: Exchange, address: str, style: Style | None = None, *, with_dexes: bool = True) -> Json:
    """``subAccounts2``, and ``subAccounts`` without the other dexes: null where there are none."""
    members = [one for one in exchange.accounts.values() if one.role is Role.SUB_ACCOUNT and one.master == address]

    def states(member: str) -> Json:
        if not with_dexes:
            return {"clearinghouseState": clearinghouse_state(exchange, member, "", style)}
        listed = [[dex, clearinghouse_state(exchange, member, dex, style)] for dex in exchange.dexes]
        return {"dexToClearinghouseState": listed}

    return [
        {"name": one.label, "subAccountUser": one.address, "master": address}
        | states(one.address)
        | {"spotState": spot_clearinghouse_state(exchange, one.address)}
        for one in members
    ] or None


def user_abstraction(exchange: Exchange, address: str) -> Json:
    """``userAbstraction``: a bare string."""
    account = exchange.accounts.get(address.lower())
    return account.abstraction if account else "default"


def user_rate_limit(exchange: Exchange, address: str) -> Json:
    """``userRateLimit``: the address limit of actions, which reading never uses up."""
    account = exchange.accounts.get(address.lower())
    fills = account.history.fills if account else []
    volume = sum((fill.price * fill.size for fill in fills), ZERO)
    return {"cumVlm": number(volume), "nRequestsUsed": len(fills), "nRequestsCap": 10_000 + int(volume)}


def _summary(totals: Summary, *, bare: bool) -> Json:
    return {
        "accountValue": number(ZERO if bare else totals.account_value),
        "totalNtlPos": number(totals.notional),
        "totalRawUsd": number(ZERO if bare else totals.raw),
        "totalMarginUsed": number(totals.margin_used),
    }


def _positions(seen: WalletView, paid: Mapping[str, Decimal], style: Style) -> Json:
    return [
        {"type": "oneWay", "position": _position(one, paid.get(one.position.coin, ZERO), style)}
        for one in seen.positions
    ]


def _position(seen: PositionView, funding_paid: Decimal, style: Style) -> Json:
    held, market = seen.position, seen.market
    leverage: dict[str, Json] = {"type": held.mode.value, "value": held.leverage}
    if held.mode is Mode.ISOLATED:
        leverage["rawUsd"] = number(held.raw_usd)
    drawn = zlib.crc32(f"{style.seed}:{held.coin}".encode()) % 100
    decimals = market.price_decimals if style.round_entry else 18
    return {
        "coin": held.coin,
        "szi": noisy(held.size) if drawn < style.noise_percent else number(held.size),
        "leverage": leverage,
        "entryPx": number(round(held.entry, decimals)),
        "positionValue": number(seen.value),
        "unrealizedPnl": number(seen.unrealized),
        "returnOnEquity": number(seen.return_on_equity),
        "liquidationPx": None if seen.liquidation is None else number(seen.liquidation),
        "marginUsed": number(seen.margin_used),
        "maxLeverage": market.max_leverage,
        "cumFunding": {
            "allTime": number(funding_paid),
            "sinceOpen": number(held.funding_since_open),
            "sinceChange": number(held.funding_since_change),
        },
    }


def _universe_entry(market: Market) -> Json:
    entry = {
        "szDecimals": market.size_decimals,
        "name": market.coin,
        "maxLeverage": market.max_leverage,
        "marginTableId": market.max_leverage,
    }
    if market.only_isolated:
        entry |= {"onlyIsolated": True, "marginMode": "strictIsolated"}
    return entry


def _context(exchange: Exchange, market: Market) -> Json:
    fills = [fill for one in exchange.accounts.values() for fill in one.history.fills if fill.coin == market.coin]
    interest = sum(
        (
            abs(wallet.positions[market.coin].size)
            for account in exchange.accounts.values()
            for wallet in account.wallets.values()
            if market.coin in wallet.positions
        ),
        ZERO,
    )
    mark = number(market.mark)
    return {
        "funding": number(market.funding_rate),
        "openInterest": number(interest),
        "prevDayPx": mark,
        "dayNtlVlm": number(sum((fill.price * fill.size for fill in fills), ZERO)),
        "premium": "0.0",
        "oraclePx": mark,
        "markPx": mark,
        "midPx": mark,
        "impactPxs": [number(market.mark * (1 - SPREAD)), number(market.mark * (1 + SPREAD))],
        "dayBaseVlm": number(sum((fill.size for fill in fills), ZERO)),
    }
