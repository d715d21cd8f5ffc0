"""What a notifier says of an event, which URLs it takes, and how it keeps how far it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from trueup.types.v1 import drift_pb2 as pb
from trueup.types.v1 import types_pb2

from trueup_cli import notify
from trueup_cli.failures import USAGE, Failure
from trueup_cli.message import Format, fields, from_template, headline, text, writer
from trueup_cli.told import Told
from trueup_cli.webhook import webhook_url

DRIFT_ID = "5d1c0f3e-63d8-7000-8838-c8165598b4ce"
SUMMARY = "SOL long on hyperliquid: venue holds nothing, book says 120"
PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HOOK = "https://chat.example/hooks/hunter2"
EVENT_TYPES = pb.DriftEventType.values()[1:]


def an_event(step: int = pb.DRIFT_EVENT_TYPE_CONFIRMED, **drift: Any) -> pb.DriftEvent:
    usual = {
        "drift_id": DRIFT_ID,
        "kind": pb.DRIFT_KIND_MISSING_AT_VENUE,
        "status": pb.DRIFT_STATUS_CONFIRMED,
        "severity": pb.DRIFT_SEVERITY_CRITICAL,
        "account": "main",
        "venue": "hyperliquid",
        "symbol": "SOL",
        "source": types_pb2.SOURCE_SIMULATED,
        "summary": SUMMARY,
        "actor": "reconciler",
    }
    return pb.DriftEvent(revision=8, type=step, drift=pb.Drift(**(usual | drift)))


def said(form: Format, event: pb.DriftEvent, chat_id: str = "") -> dict[str, Any]:
    return json.loads(writer(form, chat_id)(event))


# -- what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize("step", EVENT_TYPES)
def test_every_event_says_what_happened_and_that_it_is_simulated(step: int):
    ended = step == pb.DRIFT_EVENT_TYPE_RESOLVED
    words = {
        pb.DRIFT_EVENT_TYPE_CONFIRMED: "DRIFT",
        pb.DRIFT_EVENT_TYPE_CHANGED: "DRIFT changed",
        pb.DRIFT_EVENT_TYPE_ACKNOWLEDGED: "drift acknowledged",
        pb.DRIFT_EVENT_TYPE_SNOOZED: "drift snoozed",
        pb.DRIFT_EVENT_TYPE_REOPENED: "DRIFT is back",
        pb.DRIFT_EVENT_TYPE_RESOLVED: "drift resolved",
    }
    severity = "" if ended else "CRITICAL "
    event = an_event(step)
    past = "SOL: resolved. It was: " if ended else ""  # what it says is not so any more
    assert headline(event) == f"{words[step]} {severity}SIMULATED {past}{SUMMARY}"
    assert headline(event) in said(Format.SLACK, event)["text"]
    assert pb.DriftEventType.Name(step) == said(Format.JSON, event)["type"]


def test_real_money_is_not_called_simulated_and_a_newer_contract_is_no_error():
    assert headline(an_event(source=types_pb2.SOURCE_LIVE)) == f"DRIFT CRITICAL {SUMMARY}"
    assert headline(an_event(99)).startswith("drift 99 CRITICAL ")


def test_a_text_says_who_did_what_and_where_to_find_it():
    where = f"account main, revision 8, drift {DRIFT_ID}"
    assert text(an_event()).splitlines()[1:] == [where]
    taken = an_event(pb.DRIFT_EVENT_TYPE_ACKNOWLEDGED, actor="ann", reason="on it")
    assert text(taken).splitlines()[1:] == ["by ann: on it", where]
    ended = an_event(pb.DRIFT_EVENT_TYPE_RESOLVED, actor="ann", resolution="APPLY_FILLS")
    assert text(ended).splitlines()[1:] == ["APPLY_FILLS by ann", where]
    nobody = an_event(pb.DRIFT_EVENT_TYPE_RESOLVED, actor="", resolution="DISMISS", reason="a test")
    assert text(nobody).splitlines()[1:] == ["DISMISS: a test", where]


def test_json_is_the_event_of_the_contract():
    event = said(Format.JSON, an_event())
    assert (event["revision"], event["drift"]["drift_id"]) == ("8", DRIFT_ID)
    assert event["drift"]["source"] == "SOURCE_SIMULATED"


def test_a_text_calls_nobody_and_is_no_markup():
    event = an_event(summary="<!channel> @everyone [a](b) a_b & *c* \\ `d`")
    slack = said(Format.SLACK, event)
    assert list(slack) == ["text"]
    assert "&lt;!channel&gt; @everyone [a](b) a_b &amp; *c* \\ `d`" in slack["text"]
    discord = said(Format.DISCORD, event)
    assert r"\<!channel\> @everyone \[a\](b) a\_b & \*c\* \\ \`d\`" in discord["content"]
    assert discord["allowed_mentions"] == {"parse": []}
    telegram = said(Format.TELEGRAM, event, chat_id="-100")
    assert telegram == {"chat_id": "-100", "text": text(event)}


@pytest.mark.parametrize(
    ("form", "field", "limit"),
    [(Format.DISCORD, "content", 2000), (Format.TELEGRAM, "text", 4096), (Format.SLACK, "text", 40_000)],
)
@pytest.mark.parametrize("character", ["x", "_", "&", "😀"])
def test_what_is_too_long_is_cut_between_characters(form: Format, field: str, limit: int, character: str):
    def length(summary: str) -> tuple[int, str]:
        content: str = said(form, an_event(summary=summary), chat_id="1")[field]
        return len(content.encode("utf-16-le")) // 2, content

    units, content = length(character * limit)
    assert limit - 5 <= units <= limit
    piece = {(Format.DISCORD, "_"): r"\_", (Format.SLACK, "&"): "&amp;"}.get((form, character), character)
    whole = content.removeprefix("DRIFT CRITICAL SIMULATED ").removesuffix("…")
    assert len(whole) < len(content) - 1
    assert whole == piece * (len(whole) // len(piece))
    room = limit - length("")[0] - 1  # a space goes with a summary
    assert length("x" * room) == (limit, length("x" * room)[1])
    assert not length("x" * room)[1].endswith("…")
    assert length("x" * (room + 1))[1].endswith("…")


# -- templates -----------------------------------------------------------------------------------


def test_a_template_is_filled_in_with_what_json_escapes():
    names = ", ".join(f'"{name}": "${{{name}}}"' for name in fields(an_event()))
    event = an_event(summary='a "quoted" \\ line\nand $venue', reason="5 < 6")
    filled = json.loads(from_template(f'{{{names}, "number": $revision, "price": "$$5"}}')(event))
    assert {name: filled[name] for name in fields(event)} == fields(event)
    assert (filled["number"], filled["price"]) == (8, "$5")
    assert filled["summary"] == 'a "quoted" \\ line\nand $venue'
    assert (filled["kind"], filled["severity"], filled["status"]) == ("MISSING_AT_VENUE", "CRITICAL", "CONFIRMED")
    assert (filled["event"], filled["source"]) == ("CONFIRMED", "SIMULATED")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('{"a": "$5"}', "a $ is followed by no name"),
        ('{"a": "${sumary}"}', "there is no ${sumary}; there are account, actor, "),
        ('{"a": ${summary}}', "it is no JSON once filled in"),
        ("", "it is no JSON once filled in"),
    ],
)
def test_a_template_that_would_fail_later_is_refused_at_once(source: str, problem: str):
    with pytest.raises(Failure, match="--template: ") as caught:
        from_template(source)
    assert problem in str(caught.value)
    assert caught.value.code == USAGE


def test_the_template_of_the_page_is_one():
    (shown,) = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert json.loads(from_template(shown)(an_event()))["title"] == "CRITICAL MISSING_AT_VENUE of SOL at hyperliquid"


def test_a_template_is_a_text_that_can_be_read(tmp_path: Path):
    with pytest.raises(Failure, match=r"cannot read .*: No such file or directory"):
        notify._writer(Format.JSON, "", tmp_path / "none")
    (broken := tmp_path / "broken").write_bytes(b'"\xff"')
    with pytest.raises(Failure, match="it is not UTF-8"):
        notify._writer(Format.JSON, "", broken)


def test_only_telegram_has_a_chat_and_it_must_have_one():
    for form, chat_id in ((Format.TELEGRAM, ""), (Format.SLACK, "-1")):
        with pytest.raises(Failure, match="go together") as caught:
            notify._writer(form, chat_id, None)
        assert caught.value.code == USAGE
    assert json.loads(notify._writer(Format.TELEGRAM, "-1", None)(an_event()))["chat_id"] == "-1"


# -- where to, what, how far ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", [HOOK, "http://127.0.0.1:1/x", "http://[::1]:1/x", "http://localhost/x", "https://u:p@h/x?y=z"]
)
def test_a_webhook_is_https_or_on_this_machine(url: str):
    assert str(webhook_url(url)) == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "TRUEUP_NOTIFY_URL or --url"),
        ("http://chat.example/hunter2", "--insecure-http allows it"),
        ("http://localhost.example/hunter2", "--insecure-http allows it"),
        ("ftp://chat.example/hunter2", "must be https"),
        ("chat.example/hunter2", "must be https"),
        ("https:///hunter2", "must be https"),
        ("https://chat.example:hunter2/", "must be https"),
    ],
)
def test_a_url_that_is_refused_is_not_repeated(url: str, problem: str):
    with pytest.raises(Failure) as caught:
        webhook_url(url)
    assert problem in str(caught.value)
    assert caught.value.code == USAGE
    assert "hunter2" not in str(caught.value)


def test_http_to_others_is_taken_when_it_is_asked_for():
    assert webhook_url("http://chat.example/x", insecure_http=True).scheme == "http"


def test_every_step_severity_and_kind_of_the_contract_can_be_named():
    assert [f"DRIFT_EVENT_TYPE_{step.name}" for step in notify.Step] == pb.DriftEventType.keys()[1:]
    assert [f"DRIFT_SEVERITY_{severity.name}" for severity in notify.Severity] == pb.DriftSeverity.keys()[1:]
    assert notify._kinds(["size", "missing-at-venue"]) == ["DRIFT_KIND_SIZE", "DRIFT_KIND_MISSING_AT_VENUE"]
    with pytest.raises(Failure, match="--kind: 'sizes' is none of missing-locally, "):
        notify._kinds(["sizes"])


def test_what_was_told_is_kept_and_read_again(tmp_path: Path):
    file = tmp_path / "state"
    told = Told(file)
    assert told.revision is None
    assert Told(file).revision is None  # it has begun; nothing is done yet
    told.move(8)
    assert Told(file).revision == 8
    kept = file.stat().st_ino
    told.move(8)
    assert file.stat().st_ino == kept  # nothing new, nothing written
    told.move(0)
    assert Told(file).revision == 0
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    assert Told(None).revision is None


@pytest.mark.parametrize(
    "content", ["", "8", "[]", "{}", '{"revision": "8"}', '{"revision": -1}', '{"revision": true}']
)
def test_a_file_that_is_no_state_is_refused_and_kept(tmp_path: Path, content: str):
    file = tmp_path / "state"
    file.write_text(content)
    with pytest.raises(Failure, match="is no state of"):
        Told(file)
    assert file.read_text() == content


def test_a_state_that_cannot_be_kept_is_known_at_once(tmp_path: Path):
    with pytest.raises(Failure, match="cannot write"):
        Told(tmp_path / "none" / "state")
    with pytest.raises(Failure, match="cannot read"):
        Told(tmp_path)
