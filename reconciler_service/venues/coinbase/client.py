"""Signed GETs to Coinbase. There is no other method in here.

Besides what ``http`` does, it deals with three habits of the venue:

* A valid token is refused now and then (coinbase-advanced-py#132). A 401 is tried once more with a fresh token; a
  second one is VenueRefused.
* A token is only good on the venue's clock. Between two tries the skew is measured, against ``/time``, and taken into
  the tokens. More than 30 seconds is VenueRefused: such a clock spoils everything else, too.
* What is left of its rate limit stands in headers, sometimes: with nothing left, the next request waits a little.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

from reconciler_service.venues import VenueDataError, VenueError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.coinbase import decode, errors
from reconciler_service.venues.coinbase.auth import Key
from reconciler_service.venues.coinbase.fields import Page
from reconciler_service.venues.coinbase.limits import Told
from reconciler_service.venues.http import HttpSettings, JsonHttp, Request, StatusRefused

ROOT = "/api/v3/brokerage"
LARGEST_SKEW = timedelta(seconds=30)

MAX_PAGES = 50
MOST_ROWS = 100_000  # of a list: more than anybody has, and what memory must be bounded by

T = TypeVar("T")
Query = list[tuple[str, str]]


class Client:
    """One key at one base URL. Safe to use from many tasks of one event loop."""

    def __init__(
        self,
        key: Key,
        *,
        base_url: str,
        jwt_host: str,
        budget: WeightBudget,
        http: HttpSettings,
        clock: Callable[[], datetime],
    ) -> None:
        """``jwt_host`` is the host that tokens name: the venue's own, even where ``base_url`` is a simulator's."""
        self._key = key
        self._jwt_host = jwt_host
        self._clock = clock
        self._skew = timedelta()  # the venue's clock minus ours
        self._is_measured = False
        self._told = Told()
        self._http = JsonHttp(base_url, budget, settings=http, observe=self._observe)

    @property
    def left(self) -> int:
        """Requests left in the current minute, by our budget and by the venue's last word."""
        budget, told = self._http.budget.left, self._told.left(time.monotonic())
        return budget if told is None else min(budget, told)

    @property
    def skew(self) -> timedelta | None:
        """The venue's clock minus ours, as it was measured last; None before that."""
        return self._skew if self._is_measured else None

    @property
    def now(self) -> datetime:
        """The venue's time as far as we know it."""
        return self._clock() + self._skew

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def get(self, path: str, what: str, query: Query | None = None) -> object:
        """The answer to a signed GET of a path below the API's root. Raises VenueError; ``what`` heads its text."""
        try:
            return await self._signed(path, what, query)
        except StatusRefused as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
        await self.set_clock()
        try:
            return await self._signed(path, what, query)
        except StatusRefused as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            raise VenueRefused(
                f"{error}: the key was refused twice. It is revoked, of another account, not allowed from this "
                f"address, or the clock is wrong (measured: {self._skew.total_seconds():+.1f} s)"
            ) from None

    async def pages(self, path: str, what: str, query: Query, read: Callable[[object], Page[T]]) -> list[T]:
        """The rows of all pages. Raises VenueError rather than leave a page out."""
        found: list[T] = []
        cursor = ""
        for _ in range(MAX_PAGES):
            page = read(await self.get(path, what, [*query, ("cursor", cursor)] if cursor else query))
            found += page.rows
            if len(found) > MOST_ROWS:
                raise VenueDataError(f"coinbase {what}: more than {MOST_ROWS} rows")
            if not page.cursor:
                return found
            if page.cursor == cursor:
                raise VenueDataError(f"coinbase {what}: the next page is the same page")
            cursor = page.cursor
        raise VenueUnreachable(f"coinbase {what}: more than {MAX_PAGES} pages")

    async def set_clock(self) -> None:
        """Take the skew into the tokens to come, where it can be had. VenueRefused when it is too large."""
        with contextlib.suppress(
            VenueUnreachable, VenueDataError, StatusRefused
        ):  # without it, the next token will tell
            self._skew = await self._measured_skew()
            self._is_measured = True

    async def _measured_skew(self) -> timedelta:
        asked_at = self._clock()
        answer = await self._http.send(Request("GET", f"{ROOT}/time", "coinbase time"))
        latency = (self._clock() - asked_at) / 2
        skew = decode.server_time(answer) - (asked_at + latency)
        if abs(skew) > LARGEST_SKEW + latency:
            way = "behind" if skew > timedelta() else "ahead of"
            raise VenueRefused(
                f"this machine's clock is {abs(skew).total_seconds():.0f} s {way} Coinbase's: set it right (NTP). "
                "Tokens made by it are refused"
            )
        # A skew below what the way there and back took is none that could be told from it.
        return skew if abs(skew) > latency else timedelta()

    async def _signed(self, path: str, what: str, query: Query | None) -> object:
        full = f"{ROOT}{path}"

        async def headers() -> Mapping[str, str]:
            # Before the token is made: it may become too old.
            await asyncio.sleep(self._told.wait_s(time.monotonic()))
            token = self._key.token("GET", full, self.now, self._jwt_host)
            return {"Authorization": f"Bearer {token}"}

        label = f"coinbase {what}"
        answer = await self._http.send(Request("GET", full, label, query=query, headers=headers))
        try:
            return errors.refuse(answer)
        except VenueError as error:
            raise VenueRefused(f"{label}: {error}") from None

    def _observe(self, headers: Mapping[str, str]) -> None:
        self._told.hear(headers, time.monotonic())
