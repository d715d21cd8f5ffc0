"""When certificates end, for /metrics: what a service shows to its callers, and what it presents where it calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric

from grpckit.config import Settings
from grpckit.gauges import Gauges


def expiry(settings: Settings) -> Gauges:
    """Makes the metric. The files are read for each scrape: it is about what they hold now."""

    def read() -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "tls_certificate_ends_timestamp_seconds", "When a certificate ends, seconds since 1970.", labels=["use"]
        )
        for use, file in (("served", settings.tls_cert_file), ("presented", settings.tls_client_cert_file)):
            if file is not None and (ends := _ends(file)) is not None:
                family.add_metric([use], ends)
        yield family

    return Gauges(read)


def _ends(file: Path) -> float | None:
    """Seconds since 1970; None for what is no certificate, which whoever uses it has logged."""
    from cryptography import x509  # noqa: PLC0415 - takes its time, and only who is scraped needs it

    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None
