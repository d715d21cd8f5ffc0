"""The SIMULATED venue in memory: accounts, dexes, markets and what happens to them. No I/O.

Addresses are lower-cased on the way in. Every operation either succeeds as a whole or raises an ExchangeError and
changes nothing. Operations take ``at`` (ms) to be back- or forward-dated; without it they happen at ``now()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from reconciler_service.simulator import spot
from reconciler_service.simulator.execution import FIRST_OID, FIRST_TID, direction, event_hash, split
from reconciler_service.simulator.margin import WalletView, view
from reconciler_service.simulator.records import (
    ADDRESS,
    LARGEST,
    SPOT_TOKENS,
    USD_STEP,
    ZERO,
    Deposit,
    Dex,
    ExchangeError,
    Fill,
    FundingPayment,
    FundingRate,
    History,
    InsufficientMarginError,
    Liquidation,
    LiquidationEntry,
    Market,
    Mode,
    NoPositionError,
    Role,
    SpotBalance,
    UnknownAccountError,
    UnknownMarketError,
    to_usd_step,
)
from reconciler_service.simulator.wallet import Wallet

TAKER_FEE = Decimal("0.00045")  # of notional
ABSTRACTIONS = ("default", "disabled", "dexAbstraction", "unifiedAccount", "portfolioMargin")
RATE_STEP = Decimal("0.0000000001")
DEFAULT_LEVERAGE = 20


@dataclass(slots=True)
class Account:
    """One address and all it holds. ``master`` is the user behind an agent or sub-account."""

    address: str
    role: Role = Role.USER
    master: str | None = None
    label: str = ""  # what its owner calls a sub-account
    abstraction: str = "default"
    wallets: dict[str, Wallet] = field(default_factory=dict)  # by dex
    settings: dict[str, tuple[int, Mode]] = field(default_factory=dict)  # leverage by coin, kept while flat
    funding_paid: dict[str, Decimal] = field(default_factory=dict)  # all time, by coin
    spot: dict[str, SpotBalance] = field(default_factory=dict)
    history: History = field(default_factory=History)

    def wallet(self, dex: str) -> Wallet:
        return self.wallets.setdefault(dex, Wallet())

    def copy(self) -> Account:
        return replace(
            self,
            wallets={dex: wallet.copy() for dex, wallet in self.wallets.items()},
            settings=dict(self.settings),
            funding_paid=dict(self.funding_paid),
            spot={token: replace(balance) for token, balance in self.spot.items()},
            history=self.history.copy(),
        )


class Exchange:
    """The venue. ``now`` gives its clock in ms; ``revision`` grows with every change, for whoever watches."""

    def __init__(self, now: Callable[[], int], dexes: Iterable[Dex] = (), markets: Iterable[Market] = ()) -> None:
        self.now = now
        self.watchers: set[Callable[[], None]] = set()  # called, in no order, after every change
        self._revision = 0
        self.dexes: dict[str, Dex] = {"": Dex("", "main")}
        self.markets: dict[str, Market] = {}
        self.accounts: dict[str, Account] = {}
        self.rates: list[FundingRate] = []
        self.spot = spot.SpotMarkets()
        self._events = 0
        self._tids = 0
        for dex in dexes:
            self.dexes[dex.name] = dex
        for market in markets:
            if market.dex not in self.dexes:
                raise UnknownMarketError(f"no dex {market.dex!r} for {market.coin}")
            market.check_price(market.mark)
            self.markets[market.coin] = market

    @property
    def revision(self) -> int:
        return self._revision

    @revision.setter
    def revision(self, revision: int) -> None:
        self._revision = revision
        for watcher in self.watchers:
            watcher()

    # -- reading ---------------------------------------------------------------------------------

    def account(self, address: str) -> Account:
        try:
            return self.accounts[address.lower()]
        except KeyError:
            raise UnknownAccountError(f"no account {address}") from None

    def market(self, coin: str) -> Market:
        try:
            return self.markets[coin]
        except KeyError:
            raise UnknownMarketError(f"no market {coin!r}") from None

    def markets_of(self, dex: str) -> list[Market]:
        """Markets of one dex in listing order."""
        if dex not in self.dexes:
            raise UnknownMarketError(f"no dex {dex!r}")
        return [market for market in self.markets.values() if market.dex == dex]

    def view(self, address: str, dex: str = "") -> WalletView:
        """One account on one dex at the current marks; all zero for an address never heard of, as at the venue."""
        if dex not in self.dexes:
            raise UnknownMarketError(f"no dex {dex!r}")
        account = self.accounts.get(address.lower())
        return view((account.wallets.get(dex) if account else None) or Wallet(), self.markets)

    @property
    def last_tid(self) -> int:
        """Id of the newest fill of any account."""
        return FIRST_TID + self._tids

    def role(self, address: str) -> Role:
        account = self.accounts.get(address.lower())
        return account.role if account else Role.MISSING

    def freeze(self) -> Exchange:
        """A copy that stays as it is now, clock included."""
        at = self.now()
        frozen = Exchange(lambda: at)
        frozen.revision, frozen._events, frozen._tids = self.revision, self._events, self._tids
        frozen.dexes = dict(self.dexes)
        frozen.markets = {coin: replace(market) for coin, market in self.markets.items()}
        frozen.accounts = {address: account.copy() for address, account in self.accounts.items()}
        frozen.rates = list(self.rates)
        frozen.spot = spot.SpotMarkets(dict(self.spot.mids))
        return frozen

    # -- changing --------------------------------------------------------------------------------

    def open_account(self, address: str, role: Role = Role.USER, master: str | None = None, label: str = "") -> Account:
        """Make an address known; the same again is harmless. An agent and a sub-account need their master."""
        if not ADDRESS.fullmatch(address):
            raise ExchangeError(f"an address is 0x and 40 hexadecimal digits, got {address!r}")
        key = address.lower()
        if role is Role.MISSING:
            raise ExchangeError("a missing account cannot be opened")
        if (role in (Role.AGENT, Role.SUB_ACCOUNT)) != (master is not None):
            raise ExchangeError("an agent or subAccount has a master, nobody else")
        account = self.accounts.setdefault(key, Account(key, role, master.lower() if master else None, label))
        self.revision += 1
        return account

    def deposit(self, address: str, usdc: Decimal, dex: str = "", at: int | None = None) -> None:
        """Credit collateral (USD, six decimals at most) to one dex."""
        account = self.account(address)
        if dex not in self.dexes:
            raise UnknownMarketError(f"no dex {dex!r}")
        if not usdc.is_finite() or not 0 < usdc <= LARGEST or usdc % USD_STEP:
            raise ExchangeError(f"a deposit is above 0, at most {LARGEST}, in steps of {USD_STEP}; got {usdc}")
        account.wallet(dex).cash += usdc
        account.history.ledger.append(Deposit(usdc, self._time(at), self._hash(), dex))
        self.revision += 1

    def set_spot(self, address: str, balance: SpotBalance) -> None:
        """Set what an account holds of one spot token."""
        if balance.token not in SPOT_TOKENS:
            raise UnknownMarketError(f"no spot token {balance.token!r}")
        self.account(address).spot[balance.token] = balance
        self.revision += 1

    def book_event(self) -> tuple[int, str]:
        """The number and the hash of one more thing that happened."""
        self._events += 1
        return self._events, event_hash(self._events)

    def next_tid(self) -> int:
        """The id of one more fill."""
        self._tids += 1
        return FIRST_TID + self._tids

    def set_abstraction(self, address: str, mode: str) -> None:
        """Change how the venue keeps an account: "default", "unifiedAccount", ..."""
        if mode not in ABSTRACTIONS:
            raise ExchangeError(f"a mode is one of {', '.join(ABSTRACTIONS)}, got {mode!r}")
        self.account(address).abstraction = mode
        self.revision += 1

    def set_mark(self, coin: str, price: Decimal) -> None:
        """Move a mark price. Nothing is liquidated by it: that is an operation of its own."""
        market = self.market(coin)
        market.mark = market.check_price(price)
        self.revision += 1

    def set_leverage(self, address: str, coin: str, value: int, mode: Mode) -> None:
        """Change leverage and margin mode, of the open position too.

        The real venue refuses another mode while a position is open; here it is allowed, because a desk that
        closed, switched and re-opened between two looks sees exactly that.
        """
        account, market = self.account(address), self.market(coin)
        if not 1 <= value <= market.max_leverage:
            raise ExchangeError(f"leverage of {coin} is 1 to {market.max_leverage}, got {value}")
        if market.only_isolated and mode is Mode.CROSS:
            raise ExchangeError(f"{coin} is isolated only")
        wallet = account.wallet(market.dex).copy()
        wallet.set_leverage(market, value, mode)
        # Only what the change itself would cost is asked for, or nobody under water could raise a leverage.
        if wallet.positions.get(coin) is not None:
            free = view(wallet, self.markets).free
            if free < 0 and free < self.view(address, market.dex).free:
                raise InsufficientMarginError(f"{coin} at {value}x {mode} lacks {-free} USD")
        account.wallets[market.dex] = wallet
        account.settings[coin] = (value, mode)
        self.revision += 1

    def trade(
        self,
        address: str,
        coin: str,
        is_buy: bool,
        size: Decimal,
        price: Decimal | None = None,
        at: int | None = None,
        parts: int = 1,
    ) -> list[Fill]:
        """Execute as a taker at a price (default: the mark), in ``parts`` fills of one order and one millisecond.

        Raises InsufficientMarginError when what it opens is not carried by free collateral.
        """
        return self._execute(address, coin, is_buy, size, price, at, parts, liquidation=None)

    def close(self, address: str, coin: str, price: Decimal | None = None, at: int | None = None) -> list[Fill]:
        """Close a whole position at a price (default: the mark)."""
        size = self._held(address, coin)
        return self._execute(address, coin, size < 0, abs(size), price, at, 1, liquidation=None)

    def liquidate(self, address: str, coin: str, price: Decimal | None = None, at: int | None = None) -> list[Fill]:
        """Close a whole position as the venue's liquidation engine does on the market; due or not."""
        size = self._held(address, coin)
        market = self.market(coin)
        before = self.view(address, market.dex)
        seen = next(one for one in before.positions if one.position.coin == coin)
        mode = seen.position.mode
        remark = Liquidation(address.lower(), market.mark)
        fills = self._execute(address, coin, size < 0, abs(size), price, at, 1, liquidation=remark)
        equity = seen.margin_used if mode is Mode.ISOLATED else before.cross.account_value
        entry = LiquidationEntry(seen.value, equity, mode, ((coin, size),), fills[-1].time, fills[-1].hash)
        self.account(address).history.ledger.append(entry)
        return fills

    def pay_funding(self, coin: str, rate: Decimal, at: int | None = None) -> None:
        """Settle one funding interval for every holder: longs pay ``rate`` of notional, shorts receive it."""
        market = self.market(coin)
        if not rate.is_finite() or abs(rate) > 1 or rate % RATE_STEP:
            raise ExchangeError(f"a funding rate is between -1 and 1 in steps of {RATE_STEP}, got {rate}")
        time = self._time(at)
        market.funding_rate = rate
        self.rates.append(FundingRate(coin, rate, time))
        for account in self.accounts.values():
            wallet = account.wallet(market.dex)
            position = wallet.positions.get(coin)
            if position is None:
                continue
            usdc = to_usd_step(-position.size * market.mark * rate)
            wallet.receive_funding(coin, usdc)
            account.funding_paid[coin] = account.funding_paid.get(coin, ZERO) - usdc
            account.history.funding.append(FundingPayment(coin, usdc, position.size, rate, time))
        self.revision += 1

    # -- inside ----------------------------------------------------------------------------------

    def _execute(
        self,
        address: str,
        coin: str,
        is_buy: bool,
        size: Decimal,
        price: Decimal | None,
        at: int | None,
        parts: int,
        *,
        liquidation: Liquidation | None,
    ) -> list[Fill]:
        account, market = self.account(address), self.market(coin)
        market.check_size(size)
        price = market.check_price(market.mark if price is None else price)
        leverage, mode = account.settings.get(coin) or self._default_setting(market)
        wallet = account.wallet(market.dex).copy()
        time, order = self._time(at), self._events + 1
        fills: list[Fill] = []
        opened_any = False
        for number, part in enumerate(split(size, parts, market)):
            held = wallet.positions.get(coin)
            start = held.size if held else ZERO
            fee = to_usd_step(part * price * TAKER_FEE)
            pnl, opened = wallet.trade(coin, part if is_buy else -part, price, fee, leverage, mode)
            opened_any = opened_any or opened > 0
            fills.append(
                Fill(
                    coin=coin,
                    price=price,
                    size=part,
                    is_buy=is_buy,
                    time=time,
                    start_position=start,
                    direction=direction(start, part if is_buy else -part),
                    closed_pnl=pnl,
                    oid=FIRST_OID + order,
                    tid=FIRST_TID + self._tids + number + 1,
                    hash=event_hash(order),
                    fee=fee,
                    fee_token=self.dexes[market.dex].fee_token,
                    recorded_at=self.now(),
                    liquidation=liquidation,
                )
            )
        if opened_any and (free := view(wallet, self.markets).free) < 0:
            raise InsufficientMarginError(f"{'buying' if is_buy else 'selling'} {size} {coin} lacks {-free} USD")
        account.wallets[market.dex] = wallet
        account.history.fills += fills
        self._events, self._tids = order, self._tids + len(fills)
        self.revision += 1
        return fills

    def _held(self, address: str, coin: str) -> Decimal:
        position = self.account(address).wallet(self.market(coin).dex).positions.get(coin)
        if position is None:
            raise NoPositionError(f"{address} holds no {coin}")
        return position.size

    def _default_setting(self, market: Market) -> tuple[int, Mode]:
        mode = Mode.ISOLATED if market.only_isolated else Mode.CROSS
        return min(DEFAULT_LEVERAGE, market.max_leverage), mode

    def _time(self, at: int | None) -> int:
        return self.now() if at is None else at

    def _hash(self) -> str:
        return self.book_event()[1]
