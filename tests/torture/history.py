"""What clients asked, what they were told and when: the record that the checker judges. Nothing in here judges.

All times are ``time.monotonic_ns`` of the one process that drives the load, so they can be compared.
"""

from __future__ import annotations

import time
import zlib
from array import array
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from grpckit.errors import RpcError

EVENTS = 2  # STREAM_PHASE_EVENTS


@dataclass(slots=True, eq=False)
class Operation:
    """One call, with all of its repetitions: it begins with the first and ends with the one that was answered."""

    method: str
    request: Any
    began: int
    ended: int = 0  # 0: nobody knows what became of it
    answer: Any = None
    refusal: RpcError | None = None
    refused_by: str = ""  # the address of the process
    given_up: set[str] = field(default_factory=set)  # the processes whose answer was not waited for any longer

    @property
    def may_be_done_elsewhere(self) -> bool:
        """Whether another process than the one that refused it has a try of it, and may wake up and do it."""
        return bool(self.given_up - {self.refused_by})

    @property
    def is_read(self) -> bool:
        return self.method.startswith(("Get", "List"))

    @property
    def size(self) -> int:
        """How many operations it is: each fill of a batch is decided, booked and known by itself, so each counts."""
        return max(1, len(self.request.fills)) if self.method == "RecordFills" else 1


@dataclass(slots=True, eq=False)
class Connection:
    """What one stream delivered, in order, compactly. ``ends`` cuts ``events`` into messages."""

    after: int
    revisions: array[int] = field(default_factory=lambda: array("q"))  # of the messages
    ends: array[int] = field(default_factory=lambda: array("q"))
    events: array[int] = field(default_factory=lambda: array("q"))  # their revisions
    digests: array[int] = field(default_factory=lambda: array("L"))

    def take(self, message: Any) -> None:
        for event in message.events:
            self.events.append(event.revision)
            after = event.after
            self.digests.append(digest(event.position_id, after.revision, after.size, after.status, after.account))
        self.revisions.append(message.revision)
        self.ends.append(len(self.events))


@dataclass(slots=True, eq=False)
class Watched:
    """One watcher through all of its connections. ``account`` is its filter, empty for none."""

    account: str
    start: int
    connections: list[Connection] = field(default_factory=list)

    @property
    def bookmark(self) -> int:
        """The revision to resume with."""
        for connection in reversed(self.connections):
            if connection.revisions:
                return connection.revisions[-1]
        return self.start

    def begin(self) -> Connection:
        """A new connection, at the bookmark."""
        self.connections.append(Connection(self.bookmark))
        return self.connections[-1]


def digest(position_id: str, revision: int, size: str, status: int, account: str) -> int:
    """What an event says, in 32 bits."""
    return zlib.crc32(f"{position_id} {revision} {size} {status} {account}".encode())


class History:
    """Everything that clients did to one ledger."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.watched: list[Watched] = []
        self.marks: list[tuple[str, int, int, int]] = []  # symbol, price, sent, acknowledged (0: not)
        self.repeated = 0  # calls that were sent again
        self.codes: dict[str, int] = {}  # of every answer that was not one, by status and reason
        self.wrong: list[str] = []  # what can be told to be wrong at once

    def begin(self, request: Message) -> Operation:
        operation = Operation(type(request).__name__.removesuffix("Request"), request, time.monotonic_ns())
        self.operations.append(operation)
        return operation

    def note(self, error: RpcError) -> None:
        """Count an error; whatever is not foreseen by the contracts is wrong by itself."""
        name = f"{error.code.name} {error.reason}"
        self.codes[name] = self.codes.get(name, 0) + 1

    @property
    def size(self) -> int:
        """How many operations were answered."""
        return sum(one.size for one in self.operations if one.ended) + sum(1 for mark in self.marks if mark[3])

    @property
    def delivered(self) -> int:
        return sum(len(connection.events) for one in self.watched for connection in one.connections)
