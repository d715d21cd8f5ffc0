"""Streams over the log: ordered, each commit once and whole, resumable, with progress when quiet."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message
from trueup.types.v1 import types_pb2

from position_service.domain.errors import InvalidValue
from position_service.domain.events import Event
from position_service.errors import revision_in_future, revision_pruned, watcher_too_slow
from position_service.ledger.feed import Commit
from position_service.ledger.history import History
from position_service.ledger.ledger import Ledger

Answer = TypeVar("Answer")
Item = TypeVar("Item")
PART_BYTES = 1024 * 1024  # clients take 4 MiB unless told otherwise


class Watch(Protocol):
    """Every request that begins a watch."""

    after_revision: int

    def HasField(self, field_name: Any, /) -> bool: ...  # noqa: N802 - protobuf's name


@dataclass(frozen=True, slots=True)
class Watching:
    """How watches behave. Seconds."""

    progress_s: float = 5.0  # a stream quieter than this says that it lives, and how far it is
    stalled_s: float = 10.0  # a reader that takes nothing for so long is ended; it resumes where it was


class Cursor:
    """How far a watch is: all up to here was handed to the network."""

    __slots__ = ("revision",)

    def __init__(self, revision: int) -> None:
        self.revision = revision


class Log:
    """The committed log as streams. ``cursors`` are those of the watches that run."""

    def __init__(self, ledger: Ledger, history: History, watching: Watching) -> None:
        self._ledger = ledger
        self._history = history
        self._watching = watching
        self.cursors: set[Cursor] = set()

    async def follow(
        self,
        revision: int,
        messages: Callable[[Commit], Iterable[Answer]],
        progress: Callable[[int], Answer],
        *,
        announced: bool,
    ) -> AsyncIterator[Answer]:
        """The messages of every commit after a revision, for ever; when there were none for a while, and at the start
        unless that is ``announced`` already, a ``progress`` message with the revision up to which all is delivered.

        Raises RpcError: OUT_OF_RANGE, or RESOURCE_EXHAUSTED when the reader stalls.
        """
        await self._require_kept(revision)
        if not announced:
            yield progress(revision)
        feed, cursor, spoke = self._ledger.feed, Cursor(revision), time.monotonic()
        self.cursors.add(cursor)
        try:
            while True:
                commits = feed.after(cursor.revision)
                if commits is None:
                    commits = await self._history.commits_after(cursor.revision)
                elif not commits:
                    wait_s = max(0.0, spoke + self._watching.progress_s - time.monotonic())
                    await feed.wait(cursor.revision, wait_s)
                for commit in commits:
                    for message in messages(commit):
                        spoke = time.monotonic()
                        yield message
                        if time.monotonic() - spoke > self._watching.stalled_s:
                            raise watcher_too_slow(cursor.revision)
                    cursor.revision = commit.revision
                if time.monotonic() - spoke >= self._watching.progress_s:
                    spoke = time.monotonic()
                    yield progress(cursor.revision)
        finally:
            self.cursors.discard(cursor)

    async def _require_kept(self, revision: int) -> None:
        head = (await self._ledger.book()).revision
        if revision > head:
            raise revision_in_future(revision, head)
        if revision < head and self._ledger.feed.after(revision) is None:
            oldest = await self._history.oldest_revision()
            if oldest > revision + 1:
                raise revision_pruned(revision, oldest)


def beginning(request: Watch, *, with_state: bool, head: int) -> int:
    """The revision a watch begins after. Raises InvalidValue when it is asked for the state and for the past."""
    if with_state and request.after_revision:
        raise InvalidValue("after_revision", "does not go together with the current state: it begins where that is")
    return request.after_revision if request.HasField("after_revision") and not with_state else head


def parts(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[tuple[list[Item], bool]]:
    """Items in parts of at most about PART_BYTES, made as they are taken; True with the last part."""
    part: list[Item] = []
    room = PART_BYTES
    for item in items:
        taken = size(item)
        if part and taken > room:
            yield part, False
            part, room = [], PART_BYTES
        part.append(item)
        room -= taken
    if part:
        yield part, True


def encoded_events(
    commit: Commit, wanted: Callable[[Event], bool], response: type[Message], event_message: Callable[[Event], Message]
) -> Iterator[bytes]:
    """The responses with a commit's events that are wanted, together unless they are too many, as bytes; only the last
    moves the bookmark.

    Each event is converted and serialised once, whoever watches. That works on bytes because a message is the
    concatenation of its parts: its first fields, then as many ``events`` as there are.
    """

    def encoded(event: Event) -> bytes:
        made = commit.encoded.get(event.revision)
        if made is None:
            message: Any = response(events=[event_message(event)])
            made = commit.encoded[event.revision] = message.SerializeToString()
        return made

    for events, last in parts((encoded(event) for event in commit.events if wanted(event)), len):
        revision = commit.revision if last else commit.events[0].revision - 1
        first = response(phase=types_pb2.STREAM_PHASE_EVENTS, revision=revision)
        yield first.SerializeToString() + b"".join(events)
