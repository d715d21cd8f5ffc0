"""What operations on the SIMULATED venue do, one by one."""

from decimal import Decimal

import pytest

from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.margin import liquidation_price
from reconciler_service.simulator.records import (
    Dex,
    ExchangeError,
    InsufficientMarginError,
    LiquidationEntry,
    Market,
    Mode,
    NoPositionError,
    Role,
    SpotBalance,
    UnknownAccountError,
    UnknownMarketError,
)
from reconciler_service.simulator.wallet import Position, Wallet

D = Decimal
ALICE = "0x00000000000000000000000000000000000a11ce"
BOB = "0x0000000000000000000000000000000000000b0b"
COINS = {"BTC": (5, 40), "SOL": (2, 20), "kPEPE": (0, 10), "xyz:TSLA": (3, 10)}


def new_exchange(at: list[int] | None = None) -> Exchange:
    clock = at if at is not None else [1_700_000_000_000]
    markets = [Market(coin, decimals, cap, D(100)) for coin, (decimals, cap) in COINS.items()]
    return Exchange(lambda: clock[0], [Dex("xyz", "XYZ")], markets)


def funded(usdc: str = "100000") -> Exchange:
    exchange = new_exchange()
    exchange.open_account(ALICE)
    exchange.deposit(ALICE, D(usdc))
    exchange.deposit(ALICE, D(usdc), "xyz")
    return exchange


def test_a_long_gains_what_the_mark_gains():
    exchange = funded()
    exchange.set_mark("BTC", D(42_000))
    exchange.set_leverage(ALICE, "BTC", 5, Mode.CROSS)
    [fill] = exchange.trade(ALICE, "BTC", is_buy=True, size=D("0.5"))
    exchange.set_mark("BTC", D(42_500))
    [seen] = exchange.view(ALICE).positions
    assert (seen.unrealized, seen.margin_used, seen.position.entry) == (D(250), D(4_250), D(42_000))
    assert (fill.direction, fill.fee, fill.closed_pnl) == ("Open Long", D("9.45"), D(0))


def test_directions_and_pnl_through_a_flip():
    exchange = funded()
    exchange.trade(ALICE, "SOL", is_buy=False, size=D(10), price=D(100))
    exchange.trade(ALICE, "SOL", is_buy=True, size=D(4), price=D(90))
    exchange.trade(ALICE, "SOL", is_buy=True, size=D(10), price=D(95))
    exchange.trade(ALICE, "SOL", is_buy=False, size=D(6), price=D(96))
    exchange.close(ALICE, "SOL", D(100))
    told = [(fill.direction, fill.closed_pnl, fill.start_position) for fill in exchange.account(ALICE).history.fills]
    assert told == [
        ("Open Short", D(0), D(0)),
        ("Close Short", D(40), D(-10)),
        ("Short > Long", D(30), D(-6)),
        ("Long > Short", D(4), D(4)),
        ("Close Short", D(-8), D(-2)),
    ]


def test_parts_share_order_hash_and_millisecond_but_not_tid():
    fills = funded().trade(ALICE, "kPEPE", is_buy=True, size=D(10), price=D("0.5"), parts=3)
    assert [fill.size for fill in fills] == [D(3), D(3), D(4)]
    assert len({(fill.oid, fill.hash, fill.time) for fill in fills}) == 1
    assert len({fill.tid for fill in fills}) == 3


@pytest.mark.parametrize(
    ("size", "raw", "recorded"),
    [("0.0335", "-95.059824", "2866.26936529"), ("0.2259", "-475.23904", "2125.00856238")],
)
def test_recorded_isolated_liquidation_prices(size, raw, recorded):
    wallet = Wallet(positions={"ETH": Position("ETH", 20, Mode.ISOLATED, D(size), D("100"), D(raw))})
    found = liquidation_price(wallet, "ETH", {"ETH": Market("ETH", 4, 50, D("2985.9"))})
    # The venue computes with more digits of raw USD than it shows.
    assert found is not None
    assert abs(found - D(recorded)) < D("0.00002")


@pytest.mark.parametrize("is_buy", [True, False])
@pytest.mark.parametrize("mode", Mode)
def test_equity_meets_maintenance_at_the_liquidation_price(is_buy, mode):
    exchange = funded("1000")
    for coin in ("SOL", "BTC"):
        exchange.set_leverage(ALICE, coin, 10, mode)
    exchange.trade(ALICE, "BTC", is_buy=True, size=D(7))
    exchange.trade(ALICE, "SOL", is_buy=is_buy, size=D(80))
    held = next(one for one in exchange.view(ALICE).positions if one.position.coin == "SOL")
    assert held.liquidation is not None
    exchange.markets["SOL"].mark = held.liquidation  # off the grid, on purpose
    seen = exchange.view(ALICE)
    held = next(one for one in seen.positions if one.position.coin == "SOL")
    if mode is Mode.CROSS:
        gap = seen.cross.account_value - seen.maintenance
    else:
        gap = held.margin_used - held.value * held.market.maintenance_rate
    assert abs(gap) < D("0.00001")
    assert held.is_liquidatable


def test_over_collateralised_long_cannot_be_liquidated():
    exchange = funded()
    exchange.trade(ALICE, "SOL", is_buy=True, size=D(1))
    assert exchange.view(ALICE).positions[0].liquidation is None


def test_liquidation_leaves_fill_remark_and_ledger_entry():
    exchange = funded()
    exchange.set_leverage(ALICE, "SOL", 10, Mode.ISOLATED)
    exchange.trade(ALICE, "SOL", is_buy=False, size=D(10))
    exchange.set_mark("SOL", D(108))
    [fill] = exchange.liquidate(ALICE.upper().replace("0X", "0x"), "SOL")
    assert fill.liquidation is not None
    assert (fill.liquidation.user, fill.liquidation.mark, fill.closed_pnl) == (ALICE, D(108), D(-80))
    entry = exchange.account(ALICE).history.ledger[-1]
    assert isinstance(entry, LiquidationEntry)
    assert (entry.mode, entry.positions, entry.notional) == (Mode.ISOLATED, (("SOL", D(-10)),), D(1080))
    assert entry.account_value == D(20) - D("0.45")  # margin 100, loss 80, opening fee
    with pytest.raises(NoPositionError):
        exchange.liquidate(ALICE, "SOL")


def test_margin_is_asked_for():
    exchange = funded("100")
    exchange.set_leverage(ALICE, "SOL", 2, Mode.CROSS)
    with pytest.raises(InsufficientMarginError):
        exchange.trade(ALICE, "SOL", is_buy=True, size=D("2.01"))
    exchange.trade(ALICE, "SOL", is_buy=True, size=D("1.9"))
    with pytest.raises(InsufficientMarginError):
        exchange.set_leverage(ALICE, "SOL", 1, Mode.CROSS)


def test_isolated_leverage_down_tops_up_and_up_leaves_the_margin():
    exchange = funded()
    exchange.set_leverage(ALICE, "SOL", 10, Mode.ISOLATED)
    exchange.trade(ALICE, "SOL", is_buy=True, size=D(10))
    exchange.set_leverage(ALICE, "SOL", 5, Mode.ISOLATED)
    assert exchange.view(ALICE).positions[0].margin_used == D(200)
    exchange.set_leverage(ALICE, "SOL", 20, Mode.ISOLATED)
    assert exchange.view(ALICE).positions[0].margin_used == D(200)
    exchange.set_leverage(ALICE, "SOL", 20, Mode.CROSS)
    assert exchange.view(ALICE).total.raw == exchange.account(ALICE).wallet("").cash


def test_longs_pay_funding_and_shorts_receive_it():
    exchange = funded()
    exchange.open_account(BOB)
    exchange.deposit(BOB, D(1_000))
    exchange.trade(ALICE, "SOL", is_buy=True, size=D(2))
    exchange.trade(BOB, "SOL", is_buy=False, size=D(3))
    exchange.pay_funding("SOL", D("0.0001"))
    assert [paid.usdc for paid in exchange.account(ALICE).history.funding] == [D("-0.02")]
    assert [paid.usdc for paid in exchange.account(BOB).history.funding] == [D("0.03")]
    assert exchange.account(ALICE).funding_paid == {"SOL": D("0.02")}
    exchange.trade(ALICE, "SOL", is_buy=True, size=D(1))
    position = exchange.account(ALICE).wallet("").positions["SOL"]
    assert (position.funding_since_open, position.funding_since_change) == (D("0.02"), D(0))


def test_a_frozen_venue_stays_as_it_was():
    clock = [5_000]
    exchange = new_exchange(clock)
    exchange.open_account(ALICE)
    exchange.deposit(ALICE, D(1_000))
    exchange.trade(ALICE, "SOL", is_buy=True, size=D(1))
    frozen = exchange.freeze()
    before = repr(frozen.accounts), frozen.now(), frozen.view(ALICE)
    clock[0] = 9_000
    exchange.trade(ALICE, "SOL", is_buy=True, size=D(1))
    exchange.set_mark("SOL", D(101))
    exchange.set_spot(ALICE, SpotBalance("HYPE", D(3)))
    exchange.pay_funding("SOL", D("0.01"))
    assert (repr(frozen.accounts), frozen.now(), frozen.view(ALICE)) == before
    assert len(frozen.rates) == 0


@pytest.mark.parametrize(
    ("size", "price"),
    [
        ("0", "1"),
        ("-1", "1"),
        ("0.001", "1"),
        ("NaN", "1"),
        ("1", "0"),
        ("1", "1.00001"),
        ("1", "Infinity"),
        ("1e10", "1"),
    ],
)
def test_what_is_off_the_grid_is_refused_not_rounded(size, price):
    exchange = funded()
    with pytest.raises(ExchangeError):
        exchange.trade(ALICE, "SOL", is_buy=True, size=D(size), price=D(price))
    assert not exchange.view(ALICE).positions


def test_what_does_not_exist_is_named():
    exchange = funded()
    with pytest.raises(UnknownAccountError):
        exchange.trade(BOB, "SOL", is_buy=True, size=D(1))
    with pytest.raises(UnknownMarketError):
        exchange.trade(ALICE, "sol", is_buy=True, size=D(1))
    with pytest.raises(UnknownMarketError):
        exchange.view(ALICE, "nope")
    with pytest.raises(UnknownMarketError):
        exchange.set_spot(ALICE, SpotBalance("DOGE", D(1)))
    with pytest.raises(UnknownMarketError):
        Exchange(lambda: 0, [], [Market("abc:X", 2, 5, D(1))])
    with pytest.raises(ExchangeError):
        exchange.open_account(BOB, Role.AGENT)
    with pytest.raises(ExchangeError):
        exchange.open_account(BOB, Role.MISSING)
    assert exchange.role(BOB) is Role.MISSING


def test_only_isolated_markets_default_to_isolated():
    exchange = Exchange(lambda: 0, [Dex("xyz", "XYZ")], [Market("xyz:A", 2, 5, D(10), only_isolated=True)])
    exchange.open_account(ALICE)
    exchange.deposit(ALICE, D(100), "xyz")
    exchange.trade(ALICE, "xyz:A", is_buy=True, size=D(1))
    assert exchange.view(ALICE, "xyz").positions[0].position.mode is Mode.ISOLATED
    assert not exchange.view(ALICE).positions
    with pytest.raises(ExchangeError):
        exchange.set_leverage(ALICE, "xyz:A", 3, Mode.CROSS)
