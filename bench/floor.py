"""The floor: the least that Temporal makes of the work. `python -m bench.floor` runs its worker.

A workflow that runs activities, one after another or all at once, each of which starts a program in a session of its
own, reads what it prints and sends one heartbeat. It keeps no record and looks after no process tree; its timeouts are of
the server's making, and no program of the bench reaches them. The worker has the SDK's defaults.

Asked to, it keeps the least that could be called a record: one row, written when the workflow begins and when it ends. Or
it does without the heartbeat, as Rota does in a step that is over within half a second.
"""

import asyncio
import sqlite3
import threading
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

TASK_QUEUE: Final = "bench-floor"
WORKFLOW: Final = "Floor"
COMPLETE: Final = "Complete"
"""What a record says of a workflow that has ended."""

_LIMIT: Final = timedelta(minutes=1)

_kept = threading.local()


@dataclass(frozen=True)
class FloorRequest:
    """What the floor runs."""

    command: list[str]
    """Program and arguments of every step."""
    steps: int
    """How often it is run."""
    at_once: bool = False
    """Whether all of them run concurrently, not one after another."""
    record: str = ""
    """SQLite file in which a row says how it stands; empty for none."""
    heartbeat: bool = True
    """Whether each step sends one."""


@activity.defn(name="run-program")
async def run_program(command: list[str], heartbeat: bool) -> str:  # noqa: FBT001 - activities take positions
    """Runs a program to its end and returns what it printed.

    Raises:
        ApplicationError: It did not exit with code 0.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    if heartbeat:
        activity.heartbeat()
    stdout, _ = await process.communicate()
    if process.returncode != 0:
        raise ApplicationError(f"{command[0]} exited with code {process.returncode}", non_retryable=True)
    return stdout.decode()


@activity.defn(name="write-record")
async def write_record(record: str, workflow_id: str, status: str) -> None:
    """Writes how a workflow stands, in a thread, as a catalogue is written."""
    await asyncio.to_thread(_write_record, record, workflow_id, status)


def _write_record(record: str, workflow_id: str, status: str) -> None:
    # One connection for each thread and file: SQLite tidies up where the last one is closed.
    connections: dict[str, sqlite3.Connection] = vars(_kept)
    if record not in connections:
        connections[record] = sqlite3.connect(record, timeout=60)
        connections[record].execute("PRAGMA synchronous=NORMAL")
    with connections[record] as connection:
        connection.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (workflow_id, status))


def make_record(record: str) -> None:
    """Makes the SQLite file that records are kept in."""
    with sqlite3.connect(record) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS record (workflow_id TEXT PRIMARY KEY, status TEXT)")
    connection.close()


def recorded(record: str, status: str) -> int:
    """Returns how many workflows stand so."""
    with sqlite3.connect(record) as connection:
        [count] = connection.execute("SELECT count(*) FROM record WHERE status = ?", (status,)).fetchone()
    connection.close()
    return int(count)


@workflow.defn(name=WORKFLOW)
class Floor:
    """Runs a program some times."""

    @workflow.run
    async def run(self, request: FloorRequest) -> str:
        """Returns what the last one printed."""
        await _record(request, "Running")
        if request.at_once:
            output = (await asyncio.gather(*(_run_step(request) for _ in range(request.steps))))[-1]
        else:
            output = ""
            for _ in range(request.steps):
                output = await _run_step(request)
        await _record(request, COMPLETE)
        return output


async def _record(request: FloorRequest, status: str) -> None:
    if request.record:
        await workflow.execute_local_activity(
            write_record,
            args=[request.record, workflow.info().workflow_id, status],
            start_to_close_timeout=_LIMIT,
        )


async def _run_step(request: FloorRequest) -> str:
    return await workflow.execute_activity(
        run_program,
        args=[request.command, request.heartbeat],
        start_to_close_timeout=_LIMIT,
        heartbeat_timeout=_LIMIT,
        retry_policy=RetryPolicy(maximum_attempts=1),
    )


async def _run_worker() -> None:
    config = ClientConfig.load_client_connect_config()
    client = await Client.connect(**config)
    await Worker(client, task_queue=TASK_QUEUE, workflows=[Floor], activities=[run_program, write_record]).run()


if __name__ == "__main__":
    asyncio.run(_run_worker())
