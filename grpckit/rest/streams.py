"""Streams over HTTP: a JSON object a line, or server-sent events that a browser resumes by itself.

NDJSON  {"phase": …, "revision": "7", …}                    an error after the start: {"error": {code, message, …}}
SSE     id: 7 / data: {"phase": …, "revision": "7", …}      an error after the start: event: error
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.message import Message

from grpckit.json_form import dumps, to_json
from grpckit.rest.answer import HEADERS

RESUME_FIELD = "after_revision"
_SNAPSHOT_PREFIX = "include_"  # fields that ask for the state before the events: not together with a revision


class Form(Protocol):
    """How messages are written."""

    content_type: str

    def start(self) -> bytes: ...
    def message(self, message: Message) -> bytes: ...
    def heartbeat(self) -> bytes: ...
    def error(self, status: dict[str, Any]) -> bytes: ...


class Lines:
    """NDJSON. A quiet stream of ours sends progress messages, so it needs no heartbeat."""

    content_type = "application/x-ndjson"

    def start(self) -> bytes:
        return b""

    def message(self, message: Message) -> bytes:
        return dumps(to_json(message)) + b"\n"

    def heartbeat(self) -> bytes:
        return b""

    def error(self, status: dict[str, Any]) -> bytes:
        return dumps({"error": status}) + b"\n"


class Events:
    """Server-sent events. The id is the revision: browsers send the last one back as Last-Event-ID."""

    content_type = "text/event-stream"

    def __init__(self, retry_s: float) -> None:
        self._retry_ms = round(retry_s * 1_000)

    def start(self) -> bytes:
        return b"retry: %d\n\n" % self._retry_ms

    def message(self, message: Message) -> bytes:
        revision = int(getattr(message, "revision", 0))
        # Without one the snapshot is under way: a browser that comes back now begins anew.
        head = b"id: %d\n" % revision if revision > 0 else b""
        return head + b"data: " + dumps(to_json(message)) + b"\n\n"

    def heartbeat(self) -> bytes:
        return b": still here\n\n"

    def error(self, status: dict[str, Any]) -> bytes:
        return b"event: error\ndata: " + dumps(status) + b"\n\n"


def wants_events(accept: str) -> bool:
    """True when the Accept header asks for server-sent events."""
    return any(part.partition(";")[0].strip().lower() == "text/event-stream" for part in accept.split(","))


def resume(request: Message, last_event_id: str) -> None:
    """Makes a request go on after the event that a browser saw last. Its URL still says how it began."""
    fields = request.DESCRIPTOR.fields_by_name
    if RESUME_FIELD not in fields or not (last_event_id.isdecimal() and len(last_event_id) < 19):
        return
    revision = int(last_event_id)
    if revision > 0:
        setattr(request, RESUME_FIELD, revision)
        for name in fields:
            if name.startswith(_SNAPSHOT_PREFIX):
                request.ClearField(name)


def headers_of(form: Form) -> dict[str, str]:
    """The headers of a stream; proxies must pass each message on at once."""
    return HEADERS | {"Content-Type": f"{form.content_type}; charset=utf-8", "X-Accel-Buffering": "no"}


class Pump:
    """Writes what a stream brings, with heartbeats while it is quiet, until it ends or is told to stop."""

    def __init__(self, stream: Any, form: Form, stopping: asyncio.Event, heartbeat_s: float) -> None:
        self._stream = stream
        self._form = form
        self._stopping = asyncio.create_task(stopping.wait())
        self._heartbeat_s = heartbeat_s
        self._next: asyncio.Task[Any] = self._ask()

    def _ask(self) -> asyncio.Task[Any]:
        return asyncio.create_task(self._stream.__anext__())

    async def first(self, patience_s: float) -> None:
        """Waits a little for the first message. Raises what the stream raises when it is refused at once."""
        await asyncio.wait({self._next}, timeout=patience_s)
        if self._next.done() and not isinstance(self._next.exception(), StopAsyncIteration):
            self._next.result()

    async def run(self, write: Callable[[bytes], Any]) -> bool:
        """Writes until the end; False when it was told to stop. Raises what the stream and `write` raise."""
        await write(self._form.start())
        while True:
            waiting = {self._next, self._stopping}
            await asyncio.wait(waiting, timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.done() or self._next.cancelled():
                return False
            if not self._next.done():
                await write(self._form.heartbeat())
                continue
            if isinstance(self._next.exception(), StopAsyncIteration):
                return True
            await write(self._form.message(self._next.result()))
            self._next = self._ask()

    async def close(self) -> None:
        """Lets go of the stream."""
        for task in (self._next, self._stopping):
            task.cancel()
        await asyncio.gather(self._next, self._stopping, return_exceptions=True)
