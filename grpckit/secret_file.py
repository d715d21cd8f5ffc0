"""Secrets in files: read only when nobody else can, made only for ourselves."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import structlog
from pydantic import SecretStr

from grpckit.errors import StartupError

_MOST_BYTES = 64 * 1024
_TICK_NS = 1_000_000_000  # two changes may bear the same time: what is younger is read again
_Stamp: TypeAlias = tuple[int, int, int]

_log = structlog.get_logger("grpckit")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def require_private(path: Path, name: str) -> None:
    """Raises StartupError when others than the owner may read or change a file. `name` is the setting that names it."""
    try:
        found = path.stat()
    except OSError as error:
        raise StartupError(f"{name}: cannot read {path}: {error.strerror}") from None
    # A secret that root mounts for a service is the group's to read: the service is not its owner.
    mounted = found.st_uid == 0 and os.geteuid() != 0
    if stat.S_IMODE(found.st_mode) & (_OTHERS & ~stat.S_IRGRP if mounted else _OTHERS):
        raise StartupError(f"{name}: {path} holds a secret and others may read it: chmod 600 {path}")


def read_secret(path: Path, name: str) -> str:
    """Reads a secret, without the spaces around it. Raises StartupError that never repeats it."""
    path = path.expanduser()
    require_private(path, name)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode().strip()
    except OSError as error:
        raise StartupError(f"{name}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartupError(f"{name}: {path} is not text") from None
    if not text:
        raise StartupError(f"{name}: {path} is empty")
    return text


def secret_of(given: SecretStr, path: Path | None, name: str) -> str:
    """The secret that a setting gives, or the file that `name`_FILE gives; empty for neither. Raises StartupError."""
    if given and path is not None:
        raise StartupError(f"set {name} or {name}_FILE, not both")
    return given.get_secret_value() if path is None else read_secret(path, f"{name}_FILE")


class SecretInUse:
    """A secret in a file that may be replaced while it is used: called, it is the one of now.

    A file that cannot be used changes nothing: the secret before goes on, and the log says why. Raises StartupError
    when there is none at the start.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path.expanduser(), name
        self._seen = _stamp(self._path)
        self._secret = read_secret(path, name)
        self._told = ""  # what is wrong with the file, as the log has it

    def __call__(self) -> str:
        stamp = _stamp(self._path)
        if stamp is None or stamp != self._seen:
            self._renew(stamp)
        return self._secret

    def _renew(self, stamp: _Stamp | None) -> None:
        self._seen = stamp
        try:
            new = read_secret(self._path, self._name)
        except StartupError as error:
            if str(error) != self._told:  # once, not with every call
                _log.warning("the new secret cannot be used: going on with the one before", error=str(error))
            self._told = str(error)
        else:
            self._told = ""
            if new != self._secret:
                _log.info("secret renewed", file=str(self._path))
            self._secret = new


def secret_in_use(given: SecretStr, path: Path | None, name: str) -> Callable[[], str]:
    """The same as `secret_of` for who uses it for long: what gives the secret of now, by the file."""
    secret = secret_of(given, path, name)
    return (lambda: secret) if path is None else SecretInUse(path, f"{name}_FILE")


def _stamp(path: Path) -> _Stamp | None:
    """What tells a file from the one before; None when it is not there, or may have changed in this very moment."""
    try:
        found = path.stat()
    except OSError:
        return None
    settled = time.time_ns() - found.st_ctime_ns > _TICK_NS
    return (found.st_ctime_ns, found.st_size, found.st_ino) if settled else None


def keep_secret(path: Path) -> str:
    """Reads the secret in a file of ours, which is made with a new random one when there is none yet.

    Who comes at the same time gets the same. Raises StartupError.
    """
    with contextlib.suppress(FileExistsError):
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32) + "\n")
    return read_secret(path, str(path.name))


def write_private(path: Path, text: str) -> None:
    """Writes a new file that only we can read: whole or not at all. Raises FileExistsError, StartupError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            draft.unlink()
    except FileExistsError:
        raise
    except OSError as error:
        raise StartupError(f"cannot write {path}: {error.strerror}") from None
