"""Whether a difference still stands after what the book did since: exact where times are known, else the worst is taken."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler_service.compare import compare
from reconciler_service.findings import Finding, Kind
from reconciler_service.model import BookPosition, VenuePosition
from reconciler_service.since import Step, stands_at, was_in_flight
from reconciler_service.tolerances import Tolerances
from tests.reconciler_samples import NOW, booked, held, scope, snapshot

MINE = booked().position_id
SECOND = timedelta(seconds=1)


def finding(local: BookPosition | None, actual: VenuePosition | None, **seen: Any) -> Finding:
    """The one wrong exposure of a look at NOW, of a state of that time."""
    positions = [actual] if actual else []
    taken = snapshot(scope(*positions, **({"observed_at": NOW} | seen)))
    (found,) = compare([local] if local else [], taken, Tolerances())
    return found


def step(revision: int, change: str, after: int | None = None, **fields: Any) -> Step:
    """Executed so many seconds after the state of the look; None: the book was not told when."""
    at = None if after is None else NOW + after * SECOND
    values: dict[str, Any] = {"symbol": "BTC", "position_id": MINE, "is_live": True, "executed_at": at}
    return Step(revision, change=Decimal(change), **(values | fields))


SHORT_OF = finding(booked("0.5"), held("0.6"))  # of revision 7; 0.1 is missing in the book


@pytest.mark.parametrize(
    ("steps", "stands"),
    [
        ([], 7),
        ([step(7, "0.1")], 7),  # read already
        ([step(8, "0.1", symbol="ETH")], 7),
        ([step(8, "0")], 8),  # a label
        ([step(8, "0.1", 1)], 8),  # traded since, however much
        ([step(8, "0.1", 1), step(9, "-0.3", 2), step(10, "0.5", 3)], 10),
        ([step(8, "0.1", 0)], None),  # it is what was missing
        ([step(8, "0.1", -5)], None),
        ([step(8, "0.04", -5)], None),  # a part of it: the rest may be on its way as well
        ([step(8, "-0.04", -5)], None),
        ([step(8, "0.1")], None),  # may be what was missing
        ([step(8, "0.06"), step(9, "0.04")], None),
        ([step(8, "0.09")], 8),
        ([step(8, "-0.5")], 8),  # cannot be it
        ([step(8, "0", in_transit=True)], None),
        ([step(8, "-0.5", 1, is_live=False)], 0),
        ([step(8, "-0.5", 1, is_live=False), step(9, "0.2", 2, position_id="new")], 9),
        ([step(8, "0.1", 1), step(9, "0", 2, position_id="of before", is_live=False)], 8),  # a restated estimate
    ],
)
def test_what_stands_that_was_level(steps: list[Step], stands: int | None) -> None:
    assert stands_at(SHORT_OF, steps, is_level=True) == stands


def test_what_was_seen_twice_only_stands_while_nothing_is_booked_that_may_be_it() -> None:
    assert stands_at(SHORT_OF, [step(8, "0.09")], is_level=False) is None
    assert stands_at(SHORT_OF, [step(8, "-0.5"), step(9, "0.3", 1)], is_level=False) == 9


def test_of_an_unbooked_position_and_of_a_short_it_is_the_same() -> None:
    unbooked = finding(None, held("0.6"))
    assert unbooked.kind is Kind.MISSING_LOCALLY
    assert stands_at(unbooked, [], is_level=True) == 0
    assert stands_at(unbooked, [step(8, "0.6", -1)], is_level=True) is None
    assert stands_at(unbooked, [step(8, "0.6", 1)], is_level=True) == 8
    gone = finding(booked("0.5"), None)
    assert stands_at(gone, [step(8, "-0.5", is_live=False)], is_level=True) is None
    assert stands_at(gone, [step(8, "0.5")], is_level=True) == 8


def test_without_the_time_of_the_state_no_time_of_a_fill_says_anything() -> None:
    timeless = finding(booked("0.5"), held("0.6"), observed_at=None)
    assert stands_at(timeless, [step(8, "0.1", 60)], is_level=True) is None
    assert stands_at(timeless, [step(8, "0.09", 60)], is_level=True) == 8
    assert not was_in_flight(timeless, [step(8, "0.1", -1)])


def test_what_was_in_flight_is_known_by_its_time() -> None:
    assert was_in_flight(SHORT_OF, [step(8, "0.01", 0)])
    for other in (step(8, "0.1", 1), step(8, "0.1"), step(7, "0.1", -1), step(8, "0", -1), step(8, "1", 0, symbol="X")):
        assert not was_in_flight(SHORT_OF, [other])


AMOUNTS = st.integers(-5, 5).filter(bool).map(lambda tenths: Decimal(tenths) / 10)


@given(st.lists(st.tuples(AMOUNTS, st.booleans(), st.booleans()), max_size=8), AMOUNTS)
def test_nothing_stands_that_is_settled(trades: list[tuple[Decimal, bool, bool]], missing: Decimal) -> None:
    """Against the truth: the venue at the look held all that was executed before it, the book what was booked by then."""
    size = Decimal(100)
    late = [change for change, was_before, _ in trades if was_before]
    if not missing + sum(late):
        return
    seen = finding(booked(str(size)), held(str(size + missing + sum(late))))
    steps = [
        step(8 + n, str(change), (-1 if was_before else 1) if is_timed else None)
        for n, (change, was_before, is_timed) in enumerate(trades)
    ]
    # What is missing is missing for good; the rest has arrived. With nothing missing nothing may stand.
    settled = finding(booked(str(size)), held(str(size + sum(late)))) if sum(late) else None
    for is_level in (False, True):
        if settled is not None:
            assert stands_at(settled, steps, is_level=is_level) is None
        if not late and all(is_timed for *_, is_timed in trades):
            assert stands_at(seen, steps, is_level=is_level) == 7 + len(steps), "with all times known, it always stands"
