"""What is measured: a server, Rota and the floor's worker, each a process of its own, as `rota dev` runs them."""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

import httpx
from temporalio.service import RPCError

from bench.http import HttpError
from bench.runs import BenchError, FloorClient, RotaClient
from cli.key_file import api_key_file
from runtime.children import end_child, start_child
from runtime.embedded import find_temporal, start_server, until_answering
from runtime.temporal import connect_to

HOST: Final = "127.0.0.1"
READY: Final = "/api/v1/health/ready"

PYTHON: Final = str(Path(sys.executable).resolve())
"""The interpreter itself: a link into it lies elsewhere than the file."""
FIBONACCI: Final = Path(__file__).parent / "fibonacci.py"
_PROGRAMS: Final = ("/bin", "/usr/bin")

_READY_SECONDS: Final = 60
_END_SECONDS: Final = 10.0
_LOG_LINES: Final = 20


@dataclass(frozen=True)
class Processes:
    """Starts processes whose output goes to one log, and which end with what started them."""

    folder: Path
    """For what they keep."""
    log: IO[bytes]
    environment: Mapping[str, str]

    @asynccontextmanager
    async def module(self, *command: str, seconds: float = _END_SECONDS, **environment: str) -> AsyncIterator[Process]:
        """Runs `python -m` with these arguments, and with these variables besides; see `program`."""
        async with self.program(sys.executable, "-m", *command, seconds=seconds, **environment) as process:
            yield process

    async def output_of(self, *command: str) -> str:
        """Runs `python -m` with these arguments to its end, and returns what it printed.

        Raises:
            BenchError: It did not exit with code 0; the message is what it printed.
        """
        with tempfile.TemporaryFile() as printed:
            process = await start_child([sys.executable, "-m", *command], output=printed, environment=self.environment)
            try:
                code = await process.wait()
            finally:
                await end_child(process)
            printed.seek(0)
            output = printed.read().decode(errors="replace").strip()
        if code != 0:
            raise BenchError(f"{command[0]}: {output}")
        return output

    @asynccontextmanager
    async def program(self, *command: str, seconds: float = _END_SECONDS, **environment: str) -> AsyncIterator[Process]:
        """Runs a program with these arguments, and with these variables besides.

        At the end it gets some seconds to end by itself.
        """
        process = await start_child(command, output=self.log, environment={**self.environment, **environment})
        try:
            yield process
        finally:
            await end_child(process, seconds=seconds)


@dataclass(frozen=True)
class Stack:
    """Running processes, and how to give them work."""

    rota: RotaClient
    floor: FloorClient
    processes: Processes
    rota_processes: Mapping[str, Process]
    """By the command that they run: `api`, `worker`."""
    server: Process
    floor_process: Process | None
    """None where no workers were asked for."""

    @asynccontextmanager
    async def stock_server(self, *options: str) -> AsyncIterator[str]:
        """Runs a server as `temporal server start-dev` starts it, its data in its memory; yields its address.

        Args:
            *options: More for its command line.
        """
        port = free_port()
        address = f"{HOST}:{port}"
        command = (str(find_temporal()), "server", "start-dev", "--ip", HOST, "--port", str(port), "--headless")
        async with self.processes.program(*command, "--log-level", "error", *options) as server:
            await until_answering(server, address)
            yield address

    @asynccontextmanager
    async def stock_floor(self, *, keeps: bool = False) -> AsyncIterator[FloorClient]:
        """Runs the floor on a stock server, which keeps its data in a file if asked to."""
        options = ("--db-filename", str(self.processes.folder / "stock.db")) if keeps else ()
        async with (
            self.stock_server(*options) as address,
            self.processes.module("bench.floor", TEMPORAL_ADDRESS=address),
        ):
            yield FloorClient(await connect_to(address))


@asynccontextmanager
async def running_stack(database_url: str = "", *, with_workers: bool = True) -> AsyncIterator[Stack]:
    """Starts everything in a folder of its own, and ends and removes it afterwards.

    Args:
        database_url: The catalogue, to which a key is added; empty for a SQLite file in that folder.
        with_workers: Whether Rota's worker and the floor's run, or the API alone.

    Raises:
        BenchError: Something did not start, or was lost; the message ends with the last lines of the log.
        runtime.embedded.EmbeddedServerError: The server cannot be run.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rota-bench-")))
        log = stack.enter_context((folder / "log").open("a+b"))
        try:
            yield await _start(stack, folder, log, database_url, with_workers=with_workers)
        except (BenchError, HttpError, httpx.TransportError, RPCError) as error:
            raise BenchError(f"{error or type(error).__name__}\n{_last_lines(log)}") from None


async def _start(
    stack: AsyncExitStack, folder: Path, log: IO[bytes], database_url: str, *, with_workers: bool
) -> Stack:
    server = await start_server(host=HOST, port=free_port(), ui_port=None, database=folder / "temporal.db", log=log)
    stack.push_async_callback(end_child, server.process)
    environment = _environment(folder, server.address) | {"ROTA_DATABASE_URL": database_url}
    processes = Processes(folder, log, environment)
    async with processes.module("cli.prepare") as preparing:
        if await preparing.wait() != 0:
            raise BenchError("the catalogue could not be prepared")
    api_port = free_port()
    commands = {"api": ["cli.main", "api", "--host", HOST, "--port", str(api_port)]}
    if with_workers:
        commands |= {"worker": ["cli.main", "worker"], "floor": ["bench.floor"]}
    running = {name: await stack.enter_async_context(processes.module(*command)) for name, command in commands.items()}
    http = await stack.enter_async_context(http_client(api_port))
    http.headers["X-API-Key"] = api_key_file(folder).read_text().strip()
    await wait_until(partial(is_up, http, READY, with_workers=with_workers), list(running.values()))
    temporal = await connect_to(server.address)
    floor = running.pop("floor", None)
    return Stack(RotaClient(http, temporal), FloorClient(temporal), processes, running, server.process, floor)


def free_port() -> int:
    """Returns a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(folder: Path, address: str) -> dict[str, str]:
    """Returns the environment of Rota and of the floor: defaults, whatever this process's own says."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ROTA_", "TEMPORAL_"))}
    # Without cached bytecode the sandbox compiles a workflow's module anew for every run.
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    return inherited | {
        "ROTA_DATA_DIR": str(folder),
        "ROTA_SCRIPT_ROOTS": os.pathsep.join([*_PROGRAMS, str(Path(PYTHON).parent), str(FIBONACCI)]),
        "TEMPORAL_ADDRESS": address,
        "PYTHONUNBUFFERED": "1",
    }


def http_client(port: int) -> httpx.AsyncClient:
    """Returns a client of what listens on a port."""
    # uvicorn closes what is idle for 5 s: a request must not meet that.
    limits = httpx.Limits(keepalive_expiry=2)
    return httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=30, limits=limits)


async def wait_until(is_so: Callable[[], Awaitable[bool]], processes: Sequence[Process]) -> None:
    """Waits until something is so that processes were started for.

    Raises:
        BenchError: It was not within a minute, or one of the processes ended.
    """
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while not await is_so():
                if any(process.returncode is not None for process in processes):
                    raise BenchError("a process ended at its start")
                await asyncio.sleep(0.05)  # it is asked of another process, which calls nobody back
    except TimeoutError:
        raise BenchError(f"the processes were not ready within {_READY_SECONDS} s") from None


async def is_up(http: httpx.AsyncClient, path: str, *, with_workers: bool = False) -> bool:
    """Whether a path is answered, and, if asked for, that workers poll."""
    try:
        answer = await http.get(path)
    except httpx.TransportError:
        return False
    return answer.is_success and (not with_workers or bool(answer.json()["workers"]))


def _last_lines(log: IO[bytes]) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-_LOG_LINES:])


def find_program(name: str) -> str:
    """Returns the absolute path of a program that the cases start.

    Raises:
        BenchError: It is not there.
    """
    found = shutil.which(name, path=os.pathsep.join(_PROGRAMS))
    if found is None:
        raise BenchError(f"no program {name} in {' or '.join(_PROGRAMS)}")
    return found
