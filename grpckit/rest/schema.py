"""JSON schemas of messages, as grpckit.rest.answer writes them and grpckit.rest.reader reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.api import field_behavior_pb2
from trueup.types.v1 import rules_pb2

from grpckit.rest.scalars import is_amount, is_map, kind, other_names

Schema = dict[str, Any]

_AMOUNT = {"type": "string", "format": "decimal", "examples": ["42000.5"]}
_SIMPLE: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "float": {"type": "number"},
    "boolean": {"type": "boolean"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
}
_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "examples": ["1.5s"]},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
}
_WIDE = (3, 4, 6, 16, 18)  # 64-bit types: strings in JSON


@cache
def comments() -> Mapping[str, str]:
    """Returns the comments of the contracts by full name; protos/generate.py leaves them beside the stubs."""
    file = Path(rules_pb2.__file__).parents[2] / "comments.json"
    if not file.is_file():
        return {}
    found: Mapping[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


class Schemas:
    """Collects the schemas of what it is asked about, each once, under their full names."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def message(self, descriptor: Any) -> Schema:
        """Returns a reference to a message's schema."""
        name = str(descriptor.full_name)
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        if name.startswith("google.protobuf."):
            return {}
        if name not in self.found:
            schema = self.found[name] = {"type": "object"}  # first, because messages may hold themselves
            if text := comments().get(name):
                schema["description"] = text
            schema["properties"] = {field.name: self.field(field) for field in descriptor.fields}
            required = [field.name for field in descriptor.fields if is_required(field)]
            if required:
                schema["required"] = required
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: Any) -> Schema:
        """Returns the schema of a field with its comment."""
        if is_map(field):
            value = field.message_type.fields_by_name["value"]
            schema: Schema = {"type": "object", "additionalProperties": self._single(value)}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._single(field)}
        else:
            schema = self._single(field)
        text = comments().get(str(field.full_name), "")
        if names := other_names(field):
            text = f"{text} Requests may call it {' or '.join(names)} as well.".strip()
        return schema | {"description": text} if text else schema

    def _single(self, field: Any) -> Schema:
        what = kind(field)
        if what == "message":
            return self.message(field.message_type)
        if what == "enum":
            return self._enum(field.enum_type)
        if what == "integer":
            return {"type": "string", "format": "int64"} if field.type in _WIDE else {"type": "integer"}
        if what == "string" and (is_amount(field) or _says_decimal(field)):
            return dict(_AMOUNT)
        return dict(_SIMPLE[what])

    def _enum(self, enum: Any) -> Schema:
        name = str(enum.full_name)
        if name not in self.found:
            texts = [comments().get(name, "")]
            texts += [f"- {comments().get(f'{name}.{value.name}', value.name)}" for value in enum.values]
            self.found[name] = {
                "type": "string",
                "enum": [value.name for value in enum.values],
                "description": "\n".join(text for text in texts if text),
            }
        return {"$ref": f"#/components/schemas/{name}"}


def is_required(field: Any) -> bool:
    """True for a field that a request must have."""
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _says_decimal(field: Any) -> bool:
    # Responses have no rules; their comments say what the text holds.
    return comments().get(str(field.full_name), "").endswith("Decimal.")
