"""docs/operations.md is true: its commands run as they stand and in their order, and what it names is there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grpckit.config import CONFIG_VARIABLE
from position_service.settings import PositionSettings
from reconciler_service.settings import ReconcilerSettings
from tests.e2e.processes import BIN, ROOT, Trio, scratch
from trueup_cli.settings import CliSettings

PAGE = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^```bash( stopped)?\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk() -> Iterator[Trio]:
    with scratch() as folder:
        processes = Trio(folder, RECONCILIATION_INTERVAL="3600")
        try:
            processes.begin()
            yield processes
        finally:
            processes.stop()


def facts(listed: dict[str, Any]) -> list[list[Any]]:
    """Of each position what is booked; marks and what venues say of it move on meanwhile."""
    return [
        [one.get(name) for name in ("position_id", "size", "entry_price", "revision")] for one in listed["positions"]
    ]


def test_commands_run_as_they_stand_and_a_restore_brings_everything_back(desk: Trio, tmp_path: Path):
    assert [bool(stopped) for stopped, _ in BLOCKS] == [False, False, False, True, False]
    env = desk.env | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    get = "trueup.position.v1.PositionService/ListPositions"
    before = desk.ask(get)
    for stopped, block in BLOCKS:
        if stopped:
            desk.ask("trueup.position.v1.PositionService/OpenPosition", asset="NEW/USD", size="1", entry_price="1")
            desk.stop()
        for command in block.splitlines():
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if stopped:
            for name in ("venue", "position"):
                desk.start(name)
            restored = desk.ask(get)
            assert facts(restored) == facts(before), "what came after the backup is gone, all else is there"
            desk.start("reconciler")
            desk.settle()


def test_settings_and_files_that_it_names_exist():
    known = {name.upper() for one in (PositionSettings, ReconcilerSettings, CliSettings) for name in one.model_fields}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", PAGE)) - {"STORE_UNAVAILABLE", "NOT_SERVING"}
    elsewhere = {"OTEL_TRACES_SAMPLER", CONFIG_VARIABLE}
    assert named <= known | elsewhere, named - known
    links = re.findall(r"\]\(([^)\s]+)\)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_make_targets_that_it_names_exist():
    targets = set(re.findall(r"`make (\w+)`", PAGE))
    makefile = (ROOT / "Makefile").read_text()
    assert {"lock", "sbom"} <= targets
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)
