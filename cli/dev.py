"""`rota dev`: the supervisor of an embedded Temporal server, the API and a worker."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import httpx

from cli.client import api_key_file
from runtime.children import end_child, start_child
from runtime.embedded import EmbeddedServerError, start_server
from runtime.settings import Settings, SettingsError
from runtime.signals import stop_requested

_logger = logging.getLogger(__name__)

_READY_SECONDS: Final = 60
_RESTART_DELAY_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Ports:
    """Where `rota dev` listens."""

    host: str
    api: int
    temporal: int
    ui: int

    @property
    def api_url(self) -> str:
        """Base URL of the API."""
        return f"http://{self.host}:{self.api}"

    @property
    def ui_url(self) -> str:
        """URL of the Temporal Web UI."""
        return f"http://{self.host}:{self.ui}"

    def check_free(self) -> None:
        """Checks that nothing listens there yet.

        Raises:
            SettingsError: A port is taken; the message names the option to change.
        """
        for option, port in (("--api-port", self.api), ("--temporal-port", self.temporal), ("--ui-port", self.ui)):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.host, port))
                except OSError as error:
                    raise SettingsError(f"{option}: {self.host}:{port} cannot be used: {error.strerror}") from None


async def run_dev(settings: Settings, ports: Ports, *, with_worker: bool) -> None:
    """Runs everything until the process is asked to stop, then ends it in good order."""
    stopping = asyncio.create_task(stop_requested())
    async with dev_stack(settings, ports, with_worker=with_worker) as first_start:
        _announce(settings, ports, first_start=first_start)
        await stopping
        _logger.info("stopping: running steps get %.0f s", settings.drain_seconds.total_seconds())


def _announce(settings: Settings, ports: Ports, *, first_start: bool) -> None:
    key_file = api_key_file(settings.data_dir)
    lines = [
        "",
        f"  REST API         {ports.api_url}/docs",
        f"  Temporal Web UI  {ports.ui_url}",
        f"  API key          {key_file}",
        *([f"                   {key_file.read_text().strip()}"] if first_start else []),
        "",
        "  Ctrl-C ends it all.",
        "",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


@asynccontextmanager
async def dev_stack(
    settings: Settings,
    ports: Ports,
    *,
    with_worker: bool,
    environment: Mapping[str, str] | None = None,
    log_file: Path | None = None,
) -> AsyncIterator[bool]:
    """Runs the server, the API and a worker; yields when they are ready, ends them afterwards.

    Args:
        settings: What the children shall be set to.
        ports: Where they listen.
        with_worker: Whether a worker is among them.
        environment: Variables of the children besides this process's own.
        log_file: Takes what API and worker log; None lets them log where this process does.

    Yields:
        Whether this was the first start, at which the API key was made.

    Raises:
        SettingsError: A port is taken, or the data folder is in use by another `rota dev`.
        EmbeddedServerError: The Temporal server cannot be run, or the API does not come up.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    environment = _environment(settings, ports) | dict(environment or {})
    async with AsyncExitStack() as stack:
        stack.enter_context(_only_one(settings.data_dir))
        ports.check_free()
        server_log = stack.enter_context((settings.data_dir / "temporal.log").open("ab"))
        log = stack.enter_context(log_file.open("ab")) if log_file else None
        preparing = asyncio.create_task(_prepare(settings, environment, log))

        async def server() -> asyncio.subprocess.Process:
            started = await start_server(
                host=ports.host,
                port=ports.temporal,
                ui_port=ports.ui,
                database=settings.data_dir / "temporal.db",
                log=server_log,
            )
            return started.process

        await stack.enter_async_context(_KeptUp("Temporal server", server, _STOP_SECONDS))
        first_start = await preparing
        api = _rota(environment, log, "api", "--host", ports.host, "--port", str(ports.api))
        await stack.enter_async_context(_KeptUp("API", api, _STOP_SECONDS))
        if with_worker:
            drain = settings.drain_seconds.total_seconds() + settings.kill_grace_seconds.total_seconds()
            await stack.enter_async_context(_KeptUp("worker", _rota(environment, log, "worker"), drain + _STOP_SECONDS))
        await _wait_until_ready(ports, with_worker=with_worker)
        yield first_start


class _KeptUp:
    """A child process that is started again when it ends by itself."""

    def __init__(
        self,
        name: str,
        start: Callable[[], Awaitable[asyncio.subprocess.Process]],
        stop_seconds: float,
    ) -> None:
        self._name = name
        self._start = start
        self._stop_seconds = stop_seconds

    async def __aenter__(self) -> Self:
        self._process = await self._start()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def _keep(self) -> None:
        while True:
            code = await self._process.wait()
            _logger.error("the %s ended with code %s; starting it again", self._name, code)
            await asyncio.sleep(_RESTART_DELAY_SECONDS)
            try:
                self._process = await self._start()
            except EmbeddedServerError as error:
                _logger.error("the %s did not start: %s", self._name, error)  # noqa: TRY400 - the message says it all

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.cancel()
        await end_child(self._process, seconds=self._stop_seconds)


def _environment(settings: Settings, ports: Ports) -> dict[str, str]:
    """Returns the environment of the children: these settings, and the embedded server whatever else is set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return environment | {
        "ROTA_DATA_DIR": str(settings.data_dir.absolute()),
        "ROTA_DATABASE_URL": settings.catalogue_url,
        "ROTA_SCRIPT_ROOTS": os.pathsep.join(str(root) for root in settings.script_roots or [Path.cwd()]),
        "TEMPORAL_ADDRESS": f"{ports.host}:{ports.temporal}",
        # No profile of the user's own: it may name another namespace, or keys for another server.
        "TEMPORAL_CONFIG_FILE": os.devnull,
        "PYTHONUNBUFFERED": "1",
    }


def _rota(
    environment: Mapping[str, str],
    log: IO[bytes] | None,
    *arguments: str,
) -> Callable[[], Awaitable[asyncio.subprocess.Process]]:
    async def start() -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "cli.main", *arguments]
        return await start_child(command, output=log, environment=environment)

    return start


async def _prepare(settings: Settings, environment: Mapping[str, str], log: IO[bytes] | None) -> bool:
    """Migrates the catalogue and makes the first API key, in a process that takes its memory with it."""
    first_start = not api_key_file(settings.data_dir).exists()
    process = await start_child([sys.executable, "-m", "cli.prepare"], output=log, environment=environment)
    if await process.wait() != 0:
        raise EmbeddedServerError("the catalogue could not be prepared; the lines above say why")
    return first_start


async def _wait_until_ready(ports: Ports, *, with_worker: bool) -> None:
    url = f"{ports.api_url}/api/v1/health/ready"
    async with httpx.AsyncClient(timeout=5) as client:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        answer = await client.get(url)
                        if answer.is_success and (answer.json()["workers"] or not with_worker):
                            return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise EmbeddedServerError(f"not ready within {_READY_SECONDS} s: see the lines above") from None


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Holds the data folder's lock.

    Raises:
        SettingsError: Another `rota dev` holds it.
    """
    with (data_dir / "lock").open("a") as file:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - POSIX only

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SettingsError(f"--data-dir: another `rota dev` uses {data_dir}") from None
        yield
