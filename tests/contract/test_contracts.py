"""The contracts: compiled as committed, linted, unbroken, and complete in what the guard and the edges read from them."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet, MethodOptions
from trueup.types.v1 import errors_pb2, rules_pb2

from grpckit import errors

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

# What DESIGN promises, by name. A call that is taken away breaks somebody.
RPCS = {
    "trueup.position.v1.PositionService": """
        OpenPosition ConfirmOpen CancelOpen IncreasePosition ReducePosition ClosePosition ConfirmClose CancelClose
        LiquidatePosition UpdatePosition AdjustPosition RecordFills UpdatePrices GetPosition ListPositions
        ListPositionsAtRisk GetPortfolioSummary ListPositionHistory WatchPositions VerifyHistory PurgeClosedPositions
    """,
    "trueup.position.v1.ReconciliationLogService": """
        RecordRun ListRuns GetRun ListDrifts GetDrift TransitionDrift WatchDrifts AcquireLease
        RecordLiquidationPrices
    """,
    "trueup.position.v1.AccessService": """
        CreateKey ListKeys RotateKey RevokeKey AuthenticateKey
    """,
    "trueup.reconciler.v1.ReconcilerService": """
        Reconcile GetStatus GetLastRun ListRuns ValidateAllocation ListDrifts ListDriftHistory GetDrift
        AcknowledgeDrift SnoozeDrift ResolveDrift StreamDriftEvents ListVenues
    """,
}
READS = re.compile(r"(Get|List|Watch|Stream|Verify|Validate)[A-Z]")
ADMIN_READS = {"trueup.position.v1.AccessService/ListKeys"}
STREAMS = {"WatchPositions", "WatchDrifts", "StreamDriftEvents"}
DECIMAL_RULES = (rules_pb2.decimal, rules_pb2.non_negative_decimal, rules_pb2.positive_decimal)
AMOUNT = re.compile(
    r"(^|_)(size|price|fee|pnl|margin|notional|leverage|amount|value|threshold|basis|percent|delta|"
    r"liquidation_price|target|actual|drift|tolerance)($|_)"
)


class Compiled(NamedTuple):
    """What protoc makes of the contracts."""

    stubs: Path
    image: Path

    def load(self) -> FileDescriptorSet:
        return FileDescriptorSet.FromString(self.image.read_bytes())


class Field(NamedTuple):
    """A field of one of our messages, with the comment above it."""

    path: str
    message: str
    proto: FieldDescriptorProto
    comment: str

    @property
    def rules(self) -> validate_pb2.FieldRules:
        rules: Any = self.proto.options.Extensions[validate_pb2.field]
        return rules


def compiled_from(protos: Path, target: Path) -> Compiled:
    """Compile a folder of contracts with its own script."""
    command = [sys.executable, protos / "generate.py", "--out", target / "gen", "--image", target / "image.binpb"]
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=120)
    return Compiled(target / "gen", target / "image.binpb")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compiled_from(ROOT / "protos", tmp_path_factory.mktemp("contracts"))


@pytest.fixture(scope="session")
def fields(compiled: Compiled) -> list[Field]:
    """Every field of every message of ours."""
    return [
        field
        for file in compiled.load().file
        if file.name.startswith("trueup/")
        for field in fields_of(file)
    ]  # fmt: skip


@pytest.fixture(scope="session")
def methods(compiled: Compiled) -> dict[str, descriptor_pb2.MethodDescriptorProto]:
    return {
        f"{file.package}.{service.name}/{method.name}": method
        for file in compiled.load().file
        if file.name.startswith("trueup/")
        for service in file.service
        for method in service.method
    }


def fields_of(file: descriptor_pb2.FileDescriptorProto) -> Iterator[Field]:
    comments = {tuple(place.path): place.leading_comments.strip() for place in file.source_code_info.location}
    for at, message in enumerate(file.message_type):
        name = f"{file.package}.{message.name}"
        for number, field in enumerate(message.field):
            yield Field(f"{name}.{field.name}", name, field, comments.get((4, at, 2, number), ""))


def differences(left: Path, right: Path) -> list[str]:
    """Files that are not the same in both folders."""

    def files(folder: Path) -> set[str]:
        return {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    both = files(left) & files(right)
    _, differ, unreadable = filecmp.cmpfiles(left, right, both, shallow=False)
    return sorted((files(left) ^ files(right)) | set(differ) | set(unreadable))


# -- compiled as committed -----------------------------------------------------------------------


def test_committed_stubs_are_those_of_the_contracts(compiled: Compiled):
    assert differences(compiled.stubs, ROOT / "protos" / "gen") == []


def test_a_changed_contract_changes_the_stubs(compiled: Compiled, tmp_path: Path):
    """The check above can fail."""
    protos = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", protos)
    types = protos / "trueup" / "types" / "v1" / "types.proto"
    types.write_text(types.read_text().replace("string currency = 1;", "string currency = 3;"))
    changed = compiled_from(protos, tmp_path)
    sets = ["trueup/plain.binpb", "trueup/transcoding.binpb"]
    assert differences(compiled.stubs, changed.stubs) == [*sets, "trueup/types/v1/types_pb2.py"]


# -- buf -----------------------------------------------------------------------------------------


def buf(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "buf"), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def lint(image: Path) -> subprocess.CompletedProcess[str]:
    return buf("lint", image)


def breaking(image: Path) -> subprocess.CompletedProcess[str]:
    return buf("breaking", image, "--against", ROOT / "protos" / "baseline.binpb")


@pytest.mark.parametrize("check", [lint, breaking])
def test_buf_is_content(compiled: Compiled, check: Callable[[Path], subprocess.CompletedProcess[str]]):
    done = check(compiled.image)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def file_of(image: FileDescriptorSet, name: str) -> descriptor_pb2.FileDescriptorProto:
    return next(file for file in image.file if file.name == name)


def misname_a_field(image: FileDescriptorSet) -> None:
    file_of(image, "trueup/types/v1/types.proto").message_type[0].field[0].name = "currencyCode"


def misname_a_value(image: FileDescriptorSet) -> None:
    file_of(image, "trueup/types/v1/types.proto").enum_type[0].value[1].name = "LONG"


def drop_a_comment(image: FileDescriptorSet) -> None:
    file = file_of(image, "trueup/types/v1/drift.proto")
    for place in file.source_code_info.location:
        if tuple(place.path) == (4, 0, 2, 0):
            place.leading_comments = ""


def answer_with_a_bare_resource(image: FileDescriptorSet) -> None:
    service = file_of(image, "trueup/reconciler/v1/reconciler_service.proto").service[0]
    service.method[0].output_type = ".trueup.types.v1.Run"


def retype_a_field(image: FileDescriptorSet) -> None:
    file_of(image, "trueup/types/v1/types.proto").message_type[0].field[1].type = FieldDescriptorProto.TYPE_DOUBLE


def renumber_a_field(image: FileDescriptorSet) -> None:
    file_of(image, "trueup/types/v1/types.proto").message_type[0].field[1].number = 7


def delete_a_field(image: FileDescriptorSet) -> None:
    del file_of(image, "trueup/types/v1/drift.proto").message_type[0].field[-1]


def delete_a_reason(image: FileDescriptorSet) -> None:
    del file_of(image, "trueup/types/v1/errors.proto").enum_type[0].value[1]  # the last may be newer than the baseline


def delete_a_call(image: FileDescriptorSet) -> None:
    del file_of(image, "trueup/position/v1/position_service.proto").service[0].method[-1]


def unstream_a_call(image: FileDescriptorSet) -> None:
    for method in file_of(image, "trueup/reconciler/v1/reconciler_service.proto").service[0].method:
        method.server_streaming = False


@pytest.mark.parametrize(
    ("check", "spoil", "complaint"),
    [
        (lint, misname_a_field, "should be lower_snake_case"),
        (lint, misname_a_value, "should be prefixed with"),
        (lint, drop_a_comment, "should have a non-empty comment"),
        (lint, answer_with_a_bare_resource, "should be named"),
        (breaking, retype_a_field, "changed type"),
        (breaking, renumber_a_field, "deleted"),
        (breaking, delete_a_field, "deleted"),
        (breaking, delete_a_reason, "deleted"),
        (breaking, delete_a_call, "deleted"),
        (breaking, unstream_a_call, "streaming"),
    ],
)
def test_buf_notices(
    compiled: Compiled,
    tmp_path: Path,
    check: Callable[[Path], subprocess.CompletedProcess[str]],
    spoil: Callable[[FileDescriptorSet], None],
    complaint: str,
):
    image = compiled.load()
    spoil(image)
    spoiled = tmp_path / "spoiled.binpb"
    spoiled.write_bytes(image.SerializeToString())
    done = check(spoiled)
    assert done.returncode == 100, done
    assert complaint in done.stdout


# -- calls ---------------------------------------------------------------------------------------


def test_calls_are_those_of_the_design(methods: dict[str, Any]):
    promised = {f"{service}/{name}" for service, names in RPCS.items() for name in names.split()}
    assert set(methods) == promised


def test_every_call_names_its_scope(methods: dict[str, Any]):
    scopes = {name: method.options.Extensions[rules_pb2.scope] for name, method in methods.items()}
    assert [name for name, scope in scopes.items() if scope == rules_pb2.SCOPE_UNSPECIFIED] == []
    reads = {name for name, scope in scopes.items() if scope == rules_pb2.SCOPE_READ}
    assert reads == {name for name in methods if READS.match(name.partition("/")[2])} - ADMIN_READS


def test_exactly_the_reads_have_no_side_effects(methods: dict[str, Any]):
    for name, method in methods.items():
        is_read = method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        assert is_read == bool(READS.match(name.partition("/")[2])), name


def test_exactly_the_watches_stream_and_nothing_streams_requests(methods: dict[str, Any]):
    assert {name.partition("/")[2] for name, method in methods.items() if method.server_streaming} == STREAMS
    assert [name for name, method in methods.items() if method.client_streaming] == []


def bindings(method: Any) -> list[Any]:
    http = method.options.Extensions[annotations_pb2.http]
    return [http, *http.additional_bindings]


def test_every_call_has_a_rest_path(methods: dict[str, Any]):
    for name, method in methods.items():
        is_read = bool(READS.match(name.partition("/")[2]))
        for binding in bindings(method):
            verb = binding.WhichOneof("pattern")
            assert verb == "get" if is_read else verb in {"post", "patch"}, name
            assert getattr(binding, verb).startswith(("/api/", "/v1/")), name
            assert binding.body == ("" if is_read else "*"), name


def test_rest_paths_name_fields_of_the_request_and_none_is_taken_twice(methods: dict[str, Any], fields: list[Field]):
    known = {field.path for field in fields}
    seen: dict[tuple[str, str], str] = {}
    for name, method in methods.items():
        for binding in bindings(method):
            verb = binding.WhichOneof("pattern")
            path = getattr(binding, verb)
            for variable in re.findall(r"\{(\w+)", path):
                assert f"{method.input_type.removeprefix('.')}.{variable}" in known, f"{name}: {path}"
            key = (verb, re.sub(r"\{\w+(=[^}]*)?\}", lambda match: match[1] or "*", path))
            assert key not in seen, f"{name} and {seen.get(key)} share {key}"
            seen[key] = name


# -- fields --------------------------------------------------------------------------------------


def requests(methods: dict[str, Any]) -> set[str]:
    return {method.input_type.removeprefix(".") for method in methods.values()}


def test_every_request_field_says_whether_it_is_needed(methods: dict[str, Any], fields: list[Field]):
    named = requests(methods)
    asked = [field for field in fields if field.message in named]
    assert len(asked) > 100
    missing = [f.path for f in asked if len(f.proto.options.Extensions[field_behavior_pb2.field_behavior]) != 1]
    assert missing == []


def test_required_fields_are_enforced(methods: dict[str, Any], fields: list[Field]):
    """What says REQUIRED is refused when it is left out: by a rule that an empty value breaks."""
    named = requests(methods)
    for field in fields:
        behaviors = field.proto.options.Extensions[field_behavior_pb2.field_behavior]
        if field.message in named and field_behavior_pb2.REQUIRED in behaviors:
            assert field.rules.ByteSize(), f"{field.path} is REQUIRED and has no rule"
            assert field.rules.ignore != validate_pb2.IGNORE_IF_ZERO_VALUE, field.path


def is_validated(field: Field, methods: dict[str, Any]) -> bool:
    """Fields of requests and of what only requests carry: they name a behaviour."""
    return field.message in requests(methods) or bool(field.proto.options.Extensions[field_behavior_pb2.field_behavior])


def test_amounts_are_strings_with_a_decimal_rule(methods: dict[str, Any], fields: list[Field]):
    amounts = [field for field in fields if re.search(r"\bDecimal\b", field.comment)]
    assert len(amounts) > 60
    assert [field.path for field in amounts if field.proto.type != FieldDescriptorProto.TYPE_STRING] == []
    asked = [field for field in amounts if is_validated(field, methods)]
    assert len(asked) > 20
    without = [f.path for f in asked if not any(f.rules.string.Extensions[rule] for rule in DECIMAL_RULES)]
    assert without == []


def test_what_has_a_decimal_rule_says_so(fields: list[Field]):
    for field in fields:
        if any(field.rules.string.Extensions[rule] for rule in DECIMAL_RULES):
            assert "Decimal." in field.comment, field.path


def test_what_is_named_like_an_amount_is_one(fields: list[Field]):
    """A new price without the word would slip past the tests above, and past the decimal rule."""
    for field in fields:
        is_text = field.proto.type == FieldDescriptorProto.TYPE_STRING
        is_one = field.proto.label != FieldDescriptorProto.LABEL_REPEATED
        if is_text and is_one and AMOUNT.search(field.proto.name):
            if field.proto.name.endswith(("_currency", "_id", "before", "after")):
                continue
            assert re.search(r"\bDecimal\b", field.comment), field.path


def test_nothing_is_a_float(fields: list[Field]):
    floats = {FieldDescriptorProto.TYPE_FLOAT, FieldDescriptorProto.TYPE_DOUBLE}
    assert [field.path for field in fields if field.proto.type in floats] == []


def test_texts_and_lists_of_requests_are_bounded(methods: dict[str, Any], fields: list[Field]):
    for field in fields:
        if not is_validated(field, methods):
            continue
        repeated = field.proto.label == FieldDescriptorProto.LABEL_REPEATED
        if repeated:
            assert field.rules.repeated.max_items or field.rules.map.max_pairs, f"{field.path} is not bounded"
        elif field.proto.type == FieldDescriptorProto.TYPE_STRING:
            assert field.rules.string.ByteSize(), f"{field.path} is not bounded"


# -- errors --------------------------------------------------------------------------------------


def documented_reasons(compiled: Compiled) -> dict[str, tuple[str, str]]:
    """Of each reason of the contract: the status code and the comment."""
    file = file_of(compiled.load(), "trueup/types/v1/errors.proto")
    comments = {tuple(place.path): place.leading_comments.strip() for place in file.source_code_info.location}
    reasons = {}
    for at, value in enumerate(file.enum_type[0].value):
        if value.number:
            comment = comments[5, 0, 2, at]
            reasons[value.name.removeprefix("ERROR_REASON_")] = (comment.partition(":")[0], comment)
    return reasons


def table_rows() -> list[tuple[str, str, str]]:
    """Code, reasons and details of the table on top of grpckit/errors."""
    lines = (errors.__doc__ or "").splitlines()
    head = next(number for number, line in enumerate(lines) if line.split()[:2] == ["code", "reason"])
    rows = []
    for line in lines[head + 1 :]:
        if not line.strip():
            break
        code, reason, details, *_ = re.split(r"\s{2,}", line.strip())
        rows.append((code, reason, details))
    return rows


def test_the_error_table_is_the_contract(compiled: Compiled):
    documented = documented_reasons(compiled)
    assert set(errors.REASONS) == set(documented) == {
        name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()[1:]
    }  # fmt: skip
    listed: dict[str, str] = {}
    open_ended = set()
    for code, reasons, _ in table_rows():
        for reason in re.split(r"[,\s]+", reasons):
            if reason == "...":
                open_ended.add(code)
            elif reason.startswith("..."):
                matching = {name for name in documented if name.endswith(reason.removeprefix("..."))}
                listed |= dict.fromkeys(matching, code)
            else:
                listed[reason] = code
    assert set(listed) <= set(documented), "the table names reasons that the contract has not"
    for reason, (code, _) in documented.items():
        assert listed.get(reason) == code or code in open_ended, f"{reason} is {code} in errors.proto"


def test_retry_info_is_promised_alike(compiled: Compiled):
    """Where the table says RetryInfo the contract says so too."""
    for _, reasons, details in table_rows():
        for reason in re.findall(r"[A-Z_]{4,}", reasons):
            comment = documented_reasons(compiled).get(reason, ("", ""))[1]
            assert ("RetryInfo" in details) == ("RetryInfo" in comment), reason


def test_metadata_is_documented_under_the_names_it_is_sent_with(compiled: Compiled):
    """What a caller branches on stands in the contract letter by letter."""
    sent = ""
    for package in ("grpckit", "position_service", "reconciler_service"):
        sent += "".join(file.read_text() for file in (ROOT / package).rglob("*.py"))
    named, unsent = 0, []
    for reason, (_, comment) in documented_reasons(compiled).items():
        if f'"{reason}"' not in sent:
            continue  # not raised yet
        for keys in re.findall(r"Metadata: ([\w, ]+?)(?: \(|\.|, to be)", comment):
            if keys.startswith("the "):
                continue  # in words
            named += len(keys.split(", "))
            # On the wire all keys are lowerCamelCase.
            unsent += [f"{reason}: {key}" for key in keys.split(", ") if "_" in key or f'"{key}":' not in sent]
    assert named > 10
    assert unsent == []


def test_the_code_uses_reasons_with_their_documented_status(compiled: Compiled):
    documented = documented_reasons(compiled)
    used = set()
    for package in ("grpckit", "position_service", "reconciler_service"):
        for file in (ROOT / package).rglob("*.py"):
            for code, reason in re.findall(
                r"RpcError\(\s*(?:grpc\.StatusCode|_Code)\.([A-Z_]+),\s*\"([A-Z_]+)\"", file.read_text()
            ):
                used.add(reason)
                assert documented[reason][0] == code, f"{file.name}: {reason}"
    assert len(used) > 12


def test_calls_name_documented_reasons_only(compiled: Compiled):
    """What a call's comment says may go wrong is in the enum."""
    documented = documented_reasons(compiled)
    named = 0
    for file in compiled.load().file:
        if not file.name.startswith("trueup/"):
            continue
        for place in file.source_code_info.location:
            _, _, promised = place.leading_comments.partition("Errors:")
            for code, reasons in re.findall(r"([A-Z_]{4,})?,?\s*\(([A-Z_, ]{4,})\)", promised):
                for reason in reasons.split(", "):
                    named += 1
                    assert reason in documented, f"{file.name}: {reason}"
                    assert not code or documented[reason][0] == code, f"{file.name}: {reason}"
    assert named > 30
