"""Funding payments: whose they are, what they add up to, and that they are no part of what was realised."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from position_service.domain import commands as c
from position_service.domain.book import Draft
from position_service.domain.decide import decide
from position_service.domain.errors import InvalidValue
from position_service.domain.events import EventType, Funding, Trade
from position_service.domain.portfolio import Summary
from position_service.domain.position import Position, Side, Status
from position_service.domain.risk import Rules
from tests.position_samples import NOW, Desk, fill, fills, payment

MICROSECOND = timedelta(microseconds=1)


def paid(*payments: c.FundingPayment) -> c.RecordFills:
    return fills(paid=payments)


def close(held: Position, price: str = "100") -> c.Close:
    return c.Close(c.Ref(held.position_id), price=Decimal(price))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def owner(desk: Desk, one: c.FundingPayment) -> object:
    """Whose the payment would be."""
    (event,) = desk.decide(paid(one)).events
    return event.subject


def refused(desk: Desk, *payments: c.FundingPayment) -> str:
    with pytest.raises(InvalidValue) as error:
        desk.do(paid(*payments))
    return error.value.field


# ---- what it adds up to


@pytest.mark.parametrize("side", Side)
def test_funding_is_a_total_of_its_own(desk, side):
    held = desk.open("2", "100", side=side)
    one = payment(1, "-1.25")
    (event,) = desk.do(paid(one))
    assert (event.type, event.before, event.trade) == (
        EventType.FUNDING,
        held,
        Trade(executed_at=one.paid_at, funding=one.funding),
    )
    assert event.after == replace(held, funding=Decimal("-1.25"), revision=event.revision, updated_at=event.time)
    after = desk.change(paid(payment(2, "3")))
    assert (after.funding, after.realized, after.cost) == (Decimal("1.75"), 0, 200)
    assert desk.change(close(held, "110")).funding == Decimal("1.75")


@pytest.mark.parametrize("currency", ["", "USD", "USDC"])
def test_dollars_are_the_quote_currency_of_a_dollar_pair(desk, currency):
    desk.open()
    assert desk.change(paid(payment(1, "2", currency))).funding == 2


def test_other_currencies_are_kept_apart(desk):
    desk.open()
    after = desk.change(paid(payment(1, "2", "HYPE"), payment(2, "-0.5", "BTC"), payment(3, "1", "HYPE")))
    assert (after.funding, after.other_funding) == (0, (("BTC", Decimal("-0.5")), ("HYPE", Decimal(3))))
    assert after.other_fees == ()


def test_a_rate_is_kept_for_the_history(desk):
    desk.open()
    (event,) = desk.do(paid(replace(payment(1), funding=Funding("p1", Decimal(1), "", Decimal("0.0000125")))))
    assert event.trade.funding.rate == Decimal("0.0000125")


def test_a_payment_is_booked_once_and_its_id_is_no_fills(desk):
    desk.open()
    one = replace(payment(1, "2"), funding=Funding("f1", Decimal(2)))
    draft = desk.decide(fills(fill(1, "1", "100"), paid=[one, one]))
    assert [e.type for e in draft.events] == [EventType.INCREASED, EventType.FUNDING]
    assert (len(draft.fills), len(draft.payments)) == (1, 1)
    desk.commit(draft)
    assert desk.do(fills(fill(1, "1", "100"), paid=[one])) == []
    batch = Draft(desk.book)
    decided = decide(batch, paid(payment(2)), desk.context())
    batch.absorb(decided)
    assert decide(batch, paid(payment(2)), desk.context()).events == []
    other = replace(paid(one), account="other")
    desk.open(account="other")
    assert len(desk.do(other)) == 1  # ids are the account's own


def test_the_portfolio_adds_funding_up(desk):
    desk.open()
    desk.open(symbol="ETH", asset="ETH/USD")
    desk.do(paid(payment(1, "2"), payment(2, "-5", symbol="ETH"), payment(3, "7", "HYPE")))
    total = Summary(desk.now)
    for position in desk.book.positions.values():
        total.add(desk.book, position, Rules())
    assert (total.funding, total.realized) == (-3, 0)


# ---- whose it is


def test_fills_and_payments_are_taken_in_the_order_of_their_times(desk):
    """At the same time the fill comes first: what it has closed is what was held."""
    desk.now += timedelta(minutes=1)
    told = [fill(40, "2", "100"), fill(20, "-3", "100"), fill(10, "1", "100")]
    events = desk.do(fills(*told, paid=[payment(n) for n in (39, 20, 19, 10)]))
    assert [(e.type.name, e.trade.fill_id or e.trade.funding.payment_id) for e in events] == [
        ("OPENED", "f10"),
        ("FUNDING", "p10"),
        ("FUNDING", "p19"),
        ("CLOSED", "f20"),
        ("OPENED", "f20"),
        ("FUNDING", "p20"),
        ("FUNDING", "p39"),
        ("CLOSED", "f40"),
    ]
    assert [p.funding for p in desk.final().values()] == [-3, -3]


def test_it_belongs_to_what_is_held(desk):
    held = desk.open()
    assert owner(desk, replace(payment(1), paid_at=held.opened_at)) == held.position_id
    desk.change(close(held))
    again = desk.open()
    assert owner(desk, replace(payment(1), paid_at=again.opened_at)) == again.position_id
    assert owner(desk, replace(payment(1), paid_at=NOW + timedelta(days=1))) == again.position_id


def test_it_belongs_to_what_was_held_then_though_that_has_ended(desk):
    first = desk.change(close(desk.open()))
    second = desk.change(close(desk.open()))
    live = desk.open()
    at = replace(payment(1), paid_at=first.closed_at)
    assert owner(desk, at) == first.position_id
    assert owner(desk, replace(at, paid_at=first.opened_at)) == first.position_id
    assert owner(desk, replace(at, paid_at=first.closed_at + MICROSECOND)) == second.position_id
    assert owner(desk, replace(at, paid_at=second.closed_at + MICROSECOND)) == live.position_id
    (event,) = desk.do(paid(at))
    assert (event.before, event.after.status, event.after.funding) == (first, Status.CLOSED, Decimal("-1.5"))
    assert event.after.realized == first.realized
    (event,) = desk.do(paid(replace(payment(2), paid_at=first.closed_at)))
    assert event.after.funding == -3  # on top of what is there
    assert desk.book.positions == {live.position_id: live}


def test_payments_of_one_batch_find_each_their_own(desk):
    first, second = [desk.change(close(desk.open())) for _ in range(2)]
    both = [replace(payment(n), paid_at=p.closed_at) for n, p in enumerate((first, second))]
    assert [e.subject for e in desk.do(paid(*both))] == [first.position_id, second.position_id]


def test_at_the_moment_of_a_flip_it_belongs_to_what_is_held_now(desk):
    desk.do(fills(fill(-9, "1", "100")))
    desk.do(fills(fill(-8, "-2", "100")))
    (live,) = desk.book.positions.values()
    assert owner(desk, replace(payment(1), paid_at=live.opened_at)) == live.position_id


def test_what_the_book_learnt_of_late_was_held_before(desk):
    early = replace(payment(1), paid_at=NOW - timedelta(days=1))
    assert refused(desk, early) == "funding[0]"
    held = desk.open()
    assert owner(desk, early) == held.position_id
    desk.do(close(held))
    assert owner(desk, early) == held.position_id


def test_what_a_batch_tells_late_is_told_in_its_order(desk):
    """Opened and closed by the book's clock now: the payments find what was held when they were made."""
    day = -86_400
    told = [fill(day + 1, "1", "100"), fill(day + 3, "-1", "100"), fill(day + 5, "1", "100"), fill(day + 7, "-1", "90")]
    events = desk.do(fills(*told, paid=[payment(day + 2), payment(day + 6), payment(day + 4, "9")]))
    first, second = desk.final().values()
    assert [e.type.name for e in events] == ["OPENED", "FUNDING", "CLOSED", "FUNDING", "OPENED", "FUNDING", "CLOSED"]
    assert (first.funding, second.funding) == (Decimal("7.5"), Decimal("-1.5"))


@pytest.mark.parametrize("late", [{"symbol": "ETH"}, {"venue": "coinbase"}, {"paid_at": NOW + timedelta(days=1)}])
def test_what_is_nobodys_is_refused_by_name_and_nothing_is_booked(desk, late):
    desk.change(close(desk.open()))
    events = len(desk.events)
    assert refused(desk, payment(1), replace(payment(2), **late)) == "funding[1]"
    assert len(desk.events) == events
    assert len(desk.do(paid(payment(1)))) == 1


def test_what_was_only_announced_was_not_held(desk):
    announced = desk.open(pending=True)
    assert owner(desk, payment(1)) == announced.position_id  # the venue pays only what is held
    cancel = c.CancelOpen(c.Ref(announced.position_id))
    batch = desk.decide(cancel)
    with pytest.raises(InvalidValue):
        decide(batch, paid(payment(0)), desk.context())
    desk.do(cancel)
    assert refused(desk, payment(0)) == "funding[0]"


def test_a_batch_of_commands_pays_what_the_ones_before_it_closed(desk):
    held = desk.open()
    batch, context = Draft(desk.book), desk.context()
    for command in (close(held), paid(payment(1, "2")), paid(payment(0, "3"))):
        batch.absorb(decide(batch, command, context))
    assert batch.positions[held.position_id].funding == 5
    assert batch.positions[held.position_id].status is Status.CLOSED


def test_a_guess_that_is_owed_and_funding_do_not_forget_each_other(desk):
    held = desk.open("2", "100")
    correction = c.Adjust(c.Ref(held.position_id), reason_code="X", size=Decimal(0), close_price=Decimal(110))
    desk.do(replace(correction, estimated=True))
    desk.do(paid(payment(1, "2")))
    desk.do(fills(fill(0, "-2", "90"), paid=[payment(1, "4", funding=Funding("q", Decimal(4)))]))
    final = desk.final()[held.position_id]
    assert (final.funding, final.realized, final.estimated) == (6, -20, 0)


amounts = st.decimals(min_value="-9", max_value="9", places=9)
entries = st.lists(st.tuples(st.integers(-3, 3), amounts, st.sampled_from(["", "HYPE"])), min_size=1, max_size=15)


@given(entries=entries, size=st.integers(1, 4))
def test_whatever_order_funding_comes_in_nothing_is_lost(entries, size):
    desk, total, apart = Desk(), Fraction(0), Fraction(0)
    desk.open("1", "100")
    for start in range(0, len(entries), size):
        told, payments = [], []
        for number, (trade, amount, currency) in enumerate(entries[start : start + size], start - 100):
            payments.append(payment(number, str(amount), currency))
            told += [fill(number, str(trade), "100")] if trade else []
            total, apart = (total, apart + Fraction(amount)) if currency else (total + Fraction(amount), apart)
        desk.do(fills(*told, paid=reversed(payments)))
        assert desk.do(fills(*told, paid=payments)) == []
    positions = desk.final().values()
    assert sum(Fraction(p.funding) for p in positions) == total
    assert sum(Fraction(amount) for p in positions for _, amount in p.other_funding) == apart
    assert all(p.realized == 0 for p in positions)
