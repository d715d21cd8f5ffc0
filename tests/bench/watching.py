"""The row about subscribers that take nothing: whether they slow those who do."""

from __future__ import annotations

import selectors
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from trueup.position.v1 import reconciliation_log_service_pb2 as log_pb
from trueup.position.v1.reconciliation_log_service_pb2_grpc import ReconciliationLogServiceStub
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from tests.bench.http2 import Connection, message, request_headers
from tests.bench.machine import Machine, Unusable, client, own_cpu
from tests.bench.rows import Pair, Sample

STREAM = request_headers("/trueup.reconciler.v1.ReconcilerService/StreamDriftEvents")
SUBSCRIBERS = 1_000
STALLED = 0.2  # share of them
EVENTS = 12
SPACING_S = 0.5
_PER_CONNECTION = 100
_NOTHING = 256  # bytes a stalled stream takes: the first message, none after it
_PATIENCE_S = 120.0


class Subscribers(Connection):
    """Streams on one connection. ``seen`` has the time each event arrived, in the order they did."""

    def __init__(self, address: str, count: int, *, stalled: bool) -> None:
        super().__init__(address, **({"stream_window": _NOTHING} if stalled else {}))
        self.began = 0  # streams that have said where they begin
        self.seen: list[tuple[str, float]] = []
        self._parts: dict[int, bytearray] = {}
        for _ in range(count):
            self._parts[self.call(STREAM, message(b""))] = bytearray()
        self.flush()

    def on_data(self, stream: int, payload: bytes) -> None:
        now = time.perf_counter()
        buffer = self._parts[stream]
        buffer += payload
        while len(buffer) >= 5 and len(buffer) >= 5 + (size := struct.unpack_from(">I", buffer, 1)[0]):
            answer = pb.StreamDriftEventsResponse.FromString(bytes(buffer[5 : 5 + size]))
            del buffer[: 5 + size]
            self.seen += [(event.drift.summary, now) for event in answer.events]
            self.began += not answer.events

    def on_end(self, stream: int) -> None:
        raise Unusable("a stream ended")


@contextmanager
def subscribers(on: Machine) -> Iterator[Pair]:
    """p99 of the seconds from a drift's recording to a healthy subscriber, with and without the stalled ones."""
    total = on.size.of(SUBSCRIBERS, least=20)
    stalled, events = round(total * STALLED), on.size.of(EVENTS, least=4)
    with ExitStack() as on_exit:
        position = on_exit.enter_context(on.position(on.database()))
        served = on_exit.enter_context(on.module("tests.bench.reconciler", position.address, "127.0.0.1:1", "0"))
        log = ReconciliationLogServiceStub(on_exit.enter_context(client(position.address)))
        yield Pair(
            lambda: _delivery(served, log, healthy=total - stalled, stalled=stalled, events=events),
            lambda: _delivery(served, log, healthy=total - stalled, stalled=0, events=events),
        )


def _delivery(served: str, log: ReconciliationLogServiceStub, *, healthy: int, stalled: int, events: int) -> Sample:
    with ExitStack() as on_exit, own_cpu() as cpu:
        reading = [Subscribers(served, part, stalled=False) for part in _parts(healthy)]
        not_reading = [Subscribers(served, part, stalled=True) for part in _parts(stalled)]
        selector = on_exit.enter_context(selectors.DefaultSelector())
        for connection in (*reading, *not_reading):
            on_exit.callback(connection.close)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        _read(selector, lambda: sum(c.began for c in (*reading, *not_reading)) >= healthy + stalled)
        for connection in not_reading:
            selector.unregister(connection.socket)
        sent: dict[str, float] = {}
        recorder = threading.Thread(target=_record, args=(log, events, sent))
        recorder.start()
        _read(selector, lambda: sum(len(c.seen) for c in reading) >= healthy * events)
        recorder.join()
    delays = sorted(at - sent[name] for c in reading for name, at in c.seen)
    if len(delays) != healthy * events:
        raise Unusable(f"{len(delays)} deliveries instead of {healthy * events}")
    return Sample(delays[len(delays) * 99 // 100], cpu[0])


def _parts(count: int) -> Sequence[int]:
    return [min(_PER_CONNECTION, count - start) for start in range(0, count, _PER_CONNECTION)]


def _read(selector: selectors.BaseSelector, done: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > until:
            raise Unusable(f"not everything was delivered within {_PATIENCE_S:g} s")
        for key, _ in selector.select(timeout=0.1):
            key.data.receive()
            key.data.flush()


def _record(log: ReconciliationLogServiceStub, events: int, sent: dict[str, float]) -> None:
    """One case that changes again and again: each change is an event."""
    for number in range(events):
        time.sleep(SPACING_S)
        name = f"{number}-{uuid.uuid4()}"
        now = datetime.now(UTC)
        finding = drift_pb2.Drift(
            kind=drift_pb2.DRIFT_KIND_SIZE,
            account="main",
            venue="hyperliquid",
            symbol="BTC",
            actual=drift_pb2.Observation(size=str(number + 1)),
            size_delta=str(number + 1),
            summary=name,
        )
        finding.first_seen.FromDatetime(now)
        finding.last_seen.FromDatetime(now)
        run = drift_pb2.Run(run_id=str(uuid.uuid4()), trigger="request")
        run.started_at.FromDatetime(now)
        sent[name] = time.perf_counter()
        log.RecordRun(log_pb.RecordRunRequest(run=run, findings=[finding]), timeout=60)
