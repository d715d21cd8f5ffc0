"""The six words of a watch, a validator each, against the log.

ordered       revisions only rise, of events and of messages
unique        no event comes twice, however often the client reconnects
reliable      of what matches, nothing is missing before the bookmark; what comes is what the log says
atomic        what one command did comes together; the bookmark never stands within it
resumable     a stream that resumes after a revision goes on right there
bookmarkable  what a message's revision says has been delivered has been, and nothing later has
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from tests.torture.history import Connection, Watched


class Logged:
    """The position events of the log: revisions, their commands' ends, accounts, digests."""

    def __init__(self) -> None:
        self.revisions: list[int] = []
        self.commits: list[int] = []
        self.accounts: list[str] = []
        self.digests: list[int] = []
        self._matching: dict[str, list[int]] = {}

    def add(self, revision: int, commit: int, account: str, digest: int) -> None:
        self.revisions.append(revision)
        self.commits.append(commit)
        self.accounts.append(account)
        self.digests.append(digest)

    def place(self, revision: int) -> int:
        """Where an event is; -1 when there is none with the revision."""
        at = bisect_left(self.revisions, revision)
        return at if at < len(self.revisions) and self.revisions[at] == revision else -1

    def matching(self, account: str) -> list[int]:
        """The revisions that pass a filter."""
        if account not in self._matching:
            pairs = zip(self.revisions, self.accounts, strict=True)
            self._matching[account] = [revision for revision, owner in pairs if account in ("", owner)]
        return self._matching[account]

    def between(self, account: str, after: int, until: int) -> list[int]:
        """Those of them after one revision, up to another."""
        found = self.matching(account)
        return found[bisect_right(found, after) : bisect_right(found, until)]


Validator = Callable[[Watched, Logged], Iterator[str]]


def ordered(watched: Watched, logged: Logged) -> Iterator[str]:
    for one in watched.connections:
        for before, after in pairwise(one.events):
            if after < before:
                yield f"event {after} came after {before}"
        for before, after in pairwise(one.revisions):
            if after < before:
                yield f"bookmark {after} came after {before}"


def unique(watched: Watched, logged: Logged) -> Iterator[str]:
    """Events of a part whose bookmark did not arrive come again when the stream breaks: they were not bookmarked."""
    seen: set[int] = set()
    for one in watched.connections:
        for revision, events in messages(one):
            for event in events:
                if event in seen:
                    yield f"event {event} came twice"
            seen.update(event for event in events if event <= revision)
        for before, after in pairwise(one.events):
            if before == after:
                yield f"event {after} came twice"


def reliable(watched: Watched, logged: Logged) -> Iterator[str]:
    for one in watched.connections:
        until = one.revisions[-1] if one.revisions else one.after
        for missing in set(logged.between(watched.account, one.after, until)) - set(one.events):
            yield f"event {missing} never came"
        for event, said in zip(one.events, one.digests, strict=True):
            place = logged.place(event)
            if place < 0:
                yield f"event {event} is not in the log"
            elif logged.digests[place] != said:
                yield f"event {event} is not what the log says"
            elif watched.account not in ("", logged.accounts[place]):
                yield f"event {event} is of {logged.accounts[place]}"


def atomic(watched: Watched, logged: Logged) -> Iterator[str]:
    """Parts of one command may come in several messages; only the last of them moves the bookmark, to its end."""
    for one in watched.connections:
        for revision, events in messages(one):
            if not events:
                continue
            ends = {logged.commits[place] for event in events if (place := logged.place(event)) >= 0}
            if len(ends) > 1:
                yield f"the events of {len(ends)} commands came as one, up to {events[-1]}"
            elif ends and revision not in ends and revision >= events[0]:
                yield f"the bookmark {revision} stands within the command that ends at {ends.pop()}"


def resumable(watched: Watched, logged: Logged) -> Iterator[str]:
    for one in watched.connections:
        if one.events and (first := logged.between(watched.account, one.after, one.events[-1])):
            if one.events[0] != first[0]:
                yield f"resumed after {one.after} it went on with {one.events[0]}, not {first[0]}"
        elif one.events:
            yield f"resumed after {one.after} it went back to {one.events[0]}"


def bookmarkable(watched: Watched, logged: Logged) -> Iterator[str]:
    head = logged.revisions[-1] if logged.revisions else 0
    for one in watched.connections:
        delivered = one.after
        for revision, events in messages(one):
            delivered = max(delivered, *events) if events else delivered
            if expected := logged.between(watched.account, delivered, revision):
                yield f"the bookmark {revision} came before event {expected[0]}"
            if revision > max(head, watched.start):
                yield f"the bookmark {revision} is after the end of the log, {head}"
            if events and revision > events[-1] and logged.place(events[-1]) >= 0:
                end = logged.commits[logged.place(events[-1])]
                if revision > end:
                    yield f"the bookmark {revision} is past the command that ends at {end}"


def messages(one: Connection) -> Iterator[tuple[int, Sequence[int]]]:
    """Each message's revision and the revisions of its events."""
    start = 0
    for revision, end in zip(one.revisions, one.ends, strict=True):
        yield revision, one.events[start:end]
        start = end


WORDS: dict[str, Validator] = {
    one.__name__: one for one in (ordered, unique, reliable, atomic, resumable, bookmarkable)
}


def watch_problems(watched: Sequence[Watched], logged: Logged) -> Iterator[str]:
    """What every watcher has to complain of, a few of each kind."""
    for number, one in enumerate(watched):
        for name, validator in WORDS.items():
            for problem, _ in zip(validator(one, logged), range(5), strict=False):
                yield f"{name}: watcher {number}{f' of {one.account}' if one.account else ''}: {problem}"
