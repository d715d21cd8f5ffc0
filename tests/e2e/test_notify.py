"""`trueup notify` as a real process, between the real pair and a real webhook that fails in every way.

Each step is the leverage of one position at the venue, which nobody else changes; other drifts are filtered out.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command_line import CommandLine
from tests.e2e.hook import SECRET, Hook
from tests.e2e.processes import Process, Trio, free_port, steps, wait_until

ELSEWHERE = "http://chat.example/hooks/" + SECRET
CASE = ("--symbol", "BTC", "--kind", "leverage")
AGREED = 5  # what the book says


@pytest.fixture(scope="module")
def cli(desk: Trio) -> CommandLine:
    reconcile(desk)  # what others left is confirmed before anybody listens
    return CommandLine(desk.env)


@pytest.fixture
def state(desk: Trio, tmp_path: Path) -> Iterator[Path]:
    """Where the notifier keeps how far it is. Afterwards book and venue agree again."""
    yield tmp_path / "state.json"
    lever(desk, AGREED)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as listening:
        yield listening


def reconcile(desk: Trio) -> None:
    desk.ask("trueup.reconciler.v1.ReconcilerService/Reconcile")


def lever(desk: Trio, value: int) -> None:
    """One step of the case: confirmed, changed, or resolved when it is what the book says."""
    desk.at_venue("leverage", coin="BTC", value=value, mode="cross")
    reconcile(desk)


def revision_of(state: Path) -> int | None:
    return json.loads(state.read_text())["revision"] if state.exists() else None


def listening(cli: CommandLine, state: Path, url: str, *options: str) -> Process:
    """A notifier that has begun: it says in its state from where on."""
    process = cli.started("notify", "--state", str(state), *CASE, *options, TRUEUP_NOTIFY_URL=url)
    wait_until(lambda: revision_of(state) is not None or process.popen.poll() is not None, "the notifier to begin")
    assert process.popen.poll() is None, process.output
    return process


def wait_past(desk: Trio, state: Path, notifier: Process) -> None:
    """Wait until the notifier has kept that all which has happened so far is done."""
    head = desk.head() or 0
    wait_until(lambda: (revision_of(state) or 0) >= head, f"revision {head} to be done\n{notifier.output}")


def is_silent_about_the_url(*texts: str) -> bool:
    return not any(SECRET in text or "hooks" in text for text in texts)


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("DRIFT_EVENT_TYPE_") for event in events]


def test_each_event_is_posted_in_order_and_what_fails_is_tried_again(
    desk: Trio, cli: CommandLine, hook: Hook, state: Path
):
    hook.answers = [(503, {}), (200, {}), (429, {"Retry-After": "2"}), (204, {})]
    with listening(cli, state, hook.url, "--format", "slack") as notifier:
        lever(desk, 7)
        wait_until(lambda: len(hook.taken) == 1, f"the first event\n{notifier.output}")
        notifier.wait_for("the webhook answered 503: trying again until it is taken")
        lever(desk, 8)
        wait_until(lambda: len(hook.taken) == 2, f"the second event\n{notifier.output}")
        lever(desk, AGREED)
        wait_until(lambda: len(hook.taken) == 3, f"the third event\n{notifier.output}")
        notifier.wait_for('"type":"DRIFT_EVENT_TYPE_RESOLVED"')
        wait_past(desk, state, notifier)
        assert notifier.stop(signal.SIGINT) == 130
    assert [post.status for post in hook.posts] == [503, 200, 429, 204, 200]
    assert hook.posts[0].body == hook.posts[1].body
    assert hook.posts[2].body == hook.posts[3].body
    assert hook.posts[3].at - hook.posts[2].at >= 2
    said = [body["text"].splitlines() for body in hook.taken]
    assert [lines[0].partition(" BTC ")[0] for lines in said] == [
        "DRIFT INFO SIMULATED",
        "DRIFT changed INFO SIMULATED",
        "drift resolved SIMULATED BTC: agrees again. It was:",
    ]
    assert said[2][1].startswith("AGREES_AGAIN")
    told = [json.loads(line) for line in notifier.output.splitlines() if line.startswith("{")]
    assert [row["status"] for row in told] == [200, 204, 200]
    assert "Traceback" not in notifier.output
    assert is_silent_about_the_url(notifier.output, state.read_text())


def test_what_is_refused_is_told_and_skipped_and_no_redirect_is_followed(
    desk: Trio, cli: CommandLine, hook: Hook, state: Path
):
    hook.answers = [(404, {}), (307, {"Location": "/elsewhere"})]
    with listening(cli, state, hook.url) as notifier:
        for number, value in enumerate((7, 8, AGREED)):
            lever(desk, value)
            wait_until(lambda number=number: len(hook.posts) == number + 1, f"a post\n{notifier.output}")
        notifier.wait_for('"type":"DRIFT_EVENT_TYPE_RESOLVED"')
        assert notifier.stop(signal.SIGINT) == 130
    assert [post.status for post in hook.posts] == [404, 307, 200]
    refused = [post.body["revision"] for post in hook.posts[:2]]
    assert f"the webhook refused revision {refused[0]} with 404: it is skipped\n" in notifier.output
    assert f"the webhook refused revision {refused[1]} with 307: it is skipped\n" in notifier.output
    assert types(hook.taken) == ["RESOLVED"]
    assert is_silent_about_the_url(notifier.output)


def test_a_killed_notifier_goes_on_with_nothing_lost_and_nothing_twice(desk: Trio, cli: CommandLine, state: Path):
    before, first, second = desk.head(), Hook(port=free_port()), Hook()
    with listening(cli, state, first.url) as notifier:
        with first:
            lever(desk, 7)
            wait_past(desk, state, notifier)
        lever(desk, 8)  # nobody takes it
        notifier.wait_for("the webhook does not answer (")
        assert notifier.stop(signal.SIGKILL) == -signal.SIGKILL
    lever(desk, 9)  # nobody hears of it
    desk.restart("reconciler")
    desk.settle()
    with second, listening(cli, state, second.url) as again:
        lever(desk, AGREED)
        wait_past(desk, state, again)
        assert again.stop(signal.SIGINT) == 130
    taken = first.taken + second.taken
    assert types(first.taken) == ["CONFIRMED"]
    assert types(second.taken) == ["CHANGED", "CHANGED", "RESOLVED"]
    (case,) = {event["drift"]["drift_id"] for event in taken}
    assert steps(taken) == [step for step in desk.log_after(before, desk.head()) if step[2] == case]
    assert is_silent_about_the_url(notifier.output, again.output)


def test_the_open_cases_come_first_when_they_are_asked_for(
    desk: Trio, cli: CommandLine, hook: Hook, state: Path, tmp_path: Path
):
    template = tmp_path / "body.json"
    template.write_text('{"said": "${source}: ${kind} of ${symbol}", "at": ${revision}}')
    lever(desk, 7)
    begin = ("notify", "--include-open", "--template", template, "--state", state, *CASE, "--events", "1")
    shown = cli.table(*begin, TRUEUP_NOTIFY_URL=hook.url)
    assert hook.taken == [{"said": "SIMULATED: LEVERAGE of BTC", "at": desk.head()}]
    assert shown.startswith(f"delivered revision {desk.head()}: DRIFT INFO SIMULATED BTC ")
    # From now on it is the state that says where to begin: the case is not told again, its end is.
    lever(desk, AGREED)
    cli.run(*begin, TRUEUP_NOTIFY_URL=hook.url)
    assert [body["at"] for body in hook.taken[1:]] == [desk.head()]


def test_only_what_matters_enough_is_posted(desk: Trio, cli: CommandLine, hook: Hook, state: Path):
    with listening(cli, state, hook.url, "--min-severity", "warning", "--event", "confirmed") as notifier:
        lever(desk, 7)  # INFO
        wait_past(desk, state, notifier)
    with listening(cli, state, hook.url, "--event", "resolved") as notifier:
        lever(desk, 8)
        lever(desk, AGREED)
        wait_until(lambda: hook.taken, f"the end\n{notifier.output}")
    assert types(hook.taken) == ["RESOLVED"]


def test_ctrl_c_ends_one_that_waits_for_its_webhook(desk: Trio, cli: CommandLine, hook: Hook, state: Path):
    hook.usual = 500
    with listening(cli, state, hook.url) as notifier:
        begun = revision_of(state)
        lever(desk, 7)
        notifier.wait_for("the webhook answered 500")
        assert notifier.stop(signal.SIGINT) == 130
    assert len(notifier.output.splitlines()) == 1
    assert revision_of(state) == begun


def test_a_revision_of_another_ledger_begins_again_with_the_open_cases(
    desk: Trio, cli: CommandLine, hook: Hook, state: Path
):
    lever(desk, 7)
    state.write_text('{"revision": 1000000}')
    with listening(cli, state, hook.url) as notifier:
        wait_until(lambda: hook.taken, f"the open case\n{notifier.output}")
        wait_until(lambda: revision_of(state) < 1_000_000, "the state")
    assert types(hook.taken) == ["CONFIRMED"]


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (["--url", ELSEWHERE], 2, "--insecure-http"),
        (["--state", "/dev/null/state"], 1, "cannot read /dev/null/state"),
        (["--reconciler-address", "127.0.0.1:9"], 3, "nothing answers at 127.0.0.1:9"),
    ],
)
def test_what_cannot_work_is_said_at_once_and_without_the_url(
    cli: CommandLine, options: list[str], code: int, problem: str
):
    told = cli.refused("notify", *options, code=code, TRUEUP_NOTIFY_URL=f"https://chat.example/hooks/{SECRET}")
    assert problem in told
    assert is_silent_about_the_url(told)


def test_help_does_not_show_the_url(cli: CommandLine):
    shown = cli.run("notify", "--help", TRUEUP_NOTIFY_URL=ELSEWHERE).stdout
    assert "TRUEUP_NOTIFY_URL" in shown
    assert is_silent_about_the_url(shown)
    assert cli.refused("notify", code=2) == "say where to, with TRUEUP_NOTIFY_URL or --url"
