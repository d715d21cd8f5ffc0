"""Coinbase's metadata and prices: ``/products`` and ``/best_bid_ask``, as values. Pure; tolerant of unknown keys.

Nothing is read out of a product's code. What a contract is stands in its metadata: ``contract_root_unit`` is the base,
``contract_size`` base units a contract. The venue calls perpetual-style contracts EXPIRING, with a date in 2030: what
tells them is a funding rate (docs.cdp.coinbase.com, "Perpetual-style futures").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from reconciler_service.venues import VenueDataError
from reconciler_service.venues.coinbase.fields import Page, above_zero, moment, price, word
from reconciler_service.venues.wire import EPOCH, EXACT, fields, integer, is_name, name, plain, rounded, rows

SPOT = "SPOT"
FUTURE = "FUTURE"
DEFAULT_STEP = Decimal("1e-8")  # of spot; no market has a finer one


@dataclass(frozen=True, slots=True)
class Product:
    """One market. ``base`` and ``quote`` are empty where the venue does not say."""

    product_id: str
    kind: str  # SPOT, FUTURE, or what else the venue may come up with
    base: str
    quote: str
    step: Decimal | None = None  # smallest size change: base units, contracts for futures
    price: Decimal | None = None  # of the last trade
    contract_size: Decimal | None = None  # base units a contract
    expiry: datetime | None = None
    is_perpetual: bool = False


def product(raw: object) -> Product:
    """One product, as ``/products/{id}`` answers and ``/products`` lists it. Only ``product_id`` must be there."""
    row = fields(raw, "product")
    product_id = name(row.get("product_id"), "product_id")
    details = fields(row.get("future_product_details") or {}, f"{product_id} future_product_details")
    kind = word(row, "product_type") or (FUTURE if details else SPOT)
    return Product(
        product_id=product_id,
        kind=kind,
        base=_currency(details, "contract_root_unit") if kind == FUTURE else _currency(row, "base_currency_id"),
        quote=_currency(row, "quote_currency_id"),
        step=above_zero(row, "base_increment", product_id),
        price=price(row, "price", product_id),
        contract_size=above_zero(details, "contract_size", product_id),
        expiry=_expiry(details, product_id),
        is_perpetual=kind == FUTURE and _is_perpetual(row, details),
    )


def _currency(row: Mapping[str, object], key: str) -> str:
    """Empty where it is told in no way that can be booked: then nothing is measured by the market."""
    told = word(row, key)
    return told if is_name(told) else ""


def listing(raw: object) -> Page[Product]:
    """``/products``: a page."""
    answer = fields(raw, "products")
    pages = fields(answer.get("pagination") or {}, "pagination")
    found = tuple(product(row) for row in rows(answer.get("products"), "products"))
    cursor = word(pages, "next_cursor") if pages.get("has_next") is True else ""
    return Page(found, cursor)


def of_holding(currency: str, products: Iterable[Product], quotes: Sequence[str]) -> Product | None:
    """The spot market a holding is measured by: in the first quote currency that has one, else in any."""
    rank = {quote: place for place, quote in enumerate(quotes)}
    markets = [one for one in products if one.kind == SPOT and one.base == currency]
    return min(markets, key=lambda one: (rank.get(one.quote, len(rank)), one.product_id), default=None)


def mids(raw: object) -> dict[str, Decimal]:
    """``/best_bid_ask``: the middle of the book by product; books with an empty side are left out."""
    found = {}
    for item in rows(fields(raw, "best_bid_ask").get("pricebooks"), "pricebooks"):
        book = fields(item, "pricebooks")
        product_id = name(book.get("product_id"), "product_id")
        bid, ask = _best(book, "bids", product_id), _best(book, "asks", product_id)
        if bid is not None and ask is not None:
            found[product_id] = plain(rounded(EXACT.divide(EXACT.add(bid, ask), Decimal(2))))
    return found


def _best(book: Mapping[str, object], side: str, whose: str) -> Decimal | None:
    levels = rows(book.get(side) or [], f"{whose} {side}")
    return price(fields(levels[0], f"{whose} {side}"), "price", whose) if levels else None


def _expiry(details: Mapping[str, object], whose: str) -> datetime | None:
    raw = details.get("contract_expiry")
    if raw in (None, ""):
        return None
    if isinstance(raw, str) and "T" in raw:
        return moment(raw, f"{whose} contract_expiry").at
    seconds = integer(raw, f"{whose} contract_expiry")  # also seen: seconds since 1970
    try:
        return EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise VenueDataError(f"{whose} contract_expiry: {seconds} is no time") from None


def _is_perpetual(row: Mapping[str, object], details: Mapping[str, object]) -> bool:
    nested = details.get("perpetual_details")
    places = (details, nested if isinstance(nested, dict) else {}, row)
    funded = any(place.get("funding_rate") not in (None, "") for place in places)
    named = "PERP" in word(row, "display_name").upper().split()
    return funded or named or word(details, "contract_expiry_type") == "PERPETUAL"
