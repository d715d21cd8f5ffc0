"""The state: Book evolves by events, Draft shows what would be, and the book under it stays as it is."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from position_service.domain import commands as c
from position_service.domain.book import Book, Draft
from position_service.domain.decide import decide
from position_service.domain.drift import DriftStatus
from position_service.domain.errors import DomainError
from position_service.domain.position import Instrument, Key, Mark, Status
from tests.position_samples import BTC, NOW, Desk, check, fill, fills, finding, open_, position, run

KEY = Key("main", *BTC)
ETH = Instrument("hyperliquid", "ETH")


def test_a_draft_shows_what_would_be_and_the_book_stays():
    desk = Desk()
    held = desk.open()
    draft = desk.decide(c.Close(c.Ref(held.position_id), price=held.entry_price))
    assert draft.position(held.position_id) is None
    assert draft.held(KEY) is None
    assert desk.book.held(KEY) == held
    assert (draft.revision, desk.book.revision) == (2, 1)


def test_a_draft_may_close_and_open_the_same_key():
    desk = Desk()
    held = desk.open()
    batch = Draft(desk.book)
    for command in (c.Close(c.Ref(held.position_id), price=held.entry_price), open_(), c.Update(c.Ref(symbol="BTC"))):
        batch.absorb(decide(batch, command, desk.context()))
    opened = batch.held(KEY)
    assert opened.position_id != held.position_id
    assert [batch.position(i) for i in batch.named("main", "BTC/USD") if batch.position(i)] == [opened]
    assert [batch.position(i) for i in batch.holders(BTC) if batch.position(i)] == [opened]
    desk.commit(batch)
    assert desk.book.held(KEY) == opened
    assert set(desk.book.named("main", "BTC")) == set(desk.book.holders(BTC)) == {opened.position_id}


def test_a_position_opened_and_closed_in_one_draft_leaves_no_trace_in_the_book():
    desk = Desk()
    desk.do(fills(fill(1, "1", "100"), fill(2, "-1", "100")))
    assert not desk.book.positions
    assert desk.book.held(KEY) is None
    assert not list(desk.book.named("main", "BTC"))


def test_a_final_position_the_book_never_held_is_no_news():
    book = Book()
    desk = Desk()
    held = desk.open()
    book.put(desk.change(c.Close(c.Ref(held.position_id), price=held.entry_price)))
    assert not book.positions


def test_applying_an_event_twice_changes_nothing():
    desk = Desk()
    first = desk.open()
    desk.change(c.Close(c.Ref(first.position_id), price=first.entry_price))
    second = desk.open()
    desk.do(run(1, [finding()]))
    once = copy.deepcopy(desk.book)
    desk.book.apply(desk.events[-2])
    desk.book.apply(desk.events[-1])
    assert desk.book == once
    assert desk.book.held(KEY) == second


def test_marks_checks_and_fills_of_a_draft_are_seen_on_top_of_the_book():
    desk = Desk()
    desk.mark("42000")
    desk.do(run(1, checks=[check()]))
    batch = Draft(desk.book, [("main", "hyperliquid", "known")])
    later = desk.now + timedelta(seconds=1)
    batch.marks[ETH] = Mark(desk.book.mark(BTC).price, later)
    batch.checks["main", "hyperliquid", "xyz"] = check("xyz")
    batch.checks["main", "coinbase", "spot"] = replace(check("spot"), venue="coinbase")
    batch.fills["main", "hyperliquid", "mine"] = 1
    top = Draft(batch)
    assert top.mark(ETH).observed_at == later
    assert top.mark(BTC) == desk.book.mark(BTC)
    assert {k.scope for k in top.checks_of("main", "hyperliquid")} == {"main", "xyz"}
    assert top.check(("main", "hyperliquid", "main")) == desk.book.check(("main", "hyperliquid", "main"))
    assert top.check(("main", "coinbase", "spot")).venue == "coinbase"
    assert top.knows_fill(("main", "hyperliquid", "known"))
    assert top.knows_fill(("main", "hyperliquid", "mine"))
    assert not top.knows_fill(("main", "hyperliquid", "other"))


def test_drifts_of_a_draft_hide_those_of_the_book():
    desk = Desk()
    desk.do(run(1, [finding()]))
    (drift,) = desk.book.drifts.values()
    batch = desk.decide(run(2, resolved=[drift.drift_id]))
    assert batch.open_drift(drift.key) is None
    assert list(batch.drifts_on(KEY)) == []
    assert list(desk.book.drifts_on(KEY)) == [drift.drift_id]
    batch.absorb(decide(batch, run(3, [finding()]), desk.context()))
    again = batch.open_drift(drift.key)
    assert again.drift_id != drift.drift_id
    assert list(batch.drifts_on(KEY)) == [again.drift_id]
    desk.commit(batch)
    assert desk.book.open_drift(drift.key) == again


steps = st.lists(st.tuples(st.sampled_from(["BTC", "ETH"]), st.integers(-3, 3).filter(bool)), max_size=15)


@given(steps)
def test_a_batch_in_one_draft_comes_to_the_same_as_one_command_after_the_other(sequence):
    apart, together = Desk(), Desk()
    together_draft = Draft(together.book)
    for number, (symbol, size) in enumerate(sequence):
        command = fills(fill(number, str(size), "100", symbol=symbol, asset=f"{symbol}/USD"))
        apart.now = together.now = NOW
        apart.do(command)
        together_draft.absorb(decide(together_draft, command, together.context()))
    together.commit(together_draft)
    assert together.events == apart.events
    assert together.book == apart.book


@given(steps)
def test_a_refused_command_leaves_the_draft_as_it_was(sequence):
    desk = Desk()
    for number, (symbol, size) in enumerate(sequence):
        before = copy.deepcopy(desk.book)
        try:
            desk.decide(open_(str(abs(size)), "100", symbol=symbol))
        except DomainError:
            assert desk.book == before
        desk.do(fills(fill(number, str(size), "100", symbol=symbol, asset=f"{symbol}/USD")))


def test_an_old_position_that_ends_does_not_take_the_key_of_its_successor():
    book = Book()
    old, new = position(), position(position_id=UUID(int=8))
    book.put(old)
    book.put(new)
    book.put(replace(old, status=Status.CLOSED))
    assert book.held(KEY) == new


def test_a_mark_does_not_reach_what_the_same_batch_closed():
    desk = Desk()
    held = desk.open(liquidation_price=Decimal(38_000))
    batch = desk.decide(c.Close(c.Ref(held.position_id), price=held.entry_price))
    assert decide(batch, c.UpdatePrices(((BTC, Mark(Decimal(38_000), NOW)),)), desk.context()).events == []


def test_an_old_case_that_ends_does_not_take_the_key_of_its_successor():
    desk = Desk()
    desk.do(run(1, [finding()]))
    (old,) = desk.book.drifts.values()
    new = replace(old, drift_id=UUID(int=9))
    desk.book.put_drift(new)
    desk.book.put_drift(replace(old, status=DriftStatus.RESOLVED))
    assert desk.book.open_drift(old.key) == new


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=80), st.none() | st.integers(0, 41))
def test_live_positions_come_in_the_order_of_their_ids_whatever_order_they_came_in(steps, after):
    book = Book()
    for number, live in steps:
        ended = {} if live else {"status": Status.CLOSED, "size": Decimal(0), "cost": Decimal(0), "closed_at": NOW}
        book.put(replace(position(symbol=f"S{number}"), position_id=UUID(int=number), **ended))
    live = sorted(book.positions)
    wanted = [one for one in live if after is None or one.int > after]
    found = list(book.opened_after(None if after is None else UUID(int=after)))
    assert [one.position_id for one in found] == wanted


def test_ids_of_ended_positions_are_forgotten_in_time():
    book = Book()
    for number in range(1, 3_000):
        held = replace(position(symbol="BTC"), position_id=UUID(int=number))
        book.put(held)
        book.put(replace(held, status=Status.CLOSED, size=Decimal(0), cost=Decimal(0), closed_at=NOW))
    assert len(book._by_age) <= 1_001
