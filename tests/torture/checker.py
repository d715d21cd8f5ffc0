"""Judges a recorded history by the committed log: strict serialisability, and the promises of the tables.

1. Order: the log is the order. Every command that changed something stands in it once, under its request id, with a
   dense range of revisions; every read carries the revision it saw.
2. Real time: what began after something had ended stands after it. A sweep over the times, n log n.
3. Replay: the commands are done again, in the log's order, by a model of a few dozen lines. Every answer, every read
   and every event must be the model's at that revision, to the last digit but those that are rounded.
4. Refusals: at some revision between the first and the last moment the call can have been decided at, the model must
   refuse it for the same reason.
5. The log itself (dense, chained, in time, whole commands) and the table of positions, which must follow from it.

A violation is a line that begins with the name of what was violated. There are at most LIMIT of each name.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import asyncpg

from tests.torture.history import History, Operation, digest
from tests.torture.log import STATUSES, Chain, Commit, Projection, commits
from tests.torture.model import Key, Model, Wrong, differs
from tests.torture.watches import Logged, watch_problems

LIMIT = 5
ALL = 1 << 62


class Checker:
    """Told the log a command at a time, in order; ``finish`` gives the violations."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.violations: list[str] = []
        self._named: dict[str, int] = defaultdict(int)
        self._writes: dict[str, Operation] = {}
        self._reads: dict[int, list[Operation]] = defaultdict(list)
        self._done: dict[str, tuple[int, int]] = {}  # request id: first and last revision
        self._model, self._chain, self._projection = Model(), Chain(), Projection()
        self._states: dict[Key, list[tuple[int, Any]]] = defaultdict(list)
        self._boundaries: list[int] = [0]
        self.logged = Logged()
        for text in history.wrong:
            self.wrong(text)
        for one in history.operations:
            if not one.is_read:
                self._writes[one.request.request_id] = one
            elif one.answer is not None:
                self._reads[one.answer.revision].append(one)
        self._look(0)

    def wrong(self, text: str) -> None:
        name = text.partition(":")[0]
        self._named[name] += 1
        if self._named[name] <= LIMIT:
            self.violations.append(text)

    def take(self, commit: Commit) -> None:
        """The next command of the log."""
        for problem in self._chain.problems(commit):
            self.wrong(problem)
        self._projection.take(commit)
        self._boundaries.append(commit.revision)
        for row, body in zip(commit.rows, commit.bodies, strict=True):
            if after := body.get("after"):
                said = digest(str(row.subject), row.revision, after["size"], STATUSES[after["status"]], row.account)
                self.logged.add(row.revision, commit.revision, row.account, said)
        operation = self._writes.get(commit.request_id)
        if operation is None:
            self.wrong(f"invented: nobody asked for revision {commit.revision} ({commit.rows[0].type})")
        elif commit.request_id in self._done:
            self.wrong(f"twice: {commit.request_id} is at {self._done[commit.request_id][1]} and at {commit.revision}")
        else:
            self._replay(operation, commit)
        self._done.setdefault(commit.request_id, (commit.rows[0].revision, commit.revision))
        self._look(commit.revision)

    def _replay(self, operation: Operation, commit: Commit) -> None:
        """Do the command in the model, and compare what the log and the client were told."""
        name = f"{operation.method} {operation.request.request_id}"
        try:
            self._model.apply(operation.method, operation.request)
        except Wrong as error:
            self.wrong(f"replay: {error}, at revision {commit.revision}")
            return
        if self._model.revision != commit.revision:
            self.wrong(
                f"replay: {name} is {len(commit.rows)} events up to {commit.revision}, not {self._model.revision}"
            )
            self._model.revision = commit.revision
        for key in set(self._model.touched):
            held = self._model.last[key]
            self._states[key].append((held.revision, _frozen(self._model.live.get(key))))
        for problem in self._log_differs(commit):
            self.wrong(f"replay: {name}: {problem}")
        answer = operation.answer
        if answer is None:
            return
        if answer.revision != commit.revision:
            self.wrong(f"replay: {name} was answered with revision {answer.revision}, and is {commit.revision}")
        shown = [answer.position] if hasattr(answer, "position") else list(answer.positions)
        for position in shown:
            key = (position.account, position.symbol)
            if position.revision < self._model.last[key].revision and position.status in (5, 6):
                continue  # of two positions that one batch was about, the first has ended in it
            if problem := differs(self._model.last[key], position):
                self.wrong(f"replay: {name} was answered with {problem}")

    def _log_differs(self, commit: Commit) -> list[str]:
        """The last event of each position against the model."""
        last: dict[Key, Mapping[str, Any]] = {}
        for body in commit.bodies:
            if after := body.get("after"):
                last[after["account"], after["symbol"]] = after
        found = []
        for key, after in last.items():
            held = self._model.last.get(key)
            if held is None:
                found.append(f"an event of {key}, which was never opened")
            elif problem := differs(held, _Shown(after)):
                found.append(f"the log says {problem}")
        return found

    def _look(self, revision: int) -> None:
        """Every read that says it saw this revision."""
        for read in self._reads.pop(revision, ()):
            account = read.request.account
            if read.method == "GetPosition":
                shown = [read.answer.position]
            else:
                shown = list(read.answer.positions)
                expected = {symbol for owner, symbol in self._model.live if owner == account}
                if {position.symbol for position in shown} != expected and not read.answer.next_page_token:
                    self.wrong(
                        f"read: at revision {revision} {account} has {len(shown)} positions, not {len(expected)}"
                    )
            for position in shown:
                held = self._model.live.get((account, position.symbol))
                if held is None:
                    self.wrong(f"read: {account} {position.symbol} is not held at revision {revision}")
                elif problem := differs(held, position):
                    self.wrong(f"read: {account} {position.symbol} at revision {revision}: {problem}")

    def finish(self, table: Sequence[Mapping[str, Any]], head: Mapping[str, Any] | None = None) -> list[str]:
        """What is left to judge once the log has been told; ``table`` is that of positions."""
        for problem in self._projection.problems(list(table)):
            self.wrong(problem)
        if head is not None and (head["revision"], head["hash"]) != (self._chain.revision, self._chain.hash):
            self.wrong(f"chain: the head is at {head['revision']}, the last event at {self._chain.revision}")
        for revision, reads in self._reads.items():
            self.wrong(f"read: {len(reads)} saw revision {revision}, at which no command ended")
        for write in self._writes.values():
            self._judge(write)
        self._real_time()
        self._refusals()
        self._marks()
        for problem in watch_problems(self._history.watched, self.logged):
            self.wrong(problem)
        return self.violations

    def _judge(self, write: Operation) -> None:
        """What was acknowledged is in the log; what was refused is not, but for a try that another process slept over."""
        name = write.request.request_id
        done = name in self._done
        if write.refusal is not None and done and not write.may_be_done_elsewhere:
            self.wrong(f"refused: {name} was refused with {write.refusal.reason}, and is at {self._done[name][1]}")
        if write.answer is None or done:
            return
        if write.method != "RecordFills" or write.answer.applied:
            self.wrong(f"lost: {write.method} {name} was acknowledged at {write.answer.revision}, and is nowhere")

    def _real_time(self) -> None:
        """Sweep by time: a call that begins must stand after everything that has ended."""
        began = []
        for one in self._history.operations:
            if one.answer is not None:
                first, last = self._done.get("" if one.is_read else one.request.request_id, (0, one.answer.revision))
                began.append((one.began, one.ended, first or last + 1, last, one))
        ended = sorted((end, last) for _, end, _, last, _ in began)
        floor, at = 0, 0
        for start, _, first, last, one in sorted(began, key=lambda item: item[0]):
            while at < len(ended) and ended[at][0] < start:
                floor, at = max(floor, ended[at][1]), at + 1
            if first <= floor:
                what = f"saw {last}" if first > last else f"is at {first}"
                self.wrong(f"real time: {one.method} {what}, and {floor} was acknowledged before it began")

    def _refusals(self) -> None:
        """Each refusal was true at some revision it can have been decided at."""
        refused = [one for one in self._history.operations if one.refusal is not None]
        answered = [one for one in self._history.operations if one.answer is not None]
        ended = _running_max((one.ended, one.answer.revision) for one in answered)
        writes = [one for one in answered if not one.is_read and one.request.request_id in self._done]
        later = _running_min((one.began, self._done[one.request.request_id][0]) for one in writes)
        for one in refused:
            low = ended[1][place - 1] if (place := bisect_left(ended[0], one.began)) else 0
            place = bisect_right(later[0], one.ended)
            high = later[1][place] - 1 if place < len(later[0]) else ALL
            if not self._was_true(one, low, high):
                self.wrong(f"refusal: {one.method} {one.refusal} was not so between {low} and {high}")

    def _was_true(self, one: Operation, low: int, high: int) -> bool:
        """Whether the model refuses the call for that reason at a revision of the range."""
        states = self._states.get((one.request.account, one.request.symbol), [])
        place = bisect_right(states, low, key=lambda state: state[0])
        state = states[place - 1][1] if place else None
        while True:
            if _would_refuse(one, state):
                return True
            if place >= len(states) or states[place][0] > high:
                return False
            state, place = states[place][1], place + 1

    def _marks(self) -> None:
        """A read shows no mark that is older than the last one acknowledged before it, and none not sent before it ended.

        Each instrument's marks are sent by one client, one after the other, and rise: the price is the number.
        """
        sent: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for symbol, price, at, acknowledged in self._history.marks:
            sent[symbol].append((price, at, acknowledged or ALL))
        for one in self._history.operations:
            if one.answer is None or not one.is_read:
                continue
            shown = [one.answer.position] if one.method == "GetPosition" else one.answer.positions
            for position in shown:
                if marks := sent.get(position.symbol):
                    least = max((price for price, _, end in marks if end < one.began), default=0)
                    most = max((price for price, at, _ in marks if at < one.ended), default=0)
                    if not least <= int(float(position.mark_price or 0)) <= most:
                        self.wrong(f"stale mark: {position.symbol} at {position.mark_price}, not {least} to {most}")


class _Shown:
    """A position of the log, with the names an answer has."""

    def __init__(self, after: Mapping[str, Any]) -> None:
        self.size, self.realized_pnl, self.revision = after["size"], after["realized"], after["revision"]
        self.status, self.side = STATUSES[after["status"]], 1 if after["side"] == "LONG" else 2
        self.entry_price = Fraction(after["cost"]) / Fraction(after["size"]) if Fraction(after["size"]) else 0


class _State:
    """What a refusal may depend on, as it was."""

    __slots__ = ("revision", "size", "status")

    def __init__(self, revision: int, size: Any, status: int) -> None:
        self.revision, self.size, self.status = revision, size, status


def _frozen(held: Any) -> Any:
    return None if held is None else _State(held.revision, held.size, held.status)


def _would_refuse(one: Operation, state: Any) -> bool:
    assert one.refusal is not None
    reason = one.refusal.reason
    if one.is_read:
        return reason == "POSITION_NOT_FOUND" and state is None
    if Model.problem(one.method, one.request, state) == reason:
        return True
    # Which of several reasons is named first is not promised.
    if reason == "STALE_REVISION" or state is None or one.method == "OpenPosition":
        return False
    unconditional = type(one.request)()
    unconditional.CopyFrom(one.request)
    unconditional.expected_revision = 0
    return Model.problem(one.method, unconditional, state) == reason


def _running_max(pairs: Any) -> tuple[list[int], list[int]]:
    """Times in order, and the highest revision up to each."""
    times, revisions, highest = [], [], 0
    for time, revision in sorted(pairs):
        highest = max(highest, revision)
        times.append(time)
        revisions.append(highest)
    return times, revisions


def _running_min(pairs: Any) -> tuple[list[int], list[int]]:
    """Times in order, and the lowest revision from each on."""
    times, revisions, lowest = [], [], ALL
    for time, revision in sorted(pairs, reverse=True):
        lowest = min(lowest, revision)
        times.append(time)
        revisions.append(lowest)
    return times[::-1], revisions[::-1]


async def check(dsn: str, history: History) -> Checker:
    """Judge a history by the ledger at a DSN. Nobody may be writing."""
    checker = Checker(history)
    connection = await asyncpg.connect(dsn)
    try:
        async for commit in commits(connection):
            checker.take(commit)
        table = await connection.fetch("SELECT * FROM positions")
        head = await connection.fetchrow("SELECT revision, hash FROM ledger_head")
    finally:
        await connection.close()
    checker.finish(table, head)
    return checker
