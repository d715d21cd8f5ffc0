"""The rows about calls: one Position service with everything on, against yardsticks on the same machine."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub
from trueup.types.v1 import types_pb2

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


@contextmanager
def _echo(on: Machine, service: ServiceProcess) -> Iterator[str]:
    """A bare server that gives the answers of the service."""
    with client(service.address) as channel:
        stub = PositionServiceStub(channel)
        opened = stub.OpenPosition(opening())
        stub.UpdatePrices(pb.UpdatePricesRequest(prices=[pb.PriceUpdate(symbol=opened.position.symbol, price="42500")]))
        got = stub.GetPosition(pb.GetPositionRequest(position_id=opened.position.position_id))
    answers = {"GetPosition": got, "OpenPosition": opened}
    file = on.folder / f"answers-{time.monotonic_ns()}.json"
    file.write_text(json.dumps({name: answer.SerializeToString().hex() for name, answer in answers.items()}))
    with on.module("tests.bench.echo", str(file)) as address:
        yield address


@contextmanager
def get_position(on: Machine) -> Iterator[Pair]:
    """Calls a second. h2load on both sides, the same bytes there and back."""
    with on.position(dsn := on.database()) as service, _echo(on, service) as echo:
        wanted = sql(dsn, "SELECT position_id FROM positions")
        body = message(pb.GetPositionRequest(position_id=str(wanted)).SerializeToString())
        with client(echo) as channel:
            size = len(PositionServiceStub(channel).GetPosition(pb.GetPositionRequest()).SerializeToString()) + 5
        calls = on.size.of(10_000, least=200)

        def ask(address: str) -> Sample:
            with own_cpu() as cpu, on.cpu(service) as used:
                load = h2load(address, "GetPosition", body, calls=calls, in_flight=64)
            if load.data_bytes != size * load.calls:
                raise Unusable(f"{address} did not answer with the position: {load}")
            return Sample(load.calls / load.seconds, cpu[0], _each(used, load.calls))

        yield Pair(lambda: ask(service.address), lambda: ask(echo))


@contextmanager
def open_position(on: Machine) -> Iterator[Pair]:
    """Calls a second. Each opens another position, which h2load cannot ask for: prepared bytes over a plain socket."""
    with on.position(dsn := on.database()) as service, _echo(on, service) as echo:
        calls = on.size.of(6_000, least=300)
        _warm(service)

        def ours() -> Sample:
            before = sql(dsn, "SELECT count(*) FROM positions")
            with on.cpu(service) as used:
                sample = _open(service.address, openings(calls), in_flight=256)
            if (durable := sql(dsn, "SELECT count(*) FROM positions") - before) != calls:
                raise Unusable(f"{calls} positions were opened, {durable} are in the table")
            on.settle(dsn)
            return replace(sample, parts=_each(used, calls))

        yield Pair(ours, lambda: _open(echo, openings(calls), in_flight=256))


def _each(used: Mapping[str, float], number: int) -> dict[str, float]:
    return {name: seconds / number for name, seconds in used.items()}


def _warm(service: ServiceProcess) -> None:
    """A batch of each size that the timing may meet: statements are prepared, connections open."""
    replay(service.address, SERVICE + "OpenPosition", openings(300), in_flight=64)


def _open(address: str, bodies: Sequence[bytes], in_flight: int) -> Sample:
    with own_cpu() as cpu:
        began = time.perf_counter()
        replay(address, SERVICE + "OpenPosition", bodies, in_flight=in_flight)
        seconds = time.perf_counter() - began
    return Sample(len(bodies) / seconds, cpu[0])


# The rows a position leaves behind, as a service without a ledger would write them. The text is a real event's.
_EVENT = """INSERT INTO events VALUES (nextval('pace'), 9000000000000000000, now(), 'position.opened', 'main', gen_random_uuid(), 'bot', '',
  '', E'{event}', sha256('x'));
"""
_OPENING = (
    "\\set n random(1, 9000000000000000)\nBEGIN;\n"
    + _EVENT
    + """INSERT INTO positions (position_id, account, venue, symbol, asset, product, side, size, cost, status, leverage,
  realized, peak, opened_at, updated_at, revision, at_risk, other_fees, labels, estimated, final_entry)
  VALUES (gen_random_uuid(), 'main', 'hyperliquid', 'S' || :n, 'S' || :n || '/USD', 'PERPETUAL', 'LONG', 0.5, 21000.25,
  'OPEN', 5, -2.1, 0.5, now(), now(), 1, false, '[]', '[]', 0, 0);
COMMIT;
"""
)
_FILL = (
    "\\set n random(1, 9000000000000000)\nBEGIN;\n"
    + _EVENT
    + "INSERT INTO fills VALUES ('main', 'hyperliquid', 'f' || :n, 1);\nCOMMIT;\n"
)


def _paced(on: Machine) -> str:
    """A database of its own for pgbench: the same tables, the same settings."""
    dsn = on.database()
    sql(dsn, "CREATE SEQUENCE pace")
    return dsn


def _script(template: str, dsn: str) -> str:
    """A script of pgbench with the text of an event as we wrote it last; colons would be variables to pgbench."""
    event = str(sql(dsn, "SELECT body FROM events ORDER BY revision DESC LIMIT 1"))
    return template.replace("{event}", event.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a"))


@contextmanager
def open_latency(on: Machine) -> Iterator[Pair]:
    """Seconds a call, one at a time. The yardstick is the two inserts by pgbench and the bare echo, added up."""
    with on.position(dsn := on.database()) as service, _echo(on, service) as echo:
        _warm(service)
        paced, script = _paced(on), _script(_OPENING, dsn)
        calls = on.size.of(1_500, least=100)

        def latency(address: str) -> Sample:
            sample = _open(address, openings(calls), in_flight=1)
            return Sample(1 / sample.value, sample.cpu)

        def yardstick() -> Sample:
            _, inserts = pgbench(paced, script, clients=1, seconds=on.size.of(3))
            echoed = latency(echo)
            return Sample(inserts + echoed.value, echoed.cpu)

        yield Pair(lambda: latency(service.address), yardstick)


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
        paced, script = _paced(on), _script(_FILL, dsn)
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
