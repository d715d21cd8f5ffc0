"""correct: the plan, carried out by the real domain of the Position service, leaves nothing to find."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from position_service.domain import commands as d
from position_service.domain import position as p
from position_service.domain.algebra import Fee
from position_service.domain.numbers import canonical, shown
from reconciler_service import correct as c
from reconciler_service import model as m
from reconciler_service.compare import compare
from reconciler_service.convert_correct import request
from reconciler_service.correct import Action, NotCorrectable, Plan, plan
from reconciler_service.explain import Trades, explain, fills_behind
from reconciler_service.findings import Finding, Kind
from reconciler_service.tolerances import Tolerances
from reconciler_service.wording import plain
from tests.position_samples import Desk, open_
from tests.reconciler_samples import NOW, booked, fill, held, scope, snapshot

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
QUOTE = frozenset({"USD", "USDC"})
STRICT = Tolerances(
    price=Decimal(0), usd=Decimal(0), leverage=Decimal(0), liquidation_isolated=Decimal(0), liquidation_cross=Decimal(0)
)
MARK = Decimal(42150)
ADOPT, APPLY = Action.ADOPT_VENUE, Action.APPLY_FILLS
IN_TIME = NOW.replace(year=2027)


def findings(
    local: m.BookPosition | None, actual: m.VenuePosition | None, mark: Decimal | None = MARK
) -> list[Finding]:
    positions = () if actual is None else (actual,)
    marks = () if mark is None else (("BTC", mark),)
    return compare([] if local is None else [local], snapshot(scope(*positions), at=IN_TIME, marks=marks), STRICT)


def find(local: m.BookPosition | None, actual: m.VenuePosition | None, mark: Decimal | None = MARK) -> Finding:
    (finding,) = findings(local, actual, mark)
    return finding


class Book:
    """A position in the real domain, and the commands of a plan as the domain's own."""

    def __init__(self, local: m.BookPosition | None) -> None:
        self.desk = Desk()
        self.local = local
        self.position: p.Position | None = None
        if local is not None:
            opening = open_(
                str(local.size),
                str(local.entry_price),
                side=p.Side[local.side.value],
                leverage=local.leverage,
                margin_mode=p.MarginMode[local.margin_mode.value] if local.margin_mode else None,
                liquidation_price=local.liquidation_price,
                pending=local.state is m.BookState.OPENING,
            )
            self.position = self.desk.change(opening)
            if local.state is m.BookState.CLOSING:
                self.position = self.desk.change(d.Close(d.Ref(self.position.position_id)))

    def carry_out(self, made: Plan) -> None:
        for command in made.commands:
            self.position = self.desk.change(self._domain(command))

    def now(self) -> m.BookPosition | None:
        live = list(self.desk.book.positions.values())
        if not live:
            return None
        (at,) = live
        return booked(
            canonical(at.size),
            position_id=str(at.position_id),
            side=m.Side[at.side.value],
            entry_price=at.entry_price,
            cost_basis=at.cost,
            state=m.BookState[at.status.value],
            leverage=at.leverage,
            margin_mode=m.MarginMode[at.margin_mode.value] if at.margin_mode else None,
            liquidation_price=at.liquidation_price,
        )

    @property
    def realized(self) -> Decimal:
        """Of all positions there were."""
        return sum((at.realized for at in self.desk.final().values()), Decimal(0))

    def _domain(self, command: c.Command) -> d.Command:
        ref: Any = d.Ref(account="main", venue="hyperliquid", symbol="BTC")
        match command:
            case c.BookFills(fills, leverage):
                return d.RecordFills("main", tuple(self._fill(one, leverage) for one in fills))
            case c.Open(side, size, price, leverage, mode):
                return open_(
                    str(size),
                    str(price),
                    side=p.Side[side.value],
                    leverage=leverage or Decimal(1),
                    margin_mode=p.MarginMode[mode.value] if mode else None,
                    estimated=True,
                )
            case c.ConfirmOpen(size, price):
                return d.ConfirmOpen(ref, size=size, price=price, estimated=True)
            case c.CancelOpen():
                return d.CancelOpen(ref)
            case c.CancelClose():
                return d.CancelClose(ref)
            case c.Adjust(side, size, entry, close):
                return d.Adjust(
                    ref,
                    reason_code="ADOPT_VENUE",
                    side=p.Side[side.value],
                    size=size,
                    entry_price=entry,
                    close_price=close,
                    estimated=True,
                )
            case c.Update(leverage, mode, liquidation):
                made = p.MarginMode[mode.value] if mode else None
                return d.Update(ref, leverage=leverage, margin_mode=made, liquidation_price=liquidation)

    @staticmethod
    def _fill(one: m.VenueFill, leverage: Decimal | None) -> d.Fill:
        return d.Fill(
            venue="hyperliquid",
            symbol="BTC",
            asset="BTC/USD",
            product=p.Product.PERPETUAL,
            fill_id=one.fill_id,
            is_buy=one.is_buy,
            size=one.size,
            price=one.price,
            executed_at=one.time,
            fee=Fee(one.fee, one.fee_currency),
            leverage=leverage or Decimal(1),
            liquidation=one.liquidation,
        )


def is_rounded(now: m.BookPosition | None, actual: m.VenuePosition | None) -> bool:
    """Whether the venue's average price may be the book's, shown with five digits."""
    if now is None or actual is None or actual.entry_price is None:
        return False
    return abs(now.entry_price - actual.entry_price) <= Decimal("0.0001") * actual.entry_price


def check(action: Action, finding: Finding, *missed: m.VenueFill) -> Plan:
    """Plan, carry out: the diff is what happened, and the finding is gone with all that came along."""
    made = plan(action, finding, missed, QUOTE)
    book = Book(finding.local)
    book.carry_out(made)
    now, after = book.now(), {change.field: change.after for change in made.correction}
    remaining = {each.kind for each in findings(now, finding.actual, finding.mark)}
    assert finding.kind not in remaining
    if finding.kind not in c.SETTINGS and action is ADOPT:
        assert remaining <= ({Kind.ENTRY_PRICE} if is_rounded(now, finding.actual) else set())
    assert after.get("realized_pnl", "0") == canonical(shown(book.realized))
    shown_now = (
        {} if now is None else {"size": plain(now.size), "entry_price": plain(now.entry_price), "side": now.side.value}
    )
    for name, value in shown_now.items():
        assert after.get(name, value) == value
    if now is None:
        assert after.get("size", "0") == "0"
    return made


sizes = st.decimals(min_value="0.00001", max_value=1000, places=5)
prices = st.decimals(min_value="0.01", max_value=100_000, places=2)
optional_prices = st.none() | prices
sides = st.sampled_from(m.Side)
states = st.sampled_from(m.BookState)


@st.composite
def sides_of_a_drift(draw: Any) -> tuple[m.BookPosition | None, m.VenuePosition | None]:
    deadline = NOW
    local = booked(
        str(draw(sizes)),
        side=draw(sides),
        entry_price=draw(prices),
        state=draw(states),
        deadline=deadline,
        leverage=Decimal(draw(st.integers(1, 50))),
        margin_mode=draw(st.none() | st.sampled_from(m.MarginMode)),
        liquidation_price=draw(optional_prices),
    )
    actual = held(
        str(draw(sizes | st.just(local.size))),
        side=draw(sides),
        entry_price=draw(optional_prices | st.just(local.entry_price)),
        leverage=draw(st.none() | st.integers(1, 50).map(Decimal)),
        margin_mode=draw(st.none() | st.sampled_from(m.MarginMode)),
        liquidation_price=draw(optional_prices),
        mark_price=draw(optional_prices),
    )
    return draw(st.sampled_from([(local, actual), (local, None), (None, actual)]))


@UNTIMED
@given(sides_of_a_drift(), optional_prices)
def test_what_is_adopted_leaves_nothing_to_find(
    two: tuple[m.BookPosition | None, m.VenuePosition | None], mark: Decimal | None
) -> None:
    for finding in findings(*two, mark):
        if finding.local is None and finding.actual and finding.actual.entry_price is None and finding.mark is None:
            continue  # no price, no position: refused
        check(ADOPT, finding)


@UNTIMED
@given(st.lists(st.tuples(sizes, prices, st.booleans(), prices), min_size=1, max_size=6), st.booleans(), prices)
def test_what_is_booked_leaves_nothing_to_find(
    trades: list[tuple[Decimal, Decimal, bool, Decimal]], is_known: bool, entry: Decimal
) -> None:
    local = booked("10", entry_price=entry, updated_at=NOW) if is_known else None
    size, fills = local.signed_size if local else Decimal(0), []
    for number, (amount, price, is_buy, fee) in enumerate(trades):
        signed = amount if is_buy else -amount
        at = IN_TIME.replace(minute=number)
        one = fill(str(signed), str(price), start=str(size), at=at, fee=fee, fee_currency="USDC")
        fills.append(replace(one, fill_id=str(number)))
        size += signed
    side = m.Side.LONG if size > 0 else m.Side.SHORT
    actual = held(str(abs(size)), side=side, entry_price=None) if size else None
    for finding in findings(local, actual):
        if finding.kind in {Kind.SIZE, Kind.SIDE, Kind.MISSING_AT_VENUE, Kind.MISSING_LOCALLY}:
            # All of them where the book says where it stands; a round trip before it was opened is nobody's to tell.
            missed = fills_behind(finding, Trades(fills))
            assert missed == fills or not is_known
            assert missed
            assert not check(APPLY, finding, *missed).estimated


def diff(made: Plan) -> dict[str, tuple[str, str]]:
    return {change.field: (change.before, change.after) for change in made.correction}


@pytest.mark.parametrize(("size", "entry"), [("0.3", "42001"), ("0.7", "41999")])
def test_an_average_that_is_the_books_own_rounded_leaves_the_basis_as_it_is(size: str, entry: str) -> None:
    made = check(ADOPT, findings(booked(), held(size, entry_price=Decimal(entry)))[0])
    (command,) = made.commands
    assert isinstance(command, c.Adjust)
    assert command.entry_price is None
    alone = find(booked(), held(entry_price=Decimal(entry)))
    assert alone.kind is Kind.ENTRY_PRICE
    assert check(ADOPT, alone).commands == (c.Adjust(m.Side.LONG, Decimal("0.5"), Decimal(entry), None),)


def test_a_setting_is_corrected_by_itself() -> None:
    actual = held("0.6", leverage=Decimal(10), liquidation_price=Decimal(40_000))
    by_kind = {finding.kind: finding for finding in findings(booked(), actual)}
    made = check(ADOPT, by_kind[Kind.LEVERAGE])
    assert made.commands == (c.Update(Decimal(10), None, Decimal(40_000)),)
    assert diff(made) == {"leverage": ("5", "10"), "liquidation_price": ("38000", "40000")}
    assert not made.estimated


def test_a_liquidation_price_is_corrected_where_one_was_given_and_taken_over_nowhere_else() -> None:
    """It stands beside the position, as the venue says it: the book would keep it when the next trade moves it."""
    grown: dict[str, Any] = {"size": "0.6", "liquidation_price": Decimal(37_000), "leverage": Decimal(7)}
    made = check(ADOPT, findings(booked(), held(**grown))[0])
    assert made.commands[-1] == c.Update(Decimal(7), None, Decimal(37_000))
    bare = booked(liquidation_price=None)
    for finding in findings(bare, held(**grown)):
        assert check(ADOPT, finding).commands[-1] == c.Update(Decimal(7))
    assert not findings(bare, held(liquidation_price=Decimal(37_000)))
    opened = check(ADOPT, find(None, held())).commands[0]
    assert isinstance(opened, c.Open)
    assert "liquidation_price" not in {field.name for field in fields(opened)}


def test_wrong_exposure_brings_the_settings_along() -> None:
    finding = findings(booked(), held("0.6", leverage=Decimal(10)))[0]
    made = check(ADOPT, finding)
    assert [type(command) for command in made.commands] == [c.Adjust, c.Update]
    assert made.estimated


@pytest.mark.parametrize(("mark", "price"), [(MARK, "42150"), (None, "42000")])
def test_what_is_closed_has_the_best_price_there_is(mark: Decimal | None, price: str) -> None:
    made = check(ADOPT, find(booked(), held("0.2", mark_price=None), mark))
    assert made.commands[0] == c.Adjust(m.Side.LONG, Decimal("0.2"), None, Decimal(price))
    assert made.estimated


def test_what_a_closing_position_cannot_book_is_priced_by_the_fills_that_closed_it() -> None:
    local = booked(state=m.BookState.CLOSING, deadline=NOW)
    fills = fill("-0.1", "43000"), fill("0.1", "1"), fill("-0.5", "43120")
    made = check(ADOPT, find(local, None), *fills)
    assert made.commands == (c.Adjust(m.Side.LONG, Decimal(0), None, Decimal(43100)),)
    assert made.estimated


def adoptable(side: m.Side, size: str, entry: str | None, **values: Any) -> m.VenuePosition:
    return held(size, side=side, entry_price=None if entry is None else Decimal(entry), **values)


@pytest.mark.parametrize(
    ("actual", "missed"),
    [
        pytest.param(adoptable(m.Side.LONG, "0.2", "42000"), ["-0.3"], id="reduced"),
        pytest.param(adoptable(m.Side.LONG, "0.6", "42025"), ["0.1"], id="grown"),
        pytest.param(adoptable(m.Side.LONG, "0.6", "42026"), ["0.1"], id="grown, rounded"),
        pytest.param(adoptable(m.Side.SHORT, "0.2", "42150"), ["-0.7"], id="turned"),
        pytest.param(adoptable(m.Side.LONG, "0.6", None), ["0.2", "-0.1"], id="no entry price"),
    ],
)
def test_missed_fills_that_add_up_are_what_is_adopted(actual: m.VenuePosition, missed: list[str]) -> None:
    """Told once more by the desk's own bot they are known then. The venue's average price is rounded, theirs is not."""
    finding = findings(booked(), actual)[0]
    fills = [fill(size, "42150", fee=Decimal(1), fee_currency="USDC") for size in missed]
    made = plan(ADOPT, finding, fills, QUOTE)
    assert made.commands[0] == c.BookFills(tuple(fills), actual.leverage)
    assert not any(isinstance(command, c.Adjust) for command in made.commands)
    assert not made.estimated
    assert made.correction == plan(APPLY, finding, fills, QUOTE).correction
    book = Book(finding.local)
    book.carry_out(made)
    assert {each.kind for each in findings(book.now(), actual)} <= {Kind.ENTRY_PRICE}  # by less than its rounding


def test_what_is_opened_is_opened_by_its_fills() -> None:
    made = check(ADOPT, find(None, held("0.2")), fill("0.2", "42000"))
    assert isinstance(made.commands[0], c.BookFills)
    assert not made.estimated


def test_an_entry_price_that_the_fills_do_not_explain_is_taken_over_as_well() -> None:
    finding = findings(booked(), held("0.6", entry_price=Decimal(41_000), leverage=Decimal(7)))[0]
    made = check(ADOPT, finding, fill("0.1", "42150"))
    assert made.commands[1:] == (c.Adjust(m.Side.LONG, Decimal("0.6"), Decimal(41_000), None), c.Update(Decimal(7)))
    assert diff(made) == {"size": ("0.5", "0.6"), "entry_price": ("42000", "41000"), "leverage": ("5", "7")}
    assert made.estimated
    turned = findings(booked(), held("0.2", side=m.Side.SHORT, entry_price=Decimal(43_000), leverage=Decimal(7)))[0]
    made = check(ADOPT, turned, fill("-0.7", "42150"))
    assert [type(command) for command in made.commands] == [c.BookFills, c.Update, c.Adjust]
    assert (diff(made)["entry_price"], diff(made)["leverage"]) == (("42000", "43000"), ("5", "7"))


@pytest.mark.parametrize("size", ["0.6", "0.4", "0.7"])
def test_what_the_venue_does_not_say_stays_as_the_book_has_it(size: str) -> None:
    made = check(ADOPT, find(booked(entry_price=Decimal("42000.01")), held(size, entry_price=None)))
    assert "entry_price" not in diff(made)
    turned = next(
        each for each in findings(booked(), held(side=m.Side.SHORT, entry_price=None)) if each.kind is Kind.SIDE
    )
    assert diff(check(ADOPT, turned))["entry_price"] == ("42000", "42150")
    turned = replace(turned, mark=None)
    assert check(ADOPT, turned).commands == (c.Adjust(m.Side.SHORT, Decimal("0.5"), Decimal(42000), Decimal(42000)),)


def test_a_liquidation_is_booked_by_its_fills() -> None:
    """So that the same fills, told by the desk's own bot later on, are known."""
    fills = [
        fill("-0.2", "38000", liquidation=True, fee=Decimal(7), fee_currency="USDC"),
        fill("-0.3", "38100", liquidation=True, fee=Decimal(1), fee_currency="HYPE"),
    ]
    made = check(ADOPT, find(booked(), None), *fills)
    assert made.commands == (c.BookFills(tuple(fills), None),)
    assert diff(made)["realized_pnl"] == ("0", "-1977")
    assert not made.estimated
    mixed = check(ADOPT, find(booked(), None), fills[0], fill("0.1"), fill("-0.4"))
    assert isinstance(mixed.commands[0], c.BookFills)


def test_fills_that_open_bring_the_settings_of_the_venue() -> None:
    short = held("0.2", side=m.Side.SHORT, margin_mode=m.MarginMode.ISOLATED)
    flip = next(each for each in findings(booked(), short) if each.kind is Kind.SIDE)
    made = check(APPLY, flip, fill("-0.7"))
    assert made.commands[1:] == (c.Update(None, m.MarginMode.ISOLATED),)
    assert diff(made)["margin_mode"] == ("CROSS", "ISOLATED")
    bare = held("0.2", leverage=None, margin_mode=None, liquidation_price=None)
    assert check(APPLY, find(None, bare), fill("0.2")).commands == (c.BookFills((fill("0.2"),), None),)


@pytest.mark.parametrize(
    ("local", "actual", "commands"),
    [
        (booked(state=m.BookState.OPENING), None, [c.CancelOpen]),
        (booked(state=m.BookState.OPENING), held(), [c.ConfirmOpen]),
        (
            booked(state=m.BookState.OPENING),
            held("0.4", entry_price=None, leverage=Decimal(9)),
            [c.ConfirmOpen, c.Update],
        ),
        (booked(state=m.BookState.OPENING), held(side=m.Side.SHORT), [c.CancelOpen, c.Open]),
        (booked(state=m.BookState.CLOSING), None, [c.Adjust]),
        (booked(state=m.BookState.CLOSING), held(), [c.CancelClose]),
        (booked(state=m.BookState.CLOSING), held("0.3"), [c.CancelClose, c.Adjust]),
    ],
)
def test_what_is_overdue_is_settled(
    local: m.BookPosition, actual: m.VenuePosition | None, commands: list[type]
) -> None:
    made = check(ADOPT, find(replace(local, deadline=NOW), actual))
    assert [type(command) for command in made.commands] == commands


def test_a_closing_position_books_the_fills_that_closed_it() -> None:
    local = booked(state=m.BookState.CLOSING, deadline=NOW)
    check(APPLY, find(local, None), fill("-0.5"))
    with pytest.raises(NotCorrectable, match="CLOSING"):
        plan(APPLY, find(local, None), [fill("0.1"), fill("-0.6")], QUOTE)
    with pytest.raises(NotCorrectable, match="OPENING"):
        plan(APPLY, find(replace(local, state=m.BookState.OPENING), None), [fill("-0.5")], QUOTE)


@pytest.mark.parametrize(
    ("action", "finding", "message"),
    [
        (APPLY, find(booked(), held("0.6")), "no fills"),
        (APPLY, find(booked(), held(leverage=Decimal(7))), "no fills"),
        (ADOPT, find(None, held(asset=None)), "no canonical name"),
        (ADOPT, find(None, held(entry_price=None, mark_price=None), None), "neither an entry price nor a mark"),
    ],
)
def test_what_cannot_be_corrected_says_what_to_do(action: Action, finding: Finding, message: str) -> None:
    with pytest.raises(NotCorrectable, match=message):
        plan(action, finding, [], QUOTE)


def test_the_plan_of_the_fills_is_what_the_explanation_proposes() -> None:
    finding = find(booked(), held("0.6", entry_price=Decimal(42025)))
    one = fill("0.1", start="0.5", fee=Decimal("1.5"), fee_currency="USDC")
    assert check(APPLY, finding, one).correction == explain(finding, Trades([one]), QUOTE).correction
    assert UUID(booked().position_id)


@pytest.mark.parametrize("observed", [None, IN_TIME.replace(microsecond=1)])
def test_a_correction_says_which_state_it_was_decided_on(observed):
    finding = replace(find(booked("0.5"), held("0.3")), observed_at=observed)
    (command,) = plan(ADOPT, finding, (), QUOTE).commands
    sent = request(command, finding, prefix="r", revision=1, reason="", evidence="")
    assert sent.as_of.ToDatetime(UTC) == (observed or finding.requested_at)


def test_one_request_id_is_one_body():
    """Whatever of it differs: who repeats a request is answered, and who says something else is not taken for it."""
    finding = find(booked("0.5"), held("0.3"))
    later = replace(finding, requested_at=IN_TIME.replace(microsecond=7))
    (command,) = plan(ADOPT, finding, (), QUOTE).commands
    said = {"prefix": "r:", "revision": 1, "reason": "why", "evidence": "szi"}
    sent = [
        request(command, finding, **said),
        request(command, finding, **said | {"reason": "another"}),
        request(command, finding, **said | {"evidence": "another"}),
        request(command, finding, **said | {"revision": 2}),
        request(command, later, **said),
        request(c.BookFills((fill("-0.2"),), None), finding, **said),
    ]
    assert len({one.request_id for one in sent}) == len(sent)
    assert all(one.request_id.startswith("r:1:") for one in sent[:1] + sent[4:])
    assert max(len(one.request_id) for one in sent) <= 128 - len("resolve::") - 36 - 19
    assert request(command, finding, **said) == sent[0]


@pytest.mark.parametrize(
    "finding",
    [find(None, held()), find(booked(state=m.BookState.OPENING, deadline=NOW), held())],
    ids=["opened", "confirmed"],
)
def test_what_is_opened_without_its_fills_is_a_guess_of_that_time(finding: Finding) -> None:
    sent = request(plan(ADOPT, finding, (), QUOTE).commands[0], finding, prefix="r", revision=1, reason="", evidence="")
    assert (sent.estimated, sent.as_of.ToDatetime(UTC)) == (True, finding.requested_at)


def test_fills_are_booked_onto_the_position_that_was_seen():
    finding = find(booked("0.5"), held("0.3"))
    sent = request(c.BookFills((fill("-0.2"),), None), finding, prefix="r", revision=7, reason="", evidence="")
    (seen,) = sent.expected_revisions
    assert (seen.venue, seen.symbol, seen.revision) == ("hyperliquid", "BTC", 7)
