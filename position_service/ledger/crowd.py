"""Waiting for company: what one round trip can serve should be together before it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_STEP_S = 0.0003  # the loop takes in a call or two meanwhile, however busy it is


async def gathered(waiting: Callable[[], int], most_s: float) -> None:
    """Wait while more keep coming: until nobody came in one step, or ``most_s`` seconds have gone by.

    Callers that each wait for their answer are soon all here, and then waiting longer would be for nothing.
    """
    loop = asyncio.get_running_loop()
    until, before = loop.time() + most_s, -1
    while (now := waiting()) > before and (left := until - loop.time()) > 0:
        before = now
        await asyncio.sleep(min(_STEP_S, left))
