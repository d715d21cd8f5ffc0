"""The tables of the settings file: what takes a row each because there may be any number of them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

VenueName = Literal["hyperliquid", "coinbase"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/@#+-]{1,64}$")]  # the contract's rule for names

Share = Annotated[Decimal, Field(ge=0, lt=1)]
Amount = Annotated[Decimal, Field(ge=0)]


class Row(BaseModel):
    """A misspelt key is an error: what it was meant to say would be missed without a word."""

    model_config = ConfigDict(extra="forbid", frozen=True)


RowType = TypeVar("RowType", bound=Row)


def once(*names: str) -> Callable[[tuple[RowType, ...]], tuple[RowType, ...]]:
    """A validator: no two rows are for the same thing, as which of them counts would be anybody's guess."""

    def check(rows: tuple[RowType, ...]) -> tuple[RowType, ...]:
        seen: set[tuple[str, ...]] = set()
        for index, row in enumerate(rows):
            key = tuple(str(getattr(row, name)) for name in names)
            if key in seen:
                told = ", ".join(f"{name} {value}" for name, value in zip(names, key, strict=True) if value)
                raise ValueError(f"row {index} is for the same as one before it ({told}): remove one of them")
            seen.add(key)
        return rows

    return check


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


class Tolerance(Row):
    """``[[tolerances]]``: other tolerances for a venue, a symbol, or a symbol at a venue. Shares: 0.01 is 1 %."""

    venue: VenueName | Literal[""] = ""
    symbol: Name | Literal[""] = ""
    size: Share | None = None
    price: Share | None = None
    usd: Amount | None = None
    leverage: Amount | None = None
    liquidation: Share | None = None
    liquidation_cross: Share | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.venue and not self.symbol:
            raise ValueError("needs a venue, a symbol or both: what is for everything is set by SIZE_TOLERANCE etc.")
        if not self.values:
            raise ValueError("sets nothing: give size, price, usd, leverage, liquidation or liquidation_cross")
        return self

    @property
    def values(self) -> dict[str, Decimal]:
        """What it sets, under the names that compare has for it."""
        given = {
            "size": self.size,
            "price": self.price,
            "usd": self.usd,
            "leverage": self.leverage,
            "liquidation_isolated": self.liquidation,
            "liquidation_cross": self.liquidation_cross,
        }
        return {name: value for name, value in given.items() if value is not None}


PolicyKind = Literal[
    "MISSING_LOCALLY",
    "MISSING_AT_VENUE",
    "SIZE",
    "SIDE",
    "ENTRY_PRICE",
    "LEVERAGE",
    "MARGIN_MODE",
    "LIQUIDATION_PRICE",
    "OVERDUE",
]
_WITHOUT_FILLS = frozenset({"LEVERAGE", "MARGIN_MODE", "LIQUIDATION_PRICE"})


class PolicyRow(Row):
    """``[[policies]]``: what to do by itself about a kind of drift, perhaps of one venue or symbol only.

    ``max_usd`` is the most that one correction may be about, in USD.
    """

    kind: PolicyKind
    venue: VenueName | Literal[""] = ""
    symbol: Name | Literal[""] = ""
    action: Literal["ALERT", "ADOPT_VENUE", "APPLY_FILLS"]
    max_usd: Amount = Decimal(1_000)

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        if self.action == "APPLY_FILLS" and self.kind in _WITHOUT_FILLS:
            raise ValueError(f"no fill ever changes {self.kind}: its action is ADOPT_VENUE or ALERT")
        return self
