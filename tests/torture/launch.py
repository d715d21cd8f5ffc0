"""The Position service with something wrong in it, for tests only: python -m tests.torture.launch

    TORTURE_BUG        the name of a planted bug (``planted.py``)
    TORTURE_FAILPOINT  what to do at which internal step (``failpoints.py``)
    TORTURE_CLOCK      the seed of a clock that jumps

Everything is patched from here, before the service starts: production code carries no switch for any of it.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta, tzinfo

from grpckit.run import command
from position_service.app import main
from position_service.settings import PositionSettings


def jumping_clock(seed: int) -> type[datetime]:
    """A datetime whose ``now`` jumps forward and back by up to an hour, now and then."""
    chance = random.Random(seed)
    offset = timedelta()

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            nonlocal offset
            if chance.random() < 0.02:
                offset = timedelta(seconds=chance.uniform(-3600, 3600))
            return datetime.now(tz or UTC) + offset

    return Jumping


def prepare() -> None:
    """Patch what the environment asks for."""
    if bug := os.environ.get("TORTURE_BUG"):
        from tests.torture.planted import BUGS

        BUGS[bug].plant()
    if plan := os.environ.get("TORTURE_FAILPOINT"):
        from tests.torture.failpoints import arm

        arm(plan)
    if seed := os.environ.get("TORTURE_CLOCK"):
        from position_service import servicer
        from position_service.ledger import committer

        committer.datetime = servicer.datetime = jumping_clock(int(seed))  # type: ignore[attr-defined, misc]


if __name__ == "__main__":
    prepare()
    command("python -m tests.torture.launch", "The Position service, tortured.", PositionSettings, main)
