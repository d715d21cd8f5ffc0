"""One active Reconciler among several: who holds the lease runs the interval cycles, the others stand by.

It is about work, not about safety: the ledger keys cases by what they are about and a run by its id, and a correction
names the revision it was decided on. Two Reconcilers that run at once for a moment read the venue twice, no more. So a
standby answers every call, Reconcile and ResolveDrift too, and only leaves the interval to the other.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import grpc
import structlog
from trueup.position.v1 import reconciliation_log_service_pb2 as pb
from trueup.position.v1 import reconciliation_log_service_pb2_grpc

NAME = "reconciler"
RENEWALS = 3  # in the time a lease lasts: two may be lost

_log = structlog.get_logger("reconciler")


class Lease:
    """Held until a time of our own clock that is never later than the ledger's: counted from before it was asked for."""

    def __init__(self, log: reconciliation_log_service_pb2_grpc.ReconciliationLogServiceStub, ttl_s: float) -> None:
        self.holder = str(uuid.uuid4())
        self._log = log
        self._ttl_s = ttl_s
        self._until = 0.0
        self._refusal: grpc.StatusCode | None = None  # why nobody says whose it is
        self._decided = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Whether this process is the active one."""
        return time.monotonic() < self._until

    async def keep(self, on_taken: Callable[[], None]) -> None:
        """Take the lease as soon as it is free and renew it, until cancelled. Calls back each time it was taken."""
        while True:
            was_held, asked_at = self.is_held, time.monotonic()
            try:
                answer = await self._ask(self._ttl_s)
            except grpc.aio.AioRpcError as error:
                # Said once: without a lease it stands by for ever, and whoever wonders why must find it in the log.
                if was_held or error.code() is not self._refusal:
                    _log.warning("no lease", code=error.code().name, detail=error.details())
                self._refusal = error.code()
            else:
                self._refusal = None
                self._until = asked_at + self._ttl_s if answer.acquired else 0.0
                if was_held != answer.acquired:
                    _log.info("active" if answer.acquired else "standing by", holder=answer.holder)
                if answer.acquired and not was_held:
                    on_taken()
            self._decided.set()
            await asyncio.sleep(self._ttl_s / RENEWALS)

    async def decided(self) -> None:
        """Wait for the first answer, or for the first time there is none."""
        await self._decided.wait()

    async def give_up(self) -> None:
        """Let another one go on at once. If the ledger cannot be told, the lease ends by itself."""
        was_held, self._until = self.is_held, 0.0
        if was_held:
            try:
                await self._ask(0)
            except grpc.aio.AioRpcError as error:
                _log.info("lease not given up", code=error.code().name)

    async def _ask(self, ttl_s: float) -> pb.AcquireLeaseResponse:
        request = pb.AcquireLeaseRequest(name=NAME, holder=self.holder, ttl_ms=round(ttl_s * 1_000))
        return await self._log.AcquireLease(request, timeout=self._ttl_s / RENEWALS)
