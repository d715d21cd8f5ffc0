"""The scope ``spot``: every wallet, summed by currency, with the prices to tell dust by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from reconciler_service.model import Equity, Outcome, Product, ScopeReading, VenuePosition
from reconciler_service.venues import VenueError
from reconciler_service.venues.coinbase import decode, products
from reconciler_service.venues.coinbase.catalogue import Catalogue
from reconciler_service.venues.coinbase.client import Client, Query
from reconciler_service.venues.coinbase.memory import Memory
from reconciler_service.venues.coinbase.products import DEFAULT_STEP
from reconciler_service.venues.wire import EXACT

SCOPE = "spot"
PAGE = 250  # accounts; the venue gives no more at once
MARKS_AT_ONCE = 100  # products in one question for prices: keeps the URL short

Marks = dict[str, Decimal]  # by symbol


class SpotReader:
    """Reads the wallets of one portfolio, and remembers enough to doubt the next answer."""

    def __init__(
        self,
        client: Client,
        catalogue: Catalogue,
        quotes: Sequence[str],
        cash: Collection[str],
        clock: Callable[[], datetime],
    ) -> None:
        """``quotes`` count as USD, the first one names the holdings; ``cash`` are the currencies that are no holding."""
        self._client = client
        self._catalogue = catalogue
        self._quotes = quotes
        self._cash = frozenset(cash) | frozenset(quotes)
        self._clock = clock
        self._memory = Memory()
        self._mids: dict[str, Decimal] = {}  # by product, the last ones seen

    async def read(self) -> tuple[ScopeReading, Marks]:
        """The scope and fresh marks. Never raises VenueError."""
        look = self._memory.begin()
        try:
            rows = await self._client.pages("/accounts", "accounts", [("limit", str(PAGE))], decode.account_page)
            wallets = decode.newest(rows)
            held = decode.balances(wallets.values(), self._cash)
            listed = await self._catalogue.spot(held)
        except VenueError as error:
            return _reading(Outcome.FAILED, error=str(error)), {}
        markets = {currency: products.of_holding(currency, listed.values(), self._quotes) for currency in held}
        fresh = await self._prices(markets.values())
        positions, marks = self._positions(held, markets, fresh)
        updated = {uuid: row.updated_at for uuid, row in wallets.items() if row.updated_at is not None}
        memory = self._memory
        doubt = memory.older(updated, self._clock()) or memory.missing(
            len(memory.held - wallets.keys()), "wallets", look
        )
        equity = self._equity(wallets.values(), held, markets)
        if doubt:
            return _reading(Outcome.SUSPECT, positions, doubt, equity), marks
        filled = frozenset(uuid for uuid, row in wallets.items() if row.is_spot and row.total and row.currency in held)
        memory.believe(filled, self._clock(), updated)
        return _reading(Outcome.OK, positions, equity=equity), marks

    def _equity(
        self,
        wallets: Iterable[decode.Account],
        held: Mapping[str, Decimal],
        markets: Mapping[str, products.Product | None],
    ) -> Equity:
        """What the wallets are worth: cash in a currency that counts as USD, coins at their marks."""
        cash, worth, unpriced = Decimal(0), Decimal(0), set[str]()
        for row in wallets:
            if row.is_spot and row.currency in self._quotes:
                cash = EXACT.add(cash, row.total)
            elif row.is_spot and row.currency in self._cash and row.total:
                unpriced.add(row.currency)  # another currency; nobody told what it is in USD
        for currency, total in held.items():
            mark = self._mark(markets[currency])
            if mark is None:
                unpriced.add(currency)
            else:
                worth = EXACT.add(worth, EXACT.multiply(total, mark))
        return Equity(cash, holdings=worth, unpriced=tuple(sorted(unpriced)))

    def _positions(
        self, held: Mapping[str, Decimal], markets: Mapping[str, products.Product | None], fresh: Mapping[str, Decimal]
    ) -> tuple[tuple[VenuePosition, ...], Marks]:
        found: list[VenuePosition] = []
        marks: Marks = {}
        for currency, total in held.items():
            market = markets[currency]
            if total < ((market.step if market else None) or DEFAULT_STEP):
                continue  # less than can be traded
            one = decode.holding(currency, total, self._quotes[0], market, self._mark(market))
            found.append(one)
            if market is not None and market.product_id in fresh:
                marks[one.symbol] = fresh[market.product_id]
        return tuple(found), marks

    def _mark(self, market: products.Product | None) -> Decimal | None:
        """A price to tell dust by: the book's, else an older one. Without any, airdropped dust would be a drift."""
        if market is None or market.quote not in self._quotes:
            return None
        return self._mids.get(market.product_id, market.price)

    async def _prices(self, markets: Collection[products.Product | None]) -> dict[str, Decimal]:
        """Mids of now. They are a by-product: where they cannot be had, older ones stand in for them."""
        wanted = sorted(one.product_id for one in markets if one is not None and one.quote in self._quotes)
        fresh: dict[str, Decimal] = {}
        for start in range(0, len(wanted), MARKS_AT_ONCE):
            query: Query = [("product_ids", product_id) for product_id in wanted[start : start + MARKS_AT_ONCE]]
            try:
                answer = products.mids(await self._client.get("/best_bid_ask", "best_bid_ask", query))
            except VenueError:
                continue
            fresh.update((one, answer[one]) for one in wanted if one in answer)
        self._mids |= fresh
        return fresh


def _reading(
    outcome: Outcome, positions: tuple[VenuePosition, ...] = (), error: str = "", equity: Equity | None = None
) -> ScopeReading:
    return ScopeReading(SCOPE, Product.SPOT, "", outcome, positions, error, equity=equity)
