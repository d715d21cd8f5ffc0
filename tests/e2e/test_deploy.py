"""deploy/ says nothing of the project that is not so: settings, commands, ports, services, paths, contracts."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from grpckit.config import Settings, describe
from grpckit.listen import Listen
from grpckit.rest.limits import EdgeLimits
from grpckit.rest.routes import Routes
from position_service.app import SERVICES as POSITION
from position_service.settings import PositionSettings
from reconciler_service.app import SERVICES as RECONCILER
from reconciler_service.settings import ReconcilerSettings
from tests.e2e.composed import COMPOSE, DEPLOY
from tests.e2e.processes import ROOT
from trueup_cli.settings import CliSettings

PYPROJECT = (ROOT / "pyproject.toml").read_text()
LOCK = (ROOT / "requirements.lock").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
SETTINGS: dict[str, type[Settings]] = {"position": PositionSettings, "reconciler": ReconcilerSettings}
LISTEN = {"position": "POSITION_LISTEN", "reconciler": "RECONCILER_LISTEN"}
NAMES = {one.full_name for one in (*POSITION, *RECONCILER)}
MODULES = {"position": "position_service", "reconciler": "reconciler_service"}


def kubernetes() -> list[dict[str, Any]]:
    folder = DEPLOY / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert {*listed, "kustomization.yaml"} == {file.name for file in folder.iterdir()}
    return [each for name in listed for each in yaml.safe_load_all((folder / name).read_text())]


def unit(name: str) -> list[tuple[str, str]]:
    lines = (DEPLOY / "systemd" / f"trueup-{name}.service").read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if "=" in line and not line.startswith("#")]  # type: ignore[misc]


def environments() -> list[Any]:
    """Every environment that deploy/ gives a service: where, whose, and the variables."""
    found = [pytest.param(name, COMPOSE["services"][name]["environment"], id=f"compose-{name}") for name in SETTINGS]
    for each in kubernetes():
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            given = {one["name"]: one.get("value", "") for one in container["env"]}
            found.append(pytest.param(container["name"], given, id=f"kubernetes-{container['name']}"))
    for name in SETTINGS:
        lines = (DEPLOY / "systemd" / f"{name}.env").read_text().splitlines()
        given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        found.append(pytest.param(name, given, id=f"systemd-{name}"))
    return found


@pytest.mark.parametrize(("name", "given"), environments())
def test_settings_exist_and_are_valid(name: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    known = {line.split()[0] for line in describe(SETTINGS[name]).splitlines() if re.match(r"  [A-Z]", line)}
    of_trueup = {field.upper() for field in CliSettings.model_fields}  # which runs beside the services
    assert set(given) <= known | of_trueup | {"HYPERLIQUID_KEY"}
    for variable, value in given.items():
        if not value.startswith("${"):
            monkeypatch.setenv(variable, value)
    settings = SETTINGS[name].load()
    assert settings.log_format == "json"
    listens = Listen.parse(given[LISTEN[name]])
    assert listens.port == {"position": 50051, "reconciler": 50052}[name]
    assert settings.keys_required(given[LISTEN[name]]), "keys are wanted everywhere, on loopback too"
    assert not settings.insecure
    assert listens.loopback or {"TLS_CERT_FILE", "TLS_KEY_FILE"} <= set(given), "it would refuse to start"


def test_dockerfile_copies_what_is_there_and_runs_what_exists():
    copied = [words.split() for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, flags=re.MULTILINE)]
    sources = {source for words in copied for source in words[:-1]}
    assert all((ROOT / source).exists() for source in sources)
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert kept == sources
    built = re.findall(r'"((?:\w+/)*\w+)"', re.findall(r"^packages = \[(.*)\]", PYPROJECT, flags=re.MULTILINE)[0])
    assert {package.split("/")[0] for package in built} <= sources
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    assert stages[0] == stages[1], "a virtual environment works with the interpreter that made it"
    assert re.search(r"^USER (\d+):", DOCKERFILE, flags=re.MULTILINE)[1] == "10001"  # type: ignore[index]
    exposed = set(re.findall(r"\d+", re.findall(r"^EXPOSE (.*)$", DOCKERFILE, flags=re.MULTILINE)[0]))
    assert exposed == {"50051", "50052", "8000"}


def commands() -> list[list[str]]:
    """Everything of ours that is run: as modules of Python."""
    found = [eval(one) for one in re.findall(r"CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)]
    for service in COMPOSE["services"].values():
        found += [
            command for command in (service.get("command"), service.get("healthcheck", {}).get("test")) if command
        ]
    for each in kubernetes():
        if each["kind"] == "Deployment":
            found.append(each["spec"]["template"]["spec"]["containers"][0]["command"])
    found += [shlex.split(dict(unit(name))["ExecStart"]) for name in MODULES]
    words = [[str(word) for word in command if word != "CMD"] for command in found]
    return [command for command in words if command[0].endswith("python")]


def test_commands_exist():
    ours = commands()
    assert len(ours) == 2 + 4 + 2 + 2
    for module in {command[2] for command in ours}:
        done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), module
    for command in ours:
        if command[2] == "grpckit.probe":
            assert command[3].rpartition(":")[2] in {"50051", "50052"}
            assert set(command[4:]) <= NAMES


async def test_the_probe_tells_what_health_says(position: Any):
    async def probe(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "grpckit.probe", *arguments, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await process.communicate()
        return process.returncode or 0, told.decode().strip()

    service = POSITION[0].full_name
    assert await probe(position.address, service) == (0, "SERVING")
    position.app._front.health.set_serving(False, service)
    assert await probe(position.address, service) == (1, "NOT_SERVING")
    assert await probe(position.address) == (0, "SERVING")
    assert await probe(position.address, "no.such.Service") == (1, "NOT_FOUND")
    await position.app.stop()
    assert await probe(position.address, "--timeout", "1") == (1, "UNAVAILABLE")


def test_compose_mounts_what_is_there():
    assert COMPOSE["x-trueup"]["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}
    for name, service in COMPOSE["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            path = (DEPLOY / source).resolve()
            made = path.is_relative_to(DEPLOY / "secrets")
            assert source in COMPOSE["volumes"] or path.exists() or made, volume
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        for needed in service.get("depends_on", []):
            assert needed in COMPOSE["services"]
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    for job in scraped["scrape_configs"]:
        (found,) = job["dns_sd_configs"]
        (name,) = found["names"]
        assert job["job_name"] == name
        assert Listen.parse(COMPOSE["services"][name]["environment"]["HTTP_LISTEN"]).port == found["port"]
    source = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())
    assert "prometheus" in source["datasources"][0]["url"]
    assert source["datasources"][0]["uid"] in (DEPLOY / "grafana" / "dashboards" / "trueup.json").read_text()
    provider = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "dashboards" / "trueup.yml").read_text())
    where = provider["providers"][0]["options"]["path"]
    assert any(volume.split(":")[1] == where for volume in COMPOSE["services"]["grafana"]["volumes"])


def test_kubernetes_probes_ports_and_names_belong_together():
    objects = kubernetes()
    services = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Service"}
    budgets = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "PodDisruptionBudget"}
    deployments = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Deployment"}
    scraped = {name: services.pop(f"{name}-metrics") for name in SETTINGS}
    assert set(services) == set(budgets) == set(deployments) == set(SETTINGS)
    for name, deployment in deployments.items():
        pod = deployment["template"]
        labels, (container,) = pod["metadata"]["labels"], pod["spec"]["containers"]
        assert services[name]["selector"].items() <= labels.items()
        assert budgets[name]["selector"]["matchLabels"] == deployment["selector"]["matchLabels"]
        assert deployment["selector"]["matchLabels"].items() <= labels.items()
        assert services[name]["clusterIP"] == "None"
        env = {one["name"]: one.get("value", "") for one in container["env"]}
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        assert ports["grpc"] == Listen.parse(env[LISTEN[name]]).port
        assert ports["http"] == Listen.parse(env["HTTP_LISTEN"]).port
        assert {one["name"]: one["port"] for one in services[name]["ports"]} == ports
        assert {one["name"]: one["port"] for one in scraped[name]["ports"]} == {"http": ports["http"]}
        assert scraped[name]["selector"] == services[name]["selector"]
        assert scraped[name]["clusterIP"] == "None"
        assert scraped[name]["publishNotReadyAddresses"], "what is not ready is what to look at"
        probes = [container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert {(one["port"], one["scheme"]) for one in probes} == {("http", "HTTPS")}
        assert [one["path"] for one in probes] == ["/livez", "/livez", "/healthz"], "a restart mends no dependency"
        assert pod["spec"]["securityContext"]["fsGroup"], "secrets are root's, for the group to read"
        assert container["command"] == ["python", "-m", MODULES[name]]
        assert pod["spec"]["terminationGracePeriodSeconds"] > stops_s(name)
    (reconciler,) = deployments["reconciler"]["template"]["spec"]["containers"]
    address = next(one["value"] for one in reconciler["env"] if one["name"] == "POSITION_ADDRESS")
    assert address == "dns:///position:50051"
    assert COMPOSE["services"]["reconciler"]["environment"]["POSITION_ADDRESS"] == address
    assert deployments["position"]["replicas"] >= 3


def stops_s(name: str) -> float:
    """The longest that a service takes to end off loopback: HTTP drains, then gRPC, then it commits or waits a moment."""
    wait, grace = 5, SETTINGS[name].model_fields["drain_grace"].default
    return (wait + grace + 1) + (wait + grace) + 2


def test_nothing_is_killed_while_it_ends():
    for name in SETTINGS:
        assert int(dict(unit(name))["TimeoutStopSec"]) > stops_s(name)
        assert dict(unit(name))["StartLimitIntervalSec"] == "0", "a database may be away for long when it starts"
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > stops_s(name)


def test_kubernetes_takes_them():
    for each in kubernetes():
        kubernetes_validate.validate(each, "1.34", strict=True)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl")
@pytest.mark.parametrize("folder", ["kubernetes", "kubernetes-mtls"])
def test_kustomize_builds_them(folder: str):
    command = ["kubectl", "kustomize", str(DEPLOY / folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [one["metadata"]["namespace"] for one in yaml.safe_load_all(done.stdout)] == ["trueup"] * 9


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze: apt-get install systemd")
@pytest.mark.parametrize("name", ["backup", *sorted(SETTINGS)])
def test_systemd_takes_the_units(name: str, tmp_path: Path):
    written = (DEPLOY / "systemd" / f"trueup-{name}.service").read_text()
    copy = tmp_path / f"trueup-{name}.service"
    copy.write_text(written.replace("/opt/trueup/bin/python", sys.executable))  # it wants to see the file
    for command in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(
            ["systemd-analyze", *command, str(copy)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert command[0] != "verify" or "Unknown" not in done.stderr, done.stderr


def envoy(name: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "envoy" / name).read_text())


def managers(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The listener of one of Envoy's configurations without what it does with HTTP, and that."""
    (listener,) = envoy(name)["static_resources"]["listeners"]
    (filters,) = (chain.pop("filters") for chain in listener["filter_chains"])
    (manager,) = (one["typed_config"] for one in filters)
    return listener, manager


@pytest.mark.parametrize("configuration", ["envoy.yaml", "transcoding.yaml"])
def test_envoy_sends_every_call_to_the_service_that_answers_it(configuration: str):
    """By gRPC and, of those that have one, by each path of the contracts; what no service answers goes nowhere."""
    _, manager = managers(configuration)
    *transcoder, router = manager["http_filters"]
    assert router["typed_config"]["@type"].endswith("Router")
    assert bool(transcoder) == (configuration == "transcoding.yaml")
    (host,) = manager["route_config"]["virtual_hosts"]
    silent_s = float(manager["stream_idle_timeout"].removesuffix("s"))
    for settings, interval in (
        (PositionSettings, "watch_progress_interval"),
        (ReconcilerSettings, "progress_interval"),
    ):
        assert silent_s > 2 * settings.model_fields[interval].default, "a quiet watch is not a dead one"

    def cluster(path: str) -> str | None:
        for route in host["routes"]:
            match = route["match"]
            if (
                path.startswith(match["prefix"])
                if "prefix" in match
                else re.fullmatch(match["safe_regex"]["regex"], path)
            ):
                assert route["route"]["timeout"] == "0s", "deadlines are the callers' and the services'"
                return str(route["route"]["cluster"])
        return None

    for name, services in (("position", POSITION), ("reconciler", RECONCILER)):
        calls = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
        assert {cluster(call) for call in calls} == {name}
        paths = {route.template.text for route in Routes(services)}
        there = None if transcoder else f"{name}-http"  # it makes a call of a path before the way is chosen
        assert {cluster(re.sub(r"\{.*?\}", "one/two", path)) for path in paths} == {there}
    assert {cluster(path) for path in ("/", "/metrics", "/healthz", "/grpc.health.v1.Health/Check")} == {None}


def test_envoy_transcodes_all_services_and_is_the_same_otherwise():
    (forwarding, its), (transcoding, other) = managers("envoy.yaml"), managers("transcoding.yaml")
    assert forwarding == transcoding
    (transcoder,) = (one["typed_config"] for one in other["http_filters"] if one not in its["http_filters"])
    assert set(transcoder["services"]) == NAMES
    (host,), (otherwise,) = (each.pop("route_config")["virtual_hosts"] for each in (its, other))
    assert all(route in host["routes"] for route in otherwise.pop("routes"))
    assert otherwise == {part: said for part, said in host.items() if part != "routes"}
    assert {part for part, said in other.items() if its.get(part) != said} == {
        "http_filters",
        "local_reply_config",  # of what the transcoder refuses, too
        "path_with_escaped_slashes_action",
    }
    assert envoy("envoy.yaml")["dynamic_resources"] == envoy("transcoding.yaml")["dynamic_resources"]


def test_envoy_finds_the_services():
    port = managers("envoy.yaml")[0]["address"]["socket_address"]["port_value"]
    assert COMPOSE["services"]["envoy"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    clusters = envoy("clusters.yaml")["resources"]
    assert {one["name"] for one in clusters} == {*SETTINGS, *(f"{name}-http" for name in SETTINGS)}
    for cluster in clusters:
        (group,) = cluster["load_assignment"]["endpoints"]
        (where,) = (one["endpoint"]["address"]["socket_address"] for one in group["lb_endpoints"])
        name, _, http = cluster["name"].partition("-")
        given = COMPOSE["services"][where["address"]]["environment"]
        assert where["address"] == name
        assert where["port_value"] == Listen.parse(given["HTTP_LISTEN" if http else LISTEN[name]]).port
        (check,) = cluster["health_checks"]
        assert http or check["grpc_health_check"]["service_name"] in NAMES
        (protocol,) = cluster["typed_extension_protocol_options"].values()
        assert not http or float(protocol["common_http_protocol_options"]["idle_timeout"][:-1]) < EdgeLimits().idle_s
        tls = cluster["transport_socket"]["typed_config"]
        trusted = tls["common_tls_context"]["combined_validation_context"]["default_validation_context"]
        assert tls["sni"] == trusted["match_typed_subject_alt_names"][0]["matcher"]["exact"] == name
        assert tls["common_tls_context"]["alpn_protocols"] == ["h2"], "gRPC servers insist on it"


def test_envoy_reads_files_that_compose_mounts():
    volumes = [volume.removesuffix(":ro").split(":") for volume in COMPOSE["services"]["envoy"]["volumes"]]
    written = "".join(file.read_text() for file in (DEPLOY / "envoy").iterdir())
    files = set(re.findall(r"(?:filename|path|proto_descriptor): (/etc/envoy/[^\s}]+)", written))
    assert len(files) == 8
    assert [file for file in files if not any(file.startswith(target) for _, target in volumes)] == []
    assert {"server.pem", "server.key", "ca.pem"} <= {file.rpartition("/")[2] for file in files}
    asked = set(re.findall(r"name: (\w+)\n +sds_config:\n +path_config_source: {path: /etc/envoy/(\S+)}", written))
    assert {file for _, file in asked} == {"certificate.yaml", "authority.yaml"}
    for name, file in asked:
        (secret,) = yaml.safe_load((DEPLOY / "envoy" / file).read_text())["resources"]
        assert secret["name"] == name


def test_the_lock_is_of_what_the_project_needs():
    """Each requirement has a pinned version that satisfies it, and every version has its hashes."""
    project = tomllib.loads(PYPROJECT)["project"]
    entries = re.findall(
        r"^([\w.-]+)==(\S+) (?:; .*? )?\\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", LOCK, flags=re.MULTILINE
    )
    pinned = {canonicalize_name(name): version for name, version, _ in entries}
    assert len(pinned) == len(re.findall(r"^[\w.-]+==", LOCK, flags=re.MULTILINE))
    extras = project["optional-dependencies"]
    for line in (*project["dependencies"], *extras["nats"], *extras["otel"]):
        needed = Requirement(line)
        version = pinned[canonicalize_name(needed.name)]
        assert needed.specifier.contains(version, prereleases=True), f"{line}, but {version}: make lock"
    assert "://" not in LOCK, "no registry is named"
