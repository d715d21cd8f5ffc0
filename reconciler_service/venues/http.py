"""JSON over HTTP, for venues: bounded in time, size and weight, retried, and exact about numbers.

Every way to fail comes out as one of the three venue errors, with a short text that carries no secret:

    VenueUnreachable   timeout, connection error, 408, 429, 5xx, HTML, broken JSON, spent budget, open circuit
    StatusRefused      any other status that is not 200 (a VenueRefused that knows its status)
    VenueDataError     an oversize answer; NaN or Infinity as a number; nesting beyond reason
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from typing import NamedTuple, NoReturn

import aiohttp
import stamina
from yarl import URL

from reconciler_service.venues import VenueDataError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import Breaker, WeightBudget

_TRANSIENT_STATUS = frozenset({408, 425, 429})
_SECONDS = re.compile(r"[0-9]{1,4}", re.ASCII)
_QUOTED = 160  # bytes of a refusal's body in its error text
_KEPT = 4096  # bytes of a refusal's body for the adapter to read
_SECRET_LENGTH = 16  # shorter words, such as "Bearer", are no secret


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. All four are always set: a request without one of them can hang for ever."""

    total_s: float = 15.0  # one attempt, to the last byte
    connect_s: float = 8.0  # until there is a connection: a free one of the pool, or a new one
    handshake_s: float = 5.0  # until the other side has accepted a new one
    read_s: float = 10.0  # between two pieces of the answer


@dataclass(frozen=True, slots=True)
class Retries:
    """Seconds and attempts. Backoff doubles from ``wait_s`` to ``max_wait_s``, plus up to ``jitter_s`` at random."""

    attempts: int = 3
    wait_s: float = 0.3
    max_wait_s: float = 3.0
    jitter_s: float = 0.5
    deadline_s: float = 25.0  # everything: waiting for budget, all attempts, all backoff


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How patient the client is, and how much it takes in."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    max_bytes: int = 16 * 1024 * 1024  # decompressed; the largest regular answer is under 2 MB
    retry_statuses: frozenset[int] = frozenset()  # besides 408, 425, 429 and 5xx


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a venue. ``label`` stands at the head of error texts; ``weight`` is charged per attempt."""

    method: str
    path: str  # below the base URL
    label: str
    weight: int = 1
    query: Mapping[str, str] | list[tuple[str, str]] | None = None
    body: Mapping[str, object] | None = None
    # Called for each attempt, so that a one-time token is never sent twice.
    headers: Callable[[], Awaitable[Mapping[str, str]]] | None = None


class StatusRefused(VenueRefused):
    """The venue answered with a status that trying again does not change."""

    def __init__(self, message: str, status: int, content_type: str = "", body: bytes = b"") -> None:
        """``status`` is the HTTP status, ``body`` the beginning of the answer, without the token that was sent."""
        super().__init__(message)
        self.status = status
        self.content_type = content_type
        self.body = body


class _Transient(VenueUnreachable):
    """Worth another attempt; ``retry_after_s`` where the venue named a time."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def _refuse_constant(constant: str) -> NoReturn:
    raise VenueDataError(f"the answer holds {constant}, which is not a number")


def parse(body: bytes, label: str) -> object:
    """Exact JSON: fractions become Decimal, NaN and Infinity are refused. Broken JSON is VenueUnreachable."""
    try:
        return json.loads(body.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse_constant)
    except VenueDataError as error:
        raise VenueDataError(f"{label}: {error}") from None
    except RecursionError:
        raise VenueDataError(f"{label}: the answer is nested too deeply") from None
    except ValueError:
        raise _Transient(f"{label}: broken JSON ({len(body)} bytes)") from None


class Reply(NamedTuple):
    """What came back, as far as it matters."""

    status: int
    content_type: str  # without parameters; empty where the venue named none
    body: bytes
    retry_after: str = ""


def read_reply(reply: Reply, label: str, retry_statuses: frozenset[int] = frozenset()) -> object:
    """Status, then content type, then JSON: in this order, since error pages come as text, HTML and ``null``."""
    status, kind = reply.status, reply.content_type
    if status in _TRANSIENT_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in retry_statuses:
        reason = "too many requests" if status == HTTPStatus.TOO_MANY_REQUESTS else f"status {status}"
        raise _Transient(f"{label}: {reason}", _seconds(reply.retry_after))
    if status != HTTPStatus.OK:
        raise StatusRefused(f"{label}: status {status}{_quoted(reply)}", status, kind, reply.body[:_KEPT])
    if kind != "application/json" and not kind.endswith("+json"):
        raise _Transient(f"{label}: answered {_printable(kind)[:60] or 'without a type'} instead of JSON")
    return parse(reply.body, label)


def _seconds(retry_after: str) -> float | None:
    return float(retry_after) if _SECONDS.fullmatch(retry_after) else None


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def _quoted(reply: Reply) -> str:
    """The body of a refusal, where it can be meant for a reader."""
    if reply.content_type not in ("text/plain", "application/json"):
        return ""
    text = _printable(reply.body[:_QUOTED].decode("utf-8", "replace")).strip()
    return f": {text}" if text not in ("", "null") else ""


class JsonHttp:
    """One venue's HTTP client. Safe to use from many tasks at once; opens its connections on first use."""

    def __init__(
        self,
        base_url: str,
        budget: WeightBudget,
        *,
        settings: HttpSettings | None = None,
        breaker: Breaker | None = None,
        observe: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        """``base_url`` is http(s)://host[:port][/path], without user or query: VenueRefused otherwise.

        ``observe`` is shown the headers of every answer, whatever its status.
        """
        self._base = base_of(base_url)
        self._settings = settings or HttpSettings()
        self._breaker = breaker or Breaker()
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None
        self.budget = budget

    async def send(self, request: Request) -> object:
        """The parsed JSON of a 200. Raises VenueError."""
        retries = self._settings.retries
        try:
            async with asyncio.timeout(retries.deadline_s):
                async for attempt in stamina.retry_context(
                    on=self._backoff,
                    attempts=retries.attempts,
                    timeout=retries.deadline_s,
                    wait_initial=retries.wait_s,
                    wait_max=retries.max_wait_s,
                    wait_jitter=retries.jitter_s,
                ):
                    with attempt:
                        return await self._attempt(request)
        except TimeoutError:
            raise VenueUnreachable(f"{request.label}: no answer within {retries.deadline_s:g} s") from None
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close the connections. The client opens new ones when it is used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _backoff(self, error: Exception) -> bool | float:
        if not isinstance(error, _Transient):
            return False
        longest = self._settings.retries.max_wait_s
        return True if error.retry_after_s is None else min(error.retry_after_s, longest)

    async def _attempt(self, request: Request) -> object:
        await self._breaker.admit()
        try:
            await self.budget.take(request.weight)
            answer = await self._exchange(request)
        except _Transient as error:
            self._breaker.failed(str(error))
            raise
        except (VenueDataError, VenueRefused):
            self._breaker.succeeded()  # nothing usable, but the venue is there and answers
            raise
        except BaseException:
            self._breaker.release()  # cancelled, or never sent: says nothing of the venue
            raise
        self._breaker.succeeded()
        return answer

    async def _exchange(self, request: Request) -> object:
        headers = dict(await request.headers()) if request.headers is not None else {}
        try:
            async with self._open().request(
                request.method,
                self._base.joinpath(*request.path.strip("/").split("/")),
                params=request.query,
                json=request.body,
                headers=headers,
                allow_redirects=False,
            ) as response:
                raw = await self._read(response, request.label)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            # The class says enough; the texts of these errors may hold URLs and headers.
            kind = "timed out" if isinstance(error, TimeoutError) else f"no answer ({type(error).__name__})"
            raise _Transient(f"{request.label}: {kind}") from None
        if self._observe is not None:
            self._observe(response.headers)
        reply = Reply(
            response.status,
            response.content_type if "Content-Type" in response.headers else "",
            _without_token(raw, headers),
            response.headers.get("Retry-After", ""),
        )
        return read_reply(reply, request.label, self._settings.retry_statuses)

    async def _read(self, response: aiohttp.ClientResponse, label: str) -> bytes:
        limit = self._settings.max_bytes
        raw = bytearray()
        async for chunk in response.content.iter_any():
            raw += chunk
            if len(raw) > limit:
                raise VenueDataError(f"{label}: the answer is larger than {limit} bytes")
        return bytes(raw)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeouts = self._settings.timeouts
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=timeouts.total_s,
                    connect=timeouts.connect_s,
                    sock_connect=timeouts.handshake_s,
                    sock_read=timeouts.read_s,
                ),
                connector=aiohttp.TCPConnector(limit=10),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "User-Agent": "trueup"},
            )
        return self._session


def base_of(base_url: str) -> URL:
    """The checked base URL. Its text is not repeated in the error: it may hold a password."""
    try:
        url = URL(base_url)
        good = url.scheme in ("http", "https") and bool(url.host) and not (url.user or url.password or url.query_string)
    except ValueError:
        good = False
    if not good:
        raise VenueRefused("the venue's URL must be http(s)://host[:port], without user, password or query")
    return url


def _without_token(raw: bytes, headers: Mapping[str, str]) -> bytes:
    """A body that echoes the credential we sent must not carry it into an error text."""
    for secret in headers.get("Authorization", "").split():
        raw = raw.replace(secret.encode(), b"***") if len(secret) >= _SECRET_LENGTH else raw
    return raw
