"""What the command line can be told, by environment or by the TOML file of the services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import Field, SecretStr

from grpckit.config import OptionalListenAddress, Settings
from grpckit.secret_file import secret_in_use

SIMULATOR_URL = "http://127.0.0.1:8100"  # of Hyperliquid's simulator, unless told otherwise


class CliSettings(Settings):
    """Names are the environment's in lower case."""

    position_address: str = Field(default="127.0.0.1:50051", description="The Position service.")
    reconciler_address: str = Field(default="127.0.0.1:50052", description="The Reconciler.")
    trueup_key: SecretStr = Field(default=SecretStr(""), description="The API key to call with.")
    trueup_key_file: Path | None = Field(default=None, description="Its file, mode 0600.")
    simulator_listen: OptionalListenAddress = Field(
        default="127.0.0.1:8100", description="Where `trueup up` serves a SIMULATED venue; taken: at a free port."
    )
    simulator_url: str = Field(default=SIMULATOR_URL, description="The control of a SIMULATED venue.")

    @property
    def key(self) -> Callable[[], str]:
        """What tells the API key, as its file is now; empty for none. Raises StartupError."""
        return secret_in_use(self.trueup_key, self.trueup_key_file, "TRUEUP_KEY")
