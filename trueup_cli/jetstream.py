"""One stream of NATS JetStream, written in order and without doubles. Needs the extra: pip install 'trueup[nats]'.

Every message says in its headers up to which revision each kind of event is in the stream, itself included. So the last
message alone tells where to go on, also when one kind has been quiet for longer than messages are kept. Each is written
behind the message that its writer has seen as the last one, or not at all: two writers cannot both go on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import nats
from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import Header, StorageType, StreamConfig
from nats.js.errors import NotFoundError

_STORED = "Trueup-Stored-"
_CONNECT_S = 5
_PUBLISH_S = 2.0
_BACKOFF_S = 0.1
_MOST_BACKOFF_S = 10.0
_WRITTEN_MEANWHILE = {10071, 10164}  # JetStream's numbers for "wrong last sequence"


class JetStreamError(Exception):
    """What repeating does not mend; the text says what to do. It never carries a server's URL with its password."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to be published. ``revision`` is its id: the same revision is stored once."""

    kind: str
    revision: int
    subject: str
    body: bytes


class Stream:
    """The stream ``name`` with the subjects ``prefix.>``, made when there is none. Use it as an async context manager."""

    def __init__(self, servers: str, name: str, prefix: str, note: Callable[[str], None]) -> None:
        """``note`` is told of what is tried again."""
        self._servers = [one.strip() for one in servers.split(",")]
        self._name = name
        self._prefix = prefix
        self._note = note
        self.after: dict[str, int] = {}  # by kind: all up to here is stored
        self._turn = asyncio.Lock()  # one message at a time, or headers would not tell the order
        self._sequence: int | None = None  # where the stream ends; None: to be asked
        self._client: Client | None = None
        self._stream: JetStreamContext

    async def __aenter__(self) -> Self:
        """Raises JetStreamError when nobody answers, or the stream is another one than it should be."""
        try:
            client = self._client = await nats.connect(
                self._servers,
                connect_timeout=_CONNECT_S,
                max_reconnect_attempts=1,  # at the start a wrong address should be told; later it waits for ever
                reconnect_time_wait=1,
                error_cb=self._told,
                name="trueup relay",
            )
            client.options["max_reconnect_attempts"] = -1
            self._stream = client.jetstream(timeout=_PUBLISH_S)
            await self._ensure()
        except (Error, OSError, TimeoutError) as error:
            await self.close()
            raise JetStreamError(
                f"NATS does not answer, or has no JetStream ({type(error).__name__}): check the URL"
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.close()

    async def _told(self, error: Exception) -> None:
        if self._client is not None:  # at the start it is told once, as the error that ends it
            self._note(f"NATS: {type(error).__name__}")

    async def _ensure(self) -> None:
        subject = f"{self._prefix}.>"
        try:
            found = await self._stream.stream_info(self._name)
        except NotFoundError:
            await self._stream.add_stream(StreamConfig(self._name, subjects=[subject], storage=StorageType.FILE))
            return
        if subject not in (found.config.subjects or ()):
            raise JetStreamError(
                f"the stream {self._name} takes other subjects than {subject}: name another with --stream"
            )

    async def stored(self) -> dict[str, int]:
        """Up to which revision each kind of event is stored; empty when nothing ever was.

        Raises JetStreamError when all there was is gone: where to go on cannot be told then.
        """
        found = await self._told_by_the_last()
        if not found and (await self._stream.stream_info(self._name)).state.last_seq:
            raise JetStreamError(
                f"the stream {self._name} has no messages any more: say where to go on with --after-revision"
            )
        return found

    async def _told_by_the_last(self) -> dict[str, int]:
        try:
            message = await self._stream.get_last_msg(self._name, f"{self._prefix}.>")
        except NotFoundError:
            return {}
        headers = (message.headers or {}).items()
        return {name.removeprefix(_STORED): int(value) for name, value in headers if name.startswith(_STORED)}

    async def publish(self, letter: Letter) -> None:
        """See that a message is stored, by us or by another relay, however long it takes.

        It is only taken when the stream ends where we believe; when somebody else has written, or an answer was lost,
        the stream itself says what is there: no outage is too long for that, and any number of relays store it once.
        """
        async with self._turn:
            backoff_s = _BACKOFF_S
            while True:
                try:
                    await self._store(letter)
                except (Error, OSError, TimeoutError) as error:
                    self._sequence = None
                    if getattr(error, "err_code", None) in _WRITTEN_MEANWHILE:
                        continue
                    self._note(f"revision {letter.revision} is not stored yet ({type(error).__name__}): trying again")
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(2 * backoff_s, _MOST_BACKOFF_S)
                else:
                    return

    async def _store(self, letter: Letter) -> None:
        if self._sequence is None:
            # In this order: what is written in between makes the number too small, and is looked at again.
            sequence = (await self._stream.stream_info(self._name)).state.last_seq
            for kind, revision in (await self._told_by_the_last()).items():
                self.after[kind] = max(revision, self.after.get(kind, 0))
            self._sequence = sequence
        if self.after.get(letter.kind, 0) >= letter.revision:
            return
        now = self.after | {letter.kind: letter.revision}
        headers = {f"{_STORED}{kind}": str(revision) for kind, revision in now.items()}
        headers[Header.MSG_ID.value] = str(letter.revision)
        headers[Header.EXPECTED_LAST_SEQUENCE.value] = str(self._sequence)
        done = await self._stream.publish(letter.subject, letter.body, stream=self._name, headers=headers)
        self._sequence = None if done.duplicate else done.seq
        self.after = now
