"""Long executions go on in new runs: no step is lost, none is run twice, and failures are not forgotten."""

import asyncio
from collections import Counter

import pytest
from temporalio.client import Client, WorkflowFailureError

from contracts.execution import ExecutionStatus, StepStatus
from contracts.names import PAUSE, RESUME
from tests.waiting import eventually
from tests.workflow.doubles import Record, Steps, plan, started, step


async def has_runs(client: Client, workflow_id: str, count: int) -> bool:
    """Waits until the server lists so many runs of a workflow: its listing follows a moment later."""

    async def listed() -> bool:
        return len([run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'")]) >= count

    return await eventually(listed)


async def test_a_long_sequence_continues_in_new_runs(client: Client, task_queue: str) -> None:
    steps = Steps()
    names = [f"s{n}" for n in range(90)]
    record = Record(plan(*(step(name, n) for n, name in enumerate(names))))

    async with started(client, task_queue, record, steps) as handle:
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE
    assert steps.begun == names
    assert len(record.outcomes) == 90
    assert await has_runs(client, handle.id, 3)


async def test_a_wide_group_continues_in_its_middle(client: Client, task_queue: str) -> None:
    steps = Steps()
    names = [f"s{n}" for n in range(450)]
    record = Record(plan(*(step(name, 0) for name in names), step("after", 1)))

    async with started(client, task_queue, record, steps) as handle:
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE
    assert Counter(steps.begun) == Counter([*names, "after"])
    assert steps.begun[-1] == "after"
    assert len(record.outcomes) == 451
    assert await has_runs(client, handle.id, 2)


async def test_a_failure_before_the_new_run_still_stops_the_execution_after_its_group(
    client: Client, task_queue: str
) -> None:
    steps = Steps()
    siblings = [step(f"s{n}", 0) for n in range(300)]
    record = Record(plan(step("bad", 0, does="fail"), *siblings, step("never", 1)))

    async with started(client, task_queue, record, steps) as handle:
        with pytest.raises(WorkflowFailureError):
            await handle.result()

    assert record.status == ExecutionStatus.FAILED
    assert record.message == "Step 'bad' failed and ContinueOnFailure is false. bad: it broke"
    assert record.status_of("s299") == StepStatus.COMPLETED
    assert len(steps.begun) == 301
    assert "never" not in steps.begun
    assert await has_runs(client, handle.id, 2)


async def test_a_tolerated_failure_is_remembered_over_new_runs(client: Client, task_queue: str) -> None:
    steps = Steps()
    record = Record(
        plan(step("bad", 0, does="fail", continue_on_failure=True), *(step(f"s{n}", n + 1) for n in range(60)))
    )

    async with started(client, task_queue, record, steps) as handle:
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE_WITH_ERROR
    assert len(steps.begun) == 61
    assert await has_runs(client, handle.id, 2)


async def test_a_pause_outlasts_the_run_in_which_it_was_asked_for(client: Client, task_queue: str) -> None:
    steps = Steps()
    record = Record(plan(*(step(f"s{n}", 0) for n in range(450)), step("after", 1)))

    async with started(client, task_queue, record, steps) as handle:
        assert await eventually(lambda: asyncio.sleep(0, bool(steps.begun)))
        await handle.signal(PAUSE)
        await record.held.wait()
        assert len(steps.begun) == 450
        assert await has_runs(client, handle.id, 2)
        await handle.signal(RESUME)
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE
    assert steps.begun[-1] == "after"
    assert record.holds == 1
