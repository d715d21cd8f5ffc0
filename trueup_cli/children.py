"""The services as child processes: started, waited for, stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grpckit.errors import StartupError
from trueup_cli.dial import dial

START_S = 60.0  # the first start makes a database
STOP_S = 20.0
STAY_UP_S = 3.0  # who ends sooner after its start will do so again


class Child:
    """``python -m MODULE`` with its log in a file."""

    def __init__(self, module: str, address: str, log_folder: Path) -> None:
        self.module = module
        self.address = address
        self.log_file = log_folder / f"{module}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._settings: Mapping[str, str] = {}
        self._started = 0.0

    async def start(self, settings: Mapping[str, str]) -> None:
        """Start it and wait until its health says SERVING. Raises StartupError with what its log says."""
        self._settings, self._started = settings, asyncio.get_running_loop().time()
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.module,
                env={**os.environ, **settings, "PYTHONSAFEPATH": "1"},  # else -m imports from the user's folder first
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the parent, which stops its children in order
            )
        ended = asyncio.create_task(self._process.wait())
        serving = asyncio.create_task(self._serving())
        done, _ = await asyncio.wait({ended, serving}, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, serving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if serving not in done:
            raise StartupError(f"{self.module} did not start. Its log, {self.log_file}, ends with:\n{self._tail()}")

    async def _serving(self) -> None:
        async with dial(self.address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)  # its stubs are for the other kind of channel
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1.0, wait_for_ready=True)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                await asyncio.sleep(0.05)

    async def kept_up(self, say: Callable[[str], None]) -> None:
        """Start it again whenever it ends by itself, for ever. Raises StartupError when it does not stay up."""
        while True:
            assert self._process is not None
            code = await self._process.wait()
            if asyncio.get_running_loop().time() - self._started < STAY_UP_S:
                tail = self._tail()
                raise StartupError(
                    f"{self.module} ended with code {code}. Its log, {self.log_file}, ends with:\n{tail}"
                )
            say(f"{self.module} ended with code {code}: starting it again")
            await self.start(self._settings)
            say(f"{self.module} is back")

    async def stop(self) -> None:
        """Ask it to drain; insist when it takes too long."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _tail(self, lines: int = 12) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])
