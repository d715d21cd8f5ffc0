"""Internal steps of the Position service at which it can be made to fail. Patched in from outside, for tests only.

A point is ``before`` or ``after`` a method of the committer, the store, the feed or the history: every step that a
commit, a catch-up, a repeated request and a resumed watch take. Production code has no part in it, so it costs nothing.

    exit     the process ends there, as by kill -9
    raise    an error that nobody has foreseen
    sleep    everything stands still for a moment (a coroutine waits, a function blocks the loop)
    cancel   the task that is there is cancelled
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from position_service.ledger import committer
from position_service.ledger.batch import Write
from position_service.ledger.committer import Committer
from position_service.ledger.feed import Feed
from position_service.ledger.history import History
from position_service.ledger.ledger import Ledger
from position_service.ledger.line import Line
from position_service.ledger.store import Store

ACTIONS = ("exit", "raise", "sleep", "cancel")
SLEEP_S = 0.2
SETTLED_S = 1.0  # after the ledger is loaded: by then the service serves
SEAMS: dict[str, tuple[Any, str]] = {
    "gather": (Committer, "_gather"),
    "build": (committer, "build"),
    "append": (Committer, "_append"),
    "statement": (Store, "append"),
    "connect": (Line, "open"),
    "became": (Store, "became"),
    "apply": (Committer, "_apply"),
    "publish": (Feed, "publish"),
    "answer": (Write, "answer"),
    "known": (Committer, "_answer_known"),
    "known_requests": (Store, "known_requests"),
    "known_fills": (Store, "known_fills"),
    "head": (Store, "head"),
    "catch_up": (Committer, "catch_up"),
    "read_news": (Store, "catch_up"),
    "read_log": (History, "commits_after"),
}
POINTS = tuple(f"{when} {name}" for name in SEAMS for when in ("before", "after"))


class Failpoint(Exception):
    """What ``raise`` raises."""


class Plan:
    """What is to happen, in any order: each once, when its point is reached the first time after its turn has come."""

    def __init__(self, steps: list[tuple[str, str]]) -> None:
        self._left: dict[str, list[str]] = {}
        for point, action in steps:
            self._left.setdefault(point, []).append(action)
        self._next = float("inf")  # not before the service has started

    def begin(self) -> None:
        self._next = time.monotonic() + SETTLED_S

    def take(self, point: str) -> str:
        """The action for the point now; "" for none. They come a moment apart, so that each is seen by itself."""
        actions = self._left.get(point)
        if not actions or time.monotonic() < self._next:
            return ""
        self._next = time.monotonic() + 0.1
        action = actions.pop(0)
        print(json.dumps({"failpoint": point, "action": action}), flush=True)  # noqa: T201 - the log is how others learn of it
        return action


def arm(text: str) -> None:
    """Patch the seams; ``text`` is a JSON list of point and action. A seam that is gone is an error."""
    steps = [(point, action) for point, action in json.loads(text)]
    unknown = {point for point, _ in steps} - set(POINTS)
    assert not unknown, f"no such failpoints: {unknown}"
    plan = Plan(steps)
    start = Ledger.start

    async def started(self: Ledger) -> None:
        await start(self)
        plan.begin()

    Ledger.start = started  # type: ignore[method-assign]
    for name, (owner, method) in SEAMS.items():
        wrapped = _coroutine if inspect.iscoroutinefunction(vars(owner)[method]) else _function
        setattr(owner, method, wrapped(vars(owner)[method], name, plan))


def _coroutine(original: Callable[..., Any], name: str, plan: Plan) -> Callable[..., Any]:
    @functools.wraps(original)
    async def failing(*args: Any, **more: Any) -> Any:
        await _act_there(plan.take(f"before {name}"))
        result = await original(*args, **more)
        await _act_there(plan.take(f"after {name}"))
        return result

    return failing


def _function(original: Callable[..., Any], name: str, plan: Plan) -> Callable[..., Any]:
    @functools.wraps(original)
    def failing(*args: Any, **more: Any) -> Any:
        _act(plan.take(f"before {name}"))
        result = original(*args, **more)
        _act(plan.take(f"after {name}"))
        return result

    return failing


async def _act_there(action: str) -> None:
    if action == "sleep":
        await asyncio.sleep(SLEEP_S)
    else:
        _act(action)
    if action == "cancel":
        await asyncio.sleep(0)


def _act(action: str) -> None:
    if action == "exit":
        sys.stdout.flush()
        os._exit(9)
    elif action == "raise":
        raise Failpoint("a failpoint")
    elif action == "sleep":
        time.sleep(SLEEP_S)
    elif action == "cancel" and (task := asyncio.current_task()) is not None:
        task.cancel()
