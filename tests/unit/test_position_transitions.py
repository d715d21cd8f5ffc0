"""The life of a position: the table of legal moves, every cell of it, and where each move leads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from position_service.domain import commands as c
from position_service.domain.errors import (
    AmbiguousAsset,
    IllegalTransition,
    InvalidValue,
    PositionAlreadyOpen,
    PositionNotFound,
    RequestIdReused,
    SizeExceedsPosition,
    StaleRevision,
)
from position_service.domain.events import EventType
from position_service.domain.lifecycle import CONFIRM_WITHIN
from position_service.domain.position import MarginMode, Side, Status
from position_service.domain.transitions import Move, require
from tests.position_samples import Desk, open_, position

HELD = {Status.OPEN, Status.REDUCED}
LIVE = {Status.OPENING, Status.OPEN, Status.REDUCED, Status.CLOSING}
# Written from the picture in the design, not from the code.
LEGAL = {
    Move.CONFIRM_OPEN: {Status.OPENING},
    Move.CANCEL_OPEN: {Status.OPENING},
    Move.INCREASE: HELD,
    Move.REDUCE: HELD,
    Move.CLOSE: HELD,
    Move.CONFIRM_CLOSE: {Status.CLOSING},
    Move.CANCEL_CLOSE: {Status.CLOSING},
    Move.LIQUIDATE: LIVE - {Status.OPENING},  # nothing is realised on what never opened
    Move.UPDATE: LIVE,
    Move.ADJUST: LIVE,
}
ONE = Decimal(1)
COMMANDS = {
    Move.CONFIRM_OPEN: c.ConfirmOpen,
    Move.CANCEL_OPEN: c.CancelOpen,
    Move.INCREASE: lambda ref: c.Increase(ref, size=ONE, price=ONE),
    Move.REDUCE: lambda ref: c.Reduce(ref, size=ONE, price=ONE),
    Move.CLOSE: c.Close,
    Move.CONFIRM_CLOSE: lambda ref: c.ConfirmClose(ref, price=ONE),
    Move.CANCEL_CLOSE: c.CancelClose,
    Move.LIQUIDATE: lambda ref: c.Liquidate(ref, price=ONE),
    Move.UPDATE: lambda ref: c.Update(ref, leverage=ONE),
    Move.ADJUST: lambda ref: c.Adjust(ref, reason_code="X", entry_price=ONE),
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("move", Move)
def test_every_cell_of_the_table(move, status):
    held = position(status=status)
    if status in LEGAL[move]:
        require(held, move)
        return
    with pytest.raises(IllegalTransition) as refused:
        require(held, move)
    assert refused.value.state == status.value
    assert set(refused.value.allowed) == {s.value for s in LEGAL[move]}


@pytest.mark.parametrize("status", sorted(LIVE, key=lambda s: s.value))
@pytest.mark.parametrize("move", COMMANDS)
def test_every_command_obeys_the_table(move, status):
    desk = Desk()
    held = _in(desk, status)
    command = COMMANDS[move](c.Ref(held.position_id))
    if status in LEGAL[move]:
        assert desk.do(command)
    else:
        with pytest.raises(IllegalTransition):
            desk.do(command)
        assert desk.book.position(held.position_id) == held


def _in(desk, status):
    """A position of size 2 or more in a status."""
    held = desk.open("4", "100", pending=status is Status.OPENING)
    ref = c.Ref(held.position_id)
    if status is Status.REDUCED:
        held = desk.change(c.Reduce(ref, size=ONE, price=Decimal(100)))
    elif status is Status.CLOSING:
        held = desk.change(c.Close(ref))
    assert held.status is status
    return held


def test_an_announced_position_has_a_deadline_and_is_confirmed_with_what_was_executed():
    desk = Desk()
    held = desk.open("2", "100", pending=True)
    assert (held.status, held.deadline) == (Status.OPENING, held.opened_at + CONFIRM_WITHIN)
    after = desk.change(c.ConfirmOpen(c.Ref(held.position_id), 0, Decimal("1.5"), Decimal(101)))
    assert (after.status, after.size, after.entry_price, after.peak) == (Status.OPEN, Decimal("1.5"), 101, after.size)
    assert after.deadline is None


@pytest.mark.parametrize(
    ("size", "price", "cost"), [(None, None, "200"), ("3", None, "300"), (None, "50", "100"), ("3", "50", "150")]
)
def test_a_confirmation_may_correct_size_price_or_both(size, price, cost):
    desk = Desk()
    held = desk.open("2", "100", pending=True)
    given = [Decimal(v) if v else None for v in (size, price)]
    assert desk.change(c.ConfirmOpen(c.Ref(held.position_id), 0, *given)).cost == Decimal(cost)


def test_a_deadline_can_be_given():
    desk = Desk()
    until = desk.now + timedelta(hours=1)
    held = desk.open(pending=True, deadline=until)
    assert held.deadline == until
    desk.change(c.ConfirmOpen(c.Ref(held.position_id)))
    assert desk.change(c.Close(c.Ref(held.position_id), deadline=until)).deadline == until


def test_a_cancelled_opening_is_closed_and_was_never_held():
    desk = Desk()
    held = desk.open("2", "100", pending=True)
    after = desk.change(c.CancelOpen(c.Ref(held.position_id)))
    assert (after.status, after.size, after.cost, after.peak) == (Status.CLOSED, 0, 0, 0)
    assert after.realized == 0
    assert after.closed_at is not None
    assert desk.open("1", "1").status is Status.OPEN


@pytest.mark.parametrize("came_from", [Status.OPEN, Status.REDUCED])
def test_a_cancelled_close_leads_back_to_where_it_came_from(came_from):
    desk = Desk()
    ref = c.Ref(_in(desk, came_from).position_id)
    assert desk.change(c.Close(ref)).returns_to is came_from
    after = desk.change(c.CancelClose(ref))
    assert (after.status, after.returns_to, after.deadline) == (came_from, None, None)


def test_a_partly_confirmed_close_is_reduced():
    desk = Desk()
    ref = c.Ref(_in(desk, Status.CLOSING).position_id)
    after = desk.change(c.ConfirmClose(ref, price=Decimal(110), size=ONE))
    assert (after.status, after.size, after.realized, after.returns_to) == (Status.REDUCED, 3, 10, None)


def test_a_close_with_a_price_is_final_at_once():
    desk = Desk()
    held = desk.open("2", "100")
    after = desk.change(c.Close(c.Ref(held.position_id), price=Decimal(110)))
    assert (after.status, after.size, after.realized, after.entry_price) == (Status.CLOSED, 0, 20, 100)
    with pytest.raises(PositionNotFound):
        desk.do(c.Close(c.Ref(held.position_id)))


def test_a_partial_liquidation_leaves_a_reduced_position():
    desk = Desk()
    ref = c.Ref(desk.open("2", "100").position_id)
    events = desk.do(c.Liquidate(ref, price=Decimal(90), size=ONE))
    assert [(e.type, e.after.status) for e in events] == [(EventType.LIQUIDATED, Status.REDUCED)]
    assert desk.change(c.Liquidate(ref, price=Decimal(80))).status is Status.LIQUIDATED


def test_more_than_the_position_holds_is_refused():
    desk = Desk()
    ref = c.Ref(desk.open("2", "100").position_id)
    with pytest.raises(SizeExceedsPosition) as refused:
        desk.do(c.Reduce(ref, size=Decimal("2.1"), price=ONE))
    assert (refused.value.size, refused.value.requested) == (2, Decimal("2.1"))


def test_a_size_beyond_the_range_of_amounts_is_refused():
    desk = Desk()
    ref = c.Ref(desk.open("99999999999999999999", "1").position_id)
    with pytest.raises(InvalidValue) as refused:
        desk.do(c.Increase(ref, size=ONE, price=ONE))
    assert refused.value.field == "size"


def test_one_live_position_a_key():
    desk = Desk()
    held = desk.open()
    with pytest.raises(PositionAlreadyOpen) as refused:
        desk.open(side=Side.SHORT)
    assert refused.value.position_id == held.position_id
    desk.open(account="other")
    desk.open(symbol="ETH", asset="ETH/USD")
    desk.open(venue="coinbase")


def test_a_stale_revision_is_refused_with_the_actual_one():
    desk = Desk()
    held = desk.open("2", "100")
    desk.open(symbol="ETH", asset="ETH/USD")  # another position's events do not make this one stale
    desk.change(c.Reduce(c.Ref(held.position_id), held.revision, size=ONE, price=ONE))
    with pytest.raises(StaleRevision) as refused:
        desk.do(c.Reduce(c.Ref(held.position_id), held.revision, size=ONE, price=ONE))
    assert (refused.value.expected, refused.value.actual) == (1, 3)


def test_a_position_is_found_by_what_the_caller_knows():
    desk = Desk()
    held = desk.open()
    for ref in (c.Ref(asset="BTC/USD"), c.Ref(symbol="BTC"), c.Ref(symbol="BTC", venue="hyperliquid", asset="BTC/USD")):
        assert desk.change(c.Update(ref)).position_id == held.position_id
    for wrong in (c.Ref(asset="BTC/EUR"), c.Ref(symbol="BTC", venue="x"), c.Ref("", account="other", asset="BTC/USD")):
        with pytest.raises(PositionNotFound):
            desk.do(c.Update(replace(wrong, position_id=None)))


def test_an_asset_held_at_several_places_names_them():
    desk = Desk()
    desk.open()
    desk.open(venue="coinbase", symbol="BTC-USD")
    with pytest.raises(AmbiguousAsset) as refused:
        desk.do(c.Update(c.Ref(asset="BTC/USD")))
    assert refused.value.candidates == ("coinbase/BTC-USD", "hyperliquid/BTC")
    assert desk.change(c.Update(c.Ref(asset="BTC/USD", venue="coinbase"))).symbol == "BTC-USD"


def test_an_update_changes_what_is_given_and_nothing_else():
    desk = Desk()
    held = desk.open(leverage=Decimal(3), labels=(("a", "1"), ("b", "2")))
    ref = c.Ref(held.position_id)
    after = desk.change(c.Update(ref, margin_mode=MarginMode.CROSS, liquidation_price=ONE, labels={"b": "3", "c": "4"}))
    assert (after.leverage, after.margin_mode, after.liquidation_price) == (3, MarginMode.CROSS, 1)
    assert after.labels == (("a", "1"), ("b", "3"), ("c", "4"))
    after = desk.change(c.Update(ref, leverage=Decimal(5), replace_labels=True, labels={"z": "9"}))
    assert (after.leverage, after.margin_mode, after.liquidation_price) == (5, MarginMode.CROSS, 1)
    assert after.labels == (("z", "9"),)
    assert desk.change(c.Update(ref, liquidation_price=Decimal(0))).liquidation_price is None


def test_labels_stay_within_their_limit_when_they_are_merged():
    desk = Desk()
    held = desk.open(labels=tuple((f"n{i:02}", "") for i in range(32)))
    desk.change(c.Update(c.Ref(held.position_id), labels={"n00": "again"}))
    with pytest.raises(InvalidValue) as refused:
        desk.do(c.Update(c.Ref(held.position_id), labels={"one more": ""}))
    assert refused.value.field == "labels"


def test_every_message_of_the_table_reads_as_a_sentence():
    with pytest.raises(IllegalTransition, match=r"^cannot close: it is CLOSING, and that takes OPEN or REDUCED$"):
        require(position(status=Status.CLOSING), Move.CLOSE)
    assert str(c.Ref(asset="BTC/USD", venue="x")) == "BTC/USD of account main at x"
    assert str(c.Ref(position().position_id)).startswith("position 0000")


def test_the_refused_open_says_what_is_open():
    desk = Desk()
    desk.open()
    with pytest.raises(PositionAlreadyOpen, match="BTC of account main at hyperliquid has a live position already"):
        desk.do(open_())


def test_a_reused_request_id_names_the_field():
    assert str(RequestIdReused("r1", "size")) == "request id r1 was used before with another size"
