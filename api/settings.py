"""What an operator can set: environment variables `RECUR_API_*`, or a TOML file given by `--config` (which gives way to them).

The only file of api/ that reads the environment.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from recur.errors import InputError

DATABASE_FILE = "service.sqlite"


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

    model_config = SettingsConfigDict(env_prefix="RECUR_API_", extra="forbid", frozen=True)

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
    log_level: str = "INFO"

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
    try:
        return Settings(**_read(config))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in problem["loc"]) or "settings"
        rule = f"is refused: {problem['msg'][:1].lower()}{problem['msg'][1:]}"
        remedy = f"known settings: {', '.join(sorted(Settings.model_fields))}"
        raise InputError(f"{name}={problem.get('input')!r}", rule, remedy) from error


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
