"""The tables of the settings file: what takes a row each because there may be any number of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

VenueName = Literal["hyperliquid", "coinbase"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/@#+-]{1,64}$")]  # the contract's rule for names


class Row(BaseModel):
    """A misspelt key is an error: what it was meant to say would be missed without a word."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Account(Row):
    """``[[accounts]]``: one account at one venue. ``name`` is ours; the rest is how the venue knows it."""

    venue: VenueName
    name: Name = "main"
    address: str = ""
    key: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")
    key_file: Path | None = None
    allow_trading_key: str = ""

    @model_validator(mode="after")
    def _has_what_its_venue_needs(self) -> Self:
        has_key = bool(self.key or self.secret or self.key_file)
        if self.venue == "hyperliquid":
            if has_key or self.allow_trading_key:
                raise ValueError("a hyperliquid account has no key: remove it, the public 0x address is all it takes")
            if not self.address:
                raise ValueError('a hyperliquid account needs its public address: address = "0x..."')
        elif self.address:
            raise ValueError("a coinbase account has no address: remove it, the key is bound to its portfolio")
        elif not has_key:
            raise ValueError('a coinbase account needs a view-only key: key_file = "...", or key and secret')
        elif self.key_file is not None and (self.key or self.secret):
            raise ValueError("a coinbase account takes either key_file, or key and secret: remove one of them")
        return self
