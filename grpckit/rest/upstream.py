"""The services behind the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grpckit.channel import connect
from grpckit.methods import ServiceDescriptor
from grpckit.rest.routes import Route

_pb2: Any = health_pb2  # the type stubs are older than List
_Status = health_pb2.HealthCheckResponse

Metadata = tuple[tuple[str, str], ...]
UNREACHABLE = "UNREACHABLE"  # the health of what does not answer


@dataclass
class Upstream:
    """One address and the services found there. Streams have a connection of their own: they cannot fill that of calls."""

    address: str
    services: Sequence[ServiceDescriptor]
    credentials: grpc.ChannelCredentials | None = None
    _calls: grpc.aio.Channel = field(init=False, repr=False)
    _streams: grpc.aio.Channel = field(init=False, repr=False)

    def open(self) -> None:
        """Opens the channels; they connect when they are needed."""
        self._calls = connect(self.address, credentials=self.credentials)
        self._streams = connect(self.address, credentials=self.credentials, watching=True)

    async def close(self) -> None:
        """Closes the channels and what still runs on them."""
        await asyncio.gather(self._calls.close(None), self._streams.close(None))

    def call(self, route: Route, request: Message, metadata: Metadata, timeout_s: float) -> Any:
        """Begins a unary call."""
        method: Any = self._calls.unary_unary(
            route.path,
            request_serializer=route.request_type.SerializeToString,
            response_deserializer=route.response_type.FromString,
        )
        return method(request, metadata=metadata, timeout=timeout_s)

    def stream(self, route: Route, request: Message, metadata: Metadata) -> Any:
        """Begins a stream. Cancel it: grpckit.channel.watch does."""
        method: Any = self._streams.unary_stream(
            route.path,
            request_serializer=route.request_type.SerializeToString,
            response_deserializer=route.response_type.FromString,
        )
        return method(request, metadata=metadata)

    async def health(self, timeout_s: float) -> tuple[dict[str, str], dict[str, str]]:
        """Asks for the health of each service, UNREACHABLE when there is no answer, and of what they depend on."""
        stub: Any = health_pb2_grpc.HealthStub(self._calls)  # type: ignore[no-untyped-call, unused-ignore]
        names = [str(service.full_name) for service in self.services]
        try:
            answer = await stub.List(_pb2.HealthListRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError:
            return dict.fromkeys(names, UNREACHABLE), {}
        found = {name: str(_Status.ServingStatus.Name(one.status)) for name, one in sorted(answer.statuses.items())}
        services = {name: found.get(name, "SERVICE_UNKNOWN") for name in names}
        # A service of the contracts that is not served here is in neither.
        return services, {name: status for name, status in found.items() if name and "." not in name}
