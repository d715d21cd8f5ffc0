"""The rows about reconciliation: comparing, and whole cycles over every process that takes part."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from trueup.reconciler.v1 import reconciler_service_pb2 as reconciler_pb
from trueup.reconciler.v1.reconciler_service_pb2_grpc import ReconcilerServiceStub

from reconciler_service.compare import Tolerances, compare
from tests.bench.calls import fill
from tests.bench.machine import Machine, Unusable, client, seed
from tests.bench.reconciler import account
from tests.bench.rows import Pair, Sample
from tests.bench.venue import symbol
from tests.reconciler_samples import booked, held, scope, snapshot
from tests.service_process import ServiceProcess

DESKS, HELD = 100, 1_000  # and positions of each: more desks, not larger ones, make a larger book
_PATIENCE_S = 600.0


@contextmanager
def compare_positions(on: Machine) -> Iterator[Pair]:
    """Seconds for all rows. A thousandth of them differ, as on a bad day."""
    count = on.size.of(100_000, least=1_000)
    names = [f"C{number}" for number in range(count)]
    book = [booked(symbol=name, asset=f"{name}/USD") for name in names]
    positions = [held(symbol=name, asset=f"{name}/USD") for name in names]
    for number in range(0, count, 1_000):
        positions[number] = replace(positions[number], size=positions[number].size * 2)
    seen, tolerances = snapshot(scope(*positions)), Tolerances()

    def ours() -> Sample:
        began = time.perf_counter()
        findings = compare(book, seen, tolerances)
        seconds = time.perf_counter() - began
        if len(findings) != len(range(0, count, 1_000)):
            raise Unusable(f"{len(findings)} findings")
        return Sample(seconds)

    def yardstick() -> Sample:
        began = time.perf_counter()
        made = {position.symbol: position for position in positions}
        seconds = time.perf_counter() - began
        assert len(made) == count
        return Sample(seconds)

    ours()  # the first time pays for memory that later ones find
    yield Pair(ours, yardstick)


@dataclass(frozen=True, slots=True)
class Desks:
    """A book, a venue that agrees with it, and a Reconciler between them."""

    stub: ReconcilerServiceStub
    position: ServiceProcess
    dsn: str
    positions: int

    def cycle_s(self) -> float:
        """Seconds of one whole cycle that finds nothing wrong."""
        began = time.perf_counter()
        request = reconciler_pb.ReconcileRequest()
        done = self.stub.Reconcile(request, timeout=_PATIENCE_S, wait_for_ready=True)
        seconds = time.perf_counter() - began
        runs = (done.run, *done.other_runs)  # desks that are slower than others wait for have runs of their own
        compared, confirmed = sum(run.positions_compared for run in runs), sum(run.confirmed for run in runs)
        # A desk that is slow now and then may be in two of the runs.
        if compared < self.positions or confirmed or any(run.suspected for run in runs):
            bad = [check for run in runs for check in run.checks if check.error][:1]
            raise Unusable(f"compared {compared} of {self.positions}, confirmed {confirmed}: {bad}")
        return seconds


@contextmanager
def reconciled(on: Machine, desks: int, held: int) -> Iterator[Desks]:
    """So many desks with so many positions each. The first cycle is over: it reads what is then kept."""
    with ExitStack() as on_exit:
        dsn = on.database()
        position = on_exit.enter_context(on.position(dsn))
        for desk in range(desks):
            seed(position.address, (fill(symbol(number)) for number in range(held)), account(desk))
        on.settle(dsn)
        venue = on_exit.enter_context(on.module("tests.bench.venue", str(desks), str(held)))
        served = on_exit.enter_context(on.module("tests.bench.reconciler", position.address, venue, str(desks)))
        stub = ReconcilerServiceStub(on_exit.enter_context(client(served)))
        ready = Desks(stub, position, dsn, desks * held)
        for _ in range(2):  # one of its own accord may be under way, and one more when it knows that it is alone
            ready.cycle_s()
        yield ready


@contextmanager
def cycle(on: Machine) -> Iterator[Pair]:
    """Seconds a position: 100 desks of 1 000 positions against one."""
    desks, held = on.size.of(DESKS, least=2), on.size.of(HELD, least=10)
    with reconciled(on, desks, held) as many, reconciled(on, 1, held) as one:

        def small() -> Sample:
            return Sample(statistics.median(one.cycle_s() for _ in range(5)) / one.positions)

        yield Pair(lambda: Sample(many.cycle_s() / many.positions), small)
