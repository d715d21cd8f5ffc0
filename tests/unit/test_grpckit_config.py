"""Settings: where they come from, what they refuse, what they never show."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import AliasChoices, Field, SecretStr

from grpckit.config import ListenAddress, Settings, describe
from grpckit.errors import StartupError
from grpckit.limits import Limits


class Desk(Settings):
    desk_listen: ListenAddress = Field(default="127.0.0.1:50051", description="Where to listen.")
    tolerance: Decimal = Field(default=Decimal("0.05"), description="A share.")
    api_secret: SecretStr | None = Field(default=None, description="A secret.")
    key: str = Field(default="", validation_alias=AliasChoices("DESK_KEY", "DESK_ADDRESS"))


@pytest.fixture
def toml(tmp_path, monkeypatch):
    def write(text: str) -> None:
        path = tmp_path / "desk.toml"
        path.write_text(text)
        monkeypatch.setenv("TRUEUP_CONFIG", str(path))

    return write


def test_defaults():
    settings = Desk.load()
    assert (settings.desk_listen, settings.tolerance, settings.limits) == ("127.0.0.1:50051", Decimal("0.05"), Limits())


def test_the_environment_outranks_the_file_and_the_file_the_defaults(toml, monkeypatch):
    toml('tolerance = 0.1\nLOG_LEVEL = "DEBUG"\n[limits]\nunary_in_flight = 7\n')
    monkeypatch.setenv("TOLERANCE", "0.2")
    settings = Desk.load()
    assert (settings.tolerance, settings.log_level, settings.limits.unary_in_flight) == (Decimal("0.2"), "DEBUG", 7)


def test_a_decimal_of_the_file_is_the_number_that_was_written(toml):
    toml("tolerance = 0.1000000000000000055511151231257827\n")
    assert str(Desk.load().tolerance) == "0.1000000000000000055511151231257827"


def test_empty_strings_are_unset(toml, monkeypatch):
    toml('desk_listen = ""\ntolerance = 0.3\n')
    monkeypatch.setenv("TOLERANCE", "")
    settings = Desk.load()
    assert (settings.desk_listen, settings.tolerance) == ("127.0.0.1:50051", Decimal("0.3"))


@pytest.mark.parametrize("name", ["DESK_KEY", "DESK_ADDRESS", "desk_key"])
def test_aliases_work_in_both_sources(name, toml, monkeypatch):
    monkeypatch.setenv(name, "0xabc")
    assert Desk.load().key == "0xabc"
    monkeypatch.delenv(name)
    toml(f'{name} = "0xdef"\n')
    assert Desk.load().key == "0xdef"


def test_single_limits_by_environment(monkeypatch):
    monkeypatch.setenv("LIMITS__UNARY_IN_FLIGHT", "500")
    assert Desk.load().limits == Limits(unary_in_flight=500)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("DESK_LISTEN", "nonsense", "DESK_LISTEN: .*expected host:port"),
        ("TOLERANCE", "NaN", "TOLERANCE: "),
        ("TOLERANCE", "5 %", "TOLERANCE: "),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL: "),
        ("DRAIN_GRACE", "-1", "DRAIN_GRACE: "),
        ("LIMITS__UNARY_IN_FLIGHT", "0", "unary_in_flight must be above zero"),
        ("LIMITS__NO_SUCH_LIMIT", "1", "(?i)no_such_limit"),
        ("LIMITS", "{", "limits"),
    ],
)
def test_invalid_settings_are_named(name, value, complaint, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=complaint):
        Desk.load()


def test_no_value_is_repeated_in_errors(monkeypatch):
    monkeypatch.setenv("TOLERANCE", "hunter2")
    monkeypatch.setenv("API_SECRET", "hunter3")
    with pytest.raises(StartupError) as caught:
        Desk.load()
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("text", "complaint"), [(None, "cannot read"), ("a = = b", "is not TOML")])
def test_a_broken_file_is_named(text, complaint, toml, monkeypatch):
    if text is None:
        monkeypatch.setenv("TRUEUP_CONFIG", "/no/such/file.toml")
    else:
        toml(text)
    with pytest.raises(StartupError, match=f"TRUEUP_CONFIG: .*{complaint}"):
        Desk.load()


def test_help_lists_every_setting_and_no_secret(monkeypatch):
    class Secretive(Desk):
        api_secret: SecretStr | None = Field(default=SecretStr("hunter2"), description="A secret.")

    text = describe(Secretive)
    assert "hunter2" not in text
    for name in ("LOG_LEVEL", "DESK_LISTEN", "TOLERANCE", "API_SECRET", "DESK_KEY", "DRAIN_GRACE"):
        assert f"  {name} " in text
    assert "0.05" in text
    monkeypatch.setenv("API_SECRET", "hunter3")
    assert "hunter" not in repr(Desk.load())


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({}, False),
        ({"auth": "required"}, True),
        ({"listen": "0.0.0.0:1"}, True),
        ({"http_listen": "0.0.0.0:1"}, True),
        ({"listen": "0.0.0.0:1", "insecure": True}, False),
        ({"listen": "0.0.0.0:1", "insecure": True, "auth": "required"}, True),
    ],
)
def test_keys_are_needed_where_others_can_connect(given, needed):
    listen = given.get("listen", "127.0.0.1:1")
    assert Settings(**given).keys_required(listen) is needed
