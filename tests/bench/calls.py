"""The rows about calls: one Position service with everything on, against yardsticks on the same machine."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub
from trueup.types.v1 import types_pb2

from position_service.ledger import tables
from tests.bench.http2 import message, replay
from tests.bench.machine import SERVICE, Machine, Unusable, client, h2load, own_cpu, pgbench, seed, sql
from tests.bench.rows import Pair, Sample
from tests.service_process import ServiceProcess

_numbers = count(1)  # of everything that must be new: symbols, requests, fills


def opening() -> pb.OpenPositionRequest:
    """A position nobody has yet, with what a bot fills in."""
    number = next(_numbers)
    return pb.OpenPositionRequest(
        account="main",
        venue="hyperliquid",
        symbol=f"S{number}",
        asset=f"S{number}/USD",
        side=types_pb2.SIDE_LONG,
        size="0.5",
        entry_price="42000.5",
        leverage="5",
        liquidation_price="38000",
        fee="2.1",
        request_id=str(uuid.uuid4()),
    )


def openings(number: int) -> list[bytes]:
    return [message(opening().SerializeToString()) for _ in range(number)]


@dataclass(frozen=True, slots=True)
class Stage:
    """What the rows about calls share: the service, its database, and a bare server that gives the same answers."""

    dsn: str
    service: ServiceProcess
    echo: str
    position_id: str


def _stage(on: Machine) -> Stage:
    return on.shared("calls", lambda: _staged(on))


@contextmanager
def _staged(on: Machine) -> Iterator[Stage]:
    with on.position(dsn := on.database()) as service:
        with client(service.address) as channel:
            stub = PositionServiceStub(channel)
            opened = stub.OpenPosition(opening())
            price = pb.PriceUpdate(symbol=opened.position.symbol, price="42500")
            stub.UpdatePrices(pb.UpdatePricesRequest(prices=[price]))
            got = stub.GetPosition(pb.GetPositionRequest(position_id=opened.position.position_id))
        answers = {"GetPosition": got, "OpenPosition": opened}
        file = on.folder / "answers.json"
        file.write_text(json.dumps({name: answer.SerializeToString().hex() for name, answer in answers.items()}))
        with on.module("tests.bench.echo", str(file)) as echo:
            yield Stage(dsn, service, echo, got.position.position_id)


@contextmanager
def get_position(on: Machine) -> Iterator[Pair]:
    """Calls a second. h2load on both sides, the same bytes there and back."""
    stage, calls = _stage(on), on.size.of(10_000, least=200)
    request = pb.GetPositionRequest(position_id=stage.position_id)
    body = message(request.SerializeToString())
    with client(stage.service.address) as channel:
        size = len(message(PositionServiceStub(channel).GetPosition(request).SerializeToString()))

    def ask(address: str) -> Sample:
        with own_cpu() as cpu, on.cpu(stage.service) as used:
            load = h2load(address, "GetPosition", body, calls=calls, in_flight=64)
        if load.data_bytes != size * load.calls:
            raise Unusable(f"{address} did not answer with the position: {load}")
        return Sample(load.calls / load.seconds, cpu[0], _each(used, load.calls))

    yield Pair(lambda: ask(stage.service.address), lambda: ask(stage.echo))


@contextmanager
def open_position(on: Machine) -> Iterator[Pair]:
    """Calls a second. Each opens another position, which h2load cannot ask for: prepared bytes over a plain socket."""
    stage, calls = _stage(on), on.size.of(6_000, least=300)
    _warm(stage)

    def ours() -> Sample:
        before = sql(stage.dsn, "SELECT count(*) FROM positions")
        with on.cpu(stage.service) as used:
            sample = _open(stage.service.address, openings(calls), in_flight=256)
        if (durable := sql(stage.dsn, "SELECT count(*) FROM positions") - before) != calls:
            raise Unusable(f"{calls} positions were opened, {durable} are in the table")
        on.settle(stage.dsn)
        return replace(sample, parts=_each(used, calls))

    yield Pair(ours, lambda: _open(stage.echo, openings(calls), in_flight=256))


def _each(used: Mapping[str, float], number: int) -> dict[str, float]:
    return {name: seconds / number for name, seconds in used.items()}


def _warm(stage: Stage) -> None:
    """Statements are prepared, connections open."""
    replay(stage.service.address, SERVICE + "OpenPosition", openings(300), in_flight=64)


def _open(address: str, bodies: Sequence[bytes], in_flight: int) -> Sample:
    with own_cpu() as cpu:
        began = time.perf_counter()
        replay(address, SERVICE + "OpenPosition", bodies, in_flight=in_flight)
        seconds = time.perf_counter() - began
    return Sample(len(bodies) / seconds, cpu[0])


# What a service without a ledger would do for the same: an event, and a position or a fill, in one transaction.
_PAIR = """\\set n random(1, 9000000000000000)
BEGIN;
INSERT INTO events VALUES (nextval('pace'), 9000000000000000000, now(), 'position.opened', 'main', gen_random_uuid(),
  'bot', '', '', {event}, sha256('x'));
INSERT INTO {second};
COMMIT;
"""
_FILL = "fills VALUES ('main', 'hyperliquid', 'f' || :n, 1)"
_NEW = {"position_id": "gen_random_uuid()", "symbol": "'S' || :n", "asset": "'S' || :n || '/USD'"}


def _paced(on: Machine) -> str:
    """A database of its own for pgbench: the same tables, the same settings."""
    dsn = on.database()
    sql(dsn, "CREATE SEQUENCE pace")
    return dsn


def _newest(dsn: str, table: str, columns: Sequence[str]) -> dict[str, str]:
    """The newest row of a table as SQL literals for pgbench, to which a colon would begin a variable."""
    texts = ", ".join(f"{column}::text" for column in columns)
    values = sql(dsn, f"SELECT array[{texts}] FROM {table} ORDER BY revision DESC LIMIT 1")
    quoted = ("NULL" if v is None else "E'" + _escaped(v) + "'" for v in values)
    return dict(zip(columns, quoted, strict=True))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a")


def _opening_script(dsn: str) -> str:
    position = _newest(dsn, "positions", [column.name for column in tables.positions.columns]) | _NEW
    second = f"positions ({', '.join(position)}) VALUES ({', '.join(position.values())})"
    return _PAIR.format(second=second, **_event(dsn))


def _fill_script(dsn: str) -> str:
    return _PAIR.format(second=_FILL, **_event(dsn))


def _event(dsn: str) -> dict[str, str]:
    return {"event": _newest(dsn, "events", ["body"])["body"]}


@contextmanager
def open_latency(on: Machine) -> Iterator[Pair]:
    """Seconds a call, one at a time. The yardstick is the two inserts by pgbench and the bare echo, added up."""
    stage, calls = _stage(on), on.size.of(1_500, least=100)
    _warm(stage)
    paced, script = _paced(on), _opening_script(stage.dsn)

    def latency(address: str) -> Sample:
        sample = _open(address, openings(calls), in_flight=1)
        return Sample(1 / sample.value, sample.cpu)

    def yardstick() -> Sample:
        _, inserts = pgbench(paced, script, clients=1, seconds=on.size.of(3))
        echoed = latency(stage.echo)
        return Sample(inserts + echoed.value, echoed.cpu)

    yield Pair(lambda: latency(stage.service.address), yardstick)


def fill(symbol: str, *, is_buy: bool = True, size: str = "0.25") -> pb.Fill:
    made = pb.Fill(
        venue="hyperliquid",
        symbol=symbol,
        asset=f"{symbol}/USD",
        fill_id=f"{symbol}-{next(_numbers)}",
        is_buy=is_buy,
        size=size,
        price="42000.5",
        fee="1.05",
        fee_currency="USD",
    )
    made.executed_at.GetCurrentTime()
    return made


@contextmanager
def record_fills(on: Machine) -> Iterator[Pair]:
    """Fills a second, 1 000 a batch over 100 instruments, four batches in flight."""
    with on.position(dsn := on.database()) as service:
        symbols = [f"F{number}" for number in range(100)]
        seed(service.address, (fill(symbol) for symbol in symbols))
        paced, script = _paced(on), _fill_script(dsn)
        batches = on.size.of(40, least=4)

        def batch() -> bytes:
            fills = [fill(symbols[n % 100], is_buy=n % 200 < 100) for n in range(1_000)]
            return message(pb.RecordFillsRequest(account="main", fills=fills).SerializeToString())

        def ours() -> Sample:
            bodies = [batch() for _ in range(batches)]
            before = sql(dsn, "SELECT count(*) FROM fills")
            with own_cpu() as cpu, on.cpu(service) as used:
                began = time.perf_counter()
                replay(service.address, SERVICE + "RecordFills", bodies, in_flight=4)
                seconds = time.perf_counter() - began
            if (durable := sql(dsn, "SELECT count(*) FROM fills") - before) != batches * 1_000:
                raise Unusable(f"{batches * 1_000} fills were recorded, {durable} are in the table")
            on.settle(dsn)
            return Sample(batches * 1_000 / seconds, cpu[0], _each(used, batches * 1_000))

        def yardstick() -> Sample:
            pace, _ = pgbench(paced, script, clients=16, seconds=on.size.of(4))
            on.settle(paced)
            return Sample(pace)

        replay(service.address, SERVICE + "RecordFills", [batch() for _ in range(4)], in_flight=4)
        yield Pair(ours, yardstick)


@contextmanager
def update_prices(on: Machine) -> Iterator[Pair]:
    """Prices a second, 1 000 a batch, four batches in flight, 10 000 live positions."""
    positions = on.size.of(10_000, least=1_000)
    symbols = [f"P{number}" for number in range(positions)]
    with on.position(dsn := on.database()) as service:
        seed(service.address, (fill(symbol) for symbol in symbols))
        batches = on.size.of(80, least=4)
        # Undated, so that each observation is newer than the last; every batch is about other instruments.
        bodies = [
            pb.UpdatePricesRequest(
                prices=[
                    pb.PriceUpdate(venue="hyperliquid", symbol=symbol, price=f"42{start % 977}.{index % 89}")
                    for index, symbol in enumerate(symbols[start : start + 1_000])
                ]
            ).SerializeToString()
            for start in range(0, positions, 1_000)
        ]
        asked = [bodies[number % len(bodies)] for number in range(batches)]
        messages = [message(body) for body in asked]
        replay(service.address, SERVICE + "UpdatePrices", messages[: len(bodies)], in_flight=4)

        def ours() -> Sample:
            with own_cpu() as cpu, on.cpu(service) as used:
                began = time.perf_counter()
                replay(service.address, SERVICE + "UpdatePrices", messages, in_flight=4)
                seconds = time.perf_counter() - began
            if (stored := sql(dsn, "SELECT count(*) FROM marks")) != positions:
                raise Unusable(f"{positions} instruments were priced, {stored} have a mark")
            return Sample(batches * 1_000 / seconds, cpu[0], _each(used, batches * 1_000))

        def yardstick() -> Sample:
            began = time.perf_counter()
            for body in asked:
                decoded = decode(body)
            assert len(decoded) == 1_000
            return Sample(batches * 1_000 / (time.perf_counter() - began))

        yield Pair(ours, yardstick)


def decode(body: bytes) -> list[tuple[str, str, Decimal, datetime]]:
    """The bytes as the plainest values that they mean."""
    now = datetime.now(UTC)
    return [
        (p.venue, p.symbol, Decimal(p.price), p.observed_at.ToDatetime(UTC) if p.HasField("observed_at") else now)
        for p in pb.UpdatePricesRequest.FromString(body).prices
    ]
