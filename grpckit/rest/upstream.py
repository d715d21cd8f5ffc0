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

Metadata = tuple[tuple[str, str], ...]


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

    async def health(self, timeout_s: float) -> dict[str, str]:
        """Asks for the health of each service; UNREACHABLE when there is no answer."""
        stub: Any = health_pb2_grpc.HealthStub(self._calls)  # type: ignore[no-untyped-call, unused-ignore]

        async def ask(name: str) -> str:
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=timeout_s)
            except grpc.aio.AioRpcError:
                return "UNREACHABLE"
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

        names = [str(service.full_name) for service in self.services]
        return dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))
