"""Fills a request message from JSON and from URL parameters, and says exactly which field is wrong.

Unknown fields are errors: a misspelt `size` must not become a position of another size. Amounts are strings in the
contracts, and a JSON number is taken for one digit by digit: no float is ever made of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from grpckit.errors import Violation, invalid
from grpckit.rest.scalars import INTEGER, Field, FromUrl, Number, Wrong, is_map, kind, other_names, scalar

_MOST_VIOLATIONS = 20
_WELL_KNOWN = {
    "Timestamp": "must be a time, e.g. 2026-01-31T12:00:00Z",
    "Duration": "must be a duration in seconds, e.g. 1.5s",
}


class Reader:
    """Fills one message from several sources. No field may come from two of them."""

    def __init__(self, message: Message) -> None:
        self._message: Any = message
        self._given: set[str] = set()
        self._violations: list[Violation] = []

    def read_object(self, value: object, within: str = "") -> None:
        """Reads a JSON object into the message, or into its field `within`."""
        if not within:
            self._read_message(self._message, value, "")
        elif field := self._find(self._message, within, within):
            self._read_field(self._message, field, value, within)

    def read_text(self, path: str, values: list[str]) -> None:
        """Reads a parameter: `venue`, `fee.amount`, `labels.desk`."""
        message, names, rest = self._message, path.split("."), ""
        field: Field = None
        for index, name in enumerate(names):
            field = self._find(message, name, path)
            if field is None:
                return
            names[index] = field.name  # whatever it was called, it is the same field
            path = ".".join(names)
            rest = ".".join(names[index + 1 :])
            if rest and is_map(field):
                self._read_field(message, field, {rest: FromUrl(values[-1])}, path)
                return
            if not rest or field.is_repeated or field.message_type is None or _is_well_known(field.message_type):
                break
            message = getattr(message, field.name)
        if rest:
            self._wrong(path, "has no fields of its own")
        elif field.message_type is not None and not _is_well_known(field.message_type):
            self._wrong(path, "belongs into a JSON body" if field.is_repeated else f"needs a field: {path}.…")
        elif field.is_repeated:
            self._read_field(message, field, [FromUrl(value) for value in values], path)
        elif len(values) > 1:
            self._wrong(path, "is given more than once")
        else:
            self._read_field(message, field, FromUrl(values[0]), path)

    def read_variable(self, path: str, value: str) -> None:
        """Reads a variable of the path. A body that repeats it is fine, one that contradicts it is not."""
        if path in self._given and getattr(self._message, path, None) == value:
            return
        self.read_text(path, [value])

    def finish(self) -> None:
        """Raises RpcError that names every field that is wrong."""
        if self._violations:
            first = self._violations[0]
            more = f" (and {len(self._violations) - 1} more)" if len(self._violations) > 1 else ""
            raise invalid(f"{first.field or 'the body'}: {first.description}{more}", *self._violations)

    def _wrong(self, path: str, description: str) -> None:
        if len(self._violations) < _MOST_VIOLATIONS:
            self._violations.append(Violation(path, description))

    def _find(self, message: Any, name: str, path: str) -> Field | None:
        descriptor = message.DESCRIPTOR
        field = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
        field = field or next((one for one in descriptor.fields if name in other_names(one)), None)
        if field is None:
            near = difflib.get_close_matches(name[:64], descriptor.fields_by_name, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self._wrong(path, f"{descriptor.name} has no such field{hint}")
        return field

    def _read_message(self, message: Any, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            self._wrong(path, "must be a JSON object")
            return
        for name, inner in value.items():
            inner_path = f"{path}.{name}" if path else name
            field = self._find(message, name, inner_path)
            if field is not None:
                self._read_field(message, field, inner, f"{path}.{field.name}" if path else field.name)

    def _read_field(self, message: Any, field: Field, value: object, path: str) -> None:
        if value is None:
            return
        if path in self._given:
            self._wrong(path, "is given more than once")
            return
        self._given.add(path)
        try:
            if is_map(field):
                self._read_map(getattr(message, field.name), field, value, path)
            elif field.is_repeated:
                self._read_list(getattr(message, field.name), field, value, path)
            elif field.message_type is not None:
                inner = getattr(message, field.name)
                inner.SetInParent()
                self._read_inner(inner, value, path)
            else:
                setattr(message, field.name, scalar(field, value))
        except Wrong as error:
            self._wrong(path, str(error))
        except (ValueError, TypeError):  # out of the type's range, or text that is not Unicode
            self._wrong(path, "is out of range" if kind(field) != "string" else "is not valid text")

    def _read_inner(self, message: Any, value: object, path: str) -> None:
        if not _is_well_known(message.DESCRIPTOR):
            self._read_message(message, value, path)
            return
        try:
            json_format.ParseDict(_plain(value), message)
        except (json_format.ParseError, ValueError, TypeError, AttributeError):
            raise Wrong(_WELL_KNOWN.get(message.DESCRIPTOR.name, "is malformed")) from None

    def _read_list(self, target: Any, field: Field, value: object, path: str) -> None:
        if not isinstance(value, list):
            raise Wrong("must be a JSON array")
        for index, item in enumerate(value):
            inner_path = f"{path}[{index}]"
            try:
                if field.message_type is not None:
                    self._read_inner(target.add(), item, inner_path)
                else:
                    target.append(scalar(field, item))
            except Wrong as error:
                self._wrong(inner_path, str(error))

    def _read_map(self, target: Any, field: Field, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise Wrong("must be a JSON object")
        key_field, value_field = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        for key, item in value.items():
            try:
                typed_key = scalar(key_field, FromUrl(key))
                if value_field.message_type is not None:
                    self._read_inner(target[typed_key], item, f'{path}["{key}"]')
                else:
                    target[typed_key] = scalar(value_field, item)
            except Wrong as error:
                self._wrong(f'{path}["{key}"]', str(error))


def _is_well_known(descriptor: Any) -> bool:
    return str(descriptor.full_name).startswith("google.protobuf.")


def _plain(value: object) -> Any:
    """Makes Python's numbers of ours, for protobuf's own parser."""
    if isinstance(value, Number):
        return int(value) if INTEGER.fullmatch(value) else float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
