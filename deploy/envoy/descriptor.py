"""Write the descriptor set that Envoy transcodes by: the contracts with their HTTP annotations, and what errors carry.

Usage: python deploy/envoy/descriptor.py build/envoy.binpb
"""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2, status_pb2
from trueup.position.v1 import position_service_pb2
from trueup.reconciler.v1 import reconciler_service_pb2


def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """Every file after those that it imports."""
    found = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for needed in file.dependencies:
            add(needed)
        file.CopyToProto(found.file.add())

    for module in (position_service_pb2, reconciler_service_pb2, status_pb2, error_details_pb2):
        add(module.DESCRIPTOR)
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(descriptor_set().SerializeToString(deterministic=True))
