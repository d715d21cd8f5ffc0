"""Runs cycles: at the start, every interval, on request, when a venue pushes. Never two of one desk at once, never dies.

Desks are looked at together, in one cycle and one run, as long as all answer in time. One that does not is left
behind: the others go on without it, and it has a cycle and a run of its own, with all the time it may take, until it
answers in time again. So a venue that hangs costs the others a moment once, and then nothing.

While another Reconciler is the active one, only what is requested is run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc
import structlog

from grpckit.errors import RpcError
from reconciler_service.cycle import Cycle, Result
from reconciler_service.desk import PROMPT_S, Desk
from reconciler_service.health import Health, State
from reconciler_service.model import Source
from reconciler_service.overview import Holdings, Overview, overview
from reconciler_service.turns import Turn, look

RETRY_S = 5.0  # after a cycle that failed, if the interval is longer

_log = structlog.get_logger("reconciler")


@dataclass(frozen=True, slots=True)
class Order:
    """What to reconcile: every venue and account unless named. Equal orders share a cycle."""

    venues: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    dry_run: bool = False

    def covers(self, desk: Desk) -> bool:
        """Whether the order is about this desk."""
        return (not self.venues or desk.health.venue in self.venues) and (
            not self.accounts or desk.health.account in self.accounts
        )


class Runner:
    """Owns the desks. ``unconfigured`` are venues that have no credentials: known, and never read.

    ``is_active`` says whether cycles of its own accord are this process's to run. ``grow`` is asked before each cycle
    for desks that were not known before; what goes wrong there is logged.
    """

    def __init__(
        self,
        cycle: Cycle,
        desks: Sequence[Desk],
        unconfigured: Sequence[Health],
        interval_s: float,
        is_active: Callable[[], bool] = lambda: True,
        grow: Callable[[], Awaitable[Sequence[Desk]]] | None = None,
    ) -> None:
        self.interval_s = interval_s
        self.last: Result | None = None
        self.then: Callable[[Result], Awaitable[Result]] | None = None  # what follows a cycle, outside of its turn
        self._cycle = cycle
        self._desks = tuple(desks)
        self._unconfigured = tuple(unconfigured)
        self._orders: dict[Order, asyncio.Future[Result]] = {}  # those that no look has begun for
        self._new_orders: list[Order] = []
        self._under_way: set[tuple[Desk, bool]] = set()  # looks of its own accord: at which desk, and is it for a push
        self._tasks: set[asyncio.Task[None]] = set()
        self._discovering: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._due = 0.0
        self._is_start_due = True
        self._is_over = False
        self._is_active = is_active
        self._grow = grow
        self._measure(self._desks)

    @property
    def desks(self) -> Sequence[Desk]:
        """Every account that is read."""
        return self._desks

    @property
    def venues(self) -> list[Health]:
        """How every venue is doing, the unconfigured ones too."""
        return [desk.status for desk in self._desks] + list(self._unconfigured)

    @property
    def source(self) -> Source | None:
        """Simulated or live; None when there are both, or nothing."""
        sources = {desk.health.source for desk in self._desks}
        return sources.pop() if len(sources) == 1 else None

    @property
    def overview(self) -> Overview:
        """What the venues hold, from the last good read of each scope."""
        return overview(
            Holdings(
                desk.health.venue, desk.health.last_ok_at, tuple(p for held in desk.holdings.values() for p in held)
            )
            for desk in self._desks
        )

    @property
    def suspected(self) -> int:
        """Findings that are not confirmed yet."""
        findings = [one for desk in self._desks for one in desk.memory.suspicions.values()]
        return sum(not one.is_confirmed for one in findings) + self._cycle.suspected_shares

    async def reconcile(self, order: Order) -> Result:
        """Run a cycle now, or share the next one when one is running.

        Raises RpcError(VENUE_UNCONFIGURED) when a venue that is named, or everything, has no credentials,
        RpcError(DRAINING), and what the cycle raises.
        """
        self._refuse(order)
        if self._is_over:
            raise _draining()
        future = self._orders.get(order)
        if future is None:
            future = self._orders[order] = asyncio.get_running_loop().create_future()
            self._new_orders.append(order)
            self._wake.set()
        return await asyncio.shield(future)  # one caller who leaves must not cancel it for the others

    def desk(self, venue: str, account: str) -> Desk:
        """The desk of one account at one venue. Raises RpcError(VENUE_UNCONFIGURED)."""
        order = Order(frozenset({venue}), frozenset({account}))
        self._refuse(order)
        return next(desk for desk in self._desks if order.covers(desk))

    def push(self, desk: Desk) -> None:
        """Run a cycle of one desk at once: its venue says that something changed. Many pushes wait for one cycle.

        While another Reconciler is the active one, it is that one's to look.
        """
        if self._is_active():
            desk.pace.push(_now())
            self._wake.set()

    def activate(self) -> None:
        """Run a cycle soon: this process has become the active one."""
        self._is_start_due = True
        self._wake.set()

    async def serve(self, stop: asyncio.Event) -> None:
        """Run cycles until ``stop``, and let those under way end. Callers who still wait get UNAVAILABLE/DRAINING."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                self._begin_all()
                self._begin_orders()
                self._begin_pushed()
                wake = asyncio.create_task(self._wake.wait())
                await asyncio.wait({wake, stopping}, timeout=self._idle_s(), return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
            self._refuse_waiting()
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            stopping.cancel()
            tasks = [*self._tasks, *([self._discovering] if self._discovering else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._refuse_waiting()

    def _idle_s(self) -> float:
        """Seconds until there is something to do of its own accord."""
        until_push = min((_wait_s(desk) for desk in self._quiet), default=math.inf)
        return max(0.0, min(self._due - _now(), until_push))

    @property
    def _quiet(self) -> list[Desk]:
        """The desks that a push may begin a cycle of: none is under way that will answer it."""
        if not self._is_active():
            return []
        return [desk for desk in self._desks if not {(desk, True), (desk, False)} & self._under_way]

    def _begin_all(self) -> None:
        if not self._is_start_due and _now() < self._due:
            return
        trigger = "start" if self._is_start_due else "interval"
        self._is_start_due, self._due = False, _now() + self.interval_s
        if self._is_active():
            self._spawn(self._all(trigger))

    def _begin_orders(self) -> None:
        orders, self._new_orders = self._new_orders, []
        for order in orders:
            self._spawn(self._ordered(order, self._orders[order]))

    def _begin_pushed(self) -> None:
        if pushed := [desk for desk in self._quiet if _wait_s(desk) <= 0]:
            for desk in pushed:
                desk.pace.answer(_now(), to_push=True)
            self._spawn(self._own(pushed, "push"))

    async def _all(self, trigger: str) -> None:
        await self._discover()
        # What an earlier one has not come to the end of is not begun once more.
        await self._own([desk for desk in self._desks if (desk, False) not in self._under_way], trigger)

    async def _own(self, desks: Sequence[Desk], trigger: str) -> None:
        """Look of its own accord. Never raises: whatever goes wrong, the next look may do better."""
        is_push = trigger == "push"
        self._under_way |= {(desk, is_push) for desk in desks}

        def ended(over: Sequence[Desk], has_failed: bool) -> None:
            self._under_way -= {(desk, is_push) for desk in over}
            if has_failed:
                self._due = min(self._due, _now() + RETRY_S)
            self._wake.set()

        try:
            await self._look(desks, Turn(trigger, on_end=ended))
        except Exception as error:  # noqa: BLE001 - see above
            _log_failed(error, trigger)
        finally:
            ended(desks, False)

    async def _ordered(self, order: Order, future: asyncio.Future[Result]) -> None:
        def begun() -> None:
            if self._orders.get(order) is future:
                del self._orders[order]  # who asks from now on may have come too late for this look

        try:
            await self._discover()
            desks = [desk for desk in self._desks if order.covers(desk)]
            first, *others = await self._look(desks, Turn("request", order.dry_run, on_begin=begun))
            if not future.done():
                future.set_result(replace(first, others=tuple(others)))
        except asyncio.CancelledError:
            _tell(future, _draining())
            raise
        except Exception as error:  # noqa: BLE001 - it is the callers' to raise
            _log_failed(error, "request")
            _tell(future, error)
        finally:
            begun()

    async def _look(self, desks: Sequence[Desk], turn: Turn) -> list[Result]:
        return await look(self._cycle, desks, turn, self._afterwards)

    async def _afterwards(self, result: Result) -> Result:
        self.last = result
        if self.then is not None:
            self.last = result = await self.then(result)
        return result

    async def _discover(self) -> None:
        """Look for more accounts, and go on without them when that takes its time: they join a later cycle."""
        if self._grow is None:
            return
        if self._discovering is None or self._discovering.done():
            self._discovering = asyncio.create_task(self._join())
        await asyncio.wait({self._discovering}, timeout=PROMPT_S)

    async def _join(self) -> None:
        assert self._grow is not None
        try:
            found = tuple(await self._grow())
        except Exception:  # noqa: BLE001 - the desks that are known do not depend on it
            _log.exception("looking for more accounts failed")
            return
        self._measure(found)
        self._desks += found

    @staticmethod
    def _measure(desks: Sequence[Desk]) -> None:
        for desk in desks:
            desk.pace.full = desk.venue.budget_left

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, order: Order) -> None:
        configured = {desk.health.venue for desk in self._desks}
        absent = order.venues - configured
        if not absent and any(order.covers(desk) for desk in self._desks):
            return
        names = sorted(absent or order.venues or {health.venue for health in self._unconfigured})
        venue = ", ".join(names) or "any venue"
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "VENUE_UNCONFIGURED",
            f"{venue} is not configured: set its credentials, or VENUES=simulated",
            {"venue": ",".join(names)},
        )

    def _refuse_waiting(self) -> None:
        self._is_over = True
        orders, self._orders = self._orders, {}
        for future in orders.values():
            _tell(future, _draining())


def _wait_s(desk: Desk) -> float:
    """Seconds until a push of the desk's venue may start a cycle; infinite when there was none."""
    return desk.pace.wait_s(desk.venue.budget_left, _now())


def _now() -> float:
    return asyncio.get_running_loop().time()


def _tell(future: asyncio.Future[Result], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # it is the callers' to raise, and they may have left


def _log_failed(error: Exception, trigger: str) -> None:
    if isinstance(error, grpc.aio.AioRpcError):
        _log.warning("cycle failed", trigger=trigger, code=error.code().name, detail=error.details())
    else:
        _log.error("cycle failed", trigger=trigger, exc_info=error)


def _draining() -> RpcError:
    return RpcError(grpc.StatusCode.UNAVAILABLE, "DRAINING", "the server is shutting down", retry_after_s=1.0)


def unconfigured(venue: str, account: str, source: Source, why: str) -> Health:
    """The health of a venue that has no credentials."""
    return Health(account, venue, source, State.UNCONFIGURED, last_error=why, equity_unchecked="not configured")
