"""What one client may take: calls a second, and streams at once. A client is a key, or an address without keys.

A token bucket for each: it fills at a rate up to a burst, and a call takes one token. What is refused costs a lookup.
"""

from __future__ import annotations

from collections import Counter
from time import perf_counter

import grpc

from grpckit.call import Call
from grpckit.errors import RpcError
from grpckit.limits import Limits

_MOST_CLIENTS = 20_000  # remembered; whoever is forgotten begins with a full bucket


class _Bucket:
    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at


class Clients:
    """An `Admit` for the guard: raises RpcError for a client that takes too much."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buckets: dict[str, _Bucket] = {}
        self._streams: Counter[str] = Counter()

    def __call__(self, call: Call) -> None:
        """Counts a call that begins."""
        client = _client(call)
        self._take(client, call.started)
        if call.method.streams:
            if self._streams[client] >= self._limits.client_streams:
                raise RpcError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "OVERLOADED",
                    f"{self._limits.client_streams} streams of this client are open",
                    retry_after_s=self._limits.overload_retry_s,
                )
            self._streams[client] += 1
            call.is_counted = True

    def left(self, call: Call) -> None:
        """Counts a stream that ended."""
        if call.is_counted:
            client = _client(call)
            self._streams[client] -= 1
            if not self._streams[client]:
                del self._streams[client]

    def _take(self, client: str, now: float) -> None:
        limits, bucket = self._limits, self._buckets.get(client)
        if bucket is None:
            if len(self._buckets) >= _MOST_CLIENTS:
                self._forget()
            bucket = self._buckets[client] = _Bucket(limits.client_burst, now)
        elif now > bucket.at:
            bucket.tokens = min(limits.client_burst, bucket.tokens + (now - bucket.at) * limits.client_calls_per_s)
            bucket.at = now
        if bucket.tokens < 1:
            wait_s = (1 - bucket.tokens) / limits.client_calls_per_s
            raise RpcError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "RATE_LIMITED",
                f"more than {limits.client_calls_per_s:g} calls a second of this client",
                retry_after_s=max(wait_s, limits.rate_retry_s),
            )
        bucket.tokens -= 1

    def _forget(self) -> None:
        """Forgets those whose buckets are full again, or everybody."""
        limits, now = self._limits, perf_counter()
        fill_s = limits.client_burst / limits.client_calls_per_s
        kept = {client: bucket for client, bucket in self._buckets.items() if now - bucket.at < fill_s}
        self._buckets = kept if len(kept) < _MOST_CLIENTS else {}


def _client(call: Call) -> str:
    key = call.who.client if call.who is not None else ""
    return key or call.peer.rpartition(":")[0]  # without the port: connections are cheap
