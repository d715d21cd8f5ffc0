"""What the Reconciler can be told, by environment or TOML file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, model_validator

from grpckit.config import ListenAddress, Settings
from reconciler_service.model import Source
from reconciler_service.tables import Account, Name, PolicyRow, Share, Tolerance, once

Fraction = Annotated[Decimal, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ReconcilerSettings(Settings):
    """Names are the environment's in lower case. Shares: 0.01 is 1 %. Times are seconds."""

    reconciler_listen: ListenAddress = Field(default="127.0.0.1:50052", description="Where to listen.")
    position_address: str = Field(default="127.0.0.1:50051", description="The Position service.")
    position_key: SecretStr = Field(
        default=SecretStr(""), description="The Reconciler's own API key there: every scope, every account."
    )
    position_key_file: Path | None = Field(default=None, description="Its file, mode 0600.")
    venues: Literal["live", "simulated"] = Field(
        default="live", description="simulated: the URLs are those of a simulator, and everything is marked SIMULATED."
    )
    hyperliquid_address: str = Field(
        default="",
        validation_alias=AliasChoices("HYPERLIQUID_KEY", "HYPERLIQUID_ADDRESS"),
        description="The public 0x address to read.",
    )
    hyperliquid_account: Name = Field(default="main", description="Our name for the account at that address.")
    hyperliquid_secret: SecretStr | None = Field(default=None, description="Accepted, never needed, never used.")
    hyperliquid_spot: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Spot balances. auto: compared where the book keeps spot positions of the account, read in any "
        "case; on: always compared; off: not read.",
    )
    hyperliquid_sub_accounts: str = Field(
        default="", description="Sub-accounts to read too, as main/<name>: all, or names or addresses, comma separated."
    )
    hyperliquid_cash: str = Field(
        default="USDC,USDH,USDE,USDT0", description="Spot tokens that are no positions, comma separated."
    )
    hyperliquid_assets: str = Field(
        default="", description="What spot tokens stand for where the rule does not know it, e.g. UFART=FARTCOIN."
    )
    hyperliquid_api_url: str = Field(default="", description="Another base URL than the venue's own.")

    hyperliquid_ws_url: str = Field(default="", description="Another WebSocket than the one beside the base URL.")

    coinbase_key: SecretStr = Field(
        default=SecretStr(""), description="The name of a view-only CDP key, or its key file's JSON."
    )
    coinbase_secret: SecretStr = Field(
        default=SecretStr(""), description="The key's private part: EC or Ed25519, PEM or base64."
    )
    coinbase_key_file: Path | None = Field(default=None, description="The key file, instead of the two above.")
    coinbase_account: Name = Field(default="main", description="Our name for the portfolio the key is bound to.")
    coinbase_api_url: str = Field(default="", description="Another base URL than the venue's own.")
    coinbase_ws_url: str = Field(
        default="", description="Other WebSockets than the venue's own, comma separated: the first, then its stand-ins."
    )
    coinbase_jwt_host: str = Field(
        default="api.coinbase.com", description="The host that tokens name; the venue's own, whatever the base URL."
    )
    coinbase_allow_trading_key: str = Field(
        default="", description="The name of a key that may be used although it can trade or transfer."
    )
    coinbase_requests_per_second: Annotated[float, Field(ge=0.1, le=30)] = Field(
        default=2.5, description="Request budget."
    )
    coinbase_futures: Literal["auto", "required", "off"] = Field(
        default="auto",
        description="auto: 403 and 404 mean none, unless the book holds some; required: they are failures; off: never asked.",
    )
    coinbase_cash: str = Field(
        default="USD,USDC,USDT,PYUSD,EUR,EURC,GBP,CAD,AUD,SGD,CHF,JPY,BRL",
        description="Currencies that are no positions, comma separated.",
    )

    accounts: tuple[Account, ...] = Field(
        default=(), max_length=100, description="More accounts: [[accounts]] tables of the file, with venue and name."
    )

    reconciliation_interval: Seconds = Field(default=60.0, description="Between cycles.")
    push: bool = Field(
        default=True, description="Listen to the venues' WebSockets, and reconcile at once when one says of a change."
    )
    mark_interval: Seconds = Field(
        default=1.0, description="Between two times that marks which the venues push are brought into the book."
    )
    reconciler_lease_ttl: Annotated[float, Field(ge=0.5, le=600)] = Field(
        default=5.0, description="Of several Reconcilers one is active; killed, it is replaced after this time."
    )
    confirmation_delay: Annotated[float, Field(ge=0, le=60)] = Field(
        default=0.4,
        description="Between the look that finds and the look that confirms. A fill that takes longer into the book is "
        "told as a drift until it is there.",
    )
    state_max_age: Seconds = Field(default=10.0, description="A venue's state that is older is not believed.")
    venue_timeout: Seconds = Field(default=30.0, description="For one snapshot of a venue.")
    fills_lookback: Annotated[float, Field(gt=0, le=90)] = Field(
        default=7.0, description="Days of fills searched for what explains a drift."
    )
    progress_interval: Seconds = Field(default=5.0, description="Between messages on a quiet drift stream.")

    size_tolerance: Share = Field(default=Decimal(0), description="Share of the size; a size step always counts.")
    size_tolerance_usd: Annotated[Decimal, Field(ge=0)] = Field(
        default=Decimal(1), description="Differences worth less are dust."
    )
    price_tolerance: Share = Field(default=Decimal("0.0001"), description="Share of the entry price.")
    leverage_tolerance: Annotated[Decimal, Field(ge=0)] = Field(default=Decimal("0.01"), description="Absolute.")
    liquidation_tolerance: Share = Field(
        default=Decimal("0.01"), description="Share of the liquidation price, isolated margin."
    )
    liquidation_tolerance_cross: Share = Field(default=Decimal("0.1"), description="The same under cross margin.")
    tolerances: Annotated[tuple[Tolerance, ...], AfterValidator(once("venue", "symbol"))] = Field(
        default=(),
        max_length=10_000,
        description="Others for a venue, a symbol or both: [[tolerances]] tables of the file; the most specific wins.",
    )
    policies: Annotated[tuple[PolicyRow, ...], AfterValidator(once("kind", "venue", "symbol"))] = Field(
        default=(),
        max_length=10_000,
        description="What is mended without being asked: [[policies]] tables of the file; by default nothing is.",
    )
    hl_allocation: Fraction = Field(default=Decimal("0.80"), description="Target share of Hyperliquid.")
    cb_allocation: Fraction = Field(default=Decimal("0.20"), description="Target share of Coinbase.")
    allocation_tolerance: Fraction = Field(default=Decimal("0.05"), description="How far off a share may be.")
    allocation_release: Fraction | None = Field(
        default=None, description="A share's case ends only within this; by default 4/5 of ALLOCATION_TOLERANCE."
    )
    equity_tolerance: Annotated[Decimal, Field(ge=0)] = Field(
        default=Decimal(1), description="USD that an account may be worth more or less than explained."
    )
    equity_alerts: bool = Field(default=False, description="Make a drift of such a gap; else runs only report it.")
    equity_baseline: Literal["kept", "new"] = Field(
        default="kept",
        description="kept: what an account is worth is explained since the same start, whichever Reconciler runs; new: "
        "since this process began, which is how to take accounts as they are.",
    )
    quote_currencies: str = Field(default="USD,USDC", description="Currencies that count as USD, comma separated.")

    @model_validator(mode="after")
    def _releases_within_the_tolerance(self) -> Self:
        if self.allocation_release is not None and self.allocation_release > self.allocation_tolerance:
            raise ValueError("ALLOCATION_RELEASE must not be above ALLOCATION_TOLERANCE: a case would end as it begins")
        return self

    @property
    def source(self) -> Source:
        """Only what is said to be simulated is; everything else is real."""
        return Source.SIMULATED if self.venues == "simulated" else Source.LIVE

    @property
    def all_accounts(self) -> tuple[Account, ...]:
        """Every account to read: the single ones of the environment first, then those of the file."""
        single = []
        if self.hyperliquid_address:
            single.append(
                Account.model_construct(
                    venue="hyperliquid", name=self.hyperliquid_account, address=self.hyperliquid_address
                )
            )
        if self.coinbase_key_file is not None or self.coinbase_key or self.coinbase_secret:
            single.append(
                Account.model_construct(
                    venue="coinbase",
                    name=self.coinbase_account,
                    key=self.coinbase_key,
                    secret=self.coinbase_secret,
                    key_file=self.coinbase_key_file,
                    allow_trading_key=self.coinbase_allow_trading_key,
                )
            )
        return *single, *self.accounts
