"""HTTP requests as messages: the body, the query and the path, read strictly."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

import grpc
from aiohttp import web
from google.protobuf.message import Message

from grpckit.errors import RpcError, Violation, invalid
from grpckit.rest.answer import Refusal
from grpckit.rest.limits import EdgeLimits
from grpckit.rest.reader import Reader
from grpckit.rest.routes import Route
from grpckit.rest.scalars import Number

# What `curl -d` and a browser's `fetch` send unless told otherwise is taken for JSON as well. Pages of other sites, which
# may send these without asking, are refused before: see origins.
_FORM = "application/x-www-form-urlencoded"
_JSON_TYPES = frozenset({"", "application/json", "text/plain", _FORM})


async def read(request: web.BaseRequest, route: Route, variables: dict[str, str], limits: EdgeLimits) -> Message:
    """Makes the request message. Raises RpcError that names fields, and Refusal for what is not even JSON."""
    message = route.request_type()
    reader = Reader(message)
    kind, body = await _body(request, limits)
    if body:
        if not route.body:
            raise invalid("a body is not read here: use the query", Violation("", "unexpected body"))
        within = "" if route.body == "*" else route.body
        if kind == _FORM and not body.lstrip().startswith((b"{", b"[")):
            for path, values in parse_query(_text(body), limits.parameters).items():
                reader.read_text(f"{within}.{path}" if within else path, values)
        else:
            reader.read_object(parse_json(body), within)
    for path, values in parse_query(_query(request.raw_path), limits.parameters).items():
        reader.read_text(path, values)
    for path, value in variables.items():
        reader.read_variable(path, value)
    reader.finish()
    return message


def path_of(raw_path: str) -> str:
    """Returns the path of a request target as it came, still percent-encoded."""
    if "://" in raw_path.partition("?")[0]:  # a proxy's form, which servers must take as well
        raw_path = "/" + raw_path.partition("://")[2].partition("/")[2]
    return raw_path.partition("?")[0].partition("#")[0]


def _query(raw_path: str) -> str:
    return raw_path.partition("?")[2].partition("#")[0]


def parse_query(text: str, most: int) -> dict[str, list[str]]:
    """Reads a query: the values of each parameter, in their order. Raises RpcError for bytes that are not UTF-8."""
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=most)
    except UnicodeDecodeError:
        raise invalid("the query is not UTF-8") from None
    except ValueError:
        raise invalid(f"the query has more than {most} parameters") from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def parse_json(body: bytes) -> Any:
    """Reads JSON with its numbers as they were written. Raises RpcError that says where it is not JSON."""
    text = _text(body)
    try:
        return json.loads(
            text,
            parse_float=Number,
            parse_int=Number,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise invalid(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise invalid("the body is nested too deeply") from None


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise invalid("the body is not UTF-8") from None


def _no_constant(name: str) -> Any:
    raise invalid(f"the body is not JSON: {name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):  # which of the two was meant, nobody can say
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid(f"{twice}: is given more than once", Violation(twice, "is given more than once"))
    return made


async def _body(request: web.BaseRequest, limits: EdgeLimits) -> tuple[str, bytes]:
    if not request.body_exists:
        return "", b""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in _JSON_TYPES and not kind.endswith("+json"):
        raise Refusal(415, invalid(f"{kind[:64]} is not read here: send application/json"))
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        async with asyncio.timeout(limits.body_s):
            return kind, await request.read()
    except TimeoutError:
        late = RpcError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the body did not arrive in time")
        raise Refusal(408, late, close=True) from None
    except web.HTTPRequestEntityTooLarge:
        too_large = invalid(f"the body is larger than {limits.body_bytes} bytes")
        raise Refusal(413, too_large, close=True) from None
    except web.RequestPayloadError:
        raise Refusal(400, invalid("the body is cut short or badly encoded"), close=True) from None
