"""TLS from files: certificates of ours, read again when they change, and trust in those of others.

A file that cannot be used, half-written or of another key, changes nothing: what was there before goes on, and the log
says why. With a client CA callers must present a certificate that it signed (mTLS).
"""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
import structlog

from grpckit.config import Settings
from grpckit.errors import StartupError
from grpckit.secret_file import require_private

_Stamp = tuple[tuple[int, int, int], ...]
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate chain, its key, and the CA of the clients; PEM. `client_ca` is empty when none is asked for."""

    chain: bytes
    key: bytes
    client_ca: bytes

    def __repr__(self) -> str:
        return "Material()"


class _Renewed(ABC, Generic[Read]):
    """Files that are used together, what was made of them in `now`, and a key among them that must be private.

    Files that cannot be used leave what there was. Raises StartupError when they cannot be used at the start.
    """

    def __init__(self, called: str, files: Iterable[Path | None], key: Path | None, setting: str) -> None:
        self._called = called
        self._files = [file for file in files if file is not None]
        self._key, self._setting = key, setting
        self._refused: _Stamp | None = None  # what could not be used; () is for files that are not there
        self._require_private()
        try:
            self._seen = self._stamp()
            self.now = self._made()
        except OSError as error:
            raise StartupError(f"{called} cannot be used: {_why(error)}") from None

    @abstractmethod
    def _made(self) -> Read:
        """Reads the files and makes of them what is used. Raises OSError, of which ssl.SSLError is one."""

    def renew(self) -> None:
        """Looks at the files again, if they changed. There is something new if `now` is another one: compare it with
        what you took, since others renew as well.
        """
        stamp: _Stamp = ()
        try:
            stamp = self._stamp()
            if stamp in (self._seen, self._refused):
                return
            self._require_private()
            new = self._made()
            if self._stamp() != stamp:
                return  # they are being written: whoever comes next looks again
        except (OSError, StartupError) as error:
            if stamp != self._refused:  # said once, not with every call
                problem = f"{self._called} cannot be used any more: going on with what was before"
                structlog.get_logger("grpckit").warning(problem, error=_why(error))
            self._refused = stamp
            return
        self._seen, self._refused, self.now = stamp, None, new
        structlog.get_logger("grpckit").info(f"{self._called} renewed", files=[str(file) for file in self._files])

    def _require_private(self) -> None:
        if self._key is not None:
            require_private(self._key, self._setting)

    def _stamp(self) -> _Stamp:
        # The time of a change of mode as well: with it a key may be private again.
        return tuple((s.st_ctime_ns, s.st_size, s.st_ino) for s in (file.stat() for file in self._files))


class Certificate(_Renewed[tuple[Material, ssl.SSLContext]]):
    """The files of a server's certificate. Raises StartupError when they cannot be used at the start."""

    def __init__(self, chain: Path, key: Path, client_ca: Path | None = None) -> None:
        self.asks_clients = client_ca is not None
        super().__init__("the TLS certificate", (chain, key, client_ca), key, "TLS_KEY_FILE")

    @property
    def material(self) -> Material:
        """For gRPC."""
        return self.now[0]

    @property
    def context(self) -> ssl.SSLContext:
        """For HTTP."""
        return self.now[1]

    def _made(self) -> tuple[Material, ssl.SSLContext]:
        chain, key, *client_ca = [file.read_bytes() for file in self._files]
        return Material(chain, key, b"".join(client_ca)), self._context()

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


class Calling(_Renewed[tuple[grpc.ChannelCredentials, bytes]]):
    """The files that other services are called with: the CA of their certificates, and a certificate to present there.

    Raises StartupError when they cannot be used at the start.
    """

    def __init__(self, ca: Path, chain: Path | None = None, key: Path | None = None) -> None:
        self._ca, self._chain = ca, chain
        super().__init__("the TLS files to call with", (ca, chain, key), key, "TLS_CLIENT_KEY_FILE")

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        """To connect with."""
        return self.now[0]

    @property
    def chain(self) -> bytes:
        """The certificate that is presented, PEM; empty when there is none."""
        return self.now[1]

    def _made(self) -> tuple[grpc.ChannelCredentials, bytes]:
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


def _why(error: OSError | StartupError) -> str:
    if isinstance(error, StartupError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return f"{error.reason or 'not PEM, or the key is not that of the certificate'}"
    return f"{error.filename}: {error.strerror}"
