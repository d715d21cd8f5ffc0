"""Checks tokens as Coinbase does: strictly, and without a word on what is wrong.

A token must be signed by a key that is known, by that key's algorithm, name exactly this request, have begun, not have
ended, and live no longer than 120 seconds. A nonce is good once: that is stricter than the venue, and shows a client
that sends one token twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jwt

LONGEST_LIFE_S = 120
ALGORITHMS = ("ES256", "EdDSA")


@dataclass(slots=True)
class ApiKey:
    """A key as the venue has it: the public half, and what it may do."""

    name: str
    public: Any  # an EC or Ed25519 public key
    algorithm: str = "ES256"
    can_trade: bool = False
    can_transfer: bool = False
    can_view: bool = True


class Gate:
    """Who may pass. ``now_ms`` gives the venue's time; ``host`` is what tokens must name."""

    def __init__(self, keys: Iterable[ApiKey], now_ms: Callable[[], int], host: str = "api.coinbase.com") -> None:
        self.keys = {key.name: key for key in keys}
        self.refused: list[str] = []  # why, for tests; clients are never told
        self._now_ms = now_ms
        self._host = host
        self._nonces: set[str] = set()

    def admit_socket(self, token: str) -> ApiKey | None:
        """The key that signed for a subscription, or None. Such a token names no request."""
        try:
            return self._checked(f"Bearer {token}", None, self._now_ms() // 1000)
        except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
            self.refused.append(str(error) or type(error).__name__)
            return None

    def admit(self, authorization: str, method: str, path: str, skew_ms: int = 0) -> ApiKey | None:
        """The key that signed a request, or None. ``path`` is without query; ``skew_ms`` is added to the clock."""
        try:
            return self._checked(authorization, f"{method} {self._host}{path}", (self._now_ms() + skew_ms) // 1000)
        except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
            self.refused.append(str(error) or type(error).__name__)
            return None

    def _checked(self, authorization: str, uri: str | None, now_s: int) -> ApiKey:
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or not token:
            raise ValueError("no bearer token")
        header = jwt.get_unverified_header(token)
        key = self.keys[header["kid"]]
        if header["alg"] != key.algorithm or header["alg"] not in ALGORITHMS or header.get("typ") != "JWT":
            raise ValueError("another algorithm or type than the key's")
        # Times are checked below, against the venue's clock and to the second.
        claims = jwt.decode(
            token,
            key.public,
            [key.algorithm],
            options={"verify_exp": False, "verify_nbf": False, "require": ["iss", "sub", "nbf", "exp"]},
        )
        if claims["iss"] != "cdp" or claims["sub"] != key.name:
            raise ValueError("not issued by this key")
        if claims.get("uri") != uri:
            raise ValueError(f"token for {claims.get('uri')}, request {uri}")
        if not claims["nbf"] <= now_s < claims["exp"]:
            raise ValueError("not yet or not any more")
        if claims["exp"] - claims["nbf"] > LONGEST_LIFE_S:
            raise ValueError("lives too long")
        nonce = header["nonce"]
        if not isinstance(nonce, str) or not nonce or nonce in self._nonces:
            raise ValueError("sent before")
        self._nonces.add(nonce)
        return key
