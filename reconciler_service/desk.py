"""One account at one venue: the adapter, and what the Reconciler remembers of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from reconciler_service.confirm import Memory
from reconciler_service.findings import Explanation, Key
from reconciler_service.health import Health, after
from reconciler_service.model import Outcome, Product, ScopeReading, Snapshot, VenuePosition
from reconciler_service.pace import Pace
from reconciler_service.trust import Answer
from reconciler_service.venues import Venue, VenueError, VenueRefused, Watch

PROMPT_S = 3.0  # for one look of a desk that others wait for
# More for each that is looked at with it: they share one processor, which a thousand positions keep busy for about as long.
TURN_S = 0.05

_log = structlog.get_logger("reconciler")


def prompt_s(together: int) -> float:
    """How long one of so many desks may take, seconds, so that the others wait for it."""
    return PROMPT_S + TURN_S * together


@dataclass(slots=True, eq=False)
class Desk:
    """Mutable, owned by who has its turn. All of it may be lost: the next looks bring it back."""

    venue: Venue
    health: Health
    watch: Watch | None = None
    pace: Pace = field(default_factory=Pace)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one at a time: a cycle, or a correction of what it found
    is_slow: bool = False  # the last read took longer than others wait for
    is_checked: bool = False  # the address or key was found good
    memory: Memory = field(default_factory=Memory)
    answers: dict[str, Answer] = field(default_factory=dict)
    book_revision: int = 0  # of the last look
    explained: dict[Key, tuple[object, Explanation]] = field(default_factory=dict)
    asked: dict[Key, datetime] = field(default_factory=dict)  # when fills were read about a finding
    searched: dict[Key, datetime] = field(default_factory=dict)  # when all fills were read about a finding
    notes: dict[Key, str] = field(default_factory=dict)  # what a policy could not do about a finding, and why
    scopes: tuple[ScopeReading, ...] = (ScopeReading("", Product.PERPETUAL, "", Outcome.FAILED),)  # last known
    kept: set[Product] = field(default_factory=set)  # what the book has been seen to keep here
    never_kept: set[str] = field(default_factory=set)  # symbols held in optional scopes that the book was asked about
    reads: dict[str, tuple[ScopeReading, Snapshot]] = field(default_factory=dict)  # each scope's last good one

    @property
    def account(self) -> str:
        return self.health.account

    async def snapshot(self, timeout_s: float, clock: Callable[[], datetime], together: int = 1) -> Snapshot:
        """Read the venue. Never raises: what goes wrong is a snapshot of failed scopes that says so.

        ``together`` is how many are read with this one, and itself.
        """
        requested_at, began = clock(), asyncio.get_running_loop().time()
        snapshot = await self._read(timeout_s, requested_at)
        # Who runs into its own time limit is slow, however short that is.
        self.is_slow = asyncio.get_running_loop().time() - began >= min(prompt_s(together), timeout_s)
        return snapshot

    async def _read(self, timeout_s: float, requested_at: datetime) -> Snapshot:
        try:
            async with asyncio.timeout(timeout_s):
                if not self.is_checked:
                    await self.venue.check()
                    self.is_checked = True
                snapshot = await self.venue.snapshot()
        except TimeoutError:
            return self._failed(requested_at, f"no answer within {timeout_s:g} s")
        except VenueError as error:
            self.is_checked = self.is_checked and not isinstance(error, VenueRefused)
            return self._failed(requested_at, str(error))
        except Exception:  # noqa: BLE001 - one adapter's defect must not stop the other venues
            _log.exception("venue adapter failed", venue=self.venue.name, account=self.venue.account)
            return self._failed(requested_at, "internal error, see the log")
        return snapshot

    def undecided(self, snapshot: Snapshot) -> list[tuple[str, Product]]:
        """What the venue holds in scopes that are not compared as far as is known, and nobody asked the book about."""
        return [
            (held.symbol, held.product)
            for scope in snapshot.scopes
            if scope.if_booked and scope.product not in self.kept
            for held in scope.positions
            if held.symbol not in self.never_kept
        ]

    def narrowed(self, snapshot: Snapshot, booked: Iterable[Product | None]) -> Snapshot:
        """The snapshot with its optional scopes decided: one is compared once the book kept positions of its product.

        From then on for good, or what the book closed while the venue holds it would go unseen. ``booked`` are the
        products of the book's positions, open cases, and of what it has closed of ``undecided``.
        """
        self.kept.update(product for product in booked if product is not None)
        scopes = (replace(one, if_booked=one.if_booked and one.product not in self.kept) for one in snapshot.scopes)
        return replace(snapshot, scopes=tuple(scopes))

    def saw(self, snapshot: Snapshot) -> None:
        """Take a weighed snapshot into the venue's health and holdings."""
        self.health = after(self.health, snapshot, self.venue.budget_left)
        self.scopes = self.narrowed(snapshot, ()).scopes
        good = {scope.scope: (scope, snapshot) for scope in self.scopes if scope.outcome is Outcome.OK}
        # A scope that is gone is forgotten with the first complete read without it.
        self.reads = good if len(good) == len(self.scopes) else {**self.reads, **good}

    @property
    def holdings(self) -> dict[str, tuple[VenuePosition, ...]]:
        """What was held, by scope, when it was read completely last."""
        return {name: scope.positions for name, (scope, _) in self.reads.items()}

    @property
    def status(self) -> Health:
        """The health, with what lives by itself: the budget and the push."""
        push = self.health.push if self.watch is None else self.watch.state
        unchecked = "" if self.venue.tells_flows else f"{self.venue.name} does not tell what moves its balances"
        return replace(self.health, budget_left=self.venue.budget_left, push=push, equity_unchecked=unchecked)

    def _failed(self, requested_at: datetime, error: str) -> Snapshot:
        scopes = tuple(replace(scope, outcome=Outcome.FAILED, positions=(), error=error) for scope in self.scopes)
        return Snapshot(self.venue.name, self.venue.account, self.venue.source, requested_at, scopes)
