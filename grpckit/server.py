"""A gRPC server that starts clearly, answers for its health and stops in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from grpckit import health
from grpckit.errors import RpcError, StartupError, abort
from grpckit.guard import Guard
from grpckit.limits import Limits
from grpckit.listen import Listen, why_not
from grpckit.methods import Method, ServiceDescriptor, methods_of, public_methods_of, service_named

# What the type stubs of these packages leave out or disagree about.
_health_pb2_grpc: Any = health_pb2_grpc
_reflection: Any = reflection
_reflection_pb2_grpc: Any = reflection_pb2_grpc

_REFLECTION = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


@dataclass(frozen=True, slots=True)
class Service:
    """A service to serve: its descriptor or full name, the generated add function, and what implements it."""

    descriptor: ServiceDescriptor | str
    add_to_server: Callable[[Any, Any], None]
    servicer: object


def may_listen(listen: str, *, secured: bool, insecure: bool) -> Listen:
    """The address, parsed. Raises StartupError for one off loopback without TLS, unless `insecure` was spelled out."""
    try:
        parsed = Listen.parse(listen)
    except ValueError as error:
        raise StartupError(str(error)) from None
    if not (secured or parsed.loopback or insecure):
        raise StartupError(
            f"refusing to listen on {listen} without TLS: set TLS_CERT_FILE and TLS_KEY_FILE, listen on 127.0.0.1, "
            "or spell out that it is to be insecure (INSECURE=true)"
        )
    return parsed


class Server:
    """Serves services behind a guard, with health and, on loopback, reflection.

    Raises StartupError when a method of a contract names no scope, and when it would listen off loopback without TLS
    (`credentials`) and `insecure` was not spelled out. `drain_wait_s` is how long balancers get to see NOT_SERVING
    before calls are refused: none on loopback, otherwise 5 s unless given. `inside` is a unix socket to listen on as
    well, without TLS: for an HTTP edge in the same process, which cannot know what name a certificate bears.
    """

    def __init__(
        self,
        listen: str,
        services: Sequence[Service],
        guard: Guard,
        *,
        limits: Limits | None = None,
        credentials: grpc.ServerCredentials | None = None,
        insecure: bool = False,
        reflect: bool | None = None,
        drain_wait_s: float | None = None,
        inside: str = "",
    ) -> None:
        self._inside = inside
        self._listen = may_listen(listen, secured=credentials is not None, insecure=insecure)
        self._credentials = credentials
        self._reflect = self._listen.loopback if reflect is None else reflect
        self._drain_wait_s = (0.0 if self._listen.loopback else 5.0) if drain_wait_s is None else drain_wait_s
        self._guard = guard
        self._services = {service_named(service.descriptor).full_name: service for service in services}
        self._methods = {
            name: methods_of(service_named(service.descriptor)) for name, service in self._services.items()
        }
        self._health = health.Health(self._services)
        self._options = _options(limits or guard.limits)
        self._server: grpc.aio.Server | None = None
        self._drained: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("grpckit")

    @property
    def stopping(self) -> asyncio.Event:
        """Set once the server drains: streams end. Watch it, do not set it: `drain` does more."""
        return self._guard.stopping

    async def start(self) -> int:
        """Binds, starts and reports SERVING. Returns the port (0 for a unix socket).

        Raises StartupError that says what to do when the address cannot be bound.
        """
        if self._server is not None:
            raise RuntimeError("the server was started before")
        server = self._server = grpc.aio.server(options=self._options, handlers=_FALLBACK)
        try:
            for name, service in self._services.items():
                self._guard.warm(self._methods[name])
                service.add_to_server(service.servicer, _Registrar(server, self._guard, self._methods[name]))
            self._add_public(server)
            port = self._bind(server)
            await server.start()
        except BaseException:
            await server.stop(None)  # or gRPC complains at the end of the process
            raise
        self._health.set_serving(serving=True)
        return port

    def _bind(self, server: grpc.aio.Server) -> int:
        # gRPC takes a unix socket's path away from whoever listens there, so it is asked about first.
        problem = why_not(self._listen) if self._listen.path else ""
        if not problem:
            try:
                if self._credentials is None:
                    port = server.add_insecure_port(str(self._listen))
                else:
                    port = server.add_secure_port(str(self._listen), self._credentials)
                if self._inside:
                    server.add_insecure_port(self._inside)
            except RuntimeError as error:
                problem = why_not(self._listen) or str(error)
            else:
                return 0 if self._listen.path else port
        raise StartupError(f"cannot listen on {self._listen}: {problem}")

    def _add_public(self, server: grpc.aio.Server) -> None:
        watch = _Registrar(server, self._guard, public_methods_of(health.SERVICE))
        _health_pb2_grpc.add_HealthServicer_to_server(self._health, watch)
        if self._reflect:
            servicer = _reflection.aio.ReflectionServicer(
                (*self._services, health.SERVICE.full_name, _REFLECTION.full_name)
            )
            reflect = _Registrar(server, self._guard, public_methods_of(_REFLECTION))
            _reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, reflect)

    @property
    def health(self) -> health.Health:
        """What it says of itself; tell it here what its services depend on."""
        return self._health

    def set_serving(self, serving: bool, service: str | None = None) -> None:
        """Sets what health reports, of one service or of all. Raises KeyError for an unknown service."""
        self._health.set_serving(serving, service)

    async def drain(self, grace_s: float) -> None:
        """Stops in order: health says NOT_SERVING, balancers get time, streams end, calls under way get `grace_s`.

        Calling it again waits for the same end.
        """
        if self._drained is None:
            self._drained = asyncio.create_task(self._drain(grace_s))
        await asyncio.shield(self._drained)

    async def _drain(self, grace_s: float) -> None:
        self._health.finish()
        if self._server is not None and self._drain_wait_s:
            await asyncio.sleep(self._drain_wait_s)
        self._guard.drain()
        if self._server is not None:
            await self._server.stop(grace_s)


class _Registrar:
    """Stands in for the server towards generated code, and puts the guard around what it registers."""

    def __init__(self, server: grpc.aio.Server, guard: Guard, methods: Mapping[str, Method]) -> None:
        self._server: Any = server
        self._guard = guard
        self._methods = methods

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Does nothing: the same handlers are registered by name, and an unguarded way in must not exist."""

    def add_registered_method_handlers(self, service_name: str, handlers: Mapping[str, Any]) -> None:
        """Registers the handlers, guarded."""
        self._server.add_registered_method_handlers(service_name, self._guard.wrap(self._methods, handlers))


class _Unknown:
    """Answers methods that no contract has, with a reason like every other error."""

    def service(self, handler_call_details: Any) -> Any:
        """Returns a handler that does not wait for a request."""
        return grpc.stream_stream_rpc_method_handler(_no_such_method)


async def _no_such_method(requests: Any, context: Any) -> None:
    await abort(context, RpcError(grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED", "there is no such method"))


_FALLBACK: Any = (_Unknown(),)


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # on by default: two servers on one port, and nobody is told
        ("grpc.max_receive_message_length", limits.request_bytes),
        ("grpc.max_metadata_size", limits.metadata_bytes),
        ("grpc.absolute_max_metadata_size", limits.metadata_hard_bytes),
        ("grpc.max_concurrent_streams", limits.streams_per_connection),
        ("grpc.keepalive_time_ms", _ms(limits.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(limits.ping_timeout_s)),
        ("grpc.http2.ping_timeout_ms", _ms(limits.ping_timeout_s)),  # the one that counts
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(limits.client_ping_interval_s)),
        ("grpc.max_connection_age_ms", _ms(limits.connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _ms(limits.connection_age_grace_s)),
        ("grpc.server_handshake_timeout_ms", _ms(limits.handshake_s)),
    ]


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)
