"""The SIMULATED venue keeps its books exactly, whatever happens to it in whatever order."""

from collections import defaultdict
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reconciler_service.simulator.exchange import TAKER_FEE, Exchange
from reconciler_service.simulator.records import Dex, ExchangeError, Market, Mode, to_usd_step

D = Decimal
ALICE = "0x00000000000000000000000000000000000a11ce"
BOB = "0x0000000000000000000000000000000000000b0b"
COINS = {"BTC": (5, 40), "SOL": (2, 20), "kPEPE": (0, 10), "xyz:TSLA": (3, 10)}  # size decimals, leverage cap

addresses = st.sampled_from([ALICE, BOB])
coins = st.sampled_from(sorted(COINS))
modes = st.sampled_from(Mode)
dollars = st.integers(1, 10**9).map(lambda count: D(count).scaleb(-4))
near = st.integers(950, 1050)


class Venue(RuleBasedStateMachine):
    """Random operations; the identities are checked after each of them."""

    @initialize()
    def start(self) -> None:
        markets = [Market(coin, decimals, cap, D(100)) for coin, (decimals, cap) in COINS.items()]
        self.exchange = Exchange(lambda: 1_700_000_000_000, [Dex("xyz", "XYZ")], markets)
        self.deposited: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for address in (ALICE, BOB):
            self.exchange.open_account(address)
            for dex in ("", "xyz"):
                self.deposit(address, dex, 10**11 + 7)
        for coin in COINS:
            self.exchange.set_leverage(ALICE, coin, 3, Mode.ISOLATED)

    def size(self, coin: str, dollars: Decimal) -> Decimal:
        """A size on the grid worth about so much."""
        step = D(1).scaleb(-COINS[coin][0])
        return max(step, (dollars / self.exchange.market(coin).mark).quantize(step))

    def price(self, coin: str, permille: int) -> Decimal:
        """A price on the grid, about so much of the mark."""
        tick = D(1).scaleb(COINS[coin][0] - 6)
        return max(tick, (self.exchange.market(coin).mark * permille / 1000).quantize(tick))

    def attempt(self, operation, *args, **kwargs) -> None:
        """A refused operation must leave no trace."""
        before = self.exchange.revision, repr(self.exchange.accounts)
        try:
            operation(*args, **kwargs)
        except ExchangeError:
            assert (self.exchange.revision, repr(self.exchange.accounts)) == before

    @rule(address=addresses, dex=st.sampled_from(["", "xyz"]), micros=st.integers(1, 10**13))
    def deposit(self, address, dex, micros):
        self.exchange.deposit(address, D(micros).scaleb(-6), dex)
        self.deposited[address, dex] += D(micros).scaleb(-6)

    @rule(address=addresses, coin=coins, is_buy=st.booleans(), usd=dollars, permille=near, parts=st.integers(1, 3))
    def trade(self, address, coin, is_buy, usd, permille, parts):
        quantity = self.size(coin, usd)
        self.attempt(self.exchange.trade, address, coin, is_buy, quantity, self.price(coin, permille), parts=parts)

    @rule(address=addresses, coin=coins, percent=st.integers(1, 250), permille=near)
    def against(self, address, coin, percent, permille):
        """Reduce, close or flip what is held."""
        held = self.exchange.account(address).wallet(self.exchange.market(coin).dex).positions.get(coin)
        if held is not None:
            quantity = (abs(held.size) * percent / 100).quantize(D(1).scaleb(-COINS[coin][0]))
            self.attempt(self.exchange.trade, address, coin, held.size < 0, quantity, self.price(coin, permille))

    @rule(address=addresses, coin=coins)
    def close(self, address, coin):
        self.attempt(self.exchange.close, address, coin)

    @rule(address=addresses, coin=coins)
    def liquidate(self, address, coin):
        self.attempt(self.exchange.liquidate, address, coin)

    @rule(address=addresses, coin=coins, value=st.integers(1, 12), mode=modes)
    def leverage(self, address, coin, value, mode):
        self.attempt(self.exchange.set_leverage, address, coin, value, mode)

    @rule(coin=coins, permille=st.integers(700, 1400))
    def mark(self, coin, permille):
        self.attempt(self.exchange.set_mark, coin, self.price(coin, permille))

    @rule(coin=coins, rate=st.integers(-(10**6), 10**6))
    def funding(self, coin, rate):
        self.exchange.pay_funding(coin, D(rate).scaleb(-8))

    @invariant()
    def summaries_balance(self):
        for address in self.exchange.accounts:
            for dex in self.exchange.dexes:
                seen = self.exchange.view(address, dex)
                crossed = [one for one in seen.positions if one.position.mode is Mode.CROSS]
                for totals, views in ((seen.total, seen.positions), (seen.cross, crossed)):
                    signed = sum(one.position.sign * one.value for one in views)
                    assert totals.account_value == totals.raw + signed
                    assert totals.notional == sum(one.value for one in views)
                    assert totals.margin_used == sum(one.margin_used for one in views)
                for one in seen.positions:
                    assert one.position.size
                    assert one.value == abs(one.position.size) * one.market.mark
                    assert one.unrealized == one.position.sign * one.value - one.position.cost
                    if one.position.mode is Mode.ISOLATED:
                        assert one.margin_used == one.position.raw_usd + one.position.sign * one.value
                    else:
                        assert one.position.raw_usd == 0

    @invariant()
    def every_dollar_is_somewhere(self):
        for address, account in self.exchange.accounts.items():
            for dex in self.exchange.dexes:
                markets = {market.coin for market in self.exchange.markets_of(dex)}
                fills = [fill for fill in account.history.fills if fill.coin in markets]
                funding = [paid.usdc for paid in account.history.funding if paid.coin in markets]
                settled = (
                    self.deposited[address, dex]
                    + sum(fill.closed_pnl for fill in fills)
                    - sum(fill.fee for fill in fills)
                    + sum(funding)
                )
                open_cost = sum(position.cost for position in account.wallet(dex).positions.values())
                assert self.exchange.view(address, dex).total.raw + open_cost == settled
                # Cash in and out tells the same without any notion of cost.
                traded = sum(fill.signed_size * fill.price + fill.fee for fill in fills)
                assert self.exchange.view(address, dex).total.raw == self.deposited[address, dex] - traded + sum(
                    funding
                )

    @invariant()
    def fills_chain(self):
        for account in self.exchange.accounts.values():
            at: dict[str, Decimal] = defaultdict(Decimal)
            for fill in account.history.fills:
                assert fill.start_position == at[fill.coin]
                assert fill.fee == to_usd_step(fill.size * fill.price * TAKER_FEE)
                at[fill.coin] += fill.signed_size
            held = {
                coin: position.size
                for wallet in account.wallets.values()
                for coin, position in wallet.positions.items()
            }
            assert {coin: size for coin, size in at.items() if size} == held

    @invariant()
    def ids_are_unique(self):
        tids = [fill.tid for account in self.exchange.accounts.values() for fill in account.history.fills]
        assert len(tids) == len(set(tids))


TestVenue = Venue.TestCase
TestVenue.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
