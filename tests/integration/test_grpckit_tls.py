"""TLS and mTLS of both servers, with real certificates: who gets in, and what happens when the files change."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import structlog
from cryptography import x509
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.channel import connect
from grpckit.errors import StartupError
from grpckit.tls import Calling, Certificate, certificate, channel_credentials, http_context, server_credentials
from position_service.settings import PositionSettings
from tests.position_client import Client, eventually
from trueup_cli import checks, checks_services, failures
from trueup_cli.client import Client as Trueup
from trueup_cli.client import Unreachable, _Calls
from trueup_cli.dev_ca import CLIENT, SERVER, DevCa
from trueup_cli.handshake import mismatch

NEVER = "connections to all backends failing; last error: UNAVAILABLE: Socket closed"  # of gRPC


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ca = DevCa(tmp_path)
    assert ca.ensure()
    assert not ca.ensure()
    issue(tmp_path)
    ca.issue(CLIENT, "bot")
    return tmp_path


def issue(folder: Path) -> int:
    """A new server certificate; its serial number."""
    made = DevCa(folder).issue(SERVER, "trueup", ["localhost", "127.0.0.1"])
    return x509.load_pem_x509_certificate(made.read_bytes()).serial_number


def serving(folder: Path, *, mutual: bool = False) -> dict[str, Any]:
    files = {"tls_cert_file": folder / "server.pem", "tls_key_file": folder / "server.key"}
    return files | ({"tls_client_ca_file": folder / "ca.pem"} if mutual else {})


def calling(folder: Path, *, certified: bool = False) -> grpc.ChannelCredentials:
    files: dict[str, Any] = {"tls_ca_file": folder / "ca.pem"}
    if certified:
        files |= {"tls_client_cert_file": folder / "client.pem", "tls_client_key_file": folder / "client.key"}
    credentials = channel_credentials(PositionSettings(**files))
    assert credentials is not None
    return credentials


async def listed(port: int, credentials: grpc.ChannelCredentials | None) -> str:
    """What becomes of a call."""
    async with connect(f"127.0.0.1:{port}", credentials=credentials) as channel:
        try:
            await Client(channel).method("ListPositions")[0](pb.ListPositionsRequest(), timeout=20)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "OK"


def trusting(folder: Path, *, certified: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if certified:
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context


async def serial(port: int, folder: Path, protocol: str) -> int:
    """The serial number of the certificate that a server shows."""
    context = trusting(folder)
    context.set_alpn_protocols([protocol])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(shown).serial_number


async def test_with_tls_only_who_trusts_the_ca_gets_an_answer(start_position, folder, tmp_path_factory):
    service = await start_position(**serving(folder))
    assert await listed(service.port, calling(folder)) == "OK"
    assert await listed(service.port, None) == "UNAVAILABLE"
    DevCa(other := tmp_path_factory.mktemp("other")).ensure()
    assert await listed(service.port, calling(other)) == "UNAVAILABLE"


async def test_with_mtls_only_who_has_a_certificate_gets_in(start_position, folder):
    service = await start_position(**serving(folder, mutual=True), http_listen="127.0.0.1:0")
    assert await listed(service.port, calling(folder, certified=True)) == "OK"
    assert await listed(service.port, calling(folder)) == "UNAVAILABLE"
    url = f"https://127.0.0.1:{service.app.http_port}/api/positions/active"
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=trusting(folder, certified=True)) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await session.get(url, ssl=trusting(folder))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_is_of_a_client_ca_that_is_gone_resumes_no_session(start_position, folder, tmp_path_factory, version):
    authority = shutil.copy(folder / "ca.pem", folder / "authority.pem")
    files = serving(folder) | {"tls_client_ca_file": authority}
    service = await start_position(**files, http_listen="127.0.0.1:0")
    context = trusting(folder, certified=True)
    context.maximum_version = version

    def asked(session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """A connection over which an answer came."""
        plain = socket.create_connection(("127.0.0.1", service.app.http_port), timeout=60)
        with contextlib.ExitStack() as closing:
            closing.enter_context(plain)
            secured = closing.enter_context(context.wrap_socket(plain, server_hostname="localhost", session=session))
            secured.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not secured.recv(1_000):
                raise ConnectionResetError
            closing.pop_all()
        return secured

    with contextlib.closing(await asyncio.to_thread(asked)) as first:  # it stays open, so that its session does
        with contextlib.closing(await asyncio.to_thread(asked, first.session)) as resumed:
            assert (resumed.version(), resumed.session_reused) == (version.name.replace("_", "."), True)
        DevCa(other := tmp_path_factory.mktemp("other")).ensure()
        shutil.copy(other / "ca.pem", authority)
        for session in (first.session, None):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(asked, session)


async def test_who_calls_without_tls_or_with_it_in_vain_is_told_so(start_position, folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    DevCa(other).ensure()
    DevCa(other).issue(CLIENT, "bot")
    own, mutual = await start_position(**serving(folder)), await start_position(**serving(folder, mutual=True))
    stranger = Calling(folder / "ca.pem", other / "client.pem", other / "client.key").credentials
    cases = [
        (own, None, "{} speaks TLS: set TLS_CA_FILE to the CA of its certificate"),
        (mutual, None, "{} speaks TLS: set TLS_CA_FILE"),
        (await start_position(), calling(folder), "{} does not speak TLS: call it without TLS_CA_FILE"),
        (
            own,
            calling(other),
            "the certificate of {} is not to be trusted (unable to get local issuer certificate): set",
        ),
        (
            mutual,
            calling(folder),
            "{} hangs up after the handshake, as on who has no certificate of its client CA: set",
        ),
        (mutual, stranger, "{} hangs up after the handshake, as on who has no certificate of its client CA: set"),
    ]
    for days, hosts, why in (
        (0, ["127.0.0.1"], "the certificate of {} is not to be trusted (certificate has expired): set TLS_CA_FILE"),
        (9, ["trueup.internal"], "the certificate of {} is for other names: call it by one of them"),
    ):
        shutil.copytree(folder, there := tmp_path_factory.mktemp("server"), dirs_exist_ok=True)
        DevCa(there).issue(SERVER, "trueup", hosts, days=days)
        cases.append((await start_position(**serving(there)), calling(there), why))
    for service, credentials, why in cases:
        address = f"127.0.0.1:{service.port}"
        async with Trueup(address, credentials=credentials) as client:
            with pytest.raises(Unreachable) as caught:
                await client.positions.ListPositions(pb.ListPositionsRequest())
        told = failures.describe(caught.value, variable="POSITION_ADDRESS", request_id="mine")
        assert told.startswith(why.format(address))
        assert failures.exit_code(caught.value) == failures.UNREACHABLE
        found = await checks_services.service(checks_services.POSITION, address, address, credentials)
        assert (found.level, found.todo) == (checks.Level.PROBLEM, told)


async def test_who_only_answers_late_is_not_asked_for_tls_and_of_many_calls_one_asks():
    begun = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.append(await reader.read(1))
        writer.write(b"\0\0\0\4\0\0\0\0\0")  # SETTINGS of HTTP/2, after which nothing comes
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Trueup(address, timeout_s=0.1) as client:
        for _ in range(3):
            with pytest.raises(Unreachable) as caught:
                await client.positions.ListPositions(pb.ListPositionsRequest())
            assert (caught.value.code, caught.value.mismatch) == (grpc.StatusCode.DEADLINE_EXCEEDED, "")
        assert b"\x16" not in begun
    calls = _Calls(address, 1, secured=False)
    assert await calls._mismatch("Socket closed") == ""
    assert b"\x16" not in begun, "that call had a connection: it may have reached somebody"
    assert set(await asyncio.gather(*(calls._mismatch(NEVER) for _ in range(20)))) == {""}
    assert begun.count(b"\x16") == 1
    await calls._mismatch(NEVER)
    assert begun.count(b"\x16") == 2, "it may be another one by now"
    server.close()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "dns:///localhost:9", "unix:/nowhere", "127.0.0.1:x"])
async def test_where_nobody_is_nothing_is_said_of_tls(address):
    for secured in (True, False):
        assert await mismatch(address, NEVER, secured=secured) == ""


async def test_who_has_the_right_certificate_is_not_asked_for_another(start_position, folder):
    service = await start_position(**serving(folder, mutual=True))
    health = service.app._front.health
    address = f"dns:///127.0.0.1:{service.port}"  # behind a name, who does not serve gets no calls
    async with Trueup(address, credentials=calling(folder, certified=True)) as client:
        await client.positions.ListPositions(pb.ListPositionsRequest())
        health.set_serving(serving=False)

        async def told() -> str:
            try:
                await client.positions.ListPositions(pb.ListPositionsRequest())
            except Unreachable as caught:
                return failures.describe(caught, variable="POSITION_ADDRESS")
            return ""

        await eventually(told)
        why = "answers, but does not serve: it starts or drains, or misses what it depends on"
        assert await told() == f"{address} {why}"
    async with connect("127.0.0.1:9") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/any/thing")(b"")
    # As if it had come up just after such a call.
    said = refused.value.details()
    assert await mismatch(address, said, secured=True) == ""
    assert "speaks TLS" in await mismatch(address, said, secured=False)
    assert "hangs up" in await mismatch(address, NEVER, secured=True)


async def test_a_host_that_is_not_there_is_said_not_to_resolve():
    async with Trueup("nobody..invalid:50051") as client:  # no name server has to be asked to know that
        with pytest.raises(Unreachable) as caught:
            await client.positions.ListPositions(pb.ListPositionsRequest())
    said = "nobody..invalid:50051 cannot be resolved here: check its address, or the name server"
    assert caught.value.message == said


async def test_http_has_the_same_certificate_and_no_way_around_it(start_position, folder):
    service = await start_position(**serving(folder), http_listen="127.0.0.1:0")
    url = f"127.0.0.1:{service.app.http_port}/healthz"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"https://{url}", ssl=trusting(folder)) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{url}")


async def test_a_new_certificate_is_served_without_a_restart(start_position, folder):
    service = await start_position(**serving(folder), http_listen="127.0.0.1:0")
    for _ in range(2):
        new = issue(folder)
        for port, protocol in ((service.port, "h2"), (service.app.http_port, "http/1.1")):
            assert await serial(port, folder, protocol) == new
    assert await listed(service.port, calling(folder)) == "OK"


async def test_metrics_say_when_certificates_end(start_position, folder):
    presenting = {"tls_ca_file": folder / "ca.pem"}
    presenting |= {"tls_client_cert_file": folder / "client.pem", "tls_client_key_file": folder / "client.key"}
    service = await start_position(**serving(folder), **presenting, http_listen="127.0.0.1:0")

    async def shown() -> dict[str, float]:
        url = f"https://127.0.0.1:{service.app.http_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=trusting(folder)) as answer:
            text = await answer.text()
        found = re.findall(r'^tls_certificate_ends_timestamp_seconds\{use="(\w+)"\} (\S+)$', text, flags=re.MULTILINE)
        return {use: float(value) for use, value in found}

    def ends(file: str) -> float:
        return x509.load_pem_x509_certificate((folder / file).read_bytes()).not_valid_after_utc.timestamp()

    before = ends("client.pem")
    assert await shown() == {"served": ends("server.pem"), "presented": before}
    DevCa(folder).issue(CLIENT, "bot", days=3)
    assert await shown() == {"served": ends("server.pem"), "presented": ends("client.pem")}
    assert ends("client.pem") < before
    # What cannot be used is not what is shown, be it a certificate or not.
    used = {"served": ends("server.pem"), "presented": ends("client.pem")}
    for file, of_another in (("server.pem", "ca.pem"), ("client.pem", "ca.pem")):
        shutil.copy(folder / of_another, folder / file)
        assert ends(file) not in used.values()
        assert await shown() == used
    (folder / "client.pem").write_text("no certificate")
    assert await shown() == used


async def test_what_is_no_certificate_changes_nothing_until_it_is_one(start_position, folder):
    service = await start_position(**serving(folder), http_listen="127.0.0.1:0")
    ports = ((service.port, "h2"), (service.app.http_port, "http/1.1"))
    before = await serial(service.port, folder, "h2")
    key = (folder / "server.key").read_bytes()
    for broken in (b"", b"half a key", (folder / "client.key").read_bytes()):
        (folder / "server.key").write_bytes(broken)
        assert [await serial(port, folder, protocol) for port, protocol in ports] == [before] * 2
    (folder / "server.key").unlink()
    assert await serial(service.port, folder, "h2") == before
    (folder / "server.key").write_bytes(key)
    new = issue(folder)
    assert [await serial(port, folder, protocol) for port, protocol in ports] == [new] * 2


@pytest.mark.parametrize("kind", ["server", "client"])
def test_of_a_new_key_that_cannot_be_used_the_log_speaks_once(folder, kind):
    chain, key, ca = folder / f"{kind}.pem", folder / f"{kind}.key", folder / "ca.pem"
    used = Certificate(chain, key) if kind == "server" else Calling(ca, chain, key)

    def renewed() -> tuple[list[bool], list[str]]:
        found = []
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                before = used.now
                used.renew()
                found.append(used.now is not before)
        return found, [str(line.get("error", "renewed")) for line in logs]

    assert renewed() == ([False] * 3, [])
    good = DevCa(folder).issue(kind, "new").with_suffix(".key").read_bytes()
    key.write_bytes(b"half a key")
    assert renewed() == ([False] * 3, ["not PEM, or the key is not that of the certificate"])
    key.unlink()
    assert renewed() == ([False] * 3, [f"{key}: No such file or directory"])
    key.write_bytes(good)
    key.chmod(0o644)  # as it was renewed by who does not know better
    found, (said,) = renewed()
    assert found == [False] * 3
    assert "others may read it: chmod 600" in said
    key.chmod(0o600)
    assert renewed() == ([True, False, False], ["renewed"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.pop("tls_key_file"), "go together"),
        (lambda f: f.pop("tls_cert_file"), "go together"),
        (lambda f: f.update(tls_client_ca_file=Path("/none/ca.pem")), "/none/ca.pem: No such file"),
        (lambda f: f["tls_key_file"].chmod(0o644), "chmod 600"),
        (lambda f: f["tls_key_file"].write_text("canary"), "cannot be used"),
        (lambda f: shutil.copy(f["tls_key_file"].with_name("client.key"), f["tls_key_file"]), "cannot be used"),
    ],
)
def test_it_does_not_start_with_what_is_no_certificate(folder, spoil, said):
    files = serving(folder)
    spoil(files)
    with pytest.raises(StartupError, match=said) as caught:
        certificate(PositionSettings(**files))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tls_client_cert_file": "client.pem", "tls_client_key_file": "client.key"}, "need TLS_CA_FILE"),
        ({"tls_ca_file": "ca.pem", "tls_client_cert_file": "client.pem"}, "go together"),
        ({"tls_ca_file": "none.pem"}, "No such file"),
    ],
)
def test_it_does_not_call_with_half_of_what_is_needed(folder, files, said):
    with pytest.raises(StartupError, match=said):
        channel_credentials(PositionSettings(**{name: folder / file for name, file in files.items()}))


def test_without_files_there_is_no_tls():
    assert certificate(PositionSettings()) is None
    assert server_credentials(None) is http_context(None) is channel_credentials(PositionSettings()) is None


def test_a_key_is_not_shown(folder):
    served = Certificate(folder / "server.pem", folder / "server.key")
    assert repr(served.material) == "Material()"


@pytest.mark.parametrize("kind", ["server", "client", "ca"])
def test_keys_are_their_owners_only(folder, kind):
    assert (folder / f"{kind}.key").stat().st_mode & 0o777 == 0o600
