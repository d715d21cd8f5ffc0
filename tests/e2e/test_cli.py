"""`trueup`, command by command, as real processes against real services: tables, NDJSON, exit codes, errors.

Positions are traded at coinbase, which nobody compares.
"""

from __future__ import annotations

import asyncio
import csv
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from trueup.position.v1 import position_service_pb2 as pb

from position_service.embedded import EmbeddedPostgres
from tests.e2e.command_line import CommandLine
from tests.e2e.processes import BIN, Trio
from trueup_cli.client import Client

NOBODY, NOR_HERE = "127.0.0.1:9", "127.0.0.1:7"  # discard and echo: nobody listens
BOOK = {"BTC/USD", "ETH/USD", "SOL/USD", "HYPE/USD", "TSLA/USD"}


@pytest.fixture(scope="module")
def cli(desk: Trio) -> CommandLine:
    return CommandLine(desk.env)


def opened(cli: CommandLine, asset: str, *options: str) -> dict[str, Any]:
    return cli.row("positions", "open", asset, "10", "2.5", "--venue", "coinbase", *options)


# -- positions -----------------------------------------------------------------------------------


def test_list_is_a_table_on_a_terminal_and_ndjson_in_a_pipe(cli: CommandLine):
    listed = cli.rows("positions", "list", "--venue", "hyperliquid")
    assert {position["asset"] for position in listed} == BOOK
    assert listed[0]["position_id"]
    assert listed[0]["size"] == "0.5"
    shown = cli.on_terminal("positions", "list", "--venue", "hyperliquid")
    assert "\x1b[" in shown  # colours
    assert '{"' not in shown
    assert "BTC/USD" in shown
    assert "5 positions" in shown
    table = cli.table("positions", "list", "--asset", "ETH/USD")
    assert "\x1b" not in table
    assert table.splitlines()[1].split()[:5] == ["ETH/USD", "hyperliquid", "SHORT", "4", "2250"]


def test_a_position_from_its_opening_to_its_end(cli: CommandLine):
    first = opened(cli, "LINK/USD", "--label", "desk=a", "--leverage", "2", "--reason", "a test", "--request-id", "l1")
    assert (first["status"], first["size"], first["labels"]) == ("POSITION_STATUS_OPEN", "10", {"desk": "a"})
    assert (
        opened(cli, "LINK/USD", "--label", "desk=a", "--leverage", "2", "--reason", "a test", "--request-id", "l1")
        == first
    )
    reduced = cli.row("positions", "reduce", "LINK/USD", "4", "3", "--fee", "0.5")
    assert (reduced["size"], reduced["realized_pnl"]) == ("6", "1.5")
    stale = ["--expected-revision", first["revision"]]
    assert "look again" in cli.refused("positions", "reduce", "LINK/USD", "1", "3", *stale)
    assert "realized_pnl           1.5" in cli.table("positions", "get", "LINK/USD")
    closed = cli.table("positions", "close", "LINK-USD", "3.5", "--venue", "coinbase")
    assert "CLOSED" in closed
    found = cli.row("positions", "get", first["position_id"])
    assert (found["status"], found["realized_pnl"]) == ("POSITION_STATUS_CLOSED", "7.5")
    history = cli.rows("positions", "history", "LINK/USD")
    assert [event["type"].removeprefix("POSITION_EVENT_TYPE_") for event in history] == ["OPENED", "REDUCED", "CLOSED"]
    assert (
        cli.rows("positions", "history", first["position_id"], "--after-revision", history[0]["revision"])
        == history[1:]
    )
    assert "no position that LNK/USD names was ever there" in cli.run("positions", "history", "LNK/USD").stderr
    assert not cli.run("positions", "history", "LINK/USD", "--after-revision", history[-1]["revision"]).stderr
    assert cli.table("positions", "history", "LINK/USD").splitlines()[-1].split()[3:8] == [
        "LINK/USD",
        "CLOSED",
        "6",
        "3.5",
        "6",
    ]
    then = cli.row("positions", "get", "LINK-USD", "--as-of", first["revision"])
    assert (then["size"], then["status"]) == ("10", "POSITION_STATUS_OPEN")


def test_a_short_is_opened_and_a_close_without_a_price_is_announced(cli: CommandLine):
    short = opened(cli, "UNI/USD", "--side", "short", "--margin-mode", "isolated", "--liquidation-price", "9")
    assert (short["side"], short["margin_mode"], short["liquidation_price"]) == (
        "SIDE_SHORT",
        "MARGIN_MODE_ISOLATED",
        "9",
    )
    assert cli.row("positions", "close", "UNI/USD")["status"] == "POSITION_STATUS_CLOSING"
    assert "CLOSING" in cli.refused("positions", "close", "UNI/USD", "2")


def test_at_risk_is_an_exit_code_only_where_it_is_asked(cli: CommandLine):
    opened(cli, "ADA/USD", "--liquidation-price", "2.4")

    async def price() -> None:
        async with Client(cli.env["POSITION_ADDRESS"]) as client:
            mark = pb.PriceUpdate(venue="coinbase", symbol="ADA-USD", price="2.42")
            await client.positions.UpdatePrices(pb.UpdatePricesRequest(prices=[mark]))

    asyncio.run(price())
    assert "ADA/USD" in cli.table("positions", "at-risk", "--venue", "coinbase", "--exit-code", code=4)
    assert cli.rows("positions", "at-risk", "--venue", "coinbase", "--threshold", "0.1", "--exit-code") == []


def test_summary_and_verify(cli: CommandLine):
    total = cli.row("positions", "summary", "--venue", "hyperliquid")
    assert total["total_positions"] == 5
    assert "positions                  5" in cli.table("positions", "summary", "--venue", "hyperliquid")
    verdict = cli.row("positions", "verify")
    assert verdict["intact"] is True
    assert f"intact: {verdict['events_checked']} events" in cli.table("positions", "verify")


def test_what_ended_long_ago_is_purged_when_somebody_says_yes(cli: CommandLine):
    async def age() -> None:
        connection = await asyncpg.connect(EmbeddedPostgres(Path(cli.env["DB_PATH"])).dsn)
        await connection.execute(
            "UPDATE positions SET closed_at = closed_at - interval '99 days' WHERE account = 'old'"
        )
        await connection.close()

    for asset in ("NEAR/USD", "SEI/USD"):
        opened(cli, asset, "--account", "old")
        cli.run("positions", "close", asset, "3", "--account", "old")
    opened(cli, "TIA/USD", "--account", "young")
    cli.run("positions", "close", "TIA/USD", "3", "--account", "young")
    asyncio.run(age())

    def listed() -> set[str]:
        return {each["account"] for each in cli.rows("positions", "list", "--closed")} & {"old", "young"}

    assert cli.row("positions", "purge", "--dry-run")["purged"] == "2"
    assert cli.table("positions", "purge", "--dry-run").startswith("2 ended positions would be removed; revision ")
    assert cli.table("positions", "purge", "--older-than-days", "100").startswith("0 ended positions removed")
    asked = cli.run("positions", "purge", code=2)
    assert asked.stdout == ""
    assert asked.stderr.startswith("2 ended positions would be removed from the listings, nothing from the history.")
    assert "there is nobody to ask: say --yes" in asked.stderr
    assert "nothing was changed" in cli.on_terminal("positions", "purge", answers={"Do it? [y/N]": "n"}, code=1)
    assert listed() == {"old", "young"}
    assert "2 ended positions removed" in cli.on_terminal("positions", "purge", answers={"Do it? [y/N]": "y"})
    assert listed() == {"young"}
    assert len(cli.rows("positions", "history", "--account", "old")) == 4
    assert cli.row("positions", "purge", "--yes")["purged"] == "0"


# -- errors --------------------------------------------------------------------------------------


def test_errors_are_one_line_that_says_what_to_do(cli: CommandLine):
    assert cli.refused("positions", "get", "NOPE/USD").startswith("no live position matches NOPE/USD")
    told = cli.refused("positions", "open", "OP/USD", "much", "1", "--request-id", "r1")
    assert told.startswith("size: must be a plain decimal > 0")
    assert told.endswith("(request id r1)")
    for numbers, field in ((("-1", "42000.5"), "size"), (("1", "-42000.5"), "entry_price")):
        assert cli.refused("positions", "open", "OP/USD", *numbers).startswith(f"{field}: must be a plain decimal > 0")
    told = cli.refused("positions", "open", "BTCUSDC", "1", "100", code=2)
    assert told == "'BTCUSDC' is no pair: write BTC/USDC"
    told = cli.refused("positions", "open", "BTC/USD", "1", "1")
    assert "has a live position already" in told
    assert "(request id cli-" in told


def test_nobody_there_is_exit_code_3_and_a_write_says_how_to_repeat_it(cli: CommandLine):
    nobody = {"POSITION_ADDRESS": NOBODY, "RECONCILER_ADDRESS": NOR_HERE}
    told = cli.refused("positions", "list", code=3, **nobody)
    assert told == f"nothing answers at {NOBODY}: start it with `trueup up` or set POSITION_ADDRESS"
    told = cli.refused("drifts", "watch", code=3, **nobody)
    assert told == f"nothing answers at {NOR_HERE}: start it with `trueup up` or set RECONCILER_ADDRESS"
    told = cli.refused("positions", "open", "OP/USD", "1", "1", "--request-id", "again", code=3, **nobody)
    assert told.endswith("It may have happened: repeat it with --request-id again, and it happens once")
    told = cli.refused("positions", "list", POSITION_ADDRESS=f"http://{NOBODY}")
    assert told.startswith(f"POSITION_ADDRESS: 'http://{NOBODY}' has a scheme: write host:port, e.g. {NOBODY}")
    told = cli.refused("drifts", "list", "--reconciler-address", "localhost")
    assert told == "RECONCILER_ADDRESS: 'localhost' has no port: write host:port, e.g. localhost:50052"
    # An option outranks the environment.
    assert cli.rows("positions", "list", "--position-address", cli.env["POSITION_ADDRESS"], "--limit", "1", **nobody)


def test_wrong_usage_is_exit_code_2(cli: CommandLine):
    assert "Did you mean 'list'" in cli.run("positions", "lst", code=2).stderr
    assert "Missing argument" in cli.run("positions", "reduce", "BTC/USD", code=2).stderr
    assert "No such option: --prise" in cli.run("positions", "reduce", "BTC/USD", "1", "--prise", "1", code=2).stderr
    assert cli.refused("positions", "list", "--as-of", "then", code=2).startswith("--as-of: 'then' is not a time")


def test_addresses_stand_in_the_services_settings_file_too(cli: CommandLine, tmp_path: Path):
    file = tmp_path / "desk.toml"
    file.write_text(f'position_address = "{cli.env["POSITION_ADDRESS"]}"\n')
    assert cli.rows("positions", "list", "--limit", "1", TRUEUP_CONFIG=str(file), POSITION_ADDRESS="")


def test_a_pipe_that_closes_early_is_no_failure_to_talk_about(cli: CommandLine):
    done = subprocess.run(
        ["bash", "-c", f"{BIN / 'trueup'} positions export | head -n 1"],
        env=cli.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["type"]
    assert "Traceback" not in done.stderr


# -- drifts --------------------------------------------------------------------------------------


def test_a_drift_from_its_making_to_its_end(cli: CommandLine):
    assert cli.run("reconcile", "--exit-code").returncode == 0
    (fill,) = cli.row("simulate", "trade", "BTC", "buy", "0.1", "--price", "42500")["fills"]
    assert (fill["coin"], fill["sz"]) == ("BTC", "0.1")
    found = cli.row("reconcile", "--exit-code", code=4)
    assert [drift["symbol"] for drift in found["drifts"]] == ["BTC"]
    (drift,) = cli.rows("drifts", "list", "--exit-code", code=4)
    beginning = drift["drift_id"][:8]
    assert beginning in cli.table("drifts", "list")
    assert cli.row("drifts", "get", "BTC")["drift_id"] == drift["drift_id"]
    watched = cli.table("drifts", "watch", "--symbol", "BTC", "--events", "1")
    assert "DRIFT" in watched
    assert "would mend it: size 0.5 -> 0.6" in watched
    shown = cli.table("drifts", "get", drift["drift_id"])
    assert "venue holds 0.6, book says 0.5" in shown
    assert "bought 0.1 BTC at 42500" in shown
    assert cli.row("drifts", "ack", beginning, "--reason", "on it")["status"] == "DRIFT_STATUS_ACKNOWLEDGED"
    snoozed = cli.row("drifts", "snooze", "BTC", "2h")
    assert (snoozed["status"], snoozed["reason"]) == ("DRIFT_STATUS_SNOOZED", "")
    assert cli.refused("drifts", "snooze", "BTC", "soon", code=2).startswith("UNTIL: 'soon' is not a time")
    assert cli.refused("drifts", "get", "DOGE").startswith("no open drift is DOGE")

    assert cli.refused("drifts", "get", "BTC-USD").startswith("no open drift is BTC-USD, but BTC is: `trueup drifts")
    ahead = cli.run("drifts", "watch", "--after-revision", "1000000", "--events", "1")
    assert "revision 1000000 has not happened" in ahead.stderr
    assert "beginning anew, with what there is now" in ahead.stderr
    assert json.loads(ahead.stdout)["phase"] == "STREAM_PHASE_SNAPSHOT"

    dry = cli.row("drifts", "resolve", "BTC", "APPLY_FILLS", "--dry-run")
    assert {change["field"]: change["after"] for change in dry["correction"]}["size"] == "0.6"
    asked = cli.run("drifts", "resolve", "BTC", "apply-fills", code=2)
    assert asked.stdout == ""
    assert "there is nobody to ask: say --yes" in asked.stderr
    no = cli.on_terminal("drifts", "resolve", "BTC", "apply-fills", answers={"Do it? [y/N]": "n"}, code=1)
    assert "nothing was changed" in no
    yes = cli.on_terminal("drifts", "resolve", "BTC", "apply-fills", answers={"Do it? [y/N]": "y"})
    assert yes.index("size") < yes.index("Do it?") < yes.index("APPLY_FILLS; revision")
    assert cli.row("positions", "get", "BTC/USD")["size"] == "0.6"
    (resolved,) = cli.rows("drifts", "list", "--all", "--symbol", "BTC")
    assert (resolved["status"], resolved["resolution"]) == ("DRIFT_STATUS_RESOLVED", "APPLY_FILLS")
    assert "3 of 3" in cli.table("reconcile", "--exit-code")


def test_yes_resolves_without_asking_and_only_what_was_shown(cli: CommandLine):
    cli.row("simulate", "leverage", "HYPE", "10")
    cli.run("reconcile")
    done = cli.row(
        "drifts", "resolve", "HYPE", "adopt-venue", "--yes", "--reason", "meant so", "--request-id", "hype-1"
    )
    assert done["drift"]["status"] == "DRIFT_STATUS_RESOLVED"
    assert done["correction"] == [{"field": "leverage", "before": "3", "after": "10"}]
    assert cli.row("positions", "get", "HYPE/USD")["leverage"] == "10"


def test_runs_venues_allocation(cli: CommandLine):
    (run,) = cli.rows("runs", "--limit", "1")
    assert len(run["checks"]) == 3
    assert "3 of 3" in cli.table("runs", "--limit", "1")
    states = {venue["venue"]: venue["state"] for venue in cli.rows("venues")}
    assert states == {"hyperliquid": "OK", "coinbase": "UNCONFIGURED"}
    table = cli.table("venues").splitlines()
    assert {line.split()[0]: "UNCONFIGURED" in line for line in table[1:3]} == {"hyperliquid": False, "coinbase": True}
    assert "push" in table[0].split()
    shares = cli.row("allocation", "--portfolio-value", "1000000")["allocations"]
    assert shares["hyperliquid"]["within_tolerance"] is False
    table = cli.table("allocation", "--portfolio-value", "1000000", "--exit-code", code=4)
    assert "tolerance 0.05" in table
    assert {line.split()[0]: line.split()[2] for line in table.splitlines()[1:3]} == {
        "hyperliquid": "VENUE",
        "coinbase": "BOOK",
    }


def test_a_venue_that_cannot_be_read_is_not_all_right(cli: CommandLine):
    fault = cli.row("simulate", "fault", "partial_scope", "--dex", "")["fault"]
    assert (fault["kind"], fault["dex"]) == ("partial_scope", "")  # the main dex: empty is not left out
    try:
        assert "partial_scope" in cli.table("simulate", "state")
        run = cli.row("reconcile", "--exit-code", code=1)["run"]
        assert {check["scope"]: check["outcome"] for check in run["checks"]}[""] == "CHECK_OUTCOME_FAILED"
    finally:
        assert cli.row("simulate", "clear", str(fault["id"]))["cleared"] == 1
    assert cli.run("reconcile", "--exit-code").returncode == 0


def test_simulate(cli: CommandLine):
    assert cli.row("simulate", "mark", "SOL", "101")["price"] == "101.0"
    assert "holds no ARB" in cli.refused("simulate", "liquidate", "ARB")
    assert "no market 'NOPE'" in cli.refused("simulate", "trade", "NOPE", "buy", "1")
    told = cli.refused("simulate", "clear", code=3, SIMULATOR_URL=f"http://{NOBODY}")
    assert told.startswith(f"no simulated venue answers at http://{NOBODY}")
    told = cli.refused("simulate", "liquidate", "ETH-USD", "--venue", "coinbase")
    assert "the simulated venue refused" in told


# -- streams -------------------------------------------------------------------------------------


def test_watch_goes_on_across_a_crash_and_ends_when_it_has_enough(desk: Trio, cli: CommandLine):
    with cli.started("positions", "watch", "--venue", "coinbase", "--events", "2") as watching:
        watching.wait_for('"snapshot_end":true')
        opened(cli, "DOT/USD")
        watching.wait_for("POSITION_EVENT_TYPE_OPENED")
        desk.restart("position")
        watching.wait_for("the stream was cut off")
        cli.run("positions", "close", "DOT/USD", "3", "--venue", "coinbase")
        assert watching.ended() == 0
    messages = [json.loads(line) for line in watching.output.splitlines() if line.startswith("{")]
    events = [event for message in messages for event in message["events"]]
    assert [event["type"].removeprefix("POSITION_EVENT_TYPE_") for event in events] == ["OPENED", "CLOSED"]
    again = cli.rows(
        "positions", "watch", "--venue", "coinbase", "--events", "1", "--after-revision", events[0]["revision"]
    )
    assert [event for message in again for event in message["events"]] == events[1:]


def test_a_watch_is_lines_for_people(cli: CommandLine):
    shown = cli.table("positions", "watch", "--asset", "BTC/USD", "--after-revision", "0", "--events", "1")
    assert "BTC/USD on hyperliquid opened 0.5 at 42000 -> LONG 0.5" in shown


def test_a_watch_is_ended_by_ctrl_c_without_a_word(cli: CommandLine):
    with cli.started("drifts", "watch") as watching:
        watching.wait_for("STREAM_PHASE")
        assert watching.stop(signal.SIGINT) == 130
        assert all(line.startswith("{") for line in watching.output.splitlines()), watching.output


# -- export and import ---------------------------------------------------------------------------


def test_what_is_exported_is_imported_once(cli: CommandLine, tmp_path: Path):
    book, copy = tmp_path / "book.ndjson", tmp_path / "copy.ndjson"
    assert cli.run("positions", "export", "--positions", "--venue", "hyperliquid", "-o", book).stdout == ""
    assert [file.name for file in tmp_path.iterdir()] == ["book.ndjson"]
    copy.write_text(book.read_text().replace('"account":"main"', '"account":"copy"'))
    assert len(cli.rows("positions", "import", copy, "--dry-run")) == 5
    first = cli.row("positions", "import", copy)
    assert (first["booked"], first["booked_before"], first["refused"]) == (5, 0, 0)
    assert "0 booked, 5 booked before" in cli.table("positions", "import", copy)
    told = (
        "asset",
        "symbol",
        "venue",
        "side",
        "size",
        "entry_price",
        "leverage",
        "margin_mode",
        "product",
    )

    def essence(account: str) -> list[tuple[str, ...]]:
        listed = cli.rows("positions", "list", "--account", account, "--venue", "hyperliquid")
        return sorted(tuple(position[name] for name in told) for position in listed)

    assert essence("copy") == essence("main")
    # What an import booked and somebody closed since stays closed.
    cli.run("positions", "close", "ETH/USD", "2200", "--account", "copy")
    again = cli.row("positions", "import", copy)
    assert (again["booked"], again["booked_before"]) == (0, 5)
    ended = cli.run("positions", "export", "--positions", "--account", "copy").stdout
    assert cli.run("positions", "import", "-", "--dry-run", "--table", given=ended).stdout.endswith(
        "1 skipped: they have ended\n"
    )


def test_positions_are_exported_as_csv_and_imported_as_they_are(cli: CommandLine, tmp_path: Path):
    opened(cli, "FIL/USD", "--account", "cells", "--label", "desk=a", "--label", "bot=7", "--leverage", "2")
    opened(cli, "ICP/USD", "--account", "cells", "--side", "short")
    cli.run("positions", "close", "ICP/USD", "2", "--account", "cells")
    book = tmp_path / "book.csv"
    assert cli.run("positions", "export", "--positions", "--account", "cells", "-o", book).stdout == ""
    piped = cli.run("positions", "export", "--positions", "--csv", "--account", "cells").stdout
    first, second = csv.DictReader(piped.splitlines())
    assert book.read_text().splitlines()[0] == piped.splitlines()[0]
    live = {"symbol": "FIL-USD", "side": "LONG", "size": "10", "entry_price": "2.5", "status": "OPEN", "leverage": "2"}
    assert {name: first[name] for name in live} == live
    assert (first["labels"], first["closed_at"], first["margin_mode"]) == ("bot=7;desk=a", "", "")
    assert (second["status"], second["realized_pnl"], second["side"]) == ("CLOSED", "5", "SHORT")
    book.write_text(book.read_text().replace("cells,", "again,"))
    done = cli.row("positions", "import", book)
    assert (done["booked"], done["skipped"]) == (1, 1)
    (copied,) = cli.rows("positions", "list", "--account", "again")
    assert (copied["labels"], copied["leverage"], copied["size"]) == ({"bot": "7", "desk": "a"}, "2", "10")
    assert cli.refused("positions", "export", "--csv", code=2).startswith("CSV goes with --positions")
    opened(cli, "FIL/USD", "--account", "odd", "--label", "note=a;b")
    odd = tmp_path / "odd.csv"
    cli.run("positions", "export", "--positions", "--account", "odd", "-o", odd)
    odd.write_text(odd.read_text().replace("odd,", "even,"))
    cli.run("positions", "import", odd)
    (copied,) = cli.rows("positions", "list", "--account", "even")
    assert copied["labels"] == {"note": "a;b"}


def test_a_book_is_checked_as_a_whole_before_anything_is_booked(cli: CommandLine, tmp_path: Path):
    book = tmp_path / "book.csv"
    book.write_text(
        "asset,venue,size,entry_price\nXLM/USD,coinbase,100,0.1\nXRP/USD,coinbase,x,0.5\nXTZ/USD,coinbase,1,\n"
    )
    done = cli.run("positions", "import", book, code=1)
    assert [line.partition("line ")[2][:7] for line in done.stderr.splitlines()] == ["3: size", "4: entr"]
    book.write_text("asset,venue,size,entry_price\nXLM/USD,coinbase,100,0.1\nBTC/USD,,1,42000\n")
    told = cli.refused("positions", "import", book)
    assert told.startswith("nothing was booked: line 3: main hyperliquid BTC is live already, position ")
    assert cli.rows("positions", "list", "--asset", "XLM/USD") == []
    book.write_text("asset,venue,size,entry_price\nXLM/USD,coinbase,100,0.1\n")
    assert "1 to book, 0 booked before" in cli.table("positions", "import", book, "--dry-run")
    assert cli.row("positions", "import", book)["booked"] == 1
    assert cli.refused("positions", "import", tmp_path / "none.csv").startswith("cannot read")


def test_the_whole_history_is_exported(cli: CommandLine, tmp_path: Path):
    file = tmp_path / "history.ndjson"
    done = cli.run("positions", "export", "--output", file)
    events = [json.loads(line) for line in file.read_text().splitlines()]
    revisions = [int(event["revision"]) for event in events]
    assert revisions == sorted(set(revisions))
    assert revisions[0] == 1
    assert done.stderr.startswith(f"{len(events)} events, at revision ")
    assert events == cli.rows("positions", "history")
    assert cli.refused("positions", "export", "-o", tmp_path / "none" / "x").endswith("No such file or directory")


# -- the rest ------------------------------------------------------------------------------------


def test_doctor_finds_everything_well(cli: CommandLine):
    cli.run("reconcile")
    levels = {finding["check"]: finding["level"] for finding in cli.rows("doctor")}
    assert levels.pop("venue coinbase (main)") == "WARNING"
    assert set(levels.values()) == {"OK"}
    assert {"Position service", "Reconciler", "database", "durability", "schema", "clock of the database"} <= set(
        levels
    )


def test_doctor_says_what_to_do_and_exits_with_1(cli: CommandLine):
    nobody = {
        "POSITION_ADDRESS": NOBODY,
        "RECONCILER_ADDRESS": NOBODY,
        "DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:9/x",
    }
    shown = cli.table("doctor", code=1, **nobody)
    here = {name: cli.env[f"{name}_ADDRESS"] for name in ("POSITION", "RECONCILER")}
    assert f"PROBLEM  Position service: nothing answers at {NOBODY}; one is at {here['POSITION']}\n" in shown
    assert "         set POSITION_ADDRESS to that\nPROBLEM  database" in shown
    assert f"PROBLEM  Reconciler: nothing answers at {NOBODY}; one is at {here['RECONCILER']}\n" in shown
    assert "no keys, no TLS, on 127.0.0.1:" in shown
    assert "if it is started with the settings here" in shown
    assert "PROBLEM  database: cannot reach the database" in shown
    assert "OK       venue hyperliquid (main): SIMULATED: it takes the address or key" in shown
    assert "hunter2" not in shown
    shown = cli.table("doctor", code=1, HYPERLIQUID_KEY="0x1", RECONCILER_ADDRESS=NOBODY)
    assert "PROBLEM  venues: " in shown
    shown = cli.table("doctor", code=1, LIQUIDATION_THRESHOLD="much")
    assert shown.startswith("PROBLEM  settings: invalid settings: LIQUIDATION_THRESHOLD")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("trueup po", "positions"), ("trueup positions at", "at-risk"), ("trueup drifts resolve x app", "apply-fills")],
)
def test_the_shell_completes(cli: CommandLine, typed: str, offered: str):
    words = typed.split()
    asked = {"_TRUEUP_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    assert cli.run(**asked).stdout.split() == [offered]
