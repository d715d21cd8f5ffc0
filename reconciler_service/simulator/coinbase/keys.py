"""Makes keys of the SIMULATED venue, in the form in which Coinbase hands out its own. They open nothing real."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from reconciler_service.simulator.coinbase.gate import ApiKey


def new_key(*, can_trade: bool = False) -> tuple[ApiKey, str]:
    """A key, and the key file that its owner gets: JSON with ``name`` and ``privateKey``."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    name = f"organizations/{uuid.uuid4()}/apiKeys/{uuid.uuid4()}"
    return ApiKey(name, private.public_key(), can_trade=can_trade), json.dumps({"name": name, "privateKey": pem})


def write(path: Path, key_file: str) -> None:
    """Write a key file that only its owner can read. Raises OSError."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(key_file)
