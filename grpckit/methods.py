"""What the contract says of each method: its scope, whether it only reads, whether it streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from trueup.types.v1 import rules_pb2

from grpckit.errors import StartupError

# The C++ and the Python classes of these are different types to a type checker, and the same to everybody else.
ServiceDescriptor: TypeAlias = Any
MethodDescriptor: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a contract. `path` is "package.Service/Method", a label of low cardinality."""

    path: str
    streams: bool
    read_only: bool
    scope: int = 0
    public: bool = False  # health and reflection: no credentials, no scope, own limit
    request_type: type[Message] | None = None

    @property
    def scope_name(self) -> str:
        """The scope as callers know it, e.g. "READ"."""
        names: Any = rules_pb2.Scope
        return str(names.Name(self.scope)).removeprefix("SCOPE_")


def service_named(service: ServiceDescriptor | str) -> ServiceDescriptor:
    """Finds a service's descriptor; its module must have been imported. Raises StartupError when it is unknown."""
    if not isinstance(service, str):
        return service
    try:
        return descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        raise StartupError(f"the service {service} is unknown: import its generated module first") from None


def methods_of(service: ServiceDescriptor) -> dict[str, Method]:
    """Reads the methods of a service by name.

    Raises StartupError for a method that names no scope, because nobody could say who may call it, and for client
    streaming, which the guard does not validate.
    """
    return {method.name: _method(method) for method in service.methods}


def public_methods_of(service: ServiceDescriptor) -> dict[str, Method]:
    """Describes a service that is open to all, health or reflection."""
    return {
        method.name: Method(
            path=f"{service.full_name}/{method.name}", streams=method.server_streaming, read_only=True, public=True
        )
        for method in service.methods
    }


def _method(method: MethodDescriptor) -> Method:
    options = method.GetOptions()
    extension: Any = rules_pb2.scope
    scope = int(options.Extensions[extension])
    path = f"{method.containing_service.full_name}/{method.name}"
    if scope == rules_pb2.SCOPE_UNSPECIFIED:
        raise StartupError(f"{path} names no (trueup.types.v1.scope): a method without a scope does not start")
    if method.client_streaming:
        raise StartupError(f"{path} streams requests, which are not validated: not supported")
    return Method(
        path=path,
        streams=method.server_streaming,
        read_only=options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
        scope=scope,
        request_type=message_factory.GetMessageClass(method.input_type),
    )
