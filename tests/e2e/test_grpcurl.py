"""grpcurl against the running pair: discovery, calls, errors, and drift streams that survive every kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2

from grpckit import channel
from tests.e2e.processes import DEADLINE_S, STREAM, Subscription, Trio, steps, wait_until

POSITIONS = "trueup.position.v1.PositionService"
ACCESS = "trueup.position.v1.AccessService"
LOG = "trueup.position.v1.ReconciliationLogService"
RECONCILER = "trueup.reconciler.v1.ReconcilerService"
INFRASTRUCTURE = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


class Venue:
    """Makes the venue disagree with the book, and agree again: each time a step of a drift case."""

    def __init__(self, trio: Trio) -> None:
        self._trio = trio
        self._bought = False

    def diverge(self) -> None:
        """Buy, or sell what was bought, at the entry price: a case about the size begins, or ends."""
        self._bought = not self._bought
        side = "buy" if self._bought else "sell"
        self._trio.at_venue("trade", coin="BTC", side=side, size="0.1", price="42000")


@pytest.fixture(scope="module")
def venue(trio: Trio) -> Venue:
    return Venue(trio)


@pytest.fixture
def beginning(trio: Trio) -> int:
    """Where the ledger stands."""
    trio.settle()
    with trio.subscribe() as now:
        return now.wait_bookmark()


@contextlib.contextmanager
def subscribed(trio: Trio, *, after: int = 0) -> Iterator[Subscription]:
    """A subscription that is under way: new events only, or after a revision."""
    with trio.subscribe(**({"after_revision": after} if after else {})) as running:
        running.wait_bookmark()
        yield running


def test_list(trio: Trio):
    assert set(trio.grpcurl(trio.position, "list").stdout.split()) == {POSITIONS, LOG, ACCESS} | INFRASTRUCTURE
    assert set(trio.grpcurl(trio.reconciler, "list").stdout.split()) == {RECONCILER} | INFRASTRUCTURE


def test_describe_shows_the_contract(trio: Trio):
    described = trio.grpcurl(trio.reconciler, "describe", RECONCILER)
    assert described.returncode == 0, described.stderr
    assert "returns ( stream .trueup.reconciler.v1.StreamDriftEventsResponse )" in described.stdout
    assert 'get:"/v1/drifts:stream"' in described.stdout.replace(" ", "")
    message = trio.grpcurl(trio.position, "describe", "trueup.position.v1.OpenPositionRequest").stdout
    assert re.search(r"string entry_price = 12 \[.*REQUIRED", message)


def test_every_message_can_be_described(trio: Trio):
    """Whoever explores by reflection finds the request and the answer of every method."""
    methods = trio.grpcurl(trio.reconciler, "list", RECONCILER).stdout.split()
    described = trio.grpcurl(trio.reconciler, "describe", RECONCILER).stdout
    messages = re.findall(r"\( (?:stream )?\.(trueup[\w.]+) \)", described)
    assert len(messages) == 2 * len(methods) == 2 * described.count("rpc ") > 0
    for message in messages:
        done = trio.grpcurl(trio.reconciler, "describe", message)
        assert f"{message} is a message:" in done.stdout, done.stderr


def test_unary_call(trio: Trio):
    listed = trio.ask(f"{POSITIONS}/ListPositions", asset="HYPE/USD")
    (held,) = listed["positions"]
    assert (held["size"], held["entry_price"], held["leverage"]) == ("300", "21.4", "3")
    run = trio.ask(f"{RECONCILER}/Reconcile")["run"]
    assert run["positions_compared"] == 5
    assert run["source"] == "SOURCE_SIMULATED"
    assert [check["outcome"] for check in run["checks"]] == ["CHECK_OUTCOME_OK"] * 3


@pytest.mark.parametrize(
    ("method", "request_", "code", "reason", "detail"),
    [
        (f"{POSITIONS}/GetPosition", {"asset": "NOPE/USD"}, "NotFound", "POSITION_NOT_FOUND", "NOPE/USD"),
        (
            f"{POSITIONS}/OpenPosition",
            {"asset": "BTC/USD", "size": "1e5"},
            "InvalidArgument",
            "INVALID_REQUEST",
            "size",
        ),
        (
            f"{POSITIONS}/OpenPosition",
            {"asset": "BTC/USD", "size": "1", "entry_price": "1"},
            "AlreadyExists",
            "POSITION_ALREADY_OPEN",
            "positionId",
        ),
        (
            f"{RECONCILER}/GetDrift",
            {"drift_id": "00000000-0000-7000-8000-000000000000"},
            "NotFound",
            "DRIFT_NOT_FOUND",
            "driftId",
        ),
        (STREAM, {"after_revision": 10**12}, "OutOfRange", "REVISION_IN_FUTURE", "headRevision"),
    ],
)
def test_errors_show_their_details(
    trio: Trio, method: str, request_: dict[str, Any], code: str, reason: str, detail: str
):
    address = trio.reconciler if "reconciler" in method else trio.position
    done = trio.grpcurl("-d", json.dumps(request_), address, method)
    assert done.returncode != 0
    assert f"Code: {code}" in done.stderr
    assert '"@type":"type.googleapis.com/google.rpc.ErrorInfo"' in done.stderr, done.stderr
    assert '"domain":"trueup"' in done.stderr
    assert f'"reason":"{reason}"' in done.stderr
    assert detail in done.stderr
    assert ('"@type":"type.googleapis.com/google.rpc.BadRequest"' in done.stderr) == (reason == "INVALID_REQUEST")


def test_stream_prints_drifts_while_they_happen(trio: Trio, venue: Venue):
    with subscribed(trio) as stream:
        begun = stream.revision
        venue.diverge()
        wait_until(lambda: stream.events, "an event")
        assert stream.popen.poll() is None, "the stream ended"
        first = stream.events[0]
        assert int(first["revision"]) > begun
        assert first["type"] == "DRIFT_EVENT_TYPE_CONFIRMED"
        assert first["drift"]["kind"] == "DRIFT_KIND_SIZE"
        assert first["drift"]["source"] == "SOURCE_SIMULATED"
        assert first["drift"]["size_delta"] == "0.1"
        assert first["drift"]["summary"]
        venue.diverge()
        wait_until(lambda: len(stream.events) > 1, "the case to end")
        assert stream.events[1]["type"] == "DRIFT_EVENT_TYPE_RESOLVED"
        assert stream.events[1]["drift"]["drift_id"] == first["drift"]["drift_id"]


def test_quiet_stream_tells_that_it_lives_and_how_old_the_checks_are(trio: Trio):
    with subscribed(trio) as stream:
        wait_until(lambda: len(stream.messages) > 2, "two more progress messages")
        for message in stream.messages:
            assert message["phase"] == "STREAM_PHASE_PROGRESS"
            assert message["venues"][0]["venue"] == "hyperliquid"


def test_resumption_over_kills_of_both_services(trio: Trio, venue: Venue, beginning: int):
    """Whatever is killed, a subscriber that comes back with its last revision has every event once, in order."""
    received: list[dict[str, Any]] = []
    with subscribed(trio) as first:
        assert first.revision == beginning
        venue.diverge()  # A
        first.wait_past(trio.next_revision(beginning))
        trio.kill("reconciler")
        assert first.ended() != 0
        received += first.events
        last = first.revision
    venue.diverge()  # B, while nobody looks
    trio.start("reconciler")
    with subscribed(trio, after=last) as second:
        second.wait_past(trio.next_revision(last))
        trio.kill("position")
        second.stop()
        received += second.events
        last = second.revision
    venue.diverge()  # C, while there is no book to compare with
    with trio.subscribe(after_revision=last) as third:  # and nobody to ask for events
        trio.start("position")
        end = trio.next_revision(last)
        third.wait_past(end)
        received += third.events
    venue.diverge()  # D, in peace
    end = trio.next_revision(end)
    with subscribed(trio, after=third.revision) as fourth:
        fourth.wait_past(end)
        received += fourth.events

    told = steps(received)
    revisions = [revision for revision, _, _ in told]
    assert revisions == sorted(set(revisions)), "repeated or out of order"
    assert len(told) >= 4
    assert told == trio.log_after(beginning, until=revisions[-1])
    listed = trio.ask(f"{RECONCILER}/ListDrifts", statuses=["DRIFT_STATUS_CONFIRMED", "DRIFT_STATUS_RESOLVED"])
    newest = {drift["drift_id"]: int(drift["revision"]) for drift in listed["drifts"]}
    for drift_id in {drift_id for _, _, drift_id in told}:
        assert newest[drift_id] == max(revision for revision, _, told_id in told if told_id == drift_id)


def test_stream_outlives_the_position_service(trio: Trio, venue: Venue, beginning: int):
    """A subscriber of the Reconciler does not notice that the Position service was killed: it resumes upstream."""
    with subscribed(trio) as stream:
        venue.diverge()
        stream.wait_past(trio.next_revision(beginning))
        for _ in range(2):
            trio.kill("position")
            venue.diverge()
            trio.start("position")
            stream.wait_past(trio.next_revision(stream.revision))
            assert stream.popen.poll() is None, stream.output
        venue.diverge()
        end = trio.next_revision(stream.revision)
        stream.wait_past(end)
        assert len(stream.events) >= 4
        assert steps(stream.events) == trio.log_after(beginning, until=stream.revision)


def test_subscribers_get_the_same_sequence(trio: Trio, venue: Venue, beginning: int):
    """Early, resumed and filtered ones alike."""
    with contextlib.ExitStack() as stack:
        early = [stack.enter_context(subscribed(trio)) for _ in range(3)]
        venue.diverge()
        middle = trio.next_revision(beginning)
        late = [stack.enter_context(subscribed(trio, after=beginning)) for _ in range(2)]
        other = stack.enter_context(trio.subscribe(after_revision=beginning, symbol="SOL"))
        venue.diverge()
        end = trio.next_revision(middle)
        for stream in (*early, *late, other):
            stream.wait_past(end)
        sequences = {tuple(steps(stream.events)) for stream in (*early, *late)}
        assert len(sequences) == 1, sequences
        assert len(sequences.pop()) >= 2
        assert other.events == []


def test_open_cases_come_first(trio: Trio, venue: Venue, beginning: int):
    venue.diverge()
    end = trio.next_revision(beginning)
    is_open = trio.ask(f"{RECONCILER}/ListDrifts").get("drifts", [])
    with trio.subscribe(include_open=True) as stream:
        stream.wait_past(end)
        assert stream.messages[0]["phase"] == "STREAM_PHASE_SNAPSHOT"
        assert {event["drift"]["drift_id"] for event in stream.events} == {drift["drift_id"] for drift in is_open}
        venue.diverge()
        later = trio.next_revision(end)
        stream.wait_past(later)
        assert steps(stream.events)[len(is_open) :] == trio.log_after(end, until=later)


def test_follow_does_it_by_itself(trio: Trio, venue: Venue, beginning: int):
    """The client helper, across kills of either service, of both, and drifts that happen meanwhile."""
    resets: list[int] = []
    told: list[tuple[int, str, str]] = []

    async def until(end: int, running: Any) -> None:
        async for message in running:
            for event in message.events:
                told.append((event.revision, drift_pb2.DriftEventType.Name(event.type), event.drift.drift_id))  # noqa: PERF401
            if message.revision >= end:
                return

    async def story() -> int:
        request = pb.StreamDriftEventsRequest
        async with channel.connect(trio.reconciler, watching=True) as to, asyncio.timeout(4 * DEADLINE_S):
            stub = reconciler_service_pb2_grpc.ReconcilerServiceStub(to)
            following = channel.follow(
                lambda after: stub.StreamDriftEvents(request(after_revision=after)),
                beginning,
                on_reset=lambda _, revision: resets.append(revision),
            )
            end = beginning
            async with contextlib.aclosing(following) as running:
                for killed in ((), ("reconciler",), ("position",), ("position", "reconciler"), ("reconciler",)):
                    for name in killed:
                        await asyncio.to_thread(trio.kill, name)
                    await asyncio.to_thread(venue.diverge)
                    for name in killed:
                        await asyncio.to_thread(trio.start, name)
                    # Read while waiting, as every client does.
                    reading = asyncio.create_task(asyncio.to_thread(trio.next_revision, end))
                    end = await reading
                    await until(end, running)
        return end

    end = asyncio.run(story())
    assert len(resets) >= 3, "the Reconciler was killed three times"
    assert resets == sorted(resets)
    assert len(told) >= 5
    assert told == trio.log_after(beginning, until=end)
