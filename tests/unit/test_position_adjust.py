"""Corrections: what they change, what they realise, and that nothing is lost or invented on the way."""

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
from position_service.domain.errors import InvalidValue, PositionNotFound, StaleRevision
from position_service.domain.events import EventType
from position_service.domain.position import Position, Side, Status
from tests.position_samples import Desk

OTHER = {Side.LONG: Side.SHORT, Side.SHORT: Side.LONG}


def d(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def adjust(held: Position, **values: object) -> c.Adjust:
    """A correction; amounts as text."""
    amounts = {name: d(values.pop(name, None)) for name in ("size", "entry_price", "close_price")}
    made = c.Adjust(c.Ref(held.position_id), reason_code="ADOPT_VENUE", **amounts)
    return replace(made, **values)


def refused(desk: Desk, command: c.Adjust) -> str:
    """The field that is complained about; nothing happened."""
    events = len(desk.events)
    with pytest.raises(InvalidValue) as error:
        desk.do(command)
    assert len(desk.events) == events
    return error.value.field


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---- size and price


def test_less_than_was_thought_is_closed_at_the_given_price(desk):
    held = desk.open("2", "100")
    (event,) = desk.do(adjust(held, size="0.5", close_price="110"))
    after = event.after
    assert (event.type, event.before, event.reason) == (EventType.ADJUSTED, held, "because")
    assert (after.size, after.entry_price, after.cost, after.peak) == (Decimal("0.5"), 100, 50, 2)
    assert (after.status, after.realized, after.estimated) == (Status.REDUCED, 15, 0)
    assert (event.trade.size, event.trade.price, event.trade.realized) == (Decimal("1.5"), 110, 15)
    assert json.loads(event.note) == {"reason_code": "ADOPT_VENUE", "estimated": False}


def test_less_at_another_entry_price_realises_at_the_old_one(desk):
    held = desk.open("2", "100")
    after = desk.change(adjust(held, size="1", entry_price="90", close_price="110"))
    assert (after.size, after.cost, after.realized) == (1, 90, 10)


def test_more_than_was_thought_was_bought_at_the_same_price(desk):
    held = desk.open("2", "100")
    (event,) = desk.do(adjust(held, size="3", close_price="7"))
    assert (event.after.size, event.after.cost, event.after.peak, event.after.realized) == (3, 300, 3, 0)
    assert event.after.status is Status.OPEN
    assert (event.trade.size, event.trade.price, event.trade.realized) == (1, None, 0)  # nothing was closed


def test_more_at_another_entry_price(desk):
    after = desk.change(adjust(desk.open("2", "100"), size="3", entry_price="110"))
    assert (after.size, after.cost, after.realized) == (3, 330, 0)


def test_a_tiny_position_keeps_its_price_when_it_grows(desk):
    """Its basis has more digits than a price may have; none may get lost."""
    held = desk.open("0.0000000001", "0.1234567890123")
    assert desk.change(adjust(held, size="0.0000000003")).entry_price == held.entry_price
    held = desk.open("0.000000000000000001", "0.000000000000000001", symbol="ETH", asset="ETH/USD")
    assert desk.change(adjust(held, size="7")).entry_price == held.entry_price


def test_a_price_that_does_not_end_stays_the_price_when_the_position_grows(desk):
    held = desk.open("1", "1")
    held = desk.change(c.Increase(c.Ref(held.position_id), size=Decimal(2), price=Decimal("1.5")))  # 4 / 3
    assert desk.change(adjust(held, size="5")).entry_price == held.entry_price


def test_another_entry_price_realises_nothing(desk):
    (event,) = desk.do(adjust(desk.open("2", "100"), entry_price="99.5"))
    assert (event.after.size, event.after.cost, event.after.realized) == (2, 199, 0)
    assert (event.trade.size, event.trade.price) == (0, None)


@pytest.mark.parametrize("estimated", [False, True])
def test_a_size_of_nothing_closes(desk, estimated):
    held = desk.open("2", "100", side=Side.SHORT)
    (event,) = desk.do(adjust(held, size="0", close_price="90", estimated=estimated))
    after = event.after
    assert (after.status, after.size, after.cost, after.final_entry, after.realized) == (Status.CLOSED, 0, 0, 100, 20)
    assert after.estimated == (20 if estimated else 0)
    assert after.closed_at == event.time
    assert desk.open().size  # its key is free again


def test_the_price_that_is_shown_changes_nothing(desk):
    """4 / 3 is shown rounded. To repeat what is shown must not cost the digits that are not."""
    held = desk.open("1", "1")
    held = desk.change(c.Increase(c.Ref(held.position_id), size=Decimal(2), price=Decimal("1.5")))
    assert refused(desk, adjust(held, entry_price=str(held.entry_price))) == "size"
    after = desk.change(adjust(held, size="1.5", entry_price=str(held.entry_price), close_price="2"))
    assert (after.cost, after.realized) == (2, 1)


@pytest.mark.parametrize("fields", [{}, {"size": "2"}, {"entry_price": "100"}, {"side": Side.LONG, "close_price": "9"}])
def test_what_the_position_says_already_is_no_correction(desk, fields):
    assert refused(desk, adjust(desk.open("2", "100"), **fields)) == "size"


@pytest.mark.parametrize("fields", [{"size": "1"}, {"size": "0"}, {"side": Side.SHORT, "entry_price": "1"}])
def test_pnl_is_never_invented(desk, fields):
    assert refused(desk, adjust(desk.open("2", "100"), **fields)) == "close_price"


def test_a_size_beyond_the_range_of_amounts_is_refused(desk):
    assert refused(desk, adjust(desk.open("2", "100"), size="1" + "0" * 20)) == "size"


# ---- side


@pytest.mark.parametrize(("side", "sign"), [(Side.LONG, 1), (Side.SHORT, -1)])
def test_the_wrong_side_is_closed_and_the_right_one_opened(desk, side, sign):
    held = desk.open("2", "100", side=side)
    turned = adjust(held, side=OTHER[side], size="3", entry_price="105", close_price="110")
    assert refused(desk, replace(turned, entry_price=None)) == "entry_price"
    (event,) = desk.do(turned)
    after = event.after
    assert (after.side, after.size, after.cost, after.realized) == (OTHER[side], 3, 315, 20 * sign)
    assert (after.status, after.closed_at, after.final_entry, after.peak) == (Status.OPEN, None, 0, 3)
    assert (event.trade.size, event.trade.price, event.trade.realized) == (2, 110, 20 * sign)
    assert after.position_id == held.position_id


def test_the_other_side_at_the_same_price_has_a_basis(desk):
    turned = adjust(desk.open("2", "100"), side=Side.SHORT, entry_price="100", close_price="100")
    assert desk.change(turned).cost == 200
    held = desk.open("1", "1", symbol="ETH", asset="ETH/USD")
    held = desk.change(c.Increase(c.Ref(held.position_id), size=Decimal(2), price=Decimal("1.5")))  # 4 / 3
    shown = held.entry_price
    turned = adjust(held, side=Side.SHORT, entry_price=str(shown), close_price="1")
    assert desk.change(turned).cost == 3 * shown  # the rounding was the other side's


def test_the_wrong_side_of_nothing_is_closed(desk):
    after = desk.change(adjust(desk.open("2", "100"), side=Side.SHORT, size="0", close_price="110"))
    assert (after.status, after.side, after.realized) == (Status.CLOSED, Side.LONG, 20)


# ---- where it stands


@pytest.mark.parametrize(
    ("to", "status"), [("3", Status.REDUCED), ("3.9", Status.REDUCED), ("4", Status.OPEN), ("5", Status.OPEN)]
)
def test_the_status_follows_the_largest_size_it_had(desk, to, status):
    ref = c.Ref(desk.open("4", "100").position_id)
    held = desk.change(c.Reduce(ref, size=Decimal(2), price=Decimal(100)))
    assert desk.change(adjust(held, size=to)).status is status


@pytest.mark.parametrize("status", [Status.OPEN, Status.REDUCED])
def test_a_corrected_price_leaves_the_status_as_it_is(desk, status):
    held = desk.open("4", "100")
    if status is Status.REDUCED:
        desk.change(c.Reduce(c.Ref(held.position_id), size=Decimal(2), price=Decimal(100)))
        held = desk.change(c.Increase(c.Ref(held.position_id), size=Decimal(7), price=Decimal(100)))
    assert held.size == held.peak
    assert desk.change(adjust(held, entry_price="9")).status is status


@pytest.mark.parametrize(
    ("fields", "back"),
    [
        ({"entry_price": "90"}, Status.OPEN),
        ({"size": "1", "close_price": "90"}, Status.REDUCED),
        ({"size": "5"}, Status.OPEN),
    ],
)
def test_a_closing_position_stays_so_and_knows_where_it_came_from(desk, fields, back):
    held = desk.open("2", "100")
    closing = desk.change(c.Close(c.Ref(held.position_id)))
    after = desk.change(adjust(held, **fields))
    assert (after.status, after.deadline, after.returns_to) == (Status.CLOSING, closing.deadline, back)
    assert desk.change(c.CancelClose(c.Ref(held.position_id))).status is back


def test_a_closing_position_that_is_gone_is_closed(desk):
    held = desk.open("2", "100")
    desk.do(c.Close(c.Ref(held.position_id)))
    after = desk.change(adjust(held, size="0", close_price="90"))
    assert (after.status, after.returns_to, after.deadline, after.realized) == (Status.CLOSED, None, None, -20)


@pytest.mark.parametrize(
    ("fields", "size", "cost"),
    [
        ({"size": "1.5"}, "1.5", "150"),
        ({"size": "3"}, "3", "300"),
        ({"size": "3", "entry_price": "90"}, "3", "270"),
        ({"entry_price": "90", "close_price": "7"}, "2", "180"),
        ({"side": Side.SHORT}, "2", "200"),
        ({"side": Side.SHORT, "size": "1", "entry_price": "90"}, "1", "90"),
    ],
)
def test_what_is_only_announced_realises_nothing(desk, fields, size, cost):
    held = desk.open("2", "100", pending=True)
    (event,) = desk.do(adjust(held, **fields))
    after = event.after
    assert (after.size, after.peak, after.cost) == (Decimal(size), Decimal(size), Decimal(cost))
    assert (after.side, after.realized) == (fields.get("side", Side.LONG), 0)
    assert (after.status, after.deadline, event.trade.price) == (Status.OPENING, held.deadline, None)


def test_what_is_only_announced_and_is_not_there_was_never_opened(desk):
    held = desk.open("2", "100", pending=True)
    (event,) = desk.do(adjust(held, size="0", close_price="50"))
    after = event.after
    cancelled = desk.open("2", "100", pending=True)
    cancelled = desk.change(c.CancelOpen(c.Ref(cancelled.position_id)))
    own = {"position_id": after.position_id, "opened_at": after.opened_at, "closed_at": after.closed_at}
    assert after == replace(cancelled, **own, updated_at=after.updated_at, revision=after.revision)
    assert (after.closed_at, event.trade.realized, event.trade.price) == (event.time, 0, None)


# ---- risk


def test_a_correction_may_lead_into_risk_and_out_of_it(desk):
    held = desk.open("2", "100", liquidation_price=Decimal(90))
    desk.mark("94")
    assert desk.book.position(held.position_id).at_risk
    turned = adjust(held, side=Side.SHORT, entry_price="100", close_price="94")
    events = desk.do(turned)  # a short beyond its liquidation price
    assert [e.type for e in events] == [EventType.ADJUSTED]
    desk.do(adjust(held, side=Side.LONG, entry_price="100", close_price="94"))
    desk.mark("100")
    events = desk.do(adjust(held, side=Side.SHORT, entry_price="100", close_price="94"))
    assert [(e.type, e.after.at_risk) for e in events] == [
        (EventType.ADJUSTED, False),
        (EventType.RISK_ENTERED, True),
    ]
    events = desk.do(adjust(held, side=Side.LONG, entry_price="100", close_price="94"))
    assert [(e.type, e.after.at_risk) for e in events] == [(EventType.ADJUSTED, True), (EventType.RISK_LEFT, False)]


def test_what_is_closed_is_at_no_risk(desk):
    held = desk.open("2", "100", liquidation_price=Decimal(90))
    desk.mark("94")
    (event,) = desk.do(adjust(held, size="0", close_price="94"))
    assert not event.after.at_risk


# ---- what is said of it


def test_reason_evidence_and_what_is_corrected_are_kept(desk):
    held = desk.open("2", "100")
    desk.open(symbol="ETH", asset="ETH/USD")
    said = {"evidence": 'venue: {"szi":"1"} é', "corrects_revision": 2, "estimated": True}
    (event,) = desk.do(adjust(held, size="3", **said))
    assert json.loads(event.note) == {"reason_code": "ADOPT_VENUE", **said}
    assert (event.note, event.after.labels) == (
        json.dumps(json.loads(event.note), separators=(",", ":"), sort_keys=True, ensure_ascii=False),
        held.labels,
    )


def test_what_has_not_happened_cannot_be_corrected(desk):
    held = desk.open("2", "100")
    assert refused(desk, adjust(held, size="3", corrects_revision=2)) == "corrects_revision"
    assert desk.change(adjust(held, size="3", corrects_revision=1)).size == 3


def test_estimates_are_kept_apart_and_add_up(desk):
    held = desk.open("4", "100")
    realise = {"size": "3", "close_price": "110"}
    assert desk.change(adjust(held, **realise)).estimated == 0
    assert desk.change(adjust(held, size="2", close_price="105", estimated=True)).estimated == 5
    after = desk.change(adjust(held, size="1", close_price="90", estimated=True))
    assert (after.realized, after.estimated) == (5, -5)
    assert desk.change(c.Reduce(c.Ref(held.position_id), size=Decimal("0.5"), price=Decimal(120))).estimated == -5
    after = desk.change(c.Close(c.Ref(held.position_id), price=Decimal(100)))
    assert (after.realized, after.estimated) == (15, -5)


def test_corrections_obey_the_rules_of_every_move(desk):
    held = desk.open("2", "100")
    with pytest.raises(StaleRevision):
        desk.do(adjust(held, size="3", expected_revision=7))
    desk.do(c.Close(c.Ref(held.position_id), price=Decimal(1)))
    with pytest.raises(PositionNotFound):
        desk.do(adjust(held, size="3"))


# ---- money, against fractions


class Account:
    """Average cost in fractions: inventory, basis, what was realised, and how much of that was a guess."""

    def __init__(self) -> None:
        self.side, self.size, self.cost = 1, Fraction(0), Fraction(0)
        self.realized = self.estimated = Fraction(0)
        self.cash = Fraction(0)  # what went in and out, fees included; knows of no average

    def open(self, side: int, size: Fraction, price: Fraction) -> None:
        self.side, self.size, self.cost = side, size, size * price
        self.cash -= side * size * price

    def add(self, size: Fraction, price: Fraction) -> None:
        self.open(self.side, self.size + size, (self.cost + size * price) / (self.size + size))
        self.cash += self.side * (self.cost - size * price)

    def close(self, size: Fraction, price: Fraction, fee: Fraction = Fraction(0)) -> Fraction:
        share = self.cost * size / self.size
        gain = (size * price - share) * self.side
        self.realized += gain - fee
        self.cash += self.side * size * price - fee
        self.size, self.cost = self.size - size, self.cost - share
        return gain


def decimals(low: str, high: str, places: int = 6) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=low, max_value=high, places=places)


sizes, prices, fees = decimals("0.1", "9"), decimals("0.5", "999"), decimals("-1", "1")
guesses = st.booleans()
trade = st.tuples(st.sampled_from(["increase", "reduce"]), sizes, prices, fees)
shrink = st.tuples(st.just("shrink"), decimals("0.01", "0.99", 2), prices, guesses)
turn = st.tuples(st.just("turn"), sizes, prices, prices, guesses)
grow = st.tuples(st.just("grow"), decimals("1.01", "5", 2))
restate = st.tuples(st.just("restate"), prices)
everything = st.lists(st.one_of(trade, shrink, turn, grow, restate), max_size=8)
cash_only = st.lists(st.one_of(trade, shrink, turn), max_size=10)


def step(desk: Desk, account: Account, held: Position, kind: str, *values) -> None:
    """The same at the desk and in fractions."""
    ref = c.Ref(held.position_id)
    exact = [Fraction(v) for v in values if not isinstance(v, bool)]
    estimated = values[-1] is True
    gain = Fraction(0)
    if kind == "increase":
        desk.do(c.Increase(ref, size=values[0], price=values[1], fee=Fee(values[2])))
        account.add(exact[0], exact[1])
        account.realized -= exact[2]
        account.cash -= exact[2]
    elif kind == "reduce":
        if values[0] < held.size:
            desk.do(c.Reduce(ref, size=values[0], price=values[1], fee=Fee(values[2])))
            account.close(*exact)
    elif kind == "shrink":
        size = held.size * values[0]
        desk.do(c.Adjust(ref, reason_code="X", size=size, close_price=values[1], estimated=estimated))
        gain = account.close(Fraction(held.size - size), exact[1])
    elif kind == "turn":
        made = c.Adjust(ref, reason_code="X", side=OTHER[held.side], size=values[0], entry_price=values[1])
        desk.do(replace(made, close_price=values[2], estimated=estimated))
        gain = account.close(account.size, exact[2])
        account.open(-account.side, exact[0], exact[1])
    elif kind == "grow":
        desk.do(c.Adjust(ref, reason_code="X", size=held.size * values[0]))
        account.size, account.cost = account.size * exact[0], account.cost * exact[0]
    elif values[0] != held.entry_price:
        desk.do(c.Adjust(ref, reason_code="X", entry_price=values[0]))
        account.cost = account.size * exact[0]
    account.estimated += gain if estimated else 0


def replayed(opening, steps, last_price):
    """Desk and account after the steps and a correction to nothing, and the position as it ended."""
    desk, account = Desk(), Account()
    side, size, price = opening
    held = desk.open(str(size), str(price), side=side)
    account.open(side.sign, Fraction(size), Fraction(price))
    for each in steps:
        held = desk.book.position(held.position_id)
        step(desk, account, held, *each)
        now = desk.book.position(held.position_id)
        assert (Fraction(now.size), now.side.sign) == (account.size, account.side)
        assert abs(Fraction(now.cost) - account.cost) < Fraction(1, 10**9)
        assert now.peak >= now.size
        assert now.cost >= 0
    account.close(account.size, Fraction(last_price))
    return desk, account, desk.change(adjust(held, size="0", close_price=str(last_price)))


openings = st.tuples(st.sampled_from(Side), sizes, prices)


@given(opening=openings, steps=cash_only, last_price=prices)
def test_realised_is_cash_out_minus_cash_in_whatever_was_corrected(opening, steps, last_price):
    """Corrections that close are trades: to the last digit."""
    _, account, final = replayed(opening, steps, last_price)
    assert Fraction(final.realized) == account.cash


@given(opening=openings, steps=everything, last_price=prices)
def test_realised_and_estimated_add_up_over_trades_and_corrections(opening, steps, last_price):
    desk, account, final = replayed(opening, steps, last_price)
    nearly = Fraction(1, 10**9)
    assert abs(Fraction(final.realized) - account.realized) < nearly
    assert abs(Fraction(final.estimated) - account.estimated) < nearly
    assert sum(e.trade.realized for e in desk.events) == final.realized
    guessed = (e for e in desk.events if e.note and json.loads(e.note)["estimated"])
    assert sum(e.trade.realized for e in guessed) == final.estimated
    assert final.closed_at == desk.now - timedelta(seconds=1)
