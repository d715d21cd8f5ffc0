"""RecordFills decided on what the caller has seen: booked onto that, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from position_service.domain import commands as c
from position_service.domain.book import Draft
from position_service.domain.decide import decide
from position_service.domain.errors import StaleRevision
from position_service.domain.events import EventType
from position_service.domain.position import Instrument
from tests.position_samples import BTC, Desk, fill, fills, payment

ETH = Instrument("hyperliquid", "ETH")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def seen(command: c.RecordFills, *expected: tuple[Instrument, int]) -> c.RecordFills:
    return replace(command, expected=expected)


def refused(desk: Desk, command: c.RecordFills) -> tuple[int, int, str]:
    """What was expected, what is, and where; nothing happened."""
    before = len(desk.events)
    with pytest.raises(StaleRevision) as error:
        desk.do(command)
    assert (len(desk.events), desk.known_fills) == (before, set())
    return error.value.expected, error.value.actual, error.value.field


def test_fills_are_booked_onto_the_position_that_was_seen(desk):
    held = desk.open("1", "100")
    (event,) = desk.do(seen(fills(fill(1, "1", "110")), (BTC, held.revision), (ETH, 0)))
    assert (event.type, event.after.size) == (EventType.INCREASED, 2)


def test_a_position_that_moved_is_not_booked_onto(desk):
    held = desk.open("1", "100")
    moved = desk.change(c.Increase(c.Ref(held.position_id), size=held.size, price=held.cost))
    command = seen(fills(fill(1, "1", "110")), (BTC, held.revision))
    assert refused(desk, command) == (held.revision, moved.revision, "expected_revisions[0]")
    message = f"expected_revisions[0]: expected revision {held.revision}, but it is at {moved.revision}: read it again"
    with pytest.raises(StaleRevision, match=message.replace("[", r"\[")):
        desk.do(command)


def test_funding_alone_is_guarded_too(desk):
    held = desk.open("1", "100")
    paid = fills(paid=[payment(1)])
    assert refused(desk, seen(paid, (BTC, held.revision + 1)))[:2] == (held.revision + 1, held.revision)
    assert desk.do(seen(paid, (BTC, held.revision)))


def test_what_came_or_went_since_is_another_position(desk):
    assert refused(desk, seen(fills(fill(1, "1", "110")), (ETH, 0), (BTC, 3))) == (3, 0, "expected_revisions[1]")
    held = desk.open("1", "100")
    assert refused(desk, seen(fills(fill(1, "1", "110")), (BTC, 0)))[1] == held.revision
    desk.do(c.Close(c.Ref(held.position_id), price=held.cost))
    again = desk.open("1", "100")
    assert refused(desk, seen(fills(fill(1, "1", "110")), (BTC, held.revision)))[1] == again.revision
    other = replace(seen(fills(fill(1, "1", "110")), (BTC, 0)), account="other")
    assert desk.do(other)[0].type is EventType.OPENED


def test_what_is_expected_is_what_was_before_the_batch_and_not_between_its_fills(desk):
    held = desk.open("1", "100")
    events = desk.do(seen(fills(fill(1, "-2", "110"), fill(2, "1", "90")), (BTC, held.revision)))
    assert len(events) == 3


def test_of_two_commands_of_one_batch_the_first_moves_it_for_the_second(desk):
    held = desk.open("1", "100")
    batch = Draft(desk.book)
    first = decide(batch, seen(fills(fill(1, "1", "110")), (BTC, held.revision)), desk.context())
    batch.absorb(first)
    second = seen(fills(fill(2, "1", "110")), (BTC, held.revision))
    with pytest.raises(StaleRevision) as error:
        decide(batch, second, desk.context())
    assert error.value.actual == first.revision
