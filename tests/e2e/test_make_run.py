"""`make run`: what a person sees, what can be pasted, and how it ends."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reconciler_service.simulator import scenario
from tests.e2e.processes import (
    BIN,
    ROOT,
    Trio,
    Up,
    free_port,
    is_serving,
    json_objects,
    running_in,
    scratch,
    wait_until,
)

FIRST_DRIFT_S = 30.0  # a bound on sanity, not on speed
STORY = ("BTC long on hyperliquid", "SOL long on hyperliquid", "ETH short on hyperliquid", "HYPE long on hyperliquid")
STORY_ENDS = "BTC-USD long on coinbase"
READY = "reconciled:"


@pytest.fixture
def folder():
    with scratch() as path:
        yield path


def drift_lines(up: Up) -> list[str]:
    """Of positions: the shares of the venues drift as well while the story is told."""
    return [line for line in up.output.splitlines() if " DRIFT " in line and re.search(" (long|short) on ", line)]


def pasted(up: Up) -> list[str]:
    """The commands that the output offers for another terminal."""
    return [line for line in up.output.splitlines() if "grpcurl -plaintext" in line]


def assert_clean_end(up: Up) -> None:
    """Nothing runs on, nothing is listened to, nobody was surprised."""
    wait_until(lambda: not running_in(up.folder), f"nothing to run: {running_in(up.folder)}", deadline_s=10)
    for address in (up.position, up.reconciler):
        host, _, port = address.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=5)
    assert not list(up.folder.glob("trueup-simulated-*")), "the simulated database is still on disk"
    for told in (up.output, up.logs):
        assert "Traceback" not in told, told
        assert "Task was destroyed" not in told, told


def test_make_run_is_this_command():
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    recipe = subprocess.run(["make", "-n", "run"], cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    assert recipe.splitlines()[-1].split()[-2:] == [".venv/bin/trueup", "up"]


def test_banner_says_simulated_before_anything_else(up: Up):
    up.wait_for("In another terminal")
    assert "SIMULATED: no real exchange, no real money" in "".join(up.output.splitlines()[:3])


def test_first_drift_comes_soon(up: Up):
    at, line = up.wait_for(" DRIFT ")
    assert at - up.began < FIRST_DRIFT_S
    assert "BTC long on hyperliquid: venue holds 0.6, book says 0.5 (+0.1 BTC" in line


def test_five_drifts_in_words(up: Up):
    for who in (*STORY, STORY_ENDS):
        up.wait_for(f"{who}: ")
    lines = drift_lines(up)[:5]
    words = (
        r"WARNING +SIMULATED rev \d+ BTC long .*: venue holds 0\.6, book says 0\.5 \(\+0\.1 BTC, .* never reached the book",
        r"CRITICAL +SIMULATED rev \d+ SOL long .*: venue holds nothing, book says 120 \(-120 SOL, .* closed at the venue",
        r"CRITICAL +SIMULATED rev \d+ ETH short .*: venue holds nothing, book says 4 \(\+4 ETH, .* venue liquidated 4 at",
        r"INFO +SIMULATED rev \d+ HYPE long on hyperliquid: leverage at the venue is 10, book says 3\.",
        r"WARNING +SIMULATED rev \d+ BTC-USD long on coinbase: venue holds 0\.2, book says 0\.3 .* never reached the book",
    )
    for line, expected in zip(lines, words, strict=True):
        assert re.search(expected, line), line
    revisions = [int(re.search(r"rev (\d+)", line)[1]) for line in lines]
    assert revisions == sorted(set(revisions))
    assert up.output.count("would mend it:") >= 5
    assert "fill: bought 0.1 BTC at" in up.output
    assert "liquidation: bought 4 ETH at" in up.output
    assert "setting: leverage 10 at the venue" in up.output


def test_a_pipe_gets_each_line_when_it_happens(up: Up):
    """The story is told three seconds a step: buffered, all of it would arrive at once."""
    arrived = [up.wait_for(step.caption)[0] for step in scenario.steps()]
    gaps = [after - before for before, after in itertools.pairwise(arrived)]
    assert min(gaps) > 1.0, gaps
    btc = up.wait_for("BTC long on hyperliquid")[0]
    assert arrived[0] < btc < arrived[-1]


def test_output_is_plain_text_on_a_pipe(up: Up):
    up.wait_for(" DRIFT ")
    assert "\x1b" not in up.output


def test_pasted_commands_work_verbatim(up: Up):
    up.wait_for("HYPE long on hyperliquid: ")
    commands = pasted(up)
    assert len(commands) == 4

    def paste(command: str) -> subprocess.CompletedProcess[str]:
        # A stream ends when its reader does.
        limit = "timeout --signal=INT 5 " if "StreamDriftEvents" in command else ""
        return subprocess.run(
            ["bash", "-c", limit + command],
            cwd=ROOT,
            env=up.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    with ThreadPoolExecutor() as terminals:
        stream, with_open, positions, services = terminals.map(paste, commands)
    assert positions.returncode == 0, positions.stderr
    assert "BTC/USD" in positions.stdout
    assert services.returncode == 0, services.stderr
    assert "trueup.reconciler.v1.ReconcilerService" in services.stdout.split()
    assert next(json_objects(stream.stdout))["phase"] == "STREAM_PHASE_PROGRESS"
    snapshot = next(json_objects(with_open.stdout))
    assert snapshot["phase"] == "STREAM_PHASE_SNAPSHOT"
    assert {"BTC", "SOL", "ETH", "HYPE"} <= {event["drift"].get("symbol") for event in snapshot["events"]}


def test_the_reconciliation_calls_of_old_scripts_work_word_for_word(up: Up):
    up.wait_for("SOL long on hyperliquid: ")

    def ask(verb: str, path: str) -> dict[str, Any]:
        url = f"http://{up.http}/api/reconciliation/{path}"
        request = urllib.request.Request(url, method=verb, headers={"X-API-Key": "secret"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))

    for verb, path in (("GET", "status"), ("GET", "last"), ("POST", "sync")):
        told = ask(verb, path)
        assert {"timestamp", "exchanges", "total_positions", "assets"} <= set(told)
        assert set(told["exchanges"]) == {"hyperliquid", "coinbase"}
        assert all(set(one) == {"positions", "allocation", "timestamp"} for one in told["exchanges"].values())
        assert told["total_positions"] == sum(one["positions"] for one in told["exchanges"].values())
    shares = ask("GET", "allocation?portfolio_value=100000")["allocations"]
    assert set(shares) == {"hyperliquid", "coinbase"}
    assert all({"target", "actual", "drift", "within_tolerance"} <= set(one) for one in shares.values())
    first = ask("GET", "drift-history?page_size=1")
    rest = ask("GET", f"drift-history?page_token={first['next_page_token']}")
    revisions = [int(drift["revision"]) for drift in (*first["drifts"], *rest["drifts"])]
    assert len(revisions) >= 2
    assert revisions == sorted(revisions, reverse=True)


def test_pasted_grpcurl_is_found_from_another_folder(folder: Path):
    """Started elsewhere, the commands name a grpcurl that can be run from there."""
    with Up(folder, cwd=folder) as own:
        own.wait_for("In another terminal")
        own.wait_for(" list")
        program = shlex.split(pasted(own)[0])[0]
        assert subprocess.run([program, "-version"], cwd=folder, env=own.env, check=False).returncode == 0
        assert own.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ends_in_order(folder: Path, number: signal.Signals):
    """Ctrl-C, a supervisor's SIGTERM, a closed terminal: everything drains, exit code 0."""
    with Up(folder) as own:
        own.wait_for(READY)
        assert len(running_in(folder)) >= 4  # itself, two services, PostgreSQL with its workers
        own.send(number)
        assert own.ended() == 0
        assert own.output.splitlines()[-1].endswith("stopped")
        assert "position service is draining" in own.logs
        assert "reconciler is draining" in own.logs
        assert_clean_end(own)


@pytest.mark.parametrize("moment", ["SIMULATED Hyperliquid at", "Position service at", "the book holds"])
def test_ends_in_order_while_it_starts(folder: Path, moment: str):
    with Up(folder) as own:
        own.wait_for(moment)
        own.send(signal.SIGINT)
        assert own.ended() == 0
        assert_clean_end(own)


@pytest.mark.parametrize("taken", [0, 1], ids=["position", "reconciler"])
def test_taken_port_is_one_line_and_exit_1(folder: Path, taken: int):
    with socket.socket() as holder:
        ports = [free_port(), free_port()]
        holder.bind(("127.0.0.1", ports[taken]))
        holder.listen()
        with Up(folder, ports=(ports[0], ports[1]), keeps_logs=False) as own:
            assert own.ended() == 1
            assert not list(folder.iterdir())
            errors = [line for line in own.output.splitlines() if "error" in line.lower()]
            assert len(own.output.splitlines()) == 1, own.output
            assert errors[0].startswith(f"error: cannot listen on 127.0.0.1:{ports[taken]}: the port is taken")
    wait_until(lambda: not running_in(folder), f"nothing to run: {running_in(folder)}", deadline_s=10)


def test_never_takes_another_pair_for_its_own(folder: Path, trio: Trio):
    """Whoever runs it beside a real pair must not find simulated positions in the real book."""
    listed = "trueup.position.v1.PositionService/ListPositions"
    before = trio.ask(listed)["revision"]
    other = tuple(int(address.rpartition(":")[2]) for address in (trio.position, trio.reconciler))
    with Up(folder, ports=(other[0], other[1])) as own:
        assert own.ended() == 1
        assert "the port is taken" in own.output
    assert trio.ask(listed)["revision"] == before


@pytest.mark.parametrize("module", ["reconciler_service", "position_service"])
def test_a_service_that_dies_is_started_again_and_the_story_goes_on(folder: Path, module: str):
    """Whoever wants to see that nothing is lost may kill either of them."""
    with Up(folder, "--spacing", "1") as own:
        own.wait_for("SOL long on hyperliquid")
        victims = [pid for pid, command in running_in(folder).items() if command.endswith(f"-m {module} ")]
        assert len(victims) == 1
        os.kill(victims[0], signal.SIGKILL)
        own.wait_for(f"{module} ended with code -9: starting it again")
        own.wait_for(f"{module} is back")
        own.wait_for("HYPE long on hyperliquid: ")
        drifts = drift_lines(own)
        revisions = [int(line.partition("rev ")[2].split()[0]) for line in drifts]
        assert revisions == sorted(set(revisions)), "an event was shown twice, or out of order"
        assert {line.partition("rev ")[2].split()[1] for line in drifts} >= {"BTC", "SOL", "ETH", "HYPE"}
        assert own.stop(signal.SIGINT) == 0


def test_with_an_address_it_reads_that_and_says_live(folder: Path, trio: Trio):
    """HYPERLIQUID_KEY decides: no story, no SIMULATED, the venue that the URL names."""
    settings = {"HYPERLIQUID_KEY": scenario.DESK, "HYPERLIQUID_API_URL": trio.venue, "RECONCILIATION_INTERVAL": "1"}
    with Up(folder, "--db-path", str(folder / "db"), **settings) as own:
        own.wait_for("LIVE, read-only: Hyperliquid")
        own.wait_for(" DRIFT ")
        assert "SIMULATED" not in own.output
        assert "at the venue:" not in own.output
        assert own.stop(signal.SIGINT) == 0
        wait_until(lambda: not running_in(folder), f"nothing to run: {running_in(folder)}", deadline_s=10)


def test_once_ends_by_itself_when_the_story_is_told(folder: Path):
    with Up(folder, "--once", "--spacing", "0.5", keeps_logs=False) as own:
        own.wait_for("its log:")
        assert list(folder.glob("trueup-logs-*/position_service.log"))
        assert own.ended() == 0
        assert len(drift_lines(own)) >= 4
        assert_clean_end(own)
        assert not list(folder.glob("trueup-*")), "something is left on disk"


def test_help_answers_without_starting_anything(up: Up):
    done = subprocess.run([BIN / "trueup", "up", "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "HYPERLIQUID_KEY" in done.stdout
    assert is_serving(up.reconciler)
