"""Policies: the most specific one, never more than allowed, never another action than the one ordered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.correct import Action, Adjust, BookFills
from reconciler_service.findings import Cause, Explanation, Finding, Kind
from reconciler_service.model import BookState, Side, Source
from reconciler_service.policies import Policies, Policy, excess, objection, stake, unmet
from tests.reconciler_samples import NOW, booked, fill, held

APPLY = Policy(Action.APPLY_FILLS, Decimal(5_000))
ADOPT = Policy(Action.ADOPT_VENUE, Decimal(5_000))
ALERT = Policy(None, Decimal(0))
MISSED = Explanation(Cause.MISSED_FILLS, "")


def finding(kind: Kind = Kind.SIZE, local: Any = None, actual: Any = None, **fields: Any) -> Finding:
    values = {"mark": Decimal(42_150), "venue": "hyperliquid", "symbol": "BTC"} | fields
    return Finding(
        kind=kind, account="main", source=Source.LIVE, requested_at=NOW, rule="", local=local, actual=actual, **values
    )


GROWN = finding(local=booked(), actual=held("0.6"))  # by 4 215 USD


def test_the_most_specific_policy_counts_and_may_be_to_do_nothing() -> None:
    policies = Policies(
        {
            (Kind.SIZE, "", ""): APPLY,
            (Kind.SIZE, "hyperliquid", ""): ADOPT,
            (Kind.SIZE, "", "ETH"): APPLY,
            (Kind.SIZE, "hyperliquid", "SOL"): ALERT,
            (Kind.SIDE, "coinbase", ""): ADOPT,
        }
    )
    assert policies.of(finding(venue="coinbase")) is APPLY
    assert policies.of(finding()) is ADOPT
    assert policies.of(finding(symbol="ETH")) is APPLY
    assert policies.of(finding(symbol="SOL")) is None
    assert policies.of(finding(Kind.SIDE)) is None
    assert Policies().of(finding()) is None


@pytest.mark.parametrize(
    ("explanation", "allowed"),
    [
        (MISSED, True),
        (Explanation(Cause.LIQUIDATION, ""), True),
        (Explanation(Cause.CLOSED_AT_VENUE, ""), True),
        (Explanation(Cause.MISSED_FILLS, "", estimated=True), False),
        (Explanation(Cause.UNEXPLAINED, ""), False),
        (Explanation(Cause.FEE_IN_BASE, ""), False),
    ],
)
def test_fills_that_do_not_add_up_are_never_made_up_for(explanation: Explanation, allowed: bool) -> None:
    why = objection(APPLY, GROWN, explanation)
    assert why == ("" if allowed else "no fills at the venue account for it")
    assert not objection(ADOPT, GROWN, explanation)


GONE = finding(Kind.MISSING_AT_VENUE, booked(), None)


@pytest.mark.parametrize(
    ("cause", "allowed"),
    [(Cause.CLOSED_AT_VENUE, True), (Cause.LIQUIDATION, True), (Cause.TRANSFER, True), (Cause.UNEXPLAINED, False)],
)
def test_a_venue_that_holds_nothing_and_tells_of_nothing_is_not_adopted(cause: Cause, allowed: bool) -> None:
    why = objection(Policy(Action.ADOPT_VENUE, Decimal(50_000)), GONE, Explanation(cause, ""))
    assert why == ("" if allowed else "the venue holds nothing and tells of nothing that took it away")


@pytest.mark.parametrize(
    ("one", "amount"),
    [
        (GROWN, "4215"),
        (finding(Kind.SIDE, booked(), held("0.5", side=Side.SHORT)), "42150"),
        (finding(Kind.MISSING_LOCALLY, None, held()), "21075"),
        (finding(Kind.MISSING_AT_VENUE, booked(), None, mark=None), "21000"),
        (finding(Kind.MISSING_LOCALLY, None, held(entry_price=Decimal(40_000)), mark=None), "20000"),
        (finding(Kind.ENTRY_PRICE, booked(), held("0.50001", entry_price=Decimal(41_000))), "500.01"),
        (finding(Kind.OVERDUE, booked(state=BookState.OPENING), None), "21075"),
        (finding(Kind.LEVERAGE, booked(), held(leverage=Decimal(9))), "0"),
    ],
)
def test_what_a_correction_is_about(one: Finding, amount: str) -> None:
    assert stake(one) == Decimal(amount)


def test_no_more_than_allowed_counting_all_that_was_traded() -> None:
    assert not excess(Decimal(4215), GROWN)
    assert excess(Decimal("4214.99"), GROWN) == "it is about 4215 USD, more than the 4214.99 USD allowed"
    run = BookFills((fill("0.2", "42000"), fill("-0.1", "42000")), None)
    adjusted = Adjust(Side.LONG, Decimal("0.6"), None, None)
    assert not excess(Decimal(12_600), GROWN, [run, adjusted])
    assert excess(Decimal(5_000), GROWN, [run]) == "it is about 12600 USD, more than the 5000 USD allowed"


def test_what_has_no_price_is_not_corrected() -> None:
    one = finding(Kind.MISSING_LOCALLY, None, held(entry_price=None), mark=None)
    assert stake(one) is None
    assert objection(ADOPT, one, MISSED) == "no price says whether it is about more than 5000 USD"


def test_the_note_names_the_order_once() -> None:
    assert unmet(APPLY, "APPLY_FILLS: no fills") == unmet(APPLY, "no fills")
    assert unmet(APPLY, "no fills") == "policy APPLY_FILLS not carried out: no fills"
