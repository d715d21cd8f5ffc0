"""The limits of the HTTP edge, in one table. Those of the services behind it are grpckit.limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeLimits:
    """What one edge takes on. A limit that is reached is an error with a reason."""

    body_bytes: int = 4 * 1024 * 1024  # what the services take; also counted after decompression
    body_s: float = 20.0  # a body that trickles in holds memory for as long as it likes
    line_bytes: int = 8_190  # the request line: long lists belong into a body
    header_bytes: int = 8_190  # one header
    headers: int = 64
    credential_bytes: int = 4_096  # one forwarded header: the services refuse 8 KiB of metadata
    parameters: int = 1_000  # in a query

    unary_s: float = 35.0  # longer than the services' own 30 s, whose answer says more
    health_s: float = 2.0
    idle_s: float = 75.0  # kept-alive connections without a request

    streams: int = 1_000  # at once: each service takes as many on one connection
    first_message_s: float = 0.5  # a stream refused within it is an error status, later it is the stream's last line
    heartbeat_s: float = 10.0  # comments on a quiet event stream: proxies cut silent ones after 30 to 60 s
    stalled_s: float = 30.0  # a reader that takes nothing for so long has gone
    retry_s: float = 2.0  # what event streams tell browsers to wait before they come back
