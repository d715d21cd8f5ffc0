"""What is polled is encoded once, and never a moment too long."""

from __future__ import annotations

from dataclasses import replace as changed
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from trueup.position.v1 import position_pb2 as pb
from trueup.position.v1 import position_service_pb2 as svc

from position_service import convert, polled
from position_service.domain.book import Book
from position_service.domain.position import LiquidationPrice, Mark
from position_service.domain.risk import Rules
from position_service.polled import Polled
from tests.position_samples import NOW, check, position

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def book() -> Book:
    book = Book()
    book.put(position())
    return book


@pytest.fixture
def ask(book, monkeypatch):
    encoded = []

    def valued(now, rules):
        encoded.append(now)
        return convert.valued(now, rules)

    monkeypatch.setattr(polled, "valued", valued)
    answers = Polled(Rules(), most=2)

    def ask(revision: int = 1, of=None):
        one = of or next(iter(book.positions.values()))
        answer = svc.GetPositionResponse.FromString(answers.encoded(convert.seen(one, book), revision))
        expected = svc.GetPositionResponse(position=convert.valued(convert.seen(one, book), Rules()), revision=revision)
        assert answer == expected
        return answer.position, len(encoded)

    return ask


def test_the_same_is_encoded_once_and_answered_at_any_revision(ask):
    assert [ask(revision)[1] for revision in (1, 2, 0, 10**15)] == [1, 1, 1, 1]


def test_a_new_mark_changed_position_or_check_is_seen(ask, book):
    ask()
    (held,) = book.positions.values()
    book.marks[held.instrument] = Mark(Decimal(43_000), NOW)
    priced, encoded = ask()
    assert (priced.unrealized_pnl, encoded) == ("500", 2)
    book.marks[held.instrument] = Mark(Decimal(43_000), LATER)
    assert ask()[1] == 3
    book.put_check(check(at=LATER, last_ok_at=LATER, checked_at=LATER))
    checked, encoded = ask()
    assert (checked.reconciliation_status, encoded) == (pb.RECONCILIATION_STATUS_SYNCED, 4)
    book.put(changed(held, size=Decimal(1)))
    grown, encoded = ask()
    assert (grown.size, encoded) == ("1", 5)
    assert ask()[1] == 5


def test_what_the_venue_says_of_it_is_seen(ask, book):
    ask()
    (held,) = book.positions.values()
    book.liquidation_prices[held.position_id] = LiquidationPrice(held.side, held.size, Decimal(38_000), NOW)
    known, encoded = ask()
    assert (known.venue_liquidation_price, encoded) == ("38000", 2)
    book.liquidation_prices[held.position_id] = LiquidationPrice(held.side, held.size, Decimal(38_000), LATER)
    assert ask()[1] == 3


def test_only_so_many_are_remembered(ask, book):
    others = [position(position_id=UUID(int=number)) for number in range(3)]
    assert [ask(of=one)[1] for one in others] == [1, 2, 3]
    assert ask(of=others[2])[1] == 3
    assert ask(of=others[0])[1] == 4
