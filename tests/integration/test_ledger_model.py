"""The ledger against a model of a few dozen lines: whatever is asked, in whatever order, the answers are the model's."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from trueup.position.v1 import position_service_pb2 as pb

from tests.ledger_machine import Machine, execute
from tests.ledger_model import CLOSED, CLOSING, LIQUIDATED, OPEN, OPENING, REDUCED, Held
from tests.position_client import fill, stamp

BUDGET_S = 15.0
symbols = st.sampled_from(["BTC", "ETH"])
sizes = st.sampled_from(["0.1", "0.3", "1", "2", "3"])
prices = st.sampled_from(["90", "100", "110.5", "0.7"])
leverages = st.sampled_from(["1", "10", "100"])


class Ledger(Machine):
    """Every rule asks the service and the model, and compares."""

    @rule(symbol=symbols, size=sizes, price=prices, short=st.booleans(), pending=st.booleans(), leverage=leverages)
    def open(self, symbol, size, price, short, pending, leverage):
        if self.over:
            return
        problem = "POSITION_ALREADY_OPEN" if symbol in self.live else ""
        fields = {"size": size, "entry_price": price, "side": 2 if short else 1, "leverage": leverage}
        if shown := self.ask("OpenPosition", symbol, problem, pending=pending, **fields):
            signed = Fraction(size) * (-1 if short else 1)
            self.live[symbol] = Held(signed, Fraction(price), leverage=leverage, pending=pending)
            self.agree(symbol, shown)

    @rule(symbol=symbols, size=sizes | st.just(""), price=prices | st.just(""))
    def confirm_open(self, symbol, size, price):
        if self.over:
            return
        if shown := self.ask("ConfirmOpen", symbol, self.problem(symbol, "0", OPENING), size=size, entry_price=price):
            held = self.live[symbol]
            held.confirm(Fraction(size or held.size), Fraction(price or held.entry))
            self.agree(symbol, shown)

    @rule(symbol=symbols)
    def cancel_open(self, symbol):
        if self.over:
            return
        if shown := self.ask("CancelOpen", symbol, self.problem(symbol, "0", OPENING)):
            self.live[symbol].cancel()
            self.agree(symbol, shown)

    @rule(symbol=symbols, size=sizes | st.just(""), price=prices)
    def confirm_close(self, symbol, size, price):
        if self.over:
            return
        problem = self.problem(symbol, size or "0", CLOSING)
        if shown := self.ask("ConfirmClose", symbol, problem, size=size, close_price=price):
            held = self.live[symbol]
            held.lessen(Fraction(size or held.size), Fraction(price), CLOSED)
            self.agree(symbol, shown)

    @rule(symbol=symbols, leverage=leverages | st.just(""), liquidation=st.sampled_from(["", "0", "85.5", "99"]))
    def update(self, symbol, leverage, liquidation):
        if self.over:
            return
        problem = "" if symbol in self.live else "POSITION_NOT_FOUND"
        if shown := self.ask("UpdatePosition", symbol, problem, leverage=leverage, liquidation_price=liquidation):
            held = self.live[symbol]
            held.leverage = Fraction(leverage or held.leverage)
            held.liquidation = Fraction(liquidation or held.liquidation)
            self.agree(symbol, shown)

    @rule(symbol=symbols, price=prices, late=st.booleans())
    def mark(self, symbol, price, late):
        """A mark that was observed before the one that is known changes nothing."""
        if self.over:
            return
        seconds = -1 if late else next(self.numbers)
        observed = stamp(type(self).clock + timedelta(seconds=seconds))
        is_news = not (late and symbol in self.marks)
        price_update = pb.PriceUpdate(symbol=self.market(symbol), price=price, observed_at=observed)
        answer = self.call("UpdatePrices", prices=[price_update])
        if is_news:
            self.marks[symbol] = Fraction(price)
            if symbol in self.live:
                self.watch_risk(symbol)
        assert (answer.applied, answer.ignored, answer.revision) == (is_news, not is_news, self.revision)

    @rule(symbol=symbols, size=sizes, price=prices, stale=st.booleans())
    def increase(self, symbol, size, price, stale):
        if self.over:
            return
        problem = self.problem(symbol, "0", OPEN, REDUCED)
        if shown := self.ask("IncreasePosition", symbol, problem, stale=stale, size=size, price=price):
            self.live[symbol].grow(Fraction(size), Fraction(price))
            self.agree(symbol, shown)

    @rule(symbol=symbols, size=sizes, price=prices, stale=st.booleans())
    def reduce(self, symbol, size, price, stale):
        if self.over:
            return
        problem = self.problem(symbol, size, OPEN, REDUCED)
        if shown := self.ask("ReducePosition", symbol, problem, stale=stale, size=size, price=price):
            self.live[symbol].lessen(Fraction(size), Fraction(price), CLOSED)
            self.agree(symbol, shown)

    @rule(symbol=symbols, price=prices)
    def close(self, symbol, price):
        if self.over:
            return
        if shown := self.ask("ClosePosition", symbol, self.problem(symbol, "0", OPEN, REDUCED), close_price=price):
            self.live[symbol].lessen(self.live[symbol].size, Fraction(price), CLOSED)
            self.agree(symbol, shown)

    @rule(symbol=symbols)
    def announce_a_close(self, symbol):
        if self.over:
            return
        if shown := self.ask("ClosePosition", symbol, self.problem(symbol, "0", OPEN, REDUCED)):
            held = self.live[symbol]
            held.back, held.status = held.status, CLOSING
            self.agree(symbol, shown)

    @rule(symbol=symbols)
    def cancel_a_close(self, symbol):
        if self.over:
            return
        if shown := self.ask("CancelClose", symbol, self.problem(symbol, "0", CLOSING)):
            self.live[symbol].status = self.live[symbol].back
            self.agree(symbol, shown)

    @rule(symbol=symbols, size=sizes, price=prices)
    def liquidate(self, symbol, size, price):
        if self.over:
            return
        problem = self.problem(symbol, size, OPEN, REDUCED, CLOSING)
        if shown := self.ask("LiquidatePosition", symbol, problem, size=size, liquidation_price=price):
            self.live[symbol].lessen(Fraction(size), Fraction(price), LIQUIDATED)
            self.agree(symbol, shown)

    @rule(symbol=symbols, size=sizes | st.just("0"), entry=prices, close=prices, side=st.integers(0, 2))
    def adjust(self, symbol, size, entry, close, side):
        held = None if self.over else self.live.get(symbol)
        if held is None or held.size == Fraction(size):
            return  # the same size: whether anything is corrected depends on digits the model does not have
        fields = {"size": size, "entry_price": entry, "close_price": close, "reason_code": "X"}
        if shown := self.ask("AdjustPosition", symbol, "", **fields, side=side):
            held.adjust({0: held.sign, 1: 1, 2: -1}[side], Fraction(size), Fraction(entry), Fraction(close))
            self.agree(symbol, shown)

    @rule(
        symbol=symbols,
        trades=st.lists(st.tuples(st.booleans(), sizes, prices), min_size=1, max_size=4),
        guarded=st.booleans(),
        stale=st.booleans(),
    )
    def fills(self, symbol, trades, guarded, stale):
        if self.over:
            return
        made = []
        for buys, size, price in trades:
            number = next(self.numbers)
            made.append(fill(number, size if buys else f"-{size}", price, symbol=self.market(symbol)))
        expected = [self.seen(symbol)] if guarded else []
        if guarded and stale:
            wrong = [pb.ExpectedRevision(symbol=self.market(symbol), revision=expected[0].revision + 1)]
            refused = self.do(
                self.client.refused("RecordFills", fills=made, account=self.account, expected_revisions=wrong)
            )
            told = refused.metadata["actualRevision"]
            assert (refused.reason, told) == ("STALE_REVISION", str(expected[0].revision))
            self.everything()
        answer = self.call("RecordFills", fills=made, account=self.account, expected_revisions=expected)
        for buys, size, price in trades:
            self.trade(symbol, Fraction(size) * (1 if buys else -1), Fraction(price))
        assert (answer.applied, answer.revision) == (len(made), self.revision)
        again = self.call("RecordFills", fills=made, account=self.account)
        assert (again.applied, again.duplicates, again.revision) == (0, len(made), self.revision)
        for shown in answer.positions:
            self.note_end(shown)
            if shown.status not in (CLOSED, LIQUIDATED):
                self.compare(self.live[symbol], shown)

    def trade(self, symbol: str, signed: Fraction, price: Fraction) -> None:
        held = self.live.get(symbol)
        with_it = held is not None and held.sign * signed > 0
        if held is not None and held.status == OPENING:
            if with_it:
                held.confirm(abs(signed), price)
                return self.happened(symbol)
            held.cancel()
            self.happened(symbol)
        elif held is not None and with_it:
            held.grow(abs(signed), price)
            return self.happened(symbol)
        elif held is not None:
            closed = min(abs(signed), held.size)
            signed += closed * held.sign
            held.lessen(closed, price, CLOSED)
            self.happened(symbol)
        if signed:
            self.live[symbol] = Held(signed, price)
            self.happened(symbol)
        return None

    @rule(which=st.integers(0, 1000))
    def repeat(self, which):
        if self.over or not self.repeatable:
            return
        name, request, answer = self.repeatable[which % len(self.repeatable)]
        assert self.call(name, **request) == answer
        other = self.do(self.client.refused(name, **request | {"reason": "another"}))
        assert (other.reason, other.metadata["field"]) == ("REQUEST_ID_REUSED", "reason")

    @rule(chance=st.integers(0, 4))
    def restart(self, chance):
        if self.over or chance:
            return
        before = self.everything()
        self.follow()
        self.stop()
        self.start()
        assert self.everything() == before

    @rule()
    def look(self):
        if not self.over:
            self.check_now()

    @invariant()
    def remember(self):
        if not getattr(self, "over", True):
            self.past[self.revision] = {self.market(symbol): held.facts() for symbol, held in self.live.items()}

    @rule(which=st.integers(0, 1000))
    def look_back(self, which):
        if not self.over:
            self.check_then(list(self.past)[which % len(self.past)])

    @rule()
    def purge(self):
        """What ended long ago leaves the tables and stays in the history. The age is made up; nothing else is."""
        if self.over:
            return
        cls = type(self)
        old = "UPDATE positions SET closed_at = closed_at - interval '90 days' WHERE closed_at IS NOT NULL"
        self.do(execute(cls.database, old))
        for dry_run in (True, False):
            answer = self.call("PurgeClosedPositions", dry_run=dry_run)
            assert (answer.purged, answer.revision) == (len(cls.ended), self.revision)
        assert self.call("PurgeClosedPositions").purged == 0
        for position_id in list(cls.ended)[:3]:
            shown = self.call("GetPosition", position_id=position_id).position
            assert (shown.size, shown.status in (CLOSED, LIQUIDATED)) == ("0", True)
        cls.purged |= cls.ended
        cls.ended.clear()
        self.everything()


@pytest.fixture
def own_database(postgres):
    """As the fixture ``database``, for a test that has an event loop of its own."""
    name = "model"

    asyncio.run(execute(postgres, f"CREATE DATABASE {name}"))
    yield postgres.replace("/postgres?", f"/{name}?")
    asyncio.run(execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def runner(own_database):
    """The machine, ready to begin; for so long as its time is not over."""
    with asyncio.Runner() as runner:
        Ledger.runner, Ledger.database, Ledger.runs = runner, own_database, 0
        Ledger.clock = datetime.now(UTC) - timedelta(hours=1)
        Ledger.until = time.monotonic() + BUDGET_S
        for known in (Ledger.ended, Ledger.purged, Ledger.driven):
            known.clear()
        yield


@pytest.mark.usefixtures("runner")
def test_the_ledger_is_its_model():
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            database=None,
        ),
    )
    assert Ledger.runs >= 3


@pytest.mark.usefixtures("runner")
def test_the_model_drives_every_call():
    """A life told by hand: by chance alone a rule could be left out for ever."""
    life = Ledger()
    life.begin()
    life.mark("BTC", "100", late=False)
    life.mark("BTC", "90", late=True)
    life.open("BTC", "3", "100", short=False, pending=True, leverage="10")
    life.confirm_open("BTC", "2", "")
    life.open("ETH", "3", "100", short=True, pending=True, leverage="1")
    life.cancel_open("ETH")
    life.increase("BTC", "1", "110.5", stale=False)
    life.reduce("BTC", "0.3", "90", stale=False)
    life.mark("BTC", "90", late=False)  # enters the risk
    life.look()
    life.remember()
    life.update("BTC", "", "85.5")
    life.announce_a_close("BTC")
    life.cancel_a_close("BTC")
    life.adjust("BTC", "1", "100", "90", side=0)
    life.liquidate("BTC", "0.1", "90")
    life.announce_a_close("BTC")
    life.confirm_close("BTC", "0.3", "90")
    life.announce_a_close("BTC")
    life.confirm_close("BTC", "", "100")
    life.fills("ETH", [(True, "1", "100")], guarded=True, stale=True)
    life.fills("ETH", [(False, "3", "90"), (True, "2", "0.7")], guarded=False, stale=False)
    life.repeat(0)
    life.look_back(0)
    life.restart(0)
    life.open("BTC", "1", "100", short=False, pending=False, leverage="1")
    life.close("BTC", "110.5")
    life.purge()
    life.teardown()
    assert Ledger.driven == set(pb.DESCRIPTOR.services_by_name["PositionService"].methods_by_name)
