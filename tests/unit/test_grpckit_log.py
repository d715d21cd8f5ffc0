"""What the logs show, and what they must not."""

from __future__ import annotations

import contextvars
import io
import json
import logging

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage

from grpckit import caller, log


@pytest.fixture
def lines():
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()

    def configure(level: str = "INFO", log_format: log.LogFormat = "json"):
        log.configure(level, log_format, stream)
        return lambda: stream.getvalue().splitlines()

    yield configure
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_one_json_object_a_line(lines):
    read = lines()
    structlog.get_logger("x").info("opened", size="1.5")
    (line,) = read()
    event = json.loads(line)
    assert (event["event"], event["size"], event["level"]) == ("opened", "1.5", "info")
    assert event["timestamp"].endswith("Z")


def test_the_line_of_a_call_is_what_the_logger_would_write(lines):
    read = lines()
    values = {
        "method": "trueup.position.v1.PositionService/OpenPosition",
        "code": "OK",
        "reason": "",
        "ms": 1.25,
        "messages": 0,
        "peer": "unix:",
        "request_id": 'a "quoted"\\ postgresql://user:hunter2@db/book',
        "actor": "desk\u00e9",
    }
    structlog.get_logger("x").info("call", **values)
    write = log.json_lines()
    assert write is not None
    write(log.call_line("info", *values.values()))
    slow, quick = (json.loads(line) for line in read())
    assert len(slow.pop("timestamp")) == len(quick.pop("timestamp")) == len("2026-01-01T00:00:00.000000Z")
    assert slow == quick
    assert "***" in quick["request_id"]


def test_with_a_trace_each_line_names_it(lines):
    read = lines()

    def work() -> None:
        caller.traced_as("0af7651916cd43dd8448eb211c80319c")
        structlog.get_logger("x").info("anything")
        write = log.json_lines()
        assert write is not None
        write(log.call_line("info", "m", "OK", "", 1.0, 0, "p", "", "a"))

    contextvars.copy_context().run(work)
    structlog.get_logger("x").info("afterwards")
    told = [json.loads(line).get("trace_id") for line in read()]
    assert told == ["0af7651916cd43dd8448eb211c80319c"] * 2 + [None]


def test_people_get_the_lines_of_calls_as_text_too(lines):
    lines(log_format="console")
    assert log.json_lines() is None


def test_levels_filter(lines):
    read = lines("WARNING")
    structlog.get_logger("x").info("quiet")
    assert read() == []


def test_libraries_log_the_same_way(lines):
    read = lines()
    logging.getLogger("alembic").warning("to %s", "postgresql://user:hunter2@db/book")
    (line,) = read()
    event = json.loads(line)
    assert event["event"] == "to postgresql://user:***@db/book"
    assert event["logger"] == "alembic"


def test_text_for_people(lines):
    read = lines(log_format="console")
    structlog.get_logger("x").info("opened", size="1.5")
    (line,) = read()
    assert "opened" in line
    assert "size=1.5" in line


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_masked_in_values_keys_and_tracebacks(log_format, lines):
    read = lines(log_format=log_format)
    logger = structlog.get_logger("x")
    logger.info("connecting", url="postgresql://user:hunter2@db/book", api_key="hunter2", Authorization="hunter2")
    error = OSError("cannot reach postgresql://user:hun@ter2@db/book")
    logger.warning("failed", exc_info=error)
    logger.warning("failed", error=error)
    text = "\n".join(read())
    assert "OSError" in text
    for piece in ("hunter2", "hun@", "ter2"):
        assert piece not in text


def test_the_request_id_is_on_every_line_of_a_call(lines):
    read = lines()
    caller.tag("r-1")
    try:
        structlog.get_logger("x").info("inside")
    finally:
        caller.tag("")
    structlog.get_logger("x").info("outside")
    inside, outside = (json.loads(line) for line in read())
    assert inside["request_id"] == "r-1"
    assert "request_id" not in outside


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key trueup_k7mabc2_" + "A-b_9" * 8 + "!", "key trueup_k7mabc2_***!"),
        ("trueup_cli/app.py and trueup_position", "trueup_cli/app.py and trueup_position"),
    ],
)
def test_api_keys_are_masked_wherever_they_stand(text, shown):
    assert log.mask(text) == shown


def test_what_is_no_http_is_no_defect_of_ours(lines):
    read = lines()
    for error in (BadHttpMessage("PRI * HTTP/2.0"), ZeroDivisionError("ours")):
        logging.getLogger("aiohttp.server").error("Error handling request", exc_info=error)
    (line,) = read()
    assert "ZeroDivisionError: ours" in line
