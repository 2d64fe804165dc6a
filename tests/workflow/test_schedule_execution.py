"""The workflow on the time-skipping server: steps and record replaced by name, everything else real."""

import asyncio
import gc
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from contracts.execution import Carried, ExecutionResult, ExecutionStatus, StepStatus
from contracts.ids import step_task_queue
from contracts.names import PAUSE, PROCEED, RESUME
from tests.waiting import eventually
from tests.workflow.doubles import Record, Steps, plan, run, serving, start, started, step
from workflows.schedule_execution import ScheduleExecution

SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
TIMER_FIRED = EventType.EVENT_TYPE_TIMER_FIRED


async def test_groups_run_in_order_and_steps_of_a_group_together(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    together: dict[str, Any] = {"config": {"seconds": 0.3}}
    record = Record(plan(step("a", 0), step("b", 1, **together), step("c", 1, **together), step("d", 2)))

    result = await run(time_skipping.client, task_queue, record, steps)

    assert result.outcome == ExecutionStatus.COMPLETE
    assert steps.begun[0] == "a"
    assert set(steps.begun[1:3]) == {"b", "c"}
    assert steps.begun[3] == "d"
    assert steps.overlaps["b"] == {"c"}
    assert not steps.overlaps["a"]
    assert not steps.overlaps["d"]
    assert record.status == ExecutionStatus.COMPLETE
    assert {outcome.status for outcome in record.outcomes.values()} == {StepStatus.COMPLETED}


async def test_a_failing_step_lets_its_siblings_finish_and_stops_the_execution(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(
        plan(step("bad", 0, does="fail"), step("sibling", 0, config={"seconds": 0.2}), step("never", 1)),
    )

    with pytest.raises(WorkflowFailureError) as failure:
        await run(time_skipping.client, task_queue, record, steps)

    assert isinstance(failure.value.cause, ApplicationError)
    assert record.status == ExecutionStatus.FAILED
    assert record.message == "Step 'bad' failed and ContinueOnFailure is false. bad: it broke"
    assert failure.value.cause.message == record.message
    assert record.status_of("bad") == StepStatus.FAILED
    assert record.status_of("sibling") == StepStatus.COMPLETED
    assert "never" not in steps.begun


async def test_continue_on_failure_goes_on_and_ends_complete_with_error(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("bad", 0, does="fail", continue_on_failure=True), step("next", 1)))

    result = await run(time_skipping.client, task_queue, record, steps)

    assert result.outcome == ExecutionStatus.COMPLETE_WITH_ERROR
    assert record.status == ExecutionStatus.COMPLETE_WITH_ERROR
    assert record.outcomes[record.plan[0].step_id].exit_code == 3
    assert steps.begun == ["bad", "next"]


async def test_only_the_steps_that_failed_need_continue_on_failure(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(
        plan(step("bad", 0, does="fail", continue_on_failure=True), step("good", 0), step("next", 1)),
    )

    result = await run(time_skipping.client, task_queue, record, steps)

    assert result.outcome == ExecutionStatus.COMPLETE_WITH_ERROR
    assert "next" in steps.begun


async def test_max_attempts_retries_and_one_attempt_is_the_default(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(
        plan(step("flaky", 0, does="flaky", max_attempts=3), step("once", 1, does="flaky")),
    )

    with pytest.raises(WorkflowFailureError):
        await run(time_skipping.client, task_queue, record, steps)

    assert record.outcomes[record.plan[0].step_id].attempts == 3
    assert steps.attempts == {"flaky": 3, "once": 1}
    assert record.status_of("once") == StepStatus.FAILED


@pytest.mark.parametrize("pool", [None, "windows"])
async def test_a_step_type_that_a_worker_does_not_know_is_named_with_the_remedy(
    time_skipping: WorkflowEnvironment, task_queue: str, pool: str | None
) -> None:
    steps = Steps()
    record = Record(plan(step("new", 0, worker_pool=pool, max_attempts=2).model_copy(update={"step_type": "Newer"})))
    queue = step_task_queue(task_queue, pool)

    async with started(time_skipping.client, task_queue, record, steps) as handle, AsyncExitStack() as stack:
        if pool:
            other = Worker(time_skipping.client, task_queue=queue, activities=[steps.work], identity="7@win")
            await stack.enter_async_context(other)
        with pytest.raises(WorkflowFailureError):
            await handle.result()

    outcome = record.outcome_of("new")
    worker, whose = ("7@win", "workers of the pool 'windows'") if pool else (time_skipping.client.identity, "workers")
    said = (
        f"The worker {worker} does not know the step type 'Newer'. Install the version or package that has it on all "
        f"{whose} and restart them; upgrade workers before the API."
    )
    assert [attempt.message for attempt in outcome.history] == [said, said]
    assert outcome.message == said
    assert record.message == f"Step 'new' failed and ContinueOnFailure is false. new: {said}"


async def test_every_attempt_is_in_the_history_of_its_step(time_skipping: WorkflowEnvironment, task_queue: str) -> None:
    steps = Steps()
    record = Record(plan(step("flaky", 0, does="flaky", max_attempts=3), step("once", 1)))

    await run(time_skipping.client, task_queue, record, steps)

    flaky = record.outcome_of("flaky")
    assert [attempt.number for attempt in flaky.history] == [1, 2, 3]
    assert [attempt.message for attempt in flaky.history] == ["not yet", "not yet", None]
    assert flaky.history[-1].status == StepStatus.COMPLETED
    assert flaky.started_at == flaky.history[0].started_at
    assert [len(known) for known in record.attempts.values()] == [2]
    assert [told.is_last for told in steps.inputs] == [False, False, True, True]
    assert record.outcome_of("once").history == []


async def test_a_planned_stop_of_the_worker_costs_no_attempt_where_there_may_be_several(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("several", 0, does="stopped", max_attempts=2)))

    result = await run(time_skipping.client, task_queue, record, steps)

    assert result.outcome == ExecutionStatus.COMPLETE
    several = record.outcome_of("several")
    assert several.attempts == 1
    assert [attempt.is_counted for attempt in several.history] == [False, False, True]
    assert several.history[0].message == "The worker 1@h was stopped."
    assert [told.attempt for told in steps.inputs] == [1, 2, 3]
    assert [told.resumed_from for told in steps.inputs] == [None] * 3


async def test_a_planned_stop_of_the_worker_fails_a_step_that_may_run_once(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("once", 0, does="stopped")))

    with pytest.raises(WorkflowFailureError):
        await run(time_skipping.client, task_queue, record, steps)

    assert steps.begun == ["once"]
    assert record.outcome_of("once").message == "The worker 1@h was stopped."
    assert record.outcome_of("once").attempts == 1


async def test_a_step_that_can_be_resumed_is_taken_up_where_it_stood(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("external", 0, config={"does": "stopped", "resumable": True})))

    result = await run(time_skipping.client, task_queue, record, steps)

    assert result.outcome == ExecutionStatus.COMPLETE
    assert record.outcome_of("external").attempts == 1
    assert [told.memo for told in steps.inputs] == [{}, {"run": 1}, {"run": 2}]
    first, second, third = (told.resumed_from for told in steps.inputs)
    assert first is None
    assert second is not None
    assert second == third


async def test_a_step_cancelled_between_two_attempts_says_how_often_it_was_tried(
    client: Client, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("bad", 0, does="fail", max_attempts=10)))

    async with started(client, task_queue, record, steps) as handle:
        # The second pause is two seconds long.
        await eventually(lambda: asyncio.sleep(0, len(next(iter(record.attempts.values()), [])) == 2))
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()

    outcome = record.outcome_of("bad")
    assert outcome.status == StepStatus.CANCELLED
    assert outcome.attempts == 2
    assert outcome.message == "Cancelled before attempt 3. Attempt 2: it broke"
    assert [attempt.exit_code for attempt in outcome.history] == [3, 3]


async def test_cancel_ends_running_steps_and_closes_the_record(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("done", 0), step("hanging", 1, does="hang"), step("never", 2)))

    async with started(time_skipping.client, task_queue, record, steps) as handle:
        await steps.hanging.wait()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()

    assert isinstance(failure.value.cause, CancelledError)
    assert record.status == ExecutionStatus.CANCELLED
    assert record.message == "Cancelled by user"
    assert record.status_of("done") == StepStatus.COMPLETED
    assert record.status_of("hanging") == StepStatus.CANCELLED
    assert record.closed == 1
    assert not steps.active


@pytest.mark.parametrize("cancel_first", [True, False])
@pytest.mark.parametrize(("does", "status"), [("", StepStatus.COMPLETED), ("fail", StepStatus.FAILED)])
async def test_a_step_that_ends_in_the_moment_of_a_cancel_says_how(
    client: Client,
    task_queue: str,
    caplog: pytest.LogCaptureFixture,
    *,
    cancel_first: bool,
    does: str,
    status: StepStatus,
) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0, does=does, worker_pool="elsewhere"), step("never", 1)))

    # The workflow hears of both at once: they happen while no worker runs it.
    async with started(client, task_queue, record, steps) as handle:
        await eventually(lambda: _is_pending(handle))
    if cancel_first:
        await handle.cancel()
    async with Worker(client, task_queue=step_task_queue(task_queue, "elsewhere"), activities=[steps.work]):
        await eventually(lambda: _is_pending(handle, pending=False))
    if not cancel_first:
        await handle.cancel()
    async with serving(client, task_queue, record, steps):
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()

    assert isinstance(failure.value.cause, CancelledError)
    assert (record.status, record.closed) == (ExecutionStatus.CANCELLED, 1)
    assert (record.outcome_of("a").status, record.outcome_of("a").attempts) == (status, 1)
    assert steps.begun == ["a"]
    gc.collect()
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR] == []


async def _is_pending(handle: WorkflowHandle[Any, Any], *, pending: bool = True) -> bool:
    description = await handle.describe()
    return bool(description.raw_description.pending_activities) is pending


@pytest.mark.parametrize(("decision", "outcome"), [("skip", "Skipped"), ("missed", "Missed"), ("ended", "Ended")])
async def test_what_may_not_run_runs_nothing(
    time_skipping: WorkflowEnvironment, task_queue: str, decision: str, outcome: str
) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0)), decision=decision)

    result = await run(time_skipping.client, task_queue, record, steps)

    assert result.outcome == outcome
    assert result.execution_id is None
    assert not steps.begun
    assert record.closed == 0


async def test_opened_by_a_worker_of_before_sequential_steps_cost_one_write_each(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    record = Record(plan(*(step(f"s{n}", n) for n in range(10))), marks_first=False)

    await run(time_skipping.client, task_queue, record, Steps())

    assert record.writes == 1 + 10
    assert record.closed == 1


async def test_quick_steps_share_their_writes(client: Client, task_queue: str) -> None:
    record = Record(plan(*(step(f"s{n}", n) for n in range(40))), hold_back_seconds=None)

    await run(client, task_queue, record, Steps())

    assert record.writes < 1 + 40
    assert len(record.outcomes) == 40
    assert record.last_group == 39


@pytest.mark.parametrize(("seconds", "writes"), [(0.0, 8), (3600.0, 1)])
async def test_the_worker_says_for_how_long_writes_are_held_back(
    client: Client, task_queue: str, seconds: float, writes: int
) -> None:
    record = Record(plan(*(step(f"s{n}", n) for n in range(8))), hold_back_seconds=seconds)

    await run(client, task_queue, record, Steps())

    assert record.writes == writes
    assert len(record.outcomes) == 8


async def test_what_is_held_back_is_written_soon_though_nothing_ends(client: Client, task_queue: str) -> None:
    steps = Steps()
    record = Record(plan(step("quick", 0), step("hanging", 1, does="hang"), step("never", 2)), hold_back_seconds=None)
    quick, hanging, _ = (each.step_id for each in record.plan)

    async with started(client, task_queue, record, steps) as handle:
        await steps.hanging.wait()
        await eventually(lambda: asyncio.sleep(0, quick in record.outcomes and hanging in record.started))
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()

    assert record.status_of("hanging") == StepStatus.CANCELLED
    assert record.started == [quick, hanging]


async def test_a_cancel_writes_what_was_held_back(client: Client, task_queue: str) -> None:
    steps = Steps()
    record = Record(
        plan(*(step(f"s{n}", n) for n in range(5)), step("hanging", 5, does="hang"), step("never", 6)),
        hold_back_seconds=3600,
    )

    async with started(client, task_queue, record, steps) as handle:
        await steps.hanging.wait()
        assert not record.outcomes
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()

    assert {record.status_of(f"s{n}") for n in range(5)} == {StepStatus.COMPLETED}
    assert record.status_of("hanging") == StepStatus.CANCELLED
    assert record.last_group == 5


async def test_a_pause_that_comes_once_the_first_group_is_marked_holds_after_it(
    client: Client, task_queue: str
) -> None:
    steps = Steps()
    opening = asyncio.Event()
    record = Record(plan(step("a", 0), step("b", 1)), opening=opening)

    async with started(client, task_queue, record, steps) as handle:
        await record.asked.wait()
        await handle.signal(PAUSE)
        opening.set()
        await record.held.wait()
        assert steps.begun == ["a"]
        assert record.status_of("a") == StepStatus.COMPLETED
        await handle.signal(RESUME)
        result = await handle.result()

    assert [(pause.paused, pause.before_group) for pause in record.pauses] == [(True, 1), (False, 1)]
    # What a late write of the pause is told apart by.
    assert record.pauses[1].started == [record.plan[1].step_id]
    assert result.outcome == ExecutionStatus.COMPLETE


async def test_that_a_step_began_is_written_before_its_attempts(client: Client, task_queue: str) -> None:
    record = Record(plan(step("quick", 0), step("flaky", 1, does="flaky", max_attempts=3)))

    await run(client, task_queue, record, Steps())

    assert record.begun_at_attempt == [True, True]


async def test_a_plan_is_read_in_slices(time_skipping: WorkflowEnvironment, task_queue: str) -> None:
    steps = Steps()
    names = [f"s{n}" for n in range(30)]
    record = Record(plan(*(step(name, n // 3) for n, name in enumerate(names))), slice_size=4)

    result = await run(time_skipping.client, task_queue, record, steps)

    assert result.outcome == ExecutionStatus.COMPLETE
    assert sorted(steps.begun) == sorted(names)
    for position in range(0, 30, 3):
        assert set(steps.begun[position : position + 3]) == set(names[position : position + 3])


async def test_a_group_that_lies_across_slices_begins_together(client: Client, task_queue: str) -> None:
    steps = Steps()
    members = [step(f"b{n}", 1, does="hang") for n in range(5)]
    record = Record(plan(step("a", 0), *members, step("never", 2)), slice_size=4)

    async with started(client, task_queue, record, steps) as handle:
        await eventually(lambda: asyncio.sleep(0, len(steps.active) == len(members)))
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()

    assert sorted(steps.begun) == ["a", "b0", "b1", "b2", "b3", "b4"]


async def events(handle: WorkflowHandle[ScheduleExecution, ExecutionResult]) -> set[EventType.ValueType]:
    return {event.event_type for event in (await handle.fetch_history()).events}


async def test_a_fire_that_was_held_back_goes_on_when_it_is_told(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0)), held_back=True)

    async with started(time_skipping.client, task_queue, record, steps) as handle:
        await record.asked.wait()
        assert not steps.begun
        record.held_back = False
        await handle.signal(PROCEED)
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE
    assert steps.begun == ["a"]
    assert TIMER_FIRED not in await events(handle)


async def test_a_fire_that_is_told_too_early_waits_on(time_skipping: WorkflowEnvironment, task_queue: str) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0)), held_back=True)

    async with started(time_skipping.client, task_queue, record, steps) as handle:
        await record.asked.wait()
        record.asked.clear()
        await handle.signal(PROCEED)
        await record.asked.wait()
        assert not steps.begun
        record.held_back = False
        await handle.signal(PROCEED)
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE
    assert steps.begun == ["a"]


async def test_a_fire_that_was_held_back_looks_again_by_itself(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0)), held_back=True)

    async with started(time_skipping.client, task_queue, record, steps) as handle:
        await record.asked.wait()
        record.held_back = False
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE
    assert steps.begun == ["a"]
    assert TIMER_FIRED in await events(handle)


async def test_a_fire_that_is_cancelled_while_it_waits_closes_its_record(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0)), held_back=True)

    async with started(time_skipping.client, task_queue, record, steps) as handle:
        await record.asked.wait()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()

    assert isinstance(failure.value.cause, CancelledError)
    assert record.status == ExecutionStatus.CANCELLED
    assert record.message == "Cancelled by user"
    assert record.closed == 1
    assert not steps.begun


async def test_the_end_of_an_execution_wakes_the_fire_that_waited_for_it(client: Client, task_queue: str) -> None:
    steps = Steps()
    waiting = Record(plan(step("second", 0)), held_back=True)

    async with started(client, task_queue, waiting, steps) as handle:
        await waiting.asked.wait()
        waiting.held_back = False
        first = Record(plan(step("first", 0)), waiting_workflow_id=handle.id)
        await run(client, f"{task_queue}-first", first, steps)
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE
    assert steps.begun == ["first", "second"]
    assert SIGNALED in await events(handle)


async def test_a_waiting_fire_that_is_gone_does_no_harm(time_skipping: WorkflowEnvironment, task_queue: str) -> None:
    record = Record(plan(step("a", 0)), waiting_workflow_id="gone")

    result = await run(time_skipping.client, task_queue, record, Steps())

    assert result.outcome == ExecutionStatus.COMPLETE


async def test_a_pause_before_the_first_group_begins_holds_it(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0)), held_back=True)

    async with started(time_skipping.client, task_queue, record, steps) as handle:
        await record.asked.wait()
        await handle.signal(PAUSE)
        record.held_back = False
        await handle.signal(PROCEED)
        await record.held.wait()
        assert steps.begun == []
        await handle.signal(RESUME)
        result = await handle.result()

    assert result.outcome == ExecutionStatus.COMPLETE
    assert steps.begun == ["a"]


async def test_an_execution_that_takes_up_another_begins_where_that_had_stopped(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0), step("b", 1), step("c", 2)))
    carried = Carried(position=1, group=0, total_steps=3, total_groups=3, had_failures=True)

    async with started(time_skipping.client, task_queue, record, steps, carried) as handle:
        result = await handle.result()

    assert steps.begun == ["b", "c"]
    assert result.outcome == ExecutionStatus.COMPLETE_WITH_ERROR


async def test_a_fire_that_waits_for_a_worker_was_started_when_the_server_did(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    record = Record(plan(step("a", 0)))
    handle = await start(time_skipping.client, task_queue)
    described = await handle.describe()

    async def has_waited() -> bool:
        return await time_skipping.get_current_time() >= described.start_time + timedelta(seconds=1)

    await eventually(has_waited)
    async with serving(time_skipping.client, task_queue, record, Steps()):
        await handle.result()

    # Whether a later fire was due when a worker took it is not what makes one missed.
    assert record.started_at == described.start_time
