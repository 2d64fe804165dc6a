"""What an execution's detail makes of its records and of what Temporal knows."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from api.services import live
from api.services.detail import _are_found
from api.services.live import why_queued
from catalogue.executions import StepRecord
from catalogue.schedules import ExecutionMode
from contracts.execution import StepStatus


def record(position: int, status: StepStatus) -> StepRecord:
    return StepRecord(
        id=uuid4(),
        execution_id=uuid4(),
        position=position,
        group=position,
        step_index=position,
        status=status,
        display_name="step",
        execution_mode=ExecutionMode.SEQUENTIAL,
        step_type="Executable",
    )


def test_a_run_that_has_handed_out_nothing_yet_does_not_say_how_its_steps_stand() -> None:
    records = [record(0, StepStatus.COMPLETED), record(1, StepStatus.WAITING)]

    assert not _are_found(records, {}, {})


async def test_what_waits_for_days_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> int:
        return 0

    monkeypatch.setattr(live, "count_pollers", none)
    since = datetime.now(UTC) - timedelta(days=1, seconds=7)

    said = await why_queued(None, "rota", "windows", since)  # type: ignore[arg-type]

    assert said is not None
    assert said.startswith("Waiting for 864")
    assert "no worker serves the pool 'windows'" in said
