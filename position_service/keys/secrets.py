"""Where the pepper and the root key come from."""

from __future__ import annotations

from pathlib import Path

from grpckit.errors import StartupError
from grpckit.secret_file import keep_secret, secret_of
from position_service.keys.keeper import Secrets
from position_service.keys.key import PEPPER_BYTES
from position_service.settings import PositionSettings

PEPPER_FILE = "key-pepper"
ROOT_KEY_FILE = "root.key"


def load_secrets(settings: PositionSettings, folder: Path | None, *, required: bool) -> Secrets:
    """Reads them as the settings say; with an embedded database, whose ``folder`` it is, makes what is missing there.

    Raises StartupError for a file that others may read, for what is too short to be secret, and without a pepper where
    keys are required.
    """
    pepper = secret_of(settings.key_pepper, settings.key_pepper_file, "KEY_PEPPER")
    root_key = secret_of(settings.root_key, settings.root_key_file, "ROOT_KEY")
    if folder is not None:
        pepper = pepper or keep_secret(folder / PEPPER_FILE)
        root_key = root_key or (keep_secret(folder / ROOT_KEY_FILE) if required else "")
    for name, secret in (("KEY_PEPPER", pepper), ("ROOT_KEY", root_key)):
        if secret and len(secret) < PEPPER_BYTES:
            raise StartupError(f"{name} is too short to be secret: {PEPPER_BYTES} random characters are needed")
    if required and not pepper:
        raise StartupError(
            "API keys are required, and there is no pepper to check them with: put 32 random characters into a file of "
            "mode 0600 and name it in KEY_PEPPER_FILE (AUTH=off switches keys off, on loopback)"
        )
    return Secrets(pepper.encode(), root_key)
