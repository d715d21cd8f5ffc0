"""A CDP key, and the token that each request needs of it.

A token binds one method and one path, lives 120 seconds, and is never sent twice. The algorithm follows from the form
of the secret (docs.cdp.coinbase.com, "Authentication"; coinbase-advanced-py):

    EC P-256 PEM, SEC1 or PKCS8, also with literal ``\\n`` in place of line ends   ES256
    Ed25519 PKCS8 PEM                                                              EdDSA
    base64 of 64 bytes, seed and public key                                        EdDSA

A key file's JSON, ``{"name"|"id": ..., "privateKey": ...}``, is taken in place of either part. What is wrong with a key
is VenueRefused; no part of a key ever stands in an error text or a repr.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import SecretStr

from reconciler_service.venues import VenueRefused
from reconciler_service.venues.wire import EPOCH

LIFE_S = 120  # the venue takes no longer one
BACKDATED_S = 5  # a token whose start lies in the venue's future is refused, and clocks differ by a second or so
JWT_HOST = "api.coinbase.com"

_KEY_NAME = re.compile(
    r"organizations/[A-Za-z0-9-]{1,64}/apiKeys/[A-Za-z0-9-]{1,64}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    re.ASCII,
)
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?", re.ASCII)
_SEED_BYTES = 32
_ED25519_BYTES = 64
_LARGEST_FILE = 16 * 1024
_FORMS = "an EC (P-256) or Ed25519 private key in PEM, or base64 of 64 bytes, as Coinbase gave it"


@dataclass(frozen=True, slots=True)
class Called:
    """What the settings are called that say which key it is: errors name them."""

    key: str
    secret: str
    key_file: str
    allow_trading_key: str


ENVIRONMENT = Called("COINBASE_KEY", "COINBASE_SECRET", "COINBASE_KEY_FILE", "COINBASE_ALLOW_TRADING_KEY")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that can sign. ``name`` is the venue's id of it, which is no secret."""

    name: str
    algorithm: str  # ES256 or EdDSA
    _private: EllipticCurvePrivateKey | Ed25519PrivateKey = field(repr=False)

    def token(self, method: str, path: str, now: datetime, host: str = JWT_HOST) -> str:
        """A fresh token for one request. ``path`` is without query, ``now`` the venue's time as far as we know it."""
        return self._signed(now, {"uri": f"{method} {host}{path}"})

    def socket_token(self, now: datetime) -> str:
        """A fresh token for one subscription on a WebSocket: it binds no request."""
        return self._signed(now, {})

    def _signed(self, now: datetime, bound: dict[str, str]) -> str:
        start = (now - EPOCH) // timedelta(seconds=1) - BACKDATED_S
        claims = {"iss": "cdp", "sub": self.name, "nbf": start, "exp": start + LIFE_S, **bound}
        headers = {"kid": self.name, "nonce": secrets.token_hex(16)}
        return jwt.encode(claims, self._private, self.algorithm, headers)


def key(name: SecretStr | str, secret: SecretStr | str, called: Called = ENVIRONMENT) -> Key:
    """The key of a name and a secret, or of a key file's JSON given as either of them. Raises VenueRefused."""
    named, hidden = _text(name), _text(secret)
    for part in (named, hidden):
        if part.startswith("{"):
            filed_name, hidden = _of_json(part)
            named = filed_name if named.startswith("{") or not named else named
            break
    if not _KEY_NAME.fullmatch(named):
        raise VenueRefused(
            f"{called.key} must be the key's name: organizations/<id>/apiKeys/<id>, or the id alone. It is not repeated "
            "here, in case it is a secret pasted by mistake"
        )
    if not hidden:
        raise VenueRefused(f"{called.secret} is missing: {_FORMS}")
    private = _private_key(hidden, called.secret)
    return Key(named, "ES256" if isinstance(private, EllipticCurvePrivateKey) else "EdDSA", private)


def key_file(path: Path, called: Called = ENVIRONMENT) -> SecretStr:
    """The text of a key file. Raises VenueRefused."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise VenueRefused(f"{called.key_file}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VenueRefused(f"{called.key_file}: {path} is not text") from None
    if len(raw) > _LARGEST_FILE:
        raise VenueRefused(f"{called.key_file}: {path} is larger than {_LARGEST_FILE} bytes, no key file")
    return SecretStr(text)


def checked_host(host: str) -> str:
    """The host that tokens name, without scheme. Raises VenueRefused."""
    if not _HOST.fullmatch(host):
        raise VenueRefused("COINBASE_JWT_HOST must be a host without scheme or path, e.g. api.coinbase.com")
    return host


def _text(value: SecretStr | str) -> str:
    return (value.get_secret_value() if isinstance(value, SecretStr) else value).strip()


def _of_json(text: str) -> tuple[str, str]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        raise VenueRefused("the Coinbase key file is not JSON") from None
    name = parsed.get("name") or parsed.get("id")
    secret = parsed.get("privateKey")
    if not isinstance(name, str) or not isinstance(secret, str):
        raise VenueRefused('the Coinbase key file must hold "name" (or "id") and "privateKey"')
    return name.strip(), secret.strip()


def _private_key(secret: str, called: str) -> EllipticCurvePrivateKey | Ed25519PrivateKey:
    if not secret.startswith("-----BEGIN"):
        return _from_bytes(secret, called)
    pem = secret.replace("\\r", "").replace("\\n", "\n")
    try:
        private = load_pem_private_key(pem.encode(), password=None)
    except Exception:  # noqa: BLE001 - the library's errors are many, and their texts may quote the key
        raise VenueRefused(f"{called} cannot be read: it must be {_FORMS}") from None
    if isinstance(private, Ed25519PrivateKey):
        return private
    if isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1):
        return private
    raise VenueRefused(f"{called} is a private key of another kind: it must be {_FORMS}")


def _from_bytes(secret: str, called: str) -> Ed25519PrivateKey:
    try:
        raw = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise VenueRefused(f"{called} cannot be read: it must be {_FORMS}") from None
    if len(raw) != _ED25519_BYTES:
        raise VenueRefused(f"{called} holds {len(raw)} bytes: it must be {_FORMS}")
    private = Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
    if private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != raw[_SEED_BYTES:]:
        raise VenueRefused(f"{called} is damaged: its two halves do not belong together")
    return private
