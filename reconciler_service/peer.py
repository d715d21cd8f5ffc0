"""Whether the Position service is there: it is asked for its health all the time, on the channel that calls take."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from trueup.position.v1 import reconciliation_log_service_pb2

SERVICE = reconciliation_log_service_pb2.DESCRIPTOR.services_by_name["ReconciliationLogService"].full_name
ASK_S = 1.0
GONE_S = 5.0  # silent or not serving for so long, it is not there: a restart takes less


class Peer:
    """``run`` asks, ``is_there`` tells."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
        self._served_at = -GONE_S

    @property
    def is_there(self) -> bool:
        """Whether it has served within seconds."""
        return time.monotonic() - self._served_at < GONE_S

    async def run(self) -> None:
        """Ask until cancelled."""
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        while True:
            try:
                answer = await self._stub.Check(request, timeout=ASK_S)
            except grpc.aio.AioRpcError:
                pass  # time passes, and that is the answer
            else:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    self._served_at = time.monotonic()
            await asyncio.sleep(ASK_S)
