"""How the SIMULATED Hyperliquid spells its state."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler_service.simulator import info, scenario, wire, wire_history
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.faults import Faults
from reconciler_service.simulator.records import Market, Role, SpotBalance, UnknownMarketError
from reconciler_service.simulator.wire import Style

D = Decimal
NOW = 1_800_000_000_000
PLAIN = Style(noise_percent=0)
NO_FAULTS = Faults({})
DESK = scenario.DESK
STRANGER = "0x" + "9" * 40


@pytest.fixture
def clock() -> list[int]:
    return [NOW]


@pytest.fixture
def exchange(clock) -> Exchange:
    made = scenario.new_exchange(lambda: clock[0])
    scenario.seed(made)
    return made


def ask(exchange: Exchange, **body):
    return parse_and_answer(exchange, body)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0.0"),
        ("-0", "0.0"),
        ("-0.00", "0.0"),
        ("30135", "30135.0"),
        ("1.50", "1.5"),
        ("1E+3", "1000.0"),
        ("1E-8", "0.00000001"),
        ("-12.25", "-12.25"),
    ],
)
def test_numbers_are_spelled_as_the_venue_does(value, text):
    assert wire.number(D(value)) == text


def test_noise_looks_like_a_printed_double():
    assert wire.noisy(D("0.3")) == "0.30000000000000004"
    assert wire.noisy(D("1064075.6")) == "1064075.6000000004"
    assert wire.noisy(D(4)) == "3.9999999999999996"
    assert wire.noisy(D(0)) == "0.0"


@given(st.integers(-(10**12), 10**12), st.integers(0, 5))
def test_noise_vanishes_when_quantised(count, decimals):
    size = D(count).scaleb(-decimals)
    noisy = D(wire.noisy(size))
    assert (noisy != size) == (size != 0)
    assert noisy.quantize(D(1).scaleb(-decimals)) == size


def test_noise_hits_a_share_of_positions_always_the_same(exchange):
    told = [wire.clearinghouse_state(exchange, DESK, "", Style(seed=seed)) for seed in (0, 0, *range(30))]
    assert told[0] == told[1]
    sizes = [one["position"]["szi"] for state in told[2:] for one in state["assetPositions"]]
    noisy = sum(len(size) > 12 for size in sizes)
    assert 0 < noisy < len(sizes) / 2


def test_entry_price_is_rounded_to_the_price_grid(exchange):
    exchange.trade(DESK, "SOL", is_buy=True, size=D(1), price=D("101.0001"))
    [rounded] = [one["position"]["entryPx"] for one in states(exchange)["assetPositions"] if coin_of(one) == "SOL"]
    exact = wire.clearinghouse_state(exchange, DESK, "", Style(noise_percent=0, round_entry=False))
    [full] = [one["position"]["entryPx"] for one in exact["assetPositions"] if coin_of(one) == "SOL"]
    assert rounded == "98.5207"
    assert full.startswith("98.520661983471")


def coin_of(one) -> str:
    return str(one["position"]["coin"])


def states(exchange, dex=""):
    return wire.clearinghouse_state(exchange, DESK, dex, PLAIN)


def test_a_state_adds_up_on_the_wire_too(exchange):
    for dex in ("", "xyz"):
        state = states(exchange, dex)
        held = [one["position"] for one in state["assetPositions"]]
        signed = sum(D(one["positionValue"]) * (1 if D(one["szi"]) > 0 else -1) for one in held)
        totals = {name: D(value) for name, value in state["marginSummary"].items()}
        assert totals["accountValue"] == totals["totalRawUsd"] + signed
        assert totals["totalNtlPos"] == sum(D(one["positionValue"]) for one in held)
        assert totals["totalMarginUsed"] == sum(D(one["marginUsed"]) for one in held)
        for one in held:
            if one["leverage"]["type"] == "isolated":
                raw = D(one["leverage"]["rawUsd"])
                sign = 1 if D(one["szi"]) > 0 else -1
                assert D(one["marginUsed"]) == raw + sign * D(one["positionValue"])
                assert (raw < 0) == (sign > 0)


def test_positions_of_a_hip3_dex_are_only_in_its_own_state(exchange):
    assert {coin_of(one) for one in states(exchange)["assetPositions"]} == {"BTC", "ETH", "SOL", "HYPE"}
    assert {coin_of(one) for one in states(exchange, "xyz")["assetPositions"]} == {"xyz:TSLA"}


def test_a_stranger_looks_flat(exchange):
    state = ask(exchange, type="clearinghouseState", user=STRANGER)
    assert state["assetPositions"] == []
    assert set(state["marginSummary"].values()) == {"0.0"}
    assert ask(exchange, type="userRole", user=STRANGER) == {"role": "missing"}
    assert ask(exchange, type="userFills", user=STRANGER) == []


def test_roles(exchange):
    exchange.open_account("0x" + "A" * 40, Role.AGENT, DESK)
    exchange.open_account("0x" + "b" * 40, Role.SUB_ACCOUNT, DESK)
    exchange.open_account("0x" + "c" * 40, Role.VAULT)
    told = [ask(exchange, type="userRole", user="0x" + letter * 40) for letter in "abc"]
    assert told == [
        {"role": "agent", "data": {"user": DESK}},
        {"role": "subAccount", "data": {"master": DESK}},
        {"role": "vault"},
    ]
    assert ask(exchange, type="clearinghouseState", user="0x" + "a" * 40)["assetPositions"] == []


def test_small_answers(exchange):
    exchange.set_spot(DESK, SpotBalance("HYPE", D("4.5"), D(1), D(90)))
    assert ask(exchange, type="subAccounts", user=DESK) is None
    assert ask(exchange, type="openOrders", user=DESK) == []
    assert ask(exchange, type="userAbstraction", user=DESK) == "default"
    assert ask(exchange, type="perpDexs")[0] is None
    assert ask(exchange, type="perpDexs")[1]["name"] == "xyz"
    assert ask(exchange, type="allMids", dex="xyz") == {"xyz:TSLA": "253.8"}
    assert [len(one["universe"]) for one in ask(exchange, type="allPerpMetas")] == [6, 1]
    assert ask(exchange, type="spotClearinghouseState", user=DESK)["balances"] == [
        {"coin": "HYPE", "token": 2, "total": "4.5", "hold": "1.0", "entryNtl": "90.0"}
    ]
    assert ask(exchange, type="spotMeta")["tokens"][2]["name"] == "HYPE"
    meta, contexts = ask(exchange, type="metaAndAssetCtxs")
    by_coin = dict(zip([one["name"] for one in meta["universe"]], contexts, strict=True))
    assert by_coin["ETH"]["markPx"] == "2240.5"
    assert by_coin["ETH"]["openInterest"] == "4.0"


def parse_and_answer(exchange, body):
    info.parse(body)
    return info.answer(exchange, body, NO_FAULTS, PLAIN)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"type": 3},
        {"type": "order"},
        {"type": "clearinghouseState"},
        {"type": "clearinghouseState", "user": "0x12"},
        {"type": "clearinghouseState", "user": 5},
        {"type": "clearinghouseState", "user": DESK, "dex": 1},
        {"type": "subAccounts"},
        {"type": "userFillsByTime", "user": DESK},
        {"type": "userFillsByTime", "user": DESK, "startTime": "0"},
        {"type": "userFillsByTime", "user": DESK, "startTime": True},
        {"type": "userFillsByTime", "user": DESK, "startTime": -1},
        {"type": "userFills", "user": DESK, "aggregateByTime": "yes"},
        {"type": "fundingHistory", "startTime": 0},
    ],
)
def test_bodies_the_venue_would_not_read(exchange, body):
    with pytest.raises(info.BadRequestError):
        parse_and_answer(exchange, body)


def test_unknown_coin_and_dex(exchange):
    with pytest.raises(UnknownMarketError):
        ask(exchange, type="fundingHistory", coin="NOPE", startTime=0)
    with pytest.raises(UnknownMarketError):
        ask(exchange, type="clearinghouseState", user=DESK, dex="nope")


def test_fills_by_time_are_inclusive_oldest_first_and_paged(exchange):
    for at in (10, 20, 30):
        exchange.trade(DESK, "BTC", is_buy=True, size=D("0.00001"), at=at)
    fills = exchange.account(DESK).history.fills
    within = wire_history.user_fills_by_time(fills, 10, 20)
    assert [row["time"] for row in within] == [10, 20]
    backwards = wire_history.user_fills_by_time(fills, 10, 30, newest_first=True)
    assert [row["time"] for row in backwards] == [30, 20, 10]
    assert [row["time"] for row in wire_history.user_fills(fills)[-3:]] == [30, 20, 10]


def test_pages_hold_two_thousand_and_only_the_newest_ten_thousand_exist(clock):
    exchange = Exchange(lambda: clock[0], [], [Market("kPEPE", 0, 10, D("0.01"))])
    exchange.open_account(DESK)
    exchange.deposit(DESK, D(10_000))
    for at in range(6):
        exchange.trade(DESK, "kPEPE", is_buy=True, size=D(2_001), at=at, parts=2_001)
    fills = exchange.account(DESK).history.fills
    newest = wire_history.user_fills(fills)
    assert (len(newest), newest[0]["tid"], newest[-1]["time"]) == (2_000, fills[-1].tid, 5)
    first = wire_history.user_fills_by_time(fills, 0)
    assert (len(first), first[0]["tid"]) == (2_000, fills[-10_000].tid)
    together = wire_history.user_fills_by_time(fills, 5, aggregate=True)
    assert [(row["sz"], row["px"]) for row in together] == [("2001.0", "0.01")]
