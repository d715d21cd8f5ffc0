"""Counting by bucket, and metrics that are read when asked for."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily

from grpckit import version
from grpckit.gauges import Gauges, build_info, gauge
from grpckit.histogram import Histogram
from grpckit.version import own_version
from tests.conftest import ROOT
from tests.e2e.processes import BIN


def test_buckets_are_cumulative_and_their_bounds_inclusive():
    counted = Histogram((1, 10))
    for value in (0, 1, 1.5, 10, 11, 1_000):
        counted.observe(value)
    family = counted.into(HistogramMetricFamily("x", "", labels=["of"]), "a")
    assert {(one.name, one.labels.get("le")): one.value for one in family.samples} == {
        ("x_bucket", "1.0"): 2,
        ("x_bucket", "10.0"): 4,
        ("x_bucket", "+Inf"): 6,
        ("x_count", None): 6,
        ("x_sum", None): 1023.5,
    }


def test_gauges_are_read_when_asked_and_gone_when_closed():
    registry, value = CollectorRegistry(), [1.0]
    shown = Gauges(lambda: [gauge("now", "", value[0])], registry)
    shown.close()  # never opened: harmless
    assert registry.get_sample_value("now") is None
    shown.open()
    value[0] = 2.0
    assert registry.get_sample_value("now") == 2.0
    shown.close()
    shown.close()
    assert registry.get_sample_value("now") is None


def test_two_services_in_one_process_are_both_shown():
    registry = CollectorRegistry(auto_describe=True)
    for name in ("position", "reconciler"):
        Gauges(lambda name=name: [build_info(name)], registry).open()
    shown = generate_latest(registry).decode()
    for name in ("position", "reconciler"):
        assert f'trueup_build_info{{service="{name}",version="{own_version()}"}} 1.0' in shown


def test_the_version_is_that_of_the_project(monkeypatch: pytest.MonkeyPatch):
    (stated,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert own_version() == stated

    def missing(_name: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(version, "version", missing)
    assert own_version() == "unknown"


@pytest.mark.parametrize("command", ["trueup", "position_service", "reconciler_service"])
def test_every_command_says_its_version(command: str):
    words = [BIN / command] if command == "trueup" else [sys.executable, "-m", command]
    done = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == f"trueup {own_version()}"


def test_the_changelog_begins_with_what_is_coming_or_the_version():
    headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert own_version() in headings
