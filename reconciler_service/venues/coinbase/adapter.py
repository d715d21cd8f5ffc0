"""Reads one Coinbase Advanced Trade portfolio. GET only: no order, no transfer, no way to trade.

Three scopes, two questions. ``spot`` is ``/accounts``. ``futures`` and ``perpetuals`` are both ``/cfm/positions``: one
answer, shared out by what the metadata says a contract is, since a scope has one product. They fail together, and spot
alone. What makes an answer unfit to conclude from:

* FAILED   no usable answer, a missing page, or one that breaks the format; also a contract whose size is not known.
* SUSPECT  for the first time, wallets or all contracts that were held are not listed any more (flat wallets stay
           listed); or a wallet is older than it was read before: a cache.

An account that is not enrolled in futures answers 403 or 404 there; that is OK and empty, unless it held contracts
before or ``Settings.futures`` says that it must not be. The venue tells no time of the state: ``observed_at`` is None.
A holding below its market's size step cannot be traded and is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from reconciler_service.model import CashFlow, Snapshot, Source, VenueFill
from reconciler_service.venues import VenueDataError, VenueError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.coinbase import decode, fills
from reconciler_service.venues.coinbase.auth import ENVIRONMENT, JWT_HOST, Called, Key, checked_host
from reconciler_service.venues.coinbase.catalogue import IN_A_PATH, Catalogue
from reconciler_service.venues.coinbase.client import Client
from reconciler_service.venues.coinbase.fills import Order, Row
from reconciler_service.venues.coinbase.futures import FuturesReader
from reconciler_service.venues.coinbase.push import CoinbaseDialect
from reconciler_service.venues.coinbase.spot import SpotReader
from reconciler_service.venues.http import HttpSettings, Retries, Timeouts, base_of
from reconciler_service.venues.push import SocketWatch
from reconciler_service.venues.wire import happened

BASE_URL = "https://api.coinbase.com"
REQUESTS_PER_SECOND = 2.5  # 9 000 an hour; the lowest limit the vendor names is 10 000 an hour
# One snapshot asks up to three questions in a row; one that hangs must leave time for the other scope.
PATIENCE = HttpSettings(timeouts=Timeouts(read_s=4.0), retries=Retries(deadline_s=9.0))
MOST_ORDERS = 20  # asked for one by one, for one search of fills
PAGE = 1000  # fills asked for at once; the venue may give fewer
# Currencies that pay for things: never positions. Stablecoins are a policy, hence a setting.
CASH = frozenset(("USD", "USDC", "USDT", "PYUSD", "EUR", "EURC", "GBP", "CAD", "AUD", "SGD", "CHF", "JPY", "BRL"))


@dataclass(frozen=True, slots=True)
class Settings:
    """What to read, and how far to trust it."""

    quotes: tuple[str, ...] = ("USD", "USDC")  # count as USD; the first one names the holdings: BTC-USD
    cash: frozenset[str] = CASH
    futures: Literal["auto", "required", "off"] = "auto"  # required: 403 and 404 are failures; off: never asked
    allow_trading_key: str = ""  # the name of a key that may be used although it can trade or transfer
    called: Called = ENVIRONMENT
    metadata_for: timedelta = timedelta(hours=1)  # before products are read again
    http: HttpSettings = PATIENCE


class Coinbase:
    """Implements ``Venue``. Safe to use from many tasks of one event loop."""

    name = "coinbase"
    tells_flows = False

    def __init__(
        self,
        key: Key,
        *,
        source: Source,
        account: str = "main",
        base_url: str = BASE_URL,
        jwt_host: str = JWT_HOST,
        settings: Settings | None = None,
        budget: WeightBudget | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        push_urls: Sequence[str] = (),
        portfolios: dict[str, str] | None = None,
    ) -> None:
        """``account`` is our name for the portfolio that the key is bound to; ``clock`` gives aware times.

        ``budget`` is by default shared by all adapters of the same ``base_url``. ``jwt_host`` stays the venue's own
        even where ``base_url`` is not. ``push_urls`` are the WebSocket's, none to watch nothing. ``portfolios`` are, by the
        venue's id, those that other accounts read already. Raises VenueRefused for a URL or host that cannot be; no
        connection is made here.
        """
        self._key = key
        self._push_urls = tuple(push_urls)
        self._portfolios = {} if portfolios is None else portfolios
        self._settings = settings or Settings()
        self._clock = clock
        budget = budget or WeightBudget.shared(str(base_of(base_url).origin()), per_minute(REQUESTS_PER_SECOND))
        self._client = Client(
            key,
            base_url=base_url,
            jwt_host=checked_host(jwt_host),
            budget=budget,
            http=self._settings.http,
            clock=clock,
        )
        self._catalogue = Catalogue(self._client, self._settings.metadata_for, clock)
        self._spot = SpotReader(self._client, self._catalogue, self._settings.quotes, self._settings.cash, clock)
        mode = self._settings.futures
        self._futures = None if mode == "off" else FuturesReader(self._client, self._catalogue, mode, clock)
        self.account = account
        self.source = source

    @property
    def budget_left(self) -> int:
        """Requests left in the current minute, by our own budget or by the venue's word, whichever is less."""
        return self._client.left

    def watch(self) -> SocketWatch | None:
        """A watch over the portfolio."""
        if not self._push_urls:
            return None
        now, futures = (lambda: self._client.now), self._settings.futures != "off"
        return SocketWatch(
            CoinbaseDialect(self._key, self._push_urls, now, futures=futures), f"{self.name} {self.account}"
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def check(self) -> None:
        """Refuse a clock that spoils every token, a key that can do more than read, and a second one of a portfolio."""
        await self._client.set_clock()
        try:
            rights = decode.permissions(await self._client.get("/key_permissions", "key_permissions"))
        except VenueDataError as error:
            raise VenueUnreachable(str(error)) from error
        if not rights.can_view:
            raise VenueRefused("the Coinbase key cannot view: give it the view permission, and no other")
        able = [word for word, can in (("trade", rights.can_trade), ("transfer", rights.can_transfer)) if can]
        if able and self._settings.allow_trading_key != self._key.name:
            raise VenueRefused(
                f"the Coinbase key can {' and '.join(able)}; reading needs a key that can only view. Make one, or set "
                f"{self._settings.called.allow_trading_key} to this key's name"
            )
        if rights.portfolio_uuid and self._portfolios.setdefault(rights.portfolio_uuid, self.account) != self.account:
            raise VenueRefused(
                f"the Coinbase key of {self.account} is bound to the portfolio that "
                f"{self._portfolios[rights.portfolio_uuid]} reads: remove one of them, or what it holds counts twice"
            )

    async def snapshot(self) -> Snapshot:
        """Read spot and futures at once. Never raises VenueError: what failed says so itself."""
        requested_at = self._clock()
        async with asyncio.TaskGroup() as group:
            spot = group.create_task(self._spot.read())
            futures = None if self._futures is None else group.create_task(self._futures.read())
        reading, marks = spot.result()
        readings, more = futures.result() if futures is not None else ((), {})
        told = tuple((marks | more).items())
        skew = self._client.skew
        return Snapshot(self.name, self.account, self.source, requested_at, (reading, *readings), told, clock_skew=skew)

    async def fills(self, since: datetime, symbols: Sequence[str] = ()) -> list[VenueFill]:
        """Executions since then, oldest first, each once; those of ``symbols``, by default all.

        Raises VenueError rather than leave any out: a page, a product that the venue does not name, or a reversal
        whose fill came earlier.
        """
        query = [("start_sequence_timestamp", _rfc3339(since)), ("limit", str(PAGE))]
        found = await self._client.pages("/orders/historical/fills", "fills", query, fills.page)
        traded = {row.product_id for row in found}
        known = await self._catalogue.lookup(traded)
        wanted, quotes = frozenset(symbols), self._settings.quotes
        unknown = sorted(traded - known.keys())
        if unknown and (not wanted or not wanted.isdisjoint(unknown)):
            raise VenueDataError(f"coinbase fills: the venue does not name its product {unknown[0]}")
        rows = [
            row
            for row in found
            if row.product_id in known and (not wanted or fills.symbol_of(known[row.product_id], quotes) in wanted)
        ]
        orders = await self._orders(rows)
        ordered = fills.executions(rows, known, quotes, orders)
        for fill in ordered[-1:]:
            happened(fill.time, self._client.now, "coinbase fills")
        return [fill for fill in ordered if fill.time >= since]

    async def _orders(self, rows: Sequence[Row]) -> dict[str, Order]:
        """The newest orders whose fills are sized in quote. One that cannot be read leaves its fills rounded."""
        newest = sorted((row.traded_at, row.order_id) for row in rows if row.is_size_in_quote and row.order_id)
        found = {}
        for order_id in list(dict.fromkeys(order_id for _, order_id in reversed(newest)))[:MOST_ORDERS]:
            if not IN_A_PATH.fullmatch(order_id):
                continue
            try:
                answer = await self._client.get(f"/orders/historical/{order_id}", f"order {order_id}")
            except VenueError:
                continue
            found[order_id] = fills.order(answer)
        return found

    async def cash_flows(self, since: datetime) -> list[CashFlow]:
        """None: Advanced Trade has no endpoint that lists deposits, transfers or funding."""
        return []


def per_minute(requests_per_second: float) -> int:
    """A rate as the budget counts it."""
    return max(1, int(requests_per_second * 60))


def _rfc3339(moment: datetime) -> str:
    """To the microsecond, in UTC; the venue's filter is inclusive."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
