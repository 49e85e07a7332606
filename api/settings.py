"""What an operator can set: environment variables `RECUR_API_*`, or a TOML file given by `--config` (which gives way to them).

The only file of api/ that reads the environment.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from recur.errors import InputError

DATABASE_FILE = "service.sqlite"
PREFIX = "RECUR_API_"
_OF_CLIENTS = ("url", "key")
"""What the command line reads under the same prefix."""


class Settings(BaseSettings):
    """All settings; durations in seconds, sizes in bytes.

    Attributes:
        host, port: where the service listens.
        out: folder of the sweeps.
        database_url: SQLAlchemy's; empty for a SQLite file in ``out``.
        ray_dashboard: address of Ray's Jobs API.
        reconcile: run the reconciler in this process.
        cpu_slots, gpu_slots: seeds at a time; None asks the cluster.
        require_keys: None asks for keys as soon as ``host`` is not loopback.
        allowed_hosts: names beside ``host`` that a request may be addressed to.
        allowed_origins: origins beside the service's own that may send changes, e.g. ``https://recur.example``.
        rate_per_minute, rate_burst: requests of one key (or, without one, of one address); 0 for no limit.
        body_deadline_s: how long a request may take to send its body.
        secure_cookies: the page is reached through https only.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8800
    out: Path = Path("~/recur-results")
    database_url: str = ""
    ray_dashboard: str = "http://127.0.0.1:8265"
    reconcile: bool = True
    tick_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    cpu_slots: Annotated[int, Field(ge=0)] | None = None
    gpu_slots: Annotated[int, Field(ge=0)] | None = None
    ageing_s: Annotated[float, Field(gt=0)] = 3600.0
    max_run_s: Annotated[float, Field(gt=0)] | None = None
    require_keys: bool | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body_bytes: Annotated[int, Field(gt=0)] = 1 << 20
    max_json_depth: Annotated[int, Field(gt=0, le=200)] = 16
    body_deadline_s: Annotated[float, Field(gt=0)] = 10.0
    rate_per_minute: Annotated[int, Field(ge=0)] = 1200
    rate_burst: Annotated[int, Field(gt=0)] = 300
    max_waiting_seeds: Annotated[int, Field(gt=0)] = 100_000
    secure_cookies: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("ray_dashboard")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("must be http://host:port")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose values are the constructor's."""
        return env_settings, init_settings

    @property
    def folder(self) -> Path:
        """Absolute folder of the sweeps."""
        return self.out.expanduser().resolve()

    def make_folder(self) -> Path:
        """Make the folder of the sweeps where it is missing.

        Raises:
            InputError: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            remedy = f"give another by {PREFIX}OUT or --out"
            raise InputError(f"out={self.folder}", f"cannot be made a folder ({error.strerror})", remedy) from error
        return self.folder

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.folder / DATABASE_FILE}"

    @property
    def keys_required(self) -> bool:
        """Whether a request without a key is refused."""
        return not is_loopback(self.host) if self.require_keys is None else self.require_keys


def load_settings(config: Path | None = None) -> Settings:
    """The settings of the environment and of a TOML file with the same names.

    Raises:
        InputError: the file is not readable, or a setting is unknown or out of bounds.
    """
    refuse_unknown(os.environ)
    try:
        return Settings(**_read(config))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in problem["loc"]) or "settings"
        said = str(problem["msg"]).removeprefix("Value error, ")
        rule = f"is refused: {said[:1].lower()}{said[1:]}"
        unknown = problem["type"] == "extra_forbidden"
        remedy = f"known settings: {', '.join(sorted(Settings.model_fields))}" if unknown else "see docs/operations.md"
        raise InputError(f"{name}={problem.get('input')!r}", rule, remedy) from error
    except SettingsError as error:
        name = next((n for n in sorted(Settings.model_fields, key=len, reverse=True) if n in str(error)), "settings")
        value = os.environ.get(f"{PREFIX}{name.upper()}", "")
        raise InputError(f"{PREFIX}{name.upper()}={value!r}", "is not a JSON list", """e.g. '["recur.example"]'""") from error


def refuse_unknown(names: Iterable[str]) -> None:
    """Refuse a variable with our prefix that means nothing: `RECUR_API_REQUIRE_KEY` would leave a service open.

    Raises:
        InputError: the first unknown one.
    """
    known = [f"{PREFIX}{name.upper()}" for name in (*Settings.model_fields, *_OF_CLIENTS)]
    for name in sorted(names):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see docs/operations.md for the settings"
            raise InputError(f"environment variable {name}", "is no setting", hint)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--config {config}", f"cannot be read ({error})", "give a TOML file of settings") from error
