"""`rota dev`: the supervisor of an embedded Temporal server, the API and a worker."""

import asyncio
import contextlib
import json
import logging
import os
import shlex
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, ClassVar, Final, Self
from urllib.request import ProxyHandler, build_opener

from cli.key_file import api_key_file
from cli.ports import Ports
from runtime.children import end_child, start_child
from runtime.embedded import launch_server
from runtime.errors import StartError
from runtime.settings import Settings, SettingsError
from runtime.signals import stop_requested

_logger = logging.getLogger(__name__)

_OF_A_WORKER: Final = ("ROTA_DATA_DIR", "ROTA_SCRIPT_ROOTS", "TEMPORAL_ADDRESS", "TEMPORAL_CONFIG_FILE")
"""What a worker of one's own must be told."""
_MAY_BE_SET: Final = ("ROTA_DATABASE_URL", "ROTA_SECRET_KEY")
"""What it must be told where this process was; as these are secret, they are not shown."""

_READY_SECONDS: Final = 120
_RESTART_DELAY_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 10.0


class DevStackError(StartError):
    """What `rota dev` consists of did not come up; the message is one line."""

    exit_code: ClassVar[int] = 1


async def run_dev(settings: Settings, ports: Ports, *, with_worker: bool) -> None:
    """Runs everything until the process is asked to stop, be it during the start, then ends it in good order.

    Raises:
        StartError: As `dev_stack` does.
    """
    stopping = asyncio.create_task(stop_requested())
    running = asyncio.create_task(_run(settings, ports, with_worker=with_worker))
    try:
        await asyncio.wait({stopping, running}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            _logger.info("stopping: running steps get %.0f s", settings.drain_seconds.total_seconds())
    finally:
        stopping.cancel()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _run(settings: Settings, ports: Ports, *, with_worker: bool) -> None:
    """Runs everything until this task is cancelled."""
    async with dev_stack(settings, ports, with_worker=with_worker) as first_start:
        _announce(settings, ports, first_start=first_start, with_worker=with_worker)
        await asyncio.Event().wait()


def _announce(settings: Settings, ports: Ports, *, first_start: bool, with_worker: bool) -> None:
    key_file = api_key_file(settings.data_dir)
    environment = _environment(settings, ports)
    worker = [
        "  No worker runs. Start one, in another terminal:",
        *(f"    {name}={shlex.quote(environment[name])} \\" for name in _OF_A_WORKER),
        *(f'    {name}="${name}" \\' for name in _MAY_BE_SET if os.environ.get(name)),
        "    rota worker",
        "",
    ]
    lines = [
        "",
        f"  REST API         {ports.api_url}/docs",
        f"  Temporal Web UI  {ports.ui_url}",
        f"  API key          {key_file}",
        *([f"                   {key_file.read_text().strip()}"] if first_start else []),
        "",
        *([] if with_worker else worker),
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
        SettingsError: A port or a setting cannot be used, or the data folder is in use by another `rota dev`.
        DevStackError: The catalogue cannot be prepared, or a process does not come up.
        runtime.embedded.EmbeddedServerError: There is no Temporal server.
    """
    settings.make_data_dir()
    environment = _environment(settings, ports) | dict(environment or {})
    async with AsyncExitStack() as stack:
        stack.enter_context(hold_data_dir(settings.data_dir))
        ports.check()
        server_log_file = settings.data_dir / "temporal.log"
        server_log = stack.enter_context(server_log_file.open("ab"))
        log = stack.enter_context(log_file.open("ab")) if log_file else None
        children: list[_KeptUp] = []

        async def start(child: _KeptUp) -> None:
            children.append(await stack.enter_async_context(child))

        # Nobody waits for the server: it starts while the catalogue is prepared and the API is loaded.
        await start(_KeptUp("Temporal server", _server(settings, ports, server_log), str(server_log_file)))
        first_start = await _prepare(settings, environment)
        api = _rota(environment, log, "api", "--host", ports.host, "--port", str(ports.api))
        where = str(log_file) if log_file else "the lines above"
        await start(_KeptUp("API", api, where))
        if with_worker:
            drain = settings.drain_seconds + settings.kill_grace_seconds
            await start(_KeptUp("worker", _rota(environment, log, "worker"), where, drain.total_seconds()))
        await _wait_until_ready(ports, children, with_worker=with_worker)
        for child in children:
            child.keep_up()
        yield first_start


class _KeptUp:
    """A child process that, once it is kept up, is started again when it ends by itself."""

    def __init__(self, name: str, start: Callable[[], Awaitable[Process]], log: str, drain_seconds: float = 0) -> None:
        self.name = name
        self.log = log
        self._start = start
        self._stop_seconds = drain_seconds + _STOP_SECONDS
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.process = await self._start()
        return self

    def keep_up(self) -> None:
        """Starts it again from now on."""
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            code = await self.process.wait()
            _logger.error("the %s ended with code %s; starting it again", self.name, code)
            await asyncio.sleep(_RESTART_DELAY_SECONDS)
            self.process = await self._start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper:
            self._keeper.cancel()
        await end_child(self.process, seconds=self._stop_seconds)


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


def _server(settings: Settings, ports: Ports, log: IO[bytes]) -> Callable[[], Awaitable[Process]]:
    async def start() -> Process:
        database = settings.data_dir / "temporal.db"
        return await launch_server(host=ports.host, port=ports.temporal, ui_port=ports.ui, database=database, log=log)

    return start


def _rota(environment: Mapping[str, str], log: IO[bytes] | None, *arguments: str) -> Callable[[], Awaitable[Process]]:
    async def start() -> Process:
        command = [sys.executable, "-m", "cli.main", *arguments]
        return await start_child(command, output=log, environment=environment)

    return start


async def _prepare(settings: Settings, environment: Mapping[str, str]) -> bool:
    """Prepares the data folder in a process that takes its memory with it; returns whether there was no API key yet."""
    first_start = not api_key_file(settings.data_dir).exists()
    with TemporaryFile() as output:
        process = await start_child([sys.executable, "-m", "cli.prepare"], output=output, environment=environment)
        try:
            code = await process.wait()
        finally:
            await end_child(process)
        if code != 0:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"the catalogue could not be prepared (code {code})"
            raise SettingsError(reason) if code == SettingsError.exit_code else DevStackError(reason)
    return first_start


async def _wait_until_ready(ports: Ports, children: Iterable[_KeptUp], *, with_worker: bool) -> None:
    url = f"{ports.api_url}/api/v1/health/ready"
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while True:
                for child in children:
                    if child.process.returncode is not None:
                        code = child.process.returncode
                        raise DevStackError(f"the {child.name} ended with code {code} at its start: see {child.log}")
                if await asyncio.to_thread(_is_ready, url, with_worker=with_worker):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise DevStackError(
            f"not ready within {_READY_SECONDS} s: see {', '.join({child.log for child in children})}"
        ) from None


def _is_ready(url: str, *, with_worker: bool) -> bool:
    # What is only asked for this does not have the process hold a client library for as long as it runs: 11 MB.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(json.load(answer)["workers"] or not with_worker)
    except (OSError, HTTPException, ValueError):
        return False


@contextmanager
def hold_data_dir(data_dir: Path) -> Iterator[Path]:
    """Holds the data folder's lock, and gives its file.

    Raises:
        SettingsError: Another `rota dev` holds it.
    """
    lock = data_dir / "lock"
    with lock.open("a") as file:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - POSIX only

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SettingsError(f"--data-dir: another `rota dev` uses {data_dir}") from None
        yield lock
