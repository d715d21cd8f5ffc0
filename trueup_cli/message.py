"""Drift events as a webhook takes them: the contract's JSON, a line of text for a chat, or a template of one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import StrEnum
from string import Template

from trueup.types.v1 import drift_pb2 as pb
from trueup.types.v1 import types_pb2

from grpckit.json_form import dumps, to_json
from trueup_cli.failures import USAGE, Failure
from trueup_cli.screen import told
from trueup_cli.words import name_of

Write = Callable[[pb.DriftEvent], bytes]

# UTF-16 code units; the longest that a message may be. What is longer is refused, or cut without a word.
_DISCORD, _TELEGRAM, _SLACK = 2000, 4096, 40_000
_HAPPENED = {
    pb.DRIFT_EVENT_TYPE_CONFIRMED: "DRIFT",
    pb.DRIFT_EVENT_TYPE_CHANGED: "DRIFT changed",
    pb.DRIFT_EVENT_TYPE_ACKNOWLEDGED: "drift acknowledged",
    pb.DRIFT_EVENT_TYPE_SNOOZED: "drift snoozed",
    pb.DRIFT_EVENT_TYPE_REOPENED: "DRIFT is back",
    pb.DRIFT_EVENT_TYPE_RESOLVED: "drift resolved",
}


class Format(StrEnum):
    """What the webhook understands."""

    JSON = "json"
    SLACK = "slack"
    DISCORD = "discord"
    TELEGRAM = "telegram"


def headline(event: pb.DriftEvent) -> str:
    """What happened, how bad it is, and which position; it says SIMULATED where it is."""
    drift = event.drift
    severity = "" if event.type == pb.DRIFT_EVENT_TYPE_RESOLVED else name_of(drift, "severity")
    simulated = "SIMULATED" if drift.source == types_pb2.SOURCE_SIMULATED else ""
    happened = _HAPPENED.get(event.type) or f"drift {name_of(event, 'type')}"  # of a newer contract
    return " ".join(filter(None, (happened, severity, simulated, told(event))))


def text(event: pb.DriftEvent) -> str:
    """The headline, who did what to the case and why, and where to find it."""
    drift = event.drift
    done = " ".join(filter(None, (drift.resolution, drift.actor and f"by {drift.actor}")))
    why = ": ".join(filter(None, (done, drift.reason))) if drift.resolution or drift.reason else ""
    where = f"account {drift.account}, revision {event.revision}, drift {drift.drift_id}"
    return "\n".join(filter(None, (headline(event), why, where)))


def fields(event: pb.DriftEvent) -> dict[str, str]:
    """What a template may name, and what stands for it."""
    drift = event.drift
    plain = ("summary", "symbol", "asset", "venue", "account", "drift_id", "resolution", "actor", "reason")
    enums = ("severity", "kind", "status", "source")
    found = {name: getattr(drift, name) for name in plain} | {name: name_of(drift, name) for name in enums}
    return found | {"revision": str(event.revision), "event": name_of(event, "type"), "text": text(event)}


def writer(form: Format, chat_id: str) -> Write:
    """Writes events in a format."""

    def write(event: pb.DriftEvent) -> bytes:
        if form is Format.JSON:
            return dumps(to_json(event))
        if form is Format.SLACK:
            return dumps({"text": _fitted(text(event), _SLACK, _slack)})
        if form is Format.TELEGRAM:
            return dumps({"chat_id": chat_id, "text": _fitted(text(event), _TELEGRAM, str)})
        # Nobody is called by what a text happens to say, e.g. @everyone.
        said = _fitted(text(event), _DISCORD, _discord)
        return dumps({"content": said, "allowed_mentions": {"parse": []}})

    return write


def from_template(source: str) -> Write:
    """Writes events as a JSON text with placeholders, ${summary}, says. Raises Failure for what is none."""
    template, known = Template(source), fields(pb.DriftEvent())
    if not template.is_valid():
        raise Failure("--template: a $ is followed by no name; $$ stands for a dollar", USAGE)
    if unknown := sorted(set(template.get_identifiers()) - set(known)):
        raise Failure(f"--template: there is no ${{{unknown[0]}}}; there are {', '.join(sorted(known))}", USAGE)

    def write(event: pb.DriftEvent) -> bytes:
        escaped = {name: json.dumps(value)[1:-1] for name, value in fields(event).items()}
        return template.substitute(escaped).encode()

    try:
        json.loads(write(pb.DriftEvent()))
    except ValueError as error:
        raise Failure(f"--template: it is no JSON once filled in: {error}", USAGE) from None
    return write


def _slack(character: str) -> str:
    """Only these three mean something everywhere, <!channel> above all."""
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(character, character)


def _discord(character: str) -> str:
    return re.sub(r"[\\`*_~|\[\]<>#]", r"\\\g<0>", character)


def _fitted(said: str, limit: int, escape: Callable[[str], str]) -> str:
    """Escaped, and cut with an ellipsis where it is longer than ``limit``; never within an escape."""
    kept, length, short = "", 0, ""
    for character in said:
        piece = escape(character)
        length += len(piece.encode("utf-16-le")) // 2
        if length > limit:
            return short + "…"
        kept += piece
        if length < limit:
            short = kept
    return kept
