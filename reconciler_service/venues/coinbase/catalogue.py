"""What is known of Coinbase's products: read when first needed, when old, and when something is not among them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus

from reconciler_service.venues import VenueDataError, VenueError, VenueUnreachable
from reconciler_service.venues.coinbase import products
from reconciler_service.venues.coinbase.client import Client, Query
from reconciler_service.venues.coinbase.products import FUTURE, SPOT, Product
from reconciler_service.venues.http import StatusRefused

PAGE = 1000  # products asked for at once; the venue may give fewer
IN_A_PATH = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)  # ids come from answers: none may lead to another path


@dataclass(slots=True)
class _Shelf:
    """The products of one kind. ``absent`` was asked for and is not listed."""

    products: dict[str, Product] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    read_at: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Catalogue:
    """Spot markets and contracts, remembered for ``good_for``. Old ones still hold for what they name."""

    def __init__(self, client: Client, good_for: timedelta, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._good_for = good_for
        self._clock = clock
        self._shelves = {SPOT: _Shelf(), FUTURE: _Shelf()}
        self._single: dict[str, Product | None] = {}  # looked up one by one; None: the venue knows no such product

    async def spot(self, currencies: Collection[str]) -> Mapping[str, Product]:
        """Spot markets by id, fresh enough to know those of ``currencies``. Raises VenueError."""
        return await self._read(SPOT, frozenset(currencies))

    async def futures(self, product_ids: Collection[str]) -> Mapping[str, Product]:
        """Contracts by id, fresh enough to know ``product_ids``. Raises VenueError."""
        return await self._read(FUTURE, frozenset(product_ids))

    async def lookup(self, product_ids: Collection[str]) -> dict[str, Product]:
        """The products of any kind, expired ones too; unknown ones are left out. Raises VenueError."""
        found: dict[str, Product] = {}
        for product_id in sorted(product_ids):
            one = next((s.products[product_id] for s in self._shelves.values() if product_id in s.products), None)
            one = one or await self._one(product_id)
            if one is not None:
                found[product_id] = one
        return found

    async def _one(self, product_id: str) -> Product | None:
        if product_id not in self._single:
            if not IN_A_PATH.fullmatch(product_id):
                return None
            try:
                one = products.product(await self._client.get(f"/products/{product_id}", f"product {product_id}"))
            except StatusRefused as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                self._single[product_id] = None
            else:
                if one.product_id != product_id:
                    raise VenueDataError(f"product {product_id}: the answer is of {one.product_id}")
                self._single[product_id] = one
        return self._single[product_id]

    async def _read(self, kind: str, needed: frozenset[str]) -> Mapping[str, Product]:
        shelf = self._shelves[kind]
        if not needed:
            return shelf.products
        async with shelf.lock:
            now = self._clock()
            is_fresh = shelf.read_at is not None and now - shelf.read_at < self._good_for
            if is_fresh and needed <= _names(kind, shelf) | shelf.absent:
                return shelf.products
            try:
                shelf.products = await self._list(kind)
            except VenueError:
                # What is not named may be new, not unknown.
                if not needed <= _names(kind, shelf):
                    raise
            else:
                shelf.read_at = now
                shelf.absent = needed - _names(kind, shelf)
            return shelf.products

    async def _list(self, kind: str) -> dict[str, Product]:
        query: Query = [("product_type", kind), ("limit", str(PAGE))]
        listed = await self._client.pages("/products", f"products {kind}", query, products.listing)
        found = {one.product_id: one for one in listed if one.kind == kind}
        if not found:
            raise VenueUnreachable(f"coinbase products {kind}: none at all, which cannot be")
        return found


def _names(kind: str, shelf: _Shelf) -> frozenset[str]:
    """What a shelf can answer for: currencies that have a spot market, or contracts."""
    found = shelf.products.values()
    return frozenset(one.base for one in found) if kind == SPOT else frozenset(one.product_id for one in found)
