"""Listens to a venue's WebSocket: connect, subscribe, keep alive, notice silence, connect again.

What the socket says is only ever a reason to look now. A connection that is complete is such a reason, too: whatever
happened before was missed. It is complete when every subscription has said something; SETTLE_S after the beginning it is
enough that the venue has acknowledged those that are still silent, and their first word is then a reason of its own.

A subscription that is not even acknowledged makes the account DOWN, and says so: what the others hear is a reason to look
all the same, and the interval does the rest. Where none is acknowledged, the connection is given up at once, else after
PARTIAL_S, and tried again. Everything else that can happen (no connection, a close, silence, frames that break the
format) is told by ``state``, and survived: how a venue is listened to is the ``Dialect``'s, and so is what is a change.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import aiohttp
import structlog
from yarl import URL

from reconciler_service.health import Push, PushState
from reconciler_service.model import Mark
from reconciler_service.venues import VenueRefused
from reconciler_service.venues.http import base_of

CONNECT_S = 10.0  # for the connection and the handshake
SETTLE_S = 5.0  # for the first word of every subscription
PARTIAL_S = 60.0  # for a connection of which not every subscription was acknowledged
LASTING_S = 30.0  # a connection that was up for so long did not fail at the beginning
CLOSE_S = 1.0  # for the other side's goodbye
LARGEST_FRAME = 16 * 1024 * 1024

_log = structlog.get_logger("reconciler")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a frame says to us. ``error`` holds no secret."""

    change: bool = False  # the account may have changed
    error: str = ""
    is_over: bool = False  # the connection is of no use any more


NOTHING = Heard()
CHANGE = Heard(change=True)


class Dialect(Protocol):
    """How one account is listened to at one venue, one connection after the other."""

    subscriptions: Collection[str]  # all that are asked for
    urls: Sequence[str]  # where to connect; after a failure the next one is tried
    ping: str  # what to send to be answered; empty: the venue speaks often enough
    ping_s: float
    silence_s: float  # a connection without any frame for so long is dead

    def hello(self) -> Sequence[str]:
        """What to send on a new connection; what was heard on the last one is forgotten."""

    def hear(self, frame: str) -> Heard:
        """Take one frame in. Never raises for what stands in it."""

    def marks(self) -> Mapping[str, Mark]:
        """The marks that came since this was asked last, by symbol."""

    @property
    def missing(self) -> Collection[str]:
        """Subscriptions that have said nothing yet on this connection."""

    @property
    def unanswered(self) -> Collection[str]:
        """Those of them that the venue has not acknowledged either."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between connections: doubling up to ``longest_s``, less up to half of it at random."""

    first_s: float = 0.5
    longest_s: float = 30.0

    def wait_s(self, failures: int, draw: float) -> float:
        """After so many failures in a row, at least one; ``draw`` is 0 to 1."""
        return float(min(self.first_s * 2.0 ** min(failures - 1, 30), self.longest_s) * (1 - draw / 2))


class Places:
    """How many accounts of this process a venue lets listen at once: the first ones, until they end."""

    def __init__(self, count: int, taken: str) -> None:
        """``taken`` says why an account has no place."""
        self.taken = taken
        self.free = asyncio.Semaphore(count)


class _Ended(Exception):
    """The connection is over; the text says why."""


class SocketWatch:
    """Implements ``Watch``. Owned by the one task that runs it."""

    def __init__(
        self,
        dialect: Dialect,
        name: str,
        *,
        places: Places | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``name`` is of the venue and account, for the log; ``places`` None: anybody may listen. No connection is made here."""
        self._dialect = dialect
        self._name = name
        self._places = places
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._state = Push(PushState.DOWN)
        self._is_settled = False  # a look was asked for on this connection, complete or not
        self._refusal = ""  # what the venue said against something, on this connection
        self._given_up = ""  # why we close this connection

    @property
    def state(self) -> Push:
        """How it is doing."""
        return self._state

    def marks(self) -> Mapping[str, Mark]:
        """The marks that came since this was asked last, by symbol."""
        return self._dialect.marks()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Listen until cancelled, once there is a place. Calls back at each connection and at each change."""
        if self._places is None:
            await self._run(on_change)
            return
        if self._places.free.locked():
            _log.warning("not pushed", venue=self._name, why=self._places.taken)
            self._set(last_error=self._places.taken)
        async with self._places.free:
            await self._run(on_change)

    async def _run(self, on_change: Callable[[], None]) -> NoReturn:
        failures = 0
        while True:
            started = asyncio.get_running_loop().time()
            urls = self._dialect.urls
            try:
                await self._listen(urls[failures % len(urls)], on_change)
            except _Ended as ended:
                why = str(ended)
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                # The class says enough; the texts of these errors may hold URLs and headers.
                status = f" {error.status}" if isinstance(error, aiohttp.WSServerHandshakeError) else ""
                why = f"no connection ({type(error).__name__}{status})"
            except Exception:  # noqa: BLE001 - a defect of ours must not end the watch
                _log.exception("push failed", venue=self._name)
                why = "internal error, see the log"
            if self._state.state is PushState.UP or not failures:
                _log.warning("push is down", venue=self._name, why=why)
            lasted = asyncio.get_running_loop().time() - started >= LASTING_S
            failures = 1 if lasted else failures + 1
            self._set(state=PushState.DOWN, up_since=None, last_error=why)
            await asyncio.sleep(self._backoff.wait_s(failures, random.random()))  # noqa: S311 - jitter, no secret

    async def _listen(self, url: str, on_change: Callable[[], None]) -> NoReturn:
        """One connection, from beginning to end."""
        self._is_settled, self._refusal, self._given_up = False, "", ""
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse_redirect)
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "trueup"}, trace_configs=[trace]
        ) as session:
            async with asyncio.timeout(CONNECT_S):
                socket = await session.ws_connect(
                    url, max_msg_size=LARGEST_FRAME, timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S)
                )
            helpers = [
                asyncio.create_task(self._keep_alive(socket)),
                asyncio.create_task(self._settle(socket, on_change)),
            ]
            try:
                await self._hear_all(socket, on_change)
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                await socket.close()
        raise _Ended(self._given_up or f"the venue closed the connection (code {socket.close_code})")

    async def _hear_all(self, socket: aiohttp.ClientWebSocketResponse, on_change: Callable[[], None]) -> None:
        """Subscribe, and take frames in until the connection closes."""
        silence_s, now = self._dialect.silence_s, asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(silence_s) as silence:
                for frame in self._dialect.hello():
                    await socket.send_str(frame)
                async for message in socket:
                    silence.reschedule(now() + silence_s)
                    if message.type is aiohttp.WSMsgType.TEXT:
                        missing = len(self._dialect.missing)
                        heard = self._dialect.hear(message.data)
                        is_first = len(self._dialect.missing) < missing
                        self._take(replace(heard, change=heard.change or (is_first and self._is_settled)), on_change)
                    elif message.type is aiohttp.WSMsgType.ERROR:
                        raise _Ended(f"broken connection ({type(message.data).__name__})")
        except TimeoutError:
            raise _Ended(f"silent for {silence_s:g} s") from None

    def _take(self, heard: Heard, on_change: Callable[[], None]) -> None:
        self._refusal = heard.error or self._refusal
        self._set(last_message_at=self._clock(), last_error=heard.error or self._state.last_error)
        if heard.is_over:
            raise _Ended(heard.error)
        waited_for = self._dialect.unanswered if self._is_settled else self._dialect.missing
        if self._state.state is not PushState.UP and not waited_for:
            self._up(on_change)
        elif heard.change:
            self._changed(on_change)

    async def _keep_alive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while self._dialect.ping:
            await asyncio.sleep(self._dialect.ping_s)
            with contextlib.suppress(aiohttp.ClientError, OSError):  # whoever reads notices as well
                await socket.send_str(self._dialect.ping)

    async def _settle(self, socket: aiohttp.ClientWebSocketResponse, on_change: Callable[[], None]) -> None:
        """What is still silent may stay so if the venue knows of it: go on with the rest, and say so."""
        await asyncio.sleep(SETTLE_S)
        if self._state.state is PushState.UP:
            return
        self._is_settled = True
        if not self._dialect.unanswered:
            self._up(on_change)
            return
        self._set(last_error=self._unaccepted())
        if set(self._dialect.unanswered) != set(self._dialect.subscriptions):
            _log.warning("push is not complete", venue=self._name, why=self._state.last_error)
            self._changed(on_change)
            await asyncio.sleep(PARTIAL_S)
        if self._dialect.unanswered:
            self._given_up = self._unaccepted()
            await socket.close()

    def _unaccepted(self) -> str:
        what = f"not pushed: the venue did not accept {', '.join(sorted(self._dialect.unanswered))}"
        return f"{what} ({self._refusal})" if self._refusal else what

    def _up(self, on_change: Callable[[], None]) -> None:
        _log.info("push is up", venue=self._name)
        self._set(state=PushState.UP, up_since=self._clock())
        self._changed(on_change)

    def _changed(self, on_change: Callable[[], None]) -> None:
        self._set(changes=self._state.changes + 1)
        on_change()

    def _set(self, **changes: object) -> None:
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]


def socket_url(api_url: str) -> str:
    """The WebSocket beside an API: ``ws(s)://host/ws``. Raises VenueRefused for a URL that cannot be one."""
    url = base_of(api_url)
    return str(url.with_scheme("wss" if url.scheme == "https" else "ws").joinpath("ws"))


def checked_url(url: str) -> str:
    """A WebSocket's URL as it was set, or VenueRefused. Its text is not repeated: it may hold a password."""
    try:
        parsed = URL(url)
        good = parsed.scheme in ("ws", "wss") and bool(parsed.host) and not (parsed.user or parsed.password)
    except ValueError:
        good = False
    if not good:
        raise VenueRefused("the venue's WebSocket URL must be ws(s)://host[:port][/path], without user or password")
    return url


async def _refuse_redirect(*_: object) -> NoReturn:
    raise _Ended("the venue wants to redirect the connection, which is not followed")
