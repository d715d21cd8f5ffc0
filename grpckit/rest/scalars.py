"""Single values from JSON and from URLs, as the types of the contract."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

from buf.validate import validate_pb2
from trueup.types.v1 import rules_pb2

INTEGER = re.compile(r"-?[0-9]{1,20}")
# What Python and JavaScript write of a small number, 1.124e-05: the same amount without an exponent, digit by digit.
_WITH_EXPONENT = re.compile(r"-?[0-9]{1,40}([.][0-9]{1,40})?[eE][+-]?[0-9]{1,2}")
_AMOUNT_RULES: tuple[Any, ...] = (rules_pb2.decimal, rules_pb2.non_negative_decimal, rules_pb2.positive_decimal)

Field: TypeAlias = Any  # google.protobuf.descriptor.FieldDescriptor, of which there are two to a type checker


class Number(str):
    """A JSON number, as it was written."""

    __slots__ = ()


class FromUrl(str):
    """A parameter: text, whatever the field is."""

    __slots__ = ()


class Wrong(Exception):
    """The value does not fit the field; the text says what would."""


def scalar(field: Field, value: object) -> Any:
    """Returns the value as the field's type. Raises Wrong, and protobuf's own ValueError follows when it is set."""
    return _SCALARS[kind(field)](field, value)


def _string(field: Field, value: object) -> str:
    if not isinstance(value, str) or (isinstance(value, Number) and not is_amount(field)):
        raise Wrong("must be a string")
    if isinstance(value, Number | FromUrl) and _WITH_EXPONENT.fullmatch(value) and is_amount(field):
        return f"{Decimal(value):f}"
    return str(value)


def _integer(field: Field, value: object) -> int:
    if not isinstance(value, str) or not INTEGER.fullmatch(value):
        raise Wrong("must be a whole number")
    return int(value)


def _float(field: Field, value: object) -> float:
    try:
        return float(value) if isinstance(value, str) else _refuse("must be a number")
    except ValueError:
        raise Wrong("must be a number") from None


def _boolean(field: Field, value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, FromUrl) and value.lower() in known:
        return known[value.lower()]
    raise Wrong("must be true or false")


def _enum(field: Field, value: object) -> int:
    """Takes LONG, SIDE_LONG or long: the prefix only repeats the type's name."""
    names: Mapping[str, int] = _enum_names(field.enum_type.full_name, field.enum_type)
    if isinstance(value, str):
        if value.upper() in names:
            return names[value.upper()]
        if INTEGER.fullmatch(value) and len(value) <= 10:
            return int(value)
    short = (name for name, number in names.items() if number and not name.startswith(_prefix(field.enum_type)))
    raise Wrong(f"must be one of {', '.join(short)}")


def _bytes(field: Field, value: object) -> bytes:
    if isinstance(value, str) and not isinstance(value, Number):
        text = value.replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise Wrong("must be base64")


def _refuse(message: str) -> Any:
    raise Wrong(message)


_SCALARS: Mapping[str, Callable[[Field, object], Any]] = {
    "string": _string,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "enum": _enum,
    "bytes": _bytes,
}
_KINDS = {
    "string": (9,),
    "integer": (3, 4, 5, 6, 7, 13, 15, 16, 17, 18),
    "float": (1, 2),
    "boolean": (8,),
    "enum": (14,),
    "bytes": (12,),
    "message": (10, 11),
}
_KIND_OF_TYPE = {number: kind for kind, numbers in _KINDS.items() for number in numbers}


def kind(field: Field) -> str:
    return _KIND_OF_TYPE[field.type]


def is_map(field: Field) -> bool:
    """True for a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def is_amount(field: Field) -> bool:
    """True for a string that the contract says holds a decimal."""
    return _is_amount(field.full_name, field)


@lru_cache(maxsize=1_024)
def _is_amount(full_name: str, field: Field) -> bool:
    rules: Any = field.GetOptions().Extensions[validate_pb2.field]
    return any(rules.string.Extensions[rule] for rule in _AMOUNT_RULES)


def other_names(field: Field) -> tuple[str, ...]:
    """Names by which requests may call a field besides its own."""
    return _other_names(field.full_name, field)


@lru_cache(maxsize=4_096)
def _other_names(full_name: str, field: Field) -> tuple[str, ...]:
    return tuple(field.GetOptions().Extensions[rules_pb2.also])


@lru_cache(maxsize=256)
def _enum_names(full_name: str, enum: Any) -> Mapping[str, int]:
    prefix = _prefix(enum)
    names = {value.name: value.number for value in enum.values}
    return {name.removeprefix(prefix): number for name, number in names.items()} | names


def _prefix(enum: Any) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
