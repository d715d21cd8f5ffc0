"""Keys that are not valid, counted by where they come from: who tries one after the other is told to wait.

One number for each: until when what it has failed is forgiven. It is not asked about keys that are known, so nobody who
calls with a good one pays for a neighbour behind the same address, but for the one call by which the key becomes known.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from urllib.parse import unquote

import grpc

from grpckit.errors import RpcError
from grpckit.limits import Limits

_MOST = 20_000  # remembered
_SITE_BITS = 64  # of an IPv6 address: a customer has all of the rest


class Guesses:
    """Who may try another key. Times are seconds of any one clock."""

    def __init__(self, limits: Limits) -> None:
        self._each_s = 1 / limits.failed_keys_per_s
        self._allowed_s = limits.failed_keys_burst * self._each_s
        self._forgiven_at: dict[str, float] = {}

    def tried(self, who: str, now: float) -> None:
        """Counts a key before anybody looks it up, or many at once would all get through.

        Raises RATE_LIMITED for who has failed too often.
        """
        forgiven_at = max(now, self._forgiven_at.get(who, now))
        wait_s = forgiven_at - now - self._allowed_s + self._each_s
        if wait_s > 0:
            message = "too many keys that are not valid came from this address: wait before trying another"
            raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", message, retry_after_s=wait_s)
        if who not in self._forgiven_at and len(self._forgiven_at) >= _MOST:
            kept = {other: until for other, until in self._forgiven_at.items() if until > now}
            self._forgiven_at = kept if len(kept) < _MOST else {}
        self._forgiven_at[who] = forgiven_at + self._each_s

    def no_guess(self, who: str) -> None:
        """Takes back what was counted: the key was valid, or nobody could say."""
        if who in self._forgiven_at:
            self._forgiven_at[who] -= self._each_s


def site(peer: str) -> str:
    """Where a caller is, by what gRPC calls its peer: without the port, and of IPv6 the network it has to itself."""
    address = unquote(peer.rpartition(":")[0])
    if not address.startswith("ipv6:"):
        return address
    try:
        number = int(IPv6Address(address.removeprefix("ipv6:").strip("[]").partition("%")[0]))
    except ValueError:
        return address
    return f"ipv6:{IPv6Address(number >> _SITE_BITS << _SITE_BITS)}"
