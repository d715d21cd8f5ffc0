"""What the tables of venues, shares and positions say of whose word a figure is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import position_pb2
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from trueup_cli import position_tables, venue_tables
from trueup_cli.output import Output

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(seconds=3), NOW + timedelta(seconds=1)  # after: the Reconciler's clock is ahead
Shown = pytest.CaptureFixture[str]


def health(state: str = "OK", push: str = "UP", error: str = "", **more: str) -> drift_pb2.VenueHealth:
    pushed = drift_pb2.PushHealth(state=push, last_error=error)
    return drift_pb2.VenueHealth(venue="hyperliquid", account="main", state=state, push=pushed, **more)  # type: ignore[arg-type]


def shown_of(health: drift_pb2.VenueHealth, shown: Shown) -> str:
    venue_tables.venues(Output(is_json=False), [health])
    return shown.readouterr().out


def test_a_venue_that_pushes_says_so_and_an_error_of_the_past_is_over(capsys: Shown):
    shown = shown_of(health("OK", "UP", "closed by peer"), capsys)
    assert " UP " in shown
    assert "closed by peer" not in shown


def test_a_push_that_is_down_says_why_beside_the_venues_own_problem(capsys: Shown):
    shown = shown_of(health("DEGRADED", "DOWN", "closed by peer", last_error="xyz: timed out"), capsys)
    assert " DOWN " in shown
    assert "xyz: timed out; push: closed by peer" in shown
    assert "push:" not in shown_of(health("OK", "DOWN"), capsys), "not connected yet: no reason"


@pytest.mark.parametrize(("state", "polled"), [("OK", True), ("STARTING", True), ("UNCONFIGURED", False)])
def test_a_venue_without_push_is_polled_if_it_is_read_at_all(state: str, polled: bool, capsys: Shown):
    assert ("polled" in shown_of(health(state, "OFF"), capsys)) is polled


def test_why_an_account_is_not_checked_is_said_below_but_not_of_what_is_not_configured(capsys: Shown):
    why = "coinbase does not tell what moves its balances"
    assert shown_of(health(equity_unchecked=why), capsys).endswith(f"hyperliquid/main: equity not checked: {why}\n")
    assert "equity" not in shown_of(health(), capsys)
    assert "equity" not in shown_of(health("UNCONFIGURED", "OFF", equity_unchecked="not configured"), capsys)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"active": True, "position_service_ok": True}, ""),
        ({"position_service_ok": True}, "this Reconciler stands by, another one runs the cycles"),
        ({}, "no cycles are run: the Position service does not answer"),
    ],
)
def test_a_reconciler_that_runs_no_cycles_says_why(status: dict[str, bool], said: str):
    told = venue_tables.idle(pb.GetStatusResponse(**status))
    assert told.startswith(said)
    assert bool(told) is bool(said)


def share(basis: str, value: str, booked: str, at: datetime | None = None) -> pb.VenueAllocation:
    observed = Timestamp()
    if at:
        observed.FromDatetime(at)
    return pb.VenueAllocation(
        target="0.5",
        actual="0.5",
        drift="0",
        within_tolerance=True,
        value=value,
        basis=f"ALLOCATION_BASIS_{basis}",  # type: ignore[arg-type]
        booked_value=booked,
        observed_at=observed if at else None,
    )


def row_of(share: pb.VenueAllocation, shown: Shown) -> list[str]:
    found = pb.ValidateAllocationResponse(allocations={"one": share}, portfolio_value="200", tolerance="0.05")
    venue_tables.allocation(Output(is_json=False), found, NOW)
    return shown.readouterr().out.splitlines()[1].split()


@pytest.mark.parametrize(
    ("share", "row"),
    [
        (share("VENUE", "100", "100.001", BEFORE), "100 VENUE 3.0"),
        (share("VENUE", "100", "90.5", BEFORE), "100 VENUE 3.0 90.5"),
        (share("VENUE", "100", "0", AFTER), "100 VENUE 0.0 0"),
        (share("BOOK", "100", "100"), "100 BOOK"),
        (share("UNSPECIFIED", "100", ""), "100"),  # of an older Reconciler
    ],
)
def test_a_share_says_whose_word_it_is_how_old_and_what_the_book_holds_otherwise(
    share: pb.VenueAllocation, row: str, capsys: Shown
):
    assert row_of(share, capsys) == ["one", *row.split(), "0.5", "0.5", "0", "OK"]


PRICES = {"liquidation_price": "2400", "estimated_liquidation_price": "2300"}


@pytest.mark.parametrize(
    ("prices", "got", "listed"),
    [
        (PRICES | {"venue_liquidation_price": "2500"}, "7.5 to 2500 (venue)", "2500"),
        (PRICES, "7.5 to 2400 (given)", "2400"),
        ({"liquidation_price": "0.0000012345"}, "7.5 to 0.0000012345 (given)", "0.0000012345"),
        ({"estimated_liquidation_price": "2300"}, "7.5 to 2300 (estimated)", "~2300"),
        ({"estimated_liquidation_price": "2300.123456789"}, "7.5 to 2300.123456789 (estimated)", "~2300.12345679"),
        ({}, "7.5", "7.5"),
    ],
)
def test_a_distance_says_to_which_price_it_is(prices: dict[str, str], got: str, listed: str, capsys: Shown):
    position = position_pb2.Position(account="main", liquidation_distance_percent="7.5", **prices)  # type: ignore[arg-type]
    position_tables.one(Output(is_json=False), position)
    (line,) = (one for one in capsys.readouterr().out.splitlines() if one.startswith("liquidation_distance_percent"))
    assert line.split(maxsplit=1)[1].strip() == got
    position_tables.table(Output(is_json=False), [position])
    assert capsys.readouterr().out.splitlines()[1].split()[0] == listed
