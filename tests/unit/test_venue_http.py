from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler_service.venues import VenueDataError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import Breaker, WeightBudget
from reconciler_service.venues.http import Reply, StatusRefused, base_of, parse, read_reply


class Clock:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


JSON = "application/json"


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (Reply(429, JSON, b"null"), VenueUnreachable, "asking: too many requests"),
        (Reply(500, JSON, b"null"), VenueUnreachable, "status 500"),
        (Reply(502, "text/html", b"<html>bad gateway"), VenueUnreachable, "status 502"),
        (Reply(408, "text/plain", b""), VenueUnreachable, "status 408"),
        (Reply(200, "text/html", b"<html>maintenance"), VenueUnreachable, "answered text/html instead of JSON"),
        (Reply(200, "", b"{}"), VenueUnreachable, "without a type"),
        (Reply(200, JSON, b'{"a": [1, 2'), VenueUnreachable, "broken JSON"),
        (Reply(200, JSON, b""), VenueUnreachable, "broken JSON"),
        (Reply(200, JSON, b"\xff\xfe"), VenueUnreachable, "broken JSON"),
        (Reply(200, JSON, b'{"a": NaN}'), VenueDataError, "holds NaN"),
        (Reply(200, JSON, b'{"a": -Infinity}'), VenueDataError, "holds -Infinity"),
        (Reply(200, JSON, b"[" * 200_000), VenueDataError, "nested too deeply"),
        (Reply(422, "text/plain", b"Failed to deserialize\n"), StatusRefused, "status 422: Failed to deserialize$"),
        (Reply(403, JSON, b'{"error":"PERMISSION_DENIED"}'), StatusRefused, "PERMISSION_DENIED"),
        (Reply(404, "text/html", b"<html>secret"), StatusRefused, "status 404$"),
        (Reply(400, JSON, b"null"), StatusRefused, "status 400$"),
        (Reply(302, "text/html", b""), StatusRefused, "status 302"),
        (Reply(204, JSON, b""), StatusRefused, "status 204"),
    ],
)
def test_every_unusable_reply_is_one_of_the_three_errors(reply: Reply, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        read_reply(reply, "asking")


def test_a_refusal_knows_its_status_and_is_short() -> None:
    with pytest.raises(StatusRefused) as caught:
        read_reply(Reply(403, "text/plain", b"x\x1b[31m" * 500), "asking")
    assert caught.value.status == 403
    assert len(str(caught.value)) < 250
    assert (caught.value.content_type, caught.value.body) == ("text/plain", (b"x\x1b[31m" * 500)[:4096])
    assert "\x1b" not in str(caught.value)


def test_a_status_can_be_made_worth_another_try() -> None:
    with pytest.raises(VenueUnreachable, match="status 401"):
        read_reply(Reply(401, "text/plain", b"Unauthorized"), "asking", frozenset({401}))


def test_numbers_stay_exact() -> None:
    assert parse(b'{"a": 0.1, "b": 1.836e-05, "c": 123456789.123456789}', "x") == {
        "a": Decimal("0.1"),
        "b": Decimal("0.00001836"),
        "c": Decimal("123456789.123456789"),
    }
    assert read_reply(Reply(200, "application/vnd.x+json", b'"default"'), "x") == "default"


@pytest.mark.parametrize(
    "url", ["", "api.example", "ftp://a", "http://", "http://user:hunter2@a", "http://a?key=hunter2", "http://[::"]
)
def test_a_url_is_checked_and_not_repeated(url: str) -> None:
    with pytest.raises(VenueRefused) as caught:
        base_of(url)
    assert "hunter2" not in str(caught.value)


# --- budget ----------------------------------------------------------------------------------------------------------


def budget(per_minute: int, clock: Clock, max_wait_s: float = 5.0) -> WeightBudget:
    return WeightBudget(per_minute, max_wait_s=max_wait_s, clock=clock, sleep=clock.sleep)


async def test_budget_refuses_what_it_cannot_wait_for() -> None:
    clock = Clock()
    spent = budget(100, clock)
    await spent.take(60)
    await spent.take(40)
    assert spent.left == 0
    with pytest.raises(VenueUnreachable, match="0 of 100 weight left"):
        await spent.take(1)
    clock.now += 60
    assert spent.left == 100


async def test_budget_waits_a_little() -> None:
    clock = Clock()
    spent = budget(100, clock)
    await spent.take(100)
    clock.now += 57
    await spent.take(20)
    assert clock.now == pytest.approx(1060)
    assert spent.left == 80


async def test_charges_after_the_fact_are_a_debt() -> None:
    clock = Clock()
    spent = budget(100, clock)
    spent.charge(0)
    spent.charge(150)
    assert spent.left == 0
    with pytest.raises(VenueUnreachable):
        await spent.take(1)
    clock.now += 60
    await spent.take(500)  # more than there ever is: alone in its minute
    assert spent.left == 0


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 30)), max_size=60))
def test_no_minute_ever_carries_more_than_the_limit(asks: list[tuple[int, float]]) -> None:
    async def run() -> None:
        clock = Clock()
        spent = budget(100, clock, max_wait_s=100)
        log = []
        for weight, pause in asks:
            clock.now += pause
            await spent.take(weight)
            log.append((clock.now, weight))
        for at, _ in log:
            # A hair less than a minute: the clock adds floats.
            assert sum(w for t, w in log if at <= t < at + 59.99) <= 100

    asyncio.run(run())


def test_budget_is_shared_by_origin() -> None:
    one = WeightBudget.shared("http://shared.example", 960)
    assert WeightBudget.shared("http://shared.example", 960) is one
    assert WeightBudget.shared("http://other.example", 960) is not one


# --- breaker ---------------------------------------------------------------------------------------------------------


def broken(clock: Clock) -> Breaker:
    breaker = Breaker(threshold=3, open_s=10, clock=clock)
    for _ in range(3):
        breaker.failed()
    return breaker


async def test_breaker_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(threshold=3, open_s=10, clock=Clock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    await breaker.admit()
    with pytest.raises(VenueUnreachable, match="3 failures in a row; asking again in 10 s"):
        await broken(Clock()).admit()


async def test_while_nobody_is_asked_the_last_reason_is_told() -> None:
    breaker = Breaker(threshold=2, open_s=10, clock=Clock())
    breaker.failed("answered 502")
    breaker.failed("too many requests")
    with pytest.raises(VenueUnreachable, match=r"^2 failures in a row, the last: too many requests; asking again"):
        await breaker.admit()


async def test_half_open_lets_one_probe_through_and_the_others_wait_for_it() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 10
    await breaker.admit()
    waiting = [asyncio.ensure_future(breaker.admit()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    breaker.succeeded()
    await asyncio.gather(*waiting)


async def test_a_failed_probe_opens_again_at_once() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 10
    await breaker.admit()
    waiting = asyncio.ensure_future(breaker.admit())
    await asyncio.sleep(0)
    breaker.failed()
    with pytest.raises(VenueUnreachable, match="again in 10 s"):
        await waiting


async def test_a_cancelled_probe_hands_over() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += 10
    await breaker.admit()
    waiting = asyncio.ensure_future(breaker.admit())
    await asyncio.sleep(0)
    breaker.release()
    await waiting  # it is the probe now
