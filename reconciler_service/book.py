"""The Position service as the Reconciler sees it: positions to read, a log of runs and drifts to write.

Nothing is ever written around it. Errors are grpc.aio.AioRpcError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import grpc
import stamina
from trueup.position.v1 import (
    position_pb2,
    position_service_pb2,
    position_service_pb2_grpc,
    reconciliation_log_service_pb2,
    reconciliation_log_service_pb2_grpc,
)
from trueup.position.v1.position_pb2 import PositionEvent
from trueup.types.v1 import drift_pb2

from grpckit.caller import on_behalf
from grpckit.errors import from_rpc
from reconciler_service import convert
from reconciler_service.convert_correct import Correction
from reconciler_service.findings import OpenCase
from reconciler_service.model import BookPosition
from reconciler_service.since import Step

PAGE = 1_000  # the most the contract allows
RUNS = 50  # of some kilobytes each
MARKS = 5_000  # a request, of liquidation prices too; the contract allows 10 000, a message 4 MiB
READ_S = 10.0
WRITE_S = 30.0
ACTOR = "reconciler"  # who confirms and ends cases; what people and policies do bears their names

_FINAL = (position_pb2.POSITION_STATUS_CLOSED, position_pb2.POSITION_STATUS_LIQUIDATED)
# After these the run may or may not have been recorded: repeat it with its run_id until that is known.
_UNKNOWN = frozenset({
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
})  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """The live positions. Every position is as it was at ``revision`` or later, and before the next step was taken.

    Pages are read one after the other, so two positions may be of different revisions. That is enough: positions are
    compared one by one, and a drift needs two readings in which that position's own revision is the same.
    """

    revision: int
    read_at: datetime
    positions: tuple[BookPosition, ...]

    def of(self, account: str, venue: str) -> Mapping[str, BookPosition]:
        """One desk's positions, by symbol."""
        return self._by_desk.get((account, venue), {})

    @cached_property
    def _by_desk(self) -> dict[tuple[str, str], dict[str, BookPosition]]:
        """Sorted out once: every desk going through all of them would take the square of their number."""
        found: dict[tuple[str, str], dict[str, BookPosition]] = {}
        for held in self.positions:
            found.setdefault((held.account, held.venue), {})[held.symbol] = held
        return found


class Corrected(NamedTuple):
    """The revision of the position after a command, 0 when nothing changed, and how many of its fills were known."""

    revision: int
    known: int = 0


class Book:
    """Reads and writes the Position service over a channel, which stays the caller's."""

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._positions = position_service_pb2_grpc.PositionServiceStub(channel)
        self.log = reconciliation_log_service_pb2_grpc.ReconciliationLogServiceStub(channel)
        self._clock = clock

    async def read(self) -> Reading:
        """Read every live position of every account and venue."""
        read_at, revision, positions = self._clock(), 0, []
        request = position_service_pb2.ListPositionsRequest(page_size=PAGE)
        while True:
            page = await self._positions.ListPositions(request, timeout=READ_S)
            revision = revision or page.revision
            positions += [held for sent in page.positions if (held := convert.book_position(sent)) is not None]
            if not page.next_page_token:
                return Reading(revision, read_at, tuple(positions))
            request.page_token = page.next_page_token

    async def held(self, account: str, venue: str, symbol: str) -> BookPosition | None:
        """Read the live position of one instrument; None when there is none."""
        request = position_service_pb2.ListPositionsRequest(account=account, venue=venue, symbol=symbol, page_size=1)
        page = await self._positions.ListPositions(request, timeout=READ_S)
        return convert.book_position(page.positions[0]) if page.positions else None

    async def open_cases(self) -> list[OpenCase]:
        """Read every open drift case of the kinds that snapshots can show."""
        return [case for sent in await self.open_drifts() if (case := convert.open_case(sent)) is not None]

    async def open_drifts(self, *kinds: drift_pb2.DriftKind) -> list[drift_pb2.Drift]:
        """Read every open drift case of some kinds, by default of all."""
        drifts: list[drift_pb2.Drift] = []
        request = reconciliation_log_service_pb2.ListDriftsRequest(page_size=PAGE, kinds=kinds)
        while True:
            page = await self.log.ListDrifts(request, timeout=READ_S)
            drifts += page.drifts
            if not page.next_page_token:
                return drifts
            request.page_token = page.next_page_token

    async def has_kept(self, account: str, venue: str, symbol: str) -> bool:
        """Whether there ever was a position of the instrument that has ended."""
        request = position_service_pb2.ListPositionsRequest(
            account=account, venue=venue, symbol=symbol, statuses=_FINAL, page_size=1
        )
        return bool((await self._positions.ListPositions(request, timeout=READ_S)).positions)

    async def touched(self, account: str, venue: str, after_revision: int) -> set[str]:
        """The symbols of which the book changed after a revision, live ones or not."""
        return {step.symbol for step in await self.steps(account, venue, after_revision)}

    async def steps(self, account: str, venue: str, after_revision: int) -> list[Step]:
        """What the book did about the instruments of a desk after a revision, in its order."""
        request = position_service_pb2.ListPositionHistoryRequest(
            account=account, venue=venue, after_revision=after_revision
        )
        return [convert.step(event) for event in await self.history(request)]

    async def history(self, request: position_service_pb2.ListPositionHistoryRequest) -> list[PositionEvent]:
        """Read every event that matches, whatever its page."""
        request.page_size = PAGE
        events: list[PositionEvent] = []
        while True:
            page = await self._positions.ListPositionHistory(request, timeout=READ_S)
            events += page.events
            if not page.next_page_token:
                return events
            request.page_token = page.next_page_token

    async def newest_runs(self, most: int) -> AsyncIterator[drift_pb2.Run]:
        """The runs, newest first, as far as they are asked for."""
        request = reconciliation_log_service_pb2.ListRunsRequest(page_size=RUNS)
        for _ in range(0, most, RUNS):
            page = await self.log.ListRuns(request, timeout=READ_S)
            for run in page.runs:
                yield run
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def correct(self, request: Correction, actor: str = "") -> Corrected:
        """Carry out one command of a correction, for ``actor`` or who makes the current call.

        Its request_id makes repetitions harmless. Gives up with the error of the last attempt.
        """
        call: Any = getattr(self._positions, type(request).__name__.removesuffix("Request"))
        async for attempt in stamina.retry_context(on=_is_unknown, attempts=5, timeout=WRITE_S, wait_initial=0.1):
            with attempt:
                answer = await call(request, timeout=WRITE_S, metadata=on_behalf(actor))
        if isinstance(request, position_service_pb2.RecordFillsRequest):
            return Corrected(max((one.revision for one in answer.positions), default=0), answer.duplicates)
        return Corrected(answer.position.revision)

    async def move(
        self, request: reconciliation_log_service_pb2.TransitionDriftRequest, actor: str = ""
    ) -> reconciliation_log_service_pb2.TransitionDriftResponse:
        """Move a case, for ``actor`` or who makes the current call."""
        answer: reconciliation_log_service_pb2.TransitionDriftResponse = await self.log.TransitionDrift(
            request, timeout=WRITE_S, metadata=on_behalf(actor)
        )
        return answer

    async def push_marks(self, prices: Sequence[position_service_pb2.PriceUpdate]) -> None:
        """Store mark prices; the newest observation of an instrument wins."""
        for start in range(0, len(prices), MARKS):
            request = position_service_pb2.UpdatePricesRequest(prices=prices[start : start + MARKS])
            await self._positions.UpdatePrices(request, timeout=WRITE_S)

    async def push_liquidation_prices(
        self, request: reconciliation_log_service_pb2.RecordLiquidationPricesRequest
    ) -> None:
        """Store what a venue says of an account's holdings; the newest observation of a position wins."""
        for start in range(0, len(request.holdings), MARKS):
            part = reconciliation_log_service_pb2.RecordLiquidationPricesRequest(
                account=request.account, venue=request.venue, observed_at=request.observed_at
            )
            part.holdings.extend(request.holdings[start : start + MARKS])
            await self.log.RecordLiquidationPrices(part, timeout=WRITE_S, metadata=on_behalf(ACTOR))

    async def record(
        self, run: drift_pb2.Run, findings: Sequence[drift_pb2.Drift], resolved: Sequence[str]
    ) -> reconciliation_log_service_pb2.RecordRunResponse:
        """Record a run, once, however often it takes. Waits for as long as the Position service does not answer."""
        request = reconciliation_log_service_pb2.RecordRunRequest(
            run=run, findings=findings, resolved_drift_ids=resolved
        )
        async for attempt in stamina.retry_context(
            on=_is_unknown, attempts=None, timeout=None, wait_initial=0.1, wait_max=5.0
        ):
            with attempt:
                answer = await self.log.RecordRun(request, timeout=WRITE_S, metadata=on_behalf(ACTOR))
        return answer


def _is_unknown(error: Exception) -> bool:
    """Overload passes; another exhausted resource is the message itself, which is as large the next time."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return False
    return error.code() in _UNKNOWN or from_rpc(error).reason == "OVERLOADED"
