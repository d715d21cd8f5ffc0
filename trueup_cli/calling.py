"""How the services are called, as the environment says, or the settings file: where, with which TLS files and key."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from grpckit.errors import StartupError
from trueup_cli.addresses import host_and_port

if TYPE_CHECKING:
    from grpckit.tls import Calling
    from trueup_cli.settings import CliSettings

POSITION_ADDRESS = "127.0.0.1:50051"
RECONCILER_ADDRESS = "127.0.0.1:50052"

_CONFIG = "TRUEUP_CONFIG"  # the services' settings file; most people have none, and reading it takes imports
_SECURED = (_CONFIG, "TRUEUP_KEY", "TRUEUP_KEY_FILE", "TLS_CA_FILE", "TLS_CLIENT_CERT_FILE", "TLS_CLIENT_KEY_FILE")


def position_address(given: str = "") -> str:
    """Where the Position service is, unless it is given. Raises StartupError."""
    return _address("position_address", given, POSITION_ADDRESS)


def reconciler_address(given: str = "") -> str:
    """Where the Reconciler is, unless it is given. Raises StartupError."""
    return _address("reconciler_address", given, RECONCILER_ADDRESS)


def tls_files() -> Calling | None:
    """The TLS files that the services are called with; None: without TLS. Raises StartupError."""
    if (settings := _secured()) is None:
        return None
    from grpckit.tls import calling  # noqa: PLC0415 - as above

    return calling(settings)


def api_key() -> Callable[[], str]:
    """What tells the API key that the services are called with; empty for none. Raises StartupError."""
    settings = _secured()
    return str if settings is None else settings.key


def _secured() -> CliSettings | None:
    """The settings, where they say anything of TLS and keys. Raises StartupError."""
    if not any(os.environ.get(name) for name in _SECURED):
        return None
    from trueup_cli.settings import CliSettings  # noqa: PLC0415 - as above

    return CliSettings.load()


def _address(name: str, given: str, usual: str) -> str:
    """Where a service is: as given, else by the environment, else by the settings file, else the usual place."""
    found = given or os.environ.get(name.upper(), "")
    if not found and os.environ.get(_CONFIG):
        from trueup_cli.settings import CliSettings  # noqa: PLC0415 - as above

        found = str(getattr(CliSettings.load(), name))
    try:
        host_and_port(found or usual, usual)
    except ValueError as error:
        raise StartupError(f"{name.upper()}: {error}") from None
    return found or usual
