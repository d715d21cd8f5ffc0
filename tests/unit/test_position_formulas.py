"""The formulas of positions, with the numbers people know them by."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from position_service.domain import commands as c
from position_service.domain.events import EventType
from position_service.domain.position import Product, Side
from position_service.domain.risk import Rules, estimated_liquidation, initial_margin, is_at_risk, value
from tests.position_samples import Desk, open_, position

FIVE = Decimal(5)
RULES = Rules()
prices = st.decimals(min_value="0.000001", max_value=10**9, places=6)


def test_a_long_gains_when_the_price_rises():
    held = position("0.5", "42000", leverage=Decimal(10), liquidation_price=Decimal(38_000))
    worth = value(held, Decimal(42_500), RULES)
    assert worth.unrealized_pnl == 250
    assert worth.pnl_percent == Decimal("1.190476190476190476")
    assert worth.return_on_margin == Decimal("11.904761904761904762")
    assert worth.notional == 21_250
    assert worth.distance_percent == Decimal("10.588235294117647059")
    assert worth.margin_ratio == Decimal("0.105882352941176471")
    assert initial_margin(held) == 2_100


def test_a_short_gains_when_the_price_falls():
    held = position("0.5", "42000", side=Side.SHORT, liquidation_price=Decimal(46_000))
    worth = value(held, Decimal(41_500), RULES)
    assert worth.unrealized_pnl == 250
    assert worth.pnl_percent == Decimal("1.190476190476190476")
    assert worth.distance_percent == Decimal("10.843373493975903614")
    assert worth.notional == 20_750


def test_without_a_liquidation_price_there_is_no_distance():
    worth = value(position(), Decimal(42_500), RULES)
    assert (worth.distance_percent, worth.margin_ratio) == (None, None)


@pytest.mark.parametrize(
    ("side", "leverage", "maintenance", "estimate"),
    [
        (Side.LONG, "10", "0.0125", "91.139240506329113924"),  # 100 * 0.9 / 0.9875
        (Side.SHORT, "10", "0.0125", "108.641975308641975309"),  # 100 * 1.1 / 1.0125
        (Side.LONG, "40", "0.0125", "98.734177215189873418"),  # 100 * 0.975 / 0.9875
        (Side.LONG, "100", "0.0125", "99.497487437185929648"),  # 100 * 0.99 / 0.995: half of 1/100 is kept
        (Side.SHORT, "100", "0.0125", "100.497512437810945274"),  # 100 * 1.01 / 1.005
        (Side.LONG, "80", "0.0125", "99.371069182389937107"),  # 1/leverage is the setting
        (Side.LONG, "2", "0", "50"),
        (Side.SHORT, "2", "0", "150"),
        (Side.LONG, "1.000000000000000001", "0.0125", "0.000000000000000101"),
    ],
)
def test_a_liquidation_price_is_estimated_from_entry_leverage_and_maintenance(side, leverage, maintenance, estimate):
    held = position("3", "100", side=side, leverage=Decimal(leverage))
    rules = Rules(maintenance=Decimal(maintenance))
    assert estimated_liquidation(held, rules) == Decimal(estimate)
    assert value(held, Decimal(100), rules).distance_percent == abs(100 - Decimal(estimate))


def test_what_is_given_is_never_mixed_with_an_estimate():
    held = position("0.5", "42000", leverage=Decimal(10), liquidation_price=Decimal(38_000))
    assert estimated_liquidation(held, RULES) is None
    bare = replace(held, liquidation_price=None)
    assert estimated_liquidation(bare, RULES) == Decimal("38278.481012658227848101")
    assert value(bare, Decimal(42_500), RULES).margin_ratio == Decimal("0.099329858525688757")
    assert bare.liquidation_price is None


@pytest.mark.parametrize(
    "values",
    [
        {"product": Product.SPOT, "leverage": Decimal(5)},
        {"leverage": Decimal(1)},
        {"leverage": Decimal("0.5")},
        {"leverage": Decimal(5), "size": Decimal(0), "cost": Decimal(0)},
        {"leverage": Decimal(5), "cost": Decimal(0)},
        # So small that nothing of it can be shown: a price of 0 is none.
        {"leverage": Decimal("1.000000000000000001"), "cost": Decimal("1E-18")},
    ],
)
def test_spot_no_leverage_and_no_entry_have_no_estimate(values):
    assert estimated_liquidation(position(**values), RULES) is None


@given(
    entry=prices,
    side=st.sampled_from(Side),
    leverage=st.decimals(min_value="1.001", max_value=10**6, places=3),
    maintenance=st.decimals(min_value=0, max_value="0.999", places=3),
)
def test_an_estimate_lies_between_entry_and_the_loss_of_all_margin(entry, side, leverage, maintenance):
    held = position("1", str(entry), side=side, leverage=leverage)
    estimate = estimated_liquidation(held, Rules(maintenance=maintenance)) or Decimal(0)
    worst = entry * (1 - side.sign / leverage)  # where nothing of the margin is left
    slack = Decimal("1E-18")
    assert min(worst, entry) - slack <= estimate <= max(worst, entry) + slack


def test_a_position_that_cost_nothing_has_no_percentage():
    assert value(position(cost=Decimal(0)), Decimal(1), RULES).pnl_percent == 0


@given(entry=prices, mark=prices)
def test_what_a_long_gains_a_short_loses(entry, mark):
    long = value(position("1", str(entry)), mark, RULES)
    short = value(position("1", str(entry), side=Side.SHORT), mark, RULES)
    assert long.unrealized_pnl == -short.unrealized_pnl
    assert long.pnl_percent == -short.pnl_percent


@pytest.mark.parametrize(
    ("side", "mark", "at_risk"),
    [
        (Side.LONG, "40000", True),  # exactly five percent away
        (Side.LONG, "40000.01", False),
        (Side.LONG, "38000", True),
        (Side.LONG, "37000", True),  # crossed already
        (Side.SHORT, "36190.4761904762", True),
        (Side.SHORT, "36190.47", False),
        (Side.SHORT, "39000", True),  # crossed already
    ],
)
def test_at_risk_is_at_or_below_the_threshold_or_beyond(side, mark, at_risk):
    held = position(side=side, liquidation_price=Decimal(38_000))
    assert is_at_risk(held, Decimal(mark), RULES) is at_risk


def test_nothing_is_at_risk_without_mark_liquidation_price_or_size():
    held = position(liquidation_price=Decimal(38_000))
    assert not is_at_risk(held, None, RULES)
    assert not is_at_risk(replace(held, liquidation_price=None), Decimal(1), RULES)
    assert not is_at_risk(replace(held, size=Decimal(0)), Decimal(1), RULES)


@given(mark=prices, liquidation=prices, side=st.sampled_from(Side))
def test_at_risk_agrees_with_the_distance_that_is_shown(mark, liquidation, side):
    held = position(side=side, liquidation_price=liquidation)
    distance = value(held, mark, RULES).distance_percent
    if abs(distance - FIVE) > Decimal("1E-17"):  # the distance is rounded, the decision is not
        assert is_at_risk(held, mark, RULES) is (distance <= FIVE)


def test_crossing_the_threshold_is_an_event_and_a_tick_is_not():
    desk = Desk()
    held = desk.open(liquidation_price=Decimal(38_000))
    assert desk.mark("42000") == []
    assert [(e.type, e.after.at_risk) for e in desk.mark("40000")] == [(EventType.RISK_ENTERED, True)]
    assert desk.mark("39000") == []
    assert [(e.type, e.after.at_risk) for e in desk.mark("42000")] == [(EventType.RISK_LEFT, False)]
    assert desk.book.position(held.position_id).revision == 3


def test_a_position_opened_within_the_threshold_is_at_risk_at_once():
    desk = Desk()
    desk.mark("39000")
    events = desk.do(open_(liquidation_price=Decimal(38_000)))
    assert [e.type for e in events] == [EventType.OPENED, EventType.RISK_ENTERED]


def test_removing_the_liquidation_price_ends_the_risk():
    desk = Desk()
    held = desk.open(liquidation_price=Decimal(38_000))
    desk.mark("39000")
    events = desk.do(c.Update(c.Ref(held.position_id), liquidation_price=Decimal(0)))
    assert [e.type for e in events] == [EventType.UPDATED, EventType.RISK_LEFT]


def test_the_newest_observation_wins():
    desk = Desk()
    desk.mark("42000")
    known = desk.book.mark(next(iter(desk.book.marks)))
    late = c.UpdatePrices(((next(iter(desk.book.marks)), replace(known, price=Decimal(1))),))
    assert desk.decide(late).marks == {}


def test_risk_is_watched_by_the_estimate_where_no_price_is_given():
    desk = Desk()
    held = desk.open("1", "100", leverage=Decimal(10))  # its estimate is 91.13...
    assert [e.type for e in desk.mark("96")] == []
    assert [(e.type, e.after.at_risk) for e in desk.mark("95.9")] == [(EventType.RISK_ENTERED, True)]
    events = desk.do(c.Update(c.Ref(held.position_id), liquidation_price=Decimal(80)))  # the venue knows better
    assert [e.type for e in events] == [EventType.UPDATED, EventType.RISK_LEFT]
    events = desk.do(c.Update(c.Ref(held.position_id), liquidation_price=Decimal(0)))
    assert [e.type for e in events] == [EventType.UPDATED, EventType.RISK_ENTERED]
    events = desk.do(c.Update(c.Ref(held.position_id), leverage=Decimal(1)))
    assert [(e.type, e.after.liquidation_price) for e in events] == [
        (EventType.UPDATED, None),
        (EventType.RISK_LEFT, None),
    ]
