"""The ledger against a model of a few dozen lines: whatever is asked, in whatever order, the answers are the model's."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction

import asyncpg
import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from grpckit.errors import RpcError
from position_service.app import PositionApp
from position_service.settings import PositionSettings
from tests.position_client import Client, check_ledger, fill

BUDGET_S = 15.0
OPEN, REDUCED, CLOSING, CLOSED, LIQUIDATED = range(2, 7)
symbols = st.sampled_from(["BTC", "ETH"])
sizes = st.sampled_from(["0.1", "0.3", "1", "2", "3"])
prices = st.sampled_from(["90", "100", "110.5", "0.7"])


class Held:
    """A position: signed inventory, cash and fees in fractions; the average entry follows."""

    def __init__(self, signed: Fraction, price: Fraction, revision: int) -> None:
        self.sign = 1 if signed > 0 else -1
        self.size, self.cost = abs(signed), abs(signed) * price
        self.peak = self.size
        self.realized = Fraction(0)
        self.status, self.back, self.revision = OPEN, OPEN, revision

    def grow(self, size: Fraction, price: Fraction) -> None:
        self.size, self.cost = self.size + size, self.cost + size * price
        self.peak = max(self.peak, self.size)

    def lessen(self, size: Fraction, price: Fraction, end: int) -> None:
        share = self.cost * size / self.size
        self.realized += (price * size - share) * self.sign
        self.size, self.cost = self.size - size, self.cost - share
        self.status = REDUCED if self.size else end

    def adjust(self, sign: int, size: Fraction, entry: Fraction, close: Fraction) -> None:
        status = self.status
        closed = self.size if sign != self.sign else max(self.size - size, Fraction(0))
        if closed:
            self.lessen(closed, close, CLOSED)
        if size:
            self.sign, self.size, self.cost = sign, size, size * entry
            self.back = REDUCED if size < self.peak else OPEN
            self.status = CLOSING if status == CLOSING else self.back
            self.peak = max(self.peak, size)


class Ledger(RuleBasedStateMachine):
    """Every rule asks the service and the model, and compares."""

    runner: asyncio.Runner
    database: str
    until: float
    runs = 0

    @initialize()
    def begin(self) -> None:
        self.over = time.monotonic() > type(self).until
        if self.over:
            return
        type(self).runs += 1
        self.live: dict[str, Held] = {}
        self.repeatable: list[tuple[str, dict, object]] = []
        self.numbers = iter(range(1_000_000))
        self.account = f"run-{type(self).runs}"
        self.service = None
        self.start()
        self.revision = self.do(self.client.call("VerifyHistory")).revision

    def do(self, coroutine):
        return type(self).runner.run(coroutine)

    def start(self) -> None:
        async def start():
            values = {"position_listen": "127.0.0.1:0", "database_url": type(self).database, "drain_grace": 0}
            self.service = PositionApp(PositionSettings(**values))
            self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{await self.service.start()}")
            self.client = Client(self.channel)

        self.do(start())

    def stop(self) -> None:
        async def stop():
            await self.channel.close()
            await self.service.stop()

        self.do(stop())

    def ask(self, name: str, symbol: str, problem: str, *, stale: bool = False, **fields: str):
        """Call; the answer, or None after the refusal the model expects."""
        number = next(self.numbers)
        request = {"account": self.account, "symbol": symbol, "request_id": f"{self.account}-{number}", **fields}
        if name != "OpenPosition" and symbol in self.live and number % 2:
            request["expected_revision"] = self.live[symbol].revision + (1 if stale else 0)
            problem = "STALE_REVISION" if stale else problem
        try:
            answer = self.do(self.client.call(name, **request))
        except RpcError as error:
            if error.reason != problem:
                raise
            return None
        assert not problem, (name, request, problem)
        self.repeatable.append((name, request, answer))
        self.revision += 1
        assert answer.revision == answer.position.revision == self.revision
        return answer.position

    def agree(self, symbol: str, shown) -> None:
        held = self.live[symbol]
        held.revision = shown.revision
        assert (Fraction(shown.size), shown.status, shown.side) == (held.size, held.status, 1 if held.sign > 0 else 2)
        assert abs(Fraction(shown.realized_pnl) - held.realized) < Fraction(1, 10**15)
        if held.size:
            assert abs(Fraction(shown.entry_price) - held.cost / held.size) < Fraction(1, 10**12)
        else:
            del self.live[symbol]

    def problem(self, symbol: str, size: str, *allowed: int) -> str:
        if symbol not in self.live:
            return "POSITION_NOT_FOUND"
        if self.live[symbol].status not in allowed:
            return "ILLEGAL_TRANSITION"
        return "SIZE_EXCEEDS_POSITION" if Fraction(size) > self.live[symbol].size else ""

    @rule(symbol=symbols, size=sizes, price=prices, short=st.booleans())
    def open(self, symbol, size, price, short):
        if self.over:
            return
        problem = "POSITION_ALREADY_OPEN" if symbol in self.live else ""
        if shown := self.ask("OpenPosition", symbol, problem, size=size, entry_price=price, side=2 if short else 1):
            signed = Fraction(size) * (-1 if short else 1)
            self.live[symbol] = Held(signed, Fraction(price), shown.revision)
            self.agree(symbol, shown)

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

    @rule(symbol=symbols, trades=st.lists(st.tuples(st.booleans(), sizes, prices), min_size=1, max_size=4))
    def fills(self, symbol, trades):
        if self.over:
            return
        made = []
        for buys, size, price in trades:
            number = next(self.numbers)
            made.append(fill(number, size if buys else f"-{size}", price, symbol=symbol))
        answer = self.do(self.client.fills(*made, account=self.account))
        for buys, size, price in trades:
            self.trade(symbol, Fraction(size) * (1 if buys else -1), Fraction(price))
        assert (answer.applied, answer.revision) == (len(made), self.revision)
        again = self.do(self.client.fills(*made, account=self.account))
        assert (again.applied, again.duplicates, again.revision) == (0, len(made), self.revision)
        if symbol in self.live:
            self.agree(symbol, answer.positions[-1])

    def trade(self, symbol: str, signed: Fraction, price: Fraction) -> None:
        held = self.live.get(symbol)
        closes = held is not None and held.sign * signed < 0
        if closes:
            closed = min(abs(signed), held.size)
            held.lessen(closed, price, CLOSED)
            self.revision += 1
            signed -= closed * (1 if signed > 0 else -1)
            if not held.size:
                del self.live[symbol]
        if signed:
            self.revision += 1
            if closes or held is None:
                self.live[symbol] = Held(signed, price, self.revision)
            else:
                held.grow(abs(signed), price)

    @rule(which=st.integers(0, 1000))
    def repeat(self, which):
        if self.over or not self.repeatable:
            return
        name, request, answer = self.repeatable[which % len(self.repeatable)]
        assert self.do(self.client.call(name, **request)) == answer
        other = self.do(self.client.refused(name, **request | {"reason": "another"}))
        assert (other.reason, other.metadata["field"]) == ("REQUEST_ID_REUSED", "reason")

    @rule(chance=st.integers(0, 4))
    def restart(self, chance):
        if self.over or chance:
            return
        before = self.everything()
        self.stop()
        self.start()
        assert self.everything() == before

    def everything(self):
        answer = self.do(self.client.call("ListPositions", account=self.account))
        assert answer.revision == self.revision
        assert {p.symbol for p in answer.positions} == set(self.live)
        return answer

    def teardown(self) -> None:
        if getattr(self, "over", True):
            return
        self.everything()
        assert self.do(check_ledger(type(self).database, self.client)) == self.revision
        self.stop()


@pytest.fixture
def own_database(postgres):
    """As the fixture ``database``, for a test that has an event loop of its own."""
    name = "model"

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(postgres)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(execute(f"CREATE DATABASE {name}"))
    yield postgres.replace("/postgres?", f"/{name}?")
    asyncio.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


def test_the_ledger_is_its_model(own_database):
    with asyncio.Runner() as runner:
        Ledger.runner, Ledger.database, Ledger.runs = runner, own_database, 0
        Ledger.until = time.monotonic() + BUDGET_S
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
