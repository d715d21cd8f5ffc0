"""Coinbase's wire format of what an account holds and of what a key may do, as values. Pure.

Every function takes parsed JSON (``http.parse``) and raises VenueDataError, naming the field, for what breaks the
format. Unknown keys are passed over, and only what is needed must be there. Conventions:

* A holding of BTC has the symbol ``BTC-USD`` and the asset ``BTC/USD``, whatever it was bought with: there is one
  wallet a currency. Its size is available plus hold, exact; the venue pads (``"242.2100000000000000"``).
* A contract position's size is in base units: contracts times contract size.
* What no metadata names has no asset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from reconciler_service.model import Product as Kind
from reconciler_service.model import Side, VenuePosition
from reconciler_service.venues import VenueDataError
from reconciler_service.venues.coinbase.fields import (
    Moment,
    Page,
    above_zero,
    exact,
    flag,
    moment,
    price,
    value_of,
    word,
)
from reconciler_service.venues.coinbase.products import DEFAULT_STEP, Product
from reconciler_service.venues.wire import EPOCH, EXACT, fields, integer, name, plain, rounded, rows, shown, text

_OTHER_PLATFORMS = ("CFM", "INTX")  # parts of ACCOUNT_PLATFORM_*: collateral of derivatives, not spot
_NO_SIDE = "FUTURES_POSITION_SIDE_UNSPECIFIED"
_LAST_SECOND = 253_402_300_799  # the end of year 9999, where datetime ends


@dataclass(frozen=True, slots=True)
class Account:
    """One wallet. Several may hold one currency: vaults, staked coins."""

    uuid: str
    currency: str
    total: Decimal  # available + hold
    is_spot: bool
    updated_at: Moment | None


@dataclass(frozen=True, slots=True)
class ContractPosition:
    """A US futures position as it stood on the wire. Prices are in the quote currency a base unit."""

    product_id: str
    side: Side
    contracts: Decimal
    contract_size: Decimal | None
    entry_price: Decimal | None
    mark_price: Decimal | None
    liquidation_price: Decimal | None
    leverage: Decimal | None
    raw_contracts: str


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a key may do, and the one portfolio it is bound to."""

    can_view: bool
    can_trade: bool
    can_transfer: bool
    portfolio_uuid: str
    portfolio_type: str


@dataclass(frozen=True, slots=True)
class Portfolio:
    uuid: str
    name: str
    kind: str
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class BalanceSummary:
    """The futures account as a whole; None where the venue does not say. In USD."""

    total_usd: Decimal | None
    futures_usd: Decimal | None
    unrealized_pnl: Decimal | None
    daily_realized_pnl: Decimal | None
    initial_margin: Decimal | None
    available_margin: Decimal | None
    liquidation_threshold: Decimal | None
    liquidation_buffer: Decimal | None


def account(raw: object) -> Account:
    """One account row. Its balance needs both parts: without ``hold`` every open order would look like a drift."""
    row = fields(raw, "account")
    currency = name(row.get("currency"), "account currency")
    updated = row.get("updated_at")
    platform = word(row, "platform").upper()
    return Account(
        uuid=text(row.get("uuid"), f"{currency} uuid"),
        currency=currency,
        total=EXACT.add(_part(row, "available_balance", currency), _part(row, "hold", currency)),
        is_spot=not any(other in platform for other in _OTHER_PLATFORMS)
        and word(row, "type").upper() != "ACCOUNT_TYPE_PERP_FUTURES",
        updated_at=None if updated in (None, "") else moment(updated, f"{currency} updated_at"),
    )


def account_page(raw: object) -> Page[Account]:
    """``/accounts``. On the last page ``has_next`` is false or absent, and ``cursor`` empty, null, absent or stale."""
    answer = fields(raw, "accounts")
    found = tuple(account(row) for row in rows(answer.get("accounts"), "accounts"))
    more, cursor = answer.get("has_next"), word(answer, "cursor")
    if more is not None and not isinstance(more, bool):
        raise VenueDataError(f"accounts has_next: expected true or false, got {shown(more)}")
    if more is True and not cursor:
        raise VenueDataError("accounts: there is more, but no cursor to it")
    is_last = more is False or (more is None and not found)
    return Page(found, "" if is_last else cursor)


def newest(accounts: Iterable[Account]) -> dict[str, Account]:
    """The accounts by uuid. One that stands on two pages (the list is no atomic snapshot) counts once, the newer."""
    found: dict[str, Account] = {}
    for row in accounts:
        before = found.get(row.uuid)
        is_older = (
            before is not None
            and before.updated_at
            and row.updated_at is not None
            and row.updated_at < before.updated_at
        )
        if not is_older:
            found[row.uuid] = row
    return found


def balances(accounts: Iterable[Account], cash: Collection[str]) -> dict[str, Decimal]:
    """What is held of each currency, summed over its spot accounts; cash and zeros are left out."""
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in accounts:
        if row.is_spot and row.currency not in cash:
            totals[row.currency] = EXACT.add(totals[row.currency], row.total)
    for currency, total in totals.items():
        if total < 0:
            raise VenueDataError(f"{currency}: the balance {total} is below zero")
    return {currency: plain(total) for currency, total in totals.items() if total}


def holding(currency: str, total: Decimal, quote: str, market: Product | None, mark: Decimal | None) -> VenuePosition:
    """A spot balance as a position. ``market`` is the one that measures it; the venue does not tell a cost."""
    return VenuePosition(
        symbol=f"{currency}-{quote}",
        asset=None if market is None else f"{currency}/{quote}",
        product=Kind.SPOT,
        side=Side.LONG,
        size=total,
        size_step=(market.step if market else None) or DEFAULT_STEP,
        mark_price=mark,
        raw_size=f"{total:f}",
    )


def positions(raw: object) -> tuple[ContractPosition, ...]:
    """``/cfm/positions``, prices as plain strings or as Amount objects. Flat rows are left out."""
    found = [_position(fields(row, "position")) for row in rows(fields(raw, "cfm").get("positions"), "cfm positions")]
    held = [one for one in found if one is not None]
    if len({one.product_id for one in held}) != len(held):
        raise VenueDataError("cfm positions: a product stands there twice")
    return tuple(held)


def contract(held: ContractPosition, product: Product | None) -> VenuePosition:
    """The position in base units. Without a contract size from either side nothing can be said of its size."""
    what = held.product_id
    told, listed = held.contract_size, product.contract_size if product else None
    if told is not None and listed is not None and told != listed:
        raise VenueDataError(f"{what} contract_size: {told:f} in the position, {listed:f} in the product")
    unit = told or listed
    if unit is None:
        raise VenueDataError(f"{what}: its contract size is not known, so neither is the position's size")
    step = (product.step if product else None) or Decimal(1)  # contracts
    return VenuePosition(
        symbol=what,
        asset=f"{product.base}/{product.quote or 'USD'}" if product and product.base else None,
        product=Kind.PERPETUAL if product and product.is_perpetual else Kind.FUTURE,
        side=held.side,
        size=exact(EXACT.multiply(held.contracts, unit), f"{what} size"),
        size_step=exact(EXACT.multiply(step, unit), f"{what} size step"),
        entry_price=held.entry_price,
        leverage=held.leverage,
        liquidation_price=held.liquidation_price,
        mark_price=held.mark_price,
        raw_size=f"{held.raw_contracts} contracts",
    )


def permissions(raw: object) -> Permissions:
    """``/key_permissions``. All three rights must be told: one that is not told cannot be ruled out."""
    answer = fields(raw, "key_permissions")
    view, trade, transfer = (flag(answer, f"can_{right}", "key_permissions") for right in ("view", "trade", "transfer"))
    return Permissions(view, trade, transfer, word(answer, "portfolio_uuid"), word(answer, "portfolio_type"))


def server_time(raw: object) -> datetime:
    """``/time``."""
    answer = fields(raw, "time")
    if answer.get("epochMillis") not in (None, ""):
        milliseconds = integer(answer["epochMillis"], "epochMillis")
        if not 0 < milliseconds // 1000 <= _LAST_SECOND:
            raise VenueDataError(f"epochMillis: {milliseconds} is no time")
        return EPOCH + timedelta(milliseconds=milliseconds)
    return moment(answer.get("iso"), "time iso").at


def portfolios(raw: object) -> tuple[Portfolio, ...]:
    """``/portfolios``."""
    listed = [fields(row, "portfolios") for row in rows(fields(raw, "portfolios").get("portfolios"), "portfolios")]
    return tuple(
        Portfolio(
            text(row.get("uuid"), "portfolio uuid"), word(row, "name"), word(row, "type"), row.get("deleted") is True
        )
        for row in listed
    )


def balance_summary(raw: object) -> BalanceSummary:
    """``/cfm/balance_summary``; on the WebSocket the same amounts are plain strings."""
    row = fields(fields(raw, "balance_summary").get("balance_summary"), "balance_summary")
    return BalanceSummary(
        total_usd=_optional(row, "total_usd_balance"),
        futures_usd=_optional(row, "cfm_usd_balance"),
        unrealized_pnl=_optional(row, "unrealized_pnl"),
        daily_realized_pnl=_optional(row, "daily_realized_pnl"),
        initial_margin=_optional(row, "initial_margin"),
        available_margin=_optional(row, "available_margin"),
        liquidation_threshold=_optional(row, "liquidation_threshold"),
        liquidation_buffer=_optional(row, "liquidation_buffer_amount"),
    )


def _part(row: Mapping[str, object], key: str, currency: str) -> Decimal:
    amount = fields(row.get(key), f"{currency} {key}")
    stated = word(amount, "currency")
    if stated and stated != currency:
        raise VenueDataError(f"{currency} {key}: is in {shown(stated)}")
    return exact(amount.get("value"), f"{currency} {key}")


def _position(row: Mapping[str, object]) -> ContractPosition | None:
    product_id = name(row.get("product_id"), "position product_id")
    raw = value_of(row.get("number_of_contracts"), f"{product_id} number_of_contracts")
    contracts = exact(raw, f"{product_id} number_of_contracts")
    if contracts == 0:
        return None
    if contracts < 0 or rounded(contracts, Decimal(1)) != contracts:
        raise VenueDataError(f"{product_id} number_of_contracts: {shown(raw)} is no number of contracts")
    side = word(row, "side").upper()
    if side not in Side.__members__:
        why = "held, but the side is not told" if side == _NO_SIDE else f"unknown side {shown(row.get('side'))}"
        raise VenueDataError(f"{product_id} side: {why}")
    return ContractPosition(
        product_id=product_id,
        side=Side[side],
        contracts=contracts,
        contract_size=above_zero(row, "contract_size", product_id),
        entry_price=price(row, "avg_entry_price", product_id) or price(row, "entry_vwap", product_id),
        mark_price=price(row, "current_price", product_id),
        liquidation_price=price(row, "liquidation_price", product_id),
        leverage=price(row, "leverage", product_id),
        raw_contracts=str(raw),
    )


def _optional(row: Mapping[str, object], key: str) -> Decimal | None:
    raw = value_of(row.get(key), key)
    return None if raw is None else exact(raw, key)
