"""Drift cases: they never multiply, never go silent, and repeating changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from position_service.domain import commands as c
from position_service.domain.drift import DriftStatus, case_id, move
from position_service.domain.errors import DriftNotFound, IllegalTransition, InvalidValue, StaleRevision
from position_service.domain.events import EventType
from tests.position_samples import NOW, Desk, check, finding, run

CONFIRMED, ACKNOWLEDGED, SNOOZED, RESOLVED = DriftStatus
LEADS_TO = {
    CONFIRMED: {ACKNOWLEDGED, SNOOZED, RESOLVED},
    ACKNOWLEDGED: {CONFIRMED, SNOOZED, RESOLVED},
    SNOOZED: {CONFIRMED, ACKNOWLEDGED, SNOOZED, RESOLVED},
    RESOLVED: set(),
}


def confirmed(desk):
    desk.do(run(1, [finding()]))
    return only(desk)


def only(desk):
    (drift,) = desk.book.drifts.values()
    return drift


@pytest.mark.parametrize("to", DriftStatus)
@pytest.mark.parametrize("status", DriftStatus)
def test_every_move_of_a_case(status, to):
    drift = replace(confirmed(Desk()), status=status, snoozed_until=NOW, resolution="X")
    arguments = {"until": NOW, "resolution": "R", "actor": "a", "reason": "r"}
    if to not in LEADS_TO[status]:
        with pytest.raises(IllegalTransition):
            move(drift, to, **arguments)
        return
    moved = move(drift, to, **arguments)
    assert moved.status is to
    assert moved.snoozed_until == (NOW if to is SNOOZED else None)
    assert moved.resolution == ("R" if to is RESOLVED else "")


def test_a_finding_opens_a_case():
    desk = Desk()
    (event,) = desk.do(run(1, [finding()]))
    assert event.type is EventType.DRIFT_CONFIRMED
    drift = only(desk)
    assert (drift.status, drift.times_seen, drift.run_id) == (CONFIRMED, 1, str(UUID(int=1)))
    assert drift.revision == event.revision == 1


def test_seen_again_is_a_counter_and_no_event():
    desk = Desk()
    first = confirmed(desk)
    later = NOW + timedelta(hours=1)
    assert desk.do(run(2, [finding(seen=later)])) == []
    assert only(desk) == replace(first, times_seen=2, last_seen=later, run_id=str(UUID(int=2)))
    assert desk.do(run(3, [finding(seen=NOW)])) == []
    assert only(desk).last_seen == later  # a late run does not turn the time back


def test_another_size_is_a_change_of_the_same_case():
    desk = Desk()
    first = confirmed(desk)
    (event,) = desk.do(run(2, [finding("0.7")]))
    assert event.type is EventType.DRIFT_CHANGED
    changed = only(desk)
    assert (changed.drift_id, changed.times_seen, changed.substance) == (first.drift_id, 2, "0.7")
    assert changed.content == finding("0.7").content


def test_a_snoozed_case_wakes_when_its_time_has_come_and_not_before():
    desk = Desk()
    drift = confirmed(desk)
    until = desk.now + timedelta(hours=1)
    desk.do(c.TransitionDrift(drift.drift_id, SNOOZED, until))
    assert desk.do(run(2, [finding()])) == []
    assert only(desk).status is SNOOZED
    desk.now = until
    (event,) = desk.do(run(3, [finding("0.9")]))
    assert (event.type, event.reason) == (EventType.DRIFT_REOPENED, "the snooze is over")
    woken = only(desk)
    assert (woken.status, woken.snoozed_until, woken.substance, woken.times_seen) == (CONFIRMED, None, "0.9", 3)


@pytest.mark.parametrize("kind", ["SIZE", "ALLOCATION"])
def test_a_snooze_ends_also_while_the_venue_cannot_be_read(kind):
    desk = Desk()
    named = finding(kind=kind)
    if kind == "ALLOCATION":  # of a venue as a whole
        named = replace(named, key=named.key._replace(account="*", symbol=""))
    desk.do(run(1, [named]))
    drift = only(desk)
    until = desk.now + timedelta(hours=1)
    desk.do(c.TransitionDrift(drift.drift_id, SNOOZED, until))
    unread = [check(ok=False)]
    assert desk.do(run(2, checks=unread)) == []
    desk.now = until
    (event,) = desk.do(run(3, checks=unread))
    why = "the snooze is over, and its venue cannot be read"
    assert (event.type, event.reason, event.drift.status) == (EventType.DRIFT_REOPENED, why, CONFIRMED)
    assert (only(desk).content, only(desk).times_seen) == (drift.content, 1)  # as it was seen last
    assert desk.do(run(4, checks=unread)) == []


def test_only_what_could_not_be_looked_at_wakes_unseen():
    desk = Desk()
    held = desk.open()
    desk.do(run(1, [finding(), finding(symbol="ETH"), finding(symbol="SOL")]))
    until = desk.now + timedelta(hours=1)
    for drift in list(desk.book.drifts.values()):
        desk.do(c.TransitionDrift(drift.drift_id, SNOOZED, until))
    desk.now = until
    elsewhere = [check(ok=False, account="desk2"), check(ok=False, venue="coinbase"), check()]
    assert desk.do(run(2, checks=elsewhere)) == []
    # Of a venue of which a part was not read: what is told of the rest counts, also where it may be settled by now.
    settled = replace(finding(), local_revision=held.revision + 1)
    sol = next(drift for drift in desk.book.drifts.values() if drift.key.symbol == "SOL")
    moved = desk.do(run(3, [settled], [sol.drift_id], checks=[check(), check("xyz", ok=False)]))
    assert [(event.drift.key.symbol, event.drift.status) for event in moved] == [("SOL", RESOLVED), ("ETH", CONFIRMED)]
    assert list(desk.book.asleep()) == [
        drift.drift_id for drift in desk.book.drifts.values() if drift.status is SNOOZED
    ]


def test_nothing_is_silenced_until_a_time_that_has_passed():
    desk = Desk()
    drift = confirmed(desk)
    with pytest.raises(InvalidValue, match="snoozed_until"):
        desk.do(c.TransitionDrift(drift.drift_id, SNOOZED, desk.now))
    assert only(desk) == drift


def test_a_snoozed_case_that_changes_stays_asleep():
    desk = Desk()
    drift = confirmed(desk)
    desk.do(c.TransitionDrift(drift.drift_id, SNOOZED, desk.now + timedelta(hours=1)))
    (event,) = desk.do(run(2, [finding("0.9")]))
    assert (event.type, only(desk).status) == (EventType.DRIFT_CHANGED, SNOOZED)


def test_what_agrees_again_is_resolved_and_the_next_time_is_another_case():
    desk = Desk()
    drift = confirmed(desk)
    (event,) = desk.do(run(2, resolved=[drift.drift_id]))
    assert (event.type, event.drift.resolution) == (EventType.DRIFT_RESOLVED, "AGREES_AGAIN")
    assert not desk.book.drifts
    desk.do(run(3, [finding()]))
    assert only(desk).drift_id != drift.drift_id


def test_resolving_what_is_over_changes_nothing():
    desk = Desk()
    drift = confirmed(desk)
    events = desk.do(run(2, resolved=[drift.drift_id, drift.drift_id, UUID(int=99)]))
    assert [e.type for e in events] == [EventType.DRIFT_RESOLVED]
    assert desk.do(run(3, resolved=[drift.drift_id])) == []


def test_what_another_command_of_the_batch_resolved_is_over():
    desk = Desk()
    drift = confirmed(desk)
    batch = desk.decide(c.TransitionDrift(drift.drift_id, RESOLVED, resolution="DISMISSED"))
    from position_service.domain.decide import decide

    assert decide(batch, run(2, resolved=[drift.drift_id]), desk.context()).events == []
    with pytest.raises(DriftNotFound):
        decide(batch, c.TransitionDrift(drift.drift_id, ACKNOWLEDGED), desk.context())


def test_two_facts_of_one_instrument_are_two_cases():
    desk = Desk()
    desk.do(run(1, [finding(kind="SIZE"), finding(kind="SIDE"), finding(kind="SIZE")]))
    assert sorted((d.key.kind, d.times_seen) for d in desk.book.drifts.values()) == [("SIDE", 1), ("SIZE", 2)]


def test_the_id_of_a_case_is_the_same_for_whoever_computes_it():
    key = finding().key
    assert case_id(key, 5) == case_id(key, 5)
    assert len({case_id(key, 5), case_id(key, 6), case_id(key._replace(kind="SIDE"), 5)}) == 3
    assert confirmed(Desk()).drift_id == case_id(key, 1)


def test_a_transition_checks_case_and_revision():
    desk = Desk()
    drift = confirmed(desk)
    with pytest.raises(DriftNotFound):
        desk.do(c.TransitionDrift(UUID(int=5), ACKNOWLEDGED))
    with pytest.raises(StaleRevision):
        desk.do(c.TransitionDrift(drift.drift_id, ACKNOWLEDGED, expected_revision=9))
    desk.do(c.TransitionDrift(drift.drift_id, ACKNOWLEDGED, expected_revision=drift.revision))
    assert (only(desk).status, only(desk).actor) == (ACKNOWLEDGED, "tester")


def test_a_slower_run_does_not_overwrite_a_newer_check():
    desk = Desk()
    key = ("main", "hyperliquid", "main")
    desk.do(run(1, checks=[check(at=NOW + timedelta(seconds=20))]))
    desk.do(run(2, checks=[check(at=NOW + timedelta(seconds=10), ok=False)]))
    assert desk.book.check(key).ok
    desk.do(run(3, checks=[check(at=NOW + timedelta(seconds=30), ok=False)]))
    failed = desk.book.check(key)
    assert not failed.ok
    assert failed.last_ok_at == NOW + timedelta(seconds=20)


def test_a_check_of_a_clock_that_was_ahead_does_not_last():
    desk = Desk()
    desk.do(run(1, checks=[check(at=NOW + timedelta(hours=1), ok=False)]))
    desk.do(run(2, checks=[check(at=NOW + timedelta(seconds=1))]))
    assert desk.book.check(("main", "hyperliquid", "main")).ok


def test_a_finding_about_a_position_that_has_moved_since_is_no_drift():
    desk = Desk()
    held = desk.open()
    stale = replace(finding(), local_revision=held.revision)
    desk.do(c.Reduce(c.Ref(held.position_id), size=Decimal("0.1"), price=Decimal(1)))
    assert desk.do(run(1, [stale])) == []
    assert desk.do(run(2, [replace(finding(symbol="ETH"), local_revision=7)])) == []  # it is gone
    now = desk.book.positions[held.position_id].revision
    assert [e.type for e in desk.do(run(3, [replace(finding(), local_revision=now)]))] == [EventType.DRIFT_CONFIRMED]


def test_a_case_that_gave_way_to_a_worse_one_does_not_say_that_all_is_well():
    desk = Desk()
    (opened,) = desk.do(run(1, [finding(kind="SIZE")]))
    _, over = desk.do(run(2, [finding(kind="MISSING_AT_VENUE")], resolved=[opened.subject]))
    assert over.drift.resolution == "SUPERSEDED"


def test_a_first_check_that_failed_has_never_been_ok():
    desk = Desk()
    desk.do(run(1, checks=[check(ok=False)]))
    assert desk.book.check(("main", "hyperliquid", "main")).last_ok_at is None


def test_a_run_is_repeated_under_its_own_id():
    assert run(7).repeats_as == str(UUID(int=7))
