"""What deploy/ describes, started as plain processes: the same settings, commands, files and probes, where no container
runs. A path in a container is the file that would be mounted there, 0.0.0.0 is loopback, and ports are free ones.
"""

from __future__ import annotations

import base64
import contextlib
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.processes import BIN, Process, environment, free_port

MODULES = {"position": "position_service", "reconciler": "reconciler_service"}
PORTS = {"position": 50051, "reconciler": 50052}


class Site:
    """A place to run the pair in; ``extra`` are settings that no deployment has, e.g. where the simulated venue is."""

    def __init__(self, folder: Path, database: str, **extra: str) -> None:
        self.folder, self._database, self._extra = folder, database, extra
        self.grpc = {name: free_port() for name in MODULES}
        self.http = {name: free_port() for name in MODULES}
        self.running: list[Process] = []

    def settings(self, name: str, given: Mapping[str, str], mounts: Mapping[str, Path]) -> dict[str, str]:
        """A container's environment as it is here; ``name`` is the service whose ports are meant."""
        here = {variable: self.here(name, value, mounts) for variable, value in given.items()}
        if "DATABASE_URL" in here:
            here["DATABASE_URL"] = self._database
        return here | self._extra

    def here(self, name: str, value: str, mounts: Mapping[str, Path]) -> str:
        for mount, source in mounts.items():
            value = value.replace(mount, str(source))
        value = re.sub(r"\$\{\w+:-\}", "", value)  # compose's for what nobody has set
        value = value.replace("0.0.0.0:8000", f"127.0.0.1:{self.http[name]}")
        for service, port in PORTS.items():
            value = value.replace(f"dns:///{service}:{port}", f"dns:///localhost:{self.grpc[service]}")
            value = re.sub(rf"(0\.0\.0\.0|127\.0\.0\.1):{port}", f"127.0.0.1:{self.grpc[service]}", value)
        return value

    def start(self, name: str, env: Mapping[str, str]) -> Process:
        """Start a service; it is ready when this returns."""
        process = Process([sys.executable, "-m", MODULES[name]], environment(self.folder, **env))
        self.running.append(process)
        process.wait_for("is ready")
        return process

    def run(
        self, name: str, command: Sequence[str], env: Mapping[str, str], mounts: Mapping[str, Path] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as in a container of a service: a probe, `trueup`, or a shell with it."""
        words = [self.here(name, word, mounts or {}) for word in command]
        own = {"PATH": f"{BIN}:/usr/bin:/bin"}
        return subprocess.run(
            words, env=environment(self.folder, **env) | own, capture_output=True, text=True, timeout=120, check=False
        )

    def probe(self, name: str, action: Mapping[str, Any], env: Mapping[str, str]) -> bool:
        """What a kubelet finds."""
        if "exec" in action:
            return self.run(name, action["exec"]["command"], env).returncode == 0
        assert action["httpGet"]["scheme"] == "HTTPS"
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        return self.get(name, action["httpGet"]["path"], unchecked)[0] == 200

    def get(self, name: str, path: str, context: ssl.SSLContext) -> tuple[int, str]:
        """Ask a service over HTTPS."""
        request = urllib.request.Request(f"https://127.0.0.1:{self.http[name]}{path}")
        try:
            with contextlib.closing(urllib.request.urlopen(request, context=context, timeout=30)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> None:
        for process in reversed(self.running):
            process.stop()


class Secrets:
    """Secrets of Kubernetes in a folder, each as a kubelet mounts it: files are links into a folder that is swapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def store(self, made: Mapping[str, Any]) -> None:
        """Put a Secret there, or another in its place."""
        target = self.folder / made["metadata"]["name"]
        target.mkdir(parents=True, exist_ok=True)
        data = target / f"..{len(list(target.iterdir()))}"
        data.mkdir()
        for name, value in made["data"].items():
            (data / name).write_bytes(base64.b64decode(value))
            (data / name).chmod(0o400)
            if not (target / name).is_symlink():
                (target / name).symlink_to(f"..data/{name}")
        link = target / "..new"
        link.symlink_to(data.name)
        link.rename(target / "..data")

    def value(self, name: str, key: str) -> str:
        return (self.folder / name / key).read_text()


class Pods:
    """The Deployments of applied manifests."""

    def __init__(self, manifests: Sequence[Mapping[str, Any]], secrets: Secrets) -> None:
        self._specs = {
            each["metadata"]["name"]: each["spec"]["template"]["spec"]
            for each in manifests
            if each["kind"] == "Deployment"
        }
        self._secrets = secrets

    def container(self, name: str) -> dict[str, Any]:
        (container,) = self._specs[name]["containers"]
        return container

    def mounts(self, name: str) -> dict[str, Path]:
        """Where Secrets are mounted. Every one must be there: a pod does not start without."""
        volumes = {each["name"]: each for each in self._specs[name]["volumes"]}
        found = {}
        for mount in self.container(name)["volumeMounts"]:
            if secret := volumes[mount["name"]].get("secret"):
                found[mount["mountPath"]] = self._secrets.folder / secret["secretName"]
                assert found[mount["mountPath"]].is_dir(), f"{name} waits for the Secret {secret['secretName']}"
        return found

    def environment(self, name: str) -> dict[str, str]:
        found = {}
        for one in self.container(name)["env"]:
            if "valueFrom" not in one:
                found[one["name"]] = one["value"]
                continue
            asked = one["valueFrom"]["secretKeyRef"]
            if (self._secrets.folder / asked["name"] / asked["key"]).exists():
                found[one["name"]] = self._secrets.value(asked["name"], asked["key"])
            else:
                assert asked.get("optional"), f"{name} waits for the Secret {asked['name']}"
        return found


def fenced(page: str, tag: str) -> Iterator[str]:
    """The commands of a page's blocks with a tag; what ends in a backslash goes on in the next line."""
    for block in re.findall(rf"^```{tag}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
