"""``POST /info`` for one address: the only path there is in here, and what asking it weighs."""

from __future__ import annotations

from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.http import HttpSettings, JsonHttp, Request
from reconciler_service.venues.hyperliquid import decode
from reconciler_service.venues.wire import rows

_WEIGHTS = {"clearinghouseState": 2, "spotClearinghouseState": 2, "allMids": 2, "userRole": 60}
_WEIGHT = 20  # of every other type
_ROWS_PER_WEIGHT = 20  # of a history, on top


class Client:
    """One address at one base URL. Safe to use from many tasks of one event loop."""

    def __init__(self, address: str, base_url: str, budget: WeightBudget, http: HttpSettings) -> None:
        """``address`` is in lower case. Raises VenueRefused for a URL that cannot be; no connection is made here."""
        self.address = address
        self._http = JsonHttp(base_url, budget, settings=http)

    @property
    def left(self) -> int:
        """Weight left in the current minute, of what we allow ourselves."""
        return self._http.budget.left

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def public(self, kind: str, dex: str = "") -> object:
        """The answer about the venue, or one dex of it. Raises VenueError."""
        return await self._info(kind, dex=dex) if dex else await self._info(kind)

    async def mine(self, kind: str, dex: str = "") -> object:
        """The answer about our address, on one dex where the type knows them. Raises VenueError."""
        return await self._info(kind, user=self.address, **({"dex": dex} if dex else {}))

    async def history(self, kind: str, start: int, end: int | None) -> list[object]:
        """One page of a history of our address. Times are inclusive milliseconds. Raises VenueError."""
        bounds = {"startTime": start} if end is None else {"startTime": start, "endTime": end}
        page = rows(await self._info(kind, user=self.address, **bounds), kind)
        self._http.budget.charge(-(-len(page) // _ROWS_PER_WEIGHT))
        return page

    async def _info(self, kind: str, **body: object) -> object:
        label = f"hyperliquid {kind}{' of ' + str(body['dex']) if 'dex' in body else ''}"
        request = Request("POST", "/info", label, weight=_WEIGHTS.get(kind, _WEIGHT), body={"type": kind, **body})
        return decode.refuse_error(await self._http.send(request))
