"""The one writer of a process: takes commands, decides a batch of them, commits it with one statement.

Group commit is the speed story: one round trip and one fsync serve everyone who waited. The compare-and-swap is the
concurrency story: when another process was faster, the batch is decided again on what it committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import perf_counter

import structlog

from position_service.domain.book import Book
from position_service.domain.commands import RecordFills
from position_service.domain.errors import DomainError
from position_service.domain.funding import asks_for_ended
from position_service.domain.position import Position
from position_service.ledger.batch import Batch, Write, build
from position_service.ledger.counts import Counts
from position_service.ledger.crowd import Crowd
from position_service.ledger.feed import Feed, commits
from position_service.ledger.line import StoreUnavailable
from position_service.ledger.store import AlreadyKnown, Head, Store, patiently

log = structlog.get_logger()


class Overloaded(Exception):
    """More is waiting than the queue may hold."""


class Committer:
    """Owns the book. ``lock`` is held whenever the book may be behind the database on purpose."""

    def __init__(
        self,
        store: Store,
        book: Book,
        head: Head,
        feed: Feed,
        *,
        max_batch: int = 512,
        max_queue: int = 10_000,
        linger_s: float = 0.02,
        patience_s: float = 8.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.book = book
        self.head = head
        self.feed = feed
        self.lock = asyncio.Lock()
        self.counts = Counts()
        self._store = store
        self._queue: asyncio.Queue[Write] = asyncio.Queue(max_queue)
        self._max_batch = max_batch
        self._patience_s = patience_s
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._crowd = Crowd(lambda: 1 + self._queue.qsize(), max_batch, linger_s)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="committer")
        self._task.add_done_callback(self._start_again)

    def _start_again(self, ended: asyncio.Task[None]) -> None:
        # Without it every write would wait for ever, in a process that looks well.
        if ended is self._task:
            log.error("the committer was cancelled: starting it again")
            self.start()

    async def stop(self) -> None:
        """Commit what is queued, then end."""
        await self._queue.join()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """The writes that are queued."""
        return self._queue.qsize()

    @property
    def most_waiting(self) -> int:
        """As many may be queued."""
        return self._queue.maxsize

    def put(self, write: Write) -> None:
        """Queue a write. Raises Overloaded."""
        try:
            self._queue.put_nowait(write)
        except asyncio.QueueFull:
            raise Overloaded from None

    async def _run(self) -> None:
        while True:
            batch: list[Write] = []
            began = perf_counter()
            try:
                await self._gather(batch)
                began = perf_counter()
                await self._commit(batch)
            except Exception as error:
                self.counts.failures += 1
                log.exception("commit failed", writes=len(batch))
                for write in batch:
                    write.fail(error)
            except asyncio.CancelledError:
                for write in batch:
                    write.fail(StoreUnavailable("broken off"))
                raise
            finally:
                for _ in batch:
                    self._queue.task_done()
            self.counts.batch(len(batch), perf_counter() - began)

    async def _gather(self, batch: list[Write]) -> None:
        """Fill the next batch: what waits now, and, when calls come in crowds, what comes in a moment."""
        batch.append(await self._queue.get())
        await self._crowd.gather()
        while len(batch) < self._max_batch and not self._queue.empty():
            batch.append(self._queue.get_nowait())

    async def _commit(self, writes: list[Write]) -> None:
        """Decide and commit until every write of the batch is answered."""
        async with self.lock:
            waiting: Sequence[Write] = writes
            while waiting:
                waiting = await self._attempt(list(waiting))

    async def _attempt(self, writes: list[Write]) -> list[Write]:
        """One try. Returns the writes that are still to be decided."""
        batch = build(self.book, self.head, writes, self._clock(), await self._ended(writes))
        if refused := [w for w, answer in batch.answers if isinstance(answer, DomainError) and w.may_be_known]:
            return await self._ask_what_is_known(writes, refused)
        try:
            committed = await self._append(batch)
        except AlreadyKnown as error:
            return await self._without_known(writes, error)
        except StoreUnavailable as error:
            self.counts.failures += 1
            for write in writes:
                write.fail(error)
            return []
        except Exception as error:  # noqa: BLE001 - e.g. a CHECK of the schema
            self.counts.failures += 1
            await self._one_by_one(writes, error)
            return []
        if not committed:
            self.counts.conflicts += 1
            for write in writes:
                write.is_new = write.fills_asked = False
            return writes
        self._apply(batch)
        for write, answer in batch.answers:
            if isinstance(answer, Exception):
                write.fail(answer)
            else:
                write.answer(answer)
        return batch.deferred

    async def _ended(self, writes: list[Write]) -> list[Position]:
        """The final positions that a payment may belong to. Looked up anew for each try: they may have changed.

        Should the database be ahead of the book, nothing is committed on them: the head is not ours then.
        """
        asked = [
            one
            for write in writes
            if isinstance(write.command, RecordFills) and write.command.funding
            for one in asks_for_ended(self.book, write.command)
        ]
        return await self._store.ended(asked) if asked else []

    async def _one_by_one(self, writes: list[Write], error: Exception) -> None:
        """The database refused the batch. One poisoned command must not take the others down with it."""
        if len(writes) == 1:
            writes[0].fail(error)
            return
        log.error("batch refused by the database, trying its writes one by one", writes=len(writes), error=str(error))
        for write in writes:
            write.is_new = False  # a twin before it may be committed by now
            left = [write]
            while left:
                left = await self._attempt(left)

    async def _append(self, batch: Batch) -> bool:  # noqa: C901 - one decision, told in one place
        """Commit a batch. False when another writer was faster; the book has caught up then."""
        old, new = self.head, batch.new
        if not any(batch.rows.values()) and new[:2] == old[:2]:
            # Only refusals: they are true only if they were decided on the newest state.
            if (await self._store.head())[:2] == old[:2]:
                return True
            await self.catch_up()
            return False
        unsure = False
        last: Exception = StoreUnavailable("no answer")
        async for _ in patiently(self._patience_s):
            try:
                if unsure and batch.draft.events and await self._store.became(new):
                    return True
                if await self._store.append(old, new, batch.rows):
                    return True
                if unsure and batch.draft.events and await self._store.became(new):
                    return True  # our first try was committed after we had asked
                await self.catch_up()
            except StoreUnavailable as error:
                unsure, last = True, error
            except AlreadyKnown:
                raise
            except Exception as error:
                if unsure:  # it may be committed: deciding it again, on a book that does not know, could do it twice
                    raise StoreUnavailable(f"the outcome is not known: {error}") from error
                raise
            else:
                return False
        raise last

    def _apply(self, batch: Batch) -> None:
        """Make the book what was committed, and tell the watchers."""
        self.book.take(batch.draft)
        self.head = batch.new
        if batch.draft.events:
            self.feed.publish(commits(batch.draft.events))
        for write in batch.deferred:
            write.is_new = False  # that was so before its twin was committed

    async def _answer_known(self, writes: list[Write], asked: list[Write]) -> list[Write]:
        """Answer those of ``asked`` whose request id is known; return those of ``writes`` that this did not answer."""
        known = await self._store.known_requests(write.request_id for write in asked)
        for write in asked:
            write.is_new = write.request_id not in known
            if not write.is_new:
                write.answer_known(known[write.request_id])
        answered = {write for write in asked if write.request_id in known}
        return [write for write in writes if write not in answered]

    async def _ask_what_is_known(self, writes: list[Write], refused: list[Write]) -> list[Write]:
        """Before a refusal is believed: it may only say that this was done before. Returns what is to be decided."""
        if repeated := [write for write in refused if write.may_be_repeated]:
            # A repeated request is often refused by the state its first try led to: it deserves the first answer.
            return await self._answer_known(writes, repeated)
        # What is known is skipped, also where the state would refuse it now.
        await self._know_fills(refused)
        return writes

    async def _without_known(self, writes: list[Write], error: AlreadyKnown) -> list[Write]:
        """A key of the batch is in the tables: answer the known requests, mark the known fills and payments, return the rest."""
        left = await self._answer_known(writes, [w for w in writes if w.request_id])
        progress = len(left) < len(writes)
        progress |= await self._know_fills([w for w in left if isinstance(w.command, RecordFills)])
        if not progress:
            await self._one_by_one(left, error)
            return []
        return left

    async def _know_fills(self, writes: Sequence[Write]) -> bool:
        """Mark those fills and payments of the writes that are booked already. True when there were more than was known."""
        more = False
        for write in writes:
            assert isinstance(write.command, RecordFills)
            account, fills, payments = write.command.account, write.command.fills, write.command.funding
            known = await self._store.known_fills([(account, f.venue, f.fill_id) for f in fills])
            paid = await self._store.known_payments([(account, p.venue, p.funding.payment_id) for p in payments])
            more |= known > write.known_fills or paid > write.known_payments
            write.known_fills, write.known_payments, write.fills_asked = known, paid, True
        return more

    async def catch_up(self) -> None:
        """Take what other writers committed. The caller holds the lock. Raises StoreUnavailable."""
        news = await self._store.catch_up(self.book, self.head)
        self.head = news.head
        if news.events:
            self.feed.publish(commits(news.events))
