"""A batch: writes on their way, and what they would commit. Pure but for the futures the callers wait on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from position_service.domain.book import Book, Draft, FillKey, PaymentKey
from position_service.domain.commands import Command, RecordFills, RecordRun
from position_service.domain.decide import decide
from position_service.domain.errors import RequestIdReused
from position_service.domain.position import Position
from position_service.domain.record import replace
from position_service.domain.steps import Context
from position_service.ledger import chain, codec
from position_service.ledger import statement as sql
from position_service.ledger.bodies import event_body
from position_service.ledger.store import Head, KnownRequest


@dataclass(slots=True, eq=False)
class Write:
    """A command on its way, and what is needed to answer it."""

    command: Command
    method: str
    request_id: str  # "" when the caller gave none: nothing is kept to answer a repetition with
    body: bytes
    context: Context
    respond: Callable[[Draft], Message]
    keep: Callable[[Message], bytes]  # what to store of the answer
    parse: Callable[[bytes], Message]
    differs: Callable[[bytes], str]  # names the field in which another body is not this one
    done: asyncio.Future[Message]
    known_fills: set[FillKey] = field(default_factory=set)
    known_payments: set[PaymentKey] = field(default_factory=set)
    is_new: bool = False  # its request id was looked up and is not known
    fills_asked: bool = False  # its fills and payments were looked up: what is known has all there are

    @property
    def may_be_repeated(self) -> bool:
        return bool(self.request_id) and not self.is_new

    @property
    def may_be_booked(self) -> bool:
        return isinstance(self.command, RecordFills) and not self.fills_asked

    @property
    def may_be_known(self) -> bool:
        return self.may_be_repeated or self.may_be_booked

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def answer(self, response: Message) -> None:
        if not self.done.done():
            self.done.set_result(response)

    def answer_known(self, known: KnownRequest) -> None:
        """The first answer again, or an error when the request is another one."""
        if known.method != self.method:
            self.fail(RequestIdReused(self.request_id, "method"))
        elif known.body != self.body:
            self.fail(RequestIdReused(self.request_id, self.differs(known.body)))
        else:
            self.answer(self.parse(known.response))


@dataclass(slots=True)
class Batch:
    """What a batch would commit."""

    draft: Draft
    new: Head
    rows: dict[sql.Part, list[tuple[Any, ...]]]
    answers: list[tuple[Write, Message | Exception]]
    deferred: list[Write]


_PARTS = (
    sql.EVENTS,
    sql.POSITIONS,
    sql.REQUESTS,
    sql.FILLS,
    sql.PAYMENTS,
    sql.MARKS,
    sql.LIQUIDATION_PRICES,
    sql.CHECKS,
    sql.DRIFTS,
    sql.RUNS,
)


def build(book: Book, head: Head, writes: Sequence[Write], clock: datetime, ended: Iterable[Position] = ()) -> Batch:
    """Decide each write on top of the ones before it; number, chain and encode what happens. Changes nothing.

    ``ended`` are the final positions that a decision may need, as they are at the head.
    """
    now = max(clock, book.time or clock)  # the ledger's time never runs backwards
    draft = Draft(book, ended=ended)
    batch = Batch(draft, head, {part: [] for part in _PARTS}, [], [])
    seen: set[str] = set()
    hash_ = head.hash
    for write in writes:
        if write.request_id and write.request_id in seen:
            batch.deferred.append(write)  # decided after its twin is committed, and then answered like it
            continue
        try:
            context = replace(write.context, now=now)
            decided = decide(draft, write.command, context, write.known_fills, write.known_payments)
            response = write.respond(decided)
        except Exception as error:  # noqa: BLE001 - a refusal, or a defect that is this command's alone
            batch.answers.append((write, error))
            continue
        draft.absorb(decided)
        hash_ = _encode(batch, decided, hash_)
        batch.answers.append((write, response))
        if write.request_id:
            seen.add(write.request_id)
            row = (write.request_id, write.method, write.body, write.keep(response), draft.revision)
            batch.rows[sql.REQUESTS].append(row)
        if isinstance(write.command, RecordRun):
            run = write.command
            batch.rows[sql.RUNS].append((run.run_id, run.started_at, run.run, draft.revision))
    _encode_state(batch, head)
    batch.new = Head(draft.revision, _next_tick(batch, head), hash_, now if draft.events else head.time)
    return batch


def _encode(batch: Batch, decided: Draft, hash_: bytes) -> bytes:
    """Add a decision's events, fills and payments to the batch; returns the hash of the last event."""
    commit = decided.revision
    for event in decided.events:
        body = event_body(event)
        columns = (
            event.revision,
            commit,
            event.time,
            event.type.value,
            event.account,
            event.subject,
            event.actor,
            event.request_id,
            event.reason,
            body,
        )
        hash_ = chain.link(hash_, *columns)
        batch.rows[sql.EVENTS].append((*columns, hash_))
        event.seal(commit, hash_)
    batch.rows[sql.FILLS].extend((*key, revision) for key, revision in decided.fills.items())
    batch.rows[sql.PAYMENTS].extend((*key, revision) for key, revision in decided.payments.items())
    return hash_


def _encode_state(batch: Batch, old: Head) -> None:
    """Add the rows of what is now: only the last state of each position, mark, liquidation price, check and drift."""
    draft, tick = batch.draft, old.tick + 1
    batch.rows[sql.POSITIONS] = [codec.position_row(p) for p in draft.positions.values()]
    batch.rows[sql.MARKS] = [(*i, m.price, m.observed_at, tick) for i, m in draft.marks.items()]
    batch.rows[sql.LIQUIDATION_PRICES] = [
        (position_id, seen.side.value, seen.size, seen.price, seen.observed_at, tick)
        for position_id, seen in draft.liquidation_prices.items()
    ]
    batch.rows[sql.DRIFTS] = [(*codec.drift_row(d), tick) for d in draft.drifts.values()]
    batch.rows[sql.CHECKS] = [
        (*c[:-1], codec.dumps(c[-1]), tick) for c in (astuple(check) for check in draft.checks.values())
    ]


def _next_tick(batch: Batch, old: Head) -> int:
    side = any(batch.rows[part] for part in (sql.MARKS, sql.LIQUIDATION_PRICES, sql.CHECKS, sql.DRIFTS))
    return old.tick + 1 if side else old.tick
