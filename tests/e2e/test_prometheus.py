"""The real Prometheus with deploy/prometheus reads the real services of deploy/compose.yaml: over TLS, by the names in
their certificates. Only addresses are others here, and it looks every two seconds. What the dashboard asks has an answer.
"""

from __future__ import annotations

import json
import math
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.composed import Composed, empty_database, mounted, prepared, simulated_venue
from tests.e2e.deployed import MODULES, Site
from tests.e2e.processes import Process, at_venue, environment, free_port, scratch, wait_until
from tests.e2e.prometheus_tools import MISSING, tool
from tests.e2e.test_monitoring import PANELS, RULES

pytestmark = pytest.mark.skipif(not tool("prometheus"), reason=MISSING)

ASKED = sorted({one["expr"] for panel in PANELS for one in panel["targets"]})
# What has nothing to tell where all is well.
QUIET = {'sum by (venue, outcome) (rate(trueup_scope_reads_total{outcome!="OK"}[5m])) * 60'}


class Prometheus:
    """Prometheus beside the pair."""

    def __init__(self, pair: Composed) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        folder = pair.site.folder / "prometheus"
        folder.mkdir()
        mounts = mounted(pair.deploy, "prometheus")
        config = mounts["/etc/prometheus"] / "prometheus.yml"
        read = yaml.safe_load(config.read_text())
        read["global"] = dict.fromkeys(read["global"], "2s")
        for job in read["scrape_configs"]:
            (found,) = job.pop("dns_sd_configs")
            assert found["port"] == 8000
            job["static_configs"] = [{"targets": [f"127.0.0.1:{pair.site.http[name]}" for name in found["names"]]}]
            job["tls_config"]["ca_file"] = str(mounts[job["tls_config"]["ca_file"]])
        config.write_text(yaml.safe_dump(read))
        self.env = environment(folder)
        self.command = [
            *(tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]

    def ask(self, what: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{query}", timeout=60) as answer:
            told = json.loads(answer.read())
        assert told["status"] == "success", told
        return told["data"]

    def series(self, expression: str) -> list[Any]:
        """What a panel over the last minutes would draw."""
        now = time.time()
        asked = {"query": expression, "start": str(now - 300), "end": str(now), "step": "1"}
        found: list[Any] = self.ask("query_range", **asked)["result"]
        return found


def anybody(pair: Composed) -> ssl.SSLContext:
    """A caller who knows the authority and calls by an address."""
    context = ssl.create_default_context(cafile=pair.ca)
    context.check_hostname = False
    return context


def drawn(series: list[Any]) -> bool:
    """Whether there is a number in it."""
    return any(math.isfinite(float(value)) for one in series for _, value in one["values"])


@pytest.fixture(scope="module")
def prometheus(postgres: str) -> Iterator[Prometheus]:
    with scratch() as folder, empty_database(postgres) as database, simulated_venue(folder) as venue:
        site = Site(folder, database, RECONCILIATION_INTERVAL="2", **venue)
        try:
            pair = Composed(site, prepared(folder)).begin()
            made = Prometheus(pair)
            with Process(made.command, made.env) as running:
                running.wait_for("Server is ready to receive web requests")
                wait_until(lambda: len(made.series("up == 1")) == len(MODULES), "Prometheus to read both")
                at_venue(venue["HYPERLIQUID_API_URL"], "trade", coin="ARB", side="buy", size="1000")
                assert site.get("position", "/v1/positions", anybody(pair))[0] == 401
                yield made
        finally:
            site.stop()


def test_every_service_is_read_over_tls(prometheus: Prometheus):
    def read() -> dict[str, list[str]]:
        targets = prometheus.ask("targets")["activeTargets"]
        assert all(one["scrapeUrl"].startswith("https://") for one in targets)
        return {one["labels"]["job"]: [one["health"], one["lastError"]] for one in targets}

    wait_until(lambda: read() == {name: ["up", ""] for name in MODULES}, "both to be read")


def test_rules_are_evaluated_and_a_drift_is_told(prometheus: Prometheus):
    def loaded() -> list[dict[str, Any]]:
        return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] != "unknown" for rule in loaded()), "the first evaluation")
    assert [rule["name"] for rule in loaded()] == [rule["alert"] for rule in RULES]
    assert {rule["health"]: rule.get("lastError", "") for rule in loaded()} == {"ok": ""}

    def told() -> set[tuple[str, str | None]]:
        alerts = prometheus.ask("alerts")["alerts"]
        return {(one["labels"]["alertname"], one["labels"].get("kind")) for one in alerts}

    # The venue holds what the book has never heard of. One that nobody minds yet is an alert that waits for its minute.
    wait_until(lambda: ("DriftCritical", "MISSING_LOCALLY") in told(), "the alert")


@pytest.mark.parametrize("expression", ASKED)
def test_every_panel_has_its_answer(prometheus: Prometheus, expression: str):
    if expression in QUIET:
        prometheus.series(expression)
    else:
        wait_until(lambda: drawn(prometheus.series(expression)), f"something to draw of {expression}")
