"""Keys at the door: known ones at once, new ones after a look, revoked ones not at all."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from dataclasses import dataclass, field, replace

import grpc
import pytest

from grpckit.access import Access, Grant, Identified, presented
from grpckit.caller import Caller
from grpckit.errors import RpcError
from grpckit.limits import Limits

BOT = Grant("k", "bot", frozenset({1}), frozenset({"main"}))
AWAY = RpcError(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "away")


@dataclass
class Keeping:
    """A keeper that is told what it knows, and counts what it is asked. The clock is its own."""

    known: dict[str, Identified] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_away: bool = False
    now: float = 1000.0

    async def identify(self, key: str) -> Identified | None:
        self.asked.append(key)
        if self.is_away:
            raise AWAY
        return self.known.get(key)

    async def grants(self) -> dict[str, Grant]:
        if self.is_away:
            raise AWAY
        return {one.grant.key_id: one.grant for one in self.known.values()}


@pytest.fixture
def keeper() -> Keeping:
    return Keeping({"secret": Identified(BOT, 0)})


@pytest.fixture
def slow() -> Keeping:
    class Slow(Keeping):
        async def identify(self, key: str) -> Identified | None:
            self.asked.append(key)
            await asyncio.sleep(0.01)  # others come meanwhile
            return self.known.get(key)

    return Slow({"secret": Identified(BOT, 0)})


@pytest.fixture
async def access(keeper: Keeping) -> Access:
    made = Access(keeper, trust_s=25.0, clock=lambda: keeper.now)
    await made.refresh()
    return made


async def came(access: Access, key: str = "secret") -> Caller:
    who = access([("x-api-key", key)])
    return who if isinstance(who, Caller) else await who


async def refused(access: Access, key: str = "secret") -> str:
    with pytest.raises(RpcError) as caught:
        await came(access, key)
    return caught.value.reason


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ([], ""),
        ([("x-api-key", "a")], "a"),
        ([("authorization", "Bearer a")], "a"),
        ([("authorization", "bearer  a ")], "a"),
        ([("authorization", "Basic a")], ""),
        ([("authorization", "Bearer a"), ("x-api-key", "b")], "b"),
        ([("authorization", b"Bearer a"), ("x-api-key", b"b")], ""),
    ],
)
def test_a_key_is_presented_in_one_of_two_headers(metadata, key):
    assert presented(metadata) == key


async def test_a_key_is_looked_up_once(access: Access, keeper: Keeping):
    assert await came(access) == Caller("bot/k", BOT.scopes, BOT.accounts, "k", 0)
    assert isinstance(access([("authorization", "Bearer secret")]), Caller)  # at once
    assert keeper.asked == ["secret"]


async def test_no_key_and_unknown_keys_are_refused(access: Access, keeper: Keeping):
    with pytest.raises(RpcError, match="an API key is needed"):
        access([])
    assert [await refused(access, "guess") for _ in range(3)] == ["NO_CREDENTIALS"] * 3
    assert await refused(access, "x" * 1000) == "NO_CREDENTIALS"
    assert keeper.asked == ["guess"]  # not again and again
    keeper.now += 6
    await refused(access, "guess")
    assert keeper.asked == ["guess"] * 2


async def test_a_revoked_key_is_refused_after_the_next_look_and_its_streams_end(access: Access, keeper: Keeping):
    who, ended = await came(access), []
    access.end_streams = lambda why: ended.append(why(who))
    assert (access.objection(None), access.objection(Caller("anonymous")), access.objection(who)) == (None, None, None)
    keeper.known.clear()
    assert await came(access) == who
    await access.refresh()
    assert [error.reason for error in ended] == ["NO_CREDENTIALS"]
    assert await refused(access) == "NO_CREDENTIALS"


async def test_a_key_that_may_something_else_now_is_looked_up_again(access: Access, keeper: Keeping):
    await came(access)
    less = replace(BOT, scopes=frozenset({2}))
    keeper.known["secret"] = Identified(less, 0)
    await access.refresh()
    assert (await came(access)).scopes == less.scopes


async def test_a_key_expires_between_two_looks(keeper: Keeping):
    keeper.known["secret"] = Identified(replace(BOT, expires_at=keeper.now + 5), 0)
    access = Access(keeper, clock=lambda: keeper.now)
    await access.refresh()
    who = await came(access)
    keeper.now += 5
    assert access.objection(who).reason == "NO_CREDENTIALS"
    assert await refused(access) == "NO_CREDENTIALS"


async def test_of_a_rotated_key_the_old_secret_lasts_as_long_as_it_was_given(access: Access, keeper: Keeping):
    old = await came(access)
    rotated = replace(BOT, generation=1, previous_until=keeper.now + 10)
    keeper.known = {"secret": Identified(rotated, 0), "new": Identified(rotated, 1)}
    await access.refresh()
    new = await came(access, "new")
    assert (new.generation, await came(access), access.objection(old)) == (1, old, None)
    keeper.now += 10
    assert (access.objection(old).reason, access.objection(new)) == ("NO_CREDENTIALS", None)
    assert await refused(access) == "NO_CREDENTIALS"
    assert await came(access, "new") == new
    # The secret before the one before is nobody's, whatever the overlap.
    assert replace(rotated, generation=2, previous_until=float("inf")).until(0) == 0


async def test_who_cannot_be_asked_about_is_refused_before_a_revocation_is_missed(access: Access, keeper: Keeping):
    who = await came(access)
    keeper.is_away = True
    keeper.now += 24
    assert (await came(access), access.objection(who)) == (who, None)
    keeper.now += 1
    assert access.objection(who).reason == "STORE_UNAVAILABLE"
    assert await refused(access) == "STORE_UNAVAILABLE"
    keeper.is_away = False
    await access.refresh()
    assert access.objection(who) is None
    assert await came(access) == who


async def test_who_guesses_is_told_to_wait_and_the_keeper_is_not_asked(keeper: Keeping):
    keeper.known["trueup_k_right"] = Identified(BOT, 0)
    access = Access(keeper, limits=Limits(failed_keys_per_s=1, failed_keys_burst=2), clock=lambda: keeper.now)
    await access.refresh()

    async def said(key: str, peer: str = "ipv4:10.0.0.1:1") -> str:
        try:
            who = access([("x-api-key", key)], peer)
            return (who if isinstance(who, Caller) else await who).actor
        except RpcError as error:
            return error.reason

    assert await said("secret") == "bot/k"
    assert [await said(f"guess-{number}") for number in range(4)] == ["NO_CREDENTIALS"] * 2 + ["RATE_LIMITED"] * 2
    assert await said("trueup_nobody_x") == "RATE_LIMITED"
    assert [await said("guess-0") for _ in range(9)] == ["NO_CREDENTIALS"] * 9, "the same again is no guess"
    assert keeper.asked == ["secret", "guess-0", "guess-1"]
    # Nobody behind the same address pays for it: who is known, who has a key of those that are there; nor anybody else.
    assert [await said("secret", "ipv4:10.0.0.1:2"), await said("trueup_k_right")] == ["bot/k"] * 2
    assert await said("guess-5", "ipv4:10.0.0.2:1") == "NO_CREDENTIALS"
    # A key that is there is guessed at no longer than others.
    assert [await said(f"trueup_k_{n}") for n in range(3)] == ["NO_CREDENTIALS"] * 2 + ["RATE_LIMITED"]
    keeper.now += 1
    assert [await said("guess-6"), await said("guess-7")] == ["NO_CREDENTIALS", "RATE_LIMITED"]


async def test_guesses_at_once_get_no_further_than_one_after_the_other(slow: Keeping):
    access = Access(slow, limits=Limits(failed_keys_per_s=1, failed_keys_burst=9), clock=lambda: slow.now)
    said = Counter(await asyncio.gather(*(refused(access, f"guess-{number}") for number in range(400))))
    assert said == {"NO_CREDENTIALS": 9, "RATE_LIMITED": 391}
    assert len(slow.asked) == 9
    slow.now += 1  # and what was not looked up has cost nothing
    assert (await came(access)).client == "k"


async def test_calls_at_once_with_one_key_are_one_look_whoever_of_them_leaves(slow: Keeping):
    access = Access(slow, limits=Limits(failed_keys_burst=1), clock=lambda: slow.now)
    calls = [asyncio.create_task(came(access)) for _ in range(400)]
    while not slow.asked:
        await asyncio.sleep(0)
    calls.pop(0).cancel()
    assert {who.client for who in await asyncio.gather(*calls)} == {"k"}
    assert slow.asked == ["secret"]
    assert (await refused(access, "guess"), access._asking) == ("NO_CREDENTIALS", {})


async def test_nobody_is_left_to_hear_of_a_wrong_key_and_nothing_is_logged(slow: Keeping):
    access, unheard = Access(slow), []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
    asking = asyncio.create_task(came(access, "wrong"))
    while not slow.asked:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(10):
        while access._asking:
            await asyncio.sleep(0)
    gc.collect()
    assert slow.asked == ["wrong"]
    assert unheard == []


async def test_no_key_and_a_keeper_that_is_away_are_no_guesses(access: Access, keeper: Keeping):
    keeper.is_away = True
    assert {await refused(access, f"new-{number}") for number in range(300)} == {"STORE_UNAVAILABLE"}
