"""What the committer has done, for the metrics: a few numbers a batch, however many writes are in it."""

from __future__ import annotations

from grpckit.histogram import Histogram

_WRITES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Counts:
    """Of one committer, since it began."""

    __slots__ = ("conflicts", "failures", "seconds", "writes")

    def __init__(self) -> None:
        self.writes = Histogram(_WRITES)  # in a batch
        self.seconds = Histogram(_SECONDS)  # from deciding a batch to its last answer
        self.conflicts = 0  # batches decided again, because another process was faster
        self.failures = 0  # batches that the database did not take, or whose outcome is not known

    def batch(self, writes: int, seconds: float) -> None:
        """Counts a batch that is done, whatever became of it."""
        self.writes.observe(writes)
        self.seconds.observe(seconds)
