"""The venue's request budget: so much weight in any minute, a client address each."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

WEIGHT_PER_MINUTE = 1_200
WINDOW_S = 60.0


class Budget:
    """A sliding window: stricter than a refilling bucket, so a client that fits here fits either.

    ``clock`` gives seconds and never runs backwards. Nothing is spent by a request that is refused.
    """

    def __init__(self, clock: Callable[[], float], limit: int = WEIGHT_PER_MINUTE) -> None:
        self.limit = limit
        self._clock = clock
        self._spent: dict[str, deque[tuple[float, int]]] = defaultdict(deque)
        self._used: dict[str, int] = defaultdict(int)

    def used(self, client: str) -> int:
        """Weight spent in the last minute."""
        spent = self._spent[client]
        horizon = self._clock() - WINDOW_S
        while spent and spent[0][0] <= horizon:
            self._used[client] -= spent.popleft()[1]
        return self._used[client]

    def spend(self, client: str, weight: int) -> bool:
        """Spend if it fits; False: it does not, and nothing was spent."""
        if self.used(client) + weight > self.limit:
            return False
        self.add(client, weight)
        return True

    def add(self, client: str, weight: int) -> None:
        """Charge what only the answer told, fitting or not."""
        if weight:
            self._spent[client].append((self._clock(), weight))
            self._used[client] += weight
