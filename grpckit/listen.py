"""Listen addresses: host:port, [v6]:port, :port, unix:/path."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_UNIX_PATH_BYTES = 107  # sun_path, less its terminator


@dataclass(frozen=True, slots=True)
class Listen:
    """A parsed listen address. `path` is set for unix sockets, host and port otherwise."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses an address. Raises ValueError that says what is expected."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").removeprefix("//")
            if not path or len(path.encode()) > _UNIX_PATH_BYTES:
                raise ValueError(f"{text!r}: a unix socket needs a path of at most {_UNIX_PATH_BYTES} bytes")
            return cls(path=path)
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65_535 or (":" in host and not host.startswith("[")):
            raise ValueError(f"{text!r} is not a listen address: expected host:port, e.g. 127.0.0.1:50051")
        return cls(host=host.strip("[]") or "::", port=int(port))

    @property
    def loopback(self) -> bool:
        """True when only this machine can connect."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name may resolve to anything tomorrow

    def dial(self, port: int = 0) -> str:
        """Returns what a client on this machine connects to; `port` is the one that was bound, where 0 was asked for."""
        if self.path:
            return str(self)
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return str(Listen(host, port or self.port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@contextlib.contextmanager
def private_socket() -> Iterator[str]:
    """The address of a unix socket in a folder of its own that only we may enter."""
    with tempfile.TemporaryDirectory(prefix="trueup-", ignore_cleanup_errors=True) as folder:
        yield f"unix:{folder}/grpc"


def why_not(listen: Listen) -> str:
    """Says why an address cannot be bound, and what to do, by trying once more with a plain socket. Empty: it can."""
    try:
        if listen.path:
            return _why_not_unix(Path(listen.path))
        for family, kind, proto, _, address in socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, proto) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
    except socket.gaierror:
        return f"the host {listen.host} is unknown"
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return (
                f"the port is taken: stop the process that holds it (ss -ltnp 'sport = :{listen.port}') or set another"
            )
        if error.errno == errno.EADDRNOTAVAIL:
            return f"this machine has no address {listen.host}"
        return error.strerror or str(error)
    return ""


def _why_not_unix(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return ""  # nobody listens: gRPC removes the stale file
    return "another process listens on this socket: stop it or set another path"
