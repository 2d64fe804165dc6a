"""What is old enough is taken away in small batches, and nothing else."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import col, func, select
from temporalio.testing import ActivityEnvironment

from activities.support.retention import Retention
from catalogue.engine import Catalogue
from catalogue.executions import Execution, InitiatorType, StepRecord
from catalogue.output import OutputChange, StepOutput, store_output
from catalogue.schedules import ExecutionMode
from contracts.execution import ExecutionStatus, StepStatus, TriggerType
from contracts.upkeep import RetentionKept
from tests.integration.stack import Rota

MONTH = timedelta(days=30)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogue.retention.EXECUTIONS_AT_ONCE", 2)
    monkeypatch.setattr("catalogue.retention.STEPS_AT_ONCE", 2)


async def add_execution(catalogue: Catalogue, age: timedelta | None, steps: int = 1) -> tuple[str, list[str]]:
    """Adds an execution that ended so long ago, or has not ended; returns its id and those of its steps."""
    completed_at = None if age is None else datetime.now(UTC) - age
    execution = Execution(
        schedule_id=uuid.uuid4(),
        schedule_name="s",
        status=ExecutionStatus.IN_PROGRESS if age is None else ExecutionStatus.COMPLETE,
        trigger_type=TriggerType.MANUAL,
        total_groups=steps,
        total_steps=steps,
        queued_at=datetime.now(UTC) - timedelta(days=100),
        completed_at=completed_at,
        initiated_by_type=InitiatorType.SYSTEM,
        workflow_id="w",
    )
    records = [
        StepRecord(
            execution_id=execution.id,
            position=position,
            group=position,
            step_index=position,
            display_name="s",
            execution_mode=ExecutionMode.SEQUENTIAL,
            step_type="Executable",
            status=StepStatus.COMPLETED,
            attempts=1,
            output_tail="tail",
            output_bytes=8,
        )
        for position in range(steps)
    ]
    ids = str(execution.id), [str(record.id) for record in records]
    async with catalogue.write() as session:
        session.add(execution)
        await session.flush()
        session.add_all(records)
    changes = [OutputChange(uuid.UUID(step_id), 1, [(0, b"head")]) for step_id in ids[1]]
    await catalogue.write_short(lambda connection: store_output(connection, changes))
    return ids


async def keep(catalogue: Catalogue, executions: timedelta | None = None) -> RetentionKept:
    retention = Retention(catalogue, output=MONTH, executions=executions)
    kept: RetentionKept = await ActivityEnvironment().run(retention.keep_retention)
    return kept


async def with_output(catalogue: Catalogue) -> set[str]:
    """The executions of which something is kept that they printed."""
    async with catalogue.read() as session:
        pieces = select(StepRecord.execution_id).join(StepOutput, col(StepOutput.step_id) == col(StepRecord.id))
        tails = select(StepRecord.execution_id).where(StepRecord.output_tail != "")
        found = {*(await session.exec(pieces)).all()}
        assert found == {*(await session.exec(tails)).all()}
        return {str(execution_id) for execution_id in found}


async def test_old_output_goes_and_its_execution_stays(api: Rota, catalogue: Catalogue) -> None:
    old = [await add_execution(catalogue, MONTH + timedelta(days=day), steps=3) for day in range(5)]
    young, _ = await add_execution(catalogue, MONTH - timedelta(minutes=1))
    running, _ = await add_execution(catalogue, None)

    first, second = await keep(catalogue), await keep(catalogue)

    assert (first.outputs_removed, first.executions_deleted) == (5, 0)
    assert second == RetentionKept()
    assert await with_output(catalogue) == {young, running}
    execution_id, [step_id, *_] = old[0]
    shown = await api.execution(execution_id)
    assert shown["steps"][0]["outputTail"] is None
    text = await api.http.get(f"/api/v1/schedule-executions/{execution_id}/steps/{step_id}/output")
    assert text.text == "[Rota: What it printed was removed because of its age.]\n"


async def test_what_ended_at_one_instant_is_removed_whole(
    catalogue: Catalogue,
) -> None:
    instant = datetime.now(UTC) - 2 * MONTH
    for _ in range(5):
        await add_execution(catalogue, timedelta(0))
    async with catalogue.write() as session:
        for execution in (await session.exec(select(Execution))).all():
            execution.completed_at = instant
            session.add(execution)

    assert (await keep(catalogue)).outputs_removed == 5
    assert await with_output(catalogue) == set()


async def test_old_executions_go_with_all_that_belongs_to_them(catalogue: Catalogue) -> None:
    for day in range(5):
        await add_execution(catalogue, timedelta(days=8 + day), steps=3)
    young, _ = await add_execution(catalogue, timedelta(days=6), steps=3)
    running, _ = await add_execution(catalogue, None)

    kept = await keep(catalogue, executions=timedelta(days=7))

    assert kept.executions_deleted == 5
    async with catalogue.read() as session:
        left = {str(execution_id) for execution_id in (await session.exec(select(Execution.id))).all()}
        steps = (await session.exec(select(func.count()).select_from(StepRecord))).one()
    assert left == await with_output(catalogue) == {young, running}
    assert steps == 4
