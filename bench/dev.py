"""`rota dev` as a user starts it, in a folder of its own."""

import contextlib
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from activities.support import supervisor
from bench.runs import RotaClient
from bench.stack import HOST, READY, Processes, free_port, http_client, is_up, wait_until
from cli.key_file import api_key_file
from runtime.temporal import connect_to

_SUPERVISOR: Final = str(Path(supervisor.__file__))

_END_SECONDS = 40.0
"""It lets running steps end first."""


@dataclass(frozen=True)
class Dev:
    """A `rota dev` that is ready."""

    rota: RotaClient
    seconds: float
    """From its start to the moment at which it was ready, a worker included."""
    process: Process

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Returns its processes as they are now, by what they are."""
        dev = psutil.Process(self.process.pid)
        named = {"rota dev": [dev]}
        for child in dev.children():
            command = child.cmdline()
            named[command[3] if command[1:3] == ["-m", "cli.main"] else "Temporal server"] = [child]
        return with_supervisors(named)


def with_supervisors(processes: Mapping[str, list[psutil.Process]]) -> dict[str, list[psutil.Process]]:
    """Adds what a worker has started to supervise its steps: all of it that runs Python of Rota's."""
    supervisors = []
    for worker in processes["worker"]:
        for child in worker.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if _SUPERVISOR in child.cmdline():
                    supervisors.append(child)
    return {**processes, "supervisors of steps": supervisors}


@asynccontextmanager
async def running_dev(processes: Processes, folder: Path) -> AsyncIterator[Dev]:
    """Runs `rota dev` with its data in a folder.

    Raises:
        bench.runs.BenchError: It was not ready within a minute.
    """
    ports = {"--api-port": free_port(), "--temporal-port": free_port(), "--ui-port": free_port()}
    options = [part for option, port in ports.items() for part in (option, str(port))]
    # What names the catalogue of the stack is not for it.
    command = processes.module(
        "cli.main", "dev", "--data-dir", str(folder), *options, seconds=_END_SECONDS, ROTA_DATABASE_URL=""
    )
    began = time.perf_counter()
    async with command as process, http_client(ports["--api-port"]) as http:
        await wait_until(partial(is_up, http, READY, with_workers=True), [process])
        seconds = time.perf_counter() - began
        http.headers["X-API-Key"] = api_key_file(folder).read_text().strip()
        yield Dev(RotaClient(http, await connect_to(f"{HOST}:{ports['--temporal-port']}")), seconds, process)
