"""Settings of every process, from `ROTA_*` environment variables; documented field by field."""

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from contracts.names import DEFAULT_TASK_QUEUE
from runtime.errors import StartError
from runtime.secret_key import MIN_KEY_LENGTH, load_secret_key

_PREFIX: Final = "ROTA_"

# Their values may hold secrets: a message must not show them.
_SECRETS: Final = frozenset({"secret_key", "database_url"})

# Read by the CLI and the tests, not by the servers; known, so that they do not count as misspelt.
_CLIENT_VARIABLES: Final = frozenset({"ROTA_API_URL", "ROTA_API_KEY", "ROTA_JIM_API_KEY"})
_TEST_VARIABLE_PREFIX: Final = "ROTA_TEST_"

# What a program needs to start at all. Nothing of Rota's or Temporal's own is in it.
_BASE_ENVIRONMENT: Final = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
)


class SettingsError(StartError):
    """A setting has a wrong value; the message is one line that names the variable."""


def _paths(value: object) -> object:
    return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


def _names(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _seconds(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("Input should be a number of seconds") from None


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]


class Settings(BaseSettings):
    """Rota's settings. Each is the environment variable `ROTA_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    data_dir: Path = Path(".rota")
    """Folder of the default catalogue, the embedded server's state, the secret key."""
    database_url: str | None = None
    """SQLAlchemy URL of the catalogue: `sqlite:///path` or `postgresql://user@host/db`. Default: `rota.db` in the data
    dir."""
    task_queue: str = Field(default=DEFAULT_TASK_QUEUE, min_length=1, max_length=200)
    """Temporal task queue of workflows and steps."""
    secret_key: str | None = Field(default=None, min_length=MIN_KEY_LENGTH)
    """Seals secrets at rest; the same for the API and every worker. Default: made once, in the data dir."""
    script_roots: Annotated[list[Path], NoDecode, BeforeValidator(_paths)] = Field(default_factory=list)
    """Folders, separated as in PATH, under which every file, program and folder must lie that a step names. Without it
    no such step runs. (`rota dev` sets the current folder.)"""
    step_env: Annotated[list[str], NoDecode, BeforeValidator(_names)] = Field(default_factory=list)
    """Names of variables, separated by commas, that a step's process gets besides a small base, and that
    `${env:NAME}` may name. Never `ROTA_*` or `TEMPORAL_*`."""
    powershell: str = "pwsh"
    """Path or name of PowerShell."""
    kill_grace_seconds: Seconds = Field(default=timedelta(seconds=5), ge=timedelta(0), le=timedelta(minutes=10))
    """Time that a process gets between being asked to end and being killed."""
    drain_seconds: Seconds = Field(default=timedelta(seconds=20), ge=timedelta(0), le=timedelta(days=1))
    """Time that running steps get when a worker is asked to stop."""
    output_bytes: int = Field(default=1024 * 1024, ge=128 * 1024, le=16 * 1024 * 1024)
    """How much is kept of what an attempt of a step prints, in bytes: half of it from the beginning, half from the end."""
    max_concurrent_steps: int = Field(default=100, ge=1, le=10_000)
    """How many steps one worker runs at a time."""
    upkeep_seconds: Seconds = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1), le=timedelta(days=1))
    """How often Temporal is compared with the catalogue, and repaired."""
    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    """How many days the records of executions are kept after their end, with all that belongs to them. Default: for
    ever."""
    output_retention_days: int = Field(default=30, ge=1, le=36_500)
    """How many days what steps printed is kept after the end of their execution."""
    api_host: str = "127.0.0.1"
    """Address on which the API listens."""
    api_port: int = Field(default=8080, ge=0, le=65535)
    """Port on which the API listens."""

    failed_keys_per_minute: int = Field(default=30, ge=0, le=1_000_000)
    """How many API keys that are unknown, expired or revoked a client address may send in a minute before it gets 429
    for them, in each API process. 0 for any number."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Reads arguments, then the environment; no `.env` file, so that what runs is what the environment says."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @property
    def catalogue_url(self) -> str:
        """The catalogue's URL as the user wrote it, or the default."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'rota.db'}"

    @cached_property
    def sealing_key(self) -> str:
        """The key with which secrets are sealed; made on first use where none is set.

        Raises:
            runtime.secret_key.SecretKeyFileError: The file of the key cannot be used.
        """
        return self.secret_key or load_secret_key(self.data_dir / "secret-key")

    def make_data_dir(self) -> None:
        """Makes the data folder where there is none yet.

        Raises:
            SettingsError: It cannot be made, or nothing can be written into it.
        """
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        else:
            if os.access(self.data_dir, os.W_OK | os.X_OK):
                return
            reason = "nothing can be written into it"
        raise SettingsError(f"ROTA_DATA_DIR (--data-dir): {self.data_dir} cannot be used: {reason}")

    def named_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Returns the variables of this process that steps may see because `ROTA_STEP_ENV` lists them."""
        return {name: environment[name] for name in self.step_env if name in environment and not _is_private(name)}

    def step_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Returns the whole environment of a step's process, taken from this process's own."""
        base = {name: environment[name] for name in _BASE_ENVIRONMENT if name in environment}
        return base | self.named_environment(environment)


def _is_private(name: str) -> bool:
    return name.upper().startswith((_PREFIX, "TEMPORAL_"))


def load_settings(**overrides: Any) -> Settings:
    """Reads the settings from the environment; arguments that are not None win over it.

    Raises:
        SettingsError: A value is wrong; the message names the variable and says why.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        given = "" if name in _SECRETS else f" (given: {first['input']!r})"
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{_PREFIX}{name.upper()}: {reason}{given}") from None


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """Returns the `ROTA_*` variables that no setting knows, sorted: most likely misspelt."""
    known = {_PREFIX + name.upper() for name in Settings.model_fields} | _CLIENT_VARIABLES
    return sorted(
        name
        for name in environment
        if name.startswith(_PREFIX) and name not in known and not name.startswith(_TEST_VARIABLE_PREFIX)
    )
