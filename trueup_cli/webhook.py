"""A webhook: one POST after the other, each repeated until it is taken. Its URL is a secret that no text from here has."""

from __future__ import annotations

import ipaddress
import re
from typing import Self

import aiohttp
import stamina
from yarl import URL

from trueup_cli.failures import USAGE, Failure
from trueup_cli.output import note

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=8, sock_connect=5, sock_read=10)
_WAIT_S, _MAX_WAIT_S = 0.5, 60.0
_MAX_RETRY_AFTER_S = 3600.0  # whatever it asks for
_TRANSIENT = frozenset({408, 425, 429})
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)


class _Later(Exception):
    """Worth another try; ``retry_after_s`` where the webhook named a time."""

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


def webhook_url(text: str, *, insecure_http: bool = False) -> URL:
    """The checked URL. Raises Failure, which does not repeat it."""
    if not text:
        raise Failure("say where to, with TRUEUP_NOTIFY_URL or --url", USAGE)
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise Failure("the webhook's URL must be https://host/...", USAGE)
    if url.scheme == "http" and not insecure_http and not _is_loopback(url.host):
        raise Failure("the webhook's URL is http: everybody on the way could read it. --insecure-http allows it", USAGE)
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Webhook:
    """Posts to a URL. Close it by leaving ``async with``."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._is_told = False

    async def __aenter__(self) -> Self:
        headers = {"Content-Type": "application/json", "User-Agent": "trueup"}
        self._http = aiohttp.ClientSession(timeout=_TIMEOUT, headers=headers, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def post(self, body: bytes) -> int:
        """Post for as long as it takes to be answered: 2xx, it is taken, or a status that repeating does not change.

        408, 425, 429, 5xx, silence and errors of the connection are tried again, after what Retry-After says or with
        backoff up to a minute, and are told once.
        """
        self._is_told = False
        async for attempt in stamina.retry_context(
            on=self._backoff, attempts=None, timeout=None, wait_initial=_WAIT_S, wait_max=_MAX_WAIT_S
        ):
            with attempt:
                status = await self._attempt(body)
        return status

    def _backoff(self, error: Exception) -> bool | float:
        if not isinstance(error, _Later):
            return False
        if not self._is_told:
            note(f"{error}: trying again until it is taken")
            self._is_told = True
        after_s = error.retry_after_s
        return True if after_s is None else max(_WAIT_S, min(after_s, _MAX_RETRY_AFTER_S))

    async def _attempt(self, body: bytes) -> int:
        try:
            async with self._http.post(self._url, data=body, allow_redirects=False) as response:
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            # The class says enough; the texts of these errors hold the URL.
            kind = "in time" if isinstance(error, TimeoutError) else f"({type(error).__name__})"
            raise _Later(f"the webhook does not answer {kind}") from None
        if status in _TRANSIENT or status >= 500:
            after_s = float(retry_after) if _SECONDS.fullmatch(retry_after) else None
            raise _Later(f"the webhook answered {status}", after_s)
        return status
