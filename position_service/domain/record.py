"""Immutable values that are cheap to make. A batch of a thousand fills makes thousands of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """A dataclass that the type checker keeps frozen, and only the type checker.

    Guarded at run time as well, making a position takes six times as long: each field by ``object.__setattr__``.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


@cache
def _layout(cls: type) -> tuple[Callable[[Any], tuple[Any, ...]], dict[str, int]]:
    names = [one.name for one in fields(cls)]
    return attrgetter(*names), {name: place for place, name in enumerate(names)}


def replace(value: T, **changes: Any) -> T:
    """As ``dataclasses.replace``, for records of two fields or more, at a fifth of its cost."""
    cls: Any = type(value)
    read, places = _layout(cls)
    values = list(read(value))
    for name, change in changes.items():
        values[places[name]] = change
    changed: T = cls(*values)
    return changed
