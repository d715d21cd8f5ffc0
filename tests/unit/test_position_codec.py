"""What is written is what is read back; the chain notices every change; ids grow."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from position_service import ids
from position_service.domain.algebra import Fee
from position_service.domain.drift import Drift, DriftKey, DriftStatus
from position_service.domain.events import Event, EventType, Funding, Trade
from position_service.domain.position import Estimate, Guess, MarginMode, Position, Product, Side, Status
from position_service.ledger import bodies, chain, codec, tables
from position_service.ledger.feed import Feed, commits
from tests.position_samples import NOW, position

texts = st.text(max_size=20)
amounts = st.decimals(min_value=0, max_value=10**20 - 1, places=18)
exact = st.decimals(min_value=-(10**40), max_value=10**40, places=36)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware
pairs = st.lists(st.tuples(texts, texts), max_size=3, unique_by=lambda p: p[0]).map(lambda p: tuple(sorted(p)))
maybe = st.none()
positions = st.builds(
    Position,
    position_id=st.uuids(),
    account=texts,
    venue=texts,
    symbol=texts,
    asset=texts,
    product=st.sampled_from(Product),
    side=st.sampled_from(Side),
    size=amounts,
    cost=exact,
    status=st.sampled_from(Status),
    leverage=amounts,
    margin_mode=maybe | st.sampled_from(MarginMode),
    liquidation_price=maybe | amounts.filter(bool),
    realized=exact,
    peak=amounts,
    opened_at=times,
    updated_at=times,
    revision=st.integers(1, 2**63 - 1),
    closed_at=maybe | times,
    deadline=maybe | times,
    returns_to=maybe | st.sampled_from(Status),
    at_risk=st.booleans(),
    other_fees=st.lists(st.tuples(texts, exact), max_size=3).map(tuple),
    labels=pairs,
    final_entry=amounts,
    funding=exact,
    other_funding=st.lists(st.tuples(texts, exact), max_size=2).map(tuple),
    estimates=st.lists(
        st.builds(
            Estimate,
            st.integers(1, 2**63 - 1),
            times,
            st.sampled_from(Side),
            amounts,
            amounts,
            exact,
            st.sampled_from(Guess),
        ),
        max_size=2,
    ).map(tuple),
)
drifts = st.builds(
    Drift,
    drift_id=st.uuids(),
    key=st.builds(DriftKey, texts, texts, texts, texts),
    status=st.sampled_from(DriftStatus),
    content=texts,
    substance=texts,
    first_seen=times,
    last_seen=times,
    times_seen=st.integers(1, 2**40),
    revision=st.integers(1, 2**40),
    snoozed_until=maybe | times,
    resolution=texts,
    actor=texts,
    reason=texts,
    run_id=texts,
)
trades = st.builds(
    Trade,
    size=amounts,
    price=maybe | amounts,
    fee=st.builds(Fee, exact, texts),
    realized=exact,
    fill_id=texts,
    executed_at=maybe | times,
    funding=maybe | st.builds(Funding, texts, exact, texts, maybe | exact),
)


def columns(table):
    return [column.name for column in table.columns]


@given(positions)
def test_a_position_survives_its_json(held):
    assert codec.position_from_json(json.loads(bodies.position_json(held))) == held


@given(positions)
def test_a_position_survives_its_row(held):
    row = dict(zip(columns(tables.positions), codec.position_row(held), strict=True))
    assert codec.position_from_row(row) == held


@given(drifts)
def test_a_drift_survives_its_row_and_its_json(drift):
    row = dict(zip(columns(tables.drifts), (*codec.drift_row(drift), 5), strict=True))
    assert codec.drift_from_row(row) == drift
    assert codec.drift_from_json(json.loads(codec.dumps(codec.drift_json(drift)))) == drift


@given(positions, maybe | trades, texts, maybe | positions)
def test_an_event_survives_its_row(held, trade, note, before):
    event = Event(
        3, NOW, EventType.OPENED, "a", held.position_id, "who", "id", "why", trade, before, held, None, note, 4, b"hash"
    )
    row = row_of(event)
    assert codec.event_from_row(row, before) == event
    assert codec.dumps(json.loads(row["body"])) == row["body"], "not canonical"


@given(drifts)
def test_a_drift_event_survives_its_row(drift):
    event = Event(
        3, NOW, EventType.DRIFT_CHANGED, "a", drift.drift_id, "who", "id", "why", drift=drift, commit=3, hash=b"hash"
    )
    assert codec.event_from_row(row_of(event)) == event


def row_of(event):
    row = {name: getattr(event, name) for name in ("revision", "time", "account", "subject", "actor", "request_id")}
    type_ = {"type": event.type.value, "reason": event.reason, "commit_revision": event.commit, "hash": event.hash}
    return row | type_ | {"body": bodies.event_body(event)}


@given(positions)
def test_equal_positions_are_written_alike(held):
    """The hash covers the text: 0.5 and 0.500 are one amount."""
    padded = replace(held, size=held.size.quantize(Decimal("1E-18")), cost=held.cost.quantize(Decimal("1E-36")))
    assert bodies.position_json(padded) == bodies.position_json(held)


# An event's body as it was written before there were funding and outstanding estimates.
OLD_BODY = (
    '{"after":{"account":"main","asset":"BTC/USD","at_risk":false,"closed_at":null,"cost":"21000","deadline":null,'
    '"estimated":"0","final_entry":"0","labels":[],"leverage":"1","liquidation_price":null,"margin_mode":null,'
    '"opened_at":"2026-03-01T12:00:00+00:00","other_fees":[],"peak":"0.5",'
    '"position_id":"00000000-0000-0000-0000-000000000007","product":"PERPETUAL","realized":"0","returns_to":null,'
    '"revision":3,"side":"LONG","size":"0.5","status":"OPEN","symbol":"BTC",'
    '"updated_at":"2026-03-01T12:00:00+00:00","venue":"hyperliquid"},"trade":{"executed_at":null,"fee":["0",""],'
    '"fill_id":"","price":"42000","realized":"0","size":"0.5"}}'
)


def test_estimates_that_were_written_before_are_read_and_would_be_written_alike():
    """Of what was closed nothing has changed; what is opened at a guess says so."""
    body = OLD_BODY.replace(
        '"final_entry"', '"estimates":[[2,"2026-03-01T12:00:00+00:00","LONG","1","9","7"]],"final_entry"'
    )
    closed = Estimate(2, NOW, Side.LONG, Decimal(1), Decimal(9), Decimal(7))
    held = position(revision=3, estimates=(closed,))
    trade = Trade(Decimal("0.5"), Decimal(42000))
    event = Event(3, NOW, EventType.OPENED, "main", held.position_id, "a", "r", "", trade=trade, after=held)
    assert bodies.event_body(event) == body
    assert codec.position_from_json(json.loads(body)["after"]) == held
    later = replace(held, estimates=(replace(closed, kind=Guess.OPENED), replace(closed, kind=Guess.SPENT)))
    written = bodies.event_body(replace(event, after=later))
    assert '"1","9","7","OPENED"],[' in written
    assert codec.position_from_json(json.loads(written)["after"]) == later


def test_what_was_written_before_is_read_and_would_be_written_alike():
    held = position(revision=3)
    event = Event(3, NOW, EventType.OPENED, "main", held.position_id, "", "", "", after=held, commit=3)
    event = replace(event, trade=Trade(held.size, Decimal(42_000)))
    assert codec.event_from_row(row_of(event) | {"body": OLD_BODY}) == replace(event, hash=b"")
    assert bodies.event_body(event) == OLD_BODY


def test_a_row_of_a_later_schema_is_read():
    held = position(revision=3)
    row = dict(zip(columns(tables.positions), codec.position_row(held), strict=True))
    assert codec.position_from_row(row | {"column_of_tomorrow": 1}) == held


LINK = {
    "previous": chain.GENESIS,
    "revision": 1,
    "commit": 2,
    "time": NOW,
    "type_": "position.opened",
    "account": "main",
    "subject": UUID(int=1),
    "actor": "who",
    "request_id": "id",
    "reason": "why",
    "body": "{}",
}
OTHER = {
    "previous": bytes(31) + b"1",
    "revision": 2,
    "commit": 3,
    "time": NOW + timedelta(microseconds=1),
    "type_": "position.closed",
    "account": "other",
    "subject": UUID(int=2),
    "actor": "else",
    "request_id": "jd",
    "reason": "because",
    "body": "{ }",
}


@pytest.mark.parametrize("name", LINK)
def test_a_link_covers_every_column_and_the_hash_before(name):
    assert chain.link(**LINK) != chain.link(**LINK | {name: OTHER[name]})


def test_a_link_does_not_depend_on_the_readers_time_zone():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    assert chain.link(**LINK) == chain.link(**LINK | {"time": elsewhere})


def test_text_cannot_move_from_one_column_to_the_next():
    assert chain.link(**LINK | {"actor": "ab", "request_id": "c"}) != chain.link(
        **LINK | {"actor": "a", "request_id": "bc"}
    )


def test_ids_grow_within_a_millisecond_and_when_the_clock_is_set_back(monkeypatch):
    now = [1_700_000_000_000_000_000]
    monkeypatch.setattr(ids.time, "time_ns", lambda: now[0])
    monkeypatch.setattr(ids, "_last", 0)
    first = ids.uuid7()
    many = [ids.uuid7() for _ in range(5000)]  # more than the counter of one millisecond holds
    now[0] -= 10**9
    many += [ids.uuid7() for _ in range(10)]
    assert [first, *many] == sorted({first, *many})
    assert {i.version for i in many} == {7}
    assert {i.variant for i in many} == {first.variant}
    assert first.int >> 80 == 1_700_000_000_000


def test_ids_of_two_threads_differ():
    found: list[UUID] = []
    threads = [threading.Thread(target=lambda: found.extend(ids.uuid7() for _ in range(200))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 800


def an_event(revision, commit):
    held = position(revision=revision)
    return Event(revision, NOW, EventType.UPDATED, "main", held.position_id, "", "", "", after=held, commit=commit)


def test_events_are_grouped_by_the_command_they_came_from():
    events = [an_event(1, 1), an_event(2, 4), an_event(3, 4), an_event(4, 4), an_event(5, 5)]
    assert [(g.revision, len(g.events)) for g in commits(events)] == [(1, 1), (4, 3), (5, 1)]
    with pytest.raises(AssertionError):
        commits(events[:3])


def test_the_ring_tells_when_it_does_not_reach_back():
    feed = Feed(10, size=3)
    feed.publish(commits([an_event(r, r) for r in range(11, 15)]))
    assert feed.after(10) is None
    assert [g.revision for g in feed.after(11)] == [12, 13, 14]
    assert [g.revision for g in feed.after(13)] == [14]
    assert feed.after(14) == []


def test_the_ring_keeps_no_more_events_than_it_may_but_the_newest_commit_whole():
    feed = Feed(10, size=3, most_events=4)
    feed.publish(commits([an_event(11, 11), an_event(12, 13), an_event(13, 13), an_event(14, 14)]))
    assert [g.revision for g in feed.after(10)] == [11, 13, 14]
    feed.publish(commits([an_event(15, 16), an_event(16, 16)]))
    assert feed.after(12) is None
    assert [g.revision for g in feed.after(13)] == [14, 16]
    feed.publish(commits([an_event(revision, 22) for revision in range(17, 23)]))
    assert feed.after(15) is None
    assert [(g.revision, len(g.events)) for g in feed.after(16)] == [(22, 6)]
    feed.publish(commits([an_event(23, 23)]))
    assert feed.after(21) is None
    assert [g.revision for g in feed.after(22)] == [23]


async def test_whoever_waits_is_woken_by_the_next_commit_and_told_when_the_time_is_over():
    import asyncio

    feed = Feed(0)
    waiting = asyncio.create_task(feed.wait(0, 30))
    await asyncio.sleep(0)
    feed.publish(commits([an_event(1, 1)]))
    assert await waiting is True
    assert await feed.wait(0, 30) is True
    assert await feed.wait(1, 0.001) is False
