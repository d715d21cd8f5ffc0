"""Processes: signals, exit codes, and what a person sees when one cannot start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

STOPS = """
async def main(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopped", flush=True)
"""
HANGS = """
async def main(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.Event().wait()
"""
CANNOT = """
async def main(stop):
    raise StartupError("the port is taken")
"""
DEFECT = """
async def main(stop):
    raise ZeroDivisionError
"""


@contextlib.contextmanager
def process(main: str) -> Iterator[subprocess.Popen[str]]:
    code = f"import asyncio\nfrom grpckit.run import StartupError, run\n{main}\nrun(main)\n"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        try:
            yield child
        finally:
            child.kill()  # harmless when it has ended, which it has unless the test failed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order(number):
    with process(STOPS) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (0, "stopped\n", "")


def test_a_second_signal_stops_at_once():
    with process(HANGS) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == "stopping\n"
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=20)
    assert child.returncode == 128 + signal.SIGTERM


def test_a_start_up_error_is_one_line():
    with process(CANNOT) as child:
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (1, "", "error: the port is taken\n")


def test_a_defect_keeps_its_traceback():
    with process(DEFECT) as child:
        _, err = child.communicate(timeout=20)
    assert child.returncode == 1
    assert "Traceback" in err
