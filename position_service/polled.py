"""Answers about single positions, encoded once as long as nothing they say has changed."""

from __future__ import annotations

from uuid import UUID

from trueup.position.v1 import position_service_pb2 as svc

from position_service.convert import Seen, valued
from position_service.domain.risk import Rules


class Polled:
    """The answers to GetPosition that were given last, for those who ask again and again."""

    def __init__(self, rules: Rules, most: int = 4_096) -> None:
        self._rules = rules
        self._most = most
        self._given: dict[UUID, tuple[Seen, bytes]] = {}

    def encoded(self, now: Seen, revision: int) -> bytes:
        """The response with a position as it is now, as bytes: a message is the concatenation of its parts."""
        given = self._given.get(now.position.position_id)
        # By identity where it can be: comparing two positions costs as much as encoding one.
        if given is None or not _same(given[0], now):
            if len(self._given) >= self._most:
                self._given.clear()
            message = svc.GetPositionResponse(position=valued(now, self._rules))
            given = self._given[now.position.position_id] = (now, message.SerializeToString())
        return given[1] + svc.GetPositionResponse(revision=revision).SerializeToString()


def _same(one: Seen, other: Seen) -> bool:
    return one.position is other.position and one.mark is other.mark and one[2:] == other[2:]
