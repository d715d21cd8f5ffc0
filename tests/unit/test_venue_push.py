"""Where a venue is listened to, and how long to wait before the next try."""

from __future__ import annotations

import pytest

from reconciler_service.venues import VenueRefused
from reconciler_service.venues.push import Backoff, checked_url, socket_url


def test_waits_double_up_to_the_longest_less_a_share_at_random() -> None:
    backoff = Backoff(first_s=0.5, longest_s=30.0)
    assert [backoff.wait_s(failures, 0.0) for failures in (1, 2, 3, 7, 8, 10_000)] == [0.5, 1.0, 2.0, 30.0, 30.0, 30.0]
    assert [backoff.wait_s(failures, 1.0) for failures in (1, 2)] == [0.25, 0.5]


@pytest.mark.parametrize(
    ("api", "socket"),
    [
        ("https://api.hyperliquid.xyz", "wss://api.hyperliquid.xyz/ws"),
        ("http://127.0.0.1:8100", "ws://127.0.0.1:8100/ws"),
        ("http://127.0.0.1:8100/", "ws://127.0.0.1:8100/ws"),
        ("https://proxy.test/venues/hl", "wss://proxy.test/venues/hl/ws"),
    ],
)
def test_the_socket_is_beside_the_api(api: str, socket: str) -> None:
    assert socket_url(api) == socket


@pytest.mark.parametrize("url", ["http://host", "ws://", "", "ws://user:canary@host/ws", "ws://[", "host"])
def test_other_urls_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(VenueRefused) as raised:
        checked_url(url)
    assert "canary" not in str(raised.value)
    assert checked_url("wss://host:1/ws?x=1") == "wss://host:1/ws?x=1"
