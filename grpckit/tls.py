"""TLS from files: certificates of ours, read again when they change, and trust in those of others.

A file that cannot be used, half-written or of another key, changes nothing: what was there before goes on, and the log
says why. With a client CA callers must present a certificate that it signed (mTLS).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog

from grpckit.config import Settings
from grpckit.errors import StartupError
from grpckit.secret_file import require_private

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate chain, its key, and the CA of the clients; PEM. `client_ca` is empty when none is asked for."""

    chain: bytes
    key: bytes
    client_ca: bytes

    def __repr__(self) -> str:
        return "Material()"


class Certificate:
    """The files of a server's certificate. Raises StartupError when they cannot be used at the start."""

    def __init__(self, chain: Path, key: Path, client_ca: Path | None = None) -> None:
        self._files = (chain, key) if client_ca is None else (chain, key, client_ca)
        require_private(key, "TLS_KEY_FILE")
        self.asks_clients = client_ca is not None
        self._refused: _Stamp | None = None  # what could not be used; () is for files that are not there
        try:
            self._seen = self._stamp()
            self.material = self._read()
            self.context = self._context()
        except (OSError, ssl.SSLError) as error:
            raise StartupError(f"the TLS certificate cannot be used: {_why(error)}") from None

    def renew(self) -> bool:
        """Looks at the files again, if they changed. Returns whether there is a new certificate to serve with."""
        stamp: _Stamp = ()
        try:
            stamp = self._stamp()
            if stamp in (self._seen, self._refused):
                return False
            require_private(self._files[1], "TLS_KEY_FILE")
            material, context = self._read(), self._context()
            if self._stamp() != stamp:
                return False  # it is being written: the next handshake looks again
        except (OSError, StartupError) as error:
            if stamp != self._refused:  # said once, not with every handshake
                problem = "the new TLS certificate cannot be used: going on with the one before"
                structlog.get_logger("grpckit").warning(problem, error=_why(error))
            self._refused = stamp
            return False
        self._seen, self._refused, self.material, self.context = stamp, None, material, context
        structlog.get_logger("grpckit").info("TLS certificate renewed", file=str(self._files[0]))
        return True

    def _stamp(self) -> _Stamp:
        return _stamp(self._files)

    def _read(self) -> Material:
        chain, key, *client_ca = [file.read_bytes() for file in self._files]
        return Material(chain, key, b"".join(client_ca))

    def _context(self) -> ssl.SSLContext:
        """For HTTP; and to see that the files belong together, which gRPC would not say."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._files[0], self._files[1], password=lambda: b"")  # never ask a terminal
        if self.asks_clients:
            context.load_verify_locations(self._files[-1])
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def certificate(settings: Settings) -> Certificate | None:
    """The certificate to serve with; None without one. Raises StartupError."""
    chain, key = settings.tls_cert_file, settings.tls_key_file
    if chain is None and key is None and settings.tls_client_ca_file is None:
        return None
    if chain is None or key is None:
        raise StartupError("TLS_CERT_FILE and TLS_KEY_FILE go together, and TLS_CLIENT_CA_FILE needs both")
    return Certificate(chain, key, settings.tls_client_ca_file)


def server_credentials(served: Certificate | None) -> grpc.ServerCredentials | None:
    """Credentials for a gRPC server; the files are looked at with every handshake."""
    if served is None:
        return None

    given: list[Material] = []

    def configuration() -> Any:
        given[:] = [material := served.material]
        return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.client_ca or None)

    def fetch() -> Any:  # in a thread of gRPC's
        served.renew()  # or HTTP did already
        return configuration() if served.material is not given[0] else None

    made: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        configuration(), fetch, require_client_authentication=served.asks_clients
    )
    return made


def http_context(served: Certificate | None) -> ssl.SSLContext | None:
    """A context for an HTTP server; the files are looked at with every handshake."""
    if served is None:
        return None

    context = _Current(ssl.PROTOCOL_TLS_SERVER)
    context.served = served
    return context


class _Current(ssl.SSLContext):
    """Stands for the context of now, in which a connection begins and stays.

    An SNI callback that puts another one in its place comes too late: sessions would still be resumed by the first
    one, without a look at the client's certificate, whatever the client CA is by now.
    """

    served: Certificate

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        self.served.renew()
        return self.served.context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class Calling:
    """The files that other services are called with: the CA of their certificates, and a certificate to present there.

    Raises StartupError when they cannot be used at the start.
    """

    def __init__(self, ca: Path, chain: Path | None = None, key: Path | None = None) -> None:
        self._ca, self._chain, self._key = ca, chain, key
        self._files = [file for file in (ca, chain, key) if file is not None]
        self._refused: _Stamp | None = None
        if key is not None:
            require_private(key, "TLS_CLIENT_KEY_FILE")
        try:
            self._seen = _stamp(self._files)
            self.credentials, self.chain = self._read()
        except (OSError, ssl.SSLError) as error:
            raise StartupError(f"the TLS files cannot be used: {_why(error)}") from None

    def renew(self) -> bool:
        """Looks at the files again, if they changed. Returns whether there are new credentials to call with."""
        stamp: _Stamp = ()
        try:
            stamp = _stamp(self._files)
            if stamp in (self._seen, self._refused):
                return False
            if self._key is not None:
                require_private(self._key, "TLS_CLIENT_KEY_FILE")
            credentials, chain = self._read()
            if _stamp(self._files) != stamp:
                return False  # they are being written: the next call looks again
        except (OSError, StartupError) as error:
            if stamp != self._refused:  # said once, not with every call
                problem = "the new TLS files cannot be used: calling with the ones before"
                structlog.get_logger("grpckit").warning(problem, error=_why(error))
            self._refused = stamp
            return False
        self._seen, self._refused, self.credentials, self.chain = stamp, None, credentials, chain
        structlog.get_logger("grpckit").info("TLS files to call with renewed", file=str(self._chain or self._ca))
        return True

    def _read(self) -> tuple[grpc.ChannelCredentials, bytes]:
        """Credentials, and the chain that they present, PEM; empty when none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # says what is wrong; gRPC would only fail to connect
        context.load_verify_locations(self._ca)
        if self._chain is not None:
            context.load_cert_chain(self._chain, self._key, password=lambda: b"")
        read = [None if file is None else file.read_bytes() for file in (self._ca, self._key, self._chain)]
        return grpc.ssl_channel_credentials(*read), read[-1] or b""


def calling(settings: Settings) -> Calling | None:
    """What to call other services with; None: without TLS. Raises StartupError."""
    ca, chain, key = settings.tls_ca_file, settings.tls_client_cert_file, settings.tls_client_key_file
    if ca is None and chain is None and key is None:
        return None
    if (chain is None) != (key is None) or ca is None:
        raise StartupError("TLS_CLIENT_CERT_FILE and TLS_CLIENT_KEY_FILE go together, and need TLS_CA_FILE")
    return Calling(ca, chain, key)


def channel_credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """Credentials to call other services with as the files are now; None: without TLS. Raises StartupError."""
    found = calling(settings)
    return None if found is None else found.credentials


def _stamp(files: Iterable[Path]) -> _Stamp:
    # The time of a change of mode as well: with it a key may be private again.
    return tuple((s.st_ctime_ns, s.st_size, s.st_ino) for s in (file.stat() for file in files))


def _why(error: OSError | StartupError) -> str:
    if isinstance(error, StartupError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return f"{error.reason or 'not PEM, or the key is not that of the certificate'}"
    return f"{error.filename}: {error.strerror}"
