"""Runs of Rota and of the floor, as their clients see them."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from bench import floor
from bench.http import Connection, connected
from contracts.ids import manual_workflow_id

_RUN_SECONDS: Final = 600
_ANSWER_SECONDS: Final = 30

_ASK_AGAIN_SECONDS: Final = 5.0
"""The server loses word of an end about once in 3,000: then it answers the long poll after its 20 s, of a workflow that has
ended after 0.2 (Temporal 1.32, by the history's times)."""

Answer = TypeVar("Answer")


class BenchError(Exception):
    """It could not be measured; the message says why."""


@dataclass(frozen=True)
class Schedule:
    """A schedule of Rota's to measure."""

    id: str
    name: str
    steps: int
    """How many it has, and each of its executions must have."""


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
    workflow_id: str

    @property
    def total_ms(self) -> float:
        """From the request to the end."""
        return self.start_ms + self.run_ms


@dataclass(frozen=True)
class RotaClient:
    """Gives Rota work."""

    http: httpx.AsyncClient
    temporal: Client

    async def create_schedule(self, steps: Sequence[Mapping[str, Any]], **fields: Any) -> Schedule:
        """Creates a schedule of these steps.

        Raises:
            BenchError: The API refused it.
        """
        body = {"name": f"Bench {uuid.uuid4()}", "steps": list(steps), **fields}
        answer = checked(await self.http.post("/api/v1/schedules", json=body)).json()
        return Schedule(answer["id"], answer["name"], len(steps))

    async def count_executions(self) -> int:
        """Returns how many executions there are."""
        page: dict[str, Any] = checked(await self.http.get("/api/v1/schedule-executions?pageSize=1")).json()
        return int(page["totalCount"])

    async def run(self, schedule: Schedule) -> Timed:
        """Runs a schedule to its end.

        Raises:
            BenchError: It did not end as `Complete`, each of its steps `Completed`.
            HttpError: The API was lost.
        """
        async with self._connected() as connection:
            sent_ns, sent = time.time_ns(), time.perf_counter()
            execution_id = await _start(connection, schedule)
            answered = time.perf_counter()
        workflow_id = await self._end(schedule, execution_id)
        ended = time.perf_counter()
        execution = await self.checked_execution(execution_id, steps=schedule.steps)
        output = execution["steps"][-1]["outputTail"] or ""
        return Timed(sent_ns, (answered - sent) * 1000, (ended - answered) * 1000, output, workflow_id)

    async def run_at_once(self, schedules: Sequence[Schedule], at_end: Callable[[], None] = lambda: None) -> float:
        """Runs schedules, all requested at once, to the end of the last; returns the seconds from request to end.

        Args:
            schedules: What is run.
            at_end: Called when the last has ended, before the records are looked at.

        Raises:
            BenchError: One did not end as `Complete`, each of its steps `Completed`.
            HttpError: The API was lost.
        """

        async def run(connection: Connection, schedule: Schedule) -> str:
            execution_id = await _start(connection, schedule)
            await self._end(schedule, execution_id)
            return execution_id

        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(self._connected()) for _ in schedules]
            sent = time.perf_counter()
            execution_ids = await asyncio.gather(*map(run, connections, schedules))
            ended = time.perf_counter()
            at_end()
        for schedule, execution_id in zip(schedules, execution_ids, strict=True):
            await self.checked_execution(execution_id, steps=schedule.steps)
        return ended - sent

    async def checked_execution(self, execution_id: str, *, steps: int) -> dict[str, Any]:
        """Returns an execution that has ended well: its record must say so, else it was no run.

        Args:
            execution_id: Which.
            steps: How many its record must have: one that lost some would say of the others that they are well.

        Raises:
            BenchError: It is not `Complete`, a step is not `Completed`, or there are more or fewer steps.
        """
        execution: dict[str, Any] = checked(await self.http.get(f"/api/v1/schedule-executions/{execution_id}")).json()
        states = {execution["status"], *(step["status"] for step in execution["steps"])}
        if states != {"Complete", "Completed"}:
            raise BenchError(f"execution {execution_id} ended with {sorted(states)}: {execution['errorMessage']}")
        if len(execution["steps"]) != steps:
            raise BenchError(f"execution {execution_id} has {len(execution['steps'])} steps in place of {steps}")
        return execution

    def _connected(self) -> AbstractAsyncContextManager[Connection]:
        """Opens a connection to the API, as a client has that asks it often."""
        return connected(self.http.base_url.port or 0, {"X-API-Key": self.http.headers["X-API-Key"]})

    async def _end(self, schedule: Schedule, execution_id: str) -> str:
        workflow_id = manual_workflow_id(schedule.name, uuid.UUID(execution_id))
        await _result(self.temporal.get_workflow_handle(workflow_id))
        return workflow_id


@dataclass(frozen=True)
class FloorClient:
    """Gives the floor's worker work."""

    temporal: Client

    async def run(self, request: floor.FloorRequest) -> Timed:
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
        output = await _result(handle)
        ended = time.perf_counter()
        return Timed(sent_ns, (answered - sent) * 1000, (ended - answered) * 1000, output, handle.id)

    async def run_at_once(self, requests: Sequence[floor.FloorRequest]) -> float:
        """Runs workflows, all requested at once, to the end of the last; returns the seconds from request to end.

        Raises:
            BenchError: One failed.
        """
        sent = time.perf_counter()
        await asyncio.gather(*map(self.run, requests))
        return time.perf_counter() - sent


def executable(program: str, *, step_index: int = 0, arguments: str | None = None) -> dict[str, Any]:
    """Returns a step of Rota's that runs a program; those of one index run concurrently."""
    return {
        "stepType": "Executable",
        "stepIndex": step_index,
        "executablePath": program,
        "arguments": arguments,
    }


async def _start(connection: Connection, schedule: Schedule) -> str:
    path = f"/api/v1/schedules/{schedule.id}/run"
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            status, answer = await connection.ask("POST", path)
    except TimeoutError:
        raise BenchError(f"POST {path}: no answer within {_ANSWER_SECONDS} s") from None
    if status != httpx.codes.ACCEPTED:
        raise BenchError(f"POST {path}: {status} {answer.decode(errors='replace')}")
    execution_id: str = json.loads(answer)["executionId"]
    return execution_id


def checked(answer: httpx.Response) -> httpx.Response:
    """Returns an answer that is a success.

    Raises:
        BenchError: It is none.
    """
    if not answer.is_success:
        raise BenchError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer


async def _result(handle: WorkflowHandle[Any, Answer]) -> Answer:
    try:
        async with asyncio.timeout(_RUN_SECONDS):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_AGAIN_SECONDS):
                        return await handle.result()
    except TimeoutError:
        raise BenchError(f"a run did not end within {_RUN_SECONDS} s") from None
    except WorkflowFailureError as error:
        raise BenchError(f"a run failed: {error.cause}") from None
