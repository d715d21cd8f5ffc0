"""`trueup` as a person, a pipe and a script run it: real processes, on a terminal or not."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.processes import BIN, DEADLINE_S, ROOT, Process


class CommandLine:
    """Runs `trueup` with an environment that says where the services are."""

    def __init__(self, env: Mapping[str, str], cwd: Path = ROOT) -> None:
        self.env = dict(env)
        self._cwd = cwd

    def run(
        self, *arguments: str | Path, code: int = 0, given: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """To its end, which must be with the exit code; ``given`` is its standard input, a pipe."""
        done = subprocess.run(
            [BIN / "trueup", *map(str, arguments)],
            env=self.env | env,
            cwd=self._cwd,
            input=given,
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE_S,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def rows(self, *arguments: str | Path, code: int = 0, **env: str) -> list[dict[str, Any]]:
        """The objects that it prints into a pipe, one a line."""
        return [json.loads(line) for line in self.run(*arguments, code=code, **env).stdout.splitlines()]

    def row(self, *arguments: str | Path, code: int = 0, **env: str) -> dict[str, Any]:
        """The one object that it prints."""
        (found,) = self.rows(*arguments, code=code, **env)
        return found

    def table(self, *arguments: str | Path, code: int = 0, **env: str) -> str:
        """What it prints for people."""
        return self.run(*arguments, "--table", code=code, **env).stdout

    def refused(self, *arguments: str | Path, code: int = 1, given: str = "", **env: str) -> str:
        """The one line that it says when it does not do it."""
        done = self.run(*arguments, code=code, given=given, **env)
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: "), line
        return line.removeprefix("error: ")

    def started(self, *arguments: str, **env: str) -> Process:
        """Begin a command that lasts; both of its outputs together."""
        return Process([BIN / "trueup", *arguments], self.env | env, self._cwd)

    def on_terminal(self, *arguments: str, answers: Mapping[str, str] | None = None, code: int = 0) -> str:
        """All that a terminal shows; whenever it shows one of the questions, the answer is typed, once."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [BIN / "trueup", *arguments],
            env=self.env | {"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "50"},
            cwd=self._cwd,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        left, shown, until = dict(answers or {}), "", time.monotonic() + DEADLINE_S
        try:
            while time.monotonic() < until:
                if not select.select([ours], [], [], 1.0)[0]:
                    continue
                read = b""
                with contextlib.suppress(OSError):  # EIO: the other side is closed
                    read = os.read(ours, 65_536)
                if not read:
                    break
                shown += read.decode(errors="replace")
                for question in [each for each in left if each in shown]:
                    os.write(ours, left.pop(question).encode() + b"\n")
            assert process.wait(DEADLINE_S) == code, shown
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return shown
