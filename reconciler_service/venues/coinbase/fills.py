"""Coinbase's fills, and what they did to holdings. Pure.

Decisions a reader should know:

* ``entry_id`` is the one unique key. Order is by trade time to the nanosecond, then by the venue's own sequence.
* A fill on BTC-USDC moves the same wallet as one on BTC-USD: where the quote currency counts as USD, its symbol is the
  holding's. Fills in other quote currencies keep their product as symbol: their prices are not comparable.
* Futures sizes are in contracts, spot sizes with ``size_in_quote`` in the quote currency: base = size / price, rounded
  to 18 digits and marked in the text, since the venue rounds in its own way. Where the order is known and all of its
  fills are, its ``filled_size`` is what they add up to: the last one takes the rest.
* A REVERSAL undoes an earlier row of the same trade, so both are left out; the CORRECTION after it is the true fill. A
  reversal whose fill is not among the rows is an error: its direction alone does not tell what it undid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from reconciler_service.model import VenueFill
from reconciler_service.venues import VenueDataError
from reconciler_service.venues.coinbase.fields import Moment, Page, exact, moment, word
from reconciler_service.venues.coinbase.products import FUTURE, Product
from reconciler_service.venues.wire import EXACT, fields, ident, integer, name, plain, rounded, rows, shown, text

_SIDES = {"BUY": True, "SELL": False}
_REVERSAL = "REVERSAL"
_ROUNDING = Decimal("1e-3")  # of the order: what its fills may be off by the venue's rounding
_TRADE_TYPES = frozenset({"FILL", _REVERSAL, "CORRECTION", "SYNTHETIC"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row of ``/orders/historical/fills``."""

    entry_id: str
    trade_id: str
    order_id: str
    product_id: str
    trade_type: str
    is_buy: bool
    size: Decimal  # base units, contracts, or quote currency: the product and the flag tell
    price: Decimal
    commission: Decimal
    is_size_in_quote: bool
    traded_at: Moment
    booked_at: Moment  # the venue's sequence


@dataclass(frozen=True, slots=True)
class Order:
    """What an order filled, in base units, and in how many fills."""

    order_id: str
    filled: Decimal
    fills: int


NO_ORDERS: Mapping[str, Order] = MappingProxyType({})


def page(raw: object) -> Page[Row]:
    """``/orders/historical/fills``. There is no ``has_next``: a cursor may lead to a last page without rows."""
    answer = fields(raw, "fills")
    found = tuple(_row(fields(row, "fills")) for row in rows(answer.get("fills"), "fills"))
    return Page(found, word(answer, "cursor") if found else "")


def order(raw: object) -> Order:
    """``/orders/historical/{id}``."""
    row = fields(fields(raw, "order").get("order"), "order")
    order_id = text(row.get("order_id"), "order_id")
    return Order(
        order_id,
        exact(row.get("filled_size"), f"order {order_id} filled_size"),
        integer(row.get("number_of_fills"), f"order {order_id} number_of_fills"),
    )


def executions(
    found: Iterable[Row],
    products: Mapping[str, Product],
    quotes: Sequence[str],
    orders: Mapping[str, Order] = NO_ORDERS,
) -> list[VenueFill]:
    """Each execution once, oldest first. ``products`` must hold every product of the rows; ``quotes`` count as USD.

    ``orders`` are those, by id, whose fills are sized in the quote currency, as far as they are known.
    """
    unique = {row.entry_id: row for row in found}
    ordered = sorted(unique.values(), key=lambda row: (row.traded_at, row.booked_at, row.entry_id))
    settled = _settled(ordered)
    sizes = _sizes_in_base(settled, orders)
    return [_fill(row, products[row.product_id], quotes, sizes.get(row.entry_id)) for row in settled]


def symbol_of(product: Product, quotes: Sequence[str]) -> str:
    """The symbol of the holding that a product's fills move. ``quotes``: the first one names the holding."""
    if product.kind == FUTURE or product.quote not in quotes or not product.base:
        return product.product_id
    return f"{product.base}-{quotes[0]}"


def _row(row: Mapping[str, object]) -> Row:
    entry_id = ident(row.get("entry_id"), "fill entry_id")
    product_id = name(row.get("product_id"), "fill product_id")
    side, trade_type = row.get("side"), row.get("trade_type") or "FILL"
    if not isinstance(side, str) or side not in _SIDES:
        raise VenueDataError(f"{product_id} side: expected 'BUY' or 'SELL', got {shown(side)}")
    if not isinstance(trade_type, str) or trade_type not in _TRADE_TYPES:
        raise VenueDataError(f"{product_id} trade_type: {shown(trade_type)} is not known")
    size = exact(row.get("size"), f"{product_id} size")
    price = exact(row.get("price"), f"{product_id} price")
    if size <= 0 or price <= 0:
        raise VenueDataError(f"{product_id} fill: size {size} at price {price}")
    traded_at = moment(row.get("trade_time"), f"{product_id} trade_time")
    booked = row.get("sequence_timestamp")
    commission = row.get("commission")
    return Row(
        entry_id=entry_id,
        trade_id=word(row, "trade_id"),
        order_id=word(row, "order_id"),
        product_id=product_id,
        trade_type=trade_type,
        is_buy=_SIDES[side],
        size=size,
        price=price,
        commission=Decimal(0) if commission in (None, "") else exact(commission, f"{product_id} commission"),
        is_size_in_quote=row.get("size_in_quote") is True,
        traded_at=traded_at,
        booked_at=traded_at if booked in (None, "") else moment(booked, f"{product_id} sequence_timestamp"),
    )


def _settled(ordered: Iterable[Row]) -> list[Row]:
    """The rows without reversals and what they undid."""
    kept: list[Row] = []
    for row in ordered:
        if row.trade_type != _REVERSAL:
            kept.append(row)
            continue
        undone = next((one for one in reversed(kept) if _undoes(row, one)), None)
        if undone is None:
            raise VenueDataError(f"{row.product_id}: a REVERSAL of a fill that is not among those read")
        kept.remove(undone)
    return kept


def _sizes_in_base(settled: Sequence[Row], orders: Mapping[str, Order]) -> dict[str, Decimal]:
    """The exact sizes, by entry, of fills sized in quote whose order tells what they add up to."""
    sizes: dict[str, Decimal] = {}
    for order_id, told in orders.items():
        parts = [row for row in settled if row.order_id == order_id]
        if len(parts) != told.fills or not all(row.is_size_in_quote for row in parts):
            continue
        rest = told.filled
        for row in parts[:-1]:
            sizes[row.entry_id] = plain(rounded(EXACT.divide(row.size, row.price)))
            rest = EXACT.subtract(rest, sizes[row.entry_id])
        last = parts[-1]
        quotient = EXACT.divide(last.size, last.price)
        if EXACT.abs(EXACT.subtract(rest, quotient)) > EXACT.multiply(_ROUNDING, told.filled):
            rest = quotient  # they are of something else: what was divided is at least near
        sizes[last.entry_id] = plain(rounded(rest))
    return sizes


def _undoes(reversal: Row, fill: Row) -> bool:
    same_trade = (fill.product_id, fill.trade_id, fill.order_id) == (
        reversal.product_id,
        reversal.trade_id,
        reversal.order_id,
    )
    return same_trade and fill.size == reversal.size and fill.price == reversal.price


def _fill(row: Row, product: Product, quotes: Sequence[str], told: Decimal | None) -> VenueFill:
    words = [] if row.trade_type == "FILL" else [row.trade_type]
    if product.kind == FUTURE:
        if product.contract_size is None:
            raise VenueDataError(f"{row.product_id}: its contract size is not known, so neither is a fill's size")
        size = EXACT.multiply(row.size, product.contract_size)
    elif told is not None:
        size = told
    elif row.is_size_in_quote:
        size = EXACT.divide(row.size, row.price)
        words.append("size from quote, rounded")
    else:
        size = row.size
    return VenueFill(
        fill_id=row.entry_id,
        symbol=symbol_of(product, quotes),
        is_buy=row.is_buy,
        size=plain(rounded(size)),
        price=row.price,
        time=row.traded_at.at,
        fee=row.commission,
        fee_currency=product.quote or "USD",
        text=", ".join(words),
    )
