"""The pair of deploy/compose.yaml after deploy/secrets.sh, as plain processes: what Envoy and Prometheus stand before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import asyncpg
import yaml

from reconciler_service.simulator import scenario
from tests.e2e.deployed import MODULES, Site
from tests.e2e.processes import BIN, ROOT, Process, environment, free_port

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@contextlib.contextmanager
def simulated_venue(folder: Path) -> Iterator[dict[str, str]]:
    """A simulated venue; the settings by which the Reconciler reads it."""
    port = free_port()
    command = [BIN / "python", "-m", "reconciler_service.simulator", "--port", str(port), "--walk", "0"]
    with Process(command, environment(folder)) as process:
        process.wait_for(f"http://127.0.0.1:{port}")
        yield {
            "VENUES": "simulated",
            "HYPERLIQUID_API_URL": f"http://127.0.0.1:{port}",
            "HYPERLIQUID_KEY": scenario.DESK,
        }


@contextlib.contextmanager
def empty_database(postgres: str) -> Iterator[str]:
    """The DSN of an empty database, for longer than one test."""

    async def execute(statement: str) -> None:
        admin = await asyncpg.connect(postgres)
        await admin.execute(statement)
        await admin.close()

    name = f"t{uuid.uuid4().hex}"
    asyncio.run(execute(f"CREATE DATABASE {name}"))
    try:
        yield postgres.replace("/postgres?", f"/{name}?")
    finally:
        asyncio.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


def prepare(deploy: Path) -> None:
    """Run deploy/secrets.sh."""
    env = environment(deploy, PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    subprocess.run([deploy / "secrets.sh"], env=env, check=True, timeout=60, capture_output=True)


def prepared(folder: Path) -> Path:
    """deploy/ after deploy/secrets.sh, in a place of its own."""
    copy = folder / "project" / "deploy"
    shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns("secrets", ".env"))
    (copy.parent / "protos").symlink_to(ROOT / "protos")  # of which files are mounted
    prepare(copy)
    return copy


def mounted(deploy: Path, service: str) -> dict[str, Path]:
    """What is where in a container, longest path first."""
    pairs = (volume.removesuffix(":ro").split(":") for volume in COMPOSE["services"][service]["volumes"])
    return {target: (deploy / source).resolve() for source, target in sorted(pairs, key=lambda pair: -len(pair[1]))}


class Composed:
    """The services of compose.yaml; a second Position service is at another loopback address, at the same port."""

    def __init__(self, site: Site, deploy: Path) -> None:
        self.site, self.deploy = site, deploy
        self.ca = deploy / "secrets" / "tls" / "ca.pem"
        self._mounts = {name: mounted(deploy, name) for name in (*MODULES, "reconciler-key")}
        self.env = {name: self._settings(name) for name in self._mounts}

    def _settings(self, name: str) -> dict[str, str]:
        given = COMPOSE["services"][name]["environment"]
        return self.site.settings(name.removesuffix("-key"), given, self._mounts[name])

    def make_key(self) -> subprocess.CompletedProcess[str]:
        """Run the container that makes the Reconciler's key."""
        name = "reconciler-key"
        return self.site.run("position", COMPOSE["services"][name]["command"], self.env[name], self._mounts[name])

    def begin(self) -> Self:
        """Start everything, in the order that compose.yaml gives it."""
        self.site.start("position", self.env["position"])
        made = self.make_key()
        assert made.returncode == 0, made.stderr
        self.site.start("reconciler", self.env["reconciler"])
        return self

    def second(self, **settings: str) -> Process:
        """Start another Position service, as --scale does, with HTTP in any case and some settings of its own."""
        ports = {"POSITION_LISTEN": self.site.grpc["position"], "HTTP_LISTEN": self.site.http["position"]}
        own = {setting: f"127.0.0.2:{port}" for setting, port in ports.items()}
        return self.site.start("position", self.env["position"] | own | settings)

    @property
    def root_key(self) -> str:
        return (self.deploy / "secrets" / "position" / "root.key").read_text().strip()


class Names(threading.Thread):
    """A name server for the names of containers, which may change; no other name is known."""

    def __init__(self, addresses: Mapping[str, list[str]]) -> None:
        super().__init__(daemon=True)
        self.addresses = dict(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def run(self) -> None:
        while True:
            asked, caller = self._socket.recvfrom(4096)
            if not asked:
                return
            self._socket.sendto(self._answer(asked), caller)

    def stop(self) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self.join()
        self._socket.close()

    def _answer(self, asked: bytes) -> bytes:
        labels, at = [], 12  # after the header
        while length := asked[at]:
            labels.append(asked[at + 1 : at + 1 + length].decode())
            at += 1 + length
        kind, name = int.from_bytes(asked[at + 1 : at + 3], "big"), ".".join(labels)
        known = name in self.addresses
        found = self.addresses.get(name, []) if kind == 1 else []  # A, no AAAA
        header = asked[:2] + struct.pack("!5H", 0x8180 if known else 0x8183, 1, len(found), 0, 0)
        records = (b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(address) for address in found)
        return header + asked[12 : at + 5] + b"".join(records)
