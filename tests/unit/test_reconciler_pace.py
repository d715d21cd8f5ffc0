"""When a push may start a cycle: at once, many as one, not faster than it helps, never with the last of the budget."""

from __future__ import annotations

import math
from itertools import pairwise

from reconciler_service.pace import AGAIN_S, GATHER_S, SPACING_S, Pace
from reconciler_service.venues.budget import WeightBudget

FULL = 960


def pace() -> Pace:
    return Pace(full=FULL)


def test_without_a_push_there_is_nothing_to_wait_for() -> None:
    assert pace().wait_s(FULL, 10.0) == math.inf


def test_a_push_is_answered_once_what_belongs_to_it_has_come() -> None:
    one = pace()
    one.push(10.0)
    one.push(10.0 + GATHER_S / 2)  # the rest of the same event does not put it off
    assert math.isclose(one.wait_s(FULL, 10.0), GATHER_S)
    assert one.wait_s(FULL, 10.0 + GATHER_S) == 0.0


def test_any_cycle_answers_what_was_pushed_before_it_and_nothing_after() -> None:
    for to_push in (True, False):
        one = pace()
        one.push(10.0)
        one.answer(10.1, to_push=to_push)
        assert one.wait_s(FULL, 11.0) == math.inf
        one.push(11.0)
        assert one.wait_s(FULL, 12.0) == 0.0


def test_cycles_of_pushes_keep_their_distance_from_each_other_only() -> None:
    one = pace()
    one.answer(10.0, to_push=True)
    one.push(10.1)
    assert math.isclose(one.wait_s(FULL, 10.1 + GATHER_S), SPACING_S - 0.1 - GATHER_S)
    one.answer(10.2, to_push=False)
    later = 10.0 + SPACING_S
    one.push(later)
    assert one.wait_s(FULL, later + GATHER_S) == 0.0


def test_half_of_the_budget_is_not_for_pushes() -> None:
    one = pace()
    one.push(10.0)
    assert one.wait_s(FULL // 2, 11.0) == 0.0
    assert one.wait_s(FULL // 2 - 1, 11.0) == AGAIN_S
    assert one.wait_s(FULL, 12.0) == 0.0, "it is put off, not forgotten"


def test_a_budget_that_turns_out_larger_counts_as_it_is() -> None:
    one = Pace()
    one.push(10.0)
    assert one.wait_s(FULL, 11.0) == 0.0
    assert one.wait_s(FULL // 2 - 1, 11.0) == AGAIN_S


def test_a_desk_that_never_rests_is_looked_at_at_a_steady_rate() -> None:
    """Ten minutes of a push at any time, 60 weight a cycle, of a budget that forgets what is a minute old."""
    now, looked = 0.0, list[float]()
    budget = WeightBudget(FULL, clock=lambda: now)
    one, weight = pace(), 60
    while now < 600:
        one.push(now)
        if one.wait_s(budget.left, now) > 0:
            now += 0.05
            continue
        one.answer(now, to_push=True)
        before = budget.left
        budget.charge(weight)
        looked.append(now)
        now += 0.3  # so long it takes
        one.measure(before - budget.left)
        assert budget.left >= FULL // 2 - weight, "the rest is kept"
    gaps = [later - earlier for earlier, later in pairwise(looked)]
    even = weight * 60 / (FULL / 2)
    assert max(gaps) < 2 * even, "never deaf for long"
    assert len(looked) > 0.6 * 600 / even, "what there is is used"
    assert gaps[0] < 2, "and at first at once"


def test_what_a_cycle_costs_is_forgotten_by_halves() -> None:
    one = pace()
    one.measure(100)
    one.measure(-5)  # more became a minute old than was spent
    assert one.weight == 50
    one.measure(80)
    assert one.weight == 80


def test_a_quarter_of_the_budget_is_not_for_policies() -> None:
    one = pace()
    assert one.may_correct(FULL // 4)
    assert not one.may_correct(FULL // 4 - 1)


def test_a_venue_without_a_budget_is_looked_at_all_the_same() -> None:
    one = Pace()
    assert one.may_correct(0)
    one.answer(10.0, to_push=True)
    one.push(10.1)
    assert math.isclose(one.wait_s(0, 10.2), SPACING_S - 0.2)
