"""Every RPC with anything: messages made from the descriptors, the same with bytes changed, bytes that are nothing.

Only statuses that the contracts document, nothing internal in what is told, the head where it was after nothing but
refusals, the history whole in the end, and no growth of memory.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import protovalidate
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from trueup.position.v1 import access_service_pb2, position_service_pb2, reconciliation_log_service_pb2
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub
from trueup.reconciler.v1 import reconciler_service_pb2

from grpckit.channel import connect
from tests.e2e.processes import Trio, scratch
from tests.torture.cell import memory_kb
from tests.torture.run import Box, Run

Code = grpc.StatusCode
POSITION = (
    position_service_pb2.DESCRIPTOR.services_by_name["PositionService"],
    reconciliation_log_service_pb2.DESCRIPTOR.services_by_name["ReconciliationLogService"],
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"],
)
RECONCILER = (reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"],)
DOCUMENTED = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.ABORTED,
    Code.FAILED_PRECONDITION,
    Code.OUT_OF_RANGE,
    Code.RESOURCE_EXHAUSTED,
    Code.UNAVAILABLE,  # a venue that cannot be reached
}
INSIDES = ("Traceback", "asyncpg", "sqlalchemy", "SELECT ", "INSERT ", ".py", "postgresql://", "0x7f")
AT_ONCE = 32
WAITS_S = 0.2  # who asks for a revision that has not come waits as long as the call lives
MOST_GROWTH_KB = 192 * 1024
UUID = "00000000-0000-4000-8000-000000000001"
TEXTS = [
    "",
    "1",
    "0",
    "-1",
    "0.5",
    "100",
    "BTC",
    "BTC/USD",
    "hyperliquid",
    "main",
    UUID,
    "NaN",
    "Infinity",
    "-Infinity",
]
TEXTS += ["1e5", "1E-400", "0x1", "+1", " 1", "1_000", "\u0661", "9" * 20, "9" * 21, "0." + "1" * 18, "0." + "1" * 19]
TEXTS += ["a\x00b", "a\nb", "\U0001f4a9", "'; DROP TABLE events; --", "%s%n", "../..", "x" * 129, "x" * 5_000]
NUMBERS = [0, 0, 1, 2, 5, 100, 1_000, 1_001, -1, 2**31 - 1, -(2**31)]
LONG = [*NUMBERS, 2**53 + 1, 2**63 - 1, -(2**63)]


def made(descriptor: Descriptor, chance: random.Random, depth: int = 4) -> Message:
    """Some message of a type."""
    message: Any = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if chance.random() < (0.45 if depth == 4 else 0.6):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entry = field.message_type.fields_by_name["value"]
            for _ in range(chance.randrange(3)):
                if entry.message_type is not None:
                    inner = made(entry.message_type, chance, max(depth - 1, 0))
                    getattr(message, field.name)[chance.choice(TEXTS)].CopyFrom(inner)
                else:
                    getattr(message, field.name)[chance.choice(TEXTS)] = _value(entry, chance)
        elif field.message_type is not None:
            if depth:
                target = getattr(message, field.name)
                for _ in range(chance.choice((0, 1, 1, 2)) if field.is_repeated else 1):
                    inner = made(field.message_type, chance, depth - 1)
                    target.append(inner) if field.is_repeated else target.CopyFrom(inner)
        elif field.is_repeated:
            getattr(message, field.name).extend(_value(field, chance) for _ in range(chance.randrange(3)))
        else:
            setattr(message, field.name, _value(field, chance))
    return message


def _value(field: FieldDescriptor, chance: random.Random) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if field.enum_type is not None:
        return chance.choice([*(value.number for value in field.enum_type.values), 999, -1])
    if kind == FieldDescriptor.CPPTYPE_STRING:
        text = chance.choice(TEXTS)
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return chance.choice((0.0, -1.5, float("nan"), float("inf")))
    number = chance.choice(LONG if kind in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64) else NUMBERS)
    unsigned = kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
    return abs(number) % 2**31 if unsigned else number


def raw(method: MethodDescriptor, chance: random.Random) -> bytes:
    """The bytes of one request."""
    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.choice((0, 1, 7, 100, 2_000)))
    body = bytearray(made(method.input_type, chance).SerializeToString())
    if kind < 0.35 and body:
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(body))
            action = chance.randrange(3)
            if action == 0:
                body[place] = chance.randrange(256)
            elif action == 1:
                body[place:place] = chance.randbytes(chance.randint(1, 8))
            else:
                del body[place : place + chance.randint(1, 8)]
                if not body:
                    break
    return bytes(body)


class Fuzzer:
    """Sends to one server; ``wrong`` is what was wrong, ``sent`` how much was sent of each RPC.

    With ``head``, that must be where it was when all of a batch were refused, unless others moved it: who holds ``turn``
    is alone.
    """

    def __init__(
        self, channel: grpc.aio.Channel, seed: str, turn: asyncio.Lock, head: Callable[[], Awaitable[int]] | None = None
    ) -> None:
        self._channel = channel
        self._turn = turn
        self._head = head
        self._seen = 0  # the head before a batch
        self._chance = random.Random(seed)
        self.sent: dict[str, int] = {}
        self.accepted = 0
        self.wrong: list[str] = []

    async def batch(self, method: MethodDescriptor, count: int) -> None:
        """So many at once."""
        bodies = [raw(method, self._chance) for _ in range(count)]
        self.sent[method.name] = self.sent.get(method.name, 0) + count
        if self._head is None:
            async with self._turn:
                self.accepted += await self._send_all(method, bodies)
        elif await self._moved(method, bodies, self._head):
            async with self._turn:
                if await self._moved(method, bodies, self._head):
                    self.wrong.append(f"fuzz: {method.name} was refused, and the head moved from {self._seen}")

    async def _moved(self, method: MethodDescriptor, bodies: list[bytes], head: Callable[[], Awaitable[int]]) -> bool:
        """Whether the head moved while all were refused."""
        self._seen = await head()
        accepted = await self._send_all(method, bodies)
        self.accepted += accepted
        return not accepted and await head() != self._seen

    async def _send_all(self, method: MethodDescriptor, bodies: list[bytes]) -> int:
        codes = await asyncio.gather(*(self._send(method, body) for body in bodies))
        return sum(code is Code.OK for code in codes)

    async def _send(self, method: MethodDescriptor, body: bytes) -> grpc.StatusCode:
        path = f"/{method.containing_service.full_name}/{method.name}"
        code, told = Code.OK, ""
        waits = _revision_asked_for(method, body) > self._seen
        deadline_s = WAITS_S if waits else 20
        if method.server_streaming:
            call: Any = self._channel.unary_stream(path)(body, timeout=deadline_s)
        else:
            call = self._channel.unary_unary(path)(body, timeout=deadline_s)
        try:
            if method.server_streaming:
                await call.read()
            else:
                await call
        except grpc.aio.AioRpcError as error:
            code, told = error.code(), str(error.details())
        finally:
            call.cancel()
        if not (waits and code is Code.DEADLINE_EXCEEDED):
            self._judge(method, body, code, told)
        return code

    def _judge(self, method: MethodDescriptor, body: bytes, code: grpc.StatusCode, told: str) -> None:
        what = f"{method.name} of {body[:200].hex()}"
        if code not in DOCUMENTED:
            self.wrong.append(f"fuzz: {what} ended with {code.name} {told[:200]}")
        if inside := [word for word in INSIDES if word in told and word.encode() not in body]:
            self.wrong.append(f"fuzz: {what} told {inside} of the insides: {told[:200]}")
        if code is Code.OK:
            try:
                message = message_factory.GetMessageClass(method.input_type).FromString(body)
            except DecodeError:
                self.wrong.append(f"fuzz: {what} is no message, and was accepted")
                return
            if found := protovalidate.collect_violations(message):
                self.wrong.append(f"fuzz: {what} was accepted, and {found[0].proto.rule_id} forbids it")


def _revision_asked_for(method: MethodDescriptor, body: bytes) -> int:
    if "min_revision" not in method.input_type.fields_by_name:
        return 0
    try:
        return int(message_factory.GetMessageClass(method.input_type).FromString(body).min_revision)  # type: ignore[attr-defined]
    except DecodeError:
        return 0


async def rpcs(run: Run, seconds: float, share: float) -> None:
    """Every RPC of both services, at least 2 000 messages each in a run of the default length."""
    least = max(20, round(2000 * share))
    methods = {
        name: [method for service in services for method in service.methods]
        for name, services in (("position", POSITION), ("reconciler", RECONCILER))
    }
    box = Box(run, "fuzz", seconds, **{f"fuzzed_{name}_message": least * len(own) for name, own in methods.items()})
    with scratch() as folder:
        trio = Trio(folder, RECONCILIATION_INTERVAL="3600", CONFIRMATION_DELAY="0.01")
        try:
            await asyncio.to_thread(trio.begin)
            async with connect(trio.position) as position, connect(trio.reconciler) as reconciler:
                stub: Any = PositionServiceStub(position)

                async def head() -> int:
                    request = position_service_pb2.ListPositionsRequest(page_size=1)
                    return int((await stub.ListPositions(request, timeout=30)).revision)

                turn = asyncio.Lock()
                fuzzers = {
                    "position": Fuzzer(position, f"{run.seed} position", turn, head),
                    "reconciler": Fuzzer(reconciler, f"{run.seed} reconciler", turn),
                }
                before = {name: memory_kb(trio._running[name].popen.pid) for name in fuzzers}

                async def lane(name: str) -> None:
                    while box.going():
                        for method in methods[name]:
                            if run.stopped:
                                break
                            await fuzzers[name].batch(method, AT_ONCE)
                            run.count(f"fuzzed {name} message", AT_ONCE)

                await asyncio.gather(*map(lane, fuzzers))
                for name, fuzzer in fuzzers.items():
                    grown = memory_kb(trio._running[name].popen.pid) - before[name]
                    run.say(
                        f"fuzz: {name}: {sum(fuzzer.sent.values())} messages, {fuzzer.accepted} accepted, {grown} kB more"
                    )
                    if grown > MOST_GROWTH_KB:
                        fuzzer.wrong.append(f"memory: {name} grew by {grown} kB")
                    run.wrong("fuzz", fuzzer.wrong)
                verdict = await stub.VerifyHistory(position_service_pb2.VerifyHistoryRequest(), timeout=60)
                if not verdict.intact:
                    run.wrong("fuzz", [f"chain: {verdict.problem}"])
        finally:
            await asyncio.to_thread(trio.stop)
    box.close()


async def caught_by_fuzz(address: str, seed: int, most: int = 4_000) -> list[str]:
    """What a short fuzzing of one service's OpenPosition finds."""
    (method,) = [one for one in POSITION[0].methods if one.name == "OpenPosition"]
    async with connect(address) as channel:
        fuzzer = Fuzzer(channel, f"{seed} bug", asyncio.Lock())
        for _ in range(most // AT_ONCE):
            await fuzzer.batch(method, AT_ONCE)
            if fuzzer.wrong:
                break
    return fuzzer.wrong
