"""The benchmark in its short form: that it measures every row it is asked for. What it measures decides nothing here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.bench.speed import ROWS
from tests.e2e.processes import ROOT, environment

NEEDS_H2LOAD = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is missing: make bench installs it")


@NEEDS_H2LOAD
def test_every_row_is_measured_in_order(tmp_path):
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench.speed", "--rounds", "1", "--share", "0.001", "--out", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # goals may be missed on a busy machine
    rows = json.loads(out.read_text())
    assert [row["name"] for row in rows] == [row.name for row in ROWS]
    for row, expected in zip(rows, ROWS, strict=True):
        assert list(row) == ["name", "value", "unit", "yardstick", "ratio", "goal", "met"]
        assert min(row["value"], row["yardstick"], row["ratio"]) > 0
        assert row["goal"] == expected.goal
        assert row["met"] is (row["ratio"] >= row["goal"] if expected.at_least else row["ratio"] <= row["goal"])
        assert expected.what in done.stdout


def test_an_unknown_row_is_refused(tmp_path):
    command = [sys.executable, "-m", "tests.bench.speed", "--only", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such row: nonsense" in done.stderr


def test_calls_are_measured_by_themselves():
    command = [sys.executable, "-m", "tests.bench.bare", "get", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "get: " in done.stdout
