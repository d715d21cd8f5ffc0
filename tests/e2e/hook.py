"""A webhook: a real HTTP server that answers as it is told, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

SECRET = "T0K3N-hunter2"  # in the path, as chats have it


@dataclass(frozen=True, slots=True)
class Post:
    """What came, when (monotonic), and which status it got."""

    at: float
    body: dict[str, Any]
    status: int


@dataclass
class Hook:
    """Answers the next posts with ``answers``, one each, and all others with ``usual``: status and headers."""

    port: int = 0  # 0: one that the system gives
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    usual: int = 200
    posts: list[Post] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/{SECRET}"

    @property
    def taken(self) -> list[dict[str, Any]]:
        """What was answered with a 2xx, in order."""
        return [post.body for post in list(self.posts) if 200 <= post.status < 300]

    async def _begin(self) -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.Response:
        status, headers = self.answers.pop(0) if self.answers else (self.usual, {})
        if request.path != f"/hooks/{SECRET}" or request.content_type != "application/json":
            status = 418  # a redirect was followed, or it is no JSON
        self.posts.append(Post(time.monotonic(), await request.json(), status))
        return web.Response(status=status, headers=headers, text="no_service")

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
