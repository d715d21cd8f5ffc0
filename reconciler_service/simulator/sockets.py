"""A WebSocket of a SIMULATED venue: frames in order, through the faults, until either side has enough.

What is said is a ``Conversation``'s, one a connection; here it is only carried. Faults name frames by their channel, as
``faults`` says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from reconciler_service.simulator.faults import SOCKET, FaultPlan, Kind

LARGEST_MESSAGE = 64 * 1024
TICK_S = 0.5  # between looks at the time


class Frame(NamedTuple):
    """What goes out. ``channel`` is what faults call it."""

    channel: str
    text: str


class Conversation(Protocol):
    """One client's view of the venue."""

    idle_s: float  # a connection on which nothing was sent for so long is closed

    def greet(self) -> Sequence[Frame]:
        """What is said first."""

    def answer(self, text: str) -> Sequence[Frame]:
        """The answer to a message."""

    def news(self) -> Sequence[Frame]:
        """What there is to say since the last time, after a change or a tick."""

    def end(self) -> None:
        """The connection is over."""

    @property
    def is_over(self) -> bool:
        """Whether the venue has had enough."""


class Sockets:
    """Carries every conversation of one server. ``watchers`` are called by the venue after each change."""

    def __init__(self, watchers: set[Callable[[], None]], plan: FaultPlan, stopping: asyncio.Event) -> None:
        self.opened = 0  # connections since the start
        self._watchers = watchers
        self._plan = plan
        self._stopping = stopping

    async def converse(self, request: web.Request, conversation: Conversation) -> web.WebSocketResponse:
        """One connection, from the handshake to its end."""
        response = web.WebSocketResponse(max_msg_size=LARGEST_MESSAGE, timeout=1.0)
        await response.prepare(request)
        self.opened += 1
        line = _Line(response, request, self._plan, self._stopping)
        wake = asyncio.Event()
        self._watchers.add(wake.set)
        talking = asyncio.create_task(_talk(line, conversation, wake))
        try:
            async for message in response:
                if message.type is WSMsgType.TEXT:
                    await line.send(conversation.answer(message.data))
        finally:
            self._watchers.discard(wake.set)
            conversation.end()
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        return response


class _Line:
    """One connection's way out."""

    def __init__(
        self, response: web.WebSocketResponse, request: web.Request, plan: FaultPlan, stopping: asyncio.Event
    ) -> None:
        self.response = response
        self.stopping = stopping
        self.is_silent = False
        self.sent_at = asyncio.get_running_loop().time()
        self._request = request
        self._plan = plan
        self._turn = asyncio.Lock()  # a late frame keeps those behind it waiting

    async def send(self, frames: Sequence[Frame]) -> None:
        async with self._turn:
            for frame in frames:
                await self._send(frame)

    async def _send(self, frame: Frame) -> None:
        faults = self._plan.take(f"{SOCKET}/{frame.channel}", None)
        if slow := faults.get(Kind.SLOW):
            with contextlib.suppress(TimeoutError):  # not past the server's end
                await asyncio.wait_for(self.stopping.wait(), slow.delay_s)
        if faults.get(Kind.RESET) and self._request.transport is not None:
            self._request.transport.abort()
        self.is_silent = self.is_silent or faults.get(Kind.HANG) is not None
        if self.is_silent or faults.get(Kind.LOST):
            return
        text = frame.text[: len(frame.text) // 2] if faults.get(Kind.TRUNCATED) else frame.text
        for _ in range(2 if faults.get(Kind.DUPLICATE) else 1):
            with contextlib.suppress(ConnectionError):  # whoever reads notices as well
                await self.response.send_str(text)
        self.sent_at = asyncio.get_running_loop().time()


async def _talk(line: _Line, conversation: Conversation, wake: asyncio.Event) -> None:
    """Say what is new, and end what is over."""
    await line.send(conversation.greet())
    stopping = asyncio.create_task(line.stopping.wait())
    try:
        while not (stopping.done() or conversation.is_over or _is_idle(line, conversation)):
            waking = asyncio.create_task(wake.wait())
            await asyncio.wait({waking, stopping}, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
            wake.clear()
            await line.send(conversation.news())
    finally:
        stopping.cancel()
    await line.response.close(code=WSCloseCode.GOING_AWAY)


def _is_idle(line: _Line, conversation: Conversation) -> bool:
    return not line.is_silent and asyncio.get_running_loop().time() - line.sent_at >= conversation.idle_s
