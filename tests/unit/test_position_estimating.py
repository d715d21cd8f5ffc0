"""What corrections opened at a guess: restated by the fills that come, in the basis or in what was realised since."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from position_service.domain import commands as c
from position_service.domain.algebra import Fee
from position_service.domain.errors import InvalidValue
from position_service.domain.estimating import KEPT_FOR, MOST
from position_service.domain.events import EventType
from position_service.domain.position import Estimate, Guess, Key, Position, Side, Status
from position_service.domain.risk import Rules
from tests.position_samples import BTC, NOW, Desk, fill, fills, open_

KEY = Key("main", *BTC)
REVERSED, RESTATED = EventType.REVERSED, EventType.RESTATED
OPENED, SPENT, CLOSED = Guess.OPENED, Guess.SPENT, Guess.CLOSED


def d(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def adopt(held: Position, size: str, entry: str | None = None, close: str | None = None, **values: object) -> c.Adjust:
    """The book takes over what the venue says."""
    made = c.Adjust(
        c.Ref(held.position_id),
        reason_code="ADOPT_VENUE",
        size=d(size),
        entry_price=d(entry),
        close_price=d(close),
        estimated=True,
    )
    return replace(made, **values)


def late(desk: Desk, number: int, signed: str, price: str, fee: str = "0") -> c.RecordFills:
    """A fill of ten seconds ago."""
    made = fill(number, signed, price, Fee(Decimal(fee)))
    return fills(replace(made, executed_at=desk.now - timedelta(seconds=10)))


def left(position: Position) -> list[tuple[Guess, str, str]]:
    """The outstanding estimates: kind, size, cost."""
    return [(e.kind, f"{e.size.normalize():f}", f"{e.cost.normalize():f}") for e in position.estimates]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---- what a guess leaves


@pytest.mark.parametrize("side", Side)
def test_what_is_opened_or_added_or_turned_is_outstanding(desk, side):
    held = desk.change(open_("2", "100", side=side, estimated=True))
    assert held.estimates == (Estimate(held.revision, held.updated_at, side, d("2"), d("100"), d("200"), OPENED),)
    after = desk.change(adopt(held, "5", "106"))
    assert left(after) == [(OPENED, "2", "200"), (OPENED, "3", "330")]
    assert after.estimates[1].price == 110
    turned = desk.change(adopt(held, "3", "105", "104", side=side.other))
    assert left(turned) == [(SPENT, "2", "200"), (SPENT, "3", "330"), (CLOSED, "5", "530"), (OPENED, "3", "315")]
    assert [e.side for e in turned.estimates] == [side, side, side, side.other]
    assert list(desk.book.owing(KEY)) == [turned]


def test_without_an_entry_price_the_average_is_the_guess(desk):
    assert left(desk.change(adopt(desk.open("2", "100"), "3"))) == [(OPENED, "1", "100")]


def test_where_the_average_was_wrong_as_well_the_fill_has_the_last_word(desk):
    """Two at 100 are said to be three at 60. Only for show, what was added has a price all the same."""
    held = desk.open("2", "100")
    after = desk.change(adopt(held, "3", "60"))
    assert (left(after), after.cost, after.estimates[0].price) == ([(OPENED, "1", "-20")], 180, 60)
    after = desk.change(adopt(held, "3", "61"))
    assert (left(after), after.cost, after.estimates[0].price) == ([(OPENED, "1", "-17")], 183, 60)
    assert desk.do(late(desk, 1, "1", "90"))[-1].after.cost == 290


def test_what_is_announced_leaves_nothing_until_it_is_confirmed_at_a_guess(desk):
    held = desk.open("1", "100", pending=True)
    assert desk.change(adopt(held, "2", "100")).estimates == ()
    after = desk.change(c.ConfirmOpen(c.Ref(held.position_id), estimated=True))
    assert (left(after), after.status) == ([(OPENED, "2", "200")], Status.OPEN)
    with pytest.raises(InvalidValue) as error:
        desk.do(open_(symbol="ETH", asset="ETH/USD", pending=True, estimated=True))
    assert error.value.field == "estimated"


@pytest.mark.parametrize("command", [open_(estimated=True), c.ConfirmOpen(c.Ref(symbol="BTC"), estimated=True)])
def test_the_state_that_was_taken_over_is_not_in_the_future_and_dates_the_guess(desk, command):
    if isinstance(command, c.ConfirmOpen):
        desk.open(pending=True)
    with pytest.raises(InvalidValue) as error:
        desk.do(replace(command, as_of=desk.now + timedelta(minutes=2)))
    assert error.value.field == "as_of"
    seen = desk.now - timedelta(minutes=2)
    assert [e.at for e in desk.change(replace(command, as_of=seen)).estimates] == [seen]


# ---- the fill arrives


@pytest.mark.parametrize(("side", "sign"), [(Side.LONG, ""), (Side.SHORT, "-")])
def test_the_true_fill_takes_the_place_of_the_guess_in_the_basis(desk, side, sign):
    held = desk.change(open_("2", "100", side=side, estimated=True))
    (event,) = desk.do(late(desk, 1, f"{sign}2", "104", "0.3"))
    after = event.after
    assert (event.type, event.before) == (RESTATED, held)
    assert (after.size, after.cost, after.entry_price) == (2, 208, 104)
    assert (after.realized, after.estimated, after.estimates) == (Decimal("-0.3"), 0, ())
    assert (event.trade.size, event.trade.price, event.trade.fee.amount) == (2, 104, Decimal("0.3"))
    assert (event.trade.realized, event.trade.fill_id) == (Decimal("-0.3"), "f1")
    link = {"reason_code": "FILL_ARRIVED", "corrects_revision": held.revision, "estimated": False}
    assert json.loads(event.note) == link
    assert [e.type for e in desk.do(late(desk, 2, f"{sign}1", "104"))] == [EventType.INCREASED]


def test_only_what_was_added_is_restated_and_the_rest_keeps_every_digit(desk):
    held = desk.open("3", "100.1")
    desk.do(adopt(held, "4", "102.58"))
    (event,) = desk.do(late(desk, 1, "1", "110.0001"))
    assert event.after.cost == Decimal("300.3") + Decimal("110.0001")


def test_what_was_closed_since_is_restated_in_what_it_realised(desk):
    held = desk.change(open_("2", "100", estimated=True))
    desk.do(fills(fill(1, "-0.5", "110", executed_at=NOW + timedelta(hours=1))))
    desk.do(fills(fill(2, "-0.5", "120", executed_at=NOW + timedelta(hours=1))))
    after = desk.book.position(held.position_id)
    assert (left(after), after.realized) == ([(SPENT, "1", "100"), (OPENED, "1", "100")], 15)
    one, two = desk.do(late(desk, 3, "2", "105", "0.4"))
    assert (one.type, one.after.realized, one.after.cost) == (RESTATED, Decimal("9.8"), 100)
    assert (two.type, two.after.realized, two.after.cost) == (RESTATED, Decimal("9.6"), 105)
    assert [e.trade.realized for e in (one, two)] == [Decimal("-5.2"), Decimal("-0.2")]
    assert two.after.estimates == ()


@pytest.mark.parametrize(("side", "sign"), [(Side.LONG, 1), (Side.SHORT, -1)])
def test_it_is_restated_though_the_position_has_ended(desk, side, sign):
    held = desk.change(open_("2", "100", side=side, estimated=True))
    desk.do(c.Close(c.Ref(held.position_id), price=Decimal(110)))
    (event,) = desk.do(late(desk, 1, str(2 * sign), "105"))
    assert (event.type, event.subject, event.after.status) == (RESTATED, held.position_id, Status.CLOSED)
    assert (event.after.realized, event.after.cost, event.after.estimates) == (10 * sign, 0, ())
    assert list(desk.book.owing(KEY)) == []


def test_what_was_opened_and_closed_at_a_guess_comes_out_true(desk):
    held = desk.change(open_("2", "100", estimated=True))
    ended = desk.change(adopt(held, "0", close="110"))
    assert (ended.realized, ended.estimated, left(ended)) == (20, 20, [(SPENT, "2", "200"), (CLOSED, "2", "200")])
    desk.do(late(desk, 1, "2", "103"))
    desk.do(late(desk, 2, "-2", "107"))
    final = desk.final()[held.position_id]
    assert (final.realized, final.estimated, final.estimates) == (8, 0, ())


def test_a_fill_for_what_turned_closes_first_and_opens_then(desk):
    held = desk.open("2", "100")
    desk.do(adopt(held, "3", "105", "104", side=Side.SHORT))
    back, closed, opened = desk.do(late(desk, 1, "-5", "106"))
    assert [e.type for e in (back, closed, opened)] == [REVERSED, RESTATED, RESTATED]
    after = opened.after
    assert (after.side, after.size, after.cost, after.realized, after.estimates) == (Side.SHORT, 3, 318, 12, ())


def test_a_part_of_a_fill_restates_and_the_rest_is_traded(desk):
    held = desk.open("2", "100")
    desk.do(adopt(held, "3", "100"))
    one, two = desk.do(late(desk, 1, "1.5", "110"))
    assert (one.type, two.type) == (RESTATED, EventType.INCREASED)
    assert (two.after.size, two.after.cost) == (Decimal("3.5"), 365)


def test_what_was_executed_later_or_the_other_way_is_a_trade(desk):
    held = desk.change(open_("2", "100", estimated=True))
    later = replace(fill(1, "1", "90"), executed_at=held.updated_at + timedelta(microseconds=1))
    assert [e.type for e in desk.do(fills(later))] == [EventType.INCREASED]
    assert [e.type for e in desk.do(late(desk, 2, "-1", "90"))] == [EventType.REDUCED]


def test_a_basis_that_was_corrected_meanwhile_is_what_the_fill_says_in_the_end(desk):
    """The venue named no price at first; then it did. Once the fill has come, it is exact."""
    held = desk.open("1", "100")
    desk.do(adopt(held, "2"))
    after = desk.change(adopt(held, "2", "110"))
    assert (left(after), after.cost, after.estimates[0].price) == ([(OPENED, "1", "120")], 220, 120)
    (event,) = desk.do(late(desk, 1, "1", "120.01"))
    assert event.after.cost == Decimal("220.01")


def test_a_risk_that_the_true_price_brings_is_told_once(desk):
    desk.change(open_("1", "100", leverage=Decimal(10), estimated=True))
    desk.mark("104")
    assert [e.type for e in desk.do(late(desk, 1, "1", "113"))] == [RESTATED, EventType.RISK_ENTERED]
    assert Rules().threshold == 5


# ---- settled


def test_an_estimate_is_settled_when_no_fill_came_for_long(desk):
    held = desk.open("3", "100")
    desk.do(adopt(held, "2", close="110"))
    kept = desk.change(adopt(held, "4", "100"))
    assert (len(kept.estimates), kept.estimated) == (2, 10)
    desk.now = kept.estimates[0].at + KEPT_FOR
    assert len(desk.change(c.Update(c.Ref(held.position_id), leverage=Decimal(2))).estimates) == 2
    desk.now = kept.estimates[0].at + KEPT_FOR + timedelta(microseconds=1)
    settled = desk.change(c.Update(c.Ref(held.position_id), leverage=Decimal(3)))
    assert (left(settled), settled.estimated) == ([(OPENED, "2", "200")], 10)
    # Even before an event has taken it away, no fill restates what is settled.
    desk.now = kept.estimates[1].at + KEPT_FOR + timedelta(seconds=1)
    old = fills(replace(fill(1, "1", "90"), executed_at=NOW))
    assert [e.type for e in desk.do(old)] == [EventType.INCREASED]
    assert list(desk.book.owing(KEY)) == []


def test_a_final_position_is_not_restated_for_ever(desk):
    ended = desk.change(adopt(desk.open("1", "100"), "0", close="110"))
    desk.now += KEPT_FOR + timedelta(seconds=1)
    old = fills(replace(fill(1, "-1", "90"), executed_at=NOW))
    assert [e.type for e in desk.do(old)] == [EventType.OPENED]
    assert desk.final()[ended.position_id] == ended


def test_the_oldest_of_too_many_is_settled(desk):
    held = desk.open("1", "100")
    made = [desk.change(adopt(held, str(2 + n), "100")) for n in range(MOST + 3)]
    after = made[-1]
    assert [e.revision for e in after.estimates] == [p.revision for p in made[-MOST:]]
    assert len(made[MOST - 1].estimates) == MOST


# ---- money, against fractions


class Life:
    """What happened at a venue, and a desk that is told of some of it and takes over the rest as the venue shows it."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.size = self.cash = self.cost = Fraction(0)  # signed size; cost of what is held
        self.missed: list[c.Fill] = []  # never told
        self.untold = False  # missed since the last correction
        self.count = 0

    def trade(self, signed: Decimal, price: Decimal, fee: Decimal, *, told: bool) -> None:
        self.count += 1
        made = replace(fill(self.count, signed, price, Fee(fee)), executed_at=self.desk.now)
        change, paid = Fraction(signed), Fraction(price)
        self.cash -= change * paid + Fraction(fee)
        before, self.size = self.size, self.size + change
        if before * change >= 0:
            self.cost += abs(change) * paid
        elif before * self.size > 0:
            self.cost *= self.size / before
        else:
            self.cost = abs(self.size) * paid
        if told:
            self.desk.do(fills(made))
        else:
            self.missed.append(made)
            self.untold = True

    def adopt(self, close: Decimal, *, names_price: bool) -> None:
        """The book says what the venue says, its average price rounded to five digits."""
        held = self.desk.book.held(KEY)
        size, side = exactly(abs(self.size)), Side.LONG if self.size > 0 else Side.SHORT
        entry = exactly(self.cost / abs(self.size)) if self.size else None
        if entry is not None:
            entry = Decimal(f"{entry:.5g}")
        if self.untold and held is None and entry is not None:
            self.desk.do(open_(str(size), str(entry), side=side, estimated=True))
        elif self.untold and held is not None:
            turns = size > 0 and side is not held.side
            command = adopt(held, str(size), None, str(close), side=side if size else held.side)
            # What is closed leaves the average as it is: a price is only news of what is added.
            if entry is not None and (turns or (names_price and size > held.size)):
                command = replace(command, entry_price=entry)
            if turns or size != held.size:
                self.desk.do(command)
        self.untold = False


def exactly(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


amounts = st.decimals(min_value="0.001", max_value="9", places=3)
prices = st.decimals(min_value="50", max_value="150", places=3)
fees = st.decimals(min_value="-1", max_value="1", places=7)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), amounts, prices, fees, st.booleans(), st.booleans()),
        st.tuples(st.just("adopt"), prices, st.booleans()),
        st.tuples(st.just("arrive"), st.integers(0, 5)),
    ),
    min_size=3,
    max_size=14,
)


@given(steps=steps)
def test_once_all_fills_have_arrived_what_was_realised_is_the_cash_that_moved(steps):
    life = Life()
    for kind, *values in steps:
        if kind == "trade":
            amount, price, fee, buys, told = values
            if life.untold and told:
                life.adopt(price, names_price=buys)  # as the cycle does, before the book hears of anything newer
            life.trade(amount if buys else -amount, price, fee, told=told)
        elif kind == "adopt":
            life.adopt(values[0], names_price=values[1])
        elif life.missed and not life.untold:
            life.desk.do(fills(life.missed.pop(values[0] % len(life.missed))))
    life.adopt(Decimal(100), names_price=True)
    life.desk.do(fills(*life.missed))
    held = life.desk.book.held(KEY)
    assert (held.size * held.side.sign if held else 0) == exactly(life.size)
    if life.size:
        life.trade(-exactly(life.size), Decimal(70), Decimal(0), told=True)
    everyone = life.desk.final().values()
    assert sum(Fraction(p.realized) for p in everyone) == life.cash
    assert [(p.estimated, p.estimates) for p in everyone] == [(0, ())] * len(everyone)
    assert sum(e.trade.realized for e in life.desk.events if e.trade) == sum(p.realized for p in everyone)
