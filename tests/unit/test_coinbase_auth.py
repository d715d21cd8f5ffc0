"""A key in each of its forms, the token it makes, and that no part of it shows anywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from reconciler_service.venues import VenueRefused
from reconciler_service.venues.coinbase import auth
from tests.coinbase_samples import EC, ED, ED_BYTES, KEY_ID, KEY_NAME, SEC1, pem

NOW = datetime(2026, 11, 22, 14, 0, 0, 900_000, tzinfo=UTC)
NOW_S = 1_795_356_000
PATH = "/api/v3/brokerage/accounts"

FORMS = {
    "sec1": (SEC1, "ES256", EC),
    "sec1 on one line": (SEC1.replace("\n", "\\n"), "ES256", EC),
    "sec1 from windows": (SEC1.replace("\n", "\\r\\n"), "ES256", EC),
    "ec pkcs8": (pem(EC), "ES256", EC),
    "ed25519 pkcs8": (pem(ED), "EdDSA", ED),
    "ed25519 bytes": (f" {ED_BYTES}\n", "EdDSA", ED),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_secret_signs(form: str) -> None:
    secret, algorithm, private = FORMS[form]
    key = auth.key(SecretStr(KEY_NAME), SecretStr(secret))
    token = key.token("GET", PATH, NOW)
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"], header["kid"]) == (algorithm, "JWT", KEY_NAME)
    claims = jwt.decode(token, private.public_key(), [algorithm], options={"verify_exp": False, "verify_nbf": False})
    assert claims == {
        "iss": "cdp",
        "sub": KEY_NAME,
        "nbf": NOW_S - 5,
        "exp": NOW_S + 115,
        "uri": f"GET api.coinbase.com{PATH}",
    }


def test_no_token_is_made_twice_and_the_host_can_be_another() -> None:
    key = auth.key(KEY_ID, pem(EC))
    first, second = (key.token("GET", PATH, NOW, "venue.test") for _ in range(2))
    nonces = {jwt.get_unverified_header(token)["nonce"] for token in (first, second)}
    assert len(nonces) == 2
    assert all(len(nonce) == 32 for nonce in nonces)
    options: Any = {"verify_signature": False}
    assert jwt.decode(first, options=options)["uri"] == f"GET venue.test{PATH}"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (json.dumps({"name": KEY_NAME, "privateKey": SEC1}), ""),
        ("", json.dumps({"name": KEY_NAME, "privateKey": SEC1})),
        (KEY_NAME, json.dumps({"id": KEY_ID, "privateKey": SEC1})),
    ],
)
def test_a_key_file_stands_for_both_parts(name: str, secret: str) -> None:
    assert auth.key(name, secret).name == KEY_NAME


def test_a_key_file_of_the_newer_kind() -> None:
    assert auth.key("", json.dumps({"id": KEY_ID, "privateKey": ED_BYTES})).name == KEY_ID


def test_a_key_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "cdp.json"
    file.write_text(json.dumps({"name": KEY_NAME, "privateKey": SEC1}))
    assert auth.key("", auth.key_file(file)).algorithm == "ES256"
    with pytest.raises(VenueRefused, match=r"cannot read .*none\.json: No such file"):
        auth.key_file(tmp_path / "none.json")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(VenueRefused, match="is not text"):
        auth.key_file(file)
    file.write_bytes(b" " * 20_000)
    with pytest.raises(VenueRefused, match="no key file"):
        auth.key_file(file)


CANARY = "c4n4ryC4N4RY"
HALVES = ED_BYTES[:20] + ("A" if ED_BYTES[20] != "A" else "B") + ED_BYTES[21:]


@pytest.mark.parametrize(
    ("name", "secret", "text"),
    [
        (CANARY, SEC1, "must be the key's name"),
        (SEC1, "", "must be the key's name"),
        (KEY_NAME, "", "COINBASE_SECRET is missing"),
        (KEY_NAME, f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----", "cannot be read"),
        (KEY_NAME, f"{CANARY}!", "cannot be read"),
        (KEY_NAME, CANARY, "holds 9 bytes"),
        (KEY_NAME, HALVES, "two halves do not belong together"),
        (KEY_NAME, pem(ec.generate_private_key(ec.SECP384R1())), "of another kind"),
        (KEY_NAME, pem(rsa.generate_private_key(65537, 2048)), "of another kind"),
        (KEY_NAME, '{"privateKey": "' + CANARY, "not JSON"),
        (KEY_NAME, '{"privateKey": "' + CANARY + '"}', '"name"'),
        (KEY_NAME, '{"name": 1, "privateKey": "' + CANARY + '"}', '"name"'),
    ],
    ids=range(12),  # keys made anew each time would be other names each time
)
def test_a_key_that_cannot_be_is_refused_without_repeating_it(name: str, secret: str, text: str) -> None:
    with pytest.raises(VenueRefused, match=text) as caught:
        auth.key(SecretStr(name), SecretStr(secret))
    assert CANARY not in str(caught.value)
    for line in secret.split("\n"):
        assert len(line) < 20 or line.startswith("-----") or line not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_does_not_show_its_private_part() -> None:
    key = auth.key(KEY_NAME, ED_BYTES)
    assert repr(key) == f"Key(name={KEY_NAME!r}, algorithm='EdDSA')"


@pytest.mark.parametrize("host", ["https://api.coinbase.com", "api.coinbase.com/x", "", "a b"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(VenueRefused, match="COINBASE_JWT_HOST"):
        auth.checked_host(host)
    assert auth.checked_host("127.0.0.1:80") == "127.0.0.1:80"
