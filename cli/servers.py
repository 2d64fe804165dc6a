"""`rota dev`, `rota api`, `rota worker`, `rota migrate`: the processes of Rota."""

import asyncio
import logging
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.ports import Ports, check_listen
from contracts.ids import WORKER_POOL_LENGTH, WORKER_POOL_PATTERN
from runtime.logs import configure_logging
from runtime.settings import Settings, SettingsError, load_settings, unknown_variables

_logger = logging.getLogger(__name__)

# The heavy imports stand in the commands: the supervisor of `rota dev` and every `--help` do without them.


def _settings(**overrides: object) -> Settings:
    configure_logging()
    settings = load_settings(**overrides)
    for name in unknown_variables(os.environ):
        _logger.warning("%s is not a setting of Rota: misspelt?", name)
    return settings


def _check_server_settings(settings: Settings, *, with_catalogue: bool = True) -> None:
    """Checks what would otherwise fail in the middle of the start of an API or a worker.

    Raises:
        StartError: The catalogue's URL or schema, the secret key's file or Temporal's own settings cannot be used.
    """
    from temporalio.envconfig import ClientConfig  # noqa: PLC0415

    from cli.catalogue_access import check_catalogue_url, check_schema  # noqa: PLC0415

    if with_catalogue:
        check_catalogue_url(settings)
        # Before a key is made: in the wrong folder nothing shall be left behind.
        check_schema(settings)
    _ = settings.sealing_key
    try:
        ClientConfig.load_client_connect_config()
    except RuntimeError as error:
        raise SettingsError(f"TEMPORAL_* variables or profile: {error}") from None


def _check_pool(name: str) -> None:
    """Checks the name of a worker pool, by the rule of a step's `workerPool`.

    Raises:
        SettingsError: No step can name such a pool.
    """
    problem = None
    if len(name) > WORKER_POOL_LENGTH:
        problem = f"may have {WORKER_POOL_LENGTH} characters at most"
    elif re.fullmatch(WORKER_POOL_PATTERN, name) is None:
        problem = f"must match the pattern {WORKER_POOL_PATTERN}"
    if problem:
        raise SettingsError(f"--pool: {problem} (given: {name!r})")


def dev(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the catalogue, the server's state, the keys. [default: .rota]"),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address on which everything listens. [default: ROTA_API_HOST, 127.0.0.1]")
    ] = None,
    api_port: Annotated[int | None, typer.Option(help="Port of the REST API. [default: ROTA_API_PORT, 8080]")] = None,
    temporal_port: Annotated[int, typer.Option(help="Port of the embedded Temporal server.")] = 7233,
    ui_port: Annotated[int, typer.Option(help="Port of the Temporal Web UI.")] = 8233,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Run no worker: start your own.")] = False,  # noqa: FBT002
) -> None:
    """Runs everything in the foreground: an embedded Temporal server with its Web UI, the API and a worker.

    State is kept in the data folder and survives restarts. Ctrl-C lets running steps end, then ends it all.
    """
    from cli.dev import run_dev  # noqa: PLC0415

    settings = _settings(data_dir=data_dir, api_host=host, api_port=api_port)
    ports = Ports(settings.api_host, settings.api_port, temporal_port, ui_port)
    asyncio.run(run_dev(settings, ports, with_worker=not no_worker))


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: ROTA_API_HOST, 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [default: ROTA_API_PORT, 8080]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that serve.")] = 1,
) -> None:
    """Serves the REST API. The catalogue must be at the newest schema (`rota migrate`)."""
    from api.server import serve  # noqa: PLC0415

    settings = _settings(api_host=host, api_port=port)
    _check_server_settings(settings)
    check_listen("--port", settings.api_host, settings.api_port)
    serve("api.app:app_from_environment", host=settings.api_host, port=settings.api_port, workers=workers)


def worker(
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Serve only the steps whose workerPool is this; may be repeated."),
    ] = None,
) -> None:
    """Runs a worker: it carries out executions and their steps. SIGTERM lets running steps end first.

    With --pool it runs the steps of these worker pools and nothing else, and needs no database.
    """
    from worker import run_worker  # noqa: PLC0415

    for name in pool or []:
        _check_pool(name)
    settings = _settings()
    _check_server_settings(settings, with_catalogue=not pool or settings.database_url is not None)
    asyncio.run(run_worker(settings, pool or []))


def migrate() -> None:
    """Brings the catalogue to the newest schema. Safe to repeat."""
    from catalogue.migrations import migrate as upgrade  # noqa: PLC0415
    from cli.catalogue_access import catalogue_failures, check_catalogue_url  # noqa: PLC0415

    settings = _settings()
    if settings.database_url is None:
        settings.make_data_dir()
    check_catalogue_url(settings)
    with catalogue_failures(settings):
        upgrade(settings.catalogue_url)
    sys.stdout.write("The catalogue is at the newest schema.\n")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (dev, api, worker, migrate):
        app.command(command.__name__)(command)
