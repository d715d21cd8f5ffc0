from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler_service.compare import Tolerances, compare
from reconciler_service.findings import Kind
from reconciler_service.model import MarginMode, Side, VenuePosition
from reconciler_service.venues import VenueDataError, VenueRefused
from reconciler_service.venues.hyperliquid import decode, history
from reconciler_service.venues.wire import amount, denoised, instant, integer, milliseconds, plain, quantised
from tests.reconciler_samples import booked as sample
from tests.reconciler_samples import scope, snapshot

D = Decimal
BARE = {"leverage": None, "margin_mode": None, "liquidation_price": None}
STEPS = {"BTC": D("0.00001"), "ARB": D("0.1"), "kPEPE": D(1), "xyz:TSLA": D("0.001")}


def state_of(*positions: Mapping[str, object], **top: object) -> dict[str, object]:
    return {"assetPositions": [{"type": "oneWay", "position": position} for position in positions], **top}


def only(position: Mapping[str, object]) -> VenuePosition:
    (found,) = decode.account_state(state_of(position), STEPS).positions
    return found


def test_a_position_needs_no_more_than_a_coin_and_a_size() -> None:
    found = only({"coin": "BTC", "szi": "-0.5", "somethingNew": {"deep": []}})
    assert (found.symbol, found.asset, found.side, found.size) == ("BTC", "BTC/USD", Side.SHORT, D("0.5"))
    assert (found.entry_price, found.leverage, found.liquidation_price, found.mark_price) == (None, None, None, None)
    assert found.margin_mode is None


@pytest.mark.parametrize(
    ("wire", "size"),
    [
        ("1064075.6000000001", "1064075.6"),
        ("1161681.8999999999", "1161681.9"),
        ("0.30000000000000004", "0.3"),
        ("5.0", "5"),
        ("5E+2", "500"),
        (D("12.5"), "12.5"),
        (7, "7"),
    ],
)
def test_float_noise_is_taken_off_and_the_wire_form_kept(wire: object, size: str) -> None:
    found = only({"coin": "ARB", "szi": wire})
    assert str(found.size) == size
    assert found.raw_size == str(wire)


@pytest.mark.parametrize("wire", ["1064075.61", "0.05", "1064075.60001", "0.0999999"])
def test_a_size_off_its_step_is_an_error_not_rounded(wire: str) -> None:
    with pytest.raises(VenueDataError, match=r"ARB szi: .* not a multiple of 0\.1"):
        only({"coin": "ARB", "szi": wire})


@pytest.mark.parametrize(
    "wire",
    [
        "NaN",
        "nan",
        "Infinity",
        "-inf",
        "",
        " 1",
        "1,5",
        "0x10",
        "1_000",
        "\u0661",
        "+1",
        None,
        True,
        [],
        "1e30",
        "9" * 21,
        "1" * 200,
    ],
)
def test_what_is_no_finite_number_is_refused_by_field_name(wire: object) -> None:
    with pytest.raises(VenueDataError, match="BTC szi"):
        only({"coin": "BTC", "szi": wire})


@pytest.mark.parametrize("field", ["entryPx", "liquidationPx", "positionValue"])
def test_nan_in_an_optional_field_is_refused_by_name(field: str) -> None:
    with pytest.raises(VenueDataError, match=f"BTC {field}|{field}"):
        only({"coin": "BTC", "szi": "1", field: "NaN"})


@pytest.mark.parametrize("wire", ["0.0", "-0.0", "0", "0.00000000000000005551115123125783"])
def test_flat_rows_are_dropped(wire: str) -> None:
    assert decode.account_state(state_of({"coin": "BTC", "szi": wire, "entryPx": None}), STEPS).positions == ()


def test_names_and_assets_never_change_the_unit() -> None:
    kpepe = only({"coin": "kPEPE", "szi": "3"})
    assert (kpepe.asset, kpepe.size) == ("kPEPE/USD", D(3))
    assert only({"coin": "xyz:TSLA", "szi": "3"}).asset == "TSLA/USD"


def test_an_unknown_coin_is_unmapped_and_keeps_its_exact_size() -> None:
    found = only({"coin": "NEW", "szi": "0.123456789012345678", "positionValue": "2"})
    assert (found.asset, found.size_step, found.size) == (None, D("1e-8"), D("0.123456789012345678"))
    assert only({"coin": "NEW", "szi": "1064075.6000000001"}).size == D("1064075.6")
    with pytest.raises(VenueDataError, match="fraction digits"):
        only({"coin": "NEW", "szi": "0.1234567890123456789"})


def test_leverage_and_prices() -> None:
    found = only(
        {
            "coin": "BTC",
            "szi": "0.5",
            "entryPx": "42000.0",
            "liquidationPx": "38000",
            "positionValue": "21250.0",
            "leverage": {"type": "isolated", "value": "20", "rawUsd": "-1"},
        }
    )
    assert (found.entry_price, found.liquidation_price, found.mark_price) == (D(42000), D(38000), D(42500))
    assert (found.leverage, found.margin_mode) == (D(20), MarginMode.ISOLATED)
    other = only({"coin": "BTC", "szi": "1", "leverage": {"type": "new"}, "liquidationPx": "0.0", "entryPx": "-1"})
    assert (other.leverage, other.margin_mode, other.liquidation_price, other.entry_price) == (None, None, None, None)


def test_mark_is_exact_on_the_price_grid_and_18_digits_off_it() -> None:
    noisy = {"coin": "ARB", "szi": "1064075.6000000001", "positionValue": "1255609.2080000001"}
    assert only(noisy).mark_price == D("1.18")
    off_grid = {"coin": "BTC", "szi": "3", "positionValue": "100000"}
    assert only(off_grid).mark_price == D("33333.333333333333333333")
    assert only({"coin": "BTC", "szi": "3", "positionValue": "0.0"}).mark_price is None
    assert only({"coin": "NEW", "szi": "3", "positionValue": "1"}).mark_price == D("0.333333333333333333")
    assert only({"coin": "NEW", "szi": "99999999", "positionValue": "1e-18"}).mark_price is None


def test_totals_time_and_listed_notional() -> None:
    row = {"coin": "BTC", "szi": "1", "positionValue": "5"}
    summary = {"accountValue": "1", "totalNtlPos": "5", "totalRawUsd": "-4", "totalMarginUsed": "0.5"}
    state = decode.account_state(state_of(row, marginSummary=summary, time="1764350959056"), STEPS)
    assert (state.account_value, state.total_notional, state.total_raw_usd, state.total_margin_used) == (
        D(1),
        D(5),
        D(-4),
        D("0.5"),
    )
    assert state.listed_notional == 5
    assert state.observed_at == instant(1764350959056, "")
    assert decode.account_state(state_of({"coin": "BTC", "szi": "1"}), STEPS).listed_notional is None


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (None, "expected an object"),
        ([], "expected an object"),
        ({}, "assetPositions: expected an array"),
        ({"assetPositions": [None]}, "assetPositions: expected an object"),
        ({"assetPositions": [{"position": None}]}, "position: expected an object"),
        (state_of({"szi": "1"}), "coin: expected a name"),
        (state_of({"coin": "a b", "szi": "1"}), "coin: expected a name"),
        (state_of({"coin": "BTC", "szi": "1"}, {"coin": "BTC", "szi": "-1"}), "listed twice"),
        (state_of(time=True), "time: expected an integer"),
        (state_of(time="soon"), "time: expected an integer"),
        (state_of(time=10**30), "time: expected an integer"),
        (state_of(time=10**18), "not a time"),
        (state_of(time=0), "not a time"),
        (state_of(marginSummary=[1]), "marginSummary: expected an object"),
    ],
)
def test_what_breaks_the_format_is_named(raw: object, error: str) -> None:
    with pytest.raises(VenueDataError, match=error):
        decode.account_state(raw, STEPS)


def test_held_coins_reads_names_only() -> None:
    assert decode.held_coins(state_of({"coin": "BTC"}, {"coin": "xyz:TSLA", "szi": "NaN"})) == {"BTC", "xyz:TSLA"}


def test_size_steps() -> None:
    meta = {"universe": [{"name": "BTC", "szDecimals": 5}, {"name": "DOGE", "szDecimals": "0", "isDelisted": True}]}
    assert decode.size_steps(meta) == {"BTC": D("0.00001"), "DOGE": D(1)}
    assert decode.all_size_steps([meta, {"universe": []}]) == (decode.size_steps(meta), {})
    for bad in (-1, 19, "x", None, D("1.5")):
        with pytest.raises(VenueDataError, match="BTC szDecimals"):
            decode.size_steps({"universe": [{"name": "BTC", "szDecimals": bad}]})


def test_perp_dexs() -> None:
    assert decode.perp_dexs([None, {"name": "xyz"}, None, {"name": "flx"}, {"name": "xyz"}]) == ("", "xyz", "flx")
    assert decode.perp_dexs([None]) == ("",)
    for bad in ([], None, [{"fullName": "x"}], ["xyz"]):
        with pytest.raises(VenueDataError):
            decode.perp_dexs(bad)


def test_marks() -> None:
    meta = {"universe": [{"name": "A"}, {"name": "B"}]}
    assert decode.marks([meta, [{"markPx": "1.5", "premium": "NaN"}, {"markPx": None}]]) == {"A": D("1.5")}
    for bad in ([meta], [meta, [{}]], [meta, [{"markPx": "NaN"}, {}]]):
        with pytest.raises(VenueDataError):
            decode.marks(bad)


def test_spot_balances() -> None:
    raw = {
        "balances": [
            {"coin": "USDC", "token": "0", "total": "-5.5", "hold": "1", "entryNtl": "0.0"},
            {"coin": "+10", "total": "2"},
        ]
    }
    borrowed, outcome = decode.spot_balances(raw)
    assert (borrowed.token, borrowed.total, borrowed.hold) == (0, D("-5.5"), D(1))
    assert (outcome.token, outcome.total, outcome.hold) == (None, D(2), D(0))
    with pytest.raises(VenueDataError, match="USDC total"):
        decode.spot_balances({"balances": [{"coin": "USDC", "total": "NaN"}]})


def test_roles_modes_and_sub_accounts() -> None:
    assert decode.user_role({"role": "user"}) == decode.Role("user")
    assert decode.user_role({"role": "agent", "data": {"user": "0xa"}}) == decode.Role("agent", "0xa")
    assert decode.user_role({"role": "subAccount", "data": {"master": "0xb"}}) == decode.Role("subAccount", "0xb")
    assert decode.user_abstraction("unifiedAccount") == "unifiedAccount"
    assert decode.sub_accounts(None) == ()
    rows = [{"subAccountUser": "0xc", "name": "hedge"}, {"subAccountUser": "0xd"}]
    assert decode.sub_accounts(rows) == (decode.SubAccount("0xc", "hedge"), decode.SubAccount("0xd", ""))
    for read, bad in ((decode.user_role, {}), (decode.user_abstraction, None), (decode.sub_accounts, {})):
        with pytest.raises(VenueDataError):
            read(bad)


def test_an_error_with_status_200_is_refused() -> None:
    with pytest.raises(VenueRefused, match="does not exist"):
        decode.refuse_error({"status": "err", "response": "User does not exist."})
    answers: tuple[object, ...] = (None, [], "default", {"status": "ok"})
    for fine in answers:
        assert decode.refuse_error(fine) is fine


# --- numbers ---------------------------------------------------------------------------------------------------------


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19))
def test_amounts_are_exact(value: D) -> None:
    assert amount(f"{value:f}", "x") == value
    assert amount(str(value), "x") == value
    assert plain(value) == value
    assert "E" not in str(plain(value)).upper() or abs(value) < D("1e-6")


@given(st.integers(min_value=-(10**12), max_value=10**12), st.integers(min_value=0, max_value=5))
def test_float_noise_never_moves_a_size(lots: int, decimals: int) -> None:
    """A size computed in doubles, printed with all its digits, comes back to the step it was meant on."""
    step = D(1).scaleb(-decimals)
    as_double = float(lots) / 10**decimals
    noisy = D.from_float(as_double)  # all binary digits, more than any venue prints
    assert quantised(noisy, step, "szi") == lots * step


def test_denoised_and_integers() -> None:
    assert denoised(D("2703997.4500000002"), "x") == D("2703997.45")
    assert denoised(D("0.0000125001"), "x") == D("0.0000125001")
    assert (integer("12", "x"), integer(-3, "x")) == (12, -3)
    assert milliseconds(instant("1764350959056", "x")) == 1764350959056


# --- history ---------------------------------------------------------------------------------------------------------


def fill(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "coin": "BTC",
        "px": "42000.0",
        "sz": "0.5",
        "side": "B",
        "time": 1_700_000_000_000,
        "startPosition": "0.0",
        "dir": "Open Long",
        "oid": 7,
        "tid": 9,
        "fee": "-0.01",
        "feeToken": "USDC",
    }
    return row | changes


def test_a_fill() -> None:
    (found,) = history.fills([fill()])
    assert found.fill_id == "BTC-7-9-1700000000000-B"
    assert (found.is_buy, found.size, found.price, found.fee) == (True, D("0.5"), D(42000), D("-0.01"))
    assert (found.fee_currency, found.start_position, found.liquidation, found.text) == (
        "USDC",
        D(0),
        False,
        "Open Long",
    )
    assert history.fills([fill(oid="7", tid="9", time="1700000000000", sz="0.50000000000000001")]) == [found]


def test_a_fill_of_the_smallest_kind() -> None:
    bare = {key: fill()[key] for key in ("coin", "px", "sz", "side", "time", "oid")}
    (found,) = history.fills([bare])
    assert (found.fee, found.fee_currency, found.start_position, found.text) == (D(0), "", None, "")
    assert found.fill_id == "BTC-7-0-1700000000000-B-0.5-42000"


def test_trade_id_zero_does_not_merge_fills() -> None:
    dust = [fill(tid=0, startPosition="3"), fill(tid=0, startPosition="2"), fill(tid=0, startPosition="2", sz="0.1")]
    assert len(history.fills(dust)) == 3
    assert len(history.fills(dust + dust)) == 3


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"side": "buy"}, "BTC side"),
        ({"side": None}, "BTC side"),
        ({"sz": "0"}, "BTC fill: size 0"),
        ({"sz": "NaN"}, "BTC sz"),
        ({"px": "-1"}, "BTC fill"),
        ({"fee": "NaN"}, "BTC fee"),
        ({"startPosition": "x"}, "BTC startPosition"),
        ({"time": None}, "BTC time"),
        ({"oid": D("1.5")}, "BTC oid"),
        ({"liquidation": "yes"}, "liquidation"),
    ],
)
def test_a_bad_fill_is_refused_by_field_name(changes: dict[str, object], error: str) -> None:
    with pytest.raises(VenueDataError, match=error):
        history.fills([fill(**changes)])


def test_liquidation_is_ours_only_when_we_are_liquidated() -> None:
    row = fill(liquidation={"liquidatedUser": "0xABC", "markPx": "1", "method": "market"})
    assert [history.fills([row], user)[0].liquidation for user in ("", "0xabc", "0xdef")] == [True, True, False]
    assert history.fills([fill(liquidation={"method": "market"})], "0xabc")[0].liquidation
    assert history.fills([fill(liquidationMarkPx="1")], "0xabc")[0].liquidation


@given(st.lists(st.integers(-5, 5).filter(bool), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_fills_of_one_millisecond_chain_whatever_order_they_come_in(moves: list[int], dice: random.Random) -> None:
    """Trade ids are hashes: sorting by them would tear an order's fills apart."""
    tids = dice.sample(range(1, 2**50), len(moves))
    rows, at = [], D(0)
    for move, tid in zip(moves, tids, strict=True):
        side = "B" if move > 0 else "A"
        rows.append(fill(startPosition=str(at), side=side, sz=str(abs(move)), tid=tid))
        at += move
    dice.shuffle(rows)
    before = fill(time=1, startPosition="-1", sz="1")
    found = history.fills([*rows, before])
    assert len(found) == len(moves) + 1
    position = D(0)
    for one in found[1:]:
        assert one.start_position == position
        position += one.size if one.is_buy else -one.size
    assert position == at


def test_fills_that_do_not_chain_are_in_order_of_trade_id() -> None:
    rows = [fill(startPosition="5", tid=3), fill(startPosition="90", tid=1), fill(startPosition="7", tid=2)]
    assert [f.start_position for f in history.fills(rows)] == [90, 7, 5]
    assert [f.symbol for f in history.fills([fill(time=2), fill(coin="ETH", time=1)])] == ["ETH", "BTC"]


def test_spot_and_outcomes_are_told_from_perpetuals() -> None:
    assert [history.is_perpetual(s) for s in ("BTC", "xyz:TSLA", "kPEPE", "@107", "PURR/USDC", "#10")] == [True] * 3 + [
        False
    ] * 3


def test_funding_and_ledger() -> None:
    delta = {"type": "funding", "coin": "SOL", "usdc": "-1.5", "szi": "-7375.93333333", "fundingRate": "0.00004381"}
    (paid,) = history.funding([{"time": "1734026400057", "hash": "0x0", "delta": delta}])
    assert (paid.symbol, paid.amount, paid.rate, paid.size) == (
        "SOL",
        D("-1.5"),
        D("0.00004381"),
        D("-7375.93333333"),
    )
    rows = [
        {"time": 3, "hash": "0x3", "delta": {"type": "spotTransfer", "token": "HYPE", "amount": "10.5", "fee": "1.0"}},
        {"time": 2, "hash": "0x2", "delta": {"type": "withdraw", "usdc": "9.0", "fee": None}},
        {"time": 1, "delta": {"type": "somethingNew"}},
    ]
    found = [(e.kind, e.amount, e.currency, e.fee, e.reference) for e in history.ledger(rows)]
    assert found == [
        ("somethingNew", None, "", D(0), ""),
        ("withdraw", D(9), "USDC", D(0), "0x2"),
        ("spotTransfer", D("10.5"), "HYPE", D(1), "0x3"),
    ]
    with pytest.raises(VenueDataError, match="SOL usdc"):
        history.funding([{"time": 1, "delta": delta | {"usdc": "NaN"}}])


def test_a_k_coin_is_a_thousand_in_its_own_unit_everywhere() -> None:
    """Size, price, value, mark and fill all speak of kPEPE: 1000 PEPE. Nothing is ever converted, so nothing can be off."""
    wire = {"coin": "kPEPE", "szi": "-25000.0", "entryPx": "0.011", "positionValue": "280.85", "liquidationPx": "0.02"}
    position = only(wire)
    assert (position.symbol, position.asset, position.size, position.size_step) == (
        "kPEPE",
        "kPEPE/USD",
        D(25000),
        D(1),
    )
    assert (position.entry_price, position.mark_price, position.liquidation_price) == (
        D("0.011"),
        D("0.011234"),
        D("0.02"),
    )
    assert position.mark_price is not None
    assert position.size * position.mark_price == D("280.85")
    row = {"coin": "kPEPE", "px": "0.011", "sz": "25000.0", "side": "A", "time": 1_795_356_000_000, "oid": 1, "tid": 2}
    (fill,) = history.fills([row])
    assert (fill.symbol, fill.signed_size, fill.price) == ("kPEPE", D(-25000), D("0.011"))
    booked = sample(size="25000", symbol="kPEPE", asset="kPEPE/USD", side=Side.SHORT, entry_price=D("0.011"), **BARE)
    assert compare([booked], snapshot(scope(position)), Tolerances()) == []
    in_pepe = sample(
        size="25000000", symbol="kPEPE", asset="kPEPE/USD", side=Side.SHORT, entry_price=D("0.011"), **BARE
    )
    assert [one.kind for one in compare([in_pepe], snapshot(scope(position)), Tolerances())] == [Kind.SIZE]
    with pytest.raises(VenueDataError, match="kPEPE szi"):
        only(wire | {"szi": "-25000.5"})


def test_the_case_of_a_coin_matters() -> None:
    assert only({"coin": "KPEPE", "szi": "3"}).asset is None
