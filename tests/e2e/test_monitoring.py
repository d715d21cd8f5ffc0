"""The pair as Prometheus sees it: every metric and label that the dashboard and the alerts name is there, and true."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.processes import LOG_STREAM, ROOT, Subscription, Trio, free_port, scratch, wait_until
from tests.e2e.prometheus_tools import MISSING, tool

DEPLOY = ROOT / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "trueup.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [one["expr"] for panel in PANELS for one in panel["targets"]]
WORDS = {"by", "on", "and", "or", "unless", "group_left", "without", "offset", "bool"}
GIVEN = {"job", "instance"}  # labels that Prometheus itself adds
OWN = {"up"}  # and its own metric
# Coinbase tells its time, TLS has certificates; here only that they are shown is seen
SOMETIMES = {"trueup_venue_clock_skew_seconds", "tls_certificate_ends_timestamp_seconds"}
Samples = dict[str, list[dict[str, str]]]


def named(expression: str) -> dict[str, set[str]]:
    """The metrics in an expression, and the labels by which each is selected."""
    found: dict[str, set[str]] = {}
    bare = re.sub(r"\b(by|on|without|group_left)\s*\([^)]*\)", " ", expression)
    for name, matchers, call in re.findall(
        r"(?<!\w)([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?", re.sub(r"\[\w+\]", "", bare)
    ):
        if not call and name not in WORDS:
            found.setdefault(name, set()).update(re.findall(r"(\w+)\s*[=!]~?", matchers))
    return found


def grouped(expression: str) -> set[str]:
    """The labels that an expression groups by."""
    groups = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    return {name.strip() for group in groups for name in group.split(",")}


class Watched(Trio):
    """The pair, each service with a port for HTTP."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **settings)
        ports = {"position": free_port(), "reconciler": free_port()}
        self.own = {name: {"HTTP_LISTEN": f"127.0.0.1:{port}"} for name, port in ports.items()}

    def get(self, name: str, path: str, **headers: str) -> tuple[int, str, Any]:
        """Ask a service over HTTP."""
        request = urllib.request.Request(f"http://{self.own[name]['HTTP_LISTEN']}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def samples(self, name: str) -> Samples:
        """Every sample of a service's /metrics: its labels, by name; the value is the label "value"."""
        found: Samples = {}
        for family in text_string_to_metric_families(self.get(name, "/metrics")[1]):
            found.setdefault(family.name, [])
            for sample in family.samples:
                found.setdefault(sample.name, []).append({**sample.labels, "value": str(sample.value)})
        return found


@pytest.fixture(scope="module")
def pair() -> Iterator[Watched]:
    with scratch() as folder:
        processes = Watched(folder, LOG_FORMAT="json")
        try:
            processes.begin()
            yield processes
        finally:
            processes.stop()


@pytest.fixture(scope="module")
def seen(pair: Watched) -> dict[str, Samples]:
    """What both show after a drift, a refused call, a stream."""
    pair.settle()
    pair.at_venue("trade", coin="BTC", side="buy", size="0.1")
    pair.grpcurl("-d", "{}", pair.position, "trueup.position.v1.PositionService/GetPosition")
    with Subscription(pair.position, pair.env, LOG_STREAM, after_revision=1) as stream:
        stream.wait_bookmark()
        wait_until(lambda: pair.samples("position").get("trueup_drifts"), "a drift on /metrics")
        wait_until(lambda: pair.samples("reconciler").get("trueup_cases_total"), "its case on the other's")
        pair.get("reconciler", "/healthz")
        return {name: pair.samples(name) for name in ("position", "reconciler")}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_is_there(seen: dict[str, Samples], expression: str):
    metrics = named(expression)
    assert metrics
    labels: set[str] = set(GIVEN)
    for metric, matched in metrics.items():
        samples = [sample for service in seen.values() for sample in service.get(metric, [])]
        is_shown = any(metric in service for service in seen.values())
        assert samples or metric in OWN or (is_shown and metric in SOMETIMES), f"{metric} is on neither /metrics"
        labels |= {label for sample in samples for label in sample} or set(grouped(expression))
        assert matched <= labels, metric
    assert grouped(expression) <= labels


@pytest.mark.parametrize("alert", ["CallsFail", "CallsRefused"])
def test_what_is_counted_begins_before_it_happens(seen: dict[str, Samples], alert: str):
    """For each method, or Prometheus would see no increase in the first one."""
    (expression,) = (rule["expr"] for rule in RULES if rule["alert"] == alert)
    ((metric, label, values),) = re.findall(r'(\w+)\{(\w+)=~"([\w|]+)"\}', expression)
    for name, service in (("position", "PositionService/OpenPosition"), ("reconciler", "ReconcilerService/ListDrifts")):
        for value in values.split("|"):
            found = [one["value"] for one in seen[name][metric] if one[label] == value and service in one["method"]]
            assert found == ["0.0"], (service, value)


def test_labels_that_alerts_show_are_there():
    for rule in RULES:
        shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        without = not re.search(r"\b(sum|max|min|absent)\b", rule["expr"])
        assert shown <= grouped(rule["expr"]) | (GIVEN if without else set()), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_has_a_section_in_the_runbook():
    page = (ROOT / "docs" / "operations.md").read_text()
    sections = re.findall(r"^### (\w+)$", page.partition("\n## Runbook\n")[2], flags=re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]


def test_values_are_true(pair: Watched, seen: dict[str, Samples]):
    def value(service: str, metric: str, **labels: str) -> float:
        (found,) = (one for one in seen[service][metric] if labels.items() <= one.items())
        return float(found["value"])

    assert value("position", "trueup_database_up") == value("reconciler", "trueup_position_service_up") == 1
    assert value("reconciler", "trueup_reconciler_active") == 1
    assert value("position", "trueup_drifts", kind="SIZE", status="CONFIRMED") == 1
    assert 0 <= value("position", "trueup_drift_oldest_seconds", kind="SIZE") < 600
    assert value("reconciler", "trueup_cases_total", kind="SIZE") == 1
    detected, confirmed = (f"trueup_drift_{what}_seconds_sum" for what in ("detect", "confirm"))
    assert value("reconciler", "trueup_drift_detect_seconds_count") == 1
    assert 0 < value("reconciler", confirmed) <= value("reconciler", detected) < 600
    assert value("position", "trueup_ledger_positions") == 5
    assert value("position", "trueup_ledger_revision") >= 6
    assert value("position", "trueup_ledger_batch_writes_count") > 0
    assert value("position", "trueup_watches") >= 2  # ours and the Reconciler's
    assert value("reconciler", "trueup_venue_state", venue="hyperliquid", state="OK") == 1
    assert value("reconciler", "trueup_venue_state", venue="coinbase", state="UNCONFIGURED") == 1
    assert 0 <= value("reconciler", "trueup_venue_check_age_seconds", venue="hyperliquid") < 600
    assert 0 < value("reconciler", "trueup_venue_budget_left", venue="hyperliquid") <= 1200
    assert value("position", "grpc_errors_total", reason="INVALID_REQUEST") == 1


def test_a_request_id_crosses_from_http_to_both_logs(pair: Watched):
    drifts = json.loads(pair.get("reconciler", "/v1/drifts")[1])["drifts"]
    path, body = f"/v1/drifts/{drifts[0]['drift_id']}:acknowledge", b'{"reason": "mine"}'
    request = urllib.request.Request(
        f"http://{pair.own['reconciler']['HTTP_LISTEN']}{path}", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        request_id = answer.headers["x-request-id"]
    assert request_id
    for name, method in (("reconciler", "ReconcilerService/AcknowledgeDrift"), ("position", "TransitionDrift")):
        lines = wait_until(
            lambda name=name: [one for one in pair.log(name) if one.get("request_id") == request_id], name
        )
        assert [line["method"].endswith(method) for line in lines] == [True], name


def test_the_calls_of_a_run_bear_its_id(pair: Watched):
    done = json.loads(pair.grpcurl("-H", "x-request-id: ask-1", pair.reconciler, RECONCILE).stdout)
    run_id = done["run"]["run_id"]
    lines = wait_until(lambda: [one for one in pair.log("position") if one.get("request_id") == run_id], "its calls")
    assert any(line["method"].endswith("/RecordRun") for line in lines)
    assert {"event": "reconciled", "request_id": "ask-1", "run_id": run_id}.items() <= {
        key: value for one in pair.log("reconciler") if one.get("run_id") == run_id for key, value in one.items()
    }.items()


RECONCILE = "trueup.reconciler.v1.ReconcilerService/Reconcile"


def test_health_tells_the_truth_of_each_dependency(pair: Watched):
    """Last: it takes the Position service away for a while."""

    def health() -> tuple[int, dict[str, Any]]:
        status, body, _ = pair.get("reconciler", "/healthz")
        return status, json.loads(body)

    service = "trueup.reconciler.v1.ReconcilerService"
    good = {"position_service": "SERVING", "venue/hyperliquid": "SERVING"}
    assert health() == (200, {"status": "SERVING", "services": {service: "SERVING"}, "dependencies": good})
    pair.kill("position")
    wait_until(lambda: health()[0] == 503, "the Reconciler to miss the Position service")
    body = health()[1]
    assert body["services"] == {service: "NOT_SERVING"}
    assert body["dependencies"] == good | {"position_service": "NOT_SERVING"}
    alive = pair.grpcurl(pair.reconciler, "grpc.health.v1.Health/Check")
    assert json.loads(alive.stdout) == {"status": "SERVING"}, "a restart would mend nothing"
    pair.start("position")
    wait_until(lambda: health()[0] == 200, "the Reconciler to find it again")
    assert json.loads(pair.get("position", "/healthz")[1])["dependencies"] == {"database": "SERVING"}


@pytest.mark.skipif(not tool("promtool"), reason=MISSING)
def test_prometheus_itself_takes_rules_and_configuration():
    for what, file in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        command = [tool("promtool"), "check", what, str(DEPLOY / "prometheus" / file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
