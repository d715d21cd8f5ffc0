"""Settings: the environment over a TOML file over defaults. Services extend `Settings` with what they are about."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from grpckit.errors import StartupError
from grpckit.limits import Limits
from grpckit.listen import Listen
from grpckit.log import LogFormat
from grpckit.secret_file import require_private

CONFIG_VARIABLE = "TRUEUP_CONFIG"


def _listen_address(text: str) -> str:
    return str(Listen.parse(text))


# A checked address, as text: host:port, [v6]:port or unix:/path.
ListenAddress: TypeAlias = Annotated[str, AfterValidator(_listen_address)]


def _optional_listen_address(text: str) -> str:
    # "off" is for a process whose file names an address that is not its own to serve.
    return "" if text.strip().lower() in {"", "off"} else _listen_address(text)


def _names_of(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


# The same, or "" and "off" for none.
OptionalListenAddress: TypeAlias = Annotated[str, AfterValidator(_optional_listen_address)]


class Settings(BaseSettings):
    """What every service can be told. Read it with `load`, which fails like a person would explain it."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, env_nested_delimiter="__", extra="ignore", frozen=True, populate_by_name=True
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Log level.")
    log_format: LogFormat = Field(default="auto", description="json, console, or auto: console on a terminal.")
    drain_grace: float = Field(default=10.0, ge=0, le=3600, description="Seconds that calls under way get at shutdown.")
    drain_wait: float | None = Field(
        default=None, ge=0, le=3600, description="Seconds between NOT_SERVING and refusing; 0 on loopback, else 5."
    )
    http_listen: OptionalListenAddress = Field(
        default="", description="Where to serve HTTP/JSON as well; empty or off: nowhere."
    )
    http_cors_origins: str = Field(
        default="", description="Origins whose pages may use HTTP, comma separated, e.g. https://desk.example.com."
    )
    http_hosts: str = Field(default="", description="Names that HTTP answers to besides loopback's, comma separated.")
    otel_exporter_otlp_endpoint: str = Field(
        default="", description="Where to send traces, OTLP over HTTP, e.g. http://127.0.0.1:4318; needs trueup[otel]."
    )
    auth: Literal["auto", "required", "off"] = Field(
        default="auto", description="API keys: auto needs them off loopback, unless INSECURE."
    )
    insecure: bool = Field(default=False, description="Listen off loopback without TLS, and without keys.")
    tls_cert_file: Path | None = Field(
        default=None, description="Certificate chain to serve with, PEM; read again when it changes."
    )
    tls_key_file: Path | None = Field(default=None, description="Its private key, mode 0600.")
    tls_client_ca_file: Path | None = Field(
        default=None, description="CA of the callers' certificates; who has none is refused (mTLS)."
    )
    tls_ca_file: Path | None = Field(
        default=None, description="CA of the services that are called; without it they are called without TLS."
    )
    tls_client_cert_file: Path | None = Field(default=None, description="Certificate to present there (mTLS).")
    tls_client_key_file: Path | None = Field(default=None, description="Its private key, mode 0600.")
    reflection: Literal["auto", "on", "off"] = Field(
        default="auto", description="Lets callers ask for the contracts; auto: on loopback only."
    )
    limits: Limits = Field(default=Limits(), description="Single limits, e.g. LIMITS__UNARY_IN_FLIGHT=500.")

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """The origins whose pages may use HTTP."""
        return _names_of(self.http_cors_origins)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that HTTP answers to besides loopback's."""
        return _names_of(self.http_hosts)

    def counts_clients(self, *listens: str) -> bool:
        """Whether what single clients take is limited: not on this machine alone, nor with INSECURE, where a proxy is
        the one client there is.
        """
        everywhere = [listen for listen in (*listens, self.http_listen) if listen]
        exposed = not all(Listen.parse(listen).loopback for listen in everywhere)
        return self.auth == "required" or (exposed and not self.insecure)

    def keys_required(self, *listens: str) -> bool:
        """Whether callers need an API key, of who listens there and for HTTP. Raises StartupError for off and exposed."""
        exposed = [listen for listen in (*listens, self.http_listen) if listen and not Listen.parse(listen).loopback]
        if self.auth == "off" and exposed and not self.insecure:
            raise StartupError(
                f"refusing to listen on {exposed[0]} without API keys: listen on 127.0.0.1, set AUTH=required, "
                "or spell out that it is to be insecure (INSECURE=true)"
            )
        return self.auth == "required" or (self.auth == "auto" and bool(exposed) and not self.insecure)

    @property
    def reflect(self) -> bool | None:
        """Whether to serve reflection; None: as the address is."""
        return {"auto": None, "on": True, "off": False}[self.reflection]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Orders the sources: arguments (tests), environment, file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _TomlFile(settings_cls)

    @classmethod
    def load(cls) -> Self:
        """Reads the settings. Raises StartupError with a line per invalid one; no value is ever repeated in it."""
        try:
            return cls()
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            lines = [f"{_variable(problem['loc'])}: {problem['msg']}" for problem in problems]
            raise StartupError("invalid settings: " + "; ".join(lines)) from None
        except SettingsError as error:  # e.g. LIMITS is not JSON
            raise StartupError(f"invalid settings: {error}") from None


def _variable(location: tuple[int | str, ...]) -> str:
    return "__".join(str(part) for part in location).upper() or "settings"


class _TomlFile(PydanticBaseSettingsSource):
    """The file named by TRUEUP_CONFIG. Keys are the variables' names in any case. Floats stay text, so that a Decimal
    is the number that was written; empty strings count as unset, as in the environment.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: the file is read as a whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        name = os.environ.get(CONFIG_VARIABLE, "")
        if not name:
            return {}
        try:
            content = tomllib.loads(Path(name).read_text(encoding="utf-8"), parse_float=str)
        except OSError as error:
            raise StartupError(f"{CONFIG_VARIABLE}: cannot read {name}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise StartupError(f"{CONFIG_VARIABLE}: {name} is not TOML: {error}") from None
        given = {key.lower(): value for key, value in content.items() if value != ""}
        known = {}
        for field_name, field in self.settings_cls.model_fields.items():
            for key in _names(field_name, field):
                if key.lower() in given:
                    known[field_name] = given[key.lower()]
                    break
        if _has_secrets(self.settings_cls, known):
            require_private(Path(name), CONFIG_VARIABLE)
        return known


def _has_secrets(model: type[BaseModel], content: Mapping[str, Any]) -> bool:
    """Whether what a file says holds a secret, in its tables too."""
    fields = model.model_fields
    return any(name in fields and _is_secret(fields[name].annotation, value) for name, value in content.items())


def _is_secret(annotation: Any, value: Any) -> bool:
    if annotation is SecretStr:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return isinstance(value, Mapping) and _has_secrets(annotation, value)
    values = value if isinstance(value, list) else [value]
    return any(_is_secret(part, one) for part in get_args(annotation) for one in values)


def _names(field_name: str, field: FieldInfo) -> Iterator[str]:
    alias = field.validation_alias
    if isinstance(alias, str):
        yield alias
    elif alias is not None:
        for choice in getattr(alias, "choices", ()):
            if isinstance(choice, str):
                yield choice
    yield field_name


def describe(settings: type[Settings]) -> str:
    """Lists the settings for --help: name, default, meaning. Defaults of secrets are not shown."""
    rows = []
    for field_name, field in settings.model_fields.items():
        names = [name.upper() for name in _names(field_name, field)]
        rows.append((names[0], _default(field), field.description or ""))
    name_width = max(len(row[0]) for row in rows)
    default_width = max(len(row[1]) for row in rows)
    return "\n".join(f"  {name:<{name_width}}  {default:<{default_width}}  {text}" for name, default, text in rows)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if field.is_required():
        return "(required)"
    if value is None or value == () or isinstance(value, (SecretStr, Limits)):
        return "-"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
