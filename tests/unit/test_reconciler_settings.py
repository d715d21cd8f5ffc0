"""Settings and what is opened from them; the errors of the Position service on their way through."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest

from grpckit.errors import StartupError
from reconciler_service.app import rules
from reconciler_service.correct import Action
from reconciler_service.findings import Kind
from reconciler_service.model import Source
from reconciler_service.opening import hyperliquid_settings, open_venues
from reconciler_service.policies import Policies, Policy
from reconciler_service.servicer import translate
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.venues.coinbase import adapter as coinbase
from reconciler_service.venues.hyperliquid.spot import CASH, SpotSettings
from tests.coinbase_samples import KEY_NAME, SEC1

ADDRESS = "0x" + "ab" * 20
KEY = "0x" + "cd" * 32


@pytest.mark.parametrize("name", ["HYPERLIQUID_KEY", "HYPERLIQUID_ADDRESS"])
def test_the_address_goes_by_both_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, ADDRESS)
    assert ReconcilerSettings.load().hyperliquid_address == ADDRESS


def test_names_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "RECONCILER_LISTEN": "127.0.0.1:1234",
        "POSITION_ADDRESS": "127.0.0.1:4321",
        "RECONCILIATION_INTERVAL": "7.5",
        "CONFIRMATION_DELAY": "0.1",
        "SIZE_TOLERANCE": "0.001",
        "PRICE_TOLERANCE": "0.002",
        "LEVERAGE_TOLERANCE": "0.5",
        "HYPERLIQUID_SECRET": "canary",
        "QUOTE_CURRENCIES": "USD, USDT",
        "VENUES": "simulated",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = ReconcilerSettings.load()
    made = rules(settings)
    assert (settings.reconciler_listen, settings.position_address) == ("127.0.0.1:1234", "127.0.0.1:4321")
    assert (settings.reconciliation_interval, made.confirm_after_s) == (7.5, 0.1)
    assert (made.tolerances.size, made.tolerances.price, made.tolerances.leverage) == (
        Decimal("0.001"),
        Decimal("0.002"),
        Decimal("0.5"),
    )
    assert made.search.quote == {"USD", "USDT"}
    assert settings.source is Source.SIMULATED
    assert "canary" not in repr(settings)


def test_nothing_is_simulated_unless_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERLIQUID_API_URL", "http://127.0.0.1:8100")
    settings = ReconcilerSettings.load()
    assert settings.source is Source.LIVE
    venues, missing = open_venues(settings)
    assert not venues
    assert [(one.venue, one.state.value, one.last_error) for one in missing] == [
        ("hyperliquid", "UNCONFIGURED", "no address: set HYPERLIQUID_KEY"),
        ("coinbase", "UNCONFIGURED", "no key: set COINBASE_KEY and COINBASE_SECRET, or COINBASE_KEY_FILE"),
    ]


async def test_a_configured_venue_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERLIQUID_ADDRESS", ADDRESS)
    monkeypatch.setenv("HYPERLIQUID_ACCOUNT", "second")
    (venue,), (missing,) = open_venues(ReconcilerSettings.load())
    assert missing.venue == "coinbase"
    assert (venue.name, venue.account, venue.source) == ("hyperliquid", "second", Source.LIVE)
    await venue.close()


async def test_coinbase_is_opened_by_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINBASE_KEY", KEY_NAME)
    monkeypatch.setenv("COINBASE_SECRET", SEC1.replace("\n", "\\n"))
    monkeypatch.setenv("COINBASE_ACCOUNT", "second")
    monkeypatch.setenv("COINBASE_API_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("COINBASE_REQUESTS_PER_SECOND", "0.5")
    settings = ReconcilerSettings.load()
    (venue,), (missing,) = open_venues(settings)
    assert missing.venue == "hyperliquid"
    assert (venue.name, venue.account, venue.source) == ("coinbase", "second", Source.LIVE)
    assert venue.budget_left == 30
    await venue.close()
    for line in SEC1.splitlines()[1:-1]:
        assert line not in repr(settings)


def test_one_question_that_hangs_leaves_time_for_the_other_scopes() -> None:
    in_a_row = 3  # accounts, products, prices
    assert in_a_row * coinbase.PATIENCE.retries.deadline_s < ReconcilerSettings().venue_timeout


async def test_coinbase_is_opened_by_its_key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cdp.json"
    file.write_text(json.dumps({"name": KEY_NAME, "privateKey": SEC1}))
    monkeypatch.setenv("COINBASE_KEY_FILE", str(file))
    with pytest.raises(StartupError, match=r"COINBASE_KEY_FILE.*chmod 600"):
        open_venues(ReconcilerSettings.load())
    file.chmod(0o600)
    (venue,), _ = open_venues(ReconcilerSettings.load())
    assert venue.name == "coinbase"
    await venue.close()


@pytest.mark.parametrize("name", ["HYPERLIQUID_ACCOUNT", "COINBASE_ACCOUNT"])
def test_an_account_is_called_what_the_contracts_take_for_a_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The ledger would refuse every run of it."""
    monkeypatch.setenv(name, "my desk")
    with pytest.raises(StartupError, match=name):
        ReconcilerSettings.load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coinbase_key": "canary"}, "COINBASE_KEY must be the key's name"),
        ({"coinbase_secret": "canary"}, "COINBASE_KEY must be the key's name"),
        ({"coinbase_key": KEY_NAME, "coinbase_secret": "canary"}, "COINBASE_SECRET"),
        ({"coinbase_key": KEY_NAME, "coinbase_secret": SEC1, "venues": "simulated"}, "COINBASE_API_URL"),
        ({"coinbase_key": KEY_NAME, "coinbase_secret": SEC1, "coinbase_jwt_host": "https://x"}, "COINBASE_JWT_HOST"),
        ({"coinbase_key_file": "/nowhere.json"}, "COINBASE_KEY_FILE"),
        ({"HYPERLIQUID_ADDRESS": KEY}, "private key"),
        ({"HYPERLIQUID_ADDRESS": ADDRESS, "venues": "simulated"}, "HYPERLIQUID_API_URL"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start_without_repeating_it(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StartupError, match=message) as raised:
        open_venues(ReconcilerSettings(**settings))
    assert KEY not in str(raised.value)
    assert "canary" not in str(raised.value)


def failed(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "")


def test_what_the_position_service_does_not_name_is_that_it_does_not_answer() -> None:
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        known = translate(failed(code))
        assert known is not None
        assert (known.code, known.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert translate(failed(grpc.StatusCode.INTERNAL)) is None
    assert translate(ValueError()) is None


def test_what_is_read_at_hyperliquid(monkeypatch: pytest.MonkeyPatch) -> None:
    def spot(**more: Any) -> SpotSettings | None:
        return hyperliquid_settings(ReconcilerSettings(HYPERLIQUID_ADDRESS=ADDRESS, **more)).spot

    usual = spot()
    assert usual is not None
    assert (usual.if_booked, tuple(usual.cash), usual.assets) == (True, CASH, {})
    told = spot(hyperliquid_spot="on", hyperliquid_cash="USDC, USDX", hyperliquid_assets="UFART=FARTCOIN, UPUMP=PUMP")
    assert told is not None
    assert (told.if_booked, tuple(told.cash)) == (False, ("USDC", "USDX"))
    assert told.assets == {"UFART": "FARTCOIN", "UPUMP": "PUMP"}
    assert spot(hyperliquid_spot="off") is None
    for bad in ("UFART", "UFART=", "=X"):
        with pytest.raises(StartupError, match="TOKEN=ASSET"):
            spot(hyperliquid_assets=bad)
    monkeypatch.setenv("HYPERLIQUID_SUB_ACCOUNTS", "hedge, 0x12")
    assert hyperliquid_settings(ReconcilerSettings.load()).sub_accounts == ("hedge", "0x12")


OTHER = "0x" + "ef" * 20


def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> ReconcilerSettings:
    """The settings of a file."""
    file = tmp_path / "trueup.toml"
    file.write_text(text)
    file.chmod(0o600)  # accounts may have secrets
    monkeypatch.setenv("TRUEUP_CONFIG", str(file))
    return ReconcilerSettings.load()


async def test_a_file_names_any_number_of_accounts_beside_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key_file = tmp_path / "cdp.json"
    key_file.write_text(json.dumps({"name": KEY_NAME, "privateKey": SEC1}))
    key_file.chmod(0o600)
    monkeypatch.setenv("HYPERLIQUID_ADDRESS", ADDRESS)
    settings = told(
        monkeypatch,
        tmp_path,
        f"""
        [[accounts]]
        venue = "hyperliquid"
        name = "desk2"
        address = "{OTHER}"

        [[accounts]]
        venue = "coinbase"
        name = "desk2"
        key_file = "{key_file}"
        """,
    )
    venues, missing = open_venues(settings)
    assert [(venue.name, venue.account) for venue in venues] == [
        ("hyperliquid", "main"),
        ("hyperliquid", "desk2"),
        ("coinbase", "desk2"),
    ]
    assert not missing
    for venue in venues:
        await venue.close()


def test_secrets_of_a_file_are_shown_by_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = f'[[accounts]]\nvenue = "coinbase"\nkey = "{KEY_NAME}"\nsecret = "canary"\n'
    settings = told(monkeypatch, tmp_path, row)
    assert "canary" not in repr(settings)
    with pytest.raises(StartupError, match="coinbase account main: secret in the settings file") as raised:
        open_venues(settings)
    assert "canary" not in str(raised.value)
    with pytest.raises(StartupError, match="remove one of them") as raised:
        told(monkeypatch, tmp_path, row + 'key_file = "x.json"')
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (['venue="kraken"'], "ACCOUNTS__0__VENUE: Input should be 'hyperliquid' or 'coinbase'"),
        (['name="x"'], "ACCOUNTS__0__VENUE: Field required"),
        (['venue="hyperliquid"\nname="x y"\naddress="a"'], "ACCOUNTS__0__NAME"),
        (['venue="hyperliquid"\nadress="a"'], "ACCOUNTS__0__ADRESS: Extra inputs"),
        (['venue="hyperliquid"'], 'ACCOUNTS__0: .*address = "0x..."'),
        (['venue="hyperliquid"\naddress="a"\nkey="b"'], "has no key: remove it"),
        (['venue="coinbase"'], "needs a view-only key: key_file"),
        (['venue="coinbase"\naddress="a"'], "has no address: remove it"),
    ],
)
def test_a_row_that_cannot_be_an_account_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        told(monkeypatch, tmp_path, "\n".join(f"[[accounts]]\n{row}" for row in rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("main", OTHER)], "hyperliquid has two accounts of the name main: rename .* HYPERLIQUID_ACCOUNT"),
        ([("a", OTHER), ("a", OTHER)], "two accounts of the name a"),
        ([("a", OTHER), ("b", OTHER.upper().replace("X", "x"))], "b is the same hyperliquid account as a: remove"),
        ([("a", ADDRESS)], "a is the same hyperliquid account as main"),
        ([("a", "0x12")], "accounts: hyperliquid account a: address in the settings file must .* 42 characters"),
    ],
)
def test_the_same_account_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: list[tuple[str, str]], message: str
) -> None:
    monkeypatch.setenv("HYPERLIQUID_ADDRESS", ADDRESS)
    text = "".join(f'[[accounts]]\nvenue="hyperliquid"\nname="{name}"\naddress="{at}"\n' for name, at in rows)
    settings = told(monkeypatch, tmp_path, text)
    with pytest.raises(StartupError, match=message):
        open_venues(settings)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (f'key = "{KEY_NAME}"', "secret"),
        (f'key = "{KEY_NAME}"\nsecret = "canary"', "secret"),
        ('secret = "canary"', "key"),
        ('key_file = "/nowhere.json"', "key_file"),
        ('key_file = "open.json"', "key_file"),
    ],
)
def test_what_is_wrong_in_a_file_is_called_what_it_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, row: str, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("open.json").touch(0o644)
    settings = told(monkeypatch, tmp_path, f'[[accounts]]\nvenue = "coinbase"\n{row}\n')
    with pytest.raises(StartupError, match=f"{named} in the settings file") as raised:
        open_venues(settings)
    assert "COINBASE_" not in str(raised.value)


def test_tolerances_of_a_file_reach_compare_to_the_last_digit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = told(
        monkeypatch,
        tmp_path,
        """
        size_tolerance = 0.001
        [[tolerances]]
        venue = "hyperliquid"
        symbol = "xyz:TSLA"
        size = 0.123456789012345678
        liquidation = 0.02
        [[tolerances]]
        symbol = "BTC"
        usd = 25
        leverage = "1"
        """,
    )
    made = rules(settings).tolerances
    tesla, btc = made.of("hyperliquid", "xyz:TSLA"), made.of("coinbase", "BTC")
    assert (tesla.size, tesla.liquidation_isolated, tesla.liquidation_cross, tesla.usd) == (
        Decimal("0.123456789012345678"),
        Decimal("0.02"),
        Decimal("0.1"),
        1,
    )
    assert (btc.size, btc.usd, btc.leverage) == (Decimal("0.001"), 25, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["size = 0.1"], "TOLERANCES__0: .*needs a venue, a symbol or both"),
        (['symbol = "BTC"'], "sets nothing: give size"),
        (['symbol = "BTC"\nsize = 1.5'], "TOLERANCES__0__SIZE"),
        (['symbol = "BTC"\nusd = -1'], "TOLERANCES__0__USD"),
        (['symbol = "BTC"\nusd = nan'], "TOLERANCES__0__USD"),
        (['symbol = "BTC"\nusd = 1', 'symbol = "BTC"\nsize = 0.1'], "row 1 is for the same .*symbol BTC.*: remove one"),
        (['venue = "kraken"\nusd = 1'], "TOLERANCES__0__VENUE"),
    ],
)
def test_tolerances_that_cannot_be_meant_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        told(monkeypatch, tmp_path, "\n".join(f"[[tolerances]]\n{row}" for row in rows))


def test_by_default_nothing_is_mended_and_a_file_says_what_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert rules(ReconcilerSettings()).policies == Policies()
    settings = told(
        monkeypatch,
        tmp_path,
        """
        [[policies]]
        kind = "SIZE"
        venue = "hyperliquid"
        action = "APPLY_FILLS"
        max_usd = 2500.5
        [[policies]]
        kind = "SIZE"
        symbol = "BTC"
        action = "ALERT"
        [[policies]]
        kind = "LEVERAGE"
        action = "ADOPT_VENUE"
        """,
    )
    assert rules(settings).policies.rows == {
        (Kind.SIZE, "hyperliquid", ""): Policy(Action.APPLY_FILLS, Decimal("2500.5")),
        (Kind.SIZE, "", "BTC"): Policy(None, Decimal(1000)),
        (Kind.LEVERAGE, "", ""): Policy(Action.ADOPT_VENUE, Decimal(1000)),
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (['kind = "SIZE"'], "POLICIES__0__ACTION: Field required"),
        (['kind = "UNMAPPED"\naction = "ADOPT_VENUE"'], "POLICIES__0__KIND"),
        (['kind = "SIZE"\naction = "DISMISS"'], "POLICIES__0__ACTION: Input should be 'ALERT'"),
        (['kind = "LEVERAGE"\naction = "APPLY_FILLS"'], "no fill ever changes LEVERAGE: its action is ADOPT_VENUE"),
        (['kind = "SIZE"\naction = "ALERT"'] * 2, "row 1 is for the same .*kind SIZE"),
        (['kind = "SIZE"\naction = "ALERT"\nmax_usd = -1'], "POLICIES__0__MAX_USD"),
    ],
)
def test_policies_that_cannot_be_meant_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        told(monkeypatch, tmp_path, "\n".join(f"[[policies]]\n{row}" for row in rows))


LIVE_COINBASE = ("wss://advanced-trade-ws-user.coinbase.com", "wss://advanced-trade-ws.coinbase.com")


@pytest.mark.parametrize(
    ("given", "hyperliquid_urls", "coinbase_urls"),
    [
        ({}, ("wss://api.hyperliquid.xyz/ws",), LIVE_COINBASE),
        ({"COINBASE_API_URL": "https://api.coinbase.com/"}, ("wss://api.hyperliquid.xyz/ws",), LIVE_COINBASE),
        (
            {"HYPERLIQUID_API_URL": "http://127.0.0.1:8100", "COINBASE_API_URL": "http://127.0.0.1:8101"},
            ("ws://127.0.0.1:8100/ws",),
            ("ws://127.0.0.1:8101/ws",),
        ),
        (
            {"HYPERLIQUID_WS_URL": "wss://there/ws", "COINBASE_WS_URL": "wss://one, wss://two/ws"},
            ("wss://there/ws",),
            ("wss://one", "wss://two/ws"),
        ),
        ({"PUSH": "off"}, (), ()),
    ],
)
def test_where_the_venues_are_listened_to(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], hyperliquid_urls: Any, coinbase_urls: Any
) -> None:
    credentials = {"HYPERLIQUID_KEY": ADDRESS, "COINBASE_KEY": KEY_NAME, "COINBASE_SECRET": SEC1}
    for name, value in (credentials | given).items():
        monkeypatch.setenv(name, value)
    venues, _ = open_venues(ReconcilerSettings.load())
    watches: list[Any] = [venue.watch() for venue in venues]
    assert tuple(watch._dialect.urls if watch else () for watch in watches) == (hyperliquid_urls, coinbase_urls)


@pytest.mark.parametrize("setting", ["HYPERLIQUID_WS_URL", "COINBASE_WS_URL"])
def test_a_socket_that_is_none_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    for name, value in (("HYPERLIQUID_KEY", ADDRESS), ("COINBASE_KEY", KEY_NAME), ("COINBASE_SECRET", SEC1)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(setting, "https://user:canary@host")
    with pytest.raises(StartupError, match=r"ws\(s\)://host") as raised:
        open_venues(ReconcilerSettings.load())
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "is_secret"),
    [
        ('coinbase_secret = "canary"', True),
        ('POSITION_KEY = "canary"', True),
        ('[[accounts]]\nvenue = "coinbase"\nkey = "k"\nsecret = "canary"', True),
        (f'[[accounts]]\nvenue = "hyperliquid"\naddress = "{OTHER}"', False),
        ("reconciliation_interval = 7", False),
        ('key_pepper = "of another service"', False),
    ],
)
def test_a_file_with_secrets_is_its_owners_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, is_secret: bool
) -> None:
    told(monkeypatch, tmp_path, text)
    (tmp_path / "trueup.toml").chmod(0o640)
    if not is_secret:
        ReconcilerSettings.load()
        return
    with pytest.raises(StartupError, match=r"TRUEUP_CONFIG: .*chmod 600") as caught:
        ReconcilerSettings.load()
    assert "canary" not in str(caught.value)
