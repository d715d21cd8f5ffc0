"""What the Position service can be told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from pydantic import Field, SecretStr

from grpckit.config import ListenAddress, Settings


class PositionSettings(Settings):
    """Environment variables, or the keys of the TOML file named by TRUEUP_CONFIG."""

    position_listen: ListenAddress = Field(default="127.0.0.1:50051", description="Where to serve gRPC.")
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL to use; empty starts the embedded one."
    )
    db_path: Path | None = Field(
        default=None, description="Folder of the embedded PostgreSQL; /var/lib/trueup as root, else in the home folder."
    )
    allow_unsafe_database: bool = Field(
        default=False, description="Accept a PostgreSQL that may lose acknowledged commits."
    )
    liquidation_threshold: Decimal = Field(
        default=Decimal(5), ge=0, le=100, description="Percent of the mark at which a position is at risk."
    )
    maintenance_margin: Decimal = Field(
        default=Decimal("0.0125"),
        ge=0,
        lt=1,
        description="Share of the notional to be kept as margin, for estimates of liquidation prices.",
    )
    mark_max_age: float = Field(
        default=300.0,
        gt=0,
        le=31_536_000,
        description="Seconds after which a mark is too old for the portfolio's sums.",
    )
    retention_days: int = Field(
        default=60, ge=1, le=36_500, description="Days after which PurgeClosedPositions removes ended positions."
    )
    watch_progress_interval: float = Field(
        default=5.0, gt=0, le=3600, description="Seconds after which a quiet stream says that it lives."
    )
    commit_linger_ms: float = Field(
        default=20.0, ge=0, le=100, description="The most a batch waits for company; the less, the smaller the crowd."
    )
    key_pepper: SecretStr = Field(
        default=SecretStr(""), description="What stored API keys are digested with: 32 random characters or more."
    )
    key_pepper_file: Path | None = Field(
        default=None, description="Its file, mode 0600; the embedded PostgreSQL's folder has one."
    )
    root_key: SecretStr = Field(
        default=SecretStr(""), description="A key that may do everything, to make the first others with."
    )
    root_key_file: Path | None = Field(
        default=None, description="Its file, mode 0600; the embedded PostgreSQL's folder has one where keys are needed."
    )
