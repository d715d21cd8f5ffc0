"""What a venue says of liquidation prices: beside the position, for as long as it is about what is held."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from position_service import convert
from position_service.domain import commands as c
from position_service.domain.book import Draft
from position_service.domain.decide import decide
from position_service.domain.errors import InvalidValue
from position_service.domain.events import EventType
from position_service.domain.portfolio import Summary, at_risk
from position_service.domain.position import LiquidationPrice, MarginMode, Position, Side
from position_service.domain.risk import Rules, liquidation
from position_service.domain.watching import MOST_AHEAD
from tests.position_samples import NOW, Desk, fill, fills

RULES = Rules()


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.mark("100")
    return made


def said(
    desk: Desk, price: str | None, size: str = "1", side: Side = Side.LONG, at: datetime | None = None, **names: str
) -> c.RecordLiquidationPrices:
    """What the venue says now."""
    seen = LiquidationPrice(side, Decimal(size), None if price is None else Decimal(price), at or desk.now)
    known = {"account": "main", "venue": "hyperliquid", "symbol": "BTC"} | names
    return c.RecordLiquidationPrices(known["account"], known["venue"], ((known["symbol"], seen),))


def hear(desk: Desk, *args: object, **values: object) -> list[EventType]:
    return [event.type for event in desk.do(said(desk, *args, **values))]  # type: ignore[arg-type]


def decides(desk: Desk, held: Position) -> Decimal | None:
    """The price that distances go by."""
    now = desk.book.positions[held.position_id]
    return liquidation(now, RULES, desk.book.liquidation_price(held.position_id))


def test_the_venues_own_price_decides_before_the_given_one_and_the_estimate(desk):
    held = desk.open("1", "100", leverage=Decimal(10))
    estimate = decides(desk, held)
    assert estimate not in (None, 80)
    assert hear(desk, "80") == []
    assert decides(desk, held) == 80
    desk.do(c.Update(c.Ref(held.position_id), liquidation_price=Decimal(70), labels={"a": "b"}))
    assert decides(desk, held) == 80
    assert desk.book.positions[held.position_id].liquidation_price == 70
    assert hear(desk, None) == []
    assert decides(desk, held) == 70


def test_after_a_trade_it_is_about_something_else_until_the_venue_has_spoken_again(desk):
    held = desk.open("1", "100", leverage=Decimal(10), margin_mode=MarginMode.CROSS)
    hear(desk, "80")
    desk.do(fills(fill(1, "1", "100")))
    assert decides(desk, held) not in (None, 80)
    hear(desk, "85", "2")
    assert decides(desk, held) == 85
    desk.do(fills(fill(2, "-1", "100")))
    assert decides(desk, held) not in (None, 80, 85)
    hear(desk, "70", "1", Side.SHORT)  # it says so, and the book knows better or does not know yet
    assert decides(desk, held) not in (None, 70)


def test_the_newest_word_counts(desk):
    held = desk.open("1", "100", leverage=Decimal(10))
    first = desk.now
    hear(desk, "80")
    hear(desk, "81", at=first)
    hear(desk, "82", at=first - timedelta(seconds=1))
    assert decides(desk, held) == 80
    hear(desk, None)
    hear(desk, "83", at=first + timedelta(milliseconds=1))
    assert decides(desk, held) not in (80, 83)


def test_only_crossing_the_threshold_is_an_event(desk):
    held = desk.open("1", "100")
    assert hear(desk, "90") == []
    assert hear(desk, "95") == [EventType.RISK_ENTERED]
    assert desk.book.positions[held.position_id].at_risk
    assert hear(desk, "96") == []
    assert hear(desk, None) == [EventType.RISK_LEFT]
    assert hear(desk, "95") == [EventType.RISK_ENTERED]
    assert [e.type for e in desk.do(fills(fill(1, "1", "100")))] == [EventType.INCREASED, EventType.RISK_LEFT]


def test_what_the_book_does_not_hold_is_passed_over(desk):
    held = desk.open("1", "100")
    for names in ({"account": "other"}, {"venue": "coinbase"}, {"symbol": "ETH"}):
        assert hear(desk, "95", **names) == []
    assert hear(desk, None) == []
    assert desk.book.liquidation_prices == {}
    hear(desk, "80")
    desk.do(c.Close(c.Ref(held.position_id), price=Decimal(100)))
    assert desk.book.liquidation_prices == {}
    assert decides(desk, desk.open("1", "100")) is None


def test_a_time_in_the_future_is_refused(desk):
    desk.open("1", "100")
    assert hear(desk, "80", at=desk.now + MOST_AHEAD) == []
    with pytest.raises(InvalidValue) as error:
        hear(desk, "80", at=desk.now + MOST_AHEAD + timedelta(microseconds=1))
    assert error.value.field == "observed_at"


def test_sums_and_lists_go_by_it(desk):
    desk.open("1", "100")
    hear(desk, "95")
    total = Summary(NOW)
    for position in desk.book.positions.values():
        total.add(desk.book, position, RULES)
    assert total.at_risk == 1
    assert len(at_risk(desk.book, desk.book.positions.values(), RULES)) == 1
    assert at_risk(desk.book, desk.book.positions.values(), replace(RULES, threshold=Decimal(4))) == []


def test_a_batch_sees_what_the_commands_before_it_heard(desk):
    held = desk.open("1", "100")
    batch = Draft(desk.book)
    batch.absorb(decide(batch, said(desk, "95"), desk.context()))
    assert batch.liquidation_price(held.position_id) is not None
    assert decide(batch, said(desk, "96"), desk.context()).liquidation_prices == {}  # no newer
    batch.absorb(decide(batch, c.Close(c.Ref(held.position_id), price=Decimal(100)), desk.context()))
    desk.book.take(batch)
    assert desk.book.liquidation_prices == {}


def test_it_is_shown_while_it_is_about_what_is_held_and_the_estimate_otherwise(desk):
    held = desk.open("1", "100", leverage=Decimal(10))
    at = desk.now
    hear(desk, "80")
    shown = convert.valued(convert.seen(desk.book.positions[held.position_id], desk.book), RULES)
    assert (shown.venue_liquidation_price, shown.estimated_liquidation_price, shown.liquidation_price) == ("80", "", "")
    assert shown.venue_liquidation_observed_at == convert.stamp(at)
    assert (shown.liquidation_distance_percent, shown.margin_ratio) == ("20", "0.2")
    desk.do(fills(fill(1, "1", "100")))
    shown = convert.valued(convert.seen(desk.book.positions[held.position_id], desk.book), RULES)
    assert (shown.venue_liquidation_price, shown.HasField("venue_liquidation_observed_at")) == ("", False)
    assert shown.estimated_liquidation_price
