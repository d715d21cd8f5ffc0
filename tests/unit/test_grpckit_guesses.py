"""Who guesses at keys: how often, from where, and for how long that is remembered."""

from __future__ import annotations

import pytest

from grpckit import guesses
from grpckit.errors import RpcError
from grpckit.guesses import Guesses, site
from grpckit.limits import Limits

LIMITS = Limits(failed_keys_per_s=2, failed_keys_burst=3)


def wait_s(counting: Guesses, who: str, now: float) -> float:
    """How long somebody who tries is told to wait; 0: not at all."""
    try:
        counting.tried(who, now)
    except RpcError as error:
        return (error.retry_after_s or 0.0) if error.reason == "RATE_LIMITED" else float("nan")
    return 0.0


def test_some_may_fail_then_one_at_a_time():
    counting = Guesses(LIMITS)
    assert [wait_s(counting, "a", 10) for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert wait_s(counting, "a", 10.25) == 0.25
    assert [wait_s(counting, "a", 10.5) for _ in range(2)] == [0, 0.5]
    assert wait_s(counting, "b", 10.5) == 0
    # In time all is forgiven, and no more than all.
    assert [wait_s(counting, "a", 100) for _ in range(4)] == [0, 0, 0, 0.5]


def test_what_was_no_guess_is_not_counted():
    counting = Guesses(LIMITS)
    for _ in range(9):
        assert wait_s(counting, "a", 10) == 0
        counting.no_guess("a")
    assert [wait_s(counting, "a", 10) for _ in range(4)] == [0, 0, 0, 0.5]
    counting.no_guess("nobody")
    assert wait_s(counting, "nobody", 10) == 0


def test_guessers_without_end_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guesses, "_MOST", 3)
    counting = Guesses(LIMITS)
    for number in range(3):
        counting.tried(f"old-{number}", 1)
    for number in range(3):  # the old ones are forgiven
        counting.tried(f"new-{number}", 10)
    assert set(counting._forgiven_at) == {"new-0", "new-1", "new-2"}
    counting.tried("one more", 10)
    assert set(counting._forgiven_at) == {"one more"}


@pytest.mark.parametrize(
    ("peer", "where"),
    [
        ("ipv4:10.0.0.1:5000", "ipv4:10.0.0.1"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:5000", "ipv6:2001:db8:1:2::"),
        ("ipv6:[2001:db8:1:2:ffff::1]:5001", "ipv6:2001:db8:1:2::"),
        ("ipv6:%5Bfe80::1%25eth0%5D:5000", "ipv6:fe80::"),
        ("ipv6:what:1", "ipv6:what"),
        ("unix:", "unix"),
        ("", ""),
    ],
)
def test_an_address_is_a_place(peer: str, where: str):
    assert site(peer) == where
