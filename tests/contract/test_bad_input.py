"""Bad values, one field at a time, for every field of every request: refused by name, and nothing is changed.

The requests and the values are made from the contracts, so a field that is added without a rule is found here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import protovalidate
import pytest
from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.types.v1 import rules_pb2

from grpckit.errors import RpcError
from position_service.app import SERVICES
from tests.position_client import NOW, Client, a_finding, a_run, stamp

Change = Callable[[Any], None]
METHODS = [method for service in SERVICES for method in service.methods]
METHODS_BY_NAME = {method.name: method for method in METHODS}
HUGE = "1" * 1024 * 1024
NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "1E-5", "0." + "1" * 19, "1" * 21, HUGE, "+1", "0x1", "\u0661"]
UUID = "00000000-0000-4000-8000-000000000000"
INTEGERS = {FieldDescriptor.CPPTYPE_INT32: 2**31, FieldDescriptor.CPPTYPE_INT64: 2**63}
LONG_AGO = Timestamp(seconds=-(10**15))
FAR_AHEAD = Timestamp(seconds=10**15)
BROKEN = Timestamp(seconds=1, nanos=-5)


def options(field: FieldDescriptor) -> tuple[Any, bool]:
    """The rules of a field, and whether it is required."""
    extensions: Any = field.GetOptions().Extensions
    is_required = field_behavior_pb2.REQUIRED in extensions[field_behavior_pb2.field_behavior]
    return extensions[validate_pb2.field], is_required


def is_validated(descriptor: Descriptor) -> bool:
    """Whether a message is one of requests: its fields say whether they are needed."""
    return any(f.GetOptions().Extensions[field_behavior_pb2.field_behavior] for f in descriptor.fields)


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_time(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == Timestamp.DESCRIPTOR.full_name


def valid(descriptor: Descriptor) -> Message:
    """The smallest request that the contract allows with something in its lists, about one instrument where it can be."""
    made: Any = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        rules, is_required = options(field)
        is_list = field.is_repeated and field.message_type is not None and is_validated(field.message_type)
        if not is_required and not is_list and field.name != "symbol":
            continue
        if is_time(field):
            getattr(made, field.name).CopyFrom(stamp(NOW))
        elif descriptor.name == "RecordRunRequest":
            made.run.CopyFrom(a_run())
        elif field.message_type is not None:
            getattr(made, field.name).append(valid(field.message_type))
        elif field.enum_type is not None:
            put(made, field, max(value.number for value in field.enum_type.values))
        elif field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
            setattr(made, field.name, max(1, rules.int32.gte, rules.int64.gte))
        else:
            setattr(made, field.name, UUID if rules.string.uuid else "X" if rules.string.pattern else "1")
    return made


def bad_texts(field: FieldDescriptor) -> Iterator[str]:
    rules, is_required = options(field)
    text = rules.repeated.items.string if field.is_repeated else rules.string
    if is_required and not field.is_repeated:
        yield ""
    positive = text.Extensions[rules_pb2.positive_decimal]
    if positive:
        yield from ("0", "0.000")
    if positive or text.Extensions[rules_pb2.non_negative_decimal]:
        yield from ("-1", "-0.1")
    if positive or text.Extensions[rules_pb2.non_negative_decimal] or text.Extensions[rules_pb2.decimal]:
        yield from NUMBERS
    else:
        yield from (HUGE, "a\x00b", "a\nb")
    if text.uuid:
        yield from ("1", UUID[:-1], UUID + "0")


def bad_values(field: FieldDescriptor) -> Iterator[Any]:
    """What must be refused, by what kind of field it is."""
    if is_time(field):
        yield from (LONG_AGO, FAR_AHEAD, BROKEN)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        yield from bad_texts(field)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        yield from (999, -1)
    elif field.cpp_type in INTEGERS:
        yield from (-1, -INTEGERS[field.cpp_type])
        rules, _ = options(field)
        if rules.int32.HasField("lte"):
            yield from (rules.int32.lte + 1, 2**31 - 1)


def put(message: Any, field: FieldDescriptor, value: Any) -> None:
    if is_time(field):
        getattr(message, field.name).CopyFrom(value)
    elif field.is_repeated:
        message.ClearField(field.name)
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def changes(descriptor: Descriptor) -> Iterator[tuple[str, object, Change]]:
    """The path of a field, what is wrong with it then, and how to make it so in a valid message."""
    for field in descriptor.fields:
        if is_map(field):
            yield f'{field.name}["{HUGE}"]', "huge key", lambda m, f=field: getattr(m, f.name).update({HUGE: ""})
            yield f'{field.name}["a"]', "huge value", lambda m, f=field: getattr(m, f.name).update({"a": HUGE})
            continue
        if field.is_repeated and options(field)[1]:
            yield field.name, "nothing", lambda m, f=field: m.ClearField(f.name)
        for value in bad_values(field):
            path = f"{field.name}[0]" if field.is_repeated else field.name
            yield path, value, lambda m, f=field, v=value: put(m, f, v)
        if field.message_type is not None and is_validated(field.message_type):
            for path, value, change in changes(field.message_type):
                yield f"{field.name}[0].{path}", value, lambda m, f=field, c=change: c(getattr(m, f.name)[0])


async def refusal(client: Client, name: str, request: Message) -> RpcError | None:
    fields = {field.name: value for field, value in request.ListFields()}
    try:
        if not name.startswith("Watch"):
            await client.call(name, **fields)
            return None
        async with client.watching(name, **fields) as stream:
            await stream.next()
            return None
    except RpcError as error:
        return error


@pytest.fixture
async def client(position) -> Client:
    client = Client(position.channel)
    await client.open("1")
    return client


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_the_bad_requests_are_made_from_is_good(method):
    assert not protovalidate.collect_violations(valid(method.input_type))


async def test_every_bad_value_is_refused_by_name_and_changes_nothing(client):
    before = (await client.call("VerifyHistory")).revision
    tried: dict[str, int] = {}
    for method in METHODS:
        for path, value, change in changes(method.input_type):
            request = valid(method.input_type)
            change(request)
            error = await refusal(client, method.name, request)
            what = f"{method.name}.{path[:60]} = {str(value)[:40]!r}"
            assert error is not None, f"{what} was accepted"
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"), (
                f"{what}: {error}"
            )
            (violation,) = error.violations
            named = violation.field.removesuffix("…")  # of a megabyte the beginning is enough
            assert path == named or (len(named) > 100 and path.startswith(named)), f"{what}: {error}"
            tried[method.name] = tried.get(method.name, 0) + 1
    assert set(tried) == {method.name for method in METHODS}
    assert sum(tried.values()) > 1000
    verdict = await client.call("VerifyHistory")
    assert (verdict.intact, verdict.revision) == (True, before)


def nested(descriptor: Descriptor, depth: int = 3) -> Iterator[tuple[str, Change]]:
    """The same for a message that has no rules: what a reader of it might stumble over."""
    for field in descriptor.fields:
        if is_map(field):
            continue
        values = [*bad_values(field), *(["", "NaN"] if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else [])]
        for value in values if depth == 3 else (value for value in values if value != HUGE):
            yield f"{field.name} = {str(value)[:40]!r}", lambda m, f=field, v=value: put(m, f, v)
        if field.message_type is not None and not is_time(field) and depth:
            for what, change in nested(field.message_type, depth - 1):
                yield f"{field.name}.{what}", lambda m, f=field, c=change: c(part(m, f))


def part(message: Any, field: FieldDescriptor) -> Any:
    return getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name)


@pytest.mark.parametrize("name", ["run", "findings"])
async def test_what_the_log_keeps_is_refused_whole_or_can_be_read_again(client, name):
    """Runs and cases are the Reconciler's own words. None of them breaks the service, or what it says of itself."""
    revision, accepted, refused = 1, 0, 0
    make = a_run if name == "run" else a_finding
    for number, (what, change) in enumerate(nested(make().DESCRIPTOR), 10):
        run, findings = a_run(number), [a_finding(symbol=f"S{number}")]
        change(run if name == "run" else findings[0])
        request = valid(METHODS_BY_NAME["RecordRun"].input_type)
        request.run.CopyFrom(run)
        request.findings.extend(findings)
        if error := await refusal(client, "RecordRun", request):
            assert error.reason == "INVALID_REQUEST", f"{name}.{what}: {error}"
            assert error.violations, f"{name}.{what}: {error}"
            assert (await client.call("ListDrifts", page_size=1)).revision == revision, what
            refused += 1
            continue
        accepted += 1
        stored = (await client.call("GetRun", run_id=run.run_id)).run
        assert stored == run, what
        listed = await client.call("ListDrifts", page_size=1)
        revision = listed.revision
    assert accepted > 10
    assert refused > 10
    assert (await client.call("VerifyHistory")).intact
