"""The keys in memory: whose is this one, which are valid, and what changes them."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import grpc
import structlog
from trueup.types.v1 import rules_pb2

from grpckit.access import Grant, Identified, id_in
from grpckit.errors import RpcError
from position_service.keys.key import ALWAYS, ROOT, Key, Secret, Terms, digest_of, new_id, new_secret
from position_service.keys.store import KeyStore, NameTaken

_AGAIN_S = 0.05  # strangers can make us look into the table for keys of other replicas, together and not more often

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Secrets:
    """What keys are made and recognised with. Without a pepper there are none; the root key may be empty."""

    pepper: bytes = field(default=b"", repr=False)
    root_key: str = field(default="", repr=False)


class Keeper:
    """Answers from memory; ``grants`` reads the table anew. Everything may raise StoreUnavailable."""

    def __init__(
        self, store: KeyStore, secrets: Secrets, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def identify(self, key: str) -> Identified | None:
        """Whose a key is; None for nobody's."""
        if self._is_root(key):
            return Identified(_ROOT, 0)
        key_id = id_in(key)
        if not key_id or not self._secrets.pepper:
            return None
        if key_id not in self._keys:
            await self._read(spacing_s=_AGAIN_S)  # it may be of another replica
        found = self._keys.get(key_id)
        if found is None:
            return None
        generation = found.generation_of(digest_of(self._secrets.pepper, key, found.terms), self._clock())
        return None if generation is None else Identified(_grant(found), generation)

    async def grants(self) -> Mapping[str, Grant]:
        """Every key that is valid now, by its id."""
        await self._read()
        now = self._clock()
        granted = {key.key_id: _grant(key) for key in self._keys.values() if key.is_live(now)}
        return granted | {ROOT: _ROOT} if self._secrets.root_key else granted

    async def listed(self, *, ended: bool) -> list[Key]:
        """The keys, oldest first; with those that have ended, if wanted."""
        await self._read()
        now = self._clock()
        return [key for key in self._all() if ended or key.is_live(now)]

    def _all(self) -> Iterator[Key]:
        if self._secrets.root_key:
            every = frozenset(rules_pb2.Scope.values()) - {rules_pb2.SCOPE_UNSPECIFIED}
            yield Key(ROOT, Terms(ROOT, every, None, None), b"", ALWAYS, "ROOT_KEY")
        yield from self._keys.values()

    async def create(self, terms: Terms, by: str) -> tuple[Key, Secret]:
        """Make a key. Raises RpcError: KEY_NAME_TAKEN, KEYS_UNCONFIGURED."""
        secret, name = new_secret(new_id()), terms.name
        made = Key(secret.key_id, terms, digest_of(self._pepper(), secret.text, terms), self._clock(), by)
        try:
            await self._store.add(made)
        except NameTaken:
            await self._read()
            other = next((k.key_id for k in self._keys.values() if k.terms.name == name and k.revoked_at is None), "")
            message = f"the key {other} has the name {name}: revoke it, or choose another"
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, "KEY_NAME_TAKEN", message, {"keyId": other}) from None
        self._keys[made.key_id] = made
        log.info("API key made", key_id=made.key_id, name=name, actor=by)
        return made, secret

    async def rotate(self, key_id: str, overlap: timedelta, by: str) -> tuple[Key, Secret]:
        """Give a key another secret. Raises RpcError: KEY_NOT_FOUND, KEYS_UNCONFIGURED."""
        secret, pepper = new_secret(key_id), self._pepper()

        def rotated(key: Key) -> Key:
            return key.rotated(digest_of(pepper, secret.text, key.terms), self._clock(), overlap)

        changed = await self._change(key_id, rotated, only_live=True)
        log.info("API key rotated", key_id=key_id, name=changed.terms.name, actor=by)
        return changed, secret

    async def revoke(self, key_id: str, by: str) -> Key:
        """End a key. Raises RpcError: KEY_NOT_FOUND."""
        changed = await self._change(key_id, lambda key: key.revoked(self._clock(), by))
        log.info("API key revoked", key_id=key_id, name=changed.terms.name, actor=by)
        return changed

    async def _change(self, key_id: str, change: Callable[[Key], Key], *, only_live: bool = False) -> Key:
        while True:
            await self._read()
            old = self._keys.get(key_id)
            if old is None or (only_live and not old.is_live(self._clock())):
                message = f"no key {key_id} that is valid" if only_live else f"no key {key_id}"
                raise RpcError(grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND", message, {"keyId": key_id})
            new = change(old)
            if new is old or await self._store.change(old, new):
                self._keys[key_id] = new
                return new

    async def _read(self, *, spacing_s: float = 0.0) -> None:
        """Read the table as it is now or later; who asks while others wait for that shares their look."""
        asked = time.monotonic()
        async with self._reading:
            if self._read_at >= asked:
                return
            await asyncio.sleep(self._read_at + spacing_s - time.monotonic())
            began = time.monotonic()
            self._keys = {key.key_id: key for key in await self._store.all()}
            self._read_at = began

    def _is_root(self, key: str) -> bool:
        root = self._secrets.root_key
        return bool(root) and hmac.compare_digest(key.encode(), root.encode())

    def _pepper(self) -> bytes:
        if not self._secrets.pepper:
            message = "API keys need a pepper: set KEY_PEPPER_FILE"
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, "KEYS_UNCONFIGURED", message)
        return self._secrets.pepper


def _grant(key: Key) -> Grant:
    terms = key.terms
    return Grant(
        key.key_id,
        terms.name,
        terms.scopes,
        terms.accounts,
        terms.expires_at.timestamp() if terms.expires_at else float("inf"),
        key.generation,
        key.previous_until.timestamp() if key.previous_until else 0.0,
    )


_ROOT = Grant(ROOT, ROOT, None, None)
