"""How values read in tables, and how errors read in one line."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from trueup.position.v1 import position_pb2
from trueup.types.v1 import drift_pb2

from grpckit.errors import RpcError
from trueup_cli import drift_tables, failures, output
from trueup_cli.checks import Level, clock
from trueup_cli.client import Unreachable
from trueup_cli.dump import _without_password
from trueup_cli.failures import Failure
from trueup_cli.options import as_of, reference
from trueup_cli.output import Output
from trueup_cli.screen import told
from trueup_cli.watching import going_on
from trueup_cli.words import amount, counted, gain, name_of, near

UUID = "01a21440-63d8-7000-8838-c8165598b4ce"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("0", "0"),
        ("42000", "42000"),
        ("0.95", "0.95"),
        ("1.398095238095238095", "1.4"),
        ("-1.005", "-1"),  # half-even
        ("-1.015", "-1.02"),
        ("0.001", "0"),
        ("99999999999999999999.999", "100000000000000000000"),
    ],
)
def test_amounts_are_rounded_half_even_for_the_eye(text: str, shown: str):
    assert amount(text, 2) == shown


def test_one_of_a_kind_is_singular():
    assert [counted(number, "position") for number in (0, 1, 2)] == ["0 positions", "1 position", "2 positions"]


@pytest.mark.parametrize("width", range(12, 60))
def test_a_table_breaks_no_number_in_two(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(output, "_PIPE_WIDTH", width)
    out = Output(is_json=False)
    out.table(("what",), [("It liquidated 4 at 2 425.48, 1 012 141 USD, of 3 1000",)])
    out.fields([("why", "held 12 141")])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    shown = " ".join(lines)
    assert "It liquidated 4 at 2 425.48, 1 012 141 USD, of 3 1000" in shown
    for part, rest in (("2", "425.48"), ("1", "012"), ("012", "141"), ("12", "141")):
        cut = itertools.pairwise(lines)
        assert not any(a.split()[-1:] == [part] and b.startswith(rest) for a, b in cut), shown


def test_an_estimate_says_at_which_price(capsys: pytest.CaptureFixture[str]):
    out = Output(is_json=False)
    correction = [drift_pb2.Change(field="size", before="4", after="0")]
    drift_tables.changes(out, correction, estimated=True, assumed_price="2425.48")
    assert "It is an estimate at an assumed price of 2425.48: not by fills." in capsys.readouterr().out
    drift_tables.changes(out, correction, estimated=False)
    assert "estimate" not in capsys.readouterr().out


def test_what_is_over_is_told_as_past():
    drift = drift_pb2.Drift(venue="coinbase", summary="coinbase holds 26.62 %", resolution="AGREES_AGAIN")
    event = drift_pb2.DriftEvent(type=drift_pb2.DRIFT_EVENT_TYPE_CONFIRMED, drift=drift)
    assert told(event) == "coinbase holds 26.62 %"
    event.type = drift_pb2.DRIFT_EVENT_TYPE_RESOLVED
    assert told(event) == "coinbase: agrees again. It was: coinbase holds 26.62 %"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("BTC", ["BTC-USD", "BTC-USDC"]),
        ("btc", ["BTC-USD", "BTC-USDC"]),
        ("BTC/USD", ["BTC-USD", "BTC-USDC"]),
        ("BTCUSD", ["BTC-USD", "BTC-USDC"]),
        ("ETH-USD", ["ETH"]),
        ("tsla", ["xyz:TSLA"]),
        ("SLO", ["SOL"]),
        ("DOGE", []),
        ("", []),
    ],
)
def test_what_somebody_may_have_meant(text: str, meant: list[str]):
    assert near(text, ["xyz:TSLA", "SOL", "ETH", "BTC-USDC", "BTC-USD", "", "ETH"]) == meant


def test_no_more_is_offered_than_can_be_read():
    assert near("BTC", (f"BTC-{number}" for number in range(9))) == ["BTC-0", "BTC-1", "BTC-2"]


@pytest.mark.parametrize(
    ("code", "revision", "said"),
    [
        (grpc.StatusCode.UNAVAILABLE, 7, "the stream was cut off (it says no): going on after revision 7"),
        (grpc.StatusCode.UNAVAILABLE, 0, "the stream was cut off (it says no): going on from the beginning"),
        (grpc.StatusCode.OUT_OF_RANGE, 0, "it says no: beginning anew, with what there is now"),
    ],
)
def test_a_watch_says_where_it_goes_on(code: grpc.StatusCode, revision: int, said: str):
    assert going_on(an_error(code), revision) == said


def test_profit_is_green_and_loss_is_red():
    assert [gain(text).style for text in ("1", "-1", "0", "")] == ["green", "red", "", ""]


def test_enums_lose_their_prefix_and_newer_ones_stay_numbers():
    position = position_pb2.Position(status=position_pb2.POSITION_STATUS_OPEN)
    assert name_of(position, "status") == "OPEN"
    assert name_of(position, "side") == ""
    position.status = 99
    assert name_of(position, "status") == "99"


def test_a_position_is_named_by_id_pair_or_symbol():
    assert reference(UUID, "hyperliquid") == {"position_id": UUID}
    assert reference("BTC/USD", "", "desk") == {"asset": "BTC/USD", "venue": "", "account": "desk"}
    assert reference("xyz:TSLA")["symbol"] == "xyz:TSLA"


def test_the_past_is_a_revision_or_a_time():
    assert as_of("") == {}
    assert as_of("7") == {"as_of_revision": 7}
    assert as_of("2026-03-01T12:00")["as_of_time"].ToDatetime(UTC) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert as_of("2026-03-01T12:00+02:00")["as_of_time"].ToDatetime(UTC) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    with pytest.raises(Failure, match="'yesterday' is not a time") as caught:
        as_of("yesterday")
    assert caught.value.code == failures.USAGE


def an_error(code: grpc.StatusCode, reason: str = "", message: str = "it says no") -> RpcError:
    return RpcError(code, reason, message)


def test_an_error_says_what_to_do_and_its_exit_code_whether_it_was_answered():
    silence = Unreachable(an_error(grpc.StatusCode.UNAVAILABLE), "127.0.0.1:1")
    assert failures.describe(silence, variable="POSITION_ADDRESS") == (
        "nothing answers at 127.0.0.1:1: start it with `trueup up` or set POSITION_ADDRESS"
    )
    assert failures.exit_code(silence) == 3
    stale = an_error(grpc.StatusCode.ABORTED, "STALE_REVISION", "it is at 7")
    assert failures.describe(stale, variable="") == "it is at 7; it has moved since: look again, then decide again"
    assert failures.exit_code(stale) == 1
    assert failures.exit_code(an_error(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")) == 3


@pytest.mark.parametrize(
    ("code", "reason", "which"),
    [
        (
            grpc.StatusCode.UNAUTHENTICATED,
            "NO_CREDENTIALS",
            "makes one, the first with the root key: ROOT_KEY_FILE of the",
        ),
        (
            grpc.StatusCode.PERMISSION_DENIED,
            "SCOPE_MISSING",
            "a key that `trueup keys create --scopes` gave it, or to the r",
        ),
        (grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_FORBIDDEN", "a key that `trueup keys create --accounts` gave it"),
    ],
)
def test_who_is_refused_is_told_which_key_would_do(code: grpc.StatusCode, reason: str, which: str):
    told = failures.describe(an_error(code, reason), variable="")
    assert told.startswith("it says no; set TRUEUP_KEY_FILE to ")
    assert which in told


def test_a_write_whose_outcome_is_unknown_says_how_to_repeat_it():
    late = an_error(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "late")
    told = failures.describe(late, variable="", request_id="cli-1")
    assert told == "late. It may have happened: repeat it with --request-id cli-1, and it happens once"
    refused = failures.describe(an_error(grpc.StatusCode.FAILED_PRECONDITION), variable="", request_id="cli-1")
    assert refused == "it says no (request id cli-1)"


@pytest.mark.parametrize(
    ("off_s", "trip_s", "level"),
    [(0, 0, Level.OK), (0.9, 0, Level.OK), (-2, 0, Level.WARNING), (11, 0, Level.PROBLEM), (4, 8, Level.OK)],
)
def test_a_clock_is_wrong_by_more_than_the_way_there_took(off_s: float, trip_s: float, level: Level):
    began = datetime(2026, 3, 1, tzinfo=UTC)
    ended = began + timedelta(seconds=trip_s)
    found = clock("clock", began + timedelta(seconds=trip_s / 2 + off_s), began, ended)
    assert found.level is level
    assert bool(found.todo) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("dsn", "bare", "password"),
    [
        ("postgresql://u:p%40ss@h:1/d?sslmode=require", "postgresql://u@h:1/d?sslmode=require", "p@ss"),
        ("postgresql://h/d?user=u&password=p&sslmode=require", "postgresql://h/d?user=u&sslmode=require", "p"),
        ("postgresql://postgres@/postgres?host=/x/run", "postgresql://postgres@/postgres?host=%2Fx%2Frun", ""),
    ],
)
def test_no_password_stands_in_a_command_line(dsn: str, bare: str, password: str):
    assert _without_password(dsn) == (bare, {"PGPASSWORD": password} if password else {})
