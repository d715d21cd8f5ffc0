"""The command line's own words: every command says what it does, with an example; --help imports none of them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from trueup_cli.app import app

ROOT: Any = typer.main.get_command(app)
GROUPS = {"positions", "drifts", "simulate"}


def leaves(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its path."""
    with group.make_context("trueup", [], resilient_parsing=True) as context:
        for name in group.list_commands(context):
            _, command, _ = group.resolve_command(context, [name])
            if hasattr(command, "list_commands"):
                yield from leaves(command, (*path, name))
            else:
                yield (*path, name), command


COMMANDS = dict(leaves())


def test_the_commands_are_those_of_the_design():
    assert {path[0] for path in COMMANDS} >= {"up", "runs", "reconcile", "allocation", "venues", "doctor"} | GROUPS
    for name in ("list", "get", "open", "reduce", "close", "history", "watch", "at-risk", "summary", "verify", "purge"):
        assert ("positions", name) in COMMANDS
    assert {("positions", "export"), ("positions", "import"), ("backup",), ("restore",)} <= set(COMMANDS)
    for name in ("list", "get", "watch", "ack", "snooze", "resolve"):
        assert ("drifts", name) in COMMANDS


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != ("up",)], ids=" ".join)
def test_a_command_says_what_it_does_with_an_example_that_can_be_typed(path: tuple[str, ...]):
    command = COMMANDS[path]
    example = next(line for line in command.help.splitlines() if line.startswith("Example: "))
    words = shlex.split(example.removeprefix("Example: ").partition(" | ")[0])
    assert words[: len(path) + 1] == ["trueup", *path]
    command.make_context("example", words[len(path) + 1 :], resilient_parsing=False).close()
    assert all(option.help or option.name in {"size", "side", "margin_mode", "liquidation_price", "value", "mode"}
               for option in command.params)  # fmt: skip


@pytest.mark.parametrize("path", [path for path in COMMANDS if path[0] not in {"up", "simulate", "backup", "restore"}])
def test_every_command_that_answers_can_answer_in_json(path: tuple[str, ...]):
    assert "--json" in {name for option in COMMANDS[path].params for name in option.opts}


@pytest.mark.parametrize("word", ["apply-fills", "APPLY_FILLS", "apply_fills", "RESOLVE_ACTION_APPLY_FILLS"])
def test_an_action_is_taken_as_the_services_spell_it(word: str):
    command = COMMANDS["drifts", "resolve"]
    assert command.make_context("resolve", ["BTC", word, "--dry-run"]).params["action"] == "apply-fills"
    assert "APPLY_FILLS" in next(each.help for each in command.params if each.name == "action")
    with pytest.raises(Exception, match="'apply-fills', 'adopt-venue', 'keep-local', 'dismiss'"):
        command.make_context("resolve", ["BTC", "apply"])


def test_help_imports_no_command():
    code = "import sys; from trueup_cli.app import main; sys.argv = ['trueup', '--help']\ntry: main()\nexcept SystemExit: pass\n"
    code += "print(sorted(name for name in sys.modules if name.startswith('trueup_cli.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "trueup drifts list --json | jq -r .summary" in done.stdout
    assert done.stdout.splitlines()[-1] == "['trueup_cli.app', 'trueup_cli.lazy']"
