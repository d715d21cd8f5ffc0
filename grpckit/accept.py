"""Says at a glance that messages are valid: one regular expression over all their texts at once.

protovalidate walks a message field by field and evaluates an expression for each; for a batch of a thousand fills that
takes longer than booking them. Nearly every message is valid, and that can be seen at once. What is not accepted here
is not refused: protovalidate decides, and says what is wrong. So only the rules that our contracts use often are known
here; a type that has others is left to protovalidate altogether.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, methodcaller
from typing import Any, TypeAlias

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor

Accept: TypeAlias = Callable[[Sequence[Any]], bool]

_DECIMAL = r"[0-9]{1,20}(?:\.[0-9]{1,18})?"
# The rules of rules.proto. No text that is accepted holds a line break: line breaks separate the texts.
_PATTERNS: dict[str, str] = {
    "decimal": f"-?{_DECIMAL}",
    "non_negative_decimal": _DECIMAL,
    "positive_decimal": rf"(?=[0.]*[1-9]){_DECIMAL}",
    "name": "[A-Za-z0-9_.:/@#+-]{1,64}",
    "uuid": "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
_LINE = r"[^\n]"
_TEXT = r"[^\x00-\x1f\x7f]"
_EXTENSIONS: Any = validate_pb2


class Unknown(Exception):
    """A rule of which nothing can be told at a glance."""


@dataclass(slots=True)
class _Rules:
    """What must hold of the fields of a type."""

    texts: dict[str, str] = field(default_factory=dict)  # to the pattern
    numbers: list[tuple[Callable[[Any], int], Container[int]]] = field(default_factory=list)
    present: list[Callable[[Any], bool]] = field(default_factory=list)
    empty: list[Callable[[Any], Any]] = field(default_factory=list)  # only where there is nothing, nothing is wrong
    absent: list[Callable[[Any], bool]] = field(default_factory=list)
    lists: list[tuple[Callable[[Any], Sequence[Any]], range, Accept]] = field(default_factory=list)


def acceptor(descriptor: Any) -> Accept:
    """Makes what accepts messages of a type, any number at a time. Raises Unknown for a rule it does not know."""
    if descriptor.GetOptions().HasExtension(_EXTENSIONS.message):
        raise Unknown(descriptor.full_name)
    if any(oneof.GetOptions().HasExtension(_EXTENSIONS.oneof) for oneof in descriptor.oneofs):
        raise Unknown(descriptor.full_name)
    rules = _Rules()
    for one in descriptor.fields:
        _add(rules, one, one.GetOptions().Extensions[_EXTENSIONS.field])
    return _accepting(rules)


def _accepting(rules: _Rules) -> Accept:
    names, width = list(rules.texts), len(rules.texts)
    read: Any = attrgetter(*names) if names else tuple
    fits = re.compile("(?:" + "".join(pattern + "\n" for pattern in rules.texts.values()) + ")*+").fullmatch

    def texts(messages: Sequence[Any]) -> bool:
        rows = map(read, messages)
        lines: Iterable[str] = chain.from_iterable(rows) if width > 1 else rows
        text = "\n".join([*lines, ""])
        # Counted: a text with a line break in it could pass for two.
        return text.count("\n") == width * len(messages) and fits(text) is not None

    def accepts(messages: Sequence[Any]) -> bool:
        return (
            (not width or texts(messages))
            and all(all(map(allowed.__contains__, map(get, messages))) for get, allowed in rules.numbers)
            and all(all(map(has, messages)) for has in rules.present)
            and not any(any(map(has, messages)) for has in rules.absent)
            and not any(any(map(get, messages)) for get in rules.empty)
            and all(_list(get(message), sizes, fine) for get, sizes, fine in rules.lists for message in messages)
        )

    return accepts


def _list(items: Sequence[Any], sizes: range, fine: Accept) -> bool:
    return len(items) in sizes and (not items or fine(items))


def _add(rules: _Rules, one: FieldDescriptor, said: Any) -> None:
    """Adds the rules of one field."""
    named = _named(said, ("string", "ignore", "enum", "int32", "int64", "repeated", "map", "required"))
    get, ignore_zero = attrgetter(one.name), bool(said.ignore)
    if one.is_repeated:
        _add_list(rules, one, said.repeated)
    elif one.message_type is not None:
        has = methodcaller("HasField", one.name)
        if said.required:
            rules.present.append(has)
        if one.message_type.file.package != "google.protobuf":
            rules.absent.append(has)
    elif named and (one.has_presence or said.required):
        raise Unknown(f"{one.full_name}: presence")
    elif "string" in named:
        pattern = _pattern(said.string)
        rules.texts[one.name] = f"(?:{pattern})?+" if ignore_zero else pattern
    elif "enum" in named:
        assert one.enum_type is not None
        known = [value.number for value in one.enum_type.values]
        rules.numbers.append((get, _numbers(said.enum, known, ignore_zero)))
    elif named:
        number = said.int32 if "int32" in named else said.int64
        rules.numbers.append((get, _numbers(number, (), ignore_zero)))


def _add_list(rules: _Rules, one: FieldDescriptor, said: Any) -> None:
    """Adds a list. A map, and a list of anything but messages, is accepted only when it is empty."""
    get = attrgetter(one.name)
    sizes = range(said.min_items, (said.max_items if said.HasField("max_items") else 2**31) + 1)
    if one.message_type is not None and not one.message_type.GetOptions().map_entry:
        _named(said, ("min_items", "max_items"))
        rules.lists.append((get, sizes, acceptor(one.message_type)))
    elif 0 in sizes:
        rules.empty.append(get)
    else:
        raise Unknown(one.full_name)


def _pattern(said: Any) -> str:
    """The regular expression of a text's rules."""
    named = _named(said, (*_PATTERNS, "text", "min_len", "max_len"))
    whole = named.intersection(_PATTERNS)
    if not whole:
        return f"{_TEXT if 'text' in named else _LINE}{{{said.min_len},{said.max_len or ''}}}+"
    if len(named) > 1:
        raise Unknown(", ".join(sorted(named)))
    return _PATTERNS[whole.pop()]


def _numbers(said: Any, known: Iterable[int], ignore_zero: bool) -> Container[int]:
    """The numbers that the rules of an integer or of an enum allow."""
    named = _named(said, {"gte", "lte", "defined_only", "not_in"})
    if "not_in" in named or "defined_only" in named:
        allowed: Container[int] = frozenset(known) - frozenset(said.not_in)
    else:
        allowed = range(said.gte if "gte" in named else -(2**63), (said.lte if "lte" in named else 2**63 - 1) + 1)
    if ignore_zero and 0 not in allowed:
        raise Unknown("zero is allowed apart from the rule")
    return allowed


def _named(said: Any, known: Iterable[str]) -> set[str]:
    """The names of the rules that are given. Raises Unknown when one is not among those known."""
    named = {rule.name for rule, _ in said.ListFields()}
    if unknown := named.difference(known):
        raise Unknown(", ".join(sorted(unknown)))
    return named
