"""Real processes for end-to-end tests: started, waited for by condition, searched for leftovers, cleaned up by pid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from reconciler_service.simulator import scenario
from trueup_cli.simulated import open_book

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STREAM = "trueup.reconciler.v1.ReconcilerService/StreamDriftEvents"
LOG_STREAM = "trueup.position.v1.ReconciliationLogService/WatchDrifts"
DEADLINE_S = 60.0  # for anything that is waited for; generous, because it decides nothing but hopelessness


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait until the condition returns something true, and return it."""
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {deadline_s:g} s in vain for {what}"
        time.sleep(0.02)
    return found


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
_given: set[int] = set()


def free_port() -> int:
    """A port nobody listens on, outside the range the system hands out by itself to others. None is given twice, also
    not by tests that run beside these.
    """
    while True:
        port = 20_000 + 1_000 * _WORKER + random.randrange(1_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The developer's environment without settings of ours, with the folder for everything temporary."""
    ours = ("HYPERLIQUID_", "COINBASE_", "DATABASE_", "DB_", "POSITION_", "RECONCILER_", "RECONCILIATION_", "TRUEUP_")
    ours += ("SIMULATOR_",)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # A person at a terminal has not set it; only without it does a pipe show what is buffered.
    kept.pop("PYTHONUNBUFFERED", None)
    return kept | {"TMPDIR": str(folder)} | settings


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A short folder that a database of another user may enter. What still runs in it afterwards is killed, by pid."""
    folder = Path(tempfile.mkdtemp(prefix="trueup-e2e-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for pid in running_in(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not running_in(folder), "killed processes to end")
        shutil.rmtree(folder)


def running_in(folder: Path) -> dict[int, str]:
    """Processes that were started with the folder in their environment, or that name it: pid and command."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        # Gone meanwhile, or somebody else's: a zombie has neither command nor environment.
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if str(folder).encode() in command or str(folder).encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


class Process:
    """A process whose output is read as it comes, line by line with the time of arrival."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path = ROOT) -> None:
        self.lines: list[tuple[float, str]] = []
        self.began = time.monotonic()
        self.popen = subprocess.Popen(
            [str(part) for part in command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own, as a shell gives it
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)

    @property
    def output(self) -> str:
        return "".join(line for _, line in list(self.lines))

    def wait_for(self, text: str, deadline_s: float = DEADLINE_S) -> tuple[float, str]:
        """Wait for a line with the text; when it came, and the line."""

        def found() -> tuple[float, str] | None:
            ended = self.popen.poll() is not None and not self._reader.is_alive()
            hit = next((item for item in list(self.lines) if text in item[1]), None)
            assert hit or not ended, f"ended with {self.popen.returncode} before it said {text!r}:\n{self.output}"
            return hit

        hit: tuple[float, str] = wait_until(found, f"{text!r} in:\n{self.output}", deadline_s)
        return hit

    def send(self, number: signal.Signals) -> None:
        """Signal the process group: what a terminal does on Ctrl-C."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def ended(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end; the exit code. All of its output has been read then."""
        code = self.popen.wait(deadline_s)
        self._reader.join(deadline_s)
        assert not self._reader.is_alive(), "somebody it started still holds its output open"
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.popen.poll() is None:
            self.send(number)
        return self.ended()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as lines:
            for line in lines:
                self.lines.append((time.monotonic(), line))


class Up(Process):
    """``trueup up`` on ports of its own; with ``keeps_logs`` what the services wrote can be read afterwards."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        ports: tuple[int, int] | None = None,
        cwd: Path = ROOT,
        keeps_logs: bool = True,
        **settings: str,
    ) -> None:
        self.folder = folder
        options += ("--log-folder", str(folder / "logs")) if keeps_logs else ()
        position, reconciler = ports or (free_port(), free_port())
        self.position, self.reconciler = f"127.0.0.1:{position}", f"127.0.0.1:{reconciler}"
        self.http = f"127.0.0.1:{free_port()}"
        listen = {"POSITION_LISTEN": self.position, "RECONCILER_LISTEN": self.reconciler, "HTTP_LISTEN": self.http}
        listen["SIMULATOR_LISTEN"] = "127.0.0.1:0"
        self.env = environment(folder, **listen, **settings)
        super().__init__([BIN / "trueup", "up", *options], self.env, cwd)

    @property
    def logs(self) -> str:
        """What the services wrote."""
        return "\n".join(file.read_text() for file in sorted(self.folder.glob("logs/*.log")))


class Subscription(Process):
    """grpcurl on the drift stream."""

    def __init__(self, address: str, env: Mapping[str, str], method: str = STREAM, **request: Any) -> None:
        super().__init__([BIN / "grpcurl", "-plaintext", "-d", json.dumps(request), address, method], env)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(json_objects(self.output))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for message in self.messages for event in message.get("events", [])]

    @property
    def revision(self) -> int:
        """The last revision received: what to resume with."""
        return max((int(message.get("revision", 0)) for message in self.messages), default=0)

    def wait_bookmark(self) -> int:
        """Wait until the stream says where it begins."""
        wait_until(lambda: self.revision or self.popen.poll() is not None, "the first message")
        assert self.revision, self.output
        return self.revision

    def wait_past(self, revision: int) -> None:
        """Wait until everything up to a revision has been delivered."""
        wait_until(lambda: self.revision >= revision, f"revision {revision}, got {self.revision}:\n{self.output}")


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The complete JSON objects at the beginning of a text, as grpcurl prints them."""
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find("{", at)) >= 0:
        try:
            found, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return
        yield found


def steps(events: Sequence[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """Events reduced to what identifies them."""
    return [(int(event["revision"]), event["type"], event["drift"]["drift_id"]) for event in events]


class Trio:
    """Simulated venue, Position service and Reconciler as separate processes that can be killed and started again.

    ``settings`` are the services' own, over those of here.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._running: dict[str, Process] = {}
        venue, position, reconciler = free_port(), free_port(), free_port()
        self.position, self.reconciler = f"127.0.0.1:{position}", f"127.0.0.1:{reconciler}"
        self.venue = f"http://127.0.0.1:{venue}"
        usual = {
            "POSITION_LISTEN": self.position,
            "POSITION_ADDRESS": self.position,
            "RECONCILER_LISTEN": self.reconciler,
            "RECONCILER_ADDRESS": self.reconciler,
            "SIMULATOR_URL": self.venue,
            "DB_PATH": str(folder / "db"),
            "VENUES": "simulated",
            "HYPERLIQUID_API_URL": self.venue,
            "HYPERLIQUID_KEY": scenario.DESK,
            "RECONCILIATION_INTERVAL": "1",
            "RECONCILER_LEASE_TTL": "1",
            "PROGRESS_INTERVAL": "1",
            "WATCH_PROGRESS_INTERVAL": "1",
        }
        self.env = environment(folder, **(usual | settings))
        # Marks stand still: only what a test does at the venue makes a drift. Each Reconciler keeps to the venue's budget,
        # but begins anew when it was killed: many kills would only wait for the minute to be over.
        simulator = ("reconciler_service.simulator", "--port", str(venue), "--walk", "0", "--weight", "100000")
        self._commands = {
            "venue": simulator,
            "position": ("position_service",),
            "reconciler": ("reconciler_service",),
        }
        self._addresses = {"position": self.position, "reconciler": self.reconciler}
        self.own: dict[str, dict[str, str]] = {}  # settings of one process alone, by its name

    def begin(self) -> None:
        """Start everything, and have a book that the venue agrees with."""
        self.start("venue")
        self._running["venue"].wait_for(self.venue)
        self.start("position")
        asyncio.run(open_book(self.position))
        self.start("reconciler")

    def start(self, name: str) -> None:
        """Start a process, or start it again at the same port; it serves when this returns."""
        module, *options = self._commands[name]
        env = self.env | self.own.get(name, {})
        process = self._running[name] = Process([sys.executable, "-m", module, *options], env)
        if address := self._addresses.get(name):
            wait_until(lambda: process.popen.poll() is not None or is_serving(address), f"{name} to serve")
            assert process.popen.poll() is None, f"{name} ended:\n{process.output}"

    def log(self, name: str) -> list[dict[str, Any]]:
        """The lines that a process has logged, of those in JSON."""
        lines = (line for line in self._running[name].output.splitlines() if line.startswith("{"))
        return [json.loads(line) for line in lines]

    def kill(self, name: str) -> None:
        """Kill -9."""
        assert self._running[name].stop(signal.SIGKILL) == -signal.SIGKILL

    def restart(self, name: str) -> None:
        self.kill(name)
        self.start(name)

    def stop(self) -> None:
        """Stop all that runs, as an operator would."""
        for name in ("reconciler", "position", "venue"):
            if process := self._running.get(name):
                process.stop(signal.SIGTERM)

    def at_venue(self, operation: str, **fields: Any) -> None:
        """Do something at the venue that the book never hears of."""
        at_venue(self.venue, operation, **fields)

    def subscribe(self, **request: Any) -> Subscription:
        return Subscription(self.reconciler, self.env, **request)

    def grpcurl(self, *arguments: str, deadline_s: float = DEADLINE_S) -> subprocess.CompletedProcess[str]:
        """Run grpcurl to its end."""
        return subprocess.run(
            [BIN / "grpcurl", "-plaintext", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )

    def ask(self, method: str, **request: Any) -> dict[str, Any]:
        """A unary call of either service that must succeed."""
        address = self.reconciler if "reconciler" in method else self.position
        done = self.grpcurl("-d", json.dumps(request), address, method)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def head(self) -> int | None:
        """Where the drift log stands; None while the Reconciler has no Position service to ask."""
        request = json.dumps({"statuses": ALL_STATUSES, "page_size": 1000})
        done = self.grpcurl("-d", request, self.reconciler, "trueup.reconciler.v1.ReconcilerService/ListDrifts")
        if done.returncode:
            assert "STORE_UNAVAILABLE" in done.stderr or "Failed to dial" in done.stderr, done.stderr
            return None
        return max((int(drift["revision"]) for drift in json.loads(done.stdout).get("drifts", [])), default=0)

    def settle(self) -> None:
        """Wait until the services have found each other again."""
        wait_until(lambda: self.head() is not None, "the Reconciler to reach the Position service")

    def next_revision(self, after: int) -> int:
        """Wait until the drift log has moved on; where it stands then."""
        seen: list[int] = []

        def moved() -> bool:
            seen.append(self.head() or 0)
            return seen[-1] > after

        wait_until(moved, f"a drift event after revision {after}")
        return seen[-1]

    def log_after(self, revision: int, until: int) -> list[tuple[int, str, str]]:
        """What happened between two revisions: asked of the Position service itself, past whatever may have gone wrong
        in the Reconciler, and of a new subscriber of the Reconciler, who must be told the same.
        """
        log = Subscription(self.position, self.env, LOG_STREAM, after_revision=revision)
        with log, self.subscribe(after_revision=revision) as fresh:
            log.wait_past(until)
            fresh.wait_past(until)
            told, again = ([step for step in steps(each.events) if step[0] <= until] for each in (log, fresh))
        assert again == told
        revisions = [step[0] for step in told]
        assert revisions == sorted(set(revisions)), "repeated or out of order"
        return told


def at_venue(url: str, operation: str, **fields: Any) -> None:
    """Do something at a simulated venue by its control API."""
    body = json.dumps(fields).encode()
    request = urllib.request.Request(
        f"{url}/control/{operation}", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


ALL_STATUSES = [f"DRIFT_STATUS_{name}" for name in ("CONFIRMED", "ACKNOWLEDGED", "SNOOZED", "RESOLVED")]


def is_serving(address: str) -> bool:
    """Whether the service at an address says that it serves."""
    with grpc.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
