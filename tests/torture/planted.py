"""Bugs that the checkers must catch: each is patched into a process of its own, or undone again in this one.

A checker that finds nothing proves something only if it finds these.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from google.protobuf.message import Message

Patch = Callable[[Any, str, Any], None]


@dataclass(frozen=True)
class Bug:
    """``caught_by`` are the beginnings of the violations that may tell of it; ``needs`` is how the ledger is run."""

    name: str
    make: Callable[[Patch], None]
    caught_by: tuple[str, ...]
    replicas: int = 1
    kills: bool = False  # kill -9 again and again while it runs
    clock: bool = False  # with a clock that jumps
    partial: bool = False  # at a venue that keeps on answering partly
    where: str = "ledger"  # or "fuzz", "soak"

    def plant(self) -> None:
        """For the rest of this process."""
        self.make(setattr)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """For the time of a block."""
        before: list[tuple[Any, str, Any]] = []

        def patch(owner: Any, name: str, value: Any) -> None:
            before.append((owner, name, vars(owner)[name]))
            setattr(owner, name, value)

        try:
            self.make(patch)
            yield
        finally:
            for owner, name, value in reversed(before):
                setattr(owner, name, value)


def ack_before_commit(patch: Patch) -> None:
    from position_service.ledger.committer import Committer

    append = Committer._append

    async def early(self: Committer, batch: Any) -> bool:
        for write, answer in batch.answers:
            if isinstance(answer, Message):
                write.answer(answer)
        await asyncio.sleep(0.01)
        return await append(self, batch)

    patch(Committer, "_append", early)


def revision_from_sequence(patch: Patch) -> None:
    """Numbers are handed out before it is known whether they are used."""
    from position_service.domain.book import Book, Draft

    chance, dense = random.Random(1), Draft.revision.fget  # type: ignore[attr-defined]

    def burnt(self: Draft) -> int:
        if self.events or not isinstance(self.base, Book):
            return int(dense(self))
        lost = getattr(self, "lost", None)
        if lost is None:
            lost = self.lost = chance.random() < 0.1  # type: ignore[attr-defined]
        return int(dense(self)) + lost

    patch(Draft, "revision", property(burnt))


def request_id_forgotten(patch: Patch) -> None:
    from position_service.ledger import statement as sql
    from position_service.ledger.store import Store

    append = Store.append

    async def forgetful(self: Store, old: Any, new: Any, rows: Any) -> bool:
        return await append(self, old, new, {**rows, sql.REQUESTS: []})

    patch(Store, "append", forgetful)


def fills_forgotten(patch: Patch) -> None:
    from position_service.ledger import statement as sql
    from position_service.ledger.store import Store

    append = Store.append

    async def forgetful(self: Store, old: Any, new: Any, rows: Any) -> bool:
        return await append(self, old, new, {**rows, sql.FILLS: []})

    patch(Store, "append", forgetful)


def last_event_dropped(patch: Patch) -> None:
    from position_service.ledger.feed import Feed

    publish, chance = Feed.publish, random.Random(1)

    def dropping(self: Feed, new: list[Any]) -> None:
        if chance.random() < 0.3:
            last = new[-1]
            if len(last.events) > 1:
                new = [*new[:-1], replace(last, events=last.events[:-1])]
            elif len(new) > 1:
                new = [*new[:-2], last]
        publish(self, new)

    patch(Feed, "publish", dropping)


def last_event_repeated(patch: Patch) -> None:
    """The bookmark is taken for the first that is missing, not for the last that came."""
    from position_service.watch import Log

    follow = Log.follow

    def inclusive(self: Log, revision: int, *rest: Any, **more: Any) -> Any:
        return follow(self, max(0, revision - 1), *rest, **more)

    patch(Log, "follow", inclusive)


def events_swapped(patch: Patch) -> None:
    from position_service.ledger.feed import Feed

    publish, chance = Feed.publish, random.Random(1)

    def swapping(self: Feed, new: list[Any]) -> None:
        if len(new) > 1 and chance.random() < 0.3:
            new = [*new[:-2], new[-1], new[-2]]
        publish(self, new)

    patch(Feed, "publish", swapping)


def command_torn(patch: Patch) -> None:
    """Each event of a command is sent by itself, with its own bookmark."""
    from position_service.ledger.feed import Commit, Feed

    publish = Feed.publish

    def tearing(self: Feed, new: list[Any]) -> None:
        publish(self, [Commit(event.revision, (event,)) for commit in new for event in commit.events])

    patch(Feed, "publish", tearing)


def stale_read(patch: Patch) -> None:
    """Reads trust the book without a look at the head."""
    from position_service.ledger.ledger import Ledger

    async def trusting(self: Ledger) -> Any:
        return self.committer.book

    patch(Ledger, "book", trusting)


def float_average(patch: Patch) -> None:
    from position_service.domain import algebra, lifecycle

    add = algebra.add

    def floating(position: Any, size: Decimal, price: Decimal, fee: Any, at: Any) -> Any:
        grown = add(position, size, price, fee, at)
        mean = (float(position.cost) + float(price) * float(size)) / float(grown.size)
        return replace(grown, cost=Decimal(str(round(mean, 15))) * grown.size)

    patch(lifecycle, "add", floating)


def fee_sign(patch: Patch) -> None:
    from position_service.domain import algebra, fills, lifecycle

    charge = algebra.charge

    def rebate(position: Any, fee: Any) -> Any:
        return charge(position, fee._replace(amount=-fee.amount))

    for module in (algebra, fills, lifecycle):
        patch(module, "charge", rebate)


def unscoped_account(patch: Patch) -> None:
    from position_service import reach

    matching = reach.matching

    def anyones(request: Any) -> Callable[[Any], bool]:
        asked = type(request)()
        asked.CopyFrom(request)
        asked.account = ""
        return matching(asked)

    patch(reach, "matching", anyones)


def projection_behind(patch: Patch) -> None:
    """The table is not written for what has been reduced."""
    from position_service.ledger import statement as sql
    from position_service.ledger.store import Store

    append = Store.append

    async def lazy(self: Store, old: Any, new: Any, rows: Any) -> bool:
        kept = [row for row in rows[sql.POSITIONS] if "REDUCED" not in row]
        return await append(self, old, new, {**rows, sql.POSITIONS: kept})

    patch(Store, "append", lazy)


def time_runs_backwards(patch: Patch) -> None:
    from position_service.ledger import committer

    build = committer.build

    def by_the_clock(book: Any, head: Any, writes: Any, clock: Any, ended: Any = ()) -> Any:
        book.time = None
        return build(book, head, writes, clock, ended)

    patch(committer, "build", by_the_clock)


def hash_without_actor(patch: Patch) -> None:
    from position_service.ledger import chain

    link = chain.link

    def partly(previous: bytes, revision: int, commit: int, time: Any, type_: str, *rest: Any) -> bytes:
        account, subject, _, *others = rest
        return link(previous, revision, commit, time, type_, account, subject, "", *others)

    patch(chain, "link", partly)


def expectation_ignored(patch: Patch) -> None:
    from position_service.domain import lifecycle, steps

    target = steps.target

    def anyway(draft: Any, command: Any, move: Any) -> Any:
        return target(draft, replace(command, expected_revision=0), move)

    patch(lifecycle, "target", anyway)


def nan_let_in(patch: Patch) -> None:
    """Numbers are not checked: what Decimal can read is a number."""
    from grpckit import validation

    class Lenient:
        def collect_violations(self, message: Any, **more: Any) -> list[Any]:
            found = validator.collect_violations(message, **more)
            return [one for one in found if "decimal" not in (one.proto.rule_id or "")]

    validator = validation._validator
    patch(validation, "_validator", Lenient())


def partial_scope_flat(patch: Patch) -> None:
    """A scope that could not be read is taken for an empty one."""
    from reconciler_service import cycle
    from reconciler_service.model import Outcome

    compare = cycle.compare

    def trusting(book: Any, snapshot: Any, tolerances: Any) -> Any:
        scopes = tuple(replace(one, outcome=Outcome.OK, error="") for one in snapshot.scopes)
        return compare(book, replace(snapshot, scopes=scopes), tolerances)

    patch(cycle, "compare", trusting)


def one_look_is_enough(patch: Patch) -> None:
    """A finding is a drift at once: a fill in flight is then one."""
    from reconciler_service.confirm import Suspicion

    patch(Suspicion, "is_confirmed", property(lambda _: True))


def stale_compare(patch: Patch) -> None:
    """The venue is compared with the book of the look before, and nobody asks whether it has moved since."""
    from position_service.domain import watching
    from reconciler_service.book import Book

    read = Book.read
    last: dict[int, Any] = {}

    async def late(self: Book) -> Any:
        now = await read(self)
        before, last[id(self)] = last.get(id(self), now), now
        return replace(before, read_at=now.read_at)

    patch(Book, "read", late)
    patch(watching, "_still_true", lambda *_: True)


_BUGS = (
    Bug("ack_before_commit", ack_before_commit, ("lost", "real time", "refusal", "read"), kills=True),
    Bug("revision_from_sequence", revision_from_sequence, ("dense", "replay", "alive", "read")),
    Bug("request_id_forgotten", request_id_forgotten, ("forgotten", "twice")),
    Bug("fills_forgotten", fills_forgotten, ("replay",)),
    Bug("last_event_dropped", last_event_dropped, ("reliable", "bookmarkable", "alive")),
    Bug("last_event_repeated", last_event_repeated, ("unique", "resumable")),
    Bug("events_swapped", events_swapped, ("ordered", "reliable", "bookmarkable", "alive")),
    Bug("command_torn", command_torn, ("atomic",)),
    Bug("stale_read", stale_read, ("real time", "read", "stale mark", "refusal"), replicas=2),
    Bug("float_average", float_average, ("replay", "read")),
    Bug("fee_sign", fee_sign, ("replay", "read")),
    Bug("unscoped_account", unscoped_account, ("reliable", "read", "resumable")),
    Bug("projection_behind", projection_behind, ("projection",)),
    Bug("time_runs_backwards", time_runs_backwards, ("time",), clock=True),
    Bug("hash_without_actor", hash_without_actor, ("chain",)),
    Bug("expectation_ignored", expectation_ignored, ("replay",)),
    Bug("nan_let_in", nan_let_in, ("fuzz",), where="fuzz"),
    Bug("partial_scope_flat", partial_scope_flat, ("false",), partial=True, where="soak"),
    Bug("one_look_is_enough", one_look_is_enough, ("false",), where="soak"),
    Bug("stale_compare", stale_compare, ("false",), where="soak"),
)
BUGS = {bug.name: bug for bug in _BUGS}
