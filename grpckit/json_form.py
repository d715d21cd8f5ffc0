"""Messages as JSON: proto3's canonical form with the contract's own field names.

64-bit integers are strings, as canonical JSON has them: JavaScript would round a large revision. Fields that hold their
default are written, so that a reader always finds the key; absent messages are left out.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message


def to_json(message: Message) -> dict[str, Any]:
    """Returns a message as JSON has it."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def dumps(value: object) -> bytes:
    """Writes JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
