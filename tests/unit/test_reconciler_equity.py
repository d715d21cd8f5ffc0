"""What an account is worth: explained to the last digit, from a start that was agreed, a gap only when it stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.equity import ASK_AGAIN, ASK_UNSETTLED, OVERLAP, Account, Worth, judged, moved, seen, worth
from reconciler_service.model import CashFlow, Equity, FlowKind, Outcome, Product
from tests.reconciler_samples import NOW, scope, snapshot

USD = frozenset({"USDC"})
MINUTE = timedelta(minutes=1)
ONE = Decimal(1)


def told(cash: str, unrealized: str = "0", at: datetime = NOW) -> Worth:
    return Worth(at, Decimal(cash), Decimal(unrealized), {"": at})


def started(cash: str = "1000", unrealized: str = "50") -> Account:
    """Agreed a minute later."""
    start = told(cash, unrealized)
    account = Account(start, replace(start, at=NOW + MINUTE), 7, flows_at=NOW)
    return judged(account, Decimal(0), ONE, is_settled=True)


def flow(amount: str, at: datetime, flow_id: str = "a", **fields: Any) -> CashFlow:
    values = {"kind": FlowKind.FUNDING, "scope": "", "currency": "USDC"} | fields
    return CashFlow(flow_id=flow_id, time=at, amount=Decimal(amount), **values)


def look(account: Account, cash: str, realized: str = "0", *, is_settled: bool = True) -> Account:
    """The next look, a minute after the last one."""
    at, before = account.now.at + MINUTE, account.gap
    after = seen(account, told(cash, "80", at), Decimal(realized), 8)
    return judged(after, before, ONE, is_settled=is_settled)


def test_value_is_baseline_plus_realised_plus_flows_plus_unrealised() -> None:
    account = seen(started(), told("1017.5", "80", NOW + 2 * MINUTE), Decimal(20), 9)
    account = moved(account, [flow("-2.5", NOW + MINUTE)], USD)
    assert (account.gap, account.expected, account.now.value) == (0, Decimal("1097.5"), Decimal("1097.5"))
    assert account.start.value + 20 - Decimal("2.5") + 30 == account.expected
    short = replace(account, now=told("1010", "80"))
    assert (short.gap, short.expected) == (Decimal("-7.5"), Decimal("1097.5"))


def test_only_contracts_of_scopes_that_were_read_and_tell_all() -> None:
    good = scope(equity=Equity(Decimal(100), Decimal(-3)), observed_at=NOW - MINUTE)
    dex = scope(scope="xyz", symbol_prefix="xyz:", equity=Equity(Decimal(7)))
    spot = scope(scope="spot", product=Product.SPOT, equity=Equity(Decimal(5), holdings=Decimal(9)))
    made = worth(snapshot(good, dex, spot))
    assert made == Worth(NOW, Decimal(107), Decimal(-3), {"": NOW - MINUTE, "xyz": NOW})
    assert worth(snapshot(spot)) is None
    for bad in (
        replace(dex, outcome=Outcome.FAILED),
        replace(dex, outcome=Outcome.SUSPECT),
        replace(dex, equity=None),
        replace(dex, equity=Equity(Decimal(7), holdings=ONE)),
        replace(dex, equity=Equity(Decimal(7), unpriced=("X",))),
    ):
        assert worth(snapshot(good, bad)) is None


def test_each_flow_counts_once_and_only_between_the_start_and_now() -> None:
    account = seen(started(), told("1000", "0", NOW + 5 * MINUTE), Decimal(0), 7)
    flows = [
        flow("1", NOW, "before"),
        flow("2", NOW + MINUTE, "in"),
        flow("2", NOW + MINUTE, "in", scope="spot"),
        flow("4", NOW + 5 * MINUTE, "at the end"),
        flow("8", NOW + 6 * MINUTE, "after"),
        flow("16", NOW + MINUTE, "coin", currency="HYPE"),
    ]
    once = moved(account, flows, USD)
    assert (once.moved, once.flows_at) == (6, NOW + 5 * MINUTE)
    assert moved(once, flows, USD).moved == 6
    later = seen(once, told("1000", "0", NOW + 60 * MINUTE), Decimal(0), 7)
    last = moved(later, flows, USD)
    assert last.moved == 14
    assert not last.flows  # no question reaches back to them
    assert (last.flows_at or NOW) - 2 * OVERLAP > NOW + 6 * MINUTE


def test_what_moved_is_asked_for_when_the_gap_is_another_one_and_seldom_when_it_stays() -> None:
    """Each question costs weight, and a gap that nobody mends may stay for days."""

    def asks(account: Account, cash: str, later: timedelta, *, is_settled: bool = True) -> bool:
        after = seen(account, told(cash, "0", account.now.at + later), Decimal(0), 7)
        return after.is_to_ask(ONE, is_settled=is_settled)

    second = timedelta(seconds=1)
    fresh = started()
    assert not asks(fresh, "999", second)
    assert asks(fresh, "990", second)
    assert asks(fresh, "990", second, is_settled=False)
    asked = moved(seen(fresh, told("990", "0", NOW + 2 * MINUTE), Decimal(0), 7), [], USD)
    assert asked.asked_gap == -10
    assert not asks(asked, "990.5", second)
    assert asks(asked, "980", second)
    assert asks(asked, "990", ASK_AGAIN)
    assert not asks(asked, "980", ASK_AGAIN, is_settled=False)
    assert asks(asked, "980", ASK_UNSETTLED, is_settled=False)


def test_a_scope_that_came_later_counts_from_the_start() -> None:
    account = replace(
        started(), now=Worth(NOW + MINUTE, Decimal(0), Decimal(0), {"": NOW + MINUTE, "new": NOW + MINUTE})
    )
    assert moved(account, [flow("3", NOW + MINUTE, scope="new"), flow("5", NOW, "b", scope="new")], USD).moved == 3


def test_a_start_that_a_second_look_contradicts_is_no_start() -> None:
    start = told("1000")
    account = Account(start, start, 7)
    off = look(account, "990")
    assert (off.is_agreed, off.start.cash, off.gap) == (False, 990, 0)
    agreed = look(off, "990")
    assert (agreed.is_agreed, agreed.start.cash) == (True, 990)
    unsure = look(account, "1000", is_settled=False)
    assert (unsure.is_agreed, unsure.start.at) == (False, NOW + MINUTE)


def test_a_gap_is_confirmed_by_a_second_look_at_the_same_one_and_over_after_two_without() -> None:
    once = look(started(), "995")
    assert (once.looks, once.is_confirmed, once.gap) == (1, False, -5)
    other = look(once, "985")
    assert (other.looks, other.is_confirmed) == (1, False)
    twice = look(once, "994.5")
    assert (twice.is_confirmed, twice.since, twice.was_confirmed) == (True, NOW + 2 * MINUTE, True)
    booked = look(twice, "995", "-5")
    assert (booked.looks, booked.clear, booked.gap) == (0, 1, 0)
    assert look(booked, "995").clear == 2


@pytest.mark.parametrize(("cash", "is_off"), [("1001", False), ("1001.01", True), ("999", False), ("998.99", True)])
def test_the_edge_of_the_tolerance_is_within(cash: str, is_off: bool) -> None:
    assert bool(look(started(), cash).looks) is is_off


def test_while_a_position_is_wrong_a_gap_says_nothing() -> None:
    once = look(started(), "995")
    same = look(once, "995", is_settled=False)
    assert (same.looks, same.gap) == (1, -5)
