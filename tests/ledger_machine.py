"""A machine that asks a running Position service and the model the same, and compares. Its rules are in the test."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from fractions import Fraction
from typing import ClassVar

import asyncpg
from hypothesis.stateful import RuleBasedStateMachine, initialize
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.channel import connect
from grpckit.errors import RpcError
from position_service.app import PositionApp
from position_service.settings import PositionSettings
from tests.ledger_model import CLOSED, LIQUIDATED, OPENING, Held
from tests.position_client import Client, check_ledger


class Machine(RuleBasedStateMachine):
    """One run is one account, a service that may be restarted, and what the model knows of it."""

    runner: asyncio.Runner
    clock: datetime  # of marks
    database: str
    until: float
    runs = 0
    ended: ClassVar[set[str]] = set()  # ids of what is final and still in the tables, of all runs
    purged: ClassVar[set[str]] = set()
    driven: ClassVar[set[str]] = set()

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
        self.marks: dict[str, Fraction] = {}
        self.past: dict[int, dict[str, tuple]] = {}
        self.watched: list[object] = []
        self.bookmark = 0
        self.start()
        self.first = self.bookmark = self.revision = self.call("VerifyHistory").revision

    def do(self, coroutine):
        return type(self).runner.run(coroutine)

    def call(self, name: str, **fields):
        type(self).driven.add(name)
        return self.do(self.client.call(name, **fields))

    def market(self, symbol: str) -> str:
        """Marks are everybody's: each run has instruments of its own."""
        return f"{symbol}{type(self).runs}"

    def start(self) -> None:
        async def start():
            values = {"position_listen": "127.0.0.1:0", "database_url": type(self).database, "drain_grace": 0}
            values |= {"mark_max_age": 86_400, "watch_progress_interval": 1}
            self.service = PositionApp(PositionSettings(**values))
            self.channel = connect(f"127.0.0.1:{await self.service.start()}")
            self.client = Client(self.channel)

        self.do(start())

    def stop(self) -> None:
        async def stop():
            await self.channel.close()
            await self.service.stop()

        self.do(stop())

    def ask(self, name: str, symbol: str, problem: str, *, stale: bool = False, **fields: object):
        """Call; the position after it, or None after the refusal the model expects."""
        number = next(self.numbers)
        request = {"account": self.account, "symbol": self.market(symbol), "request_id": f"{self.account}-{number}"}
        request |= fields
        if name != "OpenPosition" and symbol in self.live and number % 2:
            request["expected_revision"] = self.live[symbol].revision + (1 if stale else 0)
            problem = "STALE_REVISION" if stale else problem
        try:
            answer = self.call(name, **request)
        except RpcError as error:
            if error.reason != problem:
                raise
            return None
        assert not problem, (name, request, problem)
        self.repeatable.append((name, request, answer))
        assert answer.revision == answer.position.revision
        return answer.position

    def happened(self, symbol: str) -> None:
        """An event to a position, and a second one when that led across the risk threshold."""
        held = self.live[symbol]
        self.revision += 1
        held.revision = self.revision
        if not held.size:
            del self.live[symbol]
        else:
            self.watch_risk(symbol)

    def watch_risk(self, symbol: str) -> None:
        held = self.live[symbol]
        if held.at_risk != held.is_risky(self.marks.get(symbol)):
            held.at_risk = not held.at_risk
            self.revision += 1
            held.revision = self.revision

    def agree(self, symbol: str, shown) -> None:
        """What happened to the position is done to the model: compare."""
        held = self.live[symbol]
        self.happened(symbol)
        self.note_end(shown)
        self.compare(held, shown)
        assert shown.revision == self.revision

    def note_end(self, shown) -> None:
        if shown.status in (CLOSED, LIQUIDATED):
            type(self).ended.add(shown.position_id)

    def compare(self, held: Held, shown) -> None:
        assert (Fraction(shown.size), shown.status, shown.side) == (held.size, held.status, 1 if held.sign > 0 else 2)
        assert close_to(shown.realized_pnl, held.realized)
        assert shown.at_risk == (held.at_risk and held.size > 0)
        assert not held.size or close_to(shown.entry_price, held.entry)

    def problem(self, symbol: str, size: str, *allowed: int) -> str:
        if symbol not in self.live:
            return "POSITION_NOT_FOUND"
        if self.live[symbol].status not in allowed:
            return "ILLEGAL_TRANSITION"
        return "SIZE_EXCEEDS_POSITION" if Fraction(size) > self.live[symbol].size else ""

    def seen(self, symbol: str) -> pb.ExpectedRevision:
        """What the model knows of an instrument."""
        revision = self.live[symbol].revision if symbol in self.live else 0
        return pb.ExpectedRevision(symbol=self.market(symbol), revision=revision)

    def everything(self):
        answer = self.call("ListPositions", account=self.account)
        assert answer.revision == self.revision
        assert {p.symbol for p in answer.positions} == {self.market(symbol) for symbol in self.live}
        return answer

    def check_now(self) -> None:
        """Each position, those at risk, and the sums."""
        for symbol, held in self.live.items():
            shown = self.call("GetPosition", account=self.account, symbol=self.market(symbol)).position
            self.compare(held, shown)
            if mark := self.marks.get(symbol):
                assert close_to(shown.unrealized_pnl, (mark * held.size - held.cost) * held.sign)
        near = self.call("ListPositionsAtRisk", account=self.account).positions
        assert {p.symbol for p in near} == {self.market(s) for s, held in self.live.items() if held.at_risk}
        summary = self.call("GetPortfolioSummary", account=self.account)
        holding = {s: held for s, held in self.live.items() if held.status != OPENING}
        marked = [(held, self.marks[s]) for s, held in holding.items() if s in self.marks]
        assert (summary.total_positions, summary.positions_at_risk) == (len(self.live), len(near))
        assert close_to(summary.net_notional, sum(mark * held.size * held.sign for held, mark in marked))
        assert close_to(summary.total_realized_pnl, sum(held.realized for held in self.live.values()))
        assert len(summary.missing_marks) == len(holding) - len(marked)

    def check_then(self, revision: int) -> None:
        """The past stays what it was, whatever happened since."""
        if not revision:
            return  # 0 asks for now
        then = self.call("ListPositions", account=self.account, as_of_revision=revision)
        expected = self.past[revision]
        assert {p.symbol for p in then.positions} == set(expected)
        for shown in then.positions:
            size, status, sign, entry = expected[shown.symbol]
            assert (Fraction(shown.size), shown.status, shown.side) == (size, status, 1 if sign > 0 else 2)
            assert close_to(shown.entry_price, entry)
            one = self.call("GetPosition", position_id=shown.position_id, as_of_revision=revision)
            assert (one.position, one.revision) == (shown, revision)

    def follow(self) -> None:
        """Watch from the last bookmark to where the model is."""
        type(self).driven.add("WatchPositions")

        async def follow():
            async with self.client.watching(account=self.account, after_revision=self.bookmark) as stream:
                while self.bookmark < self.revision:
                    message = await stream.next()
                    self.watched += message.events
                    self.bookmark = message.revision

        self.do(follow())

    def teardown(self) -> None:
        if getattr(self, "over", True):
            return
        try:
            self.check_all()
        finally:
            self.stop()

    def check_all(self) -> None:
        """What was promised, whatever was done: now, then, as it was watched, and in the tables."""
        self.everything()
        self.check_now()
        for revision in list(self.past)[:: max(1, len(self.past) // 5)]:
            self.check_then(revision)
        self.follow()
        listed, token = [], None
        while token != "":
            page = self.call("ListPositionHistory", account=self.account, page_size=50, page_token=token or "")
            listed += page.events
            token = page.next_page_token
        assert [event.revision for event in listed] == list(range(self.first + 1, self.revision + 1))
        assert self.watched == listed
        assert self.do(check_ledger(type(self).database, self.client, type(self).purged)) == self.revision


def close_to(shown: str, exact: Fraction | int) -> bool:
    return abs(Fraction(shown) - exact) < Fraction(1, 10**12)


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()
