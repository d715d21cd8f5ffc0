"""The examples in other languages: each opens a position and follows the drifts through a kill of the Reconciler."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT, Process, Trio, wait_until

EXAMPLES = ROOT / "examples"
BUILD_S = 600.0  # a compiler, or a package registry, on a slow machine
# opened; moved at the venue
SETTINGS = {"python": ("NEAR", "HYPE"), "node": ("AVAX", "SOL"), "cpp": ("DOT", "BTC"), "ruby": ("ATOM", "ETH")}


def needs(*programs: str) -> None:
    if missing := [program for program in programs if not shutil.which(program)]:
        pytest.skip(f"{', '.join(missing)} not found: make tools installs it")


def run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def python() -> list[str | Path]:
    return [sys.executable, EXAMPLES / "python" / "follow_drifts.py"]


def node() -> list[str | Path]:
    needs("node", "npm")
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=EXAMPLES / "node")
    return ["node", EXAMPLES / "node" / "follow_drifts.mjs"]


def cpp() -> list[str | Path]:
    needs("cmake", "g++", "protoc", "grpc_cpp_plugin")
    build = ROOT / "build" / "examples" / "cpp"
    run("cmake", "-B", build, ".", cwd=EXAMPLES / "cpp")
    run("cmake", "--build", build, "-j2", cwd=EXAMPLES / "cpp")
    return [build / "follow_drifts"]


def ruby() -> list[str | Path]:
    needs("ruby", "protoc", "grpc_ruby_plugin")
    if subprocess.run(["ruby", "-rgrpc", "-e", ""], capture_output=True, check=False).returncode:
        pytest.skip("Ruby has no gRPC: make tools installs it")
    example, build = EXAMPLES / "ruby" / "follow_drifts.rb", ROOT / "build" / "examples" / "ruby"
    build.mkdir(parents=True, exist_ok=True)
    head = [line.removeprefix("#").strip().rstrip("\\") for line in example.read_text().splitlines()[:6]]
    compile_ = " ".join(head[2:5]).replace("=build", f"={build}")  # as its own first lines say
    run("bash", "-c", compile_, cwd=EXAMPLES / "ruby")
    return ["ruby", "-I", build, example]


@pytest.mark.parametrize("language", [python, node, cpp, ruby], ids=lambda one: one.__name__)
def test_follows_through_a_kill_without_losing_or_repeating(trio: Trio, language):
    trio.settle()
    opened, moved = SETTINGS[language.__name__]
    with Process([*language(), trio.position, trio.reconciler], trio.env) as example:
        example.wait_for(f"opened {opened} ")
        example.wait_for(f"CONFIRMED {opened}: ")  # the venue does not hold it
        trio.restart("reconciler")
        trio.at_venue("leverage", coin=moved, value=7, mode="cross")  # the book has another one
        example.wait_for(f" {moved}: ")
        shown = [int(number) for number in re.findall(r"^drift (\d+) ", example.output, re.MULTILINE)]
        assert shown == sorted(set(shown)), example.output
    trio.ask("trueup.position.v1.PositionService/ClosePosition", symbol=opened, close_price="1")
    trio.ask("trueup.reconciler.v1.ReconcilerService/Reconcile")
    wait_until(lambda: opened not in still_open(trio), f"the drift of {opened} to end")


def still_open(trio: Trio) -> set[str]:
    listed = trio.ask("trueup.reconciler.v1.ReconcilerService/ListDrifts")
    return {drift["symbol"] for drift in listed.get("drifts", [])}
