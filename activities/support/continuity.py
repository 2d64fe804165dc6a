"""How work that goes on elsewhere outlives its worker: what the next attempt must know is stored with Temporal first.

Heartbeats are held back by up to a second, and die with the worker. What must not be lost is sent by a call of its own,
which returns when the server has it.

A turn is a workflow that nobody runs: the server lets one of an id be open at a time. Its memo names the step that has
it. It is terminated when it is given back, and deleted a while later by the upkeep: a delete that comes too soon may
overtake the entry of the start in the server's lists, where the turn is then open for good.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution as WorkflowExecutionName
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import (
    AsyncActivityCancelledError,
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from tenacity import retry, retry_if_exception, wait_exponential

from activities.support.step_type import Continuity
from contracts.execution import StepHeartbeat
from contracts.ids import turn_id
from contracts.names import NO_TASK_QUEUE, TURN
from runtime.temporal import is_temporal_away

_TIMEOUT: Final = timedelta(seconds=5)
"""For one call of Temporal."""

_SHORTEST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 2.0
"""Seconds between two looks at a turn that another step has."""

_until_it_answers = retry(
    retry=retry_if_exception(is_temporal_away),
    wait=wait_exponential(multiplier=0.2, max=5),
    reraise=True,
)
"""Calls again while Temporal cannot be reached: a time limit or a cancel ends it."""

Answer = TypeVar("Answer")


class TemporalContinuity(Continuity):
    """The continuity of an attempt that an activity makes."""

    def __init__(self, heartbeat: Callable[[], StepHeartbeat]) -> None:
        """Takes what makes the heartbeat that is due now."""
        self._heartbeat = heartbeat

    async def keep(self) -> None:
        """Returns once Temporal has stored what the step remembers, while this attempt is the one that counts."""
        handle = activity.client().get_async_activity_handle(task_token=activity.info().task_token)

        @_until_it_answers
        async def send() -> None:
            await handle.heartbeat(self._heartbeat(), rpc_timeout=_TIMEOUT)

        try:
            await send()
        except AsyncActivityCancelledError:
            await _cancelled()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            await _cancelled()

    async def hands_over(self) -> bool:
        """Whether another attempt goes on: this worker stops, or Temporal has given up this attempt but not the step."""
        details = activity.cancellation_details()
        if details is None or details.cancel_requested:
            return False
        if details.worker_shutdown:
            return True
        try:
            return await _is_running(activity.client(), activity.info().workflow_id or "")
        except RPCError:
            # Another attempt may well have the work: it is not this one's to end.
            return True

    async def take_turn(self, name: str) -> None:
        """Waits until no other step has the turn, and takes it."""
        client, info = activity.client(), activity.info()
        holder = {"workflow": info.workflow_id, "step": info.activity_id}
        pause = _SHORTEST_WAIT
        while not await self._try_turn(client, name, holder):
            await asyncio.sleep(pause)  # a workflow id that is taken cannot be waited for
            pause = min(pause * 2, _LONGEST_WAIT)

    @_until_it_answers
    async def _try_turn(self, client: Client, name: str, holder: dict[str, Any]) -> bool:
        try:
            await client.start_workflow(
                TURN, id=turn_id(name), task_queue=NO_TASK_QUEUE, memo=holder, rpc_timeout=_TIMEOUT
            )
        except WorkflowAlreadyStartedError:
            other = await _open_turn(client, name)
            if other is None:
                return False
            memo = await other.memo()
            if memo == holder:
                return True
            if not await _is_running(client, memo.get("workflow", "")):
                await _end(client, other)
            return False
        return True

    @_until_it_answers
    async def give_back(self, name: str) -> None:
        """Ends the turn where this step has it."""
        client, info = activity.client(), activity.info()
        turn = await _open_turn(client, name)
        if turn is not None and await turn.memo() == {"workflow": info.workflow_id, "step": info.activity_id}:
            await _end(client, turn)


async def clear_turns(client: Client, *, older_than: timedelta) -> int:
    """Ends the turns of executions that are no more, and deletes those that ended so long ago; returns how many ended."""
    ended = 0
    async for turn in client.list_workflows(f"WorkflowType = '{TURN}'"):
        if turn.status is not WorkflowExecutionStatus.RUNNING:
            if turn.close_time is not None and turn.close_time < datetime.now(UTC) - older_than:
                await _delete(client, turn)
        elif not await _is_running(client, (await turn.memo()).get("workflow", "")):
            ended += await _end(client, turn)
    return ended


async def _cancelled() -> None:
    """Never returns: the worker is told so itself with its next heartbeat, and cancels the attempt."""
    await asyncio.Event().wait()


async def _found(answer: Awaitable[Answer]) -> Answer | None:
    """Returns what a call answers; None where what it asks for does not exist."""
    try:
        return await answer
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


async def _is_running(client: Client, workflow_id: str) -> bool:
    found = await _found(client.get_workflow_handle(workflow_id).describe(rpc_timeout=_TIMEOUT))
    return found is not None and found.status is WorkflowExecutionStatus.RUNNING


async def _open_turn(client: Client, name: str) -> WorkflowExecutionDescription | None:
    found = await _found(client.get_workflow_handle(turn_id(name)).describe(rpc_timeout=_TIMEOUT))
    return found if found is not None and found.status is WorkflowExecutionStatus.RUNNING else None


async def _end(client: Client, turn: WorkflowExecution) -> bool:
    """Ends this one turn, not one of its name that was taken since; returns False where it had ended."""
    handle = client.get_workflow_handle(turn.id, run_id=turn.run_id)
    try:
        await handle.terminate(reason="given back", rpc_timeout=_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def _delete(client: Client, turn: WorkflowExecution) -> None:
    execution = WorkflowExecutionName(workflow_id=turn.id, run_id=turn.run_id)
    request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    await _found(client.workflow_service.delete_workflow_execution(request, timeout=_TIMEOUT))
