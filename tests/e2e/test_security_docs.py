"""docs/security.md is true: its commands run as they stand, in their order, against services that it starts; and what it
promises of secrets holds: none of them is in a log, in the metrics or among the arguments of a process.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from grpckit.limits import Limits
from position_service.settings import PositionSettings
from reconciler_service.settings import ReconcilerSettings
from tests.e2e.processes import BIN, ROOT, Process, environment, free_port, json_objects, running_in, scratch
from trueup_cli.settings import CliSettings

PAGE = (ROOT / "docs" / "security.md").read_text()
BLOCKS = re.findall(r"^```(bash|sh)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
LIST = "trueup.position.v1.PositionService/ListPositions"


class Desk:
    """A folder in which the page's commands run one after the other, and the services that it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.position, self.reconciler, self.http = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self.env = environment(
            folder,
            PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
            POSITION_ADDRESS=self.position,
            POSITION_LISTEN=self.position,
            RECONCILER_ADDRESS=self.reconciler,
            RECONCILER_LISTEN=self.reconciler,
            DB_PATH=str(folder / "db"),
            LOG_LEVEL="DEBUG",
        )
        self.services: list[Process] = []
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        self.commands_seen = ""

    def tell(self) -> None:
        """The page, from top to bottom."""
        for language, block in BLOCKS:
            for line in block.splitlines():
                if language == "sh":
                    self.start(line)
                elif line.startswith("export "):
                    self.export(line)
                else:
                    self.done[line] = self.run(line)

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        line = line.replace("127.0.0.1:50051", self.position).replace("127.0.0.1:8000", self.http)
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def export(self, line: str) -> None:
        names = re.findall(r"(\w+)=", line)
        shown = self.run(f"{line} && " + " && ".join(f'printf "%s\\n" "${name}"' for name in names))
        self.env |= dict(zip(names, shown.stdout.splitlines(), strict=True))

    def start(self, line: str) -> None:
        module = line.removeprefix("python -m ")
        http = self.http if module == "position_service" else "off"
        service = Process([sys.executable, "-m", module], self.env | {"HTTP_LISTEN": http}, self.folder)
        self.services.append(service)
        service.wait_for("is ready")
        self.commands_seen += " ".join(running_in(self.folder).values())

    def secret(self, name: str) -> str:
        return (self.folder / name).read_text().strip()

    def grpcurl(self, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "grpcurl"), *arguments, self.position, LIST]
        env = self.env | {"KEY": key}
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with scratch() as folder:
        made = Desk(folder)
        try:
            made.tell()
            yield made
        finally:
            for service in reversed(made.services):
                service.stop()


def commands() -> list[str]:
    lines = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
    return [line for line in lines if not line.startswith("export ")]


@pytest.mark.parametrize("command", dict.fromkeys(commands()))
def test_command_runs_as_it_stands(desk: Desk, command: str):
    assert desk.done[command].returncode == 0, desk.done[command].stderr + desk.done[command].stdout
    assert "error" not in desk.done[command].stderr


def test_the_key_did_what_the_page_says(desk: Desk):
    opened, listed, over_http = (
        next(done for line, done in desk.done.items() if text in line)
        for text in ("OpenPosition", "ListPositions", "curl -sSf")
    )
    position = next(iter(json_objects(opened.stdout)))["position"]
    assert next(iter(json_objects(listed.stdout)))["positions"][0]["position_id"] == position["position_id"]
    assert position["position_id"] in over_http.stdout
    events = desk.run("TRUEUP_KEY_FILE=root.key trueup positions history BTC/USD --json")
    assert re.search(r'"actor": ?"bot-1/[a-z2-7]{12}"', events.stdout), events


def test_a_key_is_shown_when_no_file_is_named(desk: Desk):
    made = next(done for line, done in desk.done.items() if "--name page" in line)
    (shown,) = json_objects(made.stdout)
    assert {"key_id", "key", "scopes", "accounts"} <= set(shown)
    assert shown["key"].startswith(f"trueup_{shown['key_id']}_")
    got = desk.grpcurl("-cacert", "certs/ca.pem", "-expand-headers", "-H", "x-api-key: ${KEY}", key=shown["key"])
    assert got.returncode == 0, got.stderr


def test_nobody_gets_in_without_trust_or_a_key(desk: Desk):
    secure = ("-cacert", "certs/ca.pem", "-expand-headers")
    assert "certificate" in desk.grpcurl().stderr  # grpcurl's own authorities do not know ours
    assert desk.grpcurl("-plaintext").returncode != 0
    for arguments in (secure, (*secure, "-H", "x-api-key: ${KEY}")):
        refused = desk.grpcurl(*arguments, key="trueup_a_guess")
        assert "Code: Unauthenticated" in refused.stderr
        assert "NO_CREDENTIALS" in refused.stderr
    for name in ("bot-1.key", "bot-1.next.key"):  # revoked at the end of the page
        refused = desk.grpcurl(*secure, "-H", "authorization: Bearer ${KEY}", key=desk.secret(name))
        assert "Code: Unauthenticated" in refused.stderr, name


def test_secrets_are_in_no_log_no_metric_and_no_argument(desk: Desk):
    secrets = [
        desk.secret(name) for name in ("key-pepper", "root.key", "reconciler.key", "bot-1.key", "bot-1.next.key")
    ]
    context = ssl.create_default_context(cafile=str(desk.folder / "certs" / "ca.pem"))
    with contextlib.closing(urllib.request.urlopen(f"https://{desk.http}/metrics", context=context)) as answer:
        metrics = answer.read().decode()
    assert "grpc_calls" in metrics
    logs = "".join(service.output for service in desk.services)
    assert "API key made" in logs
    private = re.sub(r"-----.*-----", "", (desk.folder / "certs" / "server.key").read_text()).split()[0]
    said = "".join(done.stdout + done.stderr for done in desk.done.values())
    for secret in [*secrets, private]:
        parts = {secret, secret.split("_", 2)[-1]}
        for place in (logs, metrics, desk.commands_seen, said):
            assert not any(part in place for part in parts)
    assert "position_service" in desk.commands_seen


def test_what_holds_a_secret_is_its_owners_only(desk: Desk):
    kept = [*desk.folder.glob("*.key"), *desk.folder.glob("certs/*.key"), desk.folder / "key-pepper"]
    assert len(kept) == 8
    assert [file.name for file in kept if file.stat().st_mode & 0o077] == []


def test_up_does_it_all_when_keys_are_required():
    with scratch() as folder:
        position, reconciler, http, simulator = (f"127.0.0.1:{free_port()}" for _ in range(4))
        made = subprocess.run([BIN / "trueup", "certs", "dev", "--folder", folder / "certs"], check=True, timeout=60)
        assert made.returncode == 0
        env = environment(
            folder,
            AUTH="required",
            DB_PATH=str(folder / "db"),
            POSITION_LISTEN=position,
            RECONCILER_LISTEN=reconciler,
            HTTP_LISTEN=http,
            SIMULATOR_LISTEN=simulator,
            TLS_CERT_FILE=str(folder / "certs" / "server.pem"),
            TLS_KEY_FILE=str(folder / "certs" / "server.key"),
            TLS_CA_FILE=str(folder / "certs" / "ca.pem"),
        )

        def trueup(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
            asked = env | {"POSITION_ADDRESS": position, "RECONCILER_ADDRESS": reconciler} | settings
            return subprocess.run(
                [BIN / "trueup", *command], env=asked, capture_output=True, text=True, timeout=120, check=False
            )

        with Process([BIN / "trueup", "up", "--spacing", "3600"], env) as running:
            key = running.wait_for("TRUEUP_KEY_FILE=")[1].partition("TRUEUP_KEY_FILE=")[2].split()[0]
            running.wait_for("reconciled:")
            pasted(running.output, env)
            assert "BTC" in trueup("positions", "list", TRUEUP_KEY_FILE=key).stdout
            assert "main" in trueup("venues", TRUEUP_KEY_FILE=key).stdout
            for command in (("positions", "list"), ("venues",)):
                refused = trueup(*command)
                assert (refused.returncode, refused.stdout) == (1, "")
                assert "set TRUEUP_KEY_FILE" in refused.stderr
            context = ssl.create_default_context(cafile=env["TLS_CA_FILE"])
            with contextlib.closing(urllib.request.urlopen(f"https://{http}/", context=context)) as page:
                assert page.status == 200
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"https://{http}/api/positions/active", context=context)
            found = trueup("doctor", "--table", TRUEUP_KEY_FILE=key)
            assert "security of the Position service: API keys, TLS" in found.stdout
            assert "API keys: 1 are valid" in found.stdout
            stranger = trueup("doctor", "--table")
            assert stranger.returncode == 1
            assert stranger.stdout.count("`trueup keys create` makes one, the first with the root key") == 2
            assert "PROBLEM  reconciliation: an API key is needed" in stranger.stdout
            assert "log" not in stranger.stdout
            assert running.stop() == 0


def pasted(output: str, env: dict[str, str]) -> None:
    """Do in another terminal what the banner says, line by line; streams are ended once they have said something."""
    export, *lines = output.partition("In another terminal:\n")[2].partition("\n\n")[0].splitlines()
    assert len(lines) == 6, output
    says = ("revision", "revision", "BTC", "trueup.reconciler.v1.ReconcilerService", "BTC", "revision")
    for line, text in zip(lines, says, strict=True):
        with Process(["bash", "-c", f"{export}\n{line}"], env) as terminal:
            terminal.wait_for(text)


def test_settings_and_limits_of_the_page_exist():
    known = {
        name.upper()
        for settings in (PositionSettings, ReconcilerSettings, CliSettings)
        for name in settings.model_fields
    }
    known |= {field.name.upper() for field in fields(Limits)}
    tables: Any = re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE)
    named = {name for row in tables for name in re.findall(r"`([A-Z_]{4,})`", row)}
    assert len(named) > 15
    assert named <= known


def test_the_pages_links_lead_somewhere():
    links = re.findall(r"\]\(([^)\s]+)\)", PAGE)
    assert [link for link in links if "://" not in link and not (ROOT / "docs" / link).exists()] == []
