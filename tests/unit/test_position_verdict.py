"""What the last reconciliation says of a position."""

from __future__ import annotations

from datetime import timedelta

import pytest

from position_service.domain.position import Product
from position_service.domain.verdict import Verdict, covering, verdict
from tests.position_samples import NOW, Desk, check, finding, run

LATER = NOW + timedelta(hours=1)


def test_a_position_nobody_has_checked_is_pending():
    desk = Desk()
    assert verdict(desk.book, desk.open()) == (Verdict.PENDING, None)


def test_a_check_from_before_it_was_opened_says_nothing():
    desk = Desk()
    desk.do(run(1, checks=[check(at=NOW - timedelta(seconds=1))]))
    assert verdict(desk.book, desk.open()) == (Verdict.PENDING, None)


def test_a_later_check_makes_it_synced():
    desk = Desk()
    held = desk.open()
    desk.do(run(1, checks=[check(at=LATER)]))
    assert verdict(desk.book, held) == (Verdict.SYNCED, LATER)


def test_a_failed_check_is_told_with_the_last_good_one():
    desk = Desk()
    held = desk.open()
    desk.do(run(1, checks=[check(at=LATER)]))
    desk.do(run(2, checks=[check(at=LATER + timedelta(hours=1), ok=False)]))
    assert verdict(desk.book, held) == (Verdict.FAILED, LATER)


def test_an_open_drift_outranks_the_check_and_a_resolved_one_does_not():
    desk = Desk()
    held = desk.open()
    desk.do(run(1, [finding()], checks=[check(at=LATER)]))
    assert verdict(desk.book, held) == (Verdict.DRIFT, LATER)
    desk.do(run(2, resolved=list(desk.book.drifts)))
    assert verdict(desk.book, held) == (Verdict.SYNCED, LATER)


def test_a_drift_of_another_instrument_is_not_this_ones():
    desk = Desk()
    held = desk.open()
    desk.do(run(1, [finding(symbol="ETH")], checks=[check(at=LATER)]))
    assert verdict(desk.book, held)[0] is Verdict.SYNCED


@pytest.mark.parametrize(
    ("symbol", "scope"), [("xyz:TSLA", "xyz"), ("xyz:T", "xyz"), ("BTC", "main"), ("xy", "main"), ("abc:BTC", None)]
)
def test_the_longest_prefix_covers(symbol, scope):
    desk = Desk()
    held = desk.open(symbol=symbol, asset="A/USD")
    for scopes in (("main", "xyz"), ("xyz", "main")):  # whichever comes first
        desk.book._checks_of.clear()
        desk.do(run(1, checks=[check(s, prefix="xyz:" if s == "xyz" else "", at=LATER) for s in scopes]))
        found = covering(desk.book, held)
        assert (found and found.scope) == scope


def test_a_scope_of_another_product_does_not_cover():
    desk = Desk()
    held = desk.open(product=Product.SPOT)
    desk.do(run(1, checks=[check(at=LATER)]))
    assert covering(desk.book, held) is None


def test_what_was_seen_to_differ_is_not_called_synced():
    """Not confirmed yet, or never because it is traded all the time: the venue did not agree."""
    desk = Desk()
    held = desk.open()
    desk.do(run(1, checks=[check(at=LATER, suspects=("BTC",))]))
    assert verdict(desk.book, held) == (Verdict.PENDING, None)
    desk.do(run(2, checks=[check(at=LATER + timedelta(seconds=1), suspects=("ETH",))]))
    assert verdict(desk.book, held)[0] is Verdict.SYNCED
