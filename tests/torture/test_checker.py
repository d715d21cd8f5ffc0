"""The checker on a small honest history, and on the same history with one thing wrong in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
import pytest
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.errors import RpcError
from tests.torture.checker import Checker
from tests.torture.history import History, Operation, Watched
from tests.torture.log import STATUSES, Commit, Row, link
from tests.torture.watches import Logged, atomic

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
ID = uuid.UUID(int=7)


class Story:
    """Open 1 at 100, grow by 2 at 110.5, reduce by 0.5 at 90, each read afterwards, all of it watched."""

    def __init__(self) -> None:
        self.history = History()
        self.rows: list[Row] = []
        self.time = 0
        where = {"account": "a", "symbol": "BTC"}
        self._did(pb.OpenPositionRequest(**where, request_id="r1", size="1", entry_price="100", fee="0.5"), "OPEN")
        self._did(pb.IncreasePositionRequest(**where, request_id="r2", size="2", price="110.5"), "OPEN")
        reduce_ = pb.ReducePositionRequest(**where, request_id="r3", size="0.5", price="90", expected_revision=2)
        self._did(reduce_, "REDUCED")
        self._refused(pb.ReducePositionRequest(**where, request_id="r4", size="9", price="1"), "SIZE_EXCEEDS_POSITION")
        self.watched = Watched("", 0)
        self.history.watched.append(self.watched)
        for after, events in ((0, [1, 2]), (2, [3])):
            connection = self.watched.begin()
            assert connection.after == after
            for revision in events:
                connection.take(pb.WatchPositionsResponse(revision=revision, events=[self._event(revision)]))

    def _tick(self) -> int:
        self.time += 1
        return self.time

    def _shown(self, revision: int, status: str) -> position_pb2.Position:
        size, cost, realized = [("1", "100", "-0.5"), ("3", "321", "-0.5"), ("2.5", "267.5", "-9")][revision - 1]
        return position_pb2.Position(
            position_id=str(ID),
            account="a",
            symbol="BTC",
            side="SIDE_LONG",
            size=size,
            entry_price=str(Decimal(cost) / Decimal(size)),
            realized_pnl=realized,
            status=STATUSES[status],  # type: ignore[arg-type]
            revision=revision,
        )

    def _did(self, request: Any, status: str) -> None:
        write = self.history.begin(request)
        revision = len(self.rows) + 1
        write.began = self._tick()
        shown = self._shown(revision, status)
        write.answer = pb.OpenPositionResponse(position=shown, revision=revision)
        write.ended = self._tick()
        cost = Decimal(shown.entry_price) * Decimal(shown.size)
        after = {
            "account": "a",
            "symbol": "BTC",
            "side": "LONG",
            "status": status,
            "size": shown.size,
            "cost": str(cost),
            "realized": shown.realized_pnl,
            "peak": "3",
            "leverage": "1",
            "revision": revision,
        }
        time = BEGAN + timedelta(seconds=revision)
        body = json.dumps({"after": after})
        row = Row(revision, revision, time, "position.x", "a", ID, "me", request.request_id, "", body, b"")
        previous = self.rows[-1].hash if self.rows else bytes(32)
        self.rows.append(row._replace(hash=link(previous, row)))
        read = self.history.begin(pb.ListPositionsRequest(account="a"))
        read.began = self._tick()
        read.answer = pb.ListPositionsResponse(positions=[shown], revision=revision)
        read.ended = self._tick()

    def _refused(self, request: Any, reason: str) -> None:
        operation = self.history.begin(request)
        operation.began, operation.ended = self._tick(), self._tick()
        operation.refusal = RpcError(grpc.StatusCode.FAILED_PRECONDITION, reason, "")

    def _event(self, revision: int) -> position_pb2.PositionEvent:
        status = json.loads(self.rows[revision - 1].body)["after"]["status"]
        shown = self._shown(revision, status)
        return position_pb2.PositionEvent(revision=revision, position_id=str(ID), after=shown)

    def write(self, request_id: str) -> Operation:
        return next(one for one in self.history.operations if getattr(one.request, "request_id", "") == request_id)

    def reads(self) -> list[Operation]:
        return [one for one in self.history.operations if one.is_read]

    def judged(self) -> list[str]:
        checker = Checker(self.history)
        for row in self.rows:
            checker.take(Commit(row.revision, row.request_id, (row,), (json.loads(row.body),)))
        after = json.loads(self.rows[-1].body)["after"]
        amounts = {name: Decimal(after[name]) for name in ("size", "cost", "realized", "peak", "leverage")}
        table = [after | amounts | {"position_id": ID}]
        head = {"revision": self.rows[-1].revision, "hash": self.rows[-1].hash}
        return checker.finish(table, head)


def test_an_honest_history_is_right():
    story = Story()
    assert story.judged() == []
    assert (story.history.size, story.history.delivered) == (7, 3)


def acknowledged_and_lost(story: Story) -> None:
    story.rows.pop()


def never_asked_for(story: Story) -> None:
    story.history.operations.remove(story.write("r3"))


def done_twice(story: Story) -> None:
    story.rows[2] = story.rows[2]._replace(request_id="r2")


def refused_and_done(story: Story) -> None:
    write = story.write("r3")
    write.answer, write.refusal = None, RpcError(grpc.StatusCode.ABORTED, "STALE_REVISION", "")


def answered_with_another_revision(story: Story) -> None:
    story.write("r2").answer.revision = 3


def off_by_a_float(story: Story) -> None:
    story.write("r3").answer.position.realized_pnl = "-9.000000000000002"


def a_fee_too_little(story: Story) -> None:
    story.reads()[0].answer.positions[0].realized_pnl = "0"


def another_account_in_a_list(story: Story) -> None:
    story.reads()[0].answer.positions.add(symbol="ETH", account="b", size="1", status=2, side=1, entry_price="1")


def a_stale_read(story: Story) -> None:
    story.reads()[2].answer.CopyFrom(story.reads()[0].answer)


def a_read_between_commits(story: Story) -> None:
    story.reads()[0].answer.revision = 9


def a_refusal_that_was_not_so(story: Story) -> None:
    story.history.operations[-1].request.size = "0.1"


def hashed_otherwise(story: Story) -> None:
    story.rows[1] = story.rows[1]._replace(actor="somebody else")


def a_gap(story: Story) -> None:
    story.rows[2] = story.rows[2]._replace(revision=4, commit=4)


def backwards_in_time(story: Story) -> None:
    story.rows[2] = story.rows[2]._replace(time=BEGAN)


def a_table_behind(story: Story) -> None:
    body = json.loads(story.rows[2].body)
    body["after"]["size"] = "3"
    judged = story.judged

    def behind() -> list[str]:
        checker = Checker(story.history)
        for row in story.rows:
            checker.take(Commit(row.revision, row.request_id, (row,), (json.loads(row.body),)))
        return checker.finish([])

    del judged
    story.judged = behind  # type: ignore[method-assign]


def an_event_dropped(story: Story) -> None:
    connection = story.watched.connections[0]
    connection.events.pop(0)
    connection.digests.pop(0)
    connection.ends[0], connection.ends[1] = 0, 1


def an_event_repeated(story: Story) -> None:
    connection = story.watched.connections[1]
    connection.events.insert(0, 2)
    connection.digests.insert(0, story.watched.connections[0].digests[1])
    connection.ends[0] = 2


def events_swapped(story: Story) -> None:
    events = story.watched.connections[0].events
    events[0], events[1] = events[1], events[0]


def another_event(story: Story) -> None:
    story.watched.connections[0].digests[0] += 1


def a_bookmark_too_far(story: Story) -> None:
    story.watched.connections[0].revisions[1] = 3


def a_late_beginning(story: Story) -> None:
    story.watched.connections[1].after = 1


WRONG: dict[str, tuple[Callable[[Story], None], ...]] = {
    "lost": (acknowledged_and_lost,),
    "invented": (never_asked_for,),
    "twice": (done_twice,),
    "refused": (refused_and_done,),
    "replay": (answered_with_another_revision, off_by_a_float),
    "read": (a_fee_too_little, another_account_in_a_list, a_read_between_commits),
    "real time": (a_stale_read,),
    "refusal": (a_refusal_that_was_not_so,),
    "chain": (hashed_otherwise,),
    "dense": (a_gap,),
    "time": (backwards_in_time,),
    "projection": (a_table_behind,),
    "reliable": (an_event_dropped, another_event),
    "unique": (an_event_repeated,),
    "ordered": (events_swapped,),
    "bookmarkable": (an_event_dropped, a_bookmark_too_far),
    "resumable": (a_late_beginning,),
}


@pytest.mark.parametrize(("given_up", "is_wrong"), [((), True), (("a",), True), (("b",), False), (("a", "b"), False)])
def test_what_one_process_refused_another_may_do_when_it_wakes_up(given_up, is_wrong):
    story = Story()
    refused_and_done(story)
    (write,) = [
        one for one in story.history.operations if one.refusal is not None and one.refusal.reason == "STALE_REVISION"
    ]
    write.refused_by, write.given_up = "a", set(given_up)
    assert any(line.startswith("refused: ") for line in story.judged()) is is_wrong


def test_a_command_that_comes_in_pieces_is_told():
    logged = Logged()
    for revision in (1, 2, 3):
        logged.add(revision, 3, "a", revision)
    message = pb.WatchPositionsResponse
    events = [position_pb2.PositionEvent(revision=revision) for revision in (1, 2, 3)]
    for parts, problems in (
        ([message(revision=3, events=events)], 0),
        ([message(revision=0, events=events[:2]), message(revision=3, events=events[2:])], 0),
        ([message(revision=2, events=events[:2]), message(revision=3, events=events[2:])], 1),
    ):
        watched = Watched("", 0)
        connection = watched.begin()
        for part in parts:
            connection.take(part)
        assert len(list(atomic(watched, logged))) == problems


@pytest.mark.parametrize(
    ("name", "spoil"),
    [(name, spoil) for name, spoils in WRONG.items() for spoil in spoils],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_what_is_wrong_is_named(name, spoil):
    story = Story()
    spoil(story)
    violations = story.judged()
    assert any(line.startswith(f"{name}: ") for line in violations), violations
