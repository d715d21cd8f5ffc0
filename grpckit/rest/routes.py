"""Which method of which service answers a request: read from the google.api.http annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.message import Message

from grpckit.errors import StartupError
from grpckit.methods import MethodDescriptor, ServiceDescriptor
from grpckit.rest.template import Template, normalised

_VERBS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Route:
    """One binding of one method. `body` is "*", the name of a field, or empty for none."""

    verb: str
    template: Template
    body: str
    method: MethodDescriptor
    request_type: type[Message]
    response_type: type[Message]

    @property
    def streams(self) -> bool:
        return bool(self.method.server_streaming)

    @property
    def service(self) -> str:
        return str(self.method.containing_service.full_name)

    @property
    def path(self) -> str:
        """What gRPC calls the method."""
        return f"/{self.service}/{self.method.name}"


class NotRouted(Exception):
    """Nothing answers the request. `allowed` are the verbs that the path does answer."""

    def __init__(self, allowed: frozenset[str]) -> None:
        super().__init__()
        self.allowed = allowed


class Routes:
    """The routes of some services. Raises StartupError for a binding that could not be told from another."""

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        self._by_verb: defaultdict[str, list[Route]] = defaultdict(list)
        seen: dict[object, Route] = {}
        for service in services:
            for method in service.methods:
                for route in _bindings(method):
                    other = seen.setdefault((route.verb, route.template.shape), route)
                    if other is not route:
                        raise StartupError(
                            f"{route.path} and {other.path} both answer {route.verb} {other.template.text}"
                        )
                    self._by_verb[route.verb].append(route)
        for routes in self._by_verb.values():
            routes.sort(key=lambda route: route.template.order)

    def __iter__(self) -> Iterator[Route]:
        for routes in self._by_verb.values():
            yield from routes

    def find(self, verb: str, path: str) -> tuple[Route, dict[str, str]]:
        """Returns the route of a request and its path's variables. `path` is percent-encoded.

        Raises NotRouted, and UnicodeDecodeError when a variable is not UTF-8. HEAD is answered where GET is.
        """
        path = normalised(path)
        for route in self._by_verb.get("GET" if verb == "HEAD" else verb, ()):
            values = route.template.match(path)
            if values is not None:
                return route, values
        raise NotRouted(self.allowed(path))

    def allowed(self, path: str) -> frozenset[str]:
        """Returns the verbs that a path answers; empty when it is nothing."""
        path = normalised(path)
        verbs = {
            verb for verb, routes in self._by_verb.items() if any(r.template.match(path) is not None for r in routes)
        }
        if "GET" in verbs:
            verbs.add("HEAD")
        return frozenset(verbs | {"OPTIONS"}) if verbs else frozenset()


def _bindings(method: MethodDescriptor) -> Iterator[Route]:
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    first: Any = options.Extensions[annotations_pb2.http]
    name = f"{method.containing_service.full_name}/{method.name}"
    request_type = message_factory.GetMessageClass(method.input_type)
    response_type = message_factory.GetMessageClass(method.output_type)
    for rule in (first, *first.additional_bindings):
        verb = rule.WhichOneof("pattern")
        if verb not in _VERBS or rule.response_body or method.client_streaming:
            raise StartupError(f"{name}: this kind of google.api.http binding is not supported")
        template = Template(getattr(rule, verb))
        missing = [field for field in (*template.fields, rule.body) if not _has(method.input_type, field)]
        if missing:
            raise StartupError(f"{name}: {method.input_type.full_name} has no field {missing[0]}")
        yield Route(verb.upper(), template, rule.body, method, request_type, response_type)


def _has(descriptor: Any, path: str) -> bool:
    if path in ("", "*"):
        return True
    name, _, rest = path.partition(".")
    field = descriptor.fields_by_name.get(name)
    return field is not None and (not rest or (field.message_type is not None and _has(field.message_type, rest)))
