"""Tables on terminals of any width: columns give way, numbers stay whole, and what is missing is said."""

from __future__ import annotations

import itertools
import re

import pytest
from trueup.position.v1 import position_pb2
from trueup.types.v1 import drift_pb2

from trueup_cli import output, position_tables, venue_tables
from trueup_cli.output import Output

Shown = pytest.CaptureFixture[str]
NUMBERS = ("42091.58333333", "42549.5", "228.96", "-1.19", "~34123.12345679", "12.34", "0.5")


def narrow(monkeypatch: pytest.MonkeyPatch, width: int) -> Output:
    monkeypatch.setattr(output, "_PIPE_WIDTH", width)
    return Output(is_json=False)


def held(account: str = "main", size: str = "0.5") -> position_pb2.Position:
    return position_pb2.Position(
        account=account,
        asset="BTC/USD",
        venue="hyperliquid",
        side=1,
        size=size,
        entry_price="42091.583333333333333333",
        mark_price="42549.5",
        unrealized_pnl="228.96",
        pnl_percent="-1.19",
        leverage="5",
        estimated_liquidation_price="34123.123456789012345678",
        liquidation_distance_percent="12.34",
        status=2,
        reconciliation_status=1,
    )


def missing(shown: str) -> list[str]:
    found = re.search(r"^no room for: (.*); a wider terminal has them, and --json$", shown, re.MULTILINE)
    return found[1].split(", ") if found else []


@pytest.mark.parametrize("width", [200, 120, 100, 80, 72])
def test_no_number_is_broken_in_two(width: int, capsys: Shown, monkeypatch: pytest.MonkeyPatch):
    position_tables.table(narrow(monkeypatch, width), [held(), held("main/a-sub-account-with-a-long-name")])
    shown = capsys.readouterr().out
    said = dict(zip(("entry", "mark", "PnL", "PnL %", "liq", "dist %", "size"), NUMBERS, strict=True))
    for column, number in said.items():
        assert shown.count(f" {number} ") == (0 if column in missing(shown) else 2), (column, shown)
    table = shown.partition("no room for")[0].splitlines()
    assert max(map(len, table)) <= width
    assert "hyperliquid" in shown
    assert "SYNCED" in shown


def test_what_is_of_least_use_gives_way_first(capsys: Shown, monkeypatch: pytest.MonkeyPatch):
    gone = []
    for width in range(130, 60, -1):
        position_tables.table(narrow(monkeypatch, width), [held()])
        gone.append(missing(capsys.readouterr().out))
    assert gone[0] == []
    assert gone[-1] == ["PnL %", "lev", "mark", "status", "entry", "liq"]
    for wider, narrower in itertools.pairwise(gone):
        assert narrower[: len(wider)] == wider


def test_a_venue_never_hides_that_it_is_simulated_nor_its_problem(capsys: Shown, monkeypatch: pytest.MonkeyPatch):
    push = drift_pb2.PushHealth(state="DOWN", last_error="closed by peer")
    problem = "xyz: timed out after 30 s"
    sick = drift_pb2.VenueHealth(
        venue="hyperliquid", account="main", state="DEGRADED", push=push, last_error=problem, source=1
    )
    venue_tables.venues(narrow(monkeypatch, 80), [sick])
    shown = capsys.readouterr().out
    assert missing(shown) == ["last good check", "budget left", "positions"]
    assert "SIMULATED" in shown
    assert "closed by peer" in " ".join(shown.split())


def test_where_there_is_no_room_for_a_number_it_is_folded_not_cut(capsys: Shown, monkeypatch: pytest.MonkeyPatch):
    size = "1000000.123456789012345678"
    narrow(monkeypatch, 20).table(("asset", "size"), [("BTC/USD", size)], right=("size",))
    _, *lines = capsys.readouterr().out.splitlines()
    assert "".join(line.split()[-1] for line in lines) == size


def test_the_longest_texts_are_folded_first(capsys: Shown, monkeypatch: pytest.MonkeyPatch):
    why = "somebody closed it by hand in the venue's own app"
    narrow(monkeypatch, 40).table(("side", "why", "size"), [("SHORT", why, "12.5")], right=("size",))
    _, *lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SHORT  somebody")
    assert lines[0].endswith(" 12.5")
    assert why in " ".join(" ".join(lines).replace("SHORT", "").replace("12.5", "").split())
