"""The examples in other languages: each opens a position and follows the drifts through a kill of the Reconciler."""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from trueup.position.v1 import position_pb2, position_service_pb2, position_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2

from tests.e2e.processes import ROOT, Process, Trio, wait_until

EXAMPLES = ROOT / "examples"
BUILD_S = 600.0  # a compiler, or a package registry, on a slow machine
# opened; moved at the venue
SETTINGS = {
    "python": ("NEAR", "HYPE"),
    "node": ("AVAX", "SOL"),
    "cpp": ("DOT", "BTC"),
    "ruby": ("ATOM", "ETH"),
    "go": ("ADA", "ARB"),
    "java": ("XRP", "kPEPE"),
}
NOT_IN_THE_BOOK = {"ARB", "kPEPE"}
INTERRUPTED = (0, 128 + signal.SIGINT)


def needs(*programs: str) -> None:
    if missing := [program for program in programs if not shutil.which(program) and not Path(program).exists()]:
        pytest.skip(f"{', '.join(missing)} not found: make tools installs it")


def run(*command: str | Path, cwd: Path) -> None:
    words = [str(part) for part in command]
    env = os.environ | {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}  # for a short life
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=BUILD_S, check=False)
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
    return as_it_says(EXAMPLES / "ruby" / "follow_drifts.rb")


def go() -> list[str | Path]:
    needs("go", "protoc", "protoc-gen-go", "protoc-gen-go-grpc", "/usr/share/gocode/src/google.golang.org/grpc")
    return as_it_says(EXAMPLES / "go" / "follow_drifts.go")


def java() -> list[str | Path]:
    jars = ("grpc-netty", "guava", "netty-codec-http2", "perfmark-api", "protobuf", "geronimo-annotation-1.3-spec")
    needs("javac", "protoc", "grpc_java_plugin", *(f"/usr/share/java/{jar}.jar" for jar in jars))
    return as_it_says(EXAMPLES / "java" / "FollowDrifts.java")


def as_it_says(example: Path) -> list[str | Path]:
    """Do what the first lines of an example say, in a folder as deep as its own; the command that then runs it."""
    folder = ROOT / "build" / f"example-{example.parent.name}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(example, folder)
    comment = example.read_text().splitlines()[2:]
    lines = [line.lstrip("/#").strip() for line in itertools.takewhile(lambda line: len(line) > 2, comment)]
    *build, start = re.split(r"(?<!\\)\n", "\n".join(lines))
    run("bash", "-ec", "\n".join(build), cwd=folder)
    told = "\n".join(line for line in build if line.startswith("export "))
    return ["bash", "-ec", f'cd {folder}\n{told}\nexec {start.partition(" [")[0]} "$@"', "example"]


EACH = pytest.mark.parametrize("language", [python, node, cpp, ruby, go, java], ids=lambda one: one.__name__)


@functools.cache
def built(language: Callable[[], list[str | Path]]) -> list[str | Path]:
    """The command that runs an example; what is to be built is built once."""
    return language()


@EACH
def test_follows_through_a_kill_without_losing_or_repeating(trio: Trio, language):
    trio.settle()
    opened, moved = SETTINGS[language.__name__]
    with Process([*built(language), trio.position, trio.reconciler], trio.env) as example:
        example.wait_for(f"opened {opened} ")
        example.wait_for(f"CONFIRMED {opened}: ")  # the venue does not hold it
        trio.restart("reconciler")
        if moved in NOT_IN_THE_BOOK:
            trio.at_venue("trade", coin=moved, side="buy", size="1000")
        else:
            trio.at_venue("leverage", coin=moved, value=7, mode="cross")  # the book has another one
        example.wait_for(f" {moved}: ")
        shown = [int(number) for number in re.findall(r"^drift (\d+) ", example.output, re.MULTILINE)]
        assert shown == sorted(set(shown)), example.output
        assert example.stop(signal.SIGINT) in INTERRUPTED, example.output
    if moved in NOT_IN_THE_BOOK:
        trio.at_venue("close", coin=moved)
    trio.ask("trueup.position.v1.PositionService/ClosePosition", symbol=opened, close_price="1")
    trio.ask("trueup.reconciler.v1.ReconcilerService/Reconcile")
    over = {opened} | ({moved} & NOT_IN_THE_BOOK)
    wait_until(lambda: not over & still_open(trio), f"the drifts of {over} to end")


def still_open(trio: Trio) -> set[str]:
    listed = trio.ask("trueup.reconciler.v1.ReconcilerService/ListDrifts")
    return {drift["symbol"] for drift in listed.get("drifts", [])}


class Forgetful(
    reconciler_service_pb2_grpc.ReconcilerServiceServicer, position_service_pb2_grpc.PositionServiceServicer
):
    """Both services as after a long absence of the caller: revision 5 is pruned, and the list is there at the second try."""

    def __init__(self) -> None:
        self.asked: list[int] = []  # the revisions streams were resumed after
        self.lists = 0

    def OpenPosition(self, request: Any, context: Any) -> position_service_pb2.OpenPositionResponse:
        opened = position_pb2.Position(symbol=request.asset, size=request.size, entry_price=request.entry_price)
        return position_service_pb2.OpenPositionResponse(position=opened)

    def StreamDriftEvents(self, request: Any, context: Any) -> Iterator[pb.StreamDriftEventsResponse]:
        self.asked.append(request.after_revision)
        if request.after_revision == 5:
            context.abort(grpc.StatusCode.OUT_OF_RANGE, "pruned")
        event = drift_pb2.DriftEvent(drift=drift_pb2.Drift(revision=3, symbol="OPEN"))
        yield pb.StreamDriftEventsResponse(events=[event] if request.include_open else [])
        yield pb.StreamDriftEventsResponse(revision=max(5, request.after_revision))
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    def ListDrifts(self, request: Any, context: Any) -> pb.ListDriftsResponse:
        self.lists += 1
        if self.lists == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return pb.ListDriftsResponse(drifts=[drift_pb2.Drift(revision=90, symbol="LISTED")], revision=99)


@EACH
def test_what_is_pruned_is_listed_and_followed_from_there(language):
    service, server = Forgetful(), grpc.server(futures.ThreadPoolExecutor(4))
    position_service_pb2_grpc.add_PositionServiceServicer_to_server(service, server)
    reconciler_service_pb2_grpc.add_ReconcilerServiceServicer_to_server(service, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        with Process([*built(language), address, address], os.environ) as example:
            wait_until(lambda: service.asked[-2:] == [99, 99] or example.popen.poll() is not None, "it to go on")
            assert example.popen.poll() is None, example.output
            assert re.findall(r"^drift (\d+) ", example.output, re.MULTILINE) == ["3", "90"]
        assert set(service.asked) == {0, 5, 99}
        assert service.lists == 2
    finally:
        server.stop(None).wait()
