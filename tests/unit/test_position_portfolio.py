"""The portfolio: sums that are exact, and who is nearest to liquidation."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from position_service.domain import commands as c
from position_service.domain.events import EventType
from position_service.domain.portfolio import Summary, at_risk
from position_service.domain.position import Instrument, Side
from position_service.domain.risk import Rules
from tests.position_samples import BTC, NOW, Desk

RULES = Rules()


def summed(desk: Desk, oldest: datetime = NOW) -> Summary:
    total = Summary(oldest)
    for position in desk.book.positions.values():
        total.add(desk.book, position, RULES)
    return total


def nearest(desk: Desk, threshold: str = "5") -> list[str]:
    return [p.symbol for p in at_risk(desk.book, desk.book.positions.values(), Rules(Decimal(threshold)))]


def hold(desk: Desk, symbol: str, mark: str | None, size: str = "1", price: str = "100", **values: object):
    """Open, and mark; the position."""
    if mark is not None:
        desk.mark(mark, Instrument("hyperliquid", symbol))
    return desk.open(size, price, symbol=symbol, asset=f"{symbol}/USD", **values)


def test_an_empty_portfolio_is_nothing():
    assert summed(Desk()) == Summary(NOW)
    assert nearest(Desk()) == []


def test_the_example_of_the_readme():
    desk = Desk()
    desk.open("0.5", "42000", liquidation_price=Decimal(38_000))
    desk.mark("42500", BTC)
    total = summed(desk)
    assert (total.positions, total.at_risk, total.unrealized, total.realized) == (1, 0, 250, 0)
    assert (total.long_notional, total.short_notional, total.assets) == (21_250, 0, {"BTC/USD"})


def test_longs_and_shorts_are_kept_apart():
    desk = Desk()
    hold(desk, "BTC", "110", "2")
    hold(desk, "ETH", "90", "3", side=Side.SHORT)
    hold(desk, "SOL", "110", "1", side=Side.SHORT)
    total = summed(desk)
    assert (total.long_notional, total.short_notional, total.unrealized) == (220, 270 + 110, 20 + 30 - 10)
    assert total.missing_marks == set()


def test_a_position_without_a_mark_is_named_and_only_its_realised_pnl_counts():
    desk = Desk()
    held = hold(desk, "BTC", None, "2")
    desk.do(c.Reduce(c.Ref(held.position_id), size=Decimal(1), price=Decimal(107)))
    hold(desk, "ETH", "110")
    total = summed(desk)
    assert (total.positions, total.realized, total.unrealized, total.long_notional) == (2, 7, 10, 110)
    assert (total.missing_marks, total.assets) == ({BTC}, {"BTC/USD", "ETH/USD"})


def test_an_old_mark_is_named_apart_and_is_in_no_sum_though_it_still_warns():
    desk = Desk()
    hold(desk, "OLD", "94", liquidation_price=Decimal(93))
    marked = desk.now
    hold(desk, "NEW", "110")
    hold(desk, "NONE", None)
    old, none = Instrument("hyperliquid", "OLD"), Instrument("hyperliquid", "NONE")
    total = summed(desk, marked)
    assert (total.unrealized, total.long_notional, total.at_risk) == (10, 110, 1)
    assert (total.old_marks, total.missing_marks) == ({old}, {none})
    assert summed(desk, desk.book.mark(old).observed_at).old_marks == set()
    later = summed(desk, desk.now + timedelta(days=1))
    assert (later.unrealized, later.long_notional, len(later.old_marks)) == (0, 0, 2)


def test_what_was_guessed_is_told_apart_from_what_was_executed():
    desk = Desk()
    held = hold(desk, "BTC", None, "3")
    desk.do(c.Reduce(c.Ref(held.position_id), size=Decimal(1), price=Decimal(107)))
    guess = c.Adjust(
        c.Ref(held.position_id), reason_code="X", size=Decimal(1), close_price=Decimal(103), estimated=True
    )
    desk.do(guess)
    assert (summed(desk).realized, summed(desk).estimated) == (10, 3)


def test_what_has_ended_is_no_part_of_it():
    desk = Desk()
    held = hold(desk, "BTC", "110")
    desk.do(c.Close(c.Ref(held.position_id), price=Decimal(110)))
    assert summed(desk) == Summary(NOW)


def test_what_is_only_announced_is_counted_and_is_in_no_sum_until_it_opens():
    desk = Desk()
    near = {"liquidation_price": Decimal(95), "pending": True}
    announced = [hold(desk, "BTC", "98", "2", **near), hold(desk, "ETH", "98", **near, side=Side.SHORT)]
    hold(desk, "SOL", None, pending=True)
    total = summed(desk)
    assert (total.positions, total.assets) == (3, {"BTC/USD", "ETH/USD", "SOL/USD"})
    assert (total.unrealized, total.long_notional, total.short_notional, total.at_risk) == (0, 0, 0, 0)
    assert (total.missing_marks, total.old_marks, nearest(desk)) == (set(), set(), [])
    opened = [event.type for event in desk.do(c.ConfirmOpen(c.Ref(announced[0].position_id)))]
    assert opened == [EventType.OPEN_CONFIRMED, EventType.RISK_ENTERED]
    total = summed(desk)
    assert (total.unrealized, total.long_notional, total.short_notional, total.at_risk) == (-4, 196, 0, 1)
    assert nearest(desk) == ["BTC"]


def test_what_is_at_risk_is_counted():
    desk = Desk()
    hold(desk, "BTC", "94", liquidation_price=Decimal(90))
    hold(desk, "ETH", "100", liquidation_price=Decimal(90))
    assert summed(desk).at_risk == 1


amounts = st.decimals(min_value="0.000000000000000001", max_value="99999", places=18)
holdings = st.lists(st.tuples(st.sampled_from(Side), amounts, amounts, amounts | st.none()), max_size=6)


@given(holdings=holdings)
def test_sums_are_those_of_fractions(holdings):
    desk = Desk()
    for number, (side, size, price, mark) in enumerate(holdings):
        hold(desk, f"S{number}", mark, str(size), str(price), side=side)
    total = summed(desk)
    marked = [(side, *(Fraction(v) for v in rest)) for side, *rest in holdings if rest[2] is not None]
    assert total.unrealized == sum((mark - price) * size * side.sign for side, size, price, mark in marked)
    assert total.long_notional == sum(size * mark for side, size, _, mark in marked if side is Side.LONG)
    assert total.short_notional == sum(size * mark for side, size, _, mark in marked if side is Side.SHORT)
    assert len(total.missing_marks) == len(holdings) - len(marked)


def test_the_nearest_to_liquidation_comes_first_and_what_is_crossed_before_all():
    desk = Desk()
    hold(desk, "FAR", "100", liquidation_price=Decimal(90))
    hold(desk, "NEAR", "100", liquidation_price=Decimal(97))
    hold(desk, "SHORT", "100", liquidation_price=Decimal(102), side=Side.SHORT)
    hold(desk, "CROSSED", "100", liquidation_price=Decimal(101))
    hold(desk, "EDGE", "100", liquidation_price=Decimal(95))
    hold(desk, "BEYOND", "100", liquidation_price=Decimal("94.999999999999999999"))
    hold(desk, "UNKNOWN", "100")
    hold(desk, "UNMARKED", None, liquidation_price=Decimal(99))
    assert nearest(desk) == ["CROSSED", "SHORT", "NEAR", "EDGE"]
    assert nearest(desk, "10") == ["CROSSED", "SHORT", "NEAR", "EDGE", "BEYOND", "FAR"]
    assert nearest(desk, "2") == ["CROSSED", "SHORT"]
    assert nearest(desk, "0") == ["CROSSED"]


def test_an_estimate_stands_in_for_a_price_that_is_not_given():
    desk = Desk()
    hold(desk, "GIVEN", "100", liquidation_price=Decimal(97), leverage=Decimal(10))
    hold(desk, "FAR", "100", leverage=Decimal(10))  # estimated at 91.13...
    hold(desk, "NEAR", "93", leverage=Decimal(10))
    assert nearest(desk) == ["NEAR", "GIVEN"]
    assert nearest(desk, "9") == ["NEAR", "GIVEN", "FAR"]
    assert summed(desk).at_risk == 2


def test_equally_near_ones_come_in_the_order_they_were_opened():
    desk = Desk()
    opened = [hold(desk, f"S{n}", "100", liquidation_price=Decimal(97)) for n in (3, 1, 2)]
    found = at_risk(desk.book, reversed(list(desk.book.positions.values())), RULES)
    assert [p.position_id for p in found] == [p.position_id for p in opened]
