"""Every limit in one table. Units stand last in the names; a limit that is reached is an error with a reason, never a hang."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one server. Override single ones by setting, e.g. LIMITS__UNARY_IN_FLIGHT=500."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # a misspelt override is an error

    # Unary calls and streams are counted apart: watches would otherwise starve the writes they wait for.
    unary_in_flight: int = 4_096  # above this, queueing only adds latency; refuse while refusing is cheap
    streams_in_flight: int = 10_000  # a watcher costs kilobytes in Python and up to 6 MB in a stalled socket
    public_in_flight: int = 1_000  # health and reflection are open to all, so they need bounds of their own
    public_streams_in_flight: int = 10_000  # health watches: clients hold them for as long as they are connected
    streams_per_connection: int = 1_000  # HTTP/2 streams: one client cannot take all that is above

    # Of one key, where keys are needed.
    client_calls_per_s: float = 5_000.0  # more than a bot needs, less than one server does
    client_burst: float = 10_000.0  # a restart that reads everything at once
    client_streams: int = 2_000  # above a desk's dashboards, below what would shut everybody else out
    stalled_end_s: float = 5.0  # a stream that is ended while its reader takes nothing is cut off after that
    # Of one address, of keys that are not valid, the same one within seconds once: a fleet with old ones stays below.
    failed_keys_per_s: float = 1.0
    failed_keys_burst: float = 100.0

    unary_deadline_s: float = 30.0  # for unary calls that bring no deadline; those would otherwise wait for ever
    overload_retry_s: float = 0.5  # RetryInfo of OVERLOADED: longer than a burst, shorter than a user's patience
    rate_retry_s: float = 0.1  # RetryInfo of RATE_LIMITED, at least
    drain_retry_s: float = 1.0  # RetryInfo of DRAINING: time for a balancer or a restart

    request_bytes: int = 4 * 1024 * 1024  # gRPC's own default; batches are bounded below it
    metadata_bytes: int = 8 * 1024  # soft header limit of both sides; an error's details must fit in it
    metadata_hard_bytes: int = 16 * 1024  # above this the call is refused for certain
    violations_full_bytes: int = 64 * 1024  # larger invalid requests name their first violation only: listing is work

    slow_call_s: float = 1.0  # reads that take longer are logged at INFO

    keepalive_s: float = 30.0  # pings a quiet client, so that middleboxes keep the connection
    ping_timeout_s: float = 10.0  # silence after a ping means dead; gRPC's own default is 60 s
    client_ping_interval_s: float = 10.0  # clients that ping a quiet connection more often are told to calm down
    connection_age_s: float = 1_800.0  # makes clients reconnect, so that balancers see new servers
    connection_age_grace_s: float = 60.0  # calls under way when a connection gets old may still end
    handshake_s: float = 10.0  # TLS handshakes that take longer are attacks or breakage

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:  # written so that NaN is refused as well
                raise ValueError(f"{field.name} must be above zero")
