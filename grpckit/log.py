"""Logs: one JSON object a line, or aligned text for people. Secrets are masked on the way out."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, TextIO

import structlog

from grpckit.caller import request_id, trace_id

LogFormat = Literal["auto", "json", "console"]

_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)\S+@")  # greedy: a password may itself hold an @
_SECRET_KEY = re.compile(r"secret|password|passwd|token|api_?key|authorization|private", re.IGNORECASE)
_API_KEY = re.compile(r"(trueup_[a-z2-7]+_)[\w-]{16,}")
_MASK = "***"


def configure(level: str = "INFO", log_format: LogFormat = "auto", stream: TextIO | None = None) -> None:
    """Sets up the process's logging, that of libraries included. `auto` is console on a terminal and JSON elsewhere."""
    stream = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    before: list[Any] = [
        _add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    render: Any = structlog.dev.ConsoleRenderer(colors=stream.isatty()) if console else _JSON
    structlog.configure(
        processors=[*before, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, mask_secrets, render],
        )
    )
    handler.addFilter(_is_no_nonsense)
    logging.basicConfig(level=max(threshold, logging.INFO), handlers=[handler], force=True)


def _is_no_nonsense(record: logging.LogRecord) -> bool:
    """False for what a caller sent that is no HTTP, e.g. gRPC to the wrong port: it is answered with 400, and no defect
    here that would be worth a traceback a second."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__module__ != "aiohttp.http_exceptions"


# Made once: json.dumps makes an encoder a call, which takes longer than encoding.
_encode = json.JSONEncoder(default=str).encode


def _to_json(event: Any, **_: Any) -> str:
    return _encode(event)


_JSON = structlog.processors.JSONRenderer(serializer=_to_json)


def call_line(
    level: str, method: str, code: str, reason: str, ms: float, messages: int, peer: str, tag: str, actor: str
) -> str:
    """The line of a finished call as the JSON logger would write it, at a fifth of its cost: every write has one.

    What callers choose, the request id and their name, is escaped and masked like everything else.
    """
    trace = f'"trace_id": "{traced}", ' if (traced := trace_id()) else ""
    return (
        f'{{"method": "{method}", "code": "{code}", "reason": "{reason}", "ms": {ms}, "messages": {messages}, '
        f'"peer": {_encode(peer)}, "request_id": {_encode(mask(tag))}, "actor": {_encode(mask(actor))}, '
        f'"event": "call", {trace}"level": "{level}", '
        f'"timestamp": "{datetime.now(UTC).isoformat(timespec="microseconds")[:-6]}Z"}}'
    )


def json_lines() -> Callable[[str], None] | None:
    """What writes a line that is JSON already, where the logs are JSON; elsewhere None."""
    config = structlog.get_config()
    writes: Callable[[str], None] = config["logger_factory"]().msg
    return writes if config["processors"][-1] is _JSON else None


def _add_ids(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if identifier := request_id():
        event.setdefault("request_id", identifier)
    if trace := trace_id():
        event.setdefault("trace_id", trace)
    return event


def mask_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Masks passwords inside URLs and API keys, in tracebacks too, and the values of keys that sound secret."""
    for key, value in event.items():
        if _sounds_secret(key):
            event[key] = _MASK
        elif isinstance(value, str):
            event[key] = mask(value)
        elif isinstance(value, BaseException):
            event[key] = mask(repr(value))
    return event


@cache
def _sounds_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def mask(text: str) -> str:
    """Masks the passwords of URLs and the secrets of API keys in a text."""
    if "trueup_" in text:
        text = _API_KEY.sub(rf"\1{_MASK}", text)
    return _PASSWORD.sub(rf"\1{_MASK}@", text) if "://" in text else text
