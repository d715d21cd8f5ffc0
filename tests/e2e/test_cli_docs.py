"""docs/cli.md is true: its commands run as they stand, in their order; its exit codes, links and Python are real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from reconciler_service.simulator import scenario
from tests.e2e.processes import BIN, ROOT, Trio
from trueup_cli import failures
from trueup_cli.app import app
from trueup_cli.book_file import _TAKEN
from trueup_cli.settings import CliSettings

PAGE = (ROOT / "docs" / "cli.md").read_text()
BOOK = "asset,venue,side,size,entry_price,labels\nATOM/USD,coinbase,long,20,8.1,desk=a;bot=7\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture(scope="module")
def done(desk: Trio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """Every command of the page, and its Python, in a folder with a book of one's own."""
    (tmp_path := tmp_path_factory.mktemp("desk")).joinpath("book.csv").write_text(BOOK)
    env = desk.env | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)

    ran = {command: run("bash", "-c", command) for command in COMMANDS}
    (code,) = blocks("python")
    return ran | {"python": run(sys.executable, "-c", code)}


def test_commands_are_found():
    assert len(COMMANDS) >= 30
    assert all(command.startswith("trueup ") for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, "python"])
def test_command_runs_as_it_stands(done: dict[str, subprocess.CompletedProcess[str]], command: str):
    assert done[command].returncode == 0, done[command].stderr
    says_nothing = "-o" in command.split() or "at-risk" in command  # a file; nobody, as it should be
    assert says_nothing or done[command].stdout
    assert "error" not in done[command].stderr


async def test_what_is_closed_on_the_page_is_there_when_the_story_is_told():
    """The page is for whoever has `make run` running."""
    exchange = scenario.new_exchange(lambda: 1_800_000_000_000)
    scenario.seed(exchange)
    async for _ in scenario.play(exchange, spacing_s=0):
        pass
    held = {seen.position.coin for dex in exchange.dexes for seen in exchange.view(scenario.DESK, dex).positions}
    closed = [line.split()[3] for line in COMMANDS if line.startswith(("trueup simulate close", "trueup simulate liq"))]
    assert len(closed) >= 2
    assert set(closed) <= held


def test_every_command_is_on_the_page():
    root = typer.main.get_command(app)
    with root.make_context("trueup", [], resilient_parsing=True) as context:
        for name in root.list_commands(context):
            assert f"trueup {name}" in PAGE, name


def test_exit_codes_are_those_of_the_code():
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, flags=re.MULTILINE))
    codes = (failures.DONE, failures.REFUSED, failures.USAGE, failures.UNREACHABLE, failures.FOUND)
    assert list(rows) == [*map(str, codes), "130"]
    assert rows["3"].startswith("nobody answers")


def test_columns_and_settings_exist():
    columns = re.search(r"CSV with a header: (.*?)\. All lines", PAGE, flags=re.DOTALL)
    assert columns
    assert set(re.findall(r"`([a-z_]+)`", columns[1])) == _TAKEN
    settings = {name.upper() for name in CliSettings.model_fields}
    assert {"POSITION_ADDRESS", "RECONCILER_ADDRESS", "SIMULATOR_URL"} <= settings & set(
        re.findall(r"[A-Z_]{8,}", PAGE)
    )


def test_the_page_is_linked_from_nowhere_that_does_not_exist():
    links = re.findall(r"\]\(([^)\s]+)\)", PAGE)
    assert [link for link in links if "://" not in link and not (Path(ROOT) / "docs" / link).exists()] == []
