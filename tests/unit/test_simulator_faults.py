"""What the SIMULATED venue does wrong on request, and what its budget refuses."""

import json
from decimal import Decimal

import pytest

from reconciler_service.simulator import info, scenario
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.faults import Fault, FaultError, FaultPlan, Kind
from reconciler_service.simulator.wire import Style

D = Decimal
NOW = 1_800_000_000_000
DESK = scenario.DESK


@pytest.fixture
def clock() -> list[int]:
    return [NOW]


@pytest.fixture
def exchange(clock) -> Exchange:
    made = scenario.new_exchange(lambda: clock[0])
    scenario.seed(made)
    return made


def ask(exchange: Exchange, plan: FaultPlan, **body):
    kind, dex = info.parse(body)
    return info.answer(exchange, body, plan.take(kind, dex), Style(noise_percent=0))


def coin_of(one) -> str:
    return str(one["position"]["coin"])


def test_faults_count_down_and_hit_what_they_name(exchange):
    plan = FaultPlan()
    plan.add(Fault(Kind.HTTP_500, types=frozenset({"meta"}), count=2), exchange)
    plan.add(Fault(Kind.PARTIAL_SCOPE, dex="xyz"), exchange)
    hit = [plan.take(*about).replacing is not None for about in (("meta", ""), ("allMids", ""), ("allMids", "xyz"))]
    assert hit == [True, False, True]
    assert plan.take("meta", "").replacing is not None
    assert plan.take("meta", "").replacing is None
    assert plan.take("perpDexs", None).replacing is None
    assert plan.clear() == 1
    assert plan.take("allMids", "xyz").replacing is None


def test_a_share_of_requests_is_the_same_for_the_same_seed(exchange):
    def hits(seed: int) -> list[bool]:
        plan = FaultPlan(seed)
        plan.add(Fault(Kind.HTTP_429, percent=30), exchange)
        return [plan.take("meta", "").replacing is not None for _ in range(200)]

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert 30 < sum(hits(1)) < 90


@pytest.mark.parametrize(
    "parameters",
    [
        {"kind": Kind.PARTIAL_SCOPE},
        {"kind": Kind.SLOW, "count": 0},
        {"kind": Kind.SLOW, "percent": 0},
        {"kind": Kind.SLOW, "delay_s": float("nan")},
        {"kind": Kind.OVERSIZED, "size": 0},
    ],
)
def test_senseless_faults_are_refused(parameters):
    with pytest.raises(FaultError):
        Fault(**parameters)


def test_stale_answers_show_the_past_with_its_time(exchange, clock):
    plan = FaultPlan()
    plan.add(Fault(Kind.STALE, count=1), exchange)
    clock[0] += 5_000
    exchange.close(DESK, "SOL")
    old = ask(exchange, plan, type="clearinghouseState", user=DESK)
    new = ask(exchange, plan, type="clearinghouseState", user=DESK)
    assert (old["time"], "SOL" in {coin_of(one) for one in old["assetPositions"]}) == (NOW, True)
    assert (new["time"], "SOL" in {coin_of(one) for one in new["assetPositions"]}) == (NOW + 5_000, False)


def test_late_lost_and_duplicate_fills(exchange, clock):
    plan = FaultPlan()
    known = len(ask(exchange, plan, type="userFills", user=DESK))

    def seen(**more) -> int:
        return len(ask(exchange, plan, type="userFills", user=DESK, **more)) - known

    plan.add(Fault(Kind.LATE_FILLS, delay_s=2.5), exchange)
    exchange.trade(DESK, "BTC", is_buy=True, size=D("0.001"))
    assert seen() == 0
    clock[0] += 2_499
    assert seen() == 0
    clock[0] += 1
    assert seen() == 1
    plan.add(Fault(Kind.LOST_FILLS, coin="ETH"), exchange)
    exchange.trade(DESK, "ETH", is_buy=False, size=D("0.1"))
    exchange.trade(DESK, "BTC", is_buy=False, size=D("0.001"))
    clock[0] += 60_000
    assert seen() == 2
    plan.clear()
    assert seen() == 3
    plan.add(Fault(Kind.DUPLICATE_FILLS, coin="BTC", count=1), exchange)
    rows = ask(exchange, plan, type="userFillsByTime", user=DESK, startTime=NOW)
    assert [(row["coin"], row["tid"]) for row in rows] == [
        (fill.coin, fill.tid)
        for fill in exchange.account(DESK).history.fills[known:]
        for _ in range(2 if fill.coin == "BTC" else 1)
    ]


def test_bent_answers(exchange):
    plan = FaultPlan()
    for kind, more in ((Kind.EMPTY, {}), (Kind.CLOCK_SKEW, {"skew_ms": -7}), (Kind.FLOAT_NOISE, {}), (Kind.NAN, {})):
        plan.add(Fault(kind, count=1, types=frozenset({"clearinghouseState"}), **more), exchange)
        told = ask(exchange, plan, type="clearinghouseState", user=DESK)
        sizes = [one["position"]["szi"] for one in told["assetPositions"]]
        match kind:
            case Kind.EMPTY:
                assert (sizes, told["marginSummary"]["accountValue"]) == ([], "0.0")
            case Kind.CLOCK_SKEW:
                assert told["time"] == NOW - 7
            case Kind.FLOAT_NOISE:
                assert all(D(size) != round(D(size), 8) for size in sizes)
            case _:
                assert sizes.count("NaN") == 1
    plan.add(Fault(Kind.NAN, bare=True), exchange)
    assert "NaN," in json.dumps(ask(exchange, plan, type="userFills", user=DESK))
    plan.add(Fault(Kind.EMPTY), exchange)
    assert ask(exchange, plan, type="userFills", user=DESK) == []
    assert ask(exchange, plan, type="spotClearinghouseState", user=DESK) == {"balances": []}


def test_the_budget_slides():
    now = [0.0]
    budget = Budget(lambda: now[0], limit=100)
    assert budget.spend("a", 60)
    now[0] = 30.0
    assert budget.spend("a", 40)
    assert not budget.spend("a", 1)
    assert budget.spend("b", 100)
    now[0] = 60.0
    assert budget.used("a") == 40
    assert not budget.spend("a", 61)
    budget.add("a", 1_000)
    assert not budget.spend("a", 1)


def test_weights():
    assert [info.weight(kind) for kind in ("clearinghouseState", "userRole", "userFills", "meta")] == [2, 60, 20, 20]
    assert info.surcharge("userFills", [0] * 2_000) == 100
    assert info.surcharge("perpDexs", [0] * 2_000) == 0


@pytest.mark.parametrize(
    ("types", "hits"),
    [
        ({"ws"}, [True, True, False]),
        ({"ws/userFills"}, [True, False, False]),
        ({"ws/connect", "meta"}, [False, True, True]),
        (set(), [False, False, True]),
    ],
)
def test_the_socket_goes_wrong_only_where_it_is_named(exchange, types, hits):
    plan = FaultPlan()
    plan.add(Fault(Kind.RESET, types=frozenset(types)), exchange)
    assert [plan.take(kind, None).replacing is not None for kind in ("ws/userFills", "ws/connect", "meta")] == hits
