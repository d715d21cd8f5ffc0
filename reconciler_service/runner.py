"""Runs cycles: at the start, every interval, on request, when a venue pushes. Never two at once, never dies.

While another Reconciler is the active one, only what is requested is run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import grpc
import structlog

from grpckit.errors import RpcError
from reconciler_service.cycle import Cycle, Result
from reconciler_service.desk import Desk
from reconciler_service.health import Health, State
from reconciler_service.model import Source
from reconciler_service.overview import Holdings, Overview, overview

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
        self.turn = asyncio.Lock()  # one at a time: a cycle, or a correction of what cycles found
        self.then: Callable[[Result], Awaitable[Result]] | None = None  # what follows a cycle, outside of its turn
        self._cycle = cycle
        self._desks = tuple(desks)
        self._unconfigured = tuple(unconfigured)
        self._orders: dict[Order, asyncio.Future[Result]] = {}
        self._wake = asyncio.Event()
        self._is_start_due = False
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
    def size_steps(self) -> dict[tuple[str, str, str], Decimal]:
        """The venues' smallest size changes, by account, venue and symbol, of what they hold."""
        return {
            (desk.health.account, desk.health.venue, one.symbol): one.size_step
            for desk in self._desks
            for held in desk.holdings.values()
            for one in held
            if one.size_step
        }

    @property
    def suspected(self) -> int:
        """Findings that are not confirmed yet."""
        findings = [one for desk in self._desks for one in desk.memory.suspicions.values()]
        return sum(not one.is_confirmed for one in findings) + self._cycle.suspected_shares

    async def reconcile(self, order: Order) -> Result:
        """Run a cycle now, or share the next one when one is running.

        Raises RpcError(VENUE_UNCONFIGURED) when a venue that is named, or everything, has no credentials, and what the
        cycle raises.
        """
        self._refuse(order)
        future = self._orders.get(order)
        if future is None:
            future = self._orders[order] = asyncio.get_running_loop().create_future()
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
            desk.pace.push(asyncio.get_running_loop().time())
            self._wake.set()

    def activate(self) -> None:
        """Run a cycle soon: this process has become the active one."""
        self._is_start_due = True
        self._wake.set()

    async def serve(self, stop: asyncio.Event) -> None:
        """Run cycles until ``stop``. Callers who still wait get UNAVAILABLE/DRAINING."""
        trigger, due, now = "start", 0.0, asyncio.get_running_loop().time
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if trigger == "start":
                    self._is_start_due = False  # this is it
                if trigger == "push":
                    pushed = [desk for desk in self._desks if _wait_s(desk, now()) <= 0]
                    is_done = await self._run(pushed, trigger)
                    due = due if is_done else min(due, now() + RETRY_S)
                elif trigger != "request":
                    is_done = not self._is_active() or await self._run_all(trigger)
                    due = now() + (self.interval_s if is_done else min(self.interval_s, RETRY_S))
                await self._serve_orders()
                trigger = await self._next(stopping, due)
        finally:
            stopping.cancel()
            self._refuse_waiting()

    async def _next(self, stopping: asyncio.Task[bool], due: float) -> str:
        """Wait for something to do, and say what. Orders and pushes may have come during the last cycle."""
        now = asyncio.get_running_loop().time
        while not stopping.done():
            self._wake.clear()
            if self._is_start_due:
                return "start"
            if now() >= due:
                return "interval"  # neither orders nor pushes keep it from its turn
            if self._orders:
                return "request"
            until_push = min((_wait_s(desk, now()) for desk in self._desks if self._is_active()), default=math.inf)
            if until_push <= 0:
                return "push"
            wake = asyncio.create_task(self._wake.wait())
            timeout = min(max(0.0, due - now()), until_push)
            await asyncio.wait({wake, stopping}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            wake.cancel()
        return "stop"

    async def _serve_orders(self) -> None:
        if self._orders:
            await self._discover()
        orders, self._orders = self._orders, {}
        for order, future in orders.items():
            desks = [desk for desk in self._desks if order.covers(desk)]
            await self._run(desks, "request", future, dry_run=order.dry_run)

    async def _run_all(self, trigger: str) -> bool:
        await self._discover()
        return await self._run(self._desks, trigger)

    async def _run(
        self,
        desks: Sequence[Desk],
        trigger: str,
        waiting: asyncio.Future[Result] | None = None,
        *,
        dry_run: bool = False,
    ) -> bool:
        if not desks:
            return True
        try:
            result = await self._reconcile(desks, trigger, dry_run=dry_run)
        except asyncio.CancelledError:
            if waiting is not None and not waiting.done():
                waiting.set_exception(_draining())
                waiting.exception()
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the next cycle may do better
            if isinstance(error, grpc.aio.AioRpcError):
                _log.warning("cycle failed", trigger=trigger, code=error.code().name, detail=error.details())
            else:
                _log.exception("cycle failed", trigger=trigger)
            if waiting is not None:
                waiting.set_exception(error)
                waiting.exception()  # it is the callers' to raise, and they may have left
            return False
        if not dry_run:
            self.last = result
        if waiting is not None:
            waiting.set_result(result)
        return True

    async def _discover(self) -> None:
        try:
            found = tuple(await self._grow()) if self._grow is not None else ()
        except Exception:  # noqa: BLE001 - the desks that are known do not depend on it
            _log.exception("looking for more accounts failed")
            return
        self._measure(found)
        self._desks += found

    @staticmethod
    def _measure(desks: Sequence[Desk]) -> None:
        for desk in desks:
            desk.pace.full = desk.venue.budget_left

    async def _reconcile(self, desks: Sequence[Desk], trigger: str, *, dry_run: bool) -> Result:
        async with self.turn:
            for desk in desks if not dry_run else ():
                desk.pace.answer(asyncio.get_running_loop().time(), to_push=trigger == "push")
            result = await self._cycle.run(desks, trigger, dry_run=dry_run)
        return result if self.then is None or dry_run else await self.then(result)

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
        orders, self._orders = self._orders, {}
        for future in orders.values():
            future.set_exception(_draining())
            future.exception()


def _wait_s(desk: Desk, now: float) -> float:
    """Seconds until a push of the desk's venue may start a cycle; infinite when there was none."""
    return desk.pace.wait_s(desk.venue.budget_left, now)


def _draining() -> RpcError:
    return RpcError(grpc.StatusCode.UNAVAILABLE, "DRAINING", "the server is shutting down", retry_after_s=1.0)


def unconfigured(venue: str, account: str, source: Source, why: str) -> Health:
    """The health of a venue that has no credentials."""
    return Health(account, venue, source, State.UNCONFIGURED, last_error=why)
