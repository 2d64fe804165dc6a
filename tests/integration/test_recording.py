"""The record that a workflow keeps: each write may be repeated, and none may be lost or done over a closed one."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from sqlmodel import col, delete, update
from temporalio.exceptions import ApplicationError

from activities.support import recording
from activities.support.recording import SCHEDULER, Recorder
from activities.support.snapshot import prepare_steps
from catalogue.connected_systems import CatalogueLookup
from catalogue.engine import Catalogue
from catalogue.executions import (
    Execution,
    Snapshot,
    StepRecord,
    get_execution,
    get_step_records,
    has_active_execution,
    open_execution,
    take_snapshot,
)
from catalogue.schedules import Schedule, ScheduleStep, get_schedule, get_steps, read_schedule
from catalogue.schema import schema_problem
from contracts.execution import (
    AttemptedStep,
    CloseRequest,
    ExecutionStatus,
    FinishedStep,
    OpenRequest,
    OverlapPolicy,
    ProgressRequest,
    StepAttempt,
    StepOutcome,
    StepStatus,
    TriggerType,
)
from tests.waiting import eventually
from timetable import PatternType


async def saved_schedule(catalogue: Catalogue, steps: int = 3, **fields: Any) -> Schedule:
    schedule = Schedule(
        name=f"s {uuid.uuid4()}",
        trigger_type=TriggerType.CRON,
        pattern_type=PatternType.CUSTOM,
        cron_expression=fields.pop("cron_expression", "* * * * *"),
        is_enabled=fields.pop("is_enabled", True),
        **fields,
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


def fire(
    schedule: Schedule,
    execution_id: uuid.UUID | None = None,
    *,
    late: timedelta = timedelta(0),
) -> OpenRequest:
    """A fire of the minute that runs, or of one before; `late` is how much later the server started it."""
    now = datetime.now(UTC)
    execution_id = execution_id or uuid.uuid4()
    return OpenRequest(
        execution_id=execution_id,
        schedule_id=schedule.id,
        trigger=TriggerType.CRON,
        workflow_id=f"s/cron/{schedule.id}-{execution_id}",
        fire_time=now.replace(second=0, microsecond=0) - late,
        started_at=now,
    )


async def records_of(catalogue: Catalogue, execution_id: uuid.UUID) -> tuple[Execution, list[StepRecord]]:
    async with catalogue.read() as session:
        execution = await get_execution(session, execution_id)
        assert execution is not None
        return execution, list(await (await session.connection()).run_sync(get_step_records, execution_id))


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
        connection = await session.connection()
        steps = await connection.run_sync(get_steps, schedule.id)
        await connection.run_sync(
            open_execution,
            schedule,
            await take_snapshot(steps, manual, prepare_steps(CatalogueLookup(session))),
            execution_id=manual,
            trigger=TriggerType.MANUAL,
            initiator=SCHEDULER,
            workflow_id="s/run/x",
        )

    request = fire(schedule)
    skipped = await recorder.open(request)
    assert await recorder.open(request) == skipped
    await recorder.close(CloseRequest(execution_id=manual, schedule_id=schedule.id, status=ExecutionStatus.COMPLETE))
    runs = await recorder.open(fire(schedule))

    assert skipped.decision == "skip"
    assert runs.decision == "run"
    async with catalogue.read() as session:
        after = await get_schedule(session, schedule.id)
        assert await (await session.connection()).run_sync(has_active_execution, schedule.id)
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
        started=[plan[1].step_id, plan[2].step_id],
        current_group=1,
        read_from=2,
    )

    for _ in range(2):
        answer = await recorder.record(progress)
        assert answer.plan == plan[2:]

    execution, steps = await records_of(catalogue, request.execution_id)
    assert execution.current_group == 1
    assert [step.status for step in steps] == [StepStatus.COMPLETED, StepStatus.PROCESSING, StepStatus.PROCESSING]
    assert (steps[0].exit_code, steps[0].output_tail, steps[0].attempts) == (0, "done\n", 2)


async def test_attempts_are_recorded_one_by_one(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue))
    [first, *_] = (await recorder.open(request)).plan
    begun = datetime.now(UTC)
    failed = StepAttempt(number=1, status=StepStatus.FAILED, message="broke", exit_code=3, host="h", started_at=begun)
    attempted = AttemptedStep(step_id=first.step_id, attempts=1, history=[failed])
    await recorder.record(ProgressRequest(execution_id=request.execution_id, started=[first.step_id], current_group=0))

    for _ in range(2):
        await recorder.record(ProgressRequest(execution_id=request.execution_id, attempted=[attempted]))
    _, [between, *_] = await records_of(catalogue, request.execution_id)
    done = StepAttempt(number=2, status=StepStatus.COMPLETED, exit_code=0, host="h")
    outcome = StepOutcome(status=StepStatus.COMPLETED, exit_code=0, attempts=2, host="h", history=[failed, done])
    await recorder.record(
        ProgressRequest(
            execution_id=request.execution_id, finished=[FinishedStep(step_id=first.step_id, outcome=outcome)]
        ),
    )
    # A repetition that comes late changes nothing.
    await recorder.record(ProgressRequest(execution_id=request.execution_id, attempted=[attempted]))
    _, [after, *_] = await records_of(catalogue, request.execution_id)

    assert (between.status, between.attempts, between.error_message) == (StepStatus.QUEUED, 1, "broke")
    assert between.started_at == begun
    assert [StepAttempt.model_validate(attempt) for attempt in between.attempt_history or []] == [failed]
    assert (after.status, after.attempts, after.error_message) == (StepStatus.COMPLETED, 2, None)
    assert [StepAttempt.model_validate(attempt) for attempt in after.attempt_history or []] == [failed, done]


async def test_closing_cancels_what_was_not_reached_and_happens_once(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue))
    plan = (await recorder.open(request)).plan
    failed = StepOutcome(status=StepStatus.FAILED, message="broke")
    close = CloseRequest(
        execution_id=request.execution_id,
        schedule_id=request.schedule_id,
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


async def test_a_worker_that_wakes_late_changes_nothing_of_what_another_has_written(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue))
    plan = (await recorder.open(request)).plan
    now = datetime.now(UTC)

    def ended(status: StepStatus, seconds: int) -> list[FinishedStep]:
        outcome = StepOutcome(status=status, message=f"{seconds}", completed_at=now + timedelta(seconds=seconds))
        return [FinishedStep(step_id=plan[0].step_id, outcome=outcome)]

    async def begin(group: int) -> None:
        await recorder.record(
            ProgressRequest(execution_id=request.execution_id, started=[plan[group].step_id], current_group=group)
        )

    await begin(0)
    await recorder.record(ProgressRequest(execution_id=request.execution_id, finished=ended(StepStatus.FAILED, 1)))
    await begin(1)
    # The one that was frozen says again what it had seen, at another time, and knows of no group after it.
    await begin(0)
    await recorder.record(ProgressRequest(execution_id=request.execution_id, finished=ended(StepStatus.COMPLETED, 2)))
    before = await records_of(catalogue, request.execution_id)
    await recorder.close(
        CloseRequest(execution_id=request.execution_id, schedule_id=request.schedule_id, status=ExecutionStatus.FAILED)
    )
    await recorder.close(
        CloseRequest(
            execution_id=request.execution_id,
            schedule_id=request.schedule_id,
            status=ExecutionStatus.FAILED,
            finished=ended(StepStatus.COMPLETED, 3),
        )
    )

    execution, steps = await records_of(catalogue, request.execution_id)
    assert execution.current_group == before[0].current_group == 1
    for step in (before[1][0], steps[0]):
        assert (step.status, step.error_message) == (StepStatus.FAILED, "1")
        assert step.completed_at == now + timedelta(seconds=1)


async def test_a_worker_that_wakes_late_takes_no_attempt_back(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue))
    [first, *_] = (await recorder.open(request)).plan
    # A planned stop is not held against a step: the number of attempts that count stays the same.
    attempts = [
        StepAttempt(number=number, is_counted=number > 2, status=StepStatus.FAILED, message=f"stopped {number}")
        for number in (1, 2, 3)
    ]

    async def end_attempts(history: list[StepAttempt]) -> StepRecord:
        counted = sum(attempt.is_counted for attempt in history)
        attempted = AttemptedStep(step_id=first.step_id, attempts=counted, history=history)
        await recorder.record(
            ProgressRequest(
                execution_id=request.execution_id, started=[first.step_id], current_group=0, attempted=[attempted]
            )
        )
        _, [record, *_] = await records_of(catalogue, request.execution_id)
        return record

    for known in (1, 2, 3):
        await end_attempts(attempts[:known])
        for late in range(1, known + 1):
            record = await end_attempts(attempts[:late])
            assert len(record.attempt_history or []) == known
            assert (record.status, record.error_message) == (StepStatus.QUEUED, f"stopped {known}")
            assert record.attempts == (1 if known == 3 else 0)


@pytest.mark.parametrize("group", [0, 1])
async def test_a_worker_that_wakes_late_neither_pauses_nor_resumes(catalogue: Catalogue, group: int) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue))
    plan = (await recorder.open(request)).plan

    async def run_group(number: int) -> None:
        outcome = StepOutcome(status=StepStatus.COMPLETED)
        started = ProgressRequest(
            execution_id=request.execution_id, started=[plan[number].step_id], current_group=number
        )
        await recorder.record(started)
        finished = FinishedStep(step_id=plan[number].step_id, outcome=outcome)
        await recorder.record(started.model_copy(update={"started": [], "finished": [finished]}))

    def pause(before: int) -> ProgressRequest:
        return ProgressRequest(execution_id=request.execution_id, paused=True, before_group=before)

    def resume(before: int) -> ProgressRequest:
        return ProgressRequest(
            execution_id=request.execution_id, paused=False, before_group=before, started=[plan[before].step_id]
        )

    async def status_after(progress: ProgressRequest) -> ExecutionStatus:
        await recorder.record(progress)
        execution, _ = await records_of(catalogue, request.execution_id)
        return execution.status

    for number in range(group):
        await run_group(number)
    for _ in range(2):
        assert await status_after(pause(group)) is ExecutionStatus.PAUSED
    for _ in range(2):
        assert await status_after(resume(group)) is ExecutionStatus.IN_PROGRESS
    # Once at once, and once when the group has ended.
    assert await status_after(pause(group)) is ExecutionStatus.IN_PROGRESS
    await run_group(group)
    assert await status_after(pause(group)) is ExecutionStatus.IN_PROGRESS

    assert await status_after(pause(group + 1)) is ExecutionStatus.PAUSED
    assert await status_after(resume(group)) is ExecutionStatus.PAUSED
    assert await status_after(resume(group + 1)) is ExecutionStatus.IN_PROGRESS


async def test_of_missed_fires_only_the_latest_runs(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    schedule = await saved_schedule(catalogue, overlap_policy=OverlapPolicy.ALLOW_ALL)
    minutes = [timedelta(minutes=late) for late in (5, 3, 0)]

    opened = [await recorder.open(fire(schedule, late=late)) for late in minutes]

    assert [answer.decision for answer in opened] == ["missed", "missed", "run"]
    assert "takes its place" in (opened[0].message or "")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("started", "replaced_by"),
    [
        ("06:04:59", None),
        ("06:11:00", None),  # 06:10 may come until 06:15
        ("06:15:00", "06:10"),
        ("06:22:00", "06:10"),  # 06:20 may be still to come
        ("06:25:00", "06:20"),
    ],
)
async def test_jitter_makes_a_fire_late_but_not_missed(
    catalogue: Catalogue, started: str, replaced_by: str | None
) -> None:
    schedule = await saved_schedule(catalogue, jitter_seconds=300, cron_expression="*/10 * * * *")
    request = fire(schedule).model_copy(
        update={
            "fire_time": datetime.fromisoformat("2026-03-02T06:00:00Z"),
            "started_at": datetime.fromisoformat(f"2026-03-02T{started}Z"),
        }
    )

    opened = await Recorder(catalogue).open(request)

    assert opened.decision == ("run" if replaced_by is None else "missed")
    assert (replaced_by or "") in (opened.message or "")


async def test_jitter_reaches_no_further_than_the_next_time(catalogue: Catalogue) -> None:
    schedule = await saved_schedule(catalogue, jitter_seconds=3600, overlap_policy=OverlapPolicy.ALLOW_ALL)
    minutes = [timedelta(minutes=late) for late in (5, 3, 2, 1, 0)]

    opened = [await Recorder(catalogue).open(fire(schedule, late=late)) for late in minutes]

    # The last but one: jitter may keep the last from being due.
    assert [answer.decision for answer in opened] == ["missed", "missed", "missed", "run", "run"]


async def test_a_fire_that_comes_before_its_time_on_this_clock_is_behind_it(catalogue: Catalogue) -> None:
    schedule = await saved_schedule(catalogue, cron_expression="0 6 * * *")
    ahead = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0) + timedelta(days=1)

    await Recorder(catalogue).open(fire(schedule).model_copy(update={"fire_time": ahead, "started_at": ahead}))

    async with catalogue.read() as session:
        after = await get_schedule(session, schedule.id)
    assert after is not None
    assert after.next_run_time == ahead + timedelta(days=1)


async def test_a_disabled_schedule_does_not_fire_whatever_temporal_thinks(catalogue: Catalogue) -> None:
    schedule = await saved_schedule(catalogue, is_enabled=False)

    opened = await Recorder(catalogue).open(fire(schedule))

    assert (opened.decision, opened.message) == ("ended", "The schedule is disabled.")


async def test_buffer_one_holds_one_fire_back_until_its_turn(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    schedule = await saved_schedule(catalogue, overlap_policy=OverlapPolicy.BUFFER_ONE)
    running, waiting, third = fire(schedule), fire(schedule), fire(schedule)
    assert (await recorder.open(running)).decision == "run"

    assert (await recorder.open(waiting)).decision == "wait"
    assert (await recorder.open(waiting)).decision == "wait"
    assert (await recorder.open(third)).decision == "skip"
    closed = await recorder.close(
        CloseRequest(execution_id=running.execution_id, schedule_id=schedule.id, status=ExecutionStatus.COMPLETE)
    )

    assert closed.waiting_workflow_id == waiting.workflow_id
    execution, _ = await records_of(catalogue, waiting.execution_id)
    assert execution.status is ExecutionStatus.QUEUED
    assert (await recorder.open(waiting)).decision == "run"
    closed = await recorder.close(
        CloseRequest(execution_id=waiting.execution_id, schedule_id=schedule.id, status=ExecutionStatus.COMPLETE)
    )
    assert closed.waiting_workflow_id is None


async def test_a_time_comes_once_however_often_it_is_fired_for(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    schedule = await saved_schedule(catalogue, overlap_policy=OverlapPolicy.ALLOW_ALL)
    other = await saved_schedule(catalogue)
    first = fire(schedule)
    # Temporal gives the workflow of a fire its id by the time for which it fires; a backfill has the same.
    again = first.model_copy(update={"execution_id": uuid.uuid4()})
    elsewhere = again.model_copy(update={"schedule_id": other.id})

    opened = [await recorder.open(request) for request in (first, again, fire(schedule), elsewhere)]

    assert [answer.decision for answer in opened] == ["run", "ended", "run", "run"]
    assert opened[1].message == "It has fired for this time already."


async def test_allow_all_starts_a_fire_beside_what_runs(catalogue: Catalogue) -> None:
    recorder = Recorder(catalogue)
    schedule = await saved_schedule(catalogue, overlap_policy=OverlapPolicy.ALLOW_ALL)

    opened = [(await recorder.open(fire(schedule))).decision for _ in range(3)]

    assert opened == ["run", "run", "run"]


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


async def test_a_fire_that_another_try_of_the_same_has_opened_meanwhile_runs(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = fire(await saved_schedule(catalogue))
    take_it = take_snapshot

    async def after_another_try(*arguments: Any) -> Snapshot:
        monkeypatch.setattr(recording, "take_snapshot", take_it)
        assert (await Recorder(catalogue).open(request)).decision == "run"
        return await take_it(*arguments)

    monkeypatch.setattr(recording, "take_snapshot", after_another_try)

    assert (await Recorder(catalogue).open(request)).decision == "run"
    _, steps = await records_of(catalogue, request.execution_id)
    assert len(steps) == 3


async def test_a_fire_that_another_try_has_opened_while_it_waited_for_the_schedule_runs(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    if catalogue.is_sqlite:
        pytest.skip("a transaction that writes has a SQLite database to itself")
    request = fire(await saved_schedule(catalogue))
    loop, read = asyncio.get_running_loop(), read_schedule

    def after_another_try(connection: Connection, schedule_id: uuid.UUID, *, lock: bool = False) -> Schedule | None:
        monkeypatch.setattr(recording, "read_schedule", read)
        other = asyncio.run_coroutine_threadsafe(Recorder(catalogue).open(request), loop)
        assert other.result(timeout=20).decision == "run"
        return read(connection, schedule_id, lock=lock)

    monkeypatch.setattr(recording, "read_schedule", after_another_try)

    assert (await Recorder(catalogue).open(request)).decision == "run"


async def test_a_fire_runs_the_steps_of_a_change_that_came_while_its_snapshot_was_taken(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await saved_schedule(catalogue)
    request = fire(schedule)
    take_it = take_snapshot

    async def before_a_change(*arguments: Any) -> Snapshot:
        monkeypatch.setattr(recording, "take_snapshot", take_it)
        taken = await take_it(*arguments)
        async with catalogue.write() as session:
            changed = await session.get_one(Schedule, schedule.id)
            changed.name, changed.last_updated = "changed", datetime.now(UTC)
            await session.exec(delete(ScheduleStep).where(col(ScheduleStep.position) > 0))
        return taken

    monkeypatch.setattr(recording, "take_snapshot", before_a_change)
    opened = await Recorder(catalogue).open(request)

    assert (opened.decision, opened.total_steps) == ("run", 1)
    execution, steps = await records_of(catalogue, request.execution_id)
    assert (execution.schedule_name, len(steps)) == ("changed", 1)


async def test_a_fire_that_does_not_run_asks_no_step_type_for_its_part_of_a_snapshot(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, disabled = await saved_schedule(catalogue), await saved_schedule(catalogue, is_enabled=False)
    assert (await Recorder(catalogue).open(fire(schedule))).decision == "run"

    async def defect(*_: object) -> Snapshot:
        raise OverflowError

    monkeypatch.setattr(recording, "take_snapshot", defect)

    assert (await Recorder(catalogue).open(fire(schedule))).decision == "skip"
    assert (await Recorder(catalogue).open(fire(disabled))).decision == "ended"


async def test_readers_go_on_while_writers_wait_for_each_other(catalogue: Catalogue) -> None:
    schedule = await saved_schedule(catalogue)

    def lock(connection: Connection) -> None:
        waiting.append(connection)
        connection.execute(update(Schedule).where(col(Schedule.id) == schedule.id).values(name="locked"))

    # As one that waits for Temporal holds a schedule: writers wait for its row, in threads.
    waiting: list[Connection] = []
    async with catalogue.write() as session:
        await (await session.connection()).run_sync(lock)
        writers = [asyncio.create_task(catalogue.write_short(lock)) for _ in range(12)]
        if not catalogue.is_sqlite:  # there they wait for their turn
            await eventually(lambda: asyncio.sleep(0, len(waiting) == 10))
        async with asyncio.timeout(5):
            await catalogue.read_short(schema_problem)
    await asyncio.gather(*writers)


async def test_what_cannot_be_recorded_fails_for_good_and_what_may_pass_is_tried_again(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(catalogue)
    request = fire(await saved_schedule(catalogue))

    def defect(*_: object, **__: object) -> None:
        raise OverflowError("canary")

    monkeypatch.setattr("activities.support.recording.open_execution", defect)
    with pytest.raises(ApplicationError, match="OverflowError") as failed:
        await recorder.open(request)

    assert failed.value.non_retryable
    assert "canary" not in str(failed.value)
    execution, steps = await records_of(catalogue, request.execution_id)
    assert (execution.status, steps) == (ExecutionStatus.FAILED, [])
    assert "could not be opened" in (execution.error_message or "")

    def away(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("the database is away"))

    monkeypatch.setattr("activities.support.recording.finish_steps", away)
    with pytest.raises(OperationalError):
        await recorder.record(ProgressRequest(execution_id=request.execution_id))
