"""A book in a file: CSV with a header, or a JSON object a line. Pure; every problem is found before anything is booked.

Columns are the fields of OpenPositionRequest: account, venue, symbol, asset, product, side, size, entry_price, leverage,
margin_mode, liquidation_price, fee, fee_currency, reason, labels (in CSV "desk=a;bot=7"). Exported positions are taken
as they are: what they say besides is ignored, and those that have ended are skipped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

import protovalidate
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.validation import field_path
from position_service.domain import naming
from position_service.domain.errors import InvalidValue

_FIELDS = pb.OpenPositionRequest.DESCRIPTOR.fields_by_name
_TAKEN = frozenset(_FIELDS) - {"request_id", "pending", "deadline", "estimated", "as_of"}
_IGNORED = frozenset(position_pb2.Position.DESCRIPTOR.fields_by_name) - _TAKEN
_KNOWN = ", ".join(sorted(_TAKEN))
_ENDED = frozenset({"CLOSED", "LIQUIDATED"})
_MOST_PROBLEMS = 20
_validator = protovalidate.Validator()  # one for all: it keeps the compiled rules


class Key(NamedTuple):
    """What at most one live position may have."""

    account: str
    venue: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Row:
    """One position of the file."""

    line: int
    request: pb.OpenPositionRequest

    @property
    def key(self) -> Key:
        """What no other live position may have."""
        return Key(self.request.account, self.request.venue, self.request.symbol)


class BadBook(ValueError):
    """The file cannot be booked; the text has a line for each problem, with its line number."""

    def __init__(self, problems: list[str]) -> None:
        more = len(problems) - _MOST_PROBLEMS
        shown = problems[:_MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        super().__init__("\n".join(shown))


def read(text: str, batch: str = "") -> tuple[list[Row], int]:
    """The positions of a file, and how many were skipped because they have ended. Raises BadBook.

    The request ids follow from what a row says and from ``batch``: the same row of the same batch is booked once.
    """
    rows: list[Row] = []
    problems: list[str] = []
    lines: dict[Key, int] = {}
    skipped = 0
    for line, given in _records(text.removeprefix("\ufeff"), problems):
        if _word(given.get("status", "")) in _ENDED:
            skipped += 1
            continue
        request, wrong = _request(given, batch)
        problems += [f"line {line}: {each}" for each in wrong]
        row = Row(line, request)
        if row.key.symbol and (first := lines.setdefault(row.key, line)) != line:
            problems.append(f"line {line}: {' '.join(row.key)} stands in line {first} already")
        rows.append(row)
    if problems:
        raise BadBook(problems)
    return rows, skipped


def _records(text: str, problems: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return _objects(text, problems) if text.lstrip().startswith("{") else _csv(text, problems)


def _objects(text: str, problems: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            # Amounts never pass through a float.
            given = json.loads(line, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            problems.append(f"line {number}: not JSON: {error}")
            continue
        if isinstance(given, dict):
            yield number, given
        else:
            problems.append(f"line {number}: not a JSON object")


def _no_number(token: str) -> NoReturn:
    raise ValueError(f"{token} is not a number")


def _csv(text: str, problems: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if unknown := [name for name in header if name not in _TAKEN | _IGNORED]:
            problems.append(f"line 1: unknown column {', '.join(map(repr, unknown))}; known are {_KNOWN}")
            return
        if twice := [name for name in header if header.count(name) > 1]:
            problems.append(f"line 1: the column {twice[0]} is there twice")
            return
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problems.append(f"line {reader.line_num}: {len(cells)} cells, but {len(header)} columns")
                continue
            yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}")


def _request(given: Mapping[str, Any], batch: str) -> tuple[pb.OpenPositionRequest, Iterable[str]]:
    """The request that books a record, complete, with its id; and all that is wrong with it."""
    wrong = {name: f"unknown field {name!r}; known are {_KNOWN}" for name in given if name not in _TAKEN | _IGNORED}
    request = pb.OpenPositionRequest(pending=_word(given.get("status", "")) == "OPENING")
    for name in sorted(_TAKEN):
        try:
            if given.get(name) not in (None, "", {}):
                _set(request, name, given[name])
        except ValueError as error:
            wrong[name] = str(error)
    request.account = request.account or naming.ACCOUNT
    request.venue = request.venue or naming.VENUE
    if not wrong.keys() & {"symbol", "asset"}:
        try:
            request.symbol, request.asset = naming.complete(request.venue, request.symbol, request.asset)
        except InvalidValue as error:
            wrong[error.field] = str(error)
    for violation in _validator.collect_violations(request):
        field, why = field_path(violation.proto.field), violation.proto.message or violation.proto.rule_id
        wrong.setdefault(field, f"{field}: {why}")  # of what could not be read, that is all there is to say
    said = request.SerializeToString(deterministic=True)
    request.request_id = f"import-{hashlib.sha256(batch.encode() + bytes(1) + said).hexdigest()[:40]}"
    return request, wrong.values()


def _set(request: pb.OpenPositionRequest, name: str, value: Any) -> None:
    field = _FIELDS[name]
    if name == "labels":
        for label, text in _labels(value).items():
            request.labels[label] = text
    elif field.enum_type is not None:
        prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
        word = _word(value)
        full = word if word.startswith(prefix) else prefix + word
        if full not in field.enum_type.values_by_name:
            known = [each.name.removeprefix(prefix).lower() for each in field.enum_type.values[1:]]
            raise ValueError(f"{name}: {value!r} is none of {', '.join(known)}")
        setattr(request, name, full)
    elif isinstance(value, Decimal):
        setattr(request, name, f"{value:f}")
    elif isinstance(value, str):
        setattr(request, name, value)
    else:
        raise ValueError(f"{name}: {value!r} is neither text nor a number")


def _labels(value: Any) -> dict[str, str]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, str):
        value = dict(pair.partition("=")[::2] for pair in value.split(";") if pair.strip())
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError("labels: must be texts by name")
    return value


def _word(value: Any) -> str:
    """An enum value as the contract writes it, without the prefix of a position's status."""
    return str(value).strip().upper().replace("-", "_").removeprefix("POSITION_STATUS_")
