"""Requests from bytes: parsed, then checked against the rules of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf.message import DecodeError, Message

from grpckit.accept import Accept, Unknown, acceptor
from grpckit.errors import Violation, invalid

# One for the process: it keeps the compiled rules of every type.
_validator = protovalidate.Validator()

# Requests remembered as valid, by method: at most half a megabyte.
_REMEMBERED = 2_048
_REMEMBERED_BYTES = 256

_CHOICES = frozenset({"enum.defined_only", "enum.not_in"})
_EXTENSIONS: Any = validate_pb2


def warm(types: Iterable[type[Message]]) -> None:
    """Compiles the rules of each type now: the first message would otherwise pay tens of milliseconds.

    Raises protovalidate.CompilationError when a rule of the contract is broken.
    """
    for message_type in types:
        _validator.collect_violations(message_type())


def reader(
    message_type: type[Message], parse: Callable[[bytes], Any], violations_full_bytes: int, *, remember: bool = False
) -> Callable[[bytes], Any]:
    """Returns what turns bytes into a valid message, or raises INVALID_ARGUMENT with a violation per field.

    `remember` is for reads: those who poll send the same few bytes again and again, and bytes that were valid once are
    valid for ever, as no rule of the contracts asks for the time.
    """
    collect = _validator.collect_violations
    name = message_type.DESCRIPTOR.name
    accepts = _acceptor(message_type) if not remember else _nothing
    valid: set[bytes] = set()

    def read(raw: bytes) -> Any:
        try:
            message = parse(raw)
        except DecodeError:
            raise invalid(f"the bytes are not a {name}") from None
        if raw in valid or accepts((message,)):
            return message
        found = collect(message, fail_fast=True)
        if found:
            # A few megabytes hold a million invalid items. Listing them all would be the attacker's work done.
            if len(raw) <= violations_full_bytes:
                found = collect(message)
            raise _refusal(
                name, [Violation(field_path(v.proto.field), _describe(v.proto, message_type)) for v in found]
            )
        if remember and len(raw) <= _REMEMBERED_BYTES:
            if len(valid) >= _REMEMBERED:
                valid.clear()
            valid.add(raw)
        return message

    return read


def _acceptor(message_type: type[Message]) -> Accept:
    """Accepts what is valid at a glance; nothing of a type about which nothing can be told so."""
    try:
        return acceptor(message_type.DESCRIPTOR)
    except Unknown:
        return _nothing


def _nothing(messages: object) -> bool:
    return False


def _refusal(name: str, violations: list[Violation]) -> Exception:
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return invalid(f"{first.field or name}: {first.description}{more}", *violations)


def _describe(violation: Any, message_type: type[Message]) -> str:
    if violation.rule_id in _CHOICES:
        return f"must be one of {', '.join(_choices(message_type.DESCRIPTOR, violation.field))}"
    return violation.message or violation.rule_id or "is invalid"


def _choices(descriptor: Any, path: Any) -> list[str]:
    """The names that the enum field at a path may hold; not that of zero, which stands for nothing said."""
    field = None
    for element in path.elements:
        field = descriptor.fields_by_name[element.field_name]
        descriptor = field.message_type
    assert field is not None
    said = field.GetOptions().Extensions[_EXTENSIONS.field]
    rules = said.repeated.items.enum if field.is_repeated else said.enum
    return [value.name for value in field.enum_type.values if value.number and value.number not in rules.not_in]


def field_path(path: Any) -> str:
    """Writes a buf.validate.FieldPath as people do: `items[3].size`, `labels["desk"]`; empty for the message itself."""
    if path is None:
        return ""
    parts = []
    for element in path.elements:
        subscript = getattr(element, "subscript", None)
        parts.append(f"{element.field_name}{_subscript(subscript)}")
    return ".".join(parts)


def _subscript(subscript: Any) -> str:
    if subscript is None:
        return ""
    value = subscript.value
    if isinstance(value, bool):
        return f"[{str(value).lower()}]"
    return f'["{value}"]' if isinstance(value, str) else f"[{value}]"
