"""The formulas of positions, with the numbers people know them by."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from position_service.domain import commands as c
from position_service.domain.events import EventType
from position_service.domain.position import Side
from position_service.domain.risk import initial_margin, is_at_risk, value
from tests.position_samples import Desk, open_, position

FIVE = Decimal(5)
prices = st.decimals(min_value="0.000001", max_value=10**9, places=6)


def test_a_long_gains_when_the_price_rises():
    held = position("0.5", "42000", leverage=Decimal(10), liquidation_price=Decimal(38_000))
    worth = value(held, Decimal(42_500))
    assert worth.unrealized_pnl == 250
    assert worth.pnl_percent == Decimal("1.190476190476190476")
    assert worth.return_on_margin == Decimal("11.904761904761904762")
    assert worth.notional == 21_250
    assert worth.distance_percent == Decimal("10.588235294117647059")
    assert initial_margin(held) == 2_100


def test_a_short_gains_when_the_price_falls():
    held = position("0.5", "42000", side=Side.SHORT, liquidation_price=Decimal(46_000))
    worth = value(held, Decimal(41_500))
    assert worth.unrealized_pnl == 250
    assert worth.pnl_percent == Decimal("1.190476190476190476")
    assert worth.distance_percent == Decimal("10.843373493975903614")
    assert worth.notional == 20_750


def test_without_a_liquidation_price_there_is_no_distance():
    assert value(position(), Decimal(42_500)).distance_percent is None


def test_a_position_that_cost_nothing_has_no_percentage():
    assert value(position(cost=Decimal(0)), Decimal(1)).pnl_percent == 0


@given(entry=prices, mark=prices)
def test_what_a_long_gains_a_short_loses(entry, mark):
    long = value(position("1", str(entry)), mark)
    short = value(position("1", str(entry), side=Side.SHORT), mark)
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
    assert is_at_risk(held, Decimal(mark), FIVE) is at_risk


def test_nothing_is_at_risk_without_mark_liquidation_price_or_size():
    held = position(liquidation_price=Decimal(38_000))
    assert not is_at_risk(held, None, FIVE)
    assert not is_at_risk(replace(held, liquidation_price=None), Decimal(1), FIVE)
    assert not is_at_risk(replace(held, size=Decimal(0)), Decimal(1), FIVE)


@given(mark=prices, liquidation=prices, side=st.sampled_from(Side))
def test_at_risk_agrees_with_the_distance_that_is_shown(mark, liquidation, side):
    held = position(side=side, liquidation_price=liquidation)
    distance = value(held, mark).distance_percent
    if abs(distance - FIVE) > Decimal("1E-17"):  # the distance is rounded, the decision is not
        assert is_at_risk(held, mark, FIVE) is (distance <= FIVE)


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
