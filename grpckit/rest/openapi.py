"""The OpenAPI 3.1 document, made from the contracts: every binding, every field, with its comment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from grpckit.rest.routes import Route
from grpckit.rest.scalars import is_map, kind
from grpckit.rest.schema import Schema, Schemas, comments, is_required

_STATUS: Schema = {
    "type": "object",
    "description": "google.rpc.Status. details holds google.rpc.ErrorInfo with the reason to branch on, "
    "google.rpc.BadRequest with the invalid fields, google.rpc.RetryInfo with when to try again.",
    "properties": {
        "code": {"type": "integer", "description": "The gRPC status code."},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object", "properties": {"@type": {"type": "string"}}}},
    },
}
_SECURITY: Schema = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_ERROR = {"$ref": "#/components/responses/Error"}


def describe(routes: Iterable[Route], title: str) -> Schema:
    """Returns the document."""
    schemas = Schemas()
    paths: dict[str, Schema] = {}
    tags: dict[str, Schema] = {}
    for route in sorted(routes, key=lambda one: (one.template.text, one.verb)):
        service = route.method.containing_service
        tags.setdefault(service.name, {"name": service.name, "description": comments().get(service.full_name, "")})
        verbs = paths.setdefault(route.template.openapi, {})
        verbs[route.verb.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "v1"},
        "tags": list(tags.values()),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.found.items())) | {"Status": _STATUS},
            "securitySchemes": _SECURITY,
            "responses": {"Error": {"description": "An error.", "content": _json(_ref("Status"))}},
        },
        "security": [{"apiKey": []}, {"bearer": []}, {}],
    }


def _operation(route: Route, schemas: Schemas) -> Schema:
    method = route.method
    text = comments().get(str(method.full_name), "")
    operation: Schema = {
        "operationId": re.sub(r"\W+", "_", f"{method.name}{route.verb.title()}{route.template.openapi}").strip("_"),
        "tags": [method.containing_service.name],
        "summary": _first_sentence(text) or method.name,
        "description": text,
        "parameters": _parameters(route, schemas),
        "responses": {"200": _answer(route, schemas), "default": _ERROR},
    }
    if route.body:
        content = schemas.message(method.input_type) if route.body == "*" else {"type": "object"}
        operation["requestBody"] = {
            "description": "All of it may be given in the query instead, or as a form.",
            "content": _json(content),
        }
    return operation


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends one, or to the end of the paragraph; lines are where the editor broke them."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.])\s(?=[A-Z])", paragraph)[0]


def _answer(route: Route, schemas: Schemas) -> Schema:
    schema = schemas.message(route.method.output_type)
    if not route.streams:
        return {"description": "Done.", "content": _json(schema)}
    text = "One message a line; server-sent events when Accept asks for text/event-stream, resumed by Last-Event-ID."
    return {
        "description": text,
        "content": {"application/x-ndjson": {"schema": schema}, "text/event-stream": {"schema": schema}},
    }


def _parameters(route: Route, schemas: Schemas) -> list[Schema]:
    found = []
    for field in route.method.input_type.fields:
        in_path = field.name in route.template.fields
        if kind(field) == "message" and not _fits_query(field):
            continue
        schema = schemas.field(field)
        description = schema.pop("description", "")
        one = {"name": field.name, "in": "path" if in_path else "query", "description": description, "schema": schema}
        if in_path or (is_required(field) and not route.body):
            one["required"] = True
        found.append(one)
    return found


def _fits_query(field: Any) -> bool:
    return not is_map(field) and str(field.message_type.full_name).startswith("google.protobuf.")


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
