"""What deploy/ describes works together: certificates, keys, probes, names, what Prometheus is told, rotation. Without
containers: the settings, commands and files of compose.yaml, and of the manifests with the Secrets that
docs/operations.md says how to make, run as plain processes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from tests.e2e.composed import COMPOSE, DEPLOY, Composed, mounted, prepare, prepared, simulated_venue
from tests.e2e.deployed import MODULES, PORTS, Pods, Secrets, Site, fenced
from tests.e2e.processes import BIN, ROOT, Process, environment, json_objects, scratch, wait_until

PAGE = (ROOT / "docs" / "operations.md").read_text()
SCRAPES = {
    each["job_name"]: each
    for each in yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
}
LIST = "trueup.position.v1.PositionService/ListPositions"
DOCTOR = ["trueup", "doctor", "--table"]


@pytest.fixture
def venue() -> Iterator[dict[str, str]]:
    with scratch() as folder, simulated_venue(folder) as settings:
        yield settings


@pytest.fixture
def site(database: str, venue: dict[str, str], tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, database, **venue)
    try:
        yield made
    finally:
        made.stop()


def trusting(ca: Path, name: str) -> ssl.SSLContext:
    """As Prometheus is told to: this CA, and this name whatever the address."""

    class Named(ssl.SSLContext):
        def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
            return super().wrap_socket(*arguments, **options | {"server_hostname": name})

    context = Named(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    return context


def names_in(chain: Path) -> set[str]:
    shown = x509.load_pem_x509_certificate(chain.read_bytes())
    return set(
        shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    )


def grpcurl(site: Site, ca: Path, *headers: str) -> str:
    """What becomes of a listing of positions."""
    words = [part for header in headers for part in ("-H", header)]
    command = [BIN / "grpcurl", "-cacert", ca, "-protoset", ROOT / "protos/gen/trueup/plain.binpb", *words]
    command += [f"localhost:{site.grpc['position']}", LIST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def reaches_the_position_service(log: Process) -> None:
    wait_until(lambda: '"event": "active"' in log.output or '"active"' in log.output, "the Reconciler to be active")


# Compose


def test_compose_runs_with_tls_and_keys(site: Site, tmp_path: Path):
    pair = Composed(site, prepared(tmp_path)).begin()
    again = pair.make_key()
    assert (again.returncode, again.stdout) == (0, ""), "it is made once"
    for name in MODULES:
        test = COMPOSE["services"][name]["healthcheck"]["test"][1:]
        wait_until(
            lambda name=name, test=test: site.run(name, test, pair.env[name]).stdout == "SERVING\n",
            f"{name} to serve",
        )
        tls = SCRAPES[name]["tls_config"]
        assert mounted(pair.deploy, "prometheus")[tls["ca_file"]] == pair.ca
        assert "grpc_calls" in site.get(name, "/metrics", trusting(pair.ca, tls["server_name"]))[1]
        assert site.get(name, "/v1/positions", trusting(pair.ca, name))[0] in {401, 404}
    reaches_the_position_service(site.running[-1])
    assert "Unauthenticated" in grpcurl(site, pair.ca)
    assert "{" in grpcurl(site, pair.ca, f"x-api-key: {pair.root_key}")
    told = site.run("position", DOCTOR, pair.env["position"])
    assert "security of the Position service: API keys, TLS" in told.stdout, told.stdout
    assert "PROBLEM" not in told.stdout, told.stdout


def test_secrets_are_made_once_and_certificates_anew(tmp_path: Path):
    deploy = prepared(tmp_path)
    secrets = deploy / "secrets"
    before = {file: file.read_bytes() for file in (deploy / ".env", *secrets.rglob("*")) if file.is_file()}
    prepare(deploy)
    new = {file.name for file, content in before.items() if file.read_bytes() != content}
    assert new == {"server.pem", "server.key", "client.pem", "client.key"}
    assert names_in(secrets / "tls" / "server.pem") >= {"position", "reconciler", "envoy", "localhost"}
    assert not list(secrets.glob("[!c]*/ca.key")), "the authority's own key is in no container"
    shown = {file.name for file in secrets.rglob("*") if file.is_file() and file.stat().st_mode & 0o077}
    assert shown == {"ca.pem"}
    lines = dict(line.split("=", 1) for line in (deploy / ".env").read_text().splitlines())
    assert len(lines["POSTGRES_PASSWORD"]) == 32
    assert re.fullmatch(r"[1-9]\d*:\d+", lines["TRUEUP_USER"]), "services are not root"
    asked = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    assert asked == set(lines)


# Kubernetes

SHIM = """
import json, os, subprocess, sys
folder, words = {folder!r}, [word for word in sys.argv[1:]]
if words[:2] in (["-n", "trueup"], ["-n", "bots"]):
    words = words[2:]
if words[0] == "create":
    sys.exit(subprocess.run([{kubectl!r}, *words, "--dry-run=client", "-o", "json"]).returncode)
if words[:2] == ["apply", "-f"]:
    sys.stdout.write(sys.stdin.read() if words[2] == "-" else open(words[2]).read())
elif words[:2] == ["apply", "-k"]:
    sys.exit(subprocess.run([{kubectl!r}, "kustomize", words[2]]).returncode)
elif words[0] == "exec":
    assert words[1:3] == ["deploy/position", "--"], words
    os.execvpe(words[3], words[3:], os.environ | json.load(open(os.path.join(folder, "pod.json"))))
else:
    assert words[:2] == ["rollout", "status"], words
"""


class Cluster:
    """A kubectl that makes Secrets and builds manifests as the real one does, and runs the pods as processes."""

    def __init__(self, site: Site) -> None:
        self.site, self.secrets = site, Secrets(site.folder / "secrets")
        self.pods: Pods | None = None
        shim = site.folder / "bin" / "kubectl"
        shim.parent.mkdir()
        real = shutil.which("kubectl")
        shim.write_text(f"#!{BIN}/python\n" + SHIM.format(folder=str(site.folder), kubectl=real))
        shim.chmod(0o755)
        path = os.pathsep.join((str(shim.parent), str(BIN), os.environ["PATH"]))
        self.env = environment(site.folder, PATH=path)

    def run(self, command: str) -> str:
        """A command of the page; Secrets that it makes are stored, pods that it completes are started."""
        done = subprocess.run(
            [
                "bash",
                "-o",
                "pipefail",
                "-c",
                command.replace("/tmp/", f"{self.site.folder}/tmp/").replace("-k deploy/", f"-k {DEPLOY}/"),
            ],
            cwd=self.site.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if "apply -k" in command:
            self.pods = Pods(list(yaml.safe_load_all(done.stdout)), self.secrets)
            self.start("position")
        elif done.stdout.startswith("{"):
            for made in json_objects(done.stdout):
                if made.get("kind") == "Secret":
                    self.secrets.store(made)
                    if made["metadata"]["name"] == "reconciler-key" and len(self.site.running) == 1:
                        self.start("reconciler")
        return done.stdout

    def start(self, name: str) -> None:
        env = self.settings(name)
        if name == "position":
            (self.site.folder / "pod.json").write_text(json.dumps(env))
        self.site.start(name, env)

    def settings(self, name: str) -> dict[str, str]:
        assert self.pods is not None
        return self.site.settings(name, self.pods.environment(name), self.pods.mounts(name))

    def probe(self, name: str, kind: str) -> bool:
        assert self.pods is not None
        return self.site.probe(name, self.pods.container(name)[kind], self.settings(name))


@pytest.fixture
def cluster(site: Site) -> Cluster:
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl")
    (site.folder / "database.env").write_text("url=postgresql://trueup@db/trueup\n")
    (site.folder / "tmp").mkdir()
    (site.folder / "venues.env").write_text("hyperliquid-address=0x01\n")
    (site.folder / "database-ca.pem").write_text("the authority of the database\n")
    return Cluster(site)


def lives(cluster: Cluster, commands: list[str]) -> str:
    """Run a page's commands, up to where all probes succeed; what `trueup doctor` says."""
    for command in commands:
        if not command.endswith("doctor --table"):
            cluster.run(command)
    for name in MODULES:
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            wait_until(lambda name=name, kind=kind: cluster.probe(name, kind), f"{kind} of {name}")
    reaches_the_position_service(cluster.site.running[-1])
    (doctor,) = (command for command in commands if command.endswith("doctor --table"))
    told = cluster.run(doctor)
    assert "PROBLEM" not in told, told
    return told


def test_the_page_brings_the_manifests_to_life(cluster: Cluster):
    commands = list(fenced(PAGE, "bash kubernetes"))
    assert len(commands) > 14
    assert "API keys, TLS" in lives(cluster, commands)
    cluster.site.running[-1].wait_for("secret renewed")  # rotated at the end of the page
    assert (cluster.site.folder / "ledger.dump").stat().st_size > 1_000
    ca = cluster.secrets.folder / "position-tls" / "ca.crt"
    assert "Unauthenticated" in grpcurl(cluster.site, ca, "x-api-key: no-such-key")
    for command in fenced(PAGE, "bash bots"):
        cluster.run(command)
    bot = cluster.secrets.value("trueup-bot", "key")
    assert grpcurl(cluster.site, ca, f"x-api-key: {bot}").startswith("{")
    keys = cluster.pods.mounts("position")["/run/trueup/keys"]  # type: ignore[union-attr]
    assert "/run/trueup/keys/database-ca.pem" in PAGE
    assert (keys / "database-ca.pem").exists()
    assert names_in(cluster.secrets.folder / "position-tls" / "tls.crt") >= {
        f"{name}.trueup.svc.cluster.local" for name in MODULES
    }


def test_with_mtls_whoever_has_no_certificate_is_not_even_answered(cluster: Cluster):
    commands = [
        command
        for command in fenced(PAGE, "bash kubernetes")
        if "ledger.dump" not in command and "rotate" not in command
    ]
    commands[commands.index("kubectl apply -k deploy/kubernetes")] += "-mtls"
    more = list(fenced(PAGE, "bash kubernetes-mtls"))
    at = commands.index("kubectl apply -k deploy/kubernetes-mtls")
    assert "mTLS" in lives(cluster, [*commands[:at], *more, *commands[at:]])
    ca = cluster.secrets.folder / "position-tls" / "ca.crt"
    assert "Unauthenticated" not in grpcurl(cluster.site, ca, "x-api-key: no-such-key")


def test_certificates_name_what_is_called():
    """By cert-manager's manifests, and by what addresses say."""
    made = [
        each
        for each in yaml.safe_load_all((DEPLOY / "kubernetes-cert-manager" / "certificates.yaml").read_text())
        if each["kind"] == "Certificate"
    ]
    by_secret = {each["spec"]["secretName"]: each["spec"] for each in made}
    for name, port in PORTS.items():
        assert {name, "localhost"} <= set(by_secret[f"{name}-tls"]["dnsNames"])
        assert f"dns:///{name}:{port}" in (DEPLOY / "kubernetes" / "position.yaml").read_text()
        assert SCRAPES[name]["tls_config"]["server_name"] == name
    assert "client auth" in by_secret["client-tls"]["usages"]
    mentioned = set(
        re.findall(r"secretName: ([\w-]+-tls)", "".join(f.read_text() for f in DEPLOY.glob("kubernetes*/*")))
    )
    assert mentioned == {"position-tls", "reconciler-tls", "client-tls"}


# One machine

MACHINE = {
    # What asks for root, for a network or for systemd; what is left of each is what matters here.
    "id": "exit 1",
    "useradd": "exit 0",
    "chown": "exit 0",
    "python3": 'mkdir -p "$3/bin"; for name in python trueup; do ln -sf "RUN" "$3/bin/$name"; done; ln -sf /bin/true "$3/bin/pip"',
    "install": 'for word; do shift; case "$word" in -o|-g) named=1;; trueup) test "$named" || set -- "$@" trueup; named=;; '
    '*) set -- "$@" "$word";; esac; done; exec /usr/bin/install "$@"',
    "systemctl": 'echo "systemctl $*"',
}


def variables(file: Path) -> dict[str, str]:
    """What an EnvironmentFile sets."""
    lines = (line.split("=", 1) for line in file.read_text().splitlines() if line and line[0] != "#")
    return {name: value.strip('"') for name, value in lines}


class Machine:
    """The page's commands for one machine, in a folder instead of /; a unit that is started runs as a process."""

    def __init__(self, site: Site) -> None:
        self.site = site
        shims = site.folder / "bin"
        shims.mkdir()
        run = f'exec {BIN}/"$(basename "$0")" "$@"'  # a link to an interpreter would not find its packages
        for name, script in (MACHINE | {"run": run}).items():
            (shims / name).write_text("#!/bin/sh\n" + script.replace("RUN", str(shims / "run")) + "\n")
            (shims / name).chmod(0o755)
        for folder in ("opt", "etc/systemd/system", "var/lib/trueup-backup", "usr/local/share"):
            (site.folder / folder).mkdir(parents=True)
        path = os.pathsep.join((str(shims), os.environ["PATH"]))
        self.env = environment(site.folder, PATH=path)

    def here(self, text: str) -> str:
        for place in ("/opt/trueup", "/etc/trueup", "/etc/systemd", "/var/lib/trueup-backup", "/usr/local/share"):
            text = text.replace(place, f"{self.site.folder}{place}")
        return text

    def unit(self, name: str) -> tuple[list[str], dict[str, str]]:
        """The command and the environment of a unit that was installed."""
        file = self.site.folder / "etc/systemd/system" / f"{name}.service"
        lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line and line[0] != "#")
        command = lines["ExecStart"].replace("$$", "$").replace("%%", "%")
        return shlex.split(self.here(command)), variables(Path(self.here(lines["EnvironmentFile"])))

    def edit(self) -> None:
        """What the page says to write into the two files, and where things are here."""
        for name, port in (("position", 8001), ("reconciler", 8002)):
            file = self.site.folder / "etc/trueup" / f"{name}.env"
            given = {key: self.here(value) for key, value in variables(file).items()}
            given["HTTP_LISTEN"] = given["HTTP_LISTEN"].replace(f"127.0.0.1:{port}", "0.0.0.0:8000")
            here = self.site.settings(name, given, {})
            file.write_text("".join(f'{key}="{value}"\n' for key, value in here.items()))

    def run(self, command: str) -> str:
        words = self.site.here("position", self.here(command).replace(" deploy/", f" {DEPLOY}/"), {})
        env = self.env | {f"{name.upper()}_ADDRESS": f"127.0.0.1:{self.site.grpc[name]}" for name in MODULES}
        done = subprocess.run(
            ["bash", "-c", words],
            cwd=self.site.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if started := re.search(r"^systemctl (?:enable --now|start) trueup-(\w+)$", done.stdout, flags=re.MULTILINE):
            self.start(started[1])
        return done.stdout

    def start(self, name: str) -> None:
        command, given = self.unit(f"trueup-{name}")
        if name in MODULES:
            assert command[1:] == ["-m", MODULES[name]]
            self.site.start(name, given)
        else:
            done = self.site.run("position", command, given)
            assert done.returncode == 0, done.stderr


def test_the_page_sets_up_one_machine(site: Site):
    machine, commands = Machine(site), list(fenced(PAGE, "bash machine"))
    at = commands.index("systemctl daemon-reload")  # before it, files are edited
    for command in commands[:at]:
        machine.run(command)
    machine.edit()
    made = {file: file.read_bytes() for file in (site.folder / "etc/trueup").iterdir()}
    assert {file.name for file in made} == {"position.env", "reconciler.env", "key-pepper", "root.key"}
    for command in commands[:at]:
        machine.run(command)
    assert {file: file.read_bytes() for file in made} == made, "what is there stays"
    told = [machine.run(command) for command in commands[at:]]
    doctor = next(each for each in told if "Position service" in each)
    assert "security of the Position service: API keys" in doctor
    assert "PROBLEM" not in doctor, doctor
    reaches_the_position_service(site.running[-1])
    assert "Unauthenticated" in machine.run(
        f"{BIN}/grpcurl -plaintext -protoset {ROOT}/protos/gen/trueup/plain.binpb 127.0.0.1:50051 {LIST} 2>&1 || true"
    )
    (dumped,) = (site.folder / "var/lib/trueup-backup").iterdir()
    assert re.fullmatch(r"\w{3}\.dump", dumped.name)
    assert (site.folder / "usr/local/share/trueup-ca.pem").stat().st_mode & 0o777 == 0o644, "callers may read it"
    secrets = [*(site.folder / "etc/trueup").glob("*.*"), *(site.folder / "etc/trueup/certs").glob("*.key")]
    assert {file.name for file in secrets} > {"position.env", "reconciler.env", "root.key", "reconciler.key", "ca.key"}
    assert [file.name for file in secrets if file.stat().st_mode & 0o077] == []
