"""What trades do to money: exact to the last digit, whatever the path, against a replay in fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from position_service.domain import commands as c
from position_service.domain.algebra import Fee
from position_service.domain.errors import InvalidValue
from position_service.domain.events import EventType
from position_service.domain.position import Side, Status
from tests.position_samples import Desk, fill, fills


class Replay:
    """The same trades as cash and inventory, in fractions: it knows nothing of averages, shares or statuses."""

    def __init__(self) -> None:
        self.inventory = Fraction(0)
        self.cash = Fraction(0)
        self.fees = Fraction(0)

    def trade(self, signed_size: Decimal, price: Decimal, fee: Decimal) -> None:
        self.inventory += Fraction(signed_size)
        self.cash -= Fraction(signed_size) * Fraction(price)
        self.fees += Fraction(fee)


def amount(low: str, high: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=low, max_value=high, places=18)


sizes = st.one_of(
    amount("0.000000000000000001", "0.000000000000000099"),
    amount("0.001", "9"),
    st.sampled_from([Decimal(3), Decimal(7)]),
)
prices = st.one_of(
    amount("0.000000000000000001", "0.000000000000000009"),
    amount("0.5", "99999"),
    st.just(Decimal("99999999999999999999.999999999999999999")),
)
fees = st.one_of(st.just(Decimal(0)), amount("-1", "1"))
trades = st.lists(st.tuples(st.booleans(), sizes, prices, fees), min_size=1, max_size=12)


def replayed(sequence, last_price):
    """A desk and a replay after the trades and one more that makes them flat."""
    desk, replay = Desk(), Replay()
    for number, (is_buy, size, price, fee) in enumerate(sequence):
        signed = size if is_buy else -size
        desk.do(fills(fill(number, signed, price, Fee(fee))))
        replay.trade(signed, price, fee)
        check_shape(desk)
    if replay.inventory:
        rest = -sum((size if is_buy else -size for is_buy, size, _, _ in sequence), Decimal(0))
        desk.do(fills(fill(len(sequence), rest, last_price)))
        replay.trade(rest, last_price, Decimal(0))
    return desk, replay


def check_shape(desk):
    """What the schema demands of every position, at every step."""
    for held in desk.book.positions.values():
        assert held.size > 0
        assert held.cost >= 0
        assert held.peak >= held.size


@given(sequence=trades, last_price=prices)
@example(
    sequence=[
        (True, Decimal("0.05"), Decimal("2E-18"), Decimal(0)),
        (True, Decimal("0.5"), Decimal("1E-18"), Decimal(0)),
        (False, Decimal("0.54"), Decimal(1), Decimal(0)),
    ],
    last_price=Decimal(1),
)
def test_once_flat_realised_is_cash_out_minus_cash_in_minus_fees(sequence, last_price):
    desk, replay = replayed(sequence, last_price)
    assert replay.inventory == 0
    assert not desk.book.positions
    realized = sum((Fraction(p.realized) for p in desk.final().values()), Fraction(0))
    assert realized == replay.cash - replay.fees
    assert all(p.size == p.cost == 0 and p.final_entry >= 0 for p in desk.final().values())


@given(sequence=trades, last_price=prices)
def test_what_the_events_say_was_realised_is_what_the_positions_say(sequence, last_price):
    desk, _ = replayed(sequence, last_price)
    by_event = sum((e.trade.realized for e in desk.events), Decimal(0))
    assert by_event == sum((p.realized for p in desk.final().values()), Decimal(0))


@given(sequence=trades)
def test_size_and_side_are_those_of_the_inventory(sequence):
    desk, replay = Desk(), Replay()
    for number, (is_buy, size, price, fee) in enumerate(sequence):
        signed = size if is_buy else -size
        desk.do(fills(fill(number, signed, price, Fee(fee))))
        replay.trade(signed, price, fee)
        held = list(desk.book.positions.values())
        assert sum((Fraction(p.size) * p.side.sign for p in held), Fraction(0)) == replay.inventory
        assert len(held) == (1 if replay.inventory else 0)


def test_adding_averages_and_reducing_keeps_the_average():
    desk = Desk()
    ref = c.Ref(desk.open("1", "100").position_id)
    grown = desk.change(c.Increase(ref, size=Decimal(3), price=Decimal(200)))
    assert (grown.size, grown.entry_price, grown.cost, grown.peak) == (4, 175, 700, 4)
    less = desk.change(c.Reduce(ref, size=Decimal(1), price=Decimal(275), fee=Fee(Decimal("0.5"))))
    assert (less.size, less.entry_price, less.status) == (3, 175, Status.REDUCED)
    assert less.realized == Decimal("99.5")  # (275 - 175) * 1 - 0.5


def test_a_short_realises_the_other_way_round():
    desk = Desk()
    ref = c.Ref(desk.open("2", "100", side=Side.SHORT).position_id)
    assert desk.change(c.Reduce(ref, size=Decimal(1), price=Decimal(90))).realized == 10
    assert desk.change(c.Close(ref, price=Decimal(130))).realized == -20


def test_an_average_that_does_not_end_is_rounded_only_when_shown():
    desk = Desk()
    ref = c.Ref(desk.open("1", "1").position_id)
    held = desk.change(c.Increase(ref, size=Decimal(2), price=Decimal("1.5")))
    assert held.entry_price == Decimal("1.333333333333333333")
    assert held.cost == 4


@pytest.mark.parametrize(
    ("currency", "realized", "other"),
    [
        ("", "-1", ()),
        ("USD", "-1", ()),
        ("USDC", "-1", ()),  # a dollar is a dollar
        ("BTC", "0", (("BTC", Decimal(1)),)),
    ],
)
def test_fees_in_another_currency_are_kept_apart(currency, realized, other):
    held = Desk().open("1", "100", fee=Fee(Decimal(1), currency))
    assert (held.realized, held.other_fees) == (Decimal(realized), other)


def test_fees_of_one_currency_add_up_and_a_rebate_is_negative():
    desk = Desk()
    ref = c.Ref(desk.open("1", "100", fee=Fee(Decimal(1), "HYPE")).position_id)
    held = desk.change(c.Increase(ref, size=Decimal(1), price=Decimal(1), fee=Fee(Decimal(-3), "HYPE")))
    held = desk.change(c.Increase(ref, size=Decimal(1), price=Decimal(1), fee=Fee(Decimal(2), "BTC")))
    assert held.other_fees == (("BTC", Decimal(2)), ("HYPE", Decimal(-2)))


def test_a_flip_closes_at_the_old_entry_and_opens_the_rest_at_the_new_price():
    desk = Desk()
    old = desk.open("1", "100")
    closed, opened = desk.do(fills(fill(1, "-4", "90", Fee(Decimal("0.4")))))
    assert (closed.type, opened.type) == (EventType.CLOSED, EventType.OPENED)
    assert closed.subject == old.position_id != opened.subject
    assert closed.after.realized == Decimal("-10.1")  # (90 - 100) * 1 - a quarter of the fee
    assert (opened.after.side, opened.after.size, opened.after.entry_price) == (Side.SHORT, 3, 90)
    assert opened.after.realized == Decimal("-0.3")


@given(total=amount("-9", "9"), closed=amount("0.001", "9"), rest=amount("0.001", "9"))
def test_the_two_fees_of_a_flip_are_the_fee(total, closed, rest):
    desk = Desk()
    desk.open(str(closed), "100")
    first, second = desk.do(fills(fill(1, -(closed + rest), "100", Fee(total))))
    assert first.trade.fee.amount + second.trade.fee.amount == total
    assert first.trade.size + second.trade.size == closed + rest


def test_fills_are_booked_in_the_order_of_their_execution():
    desk = Desk()
    late, early = fill(2, "-1", "110"), fill(1, "1", "100")
    assert [e.trade.fill_id for e in desk.do(fills(late, early))] == ["f1", "f2"]
    assert next(iter(desk.final().values())).realized == 10


def test_a_known_fill_changes_nothing():
    desk = Desk()
    desk.do(fills(fill(1, "1", "100")))
    assert desk.do(fills(fill(1, "1", "100"))) == []
    assert [e.type for e in desk.do(fills(fill(2, "1", "100"), fill(2, "1", "100")))] == [EventType.INCREASED]


def test_a_fill_closes_a_closing_position():
    desk = Desk()
    ref = c.Ref(desk.open("1", "100").position_id)
    desk.do(c.Close(ref))
    assert desk.do(fills(fill(1, "-1", "110")))[0].after.status is Status.CLOSED


def test_a_forced_fill_is_a_liquidation():
    desk = Desk()
    desk.open("1", "100")
    (event,) = desk.do(fills(fill(1, "-1", "50", liquidation=True)))
    assert (event.type, event.after.status) == (EventType.LIQUIDATED, Status.LIQUIDATED)


def test_an_offending_fill_is_named_and_nothing_of_the_batch_is_booked():
    desk = Desk()
    desk.open("9E+19", "100")
    with pytest.raises(InvalidValue) as refused:
        desk.do(fills(fill(1, "-1", "110", symbol="ETH"), fill(2, "9E+19", "110")))
    assert refused.value.field == "fills[1]"
    assert len(desk.events) == 1


def test_a_fill_opens_what_was_announced_as_it_was_executed():
    desk = Desk()
    announced = desk.open("2", "100", pending=True)
    desk.do(fills(fill(1, "0.5", "101", fee=Fee(Decimal("0.1")))))
    opened = desk.book.positions[announced.position_id]
    assert (opened.status, opened.size, opened.cost) == (Status.OPEN, Decimal("0.5"), Decimal("50.5"))
    assert (opened.realized, opened.deadline) == (Decimal("-0.1"), None)


def test_a_fill_the_other_way_cancels_what_was_announced_and_opens_itself():
    desk = Desk()
    announced = desk.open("2", "100", pending=True)
    desk.do(fills(fill(1, "-0.5", "101")))
    (opened,) = desk.book.positions.values()
    assert (opened.side, opened.size, opened.realized) == (Side.SHORT, Decimal("0.5"), 0)
    assert opened.position_id != announced.position_id
    assert [e.type for e in desk.events][-2:] == [EventType.OPEN_CANCELLED, EventType.OPENED]


def test_a_fill_counts_while_a_close_is_announced():
    desk = Desk()
    held = desk.open("2", "100")
    desk.do(c.Close(c.Ref(held.position_id)))
    desk.do(fills(fill(1, "1", "103")))
    grown = desk.book.positions[held.position_id]
    assert (grown.status, grown.size, grown.cost) == (Status.CLOSING, Decimal(3), Decimal(303))


@pytest.mark.parametrize("announce", ["open", "close"])
def test_what_is_only_announced_costs_nothing_yet(announce):
    desk = Desk()
    fee = Fee(Decimal("0.1"))
    held = None if announce == "open" else desk.open("2", "100")
    with pytest.raises(InvalidValue) as refused:
        desk.open("2", "100", pending=True, fee=fee) if held is None else desk.do(
            c.Close(c.Ref(held.position_id), fee=fee)
        )
    assert refused.value.field == "fee"
