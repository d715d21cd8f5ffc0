"""Estimated closes, restated when the fills that really happened arrive: to the last digit, by events, each once."""

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
from position_service.domain.book import Draft
from position_service.domain.decide import decide
from position_service.domain.errors import InvalidValue
from position_service.domain.events import EventType
from position_service.domain.position import Estimate, Key, Position, Side, Status
from tests.position_samples import BTC, NOW, Desk, fill, fills

KEY = Key("main", *BTC)
REVERSED, RESTATED = EventType.REVERSED, EventType.RESTATED


def guess(held: Position, size: str, price: str, **values: object) -> c.Adjust:
    """The book takes over what the venue says; what that closes is priced by a guess."""
    made = c.Adjust(
        c.Ref(held.position_id),
        reason_code="ADOPT_VENUE",
        size=Decimal(size),
        close_price=Decimal(price),
        estimated=True,
    )
    return replace(made, **values)


def executed(desk: Desk, made: c.Fill, seconds: float = -10) -> c.Fill:
    """A fill so many seconds from the desk's now."""
    return replace(made, executed_at=desk.now + timedelta(seconds=seconds))


def types(events) -> list[EventType]:
    return [event.type for event in events]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---- what a guess leaves


@pytest.mark.parametrize("side", Side)
def test_a_guessed_close_is_outstanding(desk, side):
    held = desk.open("2", "100", side=side)
    after = desk.change(guess(held, "0.5", "110"))
    (left,) = after.estimates
    assert left == Estimate(after.revision, after.updated_at, side, Decimal("1.5"), Decimal(110), Decimal(150))
    assert list(desk.book.owing(KEY)) == [after]


def test_what_is_known_or_was_never_held_leaves_nothing(desk):
    held = desk.open("2", "100")
    assert desk.change(guess(held, "1", "110", estimated=False)).estimates == ()
    assert desk.change(guess(held, "3", "110", estimated=False)).estimates == ()
    assert desk.change(guess(held, "3", "110", entry_price=Decimal(90))).estimates == ()
    desk.open("2", "100", symbol="ETH", asset="ETH/USD", pending=True)
    assert desk.change(replace(guess(held, "1", "110"), ref=c.Ref(symbol="ETH"))).estimates == ()
    assert list(desk.book.owing(KEY)) == []


# ---- the fill arrives


@pytest.mark.parametrize(("side", "sign"), [(Side.LONG, 1), (Side.SHORT, -1)])
def test_the_true_fill_takes_the_place_of_the_guess_though_the_position_has_ended(desk, side, sign):
    held = desk.open("2", "100", side=side)
    ended = desk.change(guess(held, "0", "110"))
    assert (ended.status, ended.realized, ended.estimated) == (Status.CLOSED, 20 * sign, 20 * sign)
    true = executed(desk, fill(1, str(-2 * sign), "104", Fee(Decimal("0.3"))))
    back, booked = desk.do(fills(true))
    assert (back.type, back.before, back.after.realized, back.after.estimated) == (REVERSED, ended, 0, 0)
    assert (back.trade.size, back.trade.price, back.trade.realized, back.trade.fill_id) == (2, 110, -20 * sign, "")
    assert (booked.type, booked.before, booked.after.realized) == (RESTATED, back.after, 8 * sign - Decimal("0.3"))
    assert booked.trade == replace(booked.trade, size=Decimal(2), price=Decimal(104), fee=true.fee, fill_id="f1")
    assert (booked.trade.realized, booked.trade.executed_at) == (8 * sign - Decimal("0.3"), true.executed_at)
    link = {"reason_code": "FILL_ARRIVED", "corrects_revision": ended.revision}
    assert json.loads(back.note) == link | {"estimated": True}
    assert json.loads(booked.note) == link | {"estimated": False}
    expected = replace(ended, realized=booked.after.realized, estimated=Decimal(0), estimates=())
    assert booked.after == replace(expected, revision=booked.revision, updated_at=booked.time)
    assert list(desk.book.owing(KEY)) == []
    assert desk.book.positions == {}


def test_it_is_restated_where_the_position_lives_on(desk):
    held = desk.open("3", "100")
    desk.do(guess(held, "1", "110"))
    assert types(desk.do(fills(executed(desk, fill(1, "-2", "90"))))) == [REVERSED, RESTATED]
    after = desk.book.position(held.position_id)
    assert (after.size, after.cost, after.realized, after.estimated) == (1, 100, -20, 0)
    assert after.status is Status.REDUCED


def test_it_is_restated_where_the_instrument_was_opened_again(desk):
    held = desk.open("2", "100")
    desk.do(guess(held, "0", "110"))
    again = desk.open("5", "200")
    events = desk.do(fills(executed(desk, fill(1, "-2", "90"))))
    assert (types(events), {e.subject for e in events}) == ([REVERSED, RESTATED], {held.position_id})
    assert desk.book.positions == {again.position_id: again}


def test_fills_use_an_estimate_up_piece_by_piece(desk):
    held = desk.open("3", "100")
    desk.do(guess(held, "0", "110"))
    for number, price, realized, estimated in ((1, "101", 21, 20), (2, "102", 13, 10), (3, "103", 6, 0)):
        true = replace(fill(number, "-1", price), executed_at=NOW)
        assert types(desk.do(fills(true))) == [REVERSED, RESTATED]
        after = desk.final()[held.position_id]
        assert (after.realized, after.estimated) == (realized, estimated)
        assert sum(e.size for e in after.estimates) == 3 - number
    assert after.estimates == ()
    assert types(desk.do(fills(executed(desk, fill(4, "-1", "100"))))) == [EventType.OPENED]


def test_one_fill_restates_the_oldest_estimates_first_and_trades_the_rest(desk):
    first = desk.open("1", "100")
    one = desk.change(guess(first, "0", "110"))
    second = desk.open("4", "100")
    two = desk.change(guess(second, "3", "120"))
    three = desk.change(guess(second, "1", "130"))
    # Of 4.5: 1 of the first position, 1 and 2 of the second; what is left of that, 1, closes; 0.5 opens a short.
    true = executed(desk, fill(1, "-5.5", "90", Fee(Decimal("5.5"))))
    events = desk.do(fills(true))
    assert types(events) == [REVERSED, RESTATED] * 3 + [EventType.CLOSED, EventType.OPENED]
    linked = [json.loads(e.note)["corrects_revision"] for e in events[::2][:3]]
    assert linked == [one.revision, two.revision, three.revision]
    booked = [e.trade for e in events if e.type is not REVERSED]
    assert [t.size for t in booked] == [1, 1, 2, 1, Decimal("0.5")]
    assert [t.fee.amount for t in booked] == [1, 1, 2, 1, Decimal("0.5")]
    assert {t.fill_id for t in booked} == {"f1"}
    assert [p.realized for p in desk.final().values()] == [-11, -44, Decimal("-0.5")]


@pytest.mark.parametrize(("sold", "type_"), [("-2.5", EventType.REDUCED), ("-3", EventType.CLOSED)])
def test_what_a_fill_has_beyond_the_estimates_closes_what_is_left(desk, sold, type_):
    held = desk.open("3", "100")
    desk.do(guess(held, "1", "110"))
    assert types(desk.do(fills(executed(desk, fill(1, sold, "90"))))) == [REVERSED, RESTATED, type_]


def test_the_fees_of_a_fill_in_pieces_add_up(desk):
    held = desk.open("3", "100")
    desk.do(guess(held, "2", "110"))
    desk.do(guess(held, "0", "110"))
    third = Decimal("0.000000000000000001")
    events = desk.do(fills(executed(desk, fill(1, "-3", "100", Fee(third, "HYPE")))))
    assert sum(e.trade.fee.amount for e in events) == third
    assert events[-1].after.other_fees == (("HYPE", third),)
    assert events[-1].after.realized == 0


def test_what_was_executed_after_the_correction_is_a_trade(desk):
    held = desk.open("3", "100")
    at = desk.change(guess(held, "1", "110")).updated_at
    late = replace(fill(1, "-1", "90"), executed_at=at + timedelta(microseconds=1))
    (event,) = desk.do(fills(late))
    assert (event.type, len(event.after.estimates)) == (EventType.CLOSED, 1)
    assert types(desk.do(fills(replace(fill(2, "-1", "90"), executed_at=at)))) == [REVERSED, RESTATED]


def test_what_does_not_close_the_estimated_side_is_a_trade(desk):
    held = desk.open("3", "100")
    desk.do(guess(held, "1", "110"))
    assert types(desk.do(fills(executed(desk, fill(1, "1", "90"))))) == [EventType.INCREASED]


@pytest.mark.parametrize("other", [{"symbol": "ETH", "asset": "ETH/USD"}, {"venue": "coinbase"}])
def test_another_instrument_is_another_matter(desk, other):
    desk.do(guess(desk.open("3", "100"), "1", "110"))
    assert types(desk.do(fills(executed(desk, fill(1, "-1", "90", **other))))) == [EventType.OPENED]
    command = replace(fills(executed(desk, fill(2, "-1", "90"))), account="other")
    assert types(desk.do(command)) == [EventType.OPENED]


def test_a_fill_that_is_known_restates_nothing_again(desk):
    held = desk.open("3", "100")
    desk.do(guess(held, "1", "110"))
    true = executed(desk, fill(1, "-1", "90"))
    assert types(desk.do(fills(true, true))) == [REVERSED, RESTATED]
    assert desk.do(fills(true)) == []
    assert desk.final()[held.position_id].estimates[0].size == 1


def test_a_forced_fill_says_so(desk):
    held = desk.open("3", "100")
    desk.do(guess(held, "1", "110"))
    events = desk.do(fills(executed(desk, replace(fill(1, "-2", "90"), liquidation=True))))
    assert [json.loads(e.note).get("liquidation") for e in events] == [True, True]
    assert events[-1].after.status is Status.REDUCED


def test_an_announced_opening_is_not_touched_by_the_fill_of_an_estimate(desk):
    desk.do(guess(desk.open("3", "100"), "0", "110"))
    announced = desk.open("1", "100", pending=True)
    assert types(desk.do(fills(executed(desk, fill(1, "-3", "90"))))) == [REVERSED, RESTATED]
    assert desk.book.position(announced.position_id) == announced


def test_a_refused_batch_restates_nothing(desk):
    held = desk.open("3", "100")
    after = desk.change(guess(held, "1", "110"))
    true = executed(desk, fill(1, "-2", "90"))
    with pytest.raises(InvalidValue) as error:
        desk.do(fills(true, fill(1_000, "9" * 20, "1")))
    assert error.value.field == "fills[1]"
    assert list(desk.book.owing(KEY)) == [after]


def test_a_batch_of_commands_sees_what_the_ones_before_it_restated(desk):
    """One commit: opened, guessed, partly restated, touched, restated."""
    batch = Draft(desk.book)
    desk_now = desk.context()

    def then(command: c.Command) -> Draft:
        decided = decide(batch, command, desk_now)
        batch.absorb(decided)
        return decided

    then(fills(replace(fill(1, "4", "100"), executed_at=NOW)))
    held = batch.held(KEY)
    then(guess(held, "1", "110"))
    then(c.Update(c.Ref(held.position_id), leverage=Decimal(3)))
    assert types(then(fills(replace(fill(2, "-1", "90"), executed_at=NOW))).events) == [REVERSED, RESTATED]
    then(c.Close(c.Ref(held.position_id), price=Decimal(100)))
    last = then(fills(replace(fill(3, "-2", "80"), executed_at=NOW))).events
    assert types(last) == [REVERSED, RESTATED]
    assert list(batch.owing(KEY)) == []
    assert types(then(fills(replace(fill(4, "-1", "90"), executed_at=NOW))).events) == [EventType.OPENED]
    assert (last[-1].after.realized, last[-1].after.leverage) == (-50, 3)


# ---- money, against fractions


class Truth:
    """What really happened at the venue: inventory, cash, and which fills the book has not been told."""

    def __init__(self) -> None:
        self.size = Fraction(0)  # signed
        self.cash = Fraction(0)
        self.gas = Fraction(0)
        self.missed: list[c.Fill] = []  # never told
        self.untold = False  # missed since the last correction

    def happen(self, made: c.Fill) -> None:
        signed = Fraction(made.size) * (1 if made.is_buy else -1)
        self.size += signed
        self.cash -= signed * Fraction(made.price)
        if made.fee.currency:
            self.gas += Fraction(made.fee.amount)
        else:
            self.cash -= Fraction(made.fee.amount)


amounts = st.decimals(min_value="0.001", max_value="9", places=3)
prices = st.decimals(min_value="0.5", max_value="999", places=5)
fees = st.builds(Fee, st.decimals(min_value="-1", max_value="1", places=7), st.sampled_from(["", "HYPE"]))
parts = st.sampled_from([Fraction(1, 3), Fraction(1, 2), Fraction(1, 7), Fraction(1)])
grow = st.tuples(st.just("grow"), amounts, prices, fees, st.booleans())
lose = st.tuples(st.just("lose"), parts, prices, fees, st.booleans())
adopt = st.tuples(st.just("adopt"), prices)
arrive = st.tuples(st.just("arrive"), st.integers(0, 5))
lives = st.lists(st.one_of(grow, lose, lose, adopt, arrive), min_size=3, max_size=14)


def exactly(size: Fraction) -> Decimal:
    """A size as an amount: all of them are thousandths."""
    return Decimal(size.numerator) / Decimal(size.denominator)


def some(size: Fraction, part: Fraction) -> Decimal:
    """About a part of a size; never nothing."""
    exact = exactly(size) * part.numerator / part.denominator
    return max(exact.quantize(Decimal("0.001")), Decimal("0.001"))


class Life:
    """One history, told twice: to a desk that was always told at once, and to one that misses fills and adopts."""

    def __init__(self) -> None:
        self.truth, self.desk, self.informed = Truth(), Desk(), Desk()
        self.count = 0

    def trade(self, signed: Decimal, price: Decimal, fee: Fee, *, told: bool) -> None:
        self.count += 1
        made = replace(fill(self.count, signed, price, fee), executed_at=self.desk.now)
        self.truth.happen(made)
        self.informed.do(fills(made))
        if told:
            self.desk.do(fills(made))
        else:
            self.truth.missed.append(made)
            self.truth.untold = True

    def adopt(self, price: Decimal) -> None:
        """The book takes over the venue's size."""
        held = self.desk.book.held(KEY)
        if self.truth.untold and held is not None:
            self.desk.do(guess(held, str(exactly(abs(self.truth.size))), str(price)))
        self.truth.untold = False

    def step(self, kind: str, *values) -> None:
        size, sign = self.truth.size, 1 if self.truth.size > 0 else -1
        if kind == "grow":
            amount, price, fee, buys = values
            direction = sign if size else (1 if buys else -1)
            self.trade(amount * direction, price, fee, told=True)
        elif kind == "lose" and size:
            part, price, fee, told = values
            self.trade(-sign * some(abs(size), part), price, fee, told=told)
            if not self.truth.size:
                self.adopt(price + 1)
        elif kind == "adopt":
            self.adopt(*values)
        elif kind == "arrive" and self.truth.missed and not self.truth.untold:
            self.desk.do(fills(self.truth.missed.pop(values[0] % len(self.truth.missed))))

    def end(self) -> None:
        if self.truth.size:
            self.trade(-exactly(self.truth.size), Decimal(7), Fee(), told=True)
        self.adopt(Decimal(3))
        self.desk.do(fills(*reversed(self.truth.missed)))


@given(steps=lives)
def test_once_all_fills_have_arrived_all_is_as_if_they_had_never_been_missed(steps):
    life = Life()
    for each in steps:
        life.step(*each)
    life.end()
    late, informed = life.desk.final().values(), life.informed.final().values()
    assert {p.status for p in [*late, *informed]} <= {Status.CLOSED}
    assert sum(Fraction(p.realized) for p in late) == life.truth.cash
    assert sum(p.realized for p in late) == sum(p.realized for p in informed)
    assert sum(Fraction(amount) for p in late for _, amount in p.other_fees) == life.truth.gas
    assert [(p.estimated, p.estimates) for p in late] == [(0, ())] * len(late)
    assert list(life.desk.book.owing(KEY)) == []
    assert sum(e.trade.realized for e in life.desk.events) == sum(p.realized for p in late)


@given(steps=lives)
def test_what_is_estimated_is_what_outstanding_estimates_realised(steps):
    life = Life()
    for each in steps:
        life.step(*each)
        for p in life.desk.final().values():
            owed = sum((e.price * e.size - e.cost) * e.side.sign for e in p.estimates)
            assert p.estimated == owed
            assert all(e.size > 0 for e in p.estimates)
    assert {p.position_id for p in life.desk.book.owing(KEY)} == {
        p.position_id for p in life.desk.final().values() if p.estimates
    }
