"""What `trueup doctor` says of keys and certificates: of a service that is asked, and of the settings here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from trueup.position.v1 import access_service_pb2 as pb

from grpckit.config import Settings
from grpckit.errors import RpcError, StartupError
from grpckit.front import servable
from trueup_cli.checks import Finding, Level
from trueup_cli.client import Client
from trueup_cli.failures import HINTS

_SOON = timedelta(days=14)
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


async def keys(client: Client, *, has_key: bool) -> AsyncIterator[Finding]:
    """Whether the Position service wants keys, and which are about to end."""
    what = "API keys"
    try:
        listed = await client.access.ListKeys(pb.ListKeysRequest(page_size=1_000))
    except RpcError as error:
        if error.reason == "NO_CREDENTIALS":
            says = "the key is not valid" if has_key else "needed, and none is given"
            yield Finding(Level.PROBLEM, what, says, HINTS[error.reason])
        elif error.code in _REFUSED:
            yield Finding(Level.OK, what, "needed; the one given may not list them")
        elif error.code is not grpc.StatusCode.UNIMPLEMENTED:
            yield Finding(Level.WARNING, what, error.message or error.code.name)
        return
    now = datetime.now(UTC)
    yield Finding(Level.OK, what, f"{len(listed.api_keys)} are valid")
    for key in listed.api_keys:
        if key.HasField("expires_at") and (left := key.expires_at.ToDatetime(UTC) - now) < _SOON:
            says = f"{key.name} ({key.key_id}) expires in {_span(left)}"
            yield Finding(Level.WARNING, what, says, "make another one: trueup keys create")


def settings(given: Settings, name: str, listen: str) -> Iterator[Finding]:
    """What the settings say of keys and TLS of a service that is started with them; one that runs may have others."""
    what = f"security of the {name}"
    try:
        required, served = given.keys_required(listen), servable(given, listen)
    except StartupError as error:
        yield Finding(Level.PROBLEM, what, f"with the settings here it would not start: {error}")
        return
    says = (
        f"{'API keys' if required else 'no keys'}, {_tls(given)}, on {listen}: if it is started with the settings here"
    )
    yield Finding(
        Level.WARNING if given.insecure else Level.OK, what, says, "INSECURE is set" if given.insecure else ""
    )
    if served is not None and given.tls_cert_file is not None:
        yield _expiry(given.tls_cert_file, served.material.chain)


def _tls(given: Settings) -> str:
    if given.tls_cert_file is None:
        return "no TLS"
    return "mTLS" if given.tls_client_ca_file is not None else "TLS"


def _expiry(file: Path, chain: bytes) -> Finding:
    ends = x509.load_pem_x509_certificate(chain).not_valid_after_utc
    left = ends - datetime.now(UTC)
    says = f"{file} is valid until {ends:%Y-%m-%d}"
    if left > _SOON:
        return Finding(Level.OK, "certificate", says)
    level = Level.PROBLEM if left <= timedelta(0) else Level.WARNING
    return Finding(level, "certificate", says, "replace it: it is taken without a restart")


def _span(left: timedelta) -> str:
    return f"{left.days} d" if left.days else f"{left.seconds // 3600} h"
