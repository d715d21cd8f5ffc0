"""A channel that is opened anew when the TLS files it calls with have changed, so that nobody has to restart for that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc

if TYPE_CHECKING:
    from grpckit.tls import Calling

Dial: TypeAlias = Callable[[grpc.ChannelCredentials | None], grpc.aio.Channel]

_LOOK_S = 1.0


def reopened(dial: Dial, files: Calling | None) -> grpc.aio.Channel:
    """The channel that `dial` opens; when the files change, what is called next goes over another one.

    Calls and streams under way stay where they began; the old connection is closed when the last has ended. Servers end
    streams with the connection when that gets old, so what follows a stream for ever comes over as well.
    """
    return dial(None) if files is None else cast("grpc.aio.Channel", _Reopened(dial, files))


class _Line:
    """A channel, and how many calls are under way on it."""

    __slots__ = ("busy", "channel")

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel: Any = channel
        self.busy = 0


class _Reopened:
    """Stands in for the channel towards generated code."""

    def __init__(self, dial: Dial, files: Calling) -> None:
        self._dial, self._files = dial, files
        self._line = _Line(dial(files.credentials))
        self._used = files.now
        self._looked_at = time.monotonic()
        self._old: set[_Line] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Calls over the channel of now."""
        return self._method("unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Streams over the channel of now."""
        return self._method("unary_stream", arguments, options)

    async def close(self, grace: float | None = None) -> None:
        """Closes all there is, calls and streams with it."""
        for line in (self._line, *self._old):
            await line.channel.close(grace)
        if self._closing:
            await asyncio.wait(self._closing)

    def _method(self, kind: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Callable[..., Any]:
        line, method = self._line, getattr(self._line.channel, kind)(*arguments, **options)

        def call(*given: Any, **more: Any) -> Any:
            nonlocal line, method
            now = self._current()
            if now is not line:
                line, method = now, getattr(now.channel, kind)(*arguments, **options)
            begun = method(*given, **more)
            now.busy += 1
            begun.add_done_callback(partial(self._ended, now))
            return begun

        return call

    def _current(self) -> _Line:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self._files.renew()  # or another channel did already
            if self._files.now is not self._used:
                self._used = self._files.now
                old, self._line = self._line, _Line(self._dial(self._files.credentials))
                self._old.add(old)
                self._close_if_idle(old)
        return self._line

    def _ended(self, line: _Line, _: object) -> None:
        line.busy -= 1
        if line is not self._line:
            self._close_if_idle(line)

    def _close_if_idle(self, line: _Line) -> None:
        if not line.busy and line in self._old:
            self._old.remove(line)
            closing = asyncio.get_running_loop().create_task(line.channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
