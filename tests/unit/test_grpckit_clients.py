"""What one client may take: the bucket, by its own clock, and the streams."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from grpckit import clients
from grpckit.caller import Caller
from grpckit.clients import Clients
from grpckit.errors import RpcError
from grpckit.limits import Limits

LIMITS = Limits(client_calls_per_s=2, client_burst=3, client_streams=2)


def call(at: float = 0.0, *, client: str = "", peer: str = "ipv4:10.0.0.1:5000", streams: bool = False) -> Any:
    who = Caller("a", client=client)
    return SimpleNamespace(started=at, who=who, peer=peer, method=SimpleNamespace(streams=streams), is_counted=False)


def refused(counting: Clients, one: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        counting(one)
    return caught.value


def test_a_burst_then_the_rate():
    counting = Clients(LIMITS)
    for _ in range(3):
        counting(call())
    error = refused(counting, call())
    assert (error.code.name, error.reason, error.retry_after_s) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", 0.5)
    counting(call(0.5))
    refused(counting, call(0.6))
    counting(call(0.4 + 1.0))
    for _ in range(3):  # it never fills above the burst
        counting(call(100.0))
    refused(counting, call(100.0))
    refused(counting, call(99.0))  # calls that began earlier do not fill it again


def test_keys_are_counted_wherever_they_call_from_and_addresses_whatever_their_port():
    counting = Clients(LIMITS)
    for port in range(3):
        counting(call(peer=f"ipv4:10.0.0.1:{port}"))
        counting(call(client="k", peer=f"ipv4:10.0.0.{port}:1"))
    refused(counting, call(peer="ipv4:10.0.0.1:9"))
    refused(counting, call(client="k", peer="ipv4:10.0.0.9:1"))
    counting(call(peer="ipv4:10.0.0.2:1"))
    counting(call(client="l"))


def test_streams_are_counted_while_they_are_open():
    counting = Clients(Limits(client_streams=2))
    first, second = call(streams=True), call(streams=True)
    counting(first)
    counting(second)
    third = call(streams=True)
    assert refused(counting, third).reason == "OVERLOADED"
    counting.left(third)  # it never was open
    refused(counting, call(streams=True))
    counting.left(first)
    counting(call(streams=True))
    counting(call(streams=True, client="k"))


def test_clients_without_end_are_forgotten(monkeypatch):
    monkeypatch.setattr(clients, "_MOST_CLIENTS", 3)
    counting, now = Clients(LIMITS), clients.perf_counter()
    for number in range(3):
        counting(call(now - 10, client=f"old-{number}"))
    for number in range(3):  # the old ones are full again
        counting(call(now, client=f"new-{number}"))
    assert len(counting._buckets) == 3
    counting(call(now, client="one more"))
    assert list(counting._buckets) == ["one more"]
