"""confirm and trust: one look is never enough, and what was not read says nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler_service.compare import compare
from reconciler_service.confirm import (
    LEVEL_FOR,
    LEVEL_LOOKS,
    NOTHING,
    Look,
    Memory,
    Suspicion,
    Verdict,
    doubt_again,
    observe,
    refute,
)
from reconciler_service.findings import Kind, OpenCase
from reconciler_service.model import BookPosition, BookState, Outcome, Product, ScopeReading, VenuePosition
from reconciler_service.tolerances import Tolerances
from reconciler_service.trust import EMPTY, MASS_FOR, Answer, weigh
from tests.reconciler_samples import NOW, booked, held, scope, snapshot

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # timings never decide a test

SECOND = timedelta(seconds=1)


def look(after: int, local: BookPosition | None, *actual: VenuePosition, **fields: Any) -> Look:
    """A look requested so many seconds after NOW, of the state at that time."""
    at = NOW + after * SECOND
    book = {} if local is None else {local.symbol: local}
    seen = snapshot(scope(*actual, **({"observed_at": at} | fields)), at=at)
    return Look(seen, compare(tuple(book.values()), seen, Tolerances()), book)


def looks(*steps: Look, cases: tuple[OpenCase, ...] = (), moved: tuple[str, ...] = ()) -> Verdict:
    """What the last of these looks says, each in a cycle of its own."""
    verdict = NOTHING
    for step in steps:
        verdict = observe(verdict.memory, step, cases, moved)
    return verdict


def cycle(*steps: Look, cases: tuple[OpenCase, ...] = ()) -> Verdict:
    """What the last of these looks says, all in one cycle."""
    verdict = NOTHING
    for step in steps:
        verdict = observe(verdict.memory, step, cases, earlier=verdict)
    return verdict


def case(kind: Kind = Kind.SIZE, **fields: Any) -> OpenCase:
    values: dict[str, Any] = {
        "drift_id": "d1",
        "account": "main",
        "venue": "hyperliquid",
        "symbol": "BTC",
        "product": Product.PERPETUAL,
        "kind": kind,
    }
    return OpenCase(**values | fields)


def test_the_second_look_confirms() -> None:
    first = looks(look(0, booked(), held("0.6")))
    assert not first.confirmed
    assert len(first.suspected) == 1
    assert first.pending
    second = looks(look(0, booked(), held("0.6")), look(1, booked(), held("0.6")))
    (confirmed,) = second.confirmed
    assert (confirmed.looks, confirmed.first_seen, confirmed.finding.requested_at) == (2, NOW, NOW + SECOND)
    assert not second.suspected
    assert not second.pending


def test_a_snapshot_that_was_not_requested_later_is_no_second_look() -> None:
    again = looks(look(0, booked(), held("0.6")), look(0, booked(), held("0.6")))
    assert not again.confirmed
    assert len(again.suspected) == 1
    assert again.pending


@pytest.mark.parametrize(
    "second",
    [
        look(1, booked(), held("0.7")),
        look(1, booked("0.4"), held("0.6")),
        look(1, booked(revision=8, realized_pnl=Decimal(1)), held("0.6")),
    ],
    ids=["the venue moved", "the book moved", "the book moved there and back"],
)
def test_what_moves_starts_again(second: Look) -> None:
    verdict = looks(look(0, booked(), held("0.6")), second)
    assert not verdict.confirmed
    assert verdict.suspected[0].first_seen == NOW + SECOND


@pytest.mark.parametrize("local", [None, booked(updated_at=NOW)], ids=["closed", "changed"])
def test_a_state_older_than_the_books_is_no_second_look(local: BookPosition | None) -> None:
    """The venue lags: it still shows what the book has left behind, and would show it in every answer of a second."""
    first = look(0, local, held("0.6"), observed_at=NOW - 2 * SECOND)
    behind = look(1, local, held("0.6"), observed_at=NOW - SECOND)
    verdict = looks(first, behind, behind)
    assert not verdict.confirmed
    assert [(one.looks, one.first_seen) for one in verdict.suspected] == [(1, NOW)]
    assert verdict.pending
    assert looks(first, behind, look(2, local, held("0.6"), observed_at=NOW)).confirmed
    assert not looks(first, behind, look(2, local, *([held("0.5")] if local else []), observed_at=NOW)).suspected


def test_without_a_time_of_the_state_the_request_counts() -> None:
    assert looks(*(look(n, None, held(), observed_at=None) for n in range(2))).confirmed


@pytest.mark.parametrize("changed", [{}, {"liquidation_price": Decimal(37900)}, {"mark_price": Decimal(1)}])
def test_labels_and_risk_of_the_book_do_not_start_it_again(changed: dict[str, Any]) -> None:
    """They move the revision and the time of the position, and nothing that was traded."""
    later = booked(revision=8, updated_at=NOW + SECOND, **changed)
    second = look(1, later, held("0.6"), observed_at=NOW + SECOND / 2)
    assert looks(look(0, booked(), held("0.6")), second).confirmed


def test_a_liquidation_price_that_the_book_changed_starts_again() -> None:
    first = look(0, booked(liquidation_price=Decimal(20000)), held())
    assert not looks(first, look(1, booked(liquidation_price=Decimal(21000)), held())).confirmed


def trading(after: int, round_: int, delta: str = "0.1", **fields: Any) -> Look:
    """Both sides trade, and the venue stays ahead by as much."""
    size = Decimal("0.5") + round_
    return look(after, booked(str(size), revision=round_, updated_at=NOW), held(str(size + Decimal(delta))), **fields)


def test_what_trades_all_the_time_is_confirmed_by_a_difference_that_stays() -> None:
    seconds = int(LEVEL_FOR.total_seconds())
    steps = [trading(n, n) for n in range(LEVEL_LOOKS - 1)]
    assert not looks(*steps).confirmed
    assert looks(*steps).pending
    assert not looks(*steps, trading(seconds - 1, 9)).confirmed, "not for long enough"
    assert not looks(*steps[1:], trading(seconds + 1, 9)).confirmed, "not often enough"
    verdict = looks(*steps, trading(seconds, 9))
    (one,) = verdict.confirmed
    assert (one.looks, one.since, one.first_seen) == (1, NOW, NOW + seconds * SECOND)
    assert not verdict.suspected
    assert not verdict.pending
    assert looks(*steps, trading(seconds, 9), trading(seconds + 1, 10)).confirmed


def test_what_turns_out_to_have_been_in_flight_begins_again() -> None:
    seconds = int(LEVEL_FOR.total_seconds())
    steps = [trading(n, n) for n in range(LEVEL_LOOKS - 1)]
    verdict = looks(*steps, trading(seconds, 9))
    (one,) = verdict.confirmed
    assert one.is_level
    assert one.anchor is not None
    assert one.anchor.requested_at == NOW
    kept = refute(verdict, [])
    assert kept.confirmed == verdict.confirmed
    again = refute(verdict, [one.finding.key])
    (suspect,) = again.suspected
    assert not again.confirmed
    assert again.memory.suspicions == {one.finding.key: suspect}
    assert suspect.anchor == one.finding
    later = observe(again.memory, trading(seconds + 1, 10), ())
    assert not later.confirmed
    (restarted,) = later.suspected
    assert (restarted.level_looks, restarted.level_since) == (2, NOW + seconds * SECOND)


def test_a_difference_that_comes_and_goes_is_never_confirmed() -> None:
    seconds = int(LEVEL_FOR.total_seconds())
    steps = [trading(n, n) for n in range(LEVEL_LOOKS - 1)]
    assert not looks(*steps, trading(8, 8, "0"), trading(seconds, 9)).confirmed
    assert not looks(*steps, trading(8, 8, "-0.1"), trading(seconds, 9)).confirmed
    old = trading(seconds, 9, observed_at=NOW - SECOND)
    assert not looks(*steps, old).confirmed, "a state older than the book's does not count"


def test_a_setting_that_moves_has_no_difference_that_stays() -> None:
    steps = [look(20 * n, booked(), held(leverage=Decimal(9 + n))) for n in range(9)]
    assert not looks(*steps).confirmed


def test_since_when_it_is_seen_is_told_by_the_rule_that_confirms() -> None:
    finding = look(0, booked(), held("0.6")).findings[0]
    assert Suspicion(finding, NOW, 2, level_since=NOW - SECOND).since == NOW
    assert Suspicion(finding, NOW, 1, level_since=NOW - SECOND).since == NOW
    assert not Suspicion(finding, NOW, 1, level_looks=LEVEL_LOOKS).is_confirmed


def test_after_a_clock_that_was_set_back_it_begins_anew() -> None:
    before = look(3600, booked(), held("0.6")), look(3601, booked(), held("0.6"))
    first = looks(*before, look(0, booked(), held("0.6")))
    assert not first.confirmed
    assert first.memory.last_look == NOW
    assert looks(*before, look(0, booked(), held("0.6")), look(1, booked(), held("0.6"))).confirmed
    good = look(3600, booked(), held()), look(0, booked(), held())
    assert not looks(*good, cases=(case(),)).resolved
    assert looks(*good, look(1, booked(), held()), cases=(case(),)).resolved == ("d1",)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.SUSPECT])
def test_what_a_cycle_confirmed_stays_so_when_a_later_look_sees_nothing(outcome: Outcome) -> None:
    seen = look(0, booked(), held("0.6")), look(1, booked(), held("0.6"))
    (confirmed,) = cycle(*seen, look(2, booked(), outcome=outcome)).confirmed
    assert confirmed.finding.requested_at == NOW + SECOND
    assert cycle(*seen, seen[1]).confirmed, "a look of the same time changes nothing"
    assert not cycle(*seen, look(2, booked(), held())).confirmed
    assert not cycle(*seen, look(2, booked(), held("0.7"))).confirmed
    assert not cycle(*seen, look(-1, booked(), outcome=outcome)).confirmed


def test_what_a_cycle_resolved_stays_so_unless_it_comes_back() -> None:
    good = look(0, booked(), held()), look(1, booked(), held())
    assert cycle(*good, cases=(case(),)).resolved == ("d1",)
    assert cycle(*good, good[1], cases=(case(),)).resolved == ("d1",)
    assert cycle(*good, look(2, booked(), held()), cases=(case(),)).resolved == ("d1",)
    assert cycle(*good, look(2, booked(), outcome=Outcome.FAILED), cases=(case(),)).resolved == ("d1",)
    assert not cycle(*good, look(2, booked(), held("0.6")), cases=(case(),)).resolved


def test_what_the_ledger_refused_is_suspected_again() -> None:
    verdict = looks(look(0, booked(), held("0.6")), look(1, booked(), held("0.6")))
    (confirmed,) = verdict.confirmed
    doubted = doubt_again(verdict.memory, {confirmed.finding.key})
    assert not doubted.suspicions[confirmed.finding.key].is_confirmed
    assert observe(doubted, look(2, booked("0.4"), held("0.6")), ()).suspected
    assert observe(doubted, look(2, booked(), held("0.6")), ()).confirmed
    assert doubt_again(verdict.memory, ()) == verdict.memory


def test_a_local_position_that_came_and_went_starts_again() -> None:
    steps = look(0, None, held()), look(1, None, held())
    assert not looks(*steps, moved=("BTC",)).confirmed
    assert looks(*steps, moved=("ETH",)).confirmed


@pytest.mark.parametrize(
    "changed",
    [
        {"entry_price": Decimal(42100)},
        {"leverage": Decimal(10)},
        {"margin_mode": None},
        {"liquidation_price": Decimal(20000)},
    ],
)
def test_the_fact_is_the_field_and_not_what_is_around_it(changed: dict[str, Any]) -> None:
    one = held(**{"margin_mode": None} | changed, mark_price=Decimal(42150))
    other = held(**{"margin_mode": None} | changed, mark_price=Decimal(42151))
    assert len(looks(look(0, booked(), one), look(1, booked(), other)).suspected) == 0


def test_a_liquidation_price_may_move_and_a_leverage_may_not() -> None:
    def confirmed(first: VenuePosition, second: VenuePosition) -> int:
        return len(looks(look(0, booked(), first), look(1, booked(), second)).confirmed)

    assert confirmed(held(liquidation_price=Decimal(20000)), held(liquidation_price=Decimal(20001)))
    assert not confirmed(held(leverage=Decimal(9)), held(leverage=Decimal(10)))
    assert not confirmed(held(entry_price=Decimal(50000)), held(entry_price=Decimal(50001)))


def test_suspicions_outlive_scopes_that_fail_and_are_neither_confirmed_nor_cleared() -> None:
    first, failed = look(0, booked(), held("0.6")), look(1, booked(), outcome=Outcome.FAILED)
    verdict = looks(first, failed)
    assert not verdict.confirmed
    assert len(verdict.suspected) == 1
    assert not verdict.pending, "another look at a failed scope settles nothing"
    assert looks(first, failed, look(2, booked(), held("0.6"))).confirmed
    confirmed_once = looks(first, look(1, booked(), held("0.6")), look(2, booked(), outcome=Outcome.FAILED))
    assert not confirmed_once.confirmed, "what this look did not show is not said to be seen"
    assert not confirmed_once.suspected


def test_a_doubtful_scope_asks_for_another_look() -> None:
    assert looks(look(0, booked(), outcome=Outcome.SUSPECT)).pending


def test_a_suspicion_that_is_not_seen_again_is_forgotten() -> None:
    verdict = looks(look(0, booked(), held("0.6")), look(1, booked(), held()))
    assert not verdict.memory.suspicions
    assert not looks(
        look(0, booked(), held("0.6")), look(1, booked(), held()), look(2, booked(), held("0.6"))
    ).confirmed


def test_the_last_good_look_before_is_remembered() -> None:
    verdict = looks(
        look(0, booked(), held()), look(1, booked(), outcome=Outcome.FAILED), look(2, booked(), held("0.6"))
    )
    assert verdict.suspected[0].agreed_at == NOW
    assert looks(look(0, booked(), held("0.6"))).suspected[0].agreed_at is None


def test_a_case_ends_after_two_good_looks_in_a_row_that_do_not_show_it() -> None:
    good, bad = look(0, booked(), held()), look(0, booked(), held("0.6"))
    assert looks(good, cases=(case(),)).pending
    assert not looks(good, cases=(case(),)).resolved
    assert looks(good, look(1, booked(), held()), cases=(case(),)).resolved == ("d1",)
    assert not looks(bad, look(1, booked(), held()), cases=(case(),)).resolved
    failed = look(1, booked(), outcome=Outcome.FAILED)
    assert not looks(good, failed, cases=(case(),)).resolved
    assert looks(good, failed, look(2, booked(), held()), cases=(case(),)).resolved == ("d1",)
    assert not looks(failed, cases=(case(),)).resolved
    assert not looks(good, look(1, booked(), held("0.6")), look(2, booked(), held()), cases=(case(),)).resolved


def test_a_case_whose_position_is_gone_on_both_sides_ends() -> None:
    assert looks(look(0, None), look(1, None), cases=(case(),)).resolved == ("d1",)
    assert not looks(look(0, None), look(1, None), cases=(case(product=None),)).resolved


def test_cases_stay_while_the_position_is_in_transit_except_overdue() -> None:
    closing = booked(state=BookState.CLOSING)
    steps = look(0, closing, held()), look(1, closing, held())
    assert not looks(*steps, cases=(case(),)).resolved
    assert looks(*steps, cases=(case(Kind.OVERDUE),)).resolved == ("d1",)


def test_an_entry_price_is_not_judged_while_the_size_is_wrong() -> None:
    wrong = look(0, booked(), held("0.6")), look(1, booked(), held("0.6"))
    right = look(0, booked(), held()), look(1, booked(), held())
    assert not looks(*wrong, cases=(case(Kind.ENTRY_PRICE),)).resolved
    assert looks(*right, cases=(case(Kind.ENTRY_PRICE),)).resolved == ("d1",)


STEPS = st.lists(
    st.tuples(st.sampled_from(["0.5", "0.6", "0.7"]), st.integers(1, 2), st.sampled_from(Outcome)), max_size=12
)


@UNTIMED
@given(STEPS)
def test_any_history_confirms_as_the_rule_says(steps: list[tuple[str, int, Outcome]]) -> None:
    memory, model = Memory(), (None, 0)
    for second, (size, revision, outcome) in enumerate(steps):
        local = booked(revision=revision, realized_pnl=Decimal(revision))
        verdict = observe(memory, look(second, local, held(size), outcome=outcome), ())
        memory = verdict.memory
        shown = outcome is Outcome.OK and size != "0.5"
        if shown:
            model = ((size, revision), model[1] + 1 if model[0] == (size, revision) else 1)
        elif outcome is Outcome.OK:
            model = (None, 0)
        assert bool(verdict.confirmed) is (shown and model[1] > 1)
        assert bool(verdict.suspected) is (model[1] == 1)


def reading(at: datetime, *positions: VenuePosition, **fields: Any) -> ScopeReading:
    return scope(*positions, **({"observed_at": at} | fields))


def weighed(
    read: ScopeReading, answers: dict[str, Answer] | None = None, *local: BookPosition, after: float = 0
) -> tuple[ScopeReading, dict[str, Answer]]:
    at = NOW + after * SECOND
    book = {one.symbol: one for one in local}
    result, known = weigh(snapshot(read, at=at), answers or {}, book, 10 * SECOND, at + SECOND)
    return result.scopes[0], known


def emptied(*steps: tuple[float, int], book: int = 0) -> list[Outcome]:
    """How answers are judged that come at these seconds with so many positions, the book holding ``book``."""
    answers: dict[str, Answer] = {}
    outcomes = []
    local = [booked(symbol=f"S{n}") for n in range(book)]
    for after, count in steps:
        positions = [held(symbol=f"S{n}") for n in range(count)]
        read, answers = weighed(reading(NOW + after * SECOND, *positions), answers, *local, after=after)
        outcomes.append(read.outcome)
    return outcomes


OK, SUSPECT = Outcome.OK, Outcome.SUSPECT


def test_an_empty_scope_is_believed_the_second_time() -> None:
    first, answers = weighed(reading(NOW), None, booked())
    assert (first.outcome, first.error) == (SUSPECT, EMPTY)
    second, _ = weighed(reading(NOW + SECOND), answers, booked(), after=1)
    assert second.outcome is OK
    assert emptied((0, 1), (1, 0), (1.4, 0), (2, 0)) == [OK, SUSPECT, OK, OK], "whatever the book holds"
    assert emptied((0, 1), (1, 0), (1.4, 1), (2, 0)) == [OK, SUSPECT, OK, SUSPECT], "a hiccup is forgotten"
    assert emptied((0, 0), (1, 0), book=1) == [SUSPECT, OK]
    assert emptied((0, 0), (1, 0)) == [OK, OK], "flat from the start is no surprise"


def test_positions_that_vanish_at_once_are_doubted_for_longer() -> None:
    enough = MASS_FOR.total_seconds()
    assert emptied((0, 2), (1, 0), (1.4, 0), (enough + 0.9, 0), (enough + 1, 0), (enough + 2, 0)) == [
        OK,
        SUSPECT,
        SUSPECT,
        SUSPECT,
        OK,
        OK,
    ]
    assert emptied((0, 0), (1, 0), (enough, 0), book=2) == [SUSPECT, SUSPECT, OK], "also at the start"
    assert emptied((0, 2), (1, 1), (2, 0), (2.4, 0), book=2) == [OK, OK, SUSPECT, OK], "one after the other is ordinary"
    _, answers = weighed(reading(NOW, held(), held(symbol="ETH")))
    vanished, _ = weighed(reading(NOW + SECOND), answers, after=1)
    assert vanished.error == "empty, where 2 positions were: doubted for 10 s"


def test_an_empty_scope_that_was_asked_for_at_the_same_time_confirms_nothing() -> None:
    _, answers = weighed(reading(NOW), None, booked())
    assert weighed(reading(NOW + SECOND), answers, booked())[0].outcome is SUSPECT


def test_what_the_adapter_doubts_is_not_remembered() -> None:
    first, answers = weighed(reading(NOW, outcome=SUSPECT, error="some are missing"), None, booked())
    assert (first.outcome, first.error, answers) == (SUSPECT, "some are missing", {})


def test_nothing_that_was_remembered_counts_after_a_clock_was_set_back() -> None:
    _, answers = weighed(reading(NOW + 3600 * SECOND, held()), after=3600)
    again, answers = weighed(reading(NOW, held()), answers)
    assert again.outcome is OK
    assert answers[""].requested_at == NOW
    assert emptied((3600, 2), (3601, 0), (0, 0), (1, 0), book=1) == [OK, SUSPECT, SUSPECT, OK]


@pytest.mark.parametrize(
    "local", [None, booked(state=BookState.CLOSING), booked(product=Product.SPOT)], ids=["none", "leaving", "elsewhere"]
)
def test_an_empty_scope_is_believed_where_the_book_is_empty_too(local: BookPosition | None) -> None:
    assert weighed(reading(NOW), None, *([local] if local else []))[0].outcome is OK


def test_what_the_venue_says_it_never_kept_is_no_reason_to_think_that_it_is_gone() -> None:
    """However often it says so: an account that holds something is there."""
    answers: dict[str, Answer] = {}
    for after in (0, 1, 3600):
        read, answers = weighed(reading(NOW + after * SECOND, is_absent=True), answers, booked(), after=after)
        assert read.outcome is SUSPECT
        assert read.error == "absent, says the venue, where the book holds 1: look at the account and its key"
    assert answers == {}, "it is no answer"
    assert weighed(reading(NOW, is_absent=True))[0].outcome is OK
    assert weighed(reading(NOW), None, booked())[0].error == EMPTY


def test_a_zero_position_is_as_empty_as_none() -> None:
    assert weighed(reading(NOW, held("0")), None, booked())[0].outcome is SUSPECT
    assert weighed(reading(NOW, held()), None, booked())[0].outcome is OK


def test_an_old_state_is_not_believed() -> None:
    old, answers = weighed(reading(NOW - 10 * SECOND, held()))
    assert (old.outcome, old.error) == (Outcome.SUSPECT, "old: the state is 10.0 s older than the request")
    assert not answers
    assert weighed(reading(NOW - 9 * SECOND, held()))[0].outcome is Outcome.OK


def test_a_state_of_the_future_is_not_believed() -> None:
    """But one younger than the request is: the answer may have taken its time."""
    read, answers = weighed(reading(NOW + 11 * SECOND, held()))
    assert (read.outcome, answers) == (SUSPECT, {})
    assert read.error == "of the future: the state is 10.0 s younger than its receipt: a clock is wrong"
    assert weighed(reading(NOW + 10 * SECOND, held()))[0].outcome is OK
    (without,) = weigh(snapshot(reading(NOW + 10 * SECOND, held())), {}, {}, 10 * SECOND)[0].scopes
    assert without.outcome is SUSPECT


def test_the_same_state_as_before_is_not_believed() -> None:
    _, answers = weighed(reading(NOW, held()))
    same, _ = weighed(reading(NOW, held()), answers, after=1)
    assert (same.outcome, same.error) == (Outcome.SUSPECT, "old: the same state as before")
    assert weighed(reading(NOW + SECOND, held()), answers, after=1)[0].outcome is Outcome.OK
    timeless = scope(held())
    assert weighed(timeless, answers, after=1)[0].outcome is Outcome.OK
    _, without = weighed(timeless)
    assert weighed(reading(NOW, held()), without, after=1)[0].outcome is Outcome.OK


def test_a_state_without_a_time_is_doubted_with_the_main_one() -> None:
    def outcomes(main_at: datetime, *, name: str = "", answers: dict[str, Answer] | None = None) -> list[Any]:
        timeless = scope(held(product=Product.SPOT), scope="spot", product=Product.SPOT)
        whole = snapshot(reading(main_at, held(), scope=name), timeless)
        result, known = weigh(whole, answers or {}, {}, 10 * SECOND, NOW)
        assert ("spot" in known) is (result.scopes[1].outcome is OK)
        return [one.outcome for one in result.scopes]

    assert outcomes(NOW) == [OK, OK]
    assert outcomes(NOW - 10 * SECOND) == [SUSPECT, SUSPECT]
    assert outcomes(NOW - 10 * SECOND, name="xyz") == [SUSPECT, OK], "a dex of its own says nothing of the others"
    _, answers = weighed(reading(NOW, held()), after=-1)
    assert outcomes(NOW, answers=answers) == [SUSPECT, SUSPECT]


def test_a_failed_scope_stays_failed_and_is_not_remembered() -> None:
    failed, answers = weighed(reading(NOW, outcome=Outcome.FAILED, error="503"))
    assert (failed.outcome, failed.error, answers) == (Outcome.FAILED, "503", {})
