"""Every Python that is promised: from the wheel alone, in an empty environment, the pair runs and finds its drifts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT, environment, free_port, scratch

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROMISED = sorted(
    {
        line.rpartition(" ")[2]
        for line in PROJECT["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    }
)
STORY_ENDS = "BTC-USD long on coinbase: venue holds 0.2, book says 0.3"


def run(folder: Path, *command: object, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run something in a folder that is not the checkout, which would stand in for what is missing."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | settings
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def interpreter(version: str) -> str:
    """On the path, or one of pyenv's, whose shim does nothing until it is chosen. Skips where there is none."""
    name = f"python{version}"
    others = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/{name}")
    for found in filter(None, (shutil.which(name), *map(str, others))):
        if run(ROOT.parent, found, "-c", "import venv, ensurepip").returncode == 0:
            return found
    pytest.skip(f"no {name} on this machine")


def test_the_oldest_is_the_one_that_is_required():
    assert PROMISED == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={PROMISED[0]}"


@pytest.mark.parametrize("version", PROMISED)
def test_the_wheel_runs_the_pair(version: str, tmp_path: Path):
    home = tmp_path / "env"
    made = run(tmp_path, interpreter(version), "-m", "venv", home)
    assert made.returncode == 0, made.stderr
    pip = (home / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    built = run(tmp_path, *pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    assert built.returncode == 0, built.stderr
    installed = run(tmp_path, *pip, "install", *tmp_path.glob("*.whl"))
    assert installed.returncode == 0, installed.stderr
    names = ("POSITION_LISTEN", "RECONCILER_LISTEN", "HTTP_LISTEN", "SIMULATOR_LISTEN")
    with scratch() as folder:  # PostgreSQL leaves root for somebody who may not enter pytest's own
        where = environment(folder, **{name: f"127.0.0.1:{free_port()}" for name in names})
        told = run(folder, home / "bin" / "trueup", "up", "--once", "--spacing", "0.5", **where)
    assert told.returncode == 0, told.stderr
    assert STORY_ENDS in told.stdout
    assert "Traceback" not in told.stdout + told.stderr
