"""One SIMULATED portfolio: wallets, contracts, fills, prices. Pure but for the clock it is given.

Spot trades move two wallets and lose the commission, to the last digit:

    base wallet + size, quote wallet - size x price - commission      for a purchase, and the reverse for a sale

Contracts move no wallet; what a reduction realises is kept with the position, and

    cash of the futures account = what it began with + realised - commissions of contracts
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from reconciler_service.simulator.coinbase.records import FUTURE, REVERSAL, Contracts, Fill, Market, Wallet
from reconciler_service.simulator.records import (
    ZERO,
    ExchangeError,
    InsufficientMarginError,
    NoPositionError,
    UnknownMarketError,
)

COMMISSION = Decimal("0.006")  # of spot notional
CONTRACT_FEE = Decimal("0.15")  # USD a contract
LARGEST = Decimal(10) ** 12
FUTURES_DEPOSIT = Decimal(10_000)  # USD that the futures account begins with


class Portfolio:
    """What the venue knows of one portfolio. Operations raise ExchangeError and then change nothing."""

    def __init__(self, now: Callable[[], int], uuid: str = "aaaaaaaa-0000-4000-8000-000000000001") -> None:
        """``now`` gives milliseconds since 1970."""
        self.now = now
        self.uuid = uuid
        self.revision = 0
        self.watchers: set[Callable[[], None]] = set()  # called, in no order, after every change
        self.is_enrolled = True  # in futures
        self.markets: dict[str, Market] = {}
        self.wallets: dict[str, Wallet] = {}  # by uuid
        self.contracts: dict[str, Contracts] = {}  # by product
        self.fills: list[Fill] = []  # oldest first

    @property
    def last_tid(self) -> int:
        """The number of the newest fill, 0 before the first."""
        return self.fills[-1].tid if self.fills else 0

    @property
    def spot_cash(self) -> Decimal:
        """USD in the spot wallets."""
        return sum((one.available + one.hold for one in self.wallets.values() if one.currency == "USD"), ZERO)

    @property
    def futures_cash(self) -> Decimal:
        """USD in the futures account, settled."""
        realized = sum((held.realized for held in self.contracts.values()), ZERO)
        paid = sum((fill.commission for fill in self.fills if self.markets[fill.product_id].kind == FUTURE), ZERO)
        return FUTURES_DEPOSIT + realized - paid

    def freeze(self) -> Portfolio:
        """A copy that stays as it is now, clock included."""
        at = self.now()
        frozen = Portfolio(lambda: at, self.uuid)
        for name, value in vars(self).items():
            if name not in ("now", "watchers"):
                setattr(frozen, name, copy.deepcopy(value))
        return frozen

    def market(self, product_id: str) -> Market:
        if product_id not in self.markets:
            raise UnknownMarketError(f"no product {product_id}")
        return self.markets[product_id]

    def wallet(self, currency: str) -> Wallet:
        """The first wallet of a currency; made, empty, where there is none."""
        for wallet in self.wallets.values():
            if wallet.currency == currency and wallet.platform == "ACCOUNT_PLATFORM_CONSUMER":
                return wallet
        return self.open_wallet(currency)

    def open_wallet(self, currency: str, amount: Decimal = ZERO, kind: str = "ACCOUNT_TYPE_CRYPTO") -> Wallet:
        """One more wallet of a currency, e.g. a vault."""
        uuid = f"bbbbbbbb-0000-4000-8000-{len(self.wallets):012}"
        self.wallets[uuid] = Wallet(uuid, currency, amount, self.now(), type=kind)
        return self.wallets[uuid]

    def list_market(self, market: Market) -> None:
        self.markets[market.product_id] = market
        self._changed()

    def set_price(self, product_id: str, price: Decimal) -> None:
        self.market(product_id).price = _positive(price, "price")
        self._changed()

    def deposit(self, currency: str, amount: Decimal) -> Wallet:
        """Money that arrives, or leaves when below zero. There is no fill for it."""
        wallet = self.wallet(currency)
        if not amount.is_finite() or abs(amount) > LARGEST or wallet.available + amount < 0:
            raise InsufficientMarginError(f"{wallet.available} {currency} do not carry a deposit of {amount}")
        self._move(wallet, amount)
        return wallet

    def set_hold(self, currency: str, hold: Decimal) -> Wallet:
        """Put part of what is held aside for open orders: the balance stays the same."""
        wallet = self.wallet(currency)
        total = wallet.available + wallet.hold
        if not hold.is_finite() or not 0 <= hold <= total:
            raise InsufficientMarginError(f"cannot hold {hold} of {total} {currency}")
        wallet.available, wallet.hold = total - hold, hold
        self._move(wallet, ZERO)
        return wallet

    def set_contracts(self, product_id: str, count: Decimal, entry: Decimal) -> None:
        """Make the position what it is told to be, without a fill: as after a transfer between brokers."""
        market = self._future(product_id)
        if count % market.step:
            raise ExchangeError(f"{count} is not a multiple of {market.step}")
        size = count * _unit(market)
        self.contracts[product_id] = Contracts(product_id, count, size * _positive(entry, "entry"))
        self._changed()

    def trade(self, product_id: str, is_buy: bool, size: Decimal, price: Decimal | None = None) -> Fill:
        """Execute at a price, by default the market's. ``size`` is in base units, contracts for futures."""
        market = self.market(product_id)
        at = _positive(market.price if price is None else price, "price")
        if _positive(size, "size") % market.step:
            raise ExchangeError(f"size {size} is not a multiple of {market.step}")
        if market.kind == FUTURE:
            commission = size * CONTRACT_FEE
            self._trade_contracts(market, size if is_buy else -size, at)
        else:
            commission = size * at * COMMISSION
            self._trade_spot(market, size if is_buy else -size, at, commission)
        return self._record(market, is_buy=is_buy, size=size, price=at, commission=commission)

    def trade_quote(self, product_id: str, is_buy: bool, worth: Decimal, price: Decimal | None = None) -> Fill:
        """Execute a spot order sized in the quote currency. What it fills is cut to the market's step."""
        market = self.market(product_id)
        at = _positive(market.price if price is None else price, "price")
        size = (_positive(worth, "worth") / at // market.step) * market.step
        fill = self.trade(product_id, is_buy, size, at)
        self.fills[-1] = replace(fill, size=worth, is_size_in_quote=True, filled=size)
        return self.fills[-1]

    def close(self, product_id: str, price: Decimal | None = None) -> Fill:
        """Trade a futures position away, by default at the market's price."""
        held = self.contracts.get(product_id)
        if held is None or not held.count:
            raise NoPositionError(f"no position in {product_id}")
        return self.trade(product_id, held.count < 0, abs(held.count), price)

    def liquidate(self, product_id: str, price: Decimal | None = None) -> Fill:
        """Let the broker take a futures position. The venue's fills do not say that they are a liquidation's."""
        return self.close(product_id, price)

    def reverse(self, product_id: str) -> Fill:
        """Undo the newest fill of a product, as the venue does with a trade that was none: a row that takes it back."""
        undone = {fill.trade_id for fill in self.fills if fill.trade_type == REVERSAL}
        last = next((f for f in reversed(self.fills) if f.product_id == product_id and f.trade_id not in undone), None)
        if last is None:
            raise NoPositionError(f"no fill of {product_id} to undo")
        market, way = self.market(product_id), -1 if last.is_buy else 1
        if market.kind == FUTURE:
            self._trade_contracts(market, way * last.base_size, last.price)
        else:
            self._trade_spot(market, way * last.base_size, last.price, -last.commission)
        now = self.now()
        self.fills.append(
            replace(
                last,
                tid=self.last_tid + 1,
                is_buy=not last.is_buy,
                time=now,
                recorded_at=now,
                trade_type=REVERSAL,
                commission=-last.commission,
            )
        )
        self._changed()
        return self.fills[-1]

    def _trade_spot(self, market: Market, delta: Decimal, price: Decimal, commission: Decimal) -> None:
        base, quote = self.wallet(market.base), self.wallet(market.quote)
        paid = delta * price + commission
        if base.available + delta < 0 or quote.available - paid < 0:
            raise InsufficientMarginError(f"{base.available} {market.base} and {quote.available} {market.quote}")
        self._move(base, delta)
        self._move(quote, -paid)

    def _trade_contracts(self, market: Market, delta: Decimal, price: Decimal) -> None:
        held = self.contracts.setdefault(market.product_id, Contracts(market.product_id, ZERO, ZERO))
        closing = min(abs(delta), abs(held.count)) if held.count * delta < 0 else ZERO
        if closing:
            share = held.cost * closing / abs(held.count)
            signed = closing if delta > 0 else -closing
            held.realized += -signed * _unit(market) * price - share
            held.cost -= share
            held.count += signed
            delta -= signed
        held.count += delta
        held.cost += delta * _unit(market) * price

    def _record(self, market: Market, *, is_buy: bool, size: Decimal, price: Decimal, commission: Decimal) -> Fill:
        tid, now = self.last_tid + 1, self.now()
        fill = Fill(tid, market.product_id, is_buy, size, price, commission, now, now, trade_id=f"trade-{tid}")
        self.fills.append(fill)
        self._changed()
        return fill

    def _future(self, product_id: str) -> Market:
        market = self.market(product_id)
        if market.kind != FUTURE:
            raise UnknownMarketError(f"{product_id} is no future")
        return market

    def _move(self, wallet: Wallet, amount: Decimal) -> None:
        wallet.available += amount
        wallet.updated_at = self.now()
        self._changed()

    def _changed(self) -> None:
        self.revision += 1
        for watcher in self.watchers:
            watcher()


def _unit(market: Market) -> Decimal:
    assert market.contract_size is not None, "futures have a contract size"
    return market.contract_size


def _positive(value: Decimal, what: str) -> Decimal:
    if not value.is_finite() or not 0 < value <= LARGEST:
        raise ExchangeError(f"{what} must be above 0 and at most {LARGEST}, got {value}")
    return value
