"""The ledger: writes that are durable before they are answered, reads that are never stale."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import time
from collections.abc import Callable

import structlog
from google.protobuf.message import Message

from grpckit import tracing
from position_service.domain.book import Book, Draft
from position_service.domain.commands import Command
from position_service.domain.steps import Context
from position_service.ledger.batch import Write
from position_service.ledger.committer import Committer
from position_service.ledger.crowd import Crowd
from position_service.ledger.feed import Feed
from position_service.ledger.line import StoreUnavailable
from position_service.ledger.store import Store, WentBack

MOST_KEPT_BYTES = 4096
DIGEST = b"sha256:"  # no message begins like this
# Nearly everything here goes when it is no longer referred to. Looking for cycles at every 700 new objects, and through
# all positions whenever a quarter of them is new, took a tenth of the time of writes.
_COLLECT = (50_000, 20, 100)
REACHABLE_S = 5.0  # without an answer from the database for so long, this process cannot do its work
# A look at the head costs as much as serving several reads, so that it waits for those that come in crowds.
_GATHER_S = 0.005
_MOST_READERS = 256

log = structlog.get_logger()


class Ledger:
    """Opened by ``start``; reads go through ``book``, writes through ``write``, watches through ``feed``."""

    def __init__(self, store: Store, *, linger_s: float = 0.02, poll_s: float = 0.25, patience_s: float = 8.0) -> None:
        self.store = store
        self._linger_s = linger_s
        self._patience_s = patience_s
        self._poll_s = poll_s
        self._committer: Committer | None = None
        self._asked: list[asyncio.Future[None]] = []
        self._readers = Crowd(lambda: len(self._asked), _MOST_READERS, _GATHER_S, unseen=True)
        self._checking: asyncio.Task[None] | None = None
        self._poller: asyncio.Task[None] | None = None
        self._answered_at = 0.0  # when the database was last asked for something that it then gave

    @property
    def is_reachable(self) -> bool:
        """Whether the database has answered within seconds. It is asked all the time."""
        return time.monotonic() - self._answered_at < REACHABLE_S

    @property
    def committer(self) -> Committer:
        assert self._committer is not None, "the ledger is not started"
        return self._committer

    @property
    def feed(self) -> Feed:
        return self.committer.feed

    async def start(self) -> None:
        """Load what is live and begin to commit. Raises StoreUnavailable."""
        book = Book()
        await self.store.open()
        # Everything made here stays: walking it to look for garbage, now and ever after, would be for nothing.
        gc.disable()
        try:
            head = await self.store.load(book)
        finally:
            gc.enable()
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        self._committer = Committer(
            self.store, book, head, Feed(head.revision), linger_s=self._linger_s, patience_s=self._patience_s
        )
        self._committer.start()
        self._answered_at = time.monotonic()
        self._start_polling()
        log.info("ledger loaded", revision=head.revision, positions=len(book.positions))

    async def stop(self) -> None:
        """Commit what is queued, then give the connections back."""
        if self._committer is not None:
            await self._committer.stop()
        poller, self._poller = self._poller, None
        for task in (poller, self._checking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.store.close()

    async def write(
        self,
        command: Command,
        request: Message,
        context: Context,
        respond: Callable[[Draft], Message],
        response: type[Message],
        keep: Callable[[Message], bytes] = lambda answer: answer.SerializeToString(),
    ) -> Message:
        """Commit a command and return its answer; ``keep`` makes what is stored of it when the request has an id.

        Raises DomainError, StoreUnavailable, Overloaded. Cancelling the caller does not cancel the commit.
        """
        body = request.SerializeToString(deterministic=True)
        write = Write(
            command=command,
            method=type(request).__name__,
            request_id=getattr(request, "request_id", "") or getattr(command, "repeats_as", ""),
            body=_kept(body),
            context=context,
            respond=respond,
            parse=response.FromString,
            keep=keep,
            differs=lambda kept: (
                "body"
                if len(body) > MOST_KEPT_BYTES or kept.startswith(DIGEST)
                else _differing_field(request, type(request).FromString(kept))
            ),
            done=asyncio.get_running_loop().create_future(),
        )
        self.committer.put(write)
        if tracing.active is not None:
            with tracing.active.inside("commit"):  # the queue, the decision and the statement
                return await write.done
        return await write.done  # only a note of the outcome: cancelling it leaves the commit alone

    async def book(self) -> Book:
        """The book, true at a moment after this was called. Concurrent callers share one look at the head.

        Raises StoreUnavailable.
        """
        asked = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check(), name="head check")
        await asked
        return self.committer.book

    async def _check(self) -> None:
        # Who asks while a look is under way waits for the next one: the one under way may have looked too early.
        asked: list[asyncio.Future[None]] = []
        try:
            while self._asked:
                await self._readers.gather()
                asked, self._asked = self._asked, []
                try:
                    await self.refresh()
                except Exception as error:  # noqa: BLE001 - handed to those who asked
                    _fail(asked, error)
                else:
                    for one in asked:
                        if not one.done():
                            one.set_result(None)
        except asyncio.CancelledError:
            _fail([*asked, *self._asked], StoreUnavailable("the look was broken off"))
            self._asked = []
            raise

    async def refresh(self) -> None:
        """Look at the head; catch up when another process has moved it. Raises StoreUnavailable."""
        committer = self.committer
        known = committer.head
        head = await self.store.head()
        if head.revision < known.revision:
            self.store.look_elsewhere()
            raise WentBack(head.revision, known.revision)
        if head[:2] <= committer.head[:2]:
            return
        async with committer.lock:
            if head[:2] > committer.head[:2]:
                await committer.catch_up()

    def _start_polling(self) -> None:
        self._poller = asyncio.create_task(self._poll(), name="ledger poll")
        self._poller.add_done_callback(lambda ended: self._start_polling() if ended is self._poller else None)

    async def _poll(self) -> None:
        """Learn of other writers' commits even when nobody asks, so that watches here show them."""
        told = ""  # an outage is a line when it begins, when its reason changes, and when it is over
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
                self._answered_at = time.monotonic()
                if told:
                    told = ""
                    log.info("database answers again")
            except StoreUnavailable as error:
                if (reason := str(error) or type(error).__name__) != told:
                    told = reason
                    log.warning("database does not answer", error=reason)
            except Exception:
                log.exception("looking for other writers' commits failed")  # once is no reason to stop looking


def _fail(asked: list[asyncio.Future[None]], error: Exception) -> None:
    for one in asked:
        if not one.done():
            one.set_exception(error)


def _kept(body: bytes) -> bytes:
    """What is kept of a request to recognise it by, for ever: all of a small one, to name what differs."""
    return body if len(body) <= MOST_KEPT_BYTES else DIGEST + hashlib.sha256(body).digest()


def _differing_field(one: Message, other: Message) -> str:
    """The first field, in order of number, in which two messages of one type differ."""
    for field in one.DESCRIPTOR.fields:
        if getattr(one, field.name) != getattr(other, field.name):
            return field.name
    return "body"
