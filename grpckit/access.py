"""API keys at the door: who presents one is named by it, for as long as its keeper stands by it.

A key that is known already costs a digest and one lookup. The keeper, a database or another service, is asked about
keys that are new here, and every few seconds for all that are valid: who is no longer among them is refused, and the
streams it has open are ended. When the keeper does not answer for long, nobody can say who was revoked meanwhile, and
everybody is refused until it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from time import time
from typing import NamedTuple, Protocol

import grpc
import structlog

from grpckit.caller import Caller, Metadata
from grpckit.errors import RpcError
from grpckit.guesses import Guesses, site
from grpckit.limits import Limits

PREFIX = "trueup"  # of every key that was made here
NO_CREDENTIALS = "NO_CREDENTIALS"
REFRESH_S = 5.0
TRUST_S = 25.0  # with the refresh under way, less than the 30 s in which a revocation arrives everywhere

_MOST_KNOWN = 20_000
_MOST_REFUSED = 10_000
_REFUSED_S = 5.0
_KEY_LENGTH = 512
_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key stands for. Times are seconds since 1970.

    `generation` counts how often its secret was changed; the one before is valid until `previous_until`.
    """

    key_id: str
    name: str
    scopes: frozenset[int] | None
    accounts: frozenset[str] | None
    expires_at: float = _FOREVER
    generation: int = 0
    previous_until: float = 0.0

    def caller(self, generation: int) -> Caller:
        """Who calls with it."""
        actor = self.name if self.name == self.key_id else f"{self.name}/{self.key_id}"
        return Caller(actor, self.scopes, self.accounts, self.key_id, generation)

    def until(self, generation: int) -> float:
        """Until when a secret of it is valid; 0 when it is not."""
        if generation == self.generation:
            return self.expires_at
        return min(self.expires_at, self.previous_until) if generation == self.generation - 1 else 0.0


class Identified(NamedTuple):
    """A key that somebody presented, and which of its secrets that was."""

    grant: Grant
    generation: int


class Keeper(Protocol):
    """Who knows the keys. Both methods raise RpcError, or what the guard's `translate` knows, when it cannot tell."""

    async def identify(self, key: str) -> Identified | None: ...
    async def grants(self) -> Mapping[str, Grant]: ...


class _Known(NamedTuple):
    caller: Caller
    until: float


class Access:
    """An `Authenticate` for the guard. `run` keeps it current; `end_streams` is the guard's."""

    def __init__(
        self,
        keeper: Keeper,
        *,
        limits: Limits | None = None,
        refresh_s: float = REFRESH_S,
        trust_s: float = TRUST_S,
        clock: Callable[[], float] = time,
    ) -> None:
        self.end_streams: Callable[[Callable[[Caller | None], RpcError | None]], None] = lambda _: None
        self._keeper = keeper
        self._refresh_s = refresh_s
        self._trust_s = trust_s
        self._clock = clock
        self._known: dict[bytes, _Known] = {}  # by the digest of the key: no key stays in memory
        self._refused: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[Caller]] = {}
        self._guesses = Guesses(limits or Limits())
        self._grants: dict[str, Grant] = {}
        self._trusted_until = 0.0
        self._log = structlog.get_logger("grpckit")

    def __call__(self, metadata: Metadata, peer: str = "") -> Caller | Awaitable[Caller]:
        """Names the caller, now or after a look. Raises NO_CREDENTIALS for who presents no key."""
        key = presented(metadata)
        if not key:
            raise no_credentials("an API key is needed: authorization: Bearer KEY, or x-api-key: KEY")
        digest = sha256(key.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known.until > self._clock():
            return known.caller
        return self._look_up(key, digest, site(peer))

    async def _look_up(self, key: str, digest: bytes, where: str) -> Caller:
        # The same key again is no guess: somebody was not told that his is worth nothing any more.
        if len(key) > _KEY_LENGTH or self._refused.get(digest, 0.0) > self._clock():
            raise _not_valid()
        # Nor are calls with one key at once: they wait for the same answer.
        if (asking := self._asking.get(digest)) is None:
            asking = self._asking[digest] = asyncio.create_task(self._ask(key, digest, where), name="key")
            asking.add_done_callback(partial(self._asked, digest))
        return await asyncio.shield(asking)

    def _asked(self, digest: bytes, asking: asyncio.Task[Caller]) -> None:
        del self._asking[digest]
        if not asking.cancelled():
            asking.exception()  # whoever waited for it may have left: nobody else looks at it then

    async def _ask(self, key: str, digest: bytes, where: str) -> Caller:
        # Of the keys that are there each is counted by itself: who guesses at another one bars nobody from using his.
        named = id_in(key)
        guesser = f"{where} {named}" if named in self._grants else where
        self._guesses.tried(guesser, self._clock())
        is_guess = False
        try:
            return await self._identify(key, digest)
        except RpcError as error:
            is_guess = error.reason == NO_CREDENTIALS
            raise
        finally:
            if not is_guess:
                self._guesses.no_guess(guesser)

    async def _identify(self, key: str, digest: bytes) -> Caller:
        asked_at = self._clock()
        found = await self._keeper.identify(key)
        until = 0.0 if found is None else min(found.grant.until(found.generation), asked_at + self._trust_s)
        if found is None or until <= self._clock():
            self._refuse(digest)
            raise _not_valid()
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        caller = found.grant.caller(found.generation)
        self._grants[caller.client] = found.grant
        self._known[digest] = _Known(caller, until)
        return caller

    def _refuse(self, digest: bytes) -> None:
        self._known.pop(digest, None)
        if len(self._refused) >= _MOST_REFUSED:
            self._refused.clear()
        self._refused[digest] = self._clock() + _REFUSED_S

    async def run(self) -> None:
        """Stays current until cancelled."""
        while True:
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may succeed
                self._log.warning("the API keys could not be read", error=str(error))
                self.end_streams(self.objection)
            await asyncio.sleep(self._refresh_s)

    async def refresh(self) -> None:
        """Asks for the keys that are valid, and ends the streams of those that no longer are. Raises as the keeper."""
        asked_at = self._clock()
        self._grants = dict(await self._keeper.grants())
        self._trusted_until = asked_at + self._trust_s
        self._known = {
            digest: _Known(known.caller, until)
            for digest, known in self._known.items()
            if (until := self._until(known.caller)) > asked_at
        }
        self.end_streams(self.objection)

    def _until(self, who: Caller) -> float:
        grant = self._grants.get(who.client)
        if grant is None:
            return 0.0
        # A caller of another scope or account than its key has now was let in by what the key was.
        same = (grant.scopes, grant.accounts) == (who.scopes, who.accounts)
        return min(grant.until(who.generation), self._trusted_until) if same else 0.0

    def objection(self, who: Caller | None) -> RpcError | None:
        """What ends the streams of a caller whose key is not valid any more, or not known to be."""
        if who is None or not who.client:
            return None
        now, grant = self._clock(), self._grants.get(who.client)
        if grant is None or grant.until(who.generation) <= now:
            return _not_valid()
        if self._trusted_until <= now:
            message = "the API keys could not be read for a while"
            return RpcError(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", message, retry_after_s=self._refresh_s)
        return None


def presented(metadata: Metadata) -> str:
    """The key that a call brought; empty when it brought none."""
    bearer = ""
    for name, value in metadata:
        if name == "x-api-key" and isinstance(value, str):
            return value
        if name == "authorization" and isinstance(value, str) and value[:7].lower() == "bearer ":
            bearer = value[7:].strip()
    return bearer


def id_in(key: str) -> str:
    """The identifier in a key, PREFIX_ID_SECRET; empty when it is not made like one."""
    prefix, _, rest = key.partition("_")
    key_id, separator, secret = rest.partition("_")
    return key_id if prefix == PREFIX and separator and secret else ""


def no_credentials(message: str) -> RpcError:
    """Refuses a call because nobody can say who makes it."""
    return RpcError(grpc.StatusCode.UNAUTHENTICATED, NO_CREDENTIALS, message)


def _not_valid() -> RpcError:
    # One answer to all that is wrong with a key: which of them it is helps only who guesses.
    return no_credentials("the API key is not valid: it is unknown, revoked or expired")
