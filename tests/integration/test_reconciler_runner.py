"""The runner: triggers, failures it survives, a run recorded once however often it takes; and the process itself."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
import pytest
from trueup.position.v1 import position_service_pb2, position_service_pb2_grpc, reconciliation_log_service_pb2
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.channel import connect
from grpckit.errors import DETAILS_KEY, RpcError, to_status
from reconciler_service.book import Book
from reconciler_service.cycle import Cycle, Rules
from reconciler_service.desk import Desk
from reconciler_service.evidence import Search
from reconciler_service.findings import Cause
from reconciler_service.health import Health
from reconciler_service.model import Product, Side
from reconciler_service.runner import Order, Runner
from reconciler_service.venues import VenueUnreachable
from tests.reconciler_samples import TestVenue, fill, held, scope, until

RULES = Rules(confirm_after_s=0.0, venue_timeout_s=0.5, search=Search(timeout_s=0.5))


def desk_of(venue: TestVenue) -> Desk:
    return Desk(venue, Health(venue.account, venue.name, venue.source))


@pytest.fixture
async def book(position: Any) -> AsyncIterator[Book]:
    async with connect(position.address) as channel:
        yield Book(channel)


class Running:
    """A runner under way."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(runner.serve(self.stop))

    async def end(self) -> None:
        self.stop.set()
        await self.task


async def triggers(book: Book) -> list[str]:
    runs = await book.log.ListRuns(reconciliation_log_service_pb2.ListRunsRequest())
    return [run.trigger for run in reversed(runs.runs)]


async def test_the_triggers_have_their_names(book: Book) -> None:
    desk = desk_of(TestVenue())
    running = Running(Runner(Cycle(book, RULES), [desk], [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    await running.runner.reconcile(Order())
    first = running.runner.last
    running.runner.push(desk)
    await until(lambda: running.runner.last is not first)
    await running.end()
    assert await triggers(book) == ["start", "request", "push"]


async def test_a_push_is_about_its_own_desk(book: Book) -> None:
    quiet, pushing = TestVenue(), TestVenue(account="second")
    desks = [desk_of(quiet), desk_of(pushing)]
    running = Running(Runner(Cycle(book, RULES), desks, [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    running.runner.push(desks[1])
    await until(lambda: pushing.snapshots == 2)
    await running.end()
    assert quiet.snapshots == 1
    assert await triggers(book) == ["start", "push"]


async def test_a_storm_of_pushes_is_one_cycle_more(book: Book) -> None:
    class Gated(TestVenue):
        gate = asyncio.Event()

        async def snapshot(self) -> Any:
            taken = await super().snapshot()
            if self.snapshots == 2:
                await self.gate.wait()
            return taken

    venue = Gated()
    desk = desk_of(venue)
    running = Running(Runner(Cycle(book, Rules(confirm_after_s=0.0)), [desk], [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    for _ in range(100):
        running.runner.push(desk)
    await until(lambda: venue.snapshots == 2)
    for _ in range(100):
        running.runner.push(desk)
        await asyncio.sleep(0)
    venue.gate.set()
    await until(lambda: venue.snapshots == 3)
    await running.runner.reconcile(Order())
    await running.end()
    assert await triggers(book) == ["start", "push", "push", "request"]


async def test_any_cycle_answers_a_push(book: Book) -> None:
    desk = desk_of(TestVenue())
    running = Running(Runner(Cycle(book, RULES), [desk], [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    orders = (Order(), Order(accounts=frozenset({"main"})))
    asked = [asyncio.create_task(running.runner.reconcile(order)) for order in orders]
    await asyncio.sleep(0)
    running.runner.push(desk)
    await asyncio.gather(*asked)
    assert math.isinf(desk.pace.pushed_at)
    await running.end()
    assert await triggers(book) == ["start", "request", "request"]


async def test_a_dry_run_answers_no_push(book: Book) -> None:
    desk = desk_of(TestVenue())
    running = Running(Runner(Cycle(book, RULES), [desk], [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    running.runner.push(desk)
    await running.runner.reconcile(Order(dry_run=True))
    await until(lambda: math.isinf(desk.pace.pushed_at))
    await running.end()
    assert await triggers(book) == ["start", "push"]


async def test_pushes_never_spend_the_last_of_the_budget(book: Book) -> None:
    venue = TestVenue()
    desk = desk_of(venue)
    running = Running(Runner(Cycle(book, RULES), [desk], [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    venue.budget_left = 479
    running.runner.push(desk)
    await running.runner.reconcile(Order(dry_run=True))  # what is asked for is done all the same
    assert venue.snapshots == 2
    venue.budget_left = 480
    await until(lambda: venue.snapshots == 3)
    await running.end()
    assert await triggers(book) == ["start", "push"]


async def test_what_a_cycle_costs_is_measured_for_the_next_pushes(book: Book) -> None:
    class Spending(TestVenue):
        async def snapshot(self) -> Any:
            self.budget_left -= 20
            return await super().snapshot()

    desks = [desk_of(Spending()), desk_of(Spending(account="second"))]
    running = Running(Runner(Cycle(book, RULES), desks, [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    assert desks[0].pace.weight == 0, "only what pushes spend"
    running.runner.push(desks[0])
    await until(lambda: desks[0].pace.weight > 0)
    await running.end()
    assert [desk.pace.weight for desk in desks] == [20, 0]


async def test_who_stands_by_leaves_pushes_to_the_other(book: Book) -> None:
    desk = desk_of(TestVenue())
    active = [False]
    running = Running(Runner(Cycle(book, RULES), [desk], [], interval_s=3600, is_active=lambda: active[0]))
    running.runner.push(desk)
    assert math.isinf(desk.pace.pushed_at)
    await running.runner.reconcile(Order())
    active[0] = True
    running.runner.push(desk)
    active[0] = False  # before anybody came to it
    await running.runner.reconcile(Order(accounts=frozenset({"main"})))
    await running.end()
    assert await triggers(book) == ["request", "request"]


async def test_pushes_do_not_keep_the_interval_from_its_turn(book: Book) -> None:
    class Restless(TestVenue):
        async def snapshot(self) -> Any:
            running.runner.push(desk)
            return await super().snapshot()

    desk = desk_of(Restless())
    running = Running(Runner(Cycle(book, RULES), [desk], [], interval_s=0.5))
    async with asyncio.timeout(20):
        while True:
            told = await triggers(book)
            if told.count("interval") >= 2 and told.count("push") >= 2:
                break
    await running.end()


async def test_after_a_push_whose_cycle_fails_the_next_look_is_soon(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler_service.runner.RETRY_S", 0.05)
    venue = TestVenue([held()])
    desk = desk_of(venue)
    running = Running(Runner(Cycle(book, RULES), [desk], [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    venue.script = [lambda: venue.change("BTC", size="half"), lambda: venue.hold(held("0.7"))]
    running.runner.push(desk)
    await until(lambda: venue.snapshots >= 4)
    await running.end()
    assert (await triggers(book))[:2] == ["start", "interval"]


async def test_the_interval_goes_on(book: Book) -> None:
    venue = TestVenue()
    running = Running(Runner(Cycle(book, RULES), [desk_of(venue)], [], interval_s=0.01))
    await until(lambda: venue.snapshots >= 4)
    await running.end()
    assert (await triggers(book))[:3] == ["start", "interval", "interval"]


async def test_a_cycle_that_fails_is_told_and_the_next_one_runs(book: Book) -> None:
    venue = TestVenue([held()])
    venue.change("BTC", size="half")  # no adapter gives this: a defect
    running = Running(Runner(Cycle(book, RULES), [desk_of(venue)], [], interval_s=3600))
    with pytest.raises(TypeError):
        await running.runner.reconcile(Order())
    venue.hold(held())
    result = await running.runner.reconcile(Order())
    assert result.run.confirmed == 1
    await running.end()


async def test_accounts_found_later_join_and_a_search_that_fails_stops_nothing(book: Book) -> None:
    sub = TestVenue([held()], "main/hedge")
    outcomes = iter([RuntimeError("a defect of the adapter"), [desk_of(sub)], []])

    async def grow() -> list[Desk]:
        found = next(outcomes)
        if isinstance(found, Exception):
            raise found
        return found

    running = Running(Runner(Cycle(book, RULES), [desk_of(TestVenue())], [], interval_s=3600, grow=grow))
    await until(lambda: running.runner.last is not None)
    assert [health.account for health in running.runner.venues] == ["main"]
    result = await running.runner.reconcile(Order())
    assert {check.account for check in result.run.checks} == {"main", "main/hedge"}
    alone = await running.runner.reconcile(Order(accounts=frozenset({"main/hedge"})))
    assert {check.account for check in alone.run.checks} == {"main/hedge"}
    await running.end()


class Gated(TestVenue):
    """A venue that answers when it is let."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.gate = asyncio.Event()
        self.gate.set()

    async def snapshot(self) -> Any:
        await self.gate.wait()
        return await super().snapshot()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("desk", "runner"):
        monkeypatch.setattr(f"reconciler_service.{module}.PROMPT_S", 1.5)


@pytest.mark.usefixtures("hurried")
async def test_who_does_not_answer_in_time_is_left_behind_and_catches_up(book: Book) -> None:
    prompt, hanging = TestVenue([held()]), Gated([held()], "second")
    desks = [desk_of(prompt), desk_of(hanging)]
    running = Running(Runner(Cycle(book, Rules(confirm_after_s=0.0)), desks, [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    hanging.gate.clear()
    asked = asyncio.create_task(running.runner.reconcile(Order()))
    before = running.runner.last
    await until(lambda: running.runner.last is not before)
    told = running.runner.last
    assert told is not None
    assert {check.account for check in told.run.checks} == {"main"}, "the others have their run"
    seen = prompt.snapshots
    running.runner.push(desks[0])
    await until(lambda: prompt.snapshots > seen)
    assert not asked.done()
    hanging.gate.set()
    result = await asked
    assert [{check.account for check in one.run.checks} for one in (result, *result.others)] == [{"main"}, {"second"}]
    assert not desks[1].is_slow
    together = await running.runner.reconcile(Order())
    assert {check.account for check in together.run.checks} == {"main", "second"}
    await running.end()


async def test_the_more_are_looked_at_together_the_longer_each_may_take(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler_service.desk.PROMPT_S", 0.01)
    monkeypatch.setattr("reconciler_service.desk.TURN_S", 60.0)
    desks = [desk_of(TestVenue([held()])), desk_of(Gated([held()], "second"))]
    desks[1].venue.gate.clear()
    running = Running(Runner(Cycle(book, Rules(confirm_after_s=0.0)), desks, [], interval_s=3600))
    await until(lambda: desks[0].health.last_ok_at is not None)
    asyncio.get_running_loop().call_later(0.1, desks[1].venue.gate.set)
    await until(lambda: running.runner.last is not None)
    assert {check.account for check in running.runner.last.run.checks} == {"main", "second"}
    assert not desks[1].is_slow
    await running.end()


@pytest.mark.usefixtures("hurried")
async def test_a_desk_that_is_being_corrected_keeps_no_other_waiting(book: Book) -> None:
    desks = [desk_of(TestVenue([held()])), desk_of(TestVenue([held()], "second"))]
    running = Running(Runner(Cycle(book, RULES), desks, [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    before = running.runner.last
    async with desks[0].turn:
        asked = asyncio.create_task(running.runner.reconcile(Order()))
        await until(lambda: running.runner.last is not before)
    result = await asked
    assert [{check.account for check in one.run.checks} for one in (result, *result.others)] == [{"second"}, {"main"}]
    await running.end()


@pytest.mark.usefixtures("hurried")
async def test_when_nobody_answers_in_time_each_venue_is_looked_at_by_itself(book: Book) -> None:
    venues = [Gated([held()], "a"), Gated([held()], "b", "coinbase"), Gated([held()], "c", "coinbase")]
    desks = [desk_of(venue) for venue in venues]
    running = Running(Runner(Cycle(book, Rules(confirm_after_s=0.0)), desks, [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    for venue in venues:
        venue.gate.clear()
    asked = asyncio.create_task(running.runner.reconcile(Order()))
    await until(lambda: all(desk.is_slow for desk in desks))
    for venue in venues:
        venue.gate.set()
    result = await asked
    accounts = [{check.account for check in one.run.checks} for one in (result, *result.others)]
    assert sorted(accounts, key=len) == [{"a"}, {"b", "c"}]
    assert await triggers(book) == ["start", "request", "request"]
    await running.end()


@pytest.mark.usefixtures("hurried")
async def test_evidence_that_takes_its_time_keeps_no_other_waiting(book: Book) -> None:
    class Silent(TestVenue):
        gate = asyncio.Event()

        async def fills(self, since: Any, symbols: Any = ()) -> Any:
            await self.gate.wait()
            return await super().fills(since, symbols)

    desks = [desk_of(TestVenue([held()])), desk_of(Silent([held()], "second"))]
    cycle = Cycle(book, Rules(confirm_after_s=0.0))
    result = await cycle.run(desks, "request", patience_s=1.5)
    texts = {drift.account: drift.explanation.text for drift in result.drifts}
    assert texts["second"] == "The venue's fills could not be read: no answer in time."
    assert [desk.is_slow for desk in desks] == [False, True], "by itself it has the time"


async def test_evidence_may_take_as_long_as_a_look(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler_service.desk.PROMPT_S", 0.01)
    monkeypatch.setattr("reconciler_service.desk.TURN_S", 60.0)

    class Thoughtful(TestVenue):
        async def fills(self, since: Any, symbols: Any = ()) -> Any:
            await asyncio.sleep(0.1)
            return await super().fills(since, symbols)

    desks = [desk_of(TestVenue([held()])), desk_of(Thoughtful([held()], "second"))]
    await Cycle(book, Rules(confirm_after_s=0.0)).run(desks, "request", patience_s=60.0)
    assert [desk.is_slow for desk in desks] == [False, False]


async def test_who_runs_into_the_time_limit_of_a_venue_is_waited_for_once(book: Book) -> None:
    desks = [desk_of(TestVenue([held()])), desk_of(Gated([held()], "second"))]
    desks[1].venue.gate.clear()
    running = Running(Runner(Cycle(book, Rules(confirm_after_s=0.0, venue_timeout_s=0.2)), desks, [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    first = running.runner.last
    assert {check.account for check in first.run.checks} == {"main", "second"}, "its failure is told with the others"
    assert first.others == ()
    assert desks[1].is_slow
    second = await running.runner.reconcile(Order())
    assert [{check.account for check in one.run.checks} for one in (second, *second.others)] == [{"main"}, {"second"}]
    await running.end()


@pytest.mark.usefixtures("hurried")
async def test_accounts_whose_search_hangs_are_not_waited_for(book: Book) -> None:
    gate = asyncio.Event()

    found = [desk_of(TestVenue([], "main/hedge"))]

    async def grow() -> list[Desk]:
        await gate.wait()
        return [found.pop()] if found else []

    running = Running(Runner(Cycle(book, RULES), [desk_of(TestVenue())], [], interval_s=3600, grow=grow))
    await until(lambda: running.runner.last is not None)
    gate.set()
    await until(lambda: len(running.runner.desks) == 2)
    result = await running.runner.reconcile(Order())
    assert len(result.run.checks) == 2
    await running.end()
    with pytest.raises(RpcError) as raised:
        await running.runner.reconcile(Order())
    assert raised.value.reason == "DRAINING", "nobody would ever answer"


async def test_who_waits_when_it_stops_is_told(book: Book) -> None:
    running = Running(Runner(Cycle(book, RULES), [desk_of(TestVenue())], [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    running.stop.set()
    with pytest.raises(RpcError) as raised:
        await running.runner.reconcile(Order())
    assert raised.value.reason == "DRAINING"
    await running.end()


async def test_a_cycle_that_is_cancelled_tells_who_waits(book: Book) -> None:
    venue = TestVenue([held()])
    rules = Rules(confirm_after_s=60)
    running = Running(Runner(Cycle(book, rules), [desk_of(TestVenue([], "second"))], [], interval_s=3600))
    await until(lambda: running.runner.last is not None)
    slow = Running(Runner(Cycle(book, rules), [desk_of(venue)], [], interval_s=3600))
    slow.runner.interval_s = 3600
    await venue.next_look()
    waiting = asyncio.create_task(slow.runner.reconcile(Order()))
    await asyncio.sleep(0)
    slow.task.cancel()
    with pytest.raises(RpcError):
        await waiting
    await running.end()


async def test_one_venue_fails_alone(book: Book) -> None:
    good, bad = TestVenue([held()]), TestVenue([held()], account="second")
    bad.error = VenueUnreachable("503")
    cycle, desks = Cycle(book, RULES), [desk_of(good), desk_of(bad)]
    result = await cycle.run(desks, "request")
    assert [(drift.account, drift.symbol) for drift in result.drifts] == [("main", "BTC")]
    assert [desk.health.state.value for desk in desks] == ["OK", "FAILED"]


async def test_a_venue_that_hangs_fails_in_time(book: Book) -> None:
    class Hanging(TestVenue):
        async def snapshot(self) -> Any:
            await asyncio.Event().wait()

    desk = desk_of(Hanging())
    await Cycle(book, Rules(venue_timeout_s=0.05)).run([desk], "request")
    assert desk.health.last_error == "hyperliquid: no answer within 0.05 s"


async def test_fills_that_cannot_be_read_leave_it_unexplained_until_they_can(book: Book) -> None:
    class Fickle(TestVenue):
        fails: Exception | None = RuntimeError("a defect of the adapter")

        async def fills(self, since: Any, symbols: Any = ()) -> Any:
            if self.fails:
                raise self.fails
            return await super().fills(since, symbols)

    venue = Fickle([held(side=Side.SHORT)])
    cycle, desk = Cycle(book, RULES), desk_of(venue)
    (drift,) = (await cycle.run([desk], "request")).drifts
    assert drift.explanation.text == "The venue's fills could not be read: internal error, see the log."
    venue.fails = VenueUnreachable("429")
    (drift,) = (await cycle.run([desk], "request", dry_run=True)).drifts
    assert drift.explanation.text == "The venue's fills could not be read: 429."
    assert desk.explained[("main", "hyperliquid", "BTC", desk_kind(desk))][1].cause is Cause.UNEXPLAINED
    venue.fails = None
    first_seen = drift.first_seen.ToDatetime()
    venue.executions = [fill("-0.5", "42000", start="0", at=first_seen.replace(tzinfo=None).astimezone())]
    (drift,) = (await cycle.run([desk], "request")).drifts
    assert drift.explanation.text == "A sell of 0.5 at 42 000 never reached the book."


def desk_kind(desk: Desk) -> Any:
    return next(iter(desk.explained))[3]


async def test_old_fills_are_found_by_the_wide_search(book: Book) -> None:
    venue = TestVenue([held()])
    cycle, desk = Cycle(book, RULES), desk_of(venue)
    venue.positions.clear()
    await cycle.run([desk], "request")
    venue.hold(held())
    looked = desk.memory.last_look
    assert looked is not None
    venue.executions = [fill("0.5", "42000", start="0", at=looked - timedelta(days=3))]
    (drift,) = (await cycle.run([desk], "request")).drifts
    assert drift.explanation.text == "A buy of 0.5 at 42 000 never reached the book."


async def test_a_large_book_is_read_in_pages_and_a_run_is_bounded(
    book: Book, position: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler_service.cycle.MOST_BYTES", 700_000)
    stub = position_service_pb2_grpc.PositionServiceStub(position.channel)
    fills = []
    for number in range(2_100):
        one = position_service_pb2.Fill(
            symbol=f"S{number}", asset=f"S{number}/USD", fill_id=str(number), is_buy=True, size="1", price="100"
        )
        one.executed_at.GetCurrentTime()
        fills.append(one)
    await stub.RecordFills(position_service_pb2.RecordFillsRequest(fills=fills))
    reading = await book.read()
    assert len(reading.positions) == 2_100
    venue = TestVenue([held(symbol="S0", asset="S0/USD", size=Decimal(1), entry_price=Decimal(100))])
    cycle, desk = Cycle(book, RULES), desk_of(venue)
    result = await cycle.run([desk], "request")
    assert result.run.confirmed >= 2_099
    assert len(result.drifts) < 2_000
    assert 700_000 < sum(drift.ByteSize() for drift in result.drifts) < 1_400_000, "the ledger adds to them"
    await cycle.run([desk], "request")
    assert len(await book.open_cases()) == 2_100, "what did not fit into a run comes with the next"


async def test_a_run_that_is_too_large_for_a_message_is_an_error_and_not_tried_for_ever(book: Book) -> None:
    run = drift_pb2.Run(run_id=str(uuid.uuid4()), trigger="request")
    run.started_at.GetCurrentTime()
    drift = drift_pb2.Drift(kind=drift_pb2.DRIFT_KIND_SIZE, account="main", venue="v", symbol="s", summary="x" * 4096)
    async with asyncio.timeout(10):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await book.record(run, [drift] * 2_000, [])
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_overloaded_ledger_is_asked_again(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    details = to_status(RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "busy")).SerializeToString()
    busy = grpc.aio.AioRpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), grpc.aio.Metadata((DETAILS_KEY, details))
    )
    asked, ask = [], book.log.RecordRun

    async def record(request: Any, **fields: Any) -> Any:
        asked.append(request)
        if len(asked) < 3:
            raise busy
        return await ask(request, **fields)

    monkeypatch.setattr(book.log, "RecordRun", record)
    run = drift_pb2.Run(run_id=str(uuid.uuid4()), trigger="request")
    run.started_at.GetCurrentTime()
    assert (await book.record(run, [], [])).run.run_id == run.run_id
    assert len(asked) == 3


async def test_what_was_confirmed_is_recorded_though_the_last_look_fails(book: Book, position: Any) -> None:
    """ETH keeps the cycle looking; BTC is confirmed by the second look, and the third one sees nothing."""
    stub = position_service_pb2_grpc.PositionServiceStub(position.channel)
    opened = await stub.OpenPosition(
        position_service_pb2.OpenPositionRequest(asset="BTC/USD", symbol="BTC", size="0.5", entry_price="42000")
    )
    revision = opened.position.revision

    for failure in (VenueUnreachable("503"), None):
        venue = TestVenue([held("0.6"), held("1", symbol="ETH", asset="ETH/USD")])

        def grow(venue: TestVenue = venue) -> None:
            venue.change("ETH", size=venue.positions["ETH"].size + 1)

        def fail(venue: TestVenue = venue, failure: Exception | None = failure) -> None:
            venue.error, venue.lag = failure, timedelta(minutes=1)
            venue.change("BTC", mark_price=Decimal(7))

        venue.script = [grow, grow, fail]
        desk = desk_of(venue)
        result = await Cycle(book, RULES).run([desk], "request")
        assert venue.snapshots == 3
        assert {drift.symbol for drift in result.drifts} == {"BTC"}
        (check,) = result.run.checks
        assert check.outcome == drift_pb2.CHECK_OUTCOME_OK
        assert check.checked_at == result.drifts[0].last_seen, "it is the second look's"
        assert result.drifts[0].local.observed_at.ToDatetime() <= check.checked_at.ToDatetime()
        assert result.drifts[0].local.revision == revision
        assert result.run.positions_compared == 1
        assert desk.health.state.value == ("FAILED" if failure else "DEGRADED")
        (btc,) = (await stub.ListPositions(position_service_pb2.ListPositionsRequest())).positions
        assert btc.mark_price == "42150", "an old answer's price replaces nothing"
        assert btc.mark_observed_at == check.checked_at

    venue.script, venue.error = [], VenueUnreachable("503")
    result = await Cycle(book, RULES).run([desk], "request")
    assert [check.outcome for check in result.run.checks] == [drift_pb2.CHECK_OUTCOME_FAILED], "when no look reads it"
    assert result.run.positions_compared == 0


async def test_what_the_ledger_refuses_is_suspected_again(position: Any) -> None:
    async with connect(position.address) as channel:

        class Refusing(Book):
            async def record(self, run: Any, findings: Any, resolved: Any) -> Any:
                return await super().record(run, [], resolved)

        desk, refusing = desk_of(TestVenue([held()])), Refusing(channel)
        result = await Cycle(refusing, RULES).run([desk], "request")
        assert not result.drifts
        (one,) = desk.memory.suspicions.values()
        assert not one.is_confirmed
        # What came and went in the book meanwhile is noticed only for what is not confirmed.
        stub = position_service_pb2_grpc.PositionServiceStub(channel)
        request = position_service_pb2.OpenPositionRequest(asset="BTC/USD", symbol="BTC", size="1", entry_price="1")
        await stub.OpenPosition(request)
        await stub.ClosePosition(position_service_pb2.ClosePositionRequest(asset="BTC/USD", close_price="1"))
        (drift,) = (await Cycle(Book(channel), RULES).run([desk], "request")).drifts
        assert drift.first_seen.ToDatetime() > one.first_seen.replace(tzinfo=None)
        assert drift.local.revision == 0


async def test_a_position_that_moves_before_the_run_is_recorded_is_no_drift(book: Book, position: Any) -> None:
    stub = position_service_pb2_grpc.PositionServiceStub(position.channel)
    await stub.OpenPosition(
        position_service_pb2.OpenPositionRequest(asset="BTC/USD", symbol="BTC", size="0.5", entry_price="42000")
    )

    class Late(TestVenue):
        async def fills(self, since: Any, symbols: Any = ()) -> Any:
            await stub.IncreasePosition(
                position_service_pb2.IncreasePositionRequest(
                    asset="BTC/USD", size="0.1", price="42000", request_id="the one that was in flight"
                )
            )
            return []

    bare = {"leverage": None, "margin_mode": None, "liquidation_price": None}
    desk = desk_of(Late([held("0.6", **bare)]))
    assert not (await Cycle(book, RULES).run([desk], "request")).drifts
    again = await Cycle(book, RULES).run([desk], "request")
    assert (list(again.drifts), again.run.suspected) == ([], 0), "the fill was in flight"


BARE = {"leverage": None, "margin_mode": None, "liquidation_price": None}


class Traded(TestVenue):
    """A venue that trades on between the last look and the record, in step with the book."""

    def __init__(self, stub: Any) -> None:
        super().__init__([held("0.6", **BARE)])
        self.stub = stub
        self.done = 0
        self.then: list[Callable[[], Awaitable[None]]] = []  # what happens before the next runs are recorded
        self.is_told = True  # whether the book learns when it was executed

    async def trade(self, size: str, at: datetime | None = None) -> None:
        """Book a buy that the venue made some time ago, or makes now."""
        self.done += 1
        if at is None:
            self.change("BTC", size=self.positions["BTC"].size + Decimal(size))
        done = position_service_pb2.Fill(symbol="BTC", asset="BTC/USD", fill_id=f"f{self.done}", is_buy=True)
        done.size, done.price = size, "42000"
        done.executed_at.FromDatetime(at or datetime.now(UTC))
        if self.is_told:
            await self.stub.RecordFills(position_service_pb2.RecordFillsRequest(fills=[done]))
        else:
            request = position_service_pb2.IncreasePositionRequest(asset="BTC/USD", size=size, price="42000")
            await self.stub.IncreasePosition(request)

    async def fills(self, since: Any, symbols: Any = ()) -> Any:
        """Asked for evidence, which is before the run is recorded."""
        if self.then:
            await self.then.pop(0)()
        return []


@pytest.fixture
async def traded(book: Book, position: Any) -> Traded:
    """A book that misses 0.1 BTC."""
    stub = position_service_pb2_grpc.PositionServiceStub(position.channel)
    await stub.OpenPosition(
        position_service_pb2.OpenPositionRequest(asset="BTC/USD", symbol="BTC", size="0.5", entry_price="42000")
    )
    return Traded(stub)


async def test_a_position_that_trades_on_before_the_run_is_recorded_has_its_case(book: Book, traded: Traded) -> None:
    traded.then = [lambda: traded.trade("0.1")] * 2
    desk = desk_of(traded)
    (drift,) = (await Cycle(book, RULES).run([desk], "request")).drifts
    assert (drift.size_delta, drift.local.size, drift.actual.size) == ("0.1", "0.5", "0.6"), "as the look saw it"
    assert not drift.HasField("checked_revision")
    # What was booked without a time may have been what was missing: the next look tells.
    traded.is_told, traded.then = False, [lambda: traded.trade("0.1")]
    await book.move(
        reconciliation_log_service_pb2.TransitionDriftRequest(
            drift_id=drift.drift_id, status=drift_pb2.DRIFT_STATUS_RESOLVED
        )
    )
    assert not (await Cycle(book, RULES).run([desk], "request")).drifts
    (drift,) = (await Cycle(book, RULES).run([desk], "request")).drifts
    assert drift.size_delta == "0.1"


async def test_what_is_booked_late_before_the_run_is_recorded_is_no_drift(book: Book, traded: Traded) -> None:
    async def both() -> None:
        await traded.trade("0.2")
        await traded.trade("0.1", at=datetime.now(UTC) - timedelta(minutes=1))

    traded.then = [both]
    desk = desk_of(traded)
    assert not (await Cycle(book, RULES).run([desk], "request")).drifts
    again = await Cycle(book, RULES).run([desk], "request")
    assert (list(again.drifts), again.run.suspected) == ([], 0)


async def test_a_position_that_never_rests_has_its_case(
    book: Book, traded: Traded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each look and before the run is recorded both sides trade; nothing is ever the same twice."""
    monkeypatch.setattr("reconciler_service.confirm.LEVEL_FOR", timedelta(0))

    class Restless(Traded):
        async def snapshot(self) -> Any:
            taken = await super().snapshot()
            await self.trade("0.01")
            return taken

    restless = Restless(traded.stub)
    restless.then = [lambda: restless.trade("0.02")] * 9
    desk, cycle = desk_of(restless), Cycle(book, RULES)
    found = [(await cycle.run([desk], "request")).drifts for _ in range(2)]
    assert [len(drifts) for drifts in found] == [0, 1], "four looks of three a cycle"
    assert found[1][0].size_delta == "0.1"


async def test_fills_in_flight_at_every_look_are_no_drift(
    book: Book, traded: Traded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bot that buys the same again and again: each look meets one purchase that the book learns of a little later."""
    monkeypatch.setattr("reconciler_service.confirm.LEVEL_FOR", timedelta(0))

    class Behind(Traded):
        in_flight = datetime.now(UTC)

        async def snapshot(self) -> Any:
            await self.trade("0.1", at=self.in_flight)
            self.change("BTC", size=self.positions["BTC"].size + Decimal("0.1"))
            self.in_flight = datetime.now(UTC)
            return await super().snapshot()

    desk, cycle = desk_of(Behind(traded.stub)), Cycle(book, RULES)
    for _ in range(4):
        result = await cycle.run([desk], "request")
        assert (list(result.drifts), result.run.confirmed, result.run.suspected) == ([], 0, 1)


async def test_what_the_book_has_closed_in_an_optional_scope_is_seen_by_another_reconciler(
    book: Book, position: Any
) -> None:
    """It kept a coin, closed it while the venue holds it, and who had seen it kept is gone."""
    coin = held("3", symbol="HYPE", asset="HYPE/USD", product=Product.SPOT, **BARE)

    class Holding(TestVenue):
        async def snapshot(self) -> Any:
            taken = await super().snapshot()
            optional = scope(coin, scope="spot", product=Product.SPOT, if_booked=True)
            return replace(taken, scopes=(*taken.scopes, optional))

    desk = desk_of(Holding())
    assert not (await Cycle(book, RULES).run([desk], "request")).drifts, "the book never kept any"
    assert desk.never_kept == {"HYPE"}
    stub = position_service_pb2_grpc.PositionServiceStub(position.channel)
    request = position_service_pb2.OpenPositionRequest(asset="HYPE/USD", symbol="HYPE", size="3", entry_price="20")
    request.product = types_pb2.PRODUCT_SPOT
    await stub.OpenPosition(request)
    await stub.ClosePosition(position_service_pb2.ClosePositionRequest(asset="HYPE/USD", close_price="21"))
    (drift,) = (await Cycle(book, RULES).run([desk_of(Holding())], "request")).drifts
    assert (drift.kind, drift.symbol) == (drift_pb2.DRIFT_KIND_MISSING_LOCALLY, "HYPE")


async def test_a_run_is_recorded_once_when_the_ledger_is_away_meanwhile(start_position: Any, tmp_path: Any) -> None:
    address = f"unix:{tmp_path}/p.sock"
    service = await start_position(position_listen=address)
    async with connect(address) as channel:
        book = Book(channel)
        venue = TestVenue([held()])
        cycle, desk = Cycle(book, Rules(confirm_after_s=0.0, search=Search(timeout_s=30))), desk_of(venue)
        gate = asyncio.Event()

        class Gated(TestVenue):
            async def fills(self, since: Any, symbols: Any = ()) -> Any:
                asked.set()
                await gate.wait()
                return []

        asked = asyncio.Event()
        desk.venue = Gated([held()])
        running = asyncio.create_task(cycle.run([desk], "request"))
        await asyncio.wait_for(asked.wait(), 10)
        await service.app.stop()
        gate.set()
        await asyncio.sleep(0)
        await start_position(position_listen=address)
        result = await asyncio.wait_for(running, 30)
        assert [drift.times_seen for drift in result.drifts] == [1]
        assert len(await triggers(book)) == 1


async def test_the_process_serves_and_ends_on_sigterm(tmp_path: Any) -> None:
    socket = f"unix:{tmp_path}/r.sock"
    settings = {
        "RECONCILER_LISTEN": socket,
        "POSITION_ADDRESS": "127.0.0.1:1",
        "LOG_FORMAT": "json",
        "DRAIN_GRACE": "1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reconciler_service",
        env={**os.environ, **settings, "PYTHONPATH": ".:protos/gen"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with connect(socket) as channel:
            from grpc_health.v1 import health_pb2, health_pb2_grpc

            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    assert "Traceback" not in errors.decode()
