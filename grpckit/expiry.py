"""When certificates end, for /metrics: what a service shows to its callers, and what it presents where it calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from grpckit.config import Settings
from grpckit.errors import StartupError
from grpckit.gauges import Gauges
from grpckit.tls import Calling, Certificate, calling


def expiry(settings: Settings, served: Certificate | None) -> Gauges:
    """Makes the metric. It is about what is used: files that cannot be leave the certificate before where it is."""
    presented: Calling | None = None
    with contextlib.suppress(StartupError):  # for whoever calls with them to say
        presented = calling(settings)

    def read() -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "tls_certificate_ends_timestamp_seconds", "When a certificate ends, seconds since 1970.", labels=["use"]
        )
        chains = {}
        if served is not None:
            served.renew()
            chains["served"] = served.material.chain
        if presented is not None:
            presented.renew()
            chains["presented"] = presented.chain
        for use, chain in chains.items():
            if chain and (ends := _ends(chain)) is not None:
                family.add_metric([use], ends)
        yield family

    return Gauges(read)


def _ends(chain: bytes) -> float | None:
    """Seconds since 1970; None for what TLS takes and this reader does not."""
    from cryptography import x509  # noqa: PLC0415 - takes its time, and only who is scraped needs it

    try:
        return x509.load_pem_x509_certificate(chain).not_valid_after_utc.timestamp()
    except ValueError:
        return None
