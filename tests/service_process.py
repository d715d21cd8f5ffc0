"""The Position service as a process of its own, as it runs in production."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

DEADLINE_S = 60.0


class ServiceProcess:
    """``python -m position_service`` with its log in a file. Settings are environment variables."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, prefix: Sequence[str] = (), module: str = "position_service"
    ) -> None:
        self.log = folder / f"service-{time.monotonic_ns()}.log"
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        environment = inherited | {"PYTHONPATH": os.pathsep.join(sys.path), "POSITION_LISTEN": "127.0.0.1:0"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", module],
                env=environment | dict(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
            )
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ready(self) -> ServiceProcess:
        """Wait until it serves."""
        until = time.monotonic() + DEADLINE_S
        while not self.port:
            for line in self.log.read_text().splitlines():
                if line.startswith("{") and '"position service is ready"' in line:
                    self.port = json.loads(line)["port"]
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """As the kernel does it: no clean-up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)

    def terminate(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def wait(self) -> tuple[int, str]:
        """Its exit code and what it said."""
        return self.process.wait(DEADLINE_S), self.log.read_text()
