"""The scopes ``futures`` and ``perpetuals``: one question, ``/cfm/positions``, whose answer is shared out.

A scope has one product, and which contract is which stands only in the metadata. Read apart they could disagree about
where a contract belongs; so they are read together, and fail together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

from reconciler_service.model import Equity, Outcome, Product, ScopeReading, VenuePosition
from reconciler_service.venues import VenueError
from reconciler_service.venues.coinbase import decode, errors
from reconciler_service.venues.coinbase.catalogue import Catalogue
from reconciler_service.venues.coinbase.client import Client
from reconciler_service.venues.coinbase.memory import Memory
from reconciler_service.venues.coinbase.products import Product as Metadata
from reconciler_service.venues.http import StatusRefused

SCOPES = (("futures", Product.FUTURE), ("perpetuals", Product.PERPETUAL))

Enrolment = Literal["auto", "required"]
Readings = tuple[ScopeReading, ...]


class FuturesReader:
    """Reads the contracts of one portfolio, and remembers enough to doubt the next answer."""

    def __init__(
        self, client: Client, catalogue: Catalogue, enrolment: Enrolment, clock: Callable[[], datetime]
    ) -> None:
        """``enrolment``: with "auto", 403 or 404 from two endpoints means no futures, unless they answered before."""
        self._client = client
        self._catalogue = catalogue
        self._may_be_absent = enrolment == "auto"
        self._clock = clock
        self._memory = Memory()

    async def read(self) -> tuple[Readings, dict[str, Decimal]]:
        """Both scopes and marks. Never raises VenueError."""
        look = self._memory.begin()
        try:
            held = await self._held()
            if held is None:
                return _readings(Outcome.OK, is_absent=True), {}
            known, equity = await self._with_equity(self._known(frozenset(one.product_id for one in held)))
            positions = tuple(decode.contract(one, known.get(one.product_id)) for one in held)
        except VenueError as error:
            return _readings(Outcome.FAILED, error=str(error)), {}
        marks = {one.symbol: one.mark_price for one in positions if one.mark_price is not None}
        # Flat contracts are not listed, so that one of several leaves is no news; all of them at once is.
        gone = len(self._memory.held) if not positions else 0
        if doubt := self._memory.missing(gone, "contracts", look):
            return _readings(Outcome.SUSPECT, positions, doubt, equity), marks
        self._memory.believe(frozenset(one.symbol for one in positions), self._clock())
        return _readings(Outcome.OK, positions, equity=equity), marks

    async def _with_equity(
        self, metadata: Awaitable[Mapping[str, Metadata]]
    ) -> tuple[Mapping[str, Metadata], Equity | None]:
        """The metadata, and what the futures account is worth, asked for at the same time."""
        asking = asyncio.create_task(self._equity())
        try:
            return await metadata, await asking
        finally:
            asking.cancel()

    async def _equity(self) -> Equity | None:
        """A by-product: None where it cannot be had. USD in the spot wallet is not counted, ``/accounts`` has it."""
        try:
            summary = decode.balance_summary(await self._client.get("/cfm/balance_summary", "cfm balance_summary"))
        except VenueError:
            return None
        if summary.futures_usd is None or summary.unrealized_pnl is None:
            return None
        return Equity(summary.futures_usd, summary.unrealized_pnl)

    async def _held(self) -> tuple[decode.ContractPosition, ...] | None:
        """What the account holds; None: it is not enrolled."""
        try:
            answer = await self._client.get("/cfm/positions", "cfm positions")
        except StatusRefused as error:
            if not self._may_mean_absent(error):
                raise
            await self._second_opinion(error)
            return None
        return decode.positions(answer)

    async def _known(self, product_ids: frozenset[str]) -> Mapping[str, Metadata]:
        listed = await self._catalogue.futures(product_ids)
        # A contract that expired is not listed any more, but can be asked for.
        return {**listed, **await self._catalogue.lookup(product_ids - listed.keys())}

    async def _second_opinion(self, first: StatusRefused) -> None:
        """Pass if another futures endpoint says the same. One that answers tells that the first one is broken."""
        try:
            await self._client.get("/cfm/balance_summary", "cfm balance_summary")
        except StatusRefused as error:
            if self._may_mean_absent(error):
                return
            raise
        raise first

    def _may_mean_absent(self, error: StatusRefused) -> bool:
        is_enrolled = self._memory.believed_at is not None  # it answered before
        return (
            self._may_be_absent
            and not is_enrolled
            and errors.means_not_enrolled(error.status, error.content_type, error.body)
        )


def _readings(
    outcome: Outcome,
    positions: tuple[VenuePosition, ...] = (),
    error: str = "",
    equity: Equity | None = None,
    *,
    is_absent: bool = False,
) -> Readings:
    """The equity is that of the one account behind both scopes; it stands in the first, so that it counts once."""
    return tuple(
        ScopeReading(
            scope,
            product,
            "",
            outcome,
            tuple(one for one in positions if one.product is product),
            error,
            equity=equity if scope == SCOPES[0][0] else None,
            is_absent=is_absent,
        )
        for scope, product in SCOPES
    )
