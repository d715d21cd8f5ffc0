"""Opens the adapters of the accounts that the settings name, or says what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pydantic import SecretStr

from grpckit.errors import StartupError
from grpckit.secret_file import require_private
from reconciler_service.health import Health
from reconciler_service.model import Source
from reconciler_service.runner import unconfigured
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.tables import Account
from reconciler_service.venues import Venue, VenueRefused
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.coinbase import adapter as coinbase
from reconciler_service.venues.coinbase import auth
from reconciler_service.venues.coinbase import push as coinbase_push
from reconciler_service.venues.coinbase.adapter import Coinbase
from reconciler_service.venues.http import base_of
from reconciler_service.venues.hyperliquid import adapter as hyperliquid
from reconciler_service.venues.hyperliquid.adapter import Hyperliquid
from reconciler_service.venues.hyperliquid.spot import SpotSettings
from reconciler_service.venues.push import checked_url, socket_url

# What errors call the settings of an account of the file.
_ADDRESS_IN_FILE = "address in the settings file"
_KEY_IN_FILE = auth.Called(
    *(f"{name} in the settings file" for name in ("key", "secret", "key_file", "allow_trading_key"))
)


@dataclass(frozen=True, slots=True)
class _Common:
    """What the accounts of one venue have in common."""

    hyperliquid: hyperliquid.Common = field(default_factory=hyperliquid.Common)
    portfolios: dict[str, str] = field(default_factory=dict)  # at Coinbase: whose each is


def open_venues(settings: ReconcilerSettings) -> tuple[list[Venue], list[Health]]:
    """The adapters of the accounts that are configured, and the health of venues that have none. Raises StartupError."""
    venues: list[Venue] = []
    names: set[tuple[str, str]] = set()
    owners: dict[str, str] = {}
    common = _Common()
    for account in settings.all_accounts:
        if (account.venue, account.name) in names:
            raise StartupError(
                f"accounts: {account.venue} has two accounts of the name {account.name}: rename one of them (in the "
                f"file by name, that of the environment by {account.venue.upper()}_ACCOUNT) or remove it"
            )
        names.add((account.venue, account.name))
        try:
            identity, venue = _OPENERS[account.venue](settings, account, common)
        except VenueRefused as error:
            where = f"accounts: {account.venue} account {account.name}: " if account in settings.accounts else ""
            raise StartupError(f"{where}{error}") from None
        if other := owners.get(identity):
            raise StartupError(
                f"accounts: {account.name} is the same {account.venue} account as {other}: remove one of them, or "
                "what it holds counts twice"
            )
        owners[identity] = account.name
        venues.append(venue)
    configured = {venue.name for venue in venues}
    missing = [
        unconfigured(name, account, settings.source, why)
        for name, account, why in (
            (Hyperliquid.name, settings.hyperliquid_account, "no address: set HYPERLIQUID_KEY"),
            (
                Coinbase.name,
                settings.coinbase_account,
                "no key: set COINBASE_KEY and COINBASE_SECRET, or COINBASE_KEY_FILE",
            ),
        )
        if name not in configured
    ]
    return venues, missing


def _hyperliquid(settings: ReconcilerSettings, account: Account, common: _Common) -> tuple[str, Venue]:
    if settings.source is Source.SIMULATED and not settings.hyperliquid_api_url:
        raise StartupError("VENUES=simulated needs HYPERLIQUID_API_URL, the simulator's URL")
    read = hyperliquid_settings(settings)
    if account in settings.accounts:
        read = replace(read, called=_ADDRESS_IN_FILE)
    return hyperliquid.checked_address(account.address, read.called), Hyperliquid(
        account.address,
        source=settings.source,
        account=account.name,
        base_url=settings.hyperliquid_api_url or hyperliquid.BASE_URL,
        settings=read,
        push_urls=_push_urls(
            settings, settings.hyperliquid_ws_url, settings.hyperliquid_api_url or hyperliquid.BASE_URL
        ),
        common=common.hyperliquid,
    )


def hyperliquid_settings(settings: ReconcilerSettings) -> hyperliquid.Settings:
    """What to read of an address. Raises StartupError."""
    pairs = [pair.partition("=")[::2] for pair in listed(settings.hyperliquid_assets)]
    if not all(token and asset for token, asset in pairs):
        raise StartupError("HYPERLIQUID_ASSETS is a list of TOKEN=ASSET, e.g. UFART=FARTCOIN,UPUMP=PUMP")
    cash = listed(settings.hyperliquid_cash) or ("USDC",)
    spot = SpotSettings(cash, dict(pairs), if_booked=settings.hyperliquid_spot == "auto")
    return hyperliquid.Settings(
        spot=None if settings.hyperliquid_spot == "off" else spot,
        sub_accounts=listed(settings.hyperliquid_sub_accounts),
    )


def _coinbase(settings: ReconcilerSettings, account: Account, common: _Common) -> tuple[str, Venue]:
    called = _KEY_IN_FILE if account in settings.accounts else auth.ENVIRONMENT
    if account.key_file is not None:
        if account.key_file.exists():  # otherwise it is the venue's error, as ever
            require_private(account.key_file, called.key_file)
        name, secret = SecretStr(""), auth.key_file(account.key_file, called)
    else:
        name, secret = account.key, account.secret
    if settings.source is Source.SIMULATED and not settings.coinbase_api_url:
        raise StartupError("VENUES=simulated needs COINBASE_API_URL, the simulator's URL")
    base_url = settings.coinbase_api_url or coinbase.BASE_URL
    rate = coinbase.per_minute(settings.coinbase_requests_per_second)
    key = auth.key(name, secret, called)
    return key.name, Coinbase(
        key,
        source=settings.source,
        account=account.name,
        base_url=base_url,
        jwt_host=settings.coinbase_jwt_host,
        settings=coinbase.Settings(
            quotes=listed(settings.quote_currencies) or ("USD",),
            cash=frozenset(listed(settings.coinbase_cash)),
            futures=settings.coinbase_futures,
            allow_trading_key=account.allow_trading_key,
            called=called,
        ),
        budget=WeightBudget.shared(str(base_of(base_url).origin()), rate),
        portfolios=common.portfolios,
        push_urls=_push_urls(settings, settings.coinbase_ws_url, base_url),
    )


_OPENERS = {"hyperliquid": _hyperliquid, "coinbase": _coinbase}


def _push_urls(settings: ReconcilerSettings, stated: str, base_url: str) -> tuple[str, ...]:
    """Where to listen; nowhere when told not to. Raises VenueRefused."""
    if not settings.push:
        return ()
    own = {coinbase.BASE_URL: coinbase_push.URLS}
    return tuple(map(checked_url, listed(stated))) or own.get(base_url.rstrip("/")) or (socket_url(base_url),)


def listed(names: str) -> tuple[str, ...]:
    """Comma-separated names, each once, in their order."""
    return tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
