"""The record that a workflow keeps: each write may be repeated, and none may be lost or done over a closed one."""

import uuid
from datetime import UTC, datetime

import pytest

from activities.support.recording import SCHEDULER, Recorder
from activities.support.snapshot import prepare_steps
from catalogue.connected_systems import CatalogueLookup
from catalogue.engine import Catalogue
from catalogue.executions import (
    Execution,
    StepRecord,
    get_execution,
    get_step_records,
    has_active_execution,
    open_execution,
)
from catalogue.schedules import Schedule, ScheduleStep, get_schedule
from contracts.execution import (
    CloseRequest,
    ExecutionStatus,
    FinishedStep,
    OpenRequest,
    ProgressRequest,
    StepOutcome,
    StepStatus,
    TriggerType,
)
from timetable import PatternType


async def saved_schedule(catalogue: Catalogue, steps: int = 3) -> Schedule:
    schedule = Schedule(
        name=f"s {uuid.uuid4()}",
        trigger_type=TriggerType.CRON,
        pattern_type=PatternType.CUSTOM,
        cron_expression="* * * * *",
        is_enabled=True,
    )
    async with catalogue.write() as session:
        session.add(schedule)
        await session.flush()
        for index in range(steps):
            config = {"executable_path": "/bin/true"}
            session.add(
                ScheduleStep(
                    schedule_id=schedule.id,
                    position=index,
                    step_index=index,
                    step_type="Executable",
                    config=config,
                ),
            )
    return schedule


def fire(schedule: Schedule, execution_id: uuid.UUID | None = None) -> OpenRequest:
    return OpenRequest(
        execution_id=execution_id or uuid.uuid4(),
        schedule_id=schedule.id,
        trigger=TriggerType.CRON,
        workflow_id=f"s/cron/{schedule.id}",
        fire_time=datetime.now(UTC),
    )


async def records_of(catalogue: Catalogue, execution_id: uuid.UUID) -> tuple[Execution, list[StepRecord]]:
    async with catalogue.read() as session:
        execution = await get_execution(session, execution_id)
        assert execution is not None
        return execution, list(await get_step_records(session, execution_id))


async def test_a_cron_fire_opens_its_record_once(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    schedule = await saved_schedule(catalogue)
    request = fire(schedule)

    opened = await recorder.open(request)
    again = await recorder.open(request)

    assert opened == again
    assert (opened.decision, opened.total_steps, opened.total_groups) == ("run", 3, 3)
    assert [step.name for step in opened.plan] == ["true"] * 3
    execution, steps = await records_of(catalogue, request.execution_id)
    assert execution.status is ExecutionStatus.IN_PROGRESS
    assert (execution.initiated_by_type, execution.initiated_by_name) == (SCHEDULER.type, "Scheduler")
    assert len(steps) == 3
    async with catalogue.read() as session:
        after = await get_schedule(session, schedule.id)
    assert after is not None
    assert after.last_run_time == execution.queued_at
    assert after.next_run_time is not None
    assert after.next_run_time > execution.queued_at


async def test_a_fire_is_skipped_and_counted_while_another_execution_is_active(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    schedule = await saved_schedule(catalogue)
    manual = uuid.uuid4()
    async with catalogue.write() as session:
        attached = await get_schedule(session, schedule.id)
        assert attached is not None
        await open_execution(
            session,
            attached,
            execution_id=manual,
            trigger=TriggerType.MANUAL,
            initiator=SCHEDULER,
            workflow_id="s/run/x",
            prepare=prepare_steps(CatalogueLookup(session)),
        )

    skipped = await recorder.open(fire(schedule))
    await recorder.close(CloseRequest(execution_id=manual, status=ExecutionStatus.COMPLETE))
    runs = await recorder.open(fire(schedule))

    assert skipped.decision == "skip"
    assert runs.decision == "run"
    async with catalogue.read() as session:
        after = await get_schedule(session, schedule.id)
        assert await has_active_execution(session, schedule.id)
    assert after is not None
    assert after.skipped_count == 1
    assert after.last_skipped_time is not None


async def test_one_write_records_what_ended_and_what_begins(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue))
    plan = (await recorder.open(request)).plan
    outcome = StepOutcome(status=StepStatus.COMPLETED, exit_code=0, output_tail="done\n", attempts=2, host="h")
    progress = ProgressRequest(
        execution_id=request.execution_id,
        finished=[FinishedStep(step_id=plan[0].step_id, outcome=outcome)],
        started=[plan[1].step_id],
        current_group=1,
        read_from=2,
    )

    for _ in range(2):
        answer = await recorder.record(progress)
        assert answer.plan == plan[2:]

    execution, steps = await records_of(catalogue, request.execution_id)
    assert execution.current_group == 1
    assert [step.status for step in steps] == [StepStatus.COMPLETED, StepStatus.PROCESSING, StepStatus.WAITING]
    assert (steps[0].exit_code, steps[0].output_tail, steps[0].attempts) == (0, "done\n", 2)


async def test_closing_cancels_what_was_not_reached_and_happens_once(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue))
    plan = (await recorder.open(request)).plan
    failed = StepOutcome(status=StepStatus.FAILED, message="broke")
    close = CloseRequest(
        execution_id=request.execution_id,
        finished=[FinishedStep(step_id=plan[0].step_id, outcome=failed)],
        status=ExecutionStatus.FAILED,
        message="Step 'true' failed",
        unreached_message="Not started: a step before it failed.",
    )

    await recorder.close(close)
    await recorder.close(close.model_copy(update={"status": ExecutionStatus.COMPLETE, "finished": []}))
    reopened = await recorder.open(request)

    execution, steps = await records_of(catalogue, request.execution_id)
    assert (execution.status, execution.error_message) == (ExecutionStatus.FAILED, "Step 'true' failed")
    assert execution.completed_at is not None
    assert [step.status for step in steps] == [StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.CANCELLED]
    assert [step.error_message for step in steps][1:] == ["Not started: a step before it failed."] * 2
    assert steps[1].started_at is None
    assert reopened.decision == "ended"


async def test_a_fire_of_a_deleted_schedule_runs_nothing(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    schedule = await saved_schedule(catalogue)
    gone = schedule.model_copy(update={"id": uuid.uuid4()})

    opened = await recorder.open(fire(gone))

    assert opened.decision == "ended"


@pytest.mark.parametrize("steps", [1, 450])
async def test_a_plan_is_read_in_slices_to_its_end(catalogue: Catalogue, steps: int) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue, steps))
    plan = (await recorder.open(request)).plan

    while len(plan) < steps:
        progress = ProgressRequest(execution_id=request.execution_id, read_from=len(plan))
        plan += (await recorder.record(progress)).plan

    assert [step.position for step in plan] == list(range(steps))
