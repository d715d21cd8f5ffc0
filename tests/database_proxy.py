"""A wire between service and database that can be cut where it hurts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

_READY = b"Z\x00\x00\x00\x05I"  # ReadyForQuery, idle: what was asked for is done, and committed


class Proxy:
    """Listens on TCP and forwards to the unix socket of a DSN. Faults are armed with bytes the client will send."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._database = parts.path
        self._socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._swallow = self._cut = b""
        self.faults = 0  # how many have happened
        self.is_open = asyncio.Event()  # while it is not set, connections are refused
        self.is_open.set()
        self.is_flowing = asyncio.Event()  # while it is not set, connections stay open and nothing comes through
        self.is_flowing.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.drop_all()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    @property
    def dsn(self) -> str:
        assert self._server is not None
        return f"postgresql://postgres@127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self._database}"

    def swallow_reply_to(self, marker: bytes) -> None:
        """The statement that carries the marker reaches the server and is done; nobody is told."""
        self._swallow = marker

    def cut_before(self, marker: bytes) -> None:
        """The statement that carries the marker never reaches the server."""
        self._cut = marker

    def drop_all(self) -> None:
        """Cut every connection there is."""
        for pipe in self._pipes:
            pipe.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_open.is_set():
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            from_server, upstream = await asyncio.open_unix_connection(self._socket)
            await self._pipe(reader, writer, from_server, upstream)
        except (OSError, asyncio.CancelledError):
            pass  # that connection is over, which is what this is for
        finally:
            self._pipes.discard(task)
            writer.transport.abort()
            if upstream is not None:
                upstream.transport.abort()

    async def _pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        silent = asyncio.Event()

        async def requests() -> None:
            while data := await reader.read(1 << 20):
                await self.is_flowing.wait()
                if self._cut and self._cut in data:
                    self._cut, self.faults = b"", self.faults + 1
                    return
                if self._swallow and self._swallow in data:
                    self._swallow = b""
                    silent.set()
                upstream.write(data)

        async def replies() -> None:
            while data := await from_server.read(1 << 20):
                await self.is_flowing.wait()
                if not silent.is_set():
                    writer.write(data)
                elif data.endswith(_READY):
                    self.faults += 1
                    return

        ways = [asyncio.create_task(requests()), asyncio.create_task(replies())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


@contextlib.asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy in front of a database."""
    proxy = Proxy(dsn)
    await proxy.start()
    yield proxy
    await proxy.stop()
