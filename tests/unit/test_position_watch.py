"""What watchers send of a commit: made once, the same for everyone, and what a message of it would be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from trueup.position.v1 import position_service_pb2 as svc

from position_service import convert_events, watch
from position_service.domain.events import Event
from position_service.ledger.feed import Commit, Feed
from position_service.watch import encoded_events
from tests.position_samples import Desk, fill, fills

EVENTS = 2


@pytest.fixture
def commit() -> Commit:
    """Six events of one command, after one of another."""
    desk = Desk()
    desk.open("1", "90", symbol="ETH", asset="ETH/USD")
    made = desk.do(fills(*(fill(n, "1", "100") for n in range(6))))
    events = [replace(event, commit=made[-1].revision, hash=bytes([event.revision]) * 32) for event in made]
    return Commit(events[-1].revision, tuple(events))


def sent(commit: Commit, wanted: Callable[[Event], bool] = lambda _: True, made: list[int] | None = None):
    """The messages, and in ``made`` the revisions of the events that were converted for them."""

    def converted(event: Event):
        if made is not None:
            made.append(event.revision)
        return convert_events.position_event(event)

    encoded = encoded_events(commit, wanted, svc.WatchPositionsResponse, converted)
    return [svc.WatchPositionsResponse.FromString(each) for each in encoded]


def message(revision: int, events: list[Event]) -> svc.WatchPositionsResponse:
    return svc.WatchPositionsResponse(
        phase=EVENTS, revision=revision, events=[convert_events.position_event(event) for event in events]
    )


def test_bytes_are_those_of_the_message(commit: Commit):
    assert sent(commit) == [message(7, list(commit.events))]
    assert sent(commit, lambda event: event.revision in (3, 6)) == [message(7, [commit.events[1], commit.events[4]])]
    assert sent(commit, lambda _: False) == []


def test_an_event_is_converted_once_whoever_watches_and_whatever_they_leave_out(commit: Commit):
    made: list[int] = []
    sent(commit, lambda event: event.revision == 4, made)
    assert made == [4]
    for _ in range(3):
        assert sent(commit, made=made) == [message(7, list(commit.events))]
    assert sorted(made) == [2, 3, 4, 5, 6, 7]


def test_who_resumes_within_a_commit_shares_it_too(commit: Commit):
    feed, made = Feed(1), list[int]()
    feed.publish([commit])
    sent(commit, made=made)
    (rest,) = feed.after(4) or []
    assert sent(rest, made=made) == [message(7, list(commit.events[3:]))]
    assert len(made) == 6


def test_parts_are_made_of_encoded_events_as_well(commit: Commit, monkeypatch: pytest.MonkeyPatch):
    one = len(sent(commit, lambda event: event.revision == 7)[0].SerializeToString())
    monkeypatch.setattr(watch, "PART_BYTES", 2 * one + one // 2)
    assert sent(commit) == [
        message(1, list(commit.events[:2])),
        message(1, list(commit.events[2:4])),
        message(7, list(commit.events[4:])),
    ]
