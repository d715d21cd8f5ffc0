"""Keys: what is stored of them, which of their secrets is which, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from grpckit.access import id_in
from position_service.keys.key import Key, Terms, digest_of, new_id, new_secret

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PEPPER = b"p" * 32
TERMS = Terms("bot", frozenset({1, 2}), frozenset({"main"}), None)


def key(terms: Terms = TERMS, secret: str = "first") -> Key:
    return Key("k", terms, digest_of(PEPPER, secret, terms), NOW, "root")


def generation(of: Key, secret: str, at: datetime = NOW) -> int | None:
    return of.generation_of(digest_of(PEPPER, secret, of.terms), at)


def test_a_secret_is_made_once_and_carries_the_keys_id():
    one, other = (new_secret("k7") for _ in range(2))
    assert one.text != other.text
    assert id_in(one.text) == id_in(other.text) == one.key_id == "k7"
    assert one.text not in repr(one)
    assert len({new_id() for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "trueup", "trueup_", "trueup_k", "trueup_k_", "other_k_s", "k_s"])
def test_what_is_not_made_like_a_key_has_no_id(text):
    assert id_in(text) == ""


def test_only_its_secret_opens_a_key():
    assert generation(key(), "first") == 0
    assert generation(key(), "second") is None
    assert key().generation_of(digest_of(b"q" * 32, "first", TERMS), NOW) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "other"},
        {"scopes": frozenset({1, 2, 4})},
        {"accounts": frozenset({"main", "desk"})},
        {"accounts": None},
        {"expires_at": NOW + HOUR},
    ],
)
def test_a_key_with_other_rights_in_the_table_is_no_key(changed):
    assert generation(replace(key(), terms=replace(TERMS, **changed)), "first") is None


def test_a_rotated_key_has_two_secrets_for_a_while():
    once = key().rotated(digest_of(PEPPER, "second", TERMS), NOW, HOUR)
    assert [generation(once, secret) for secret in ("first", "second")] == [0, 1]
    assert [generation(once, secret, NOW + HOUR) for secret in ("first", "second")] == [None, 1]
    twice = once.rotated(digest_of(PEPPER, "third", TERMS), NOW, HOUR)
    assert [generation(twice, secret) for secret in ("first", "second", "third")] == [None, 1, 2]


def test_without_an_overlap_the_old_secret_ends_at_once():
    rotated = key().rotated(digest_of(PEPPER, "second", TERMS), NOW, timedelta(0))
    assert [generation(rotated, secret) for secret in ("first", "second")] == [None, 1]


def test_revoked_and_expired_keys_open_nothing():
    revoked = key().revoked(NOW, "ann")
    assert generation(revoked, "first") is None
    assert revoked.revoked(NOW + HOUR, "bob") is revoked
    expiring = key(replace(TERMS, expires_at=NOW + HOUR))
    assert generation(expiring, "first", NOW + HOUR - timedelta(seconds=1)) == 0
    assert generation(expiring, "first", NOW + HOUR) is None


def test_what_is_secret_is_not_shown():
    assert "digest" not in repr(key().rotated(b"x" * 32, NOW, HOUR))
