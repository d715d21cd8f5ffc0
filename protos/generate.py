"""Compile the contracts: stubs to ``protos/gen``, descriptor image to the path given (default ``build/trueup.binpb``).

The comments of the contracts are the documentation of the HTTP edge, and stubs have none: they go to
``protos/gen/trueup/comments.json``, by the full name of what they are about. For other languages there is
``protos/gen/trueup/plain.binpb``: the contracts without our options (rules, HTTP paths, scopes), which every protoc and
gRPC of the last years reads, and which needs no other file. It says what Go and Java want to know: that a package is
imported by its folder, and that each Java class has its own file. ``protos/gen/trueup/transcoding.binpb`` is the same with
HTTP paths and what errors carry: Envoy makes gRPC of JSON by it. For Java the paths would be unknown options, so it is
another file.

Usage: python protos/generate.py [--out DIR] [--image FILE]

Only our own files stand in this folder. The imports come from the installed packages: google/api as .proto files of
googleapis-common-protos, buf/validate as the descriptor inside our own compiled stub of it, which protoc takes as
input and writes again. So nothing is downloaded and nothing is vendored.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from google.rpc import error_details_pb2
from grpc_tools import protoc

HERE = Path(__file__).parent
RULES = "trueup/types/v1/rules.proto"  # options, and an enum:
SCOPE = '".trueup.types.v1.Scope"'
sys.path.insert(0, str(HERE / "gen"))

from buf.validate import validate_pb2  # noqa: E402 - found through the line above


def validate_descriptors() -> bytes:
    """A FileDescriptorSet of buf/validate/validate.proto and what it imports."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2, validate_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return files.SerializeToString()


def run(*arguments: str) -> None:
    """Run protoc, quit with its code when it fails."""
    if code := protoc.main(["protoc", *arguments]):
        sys.exit(code)


def comments(image: Path) -> dict[str, str]:
    """What stands above each message, field, enum, value, service and method of ours, by its full name."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    found = {}
    for file in files.file:
        if not file.name.startswith("trueup/"):
            continue
        for location in file.source_code_info.location:
            text = "\n".join(line.strip() for line in location.leading_comments.strip().splitlines())
            if text and len(location.path) % 2 == 0:
                found[name_of(file, list(location.path))] = text
    return dict(sorted(found.items()))


def name_of(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """The full name of what a source location points at: pairs of a field's number and an index."""
    names, at = [file.package], file
    for number, index in zip(path[::2], path[1::2], strict=True):
        at = getattr(at, at.DESCRIPTOR.fields_by_number[number].name)[index]
        names.append(at.name)
    return ".".join(names)


def plain(image: Path) -> bytes:
    """A FileDescriptorSet of the contracts without what extends options, so with no imports but the well-known types."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    dropped = {file.name for file in files.file if not file.name.startswith(("trueup/", "google/protobuf/"))}
    dropped.add("google/protobuf/descriptor.proto")
    kept = descriptor_pb2.FileDescriptorSet()
    for file in files.file:
        if file.name in dropped:
            continue
        file.ClearField("source_code_info")
        unused = dropped if SCOPE in str(file.message_type) else dropped | {RULES}
        imports = [name for name in file.dependency if name not in unused]
        del file.dependency[:]
        file.dependency.extend(imports)
        if file.name == RULES:  # an edition, so that it could extend others' options: what is left is proto3
            file.ClearField("edition")
            file.ClearField("options")
            file.ClearField("extension")
            file.syntax = "proto3"
        if file.package.startswith("trueup."):
            file.options.java_multiple_files = True
            _, *names = file.package.split(".")
            file.options.go_package = f"trueup/{'/'.join(names)};{''.join(names)}"
        for service in file.service:
            for method in service.method:
                method.ClearField("options")
        for message in file.message_type:
            _without_options(message)
        kept.file.append(file)
    return kept.SerializeToString(deterministic=True)


def transcoding(image: Path) -> bytes:
    """The same FileDescriptorSet with the HTTP path of each method, and the messages that errors carry."""
    paths = {
        (file.name, service.name, method.name): method.options.Extensions[annotations_pb2.http]
        for file in descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
        for service in file.service
        for method in service.method
    }
    kept = descriptor_pb2.FileDescriptorSet.FromString(plain(image))
    for file in kept.file:
        for service in file.service:
            for method in service.method:
                path = paths[file.name, service.name, method.name]
                method.options.Extensions[annotations_pb2.http].CopyFrom(path)
    error_details_pb2.DESCRIPTOR.CopyToProto(kept.file.add())
    return kept.SerializeToString(deterministic=True)


def _without_options(message: descriptor_pb2.DescriptorProto) -> None:
    """Clear what is ours; what protobuf itself needs to know (map entries) stays."""
    for field in message.field:
        field.ClearField("options")
    is_map = message.options.map_entry
    message.ClearField("options")
    if is_map:
        message.options.map_entry = True
    for nested in message.nested_type:
        _without_options(nested)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "gen")
    parser.add_argument("--image", type=Path, default=HERE.parent / "build" / "trueup.binpb")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.image.parent.mkdir(parents=True, exist_ok=True)
    ours = sorted(str(path.relative_to(HERE)) for path in (HERE / "trueup").rglob("*.proto"))
    google_api = Path(annotations_pb2.__file__).parents[2]
    well_known = Path(protoc.__file__).parent / "_proto"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as known:
        known.write(validate_descriptors())
        known.flush()
        imports = (f"-I{HERE}", f"-I{google_api}", f"-I{well_known}", f"--descriptor_set_in={known.name}")
        python = (f"--python_out={options.out}", f"--pyi_out={options.out}")
        grpc = (f"--grpc_python_out={options.out}", f"--mypy_grpc_out=only_async:{options.out}")
        run(*imports, *python, "buf/validate/validate.proto")
        run(*imports, *python, *grpc, *ours)
        image = ("--include_imports", "--include_source_info", f"--descriptor_set_out={options.image}")
        run(*imports, *image, *ours)
    texts = json.dumps(comments(options.image), indent=0, ensure_ascii=False)
    (options.out / "trueup" / "comments.json").write_text(texts + "\n", encoding="utf-8")
    (options.out / "trueup" / "plain.binpb").write_bytes(plain(options.image))
    (options.out / "trueup" / "transcoding.binpb").write_bytes(transcoding(options.image))


if __name__ == "__main__":
    main()
