"""README.md is true: its commands run as they stand, its settings, files and targets exist, its sample is what comes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from trueup.reconciler.v1 import reconciler_service_pb2

from grpckit.config import Settings, _default, _names
from grpckit.errors import REASONS
from position_service.embedded import default_folder
from position_service.settings import PositionSettings
from reconciler_service.settings import ReconcilerSettings
from tests.e2e.processes import BIN, ROOT, Process, Up, environment, json_objects, running_in, scratch, wait_until
from trueup_cli.settings import CliSettings

README = (ROOT / "README.md").read_text()
STREAMS = ("StreamDriftEvents", "WatchPositions")
STREAM_S = 15  # a stream does not end; by then it must have said something


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language; "" for those that name none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [text for named, text in found if named == language]


def commands() -> list[str]:
    """The commands of all bash blocks, continued lines joined, comments kept as a shell takes them."""
    found = []
    for block in blocks("bash"):
        joined = block.replace("\\\n", " ")
        found += [line.strip() for line in joined.splitlines() if line.strip()]
    return found


CALLS = ("grpcurl", "curl", "trueup")
RECIPES = [command for command in commands() if command.startswith(CALLS)]
OTHERS = [command for command in commands() if not command.startswith(CALLS)]


def method_of(command: str) -> str:
    return command.rpartition("/")[2].strip()


def is_stream(command: str) -> bool:
    return method_of(command) in STREAMS or command.startswith("curl -N") or " watch" in command


class Run:
    """Runs the recipes in the order of the page, once, and keeps what they printed."""

    def __init__(self, up: Up) -> None:
        self._up = up
        # What stands in for a second terminal in the project folder, with .venv/bin in its path.
        self._env = up.env | {"PATH": f"{BIN}{os.pathsep}{up.env['PATH']}"}
        self._env |= {"POSITION_ADDRESS": up.position, "RECONCILER_ADDRESS": up.reconciler}
        self._env |= {"SIMULATOR_URL": up.wait_for("SIMULATOR_URL=")[1].partition("SIMULATOR_URL=")[2].split()[0]}
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}

    def here(self, command: str) -> str:
        """The default ports may be somebody's: these are the ones of the test."""
        ports = {"50051": self._up.position, "50052": self._up.reconciler, "8000": self._up.http}
        for port, address in ports.items():
            command = command.replace(f"localhost:{port}", address)
        return command

    def run(self, command: str) -> None:
        limit = f"timeout --signal=INT {STREAM_S} " if is_stream(command) else ""
        self.done[command] = subprocess.run(
            ["bash", "-c", limit + self.here(command)],
            cwd=ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def run_all(self) -> None:
        """One after the other, as on the page; streams stay open meanwhile, each in a terminal of its own.

        The command line comes when they have ended: what it makes happen would leave none of them quiet.
        """
        self._run_all([command for command in RECIPES if not command.startswith("trueup")])
        self._run_all([command for command in RECIPES if command.startswith("trueup")])

    def _run_all(self, commands: list[str]) -> None:
        with ThreadPoolExecutor() as terminals:
            streams = []
            for command in commands:
                if is_stream(command):
                    streams.append(terminals.submit(self.run, command))
                else:
                    self.run(command)
            for stream in streams:
                stream.result()

    def answers(self, method: str) -> list[dict[str, Any]]:
        """What the recipe of a method printed; every recipe of it, in order."""
        found = [self.done[command] for command in RECIPES if method_of(command) == method]
        assert found, f"README has no recipe of {method}"
        return [message for done in found for message in json_objects(done.stdout)]


@pytest.fixture(scope="module")
def recipes(up: Up) -> Run:
    """All recipes, run while the story of `make run` is on the screen."""
    up.wait_for("BTC-USD long on coinbase: ")  # the end of the story: now the stream can be quiet
    run = Run(up)
    run.run_all()
    return run


# -- recipes -------------------------------------------------------------------------------------


def test_recipes_are_found():
    assert len(RECIPES) >= 11
    assert {method_of(command) for command in RECIPES} >= set(STREAMS)


@pytest.mark.parametrize("command", RECIPES)
def test_recipe_runs_as_it_stands(recipes: Run, command: str):
    done = recipes.done[command]
    if is_stream(command):
        assert done.returncode == 124, f"a stream ends when its reader does: {done.stderr}"
    else:
        assert done.returncode == 0, done.stderr
    messages = list(json_objects(done.stdout))
    assert messages, f"it printed no message: {done.stdout}"
    assert not any("details" in message for message in messages), f"an error: {done.stdout}"


def test_open_look_take_profit_history(recipes: Run):
    (opened,) = recipes.answers("OpenPosition")
    assert opened["position"]["asset"] == "ARB/USD"
    assert opened["position"]["status"] == "POSITION_STATUS_OPEN"
    (read,) = recipes.answers("GetPosition")
    assert read["position"]["position_id"] == opened["position"]["position_id"]
    assert (read["position"]["size"], read["position"]["entry_price"]) == ("1000", "0.95")
    (reduced,) = recipes.answers("ReducePosition")
    assert reduced["position"]["size"] == "600"
    assert reduced["position"]["realized_pnl"] == "28"  # (1.02 - 0.95) * 400
    (history,) = recipes.answers("ListPositionHistory")
    types = [event["type"].removeprefix("POSITION_EVENT_TYPE_") for event in history["events"]]
    assert types == ["OPENED", "REDUCED"]
    assert history["events"][0]["request_id"] == "my-first"


def test_repeated_request_gets_the_first_answer(recipes: Run):
    """'for ever': after the position has moved on as well."""
    command = next(command for command in RECIPES if '"request_id"' in command)
    first = recipes.done[command]
    recipes.run(command)
    assert json.loads(recipes.done[command].stdout) == json.loads(first.stdout)
    recipes.done[command] = first


def test_reconcile_status_drifts(recipes: Run):
    (reconciled,) = recipes.answers("Reconcile")
    assert reconciled["run"]["trigger"] == "request"
    (status,) = recipes.answers("GetStatus")
    assert {venue["venue"]: venue["state"] for venue in status["venues"]} == {
        "hyperliquid": "OK",
        "coinbase": "OK",
    }
    assert status["position_service_ok"] is True
    (listed,) = recipes.answers("ListDrifts")
    assert {"BTC", "SOL", "ETH", "HYPE"} <= {drift.get("symbol") for drift in listed["drifts"]}
    assert {drift["source"] for drift in listed["drifts"]} == {"SOURCE_SIMULATED"}


def test_streams_begin_with_what_is_open_and_resume(recipes: Run):
    messages = recipes.answers("StreamDriftEvents")
    snapshot = messages[0]
    assert snapshot["phase"] == "STREAM_PHASE_SNAPSHOT"
    assert {"BTC", "SOL", "ETH", "HYPE"} <= {event["drift"].get("symbol") for event in snapshot["events"]}
    resumed = recipes.done[next(command for command in RECIPES if "after_revision" in command)]
    events = [event for message in json_objects(resumed.stdout) for event in message.get("events", [])]
    revisions = [int(event["revision"]) for event in events]
    assert revisions
    assert revisions == sorted(set(revisions))
    assert revisions[0] > 6
    assert all(int(message["revision"]) for message in json_objects(resumed.stdout))


def test_quiet_streams_send_progress_with_the_age_of_the_checks(recipes: Run):
    progress = [m for m in recipes.answers("StreamDriftEvents") if m["phase"] == "STREAM_PHASE_PROGRESS"]
    assert progress
    venue = next(venue for venue in progress[-1]["venues"] if venue["venue"] == "hyperliquid")
    assert venue["last_ok_at"]
    assert int(venue["age_ms"]) < 60_000


def test_watch_positions_begins_with_the_live_ones(recipes: Run):
    messages = recipes.answers("WatchPositions")
    shown = {position["asset"] for message in messages for position in message.get("positions", [])}
    assert {"BTC/USD", "ETH/USD", "ARB/USD"} <= shown
    assert any(message.get("snapshot_end") for message in messages)


def test_history_is_verified(recipes: Run):
    (verified,) = recipes.answers("VerifyHistory")
    assert verified["intact"] is True
    assert int(verified["events_checked"]) >= 7


@pytest.mark.parametrize(("language", "asset"), [("python", "UNI"), ("js", "SUI")])
def test_code_opens_a_position_and_follows_the_drifts(up: Up, recipes: Run, language: str, asset: str, tmp_path: Path):
    (code,) = blocks(language)
    if language == "js" and not shutil.which("node"):
        pytest.skip("node not found: make tools installs it")
    file = tmp_path / ("bot.py" if language == "python" else "bot.mjs")
    file.write_text(recipes.here(code))
    with Process([BIN / "python" if language == "python" else "node", file], up.env | {"PYTHONUNBUFFERED": "1"}) as bot:
        bot.wait_for("opened ")
        bot.wait_for("venue holds nothing, book says ")  # what the story left
        bot.wait_for(f"{asset} long on hyperliquid: ")  # and what this opened at no venue


# -- running it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands_run_and_end(command: str):
    """They say what they are for: --help describes the settings and starts nothing."""
    with scratch() as folder:
        env = environment(folder) | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", f"timeout --kill-after=5 15 {command}"],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        settings = PositionSettings if "position_service" in command else ReconcilerSettings
        for name, field in settings.model_fields.items():
            assert next(iter(_names(name, field))).upper() in done.stdout


def test_off_loopback_needs_tls_or_a_spelled_out_insecure():
    with scratch() as folder:
        for name, module in (("RECONCILER_LISTEN", "reconciler_service"), ("POSITION_LISTEN", "position_service")):
            done = subprocess.run(
                [BIN / "python", "-m", module],
                cwd=ROOT,
                env=environment(folder, **{name: "0.0.0.0:0", "DB_PATH": str(folder / "db")}),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 1
            assert done.stderr.splitlines()[-1].startswith("error: refusing to listen on 0.0.0.0:0 without TLS")
        wait_until(lambda: not running_in(folder), "PostgreSQL to be gone")


# -- settings ------------------------------------------------------------------------------------


def settings_table() -> Iterator[tuple[str, str]]:
    """Each setting of the table with the default that stands beside it."""
    rows = re.findall(r"^\| *(`[A-Z_`, ]+`) *\|([^|]*)\|[^|]*\|$", README, flags=re.MULTILINE)
    for names, defaults in rows:
        name_list = re.findall(r"`([A-Z_]+)`", names)
        default_list = re.findall(r"`([^`]+)`", defaults) or [""] * len(name_list)
        if len(name_list) == 1:
            yield name_list[0], defaults.strip()
        else:
            yield from zip(name_list, default_list, strict=True)


def field_default(settings: type[Settings], variable: str) -> str | None:
    """The default of a setting as --help shows it; None when there is no such setting."""
    for name, field in settings.model_fields.items():
        if variable in {each.upper() for each in _names(name, field)}:
            return _default(field)
    return None


def test_settings_table_is_found():
    assert len(list(settings_table())) >= 11


@pytest.mark.parametrize(("variable", "stated"), list(settings_table()))
def test_setting_exists_with_the_stated_default(variable: str, stated: str):
    defaults = {field_default(settings, variable) for settings in (PositionSettings, ReconcilerSettings)} - {None}
    assert len(defaults) == 1, f"{variable}: {defaults}"
    real = defaults.pop()
    if variable == "DB_PATH":
        as_root, otherwise = re.findall(r"`([^`]+)`", stated)
        expected = as_root if os.geteuid() == 0 else str(Path(otherwise).expanduser())
        assert str(default_folder()) == expected
    elif not stated:
        assert real in {"-", ""}
    else:
        stated = stated.strip("`")
        assert str(real).lower() == stated.lower() or float(str(real)) == float(stated)


def test_settings_outside_the_table_exist_too():
    """Whatever else is written like a setting."""
    mentioned = set(re.findall(r"`([A-Z][A-Z_]{3,})(?:=[^`]*)?`", README))
    mentioned -= {code.name for code in grpc.StatusCode} | REASONS | set(reconciler_service_pb2.ResolveAction.keys())
    for variable in mentioned - {"TRUEUP_CONFIG", "SIMULATED"}:
        known = (field_default(settings, variable) for settings in (PositionSettings, ReconcilerSettings, CliSettings))
        assert any(default is not None for default in known), variable


# -- the rest of the page ------------------------------------------------------------------------


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in link]
    assert len(links) >= 10
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []


def test_modules_named_on_the_page_exist():
    """`servicer.py`, `convert.py`, `domain/decide.py`: three hops to any call."""
    names = set(re.findall(r"`((?:\w+/)*\w+\.py)`", README))
    assert names
    for name in names:
        for package in ("position_service", "reconciler_service"):
            if list((ROOT / package).rglob(name)):
                break
        else:
            pytest.fail(f"no {name}")


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`|\s)make ([a-z]+)(?=`|\s+#)", README, flags=re.MULTILINE))
    assert {"run", "test", "lint", "protos", "help"} <= named
    assert named <= targets


def test_make_lint_does_what_the_page_says():
    recipe = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for tool in ("ruff check", "ruff format --check", "mypy", "buf lint", "buf breaking", "diff -r"):
        assert tool in recipe


def masked(line: str) -> str:
    """A line of output without the time and the numbers, which the market decides."""
    line = re.sub(r"^\d\d:\d\d:\d\d", "TIME", line.strip())
    line = re.sub(r"\(\w+-\d+-\d+-\d+-[AB]\)", "(ID)", line)
    return re.sub(r"-?\d+(?: \d{3})*(?:\.\d+)?", "N", line)


def test_sample_is_what_make_run_shows(up: Up):
    up.wait_for("SOL long on hyperliquid: ")
    sample = next(block for block in blocks("") if "reconciled:" in block)
    shown = [masked(line) for line in up.output.splitlines()]
    at = 0
    for line in sample.splitlines():
        assert masked(line) in shown[at:], f"{masked(line)}\nnot in\n" + "\n".join(shown[at:])
        at += shown[at:].index(masked(line)) + 1


def test_diagram_names_the_real_ports():
    diagram = next(block for block in blocks("") if "gRPC :" in block)
    for settings, name in ((PositionSettings, "position_listen"), (ReconcilerSettings, "reconciler_listen")):
        port = settings.model_fields[name].default.rpartition(":")[2]
        assert f":{port}" in diagram
