"""What is measured: a server, Rota and the floor's worker, each a process of its own, as `rota dev` runs them."""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import httpx
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from bench import floor
from cli.client import api_key_file
from contracts.ids import manual_workflow_id
from runtime.children import end_child, start_child
from runtime.embedded import start_server
from runtime.temporal import connect_to

HOST: Final = "127.0.0.1"

# The server's own defaults (its common/dynamicconfig/constants.go) in place of Rota's settings.
_STOCK: Final = {
    "history.transferProcessorMaxPollRPS": "20",
    "history.timerProcessorMaxPollRPS": "20",
    "matching.numTaskqueueReadPartitions": "4",
    "matching.numTaskqueueWritePartitions": "4",
}

_READY_SECONDS: Final = 60
_RUN_SECONDS: Final = 120
_LOG_LINES: Final = 20

Answer = TypeVar("Answer")


class BenchError(Exception):
    """It could not be measured; the message says why."""


@dataclass(frozen=True)
class Schedule:
    """A schedule of Rota's to measure."""

    id: str
    name: str


@dataclass(frozen=True)
class Timed:
    """One run, as its client saw it.

    A run has ended when Temporal answers the client's long poll for the workflow's result: for Rota that is after its
    record was closed, and for both it is the same call of the same client, so that no polling interval is in it.
    """

    sent_ns: int
    """When the request to start it was sent, in nanoseconds of Unix time."""
    start_ms: float
    """From there to the answer to the request."""
    run_ms: float
    """From the answer to the end."""
    output: str
    """What the last step printed."""

    @property
    def total_ms(self) -> float:
        """From the request to the end."""
        return self.start_ms + self.run_ms


@dataclass(frozen=True)
class Stack:
    """Running processes, and how to give them work."""

    http: httpx.AsyncClient
    temporal: Client

    async def create_schedule(self, steps: Sequence[Mapping[str, Any]]) -> Schedule:
        """Creates a schedule of these steps.

        Raises:
            BenchError: The API refused it.
        """
        body = {"name": f"Bench {uuid.uuid4()}", "steps": list(steps)}
        answer = _checked(await self.http.post("/api/v1/schedules", json=body)).json()
        return Schedule(answer["id"], answer["name"])

    async def run_rota(self, schedule: Schedule) -> Timed:
        """Runs a schedule to its end.

        Raises:
            BenchError: It did not end as `Complete`, every step `Completed`.
        """
        url = f"/api/v1/schedules/{schedule.id}/run"
        sent_ns, sent = time.time_ns(), time.perf_counter()
        answer = await self.http.post(url)
        answered = time.perf_counter()
        execution_id = _checked(answer).json()["executionId"]
        workflow_id = manual_workflow_id(schedule.name, uuid.UUID(execution_id))
        await _in_time(self.temporal.get_workflow_handle(workflow_id).result())
        ended = time.perf_counter()
        # The record must say so too: else it was no run.
        execution = _checked(await self.http.get(f"/api/v1/schedule-executions/{execution_id}")).json()
        states = {execution["status"], *(step["status"] for step in execution["steps"])}
        if states != {"Complete", "Completed"}:
            raise BenchError(f"execution {execution_id} ended with {sorted(states)}: {execution['errorMessage']}")
        output = execution["steps"][-1]["outputTail"] or ""
        return Timed(sent_ns, (answered - sent) * 1000, (ended - answered) * 1000, output)

    async def run_floor(self, request: floor.FloorRequest) -> Timed:
        """Runs the floor's workflow to its end.

        Raises:
            BenchError: It failed.
        """
        sent_ns, sent = time.time_ns(), time.perf_counter()
        handle = await self.temporal.start_workflow(
            floor.WORKFLOW,
            request,
            id=f"floor/{uuid.uuid4()}",
            task_queue=floor.TASK_QUEUE,
            result_type=str,
        )
        answered = time.perf_counter()
        output = await _in_time(handle.result())
        ended = time.perf_counter()
        return Timed(sent_ns, (answered - sent) * 1000, (ended - answered) * 1000, output)


def _checked(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise BenchError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer


async def _in_time(result: Awaitable[Answer]) -> Answer:
    try:
        async with asyncio.timeout(_RUN_SECONDS):
            return await result
    except TimeoutError:
        raise BenchError(f"a run did not end within {_RUN_SECONDS} s") from None
    except WorkflowFailureError as error:
        raise BenchError(f"a run failed: {error.cause}") from None


@asynccontextmanager
async def running_stack(*, stock_server: bool) -> AsyncIterator[Stack]:
    """Starts everything in a folder of its own, and ends and removes it afterwards.

    Args:
        stock_server: Run the server without Rota's settings.

    Raises:
        BenchError: Something did not start, or was lost; the message ends with the last lines of the log.
        runtime.embedded.EmbeddedServerError: The server cannot be run.
    """
    async with _log_and_folder() as (stack, folder, log):
        yield await _start(
            stack, folder, log, beside_api=(["cli.main", "worker"], ["bench.floor"]), stock_server=stock_server
        )


@asynccontextmanager
async def _log_and_folder() -> AsyncIterator[tuple[AsyncExitStack, Path, IO[bytes]]]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rota-bench-")))
        log = stack.enter_context((folder / "log").open("a+b"))
        try:
            yield stack, folder, log
        except (BenchError, httpx.TransportError, RPCError) as error:
            raise BenchError(f"{error or type(error).__name__}\n{_last_lines(log)}") from None


@asynccontextmanager
async def running_api(database_url: str) -> AsyncIterator[Stack]:
    """Starts a server and an API, without a worker, on a catalogue that is there already.

    Args:
        database_url: The catalogue; a key is added to it.

    Raises:
        BenchError: Something did not start, or was lost; the message ends with the last lines of the log.
        runtime.embedded.EmbeddedServerError: The server cannot be run.
    """
    async with _log_and_folder() as (stack, folder, log):
        yield await _start(stack, folder, log, database_url=database_url)


async def _start(
    stack: AsyncExitStack,
    folder: Path,
    log: IO[bytes],
    *,
    beside_api: Sequence[Sequence[str]] = (),
    stock_server: bool = False,
    database_url: str = "",
) -> Stack:
    server = await start_server(
        host=HOST,
        port=_free_port(),
        ui_port=None,
        database=folder / "temporal.db",
        log=log,
        dynamic_config=_STOCK if stock_server else None,
    )
    stack.push_async_callback(end_child, server.process)
    environment = _environment(folder, server.address) | {"ROTA_DATABASE_URL": database_url}
    await _prepare_catalogue(environment, log)
    api_port = _free_port()
    children = []
    for command in (["cli.main", "api", "--host", HOST, "--port", str(api_port)], *beside_api):
        child = await start_child([sys.executable, "-m", *command], output=log, environment=environment)
        stack.push_async_callback(end_child, child)
        children.append(child)
    http = await stack.enter_async_context(
        httpx.AsyncClient(
            base_url=f"http://{HOST}:{api_port}",
            headers={"X-API-Key": api_key_file(folder).read_text().strip()},
            timeout=30,
        ),
    )
    await _wait_until_ready(http, children, with_workers=bool(beside_api))
    return Stack(http, await connect_to(server.address))


def _free_port() -> int:
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
        "ROTA_SCRIPT_ROOTS": os.pathsep.join(["/bin", "/usr/bin"]),
        "TEMPORAL_ADDRESS": address,
        "PYTHONUNBUFFERED": "1",
    }


async def _prepare_catalogue(environment: Mapping[str, str], log: IO[bytes]) -> None:
    process = await start_child([sys.executable, "-m", "cli.prepare"], output=log, environment=environment)
    if await process.wait() != 0:
        raise BenchError("the catalogue could not be prepared")


async def _wait_until_ready(
    http: httpx.AsyncClient,
    children: Sequence[asyncio.subprocess.Process],
    *,
    with_workers: bool,
) -> None:
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while not await _is_ready(http, with_workers=with_workers):
                if any(child.returncode is not None for child in children):
                    raise BenchError("a process ended at its start")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise BenchError(f"the processes were not ready within {_READY_SECONDS} s") from None


async def _is_ready(http: httpx.AsyncClient, *, with_workers: bool) -> bool:
    try:
        answer = await http.get("/api/v1/health/ready")
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
    found = shutil.which(name, path=os.pathsep.join(["/bin", "/usr/bin"]))
    if found is None:
        raise BenchError(f"no program {name} in /bin or /usr/bin")
    return found
