"""The workflow on the time-skipping server: steps and record replaced by name, everything else real."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from contracts.execution import (
    CloseRequest,
    ExecutionRequest,
    ExecutionResult,
    ExecutionStatus,
    Opened,
    OpenRequest,
    PlanSlice,
    ProgressRequest,
    StepInput,
    StepOutcome,
    StepSpec,
    StepStatus,
    TriggerType,
)
from contracts.names import CLOSE_EXECUTION, OPEN_EXECUTION, RECORD_PROGRESS, STEP_FAILED
from worker import workflow_runner
from workflows.schedule_execution import ScheduleExecution


@dataclass
class Record:
    """The record of one execution, in memory: what the local activities wrote."""

    plan: list[StepSpec]
    decision: str = "run"
    slice_size: int = 200
    status: ExecutionStatus | None = None
    message: str | None = None
    outcomes: dict[uuid.UUID, StepOutcome] = field(default_factory=dict)
    started: list[uuid.UUID] = field(default_factory=list)
    writes: int = 0
    closed: int = 0

    @activity.defn(name=OPEN_EXECUTION)
    async def open(self, request: OpenRequest) -> Opened:
        self.writes += 1
        return Opened(
            decision=self.decision,
            total_steps=len(self.plan),
            total_groups=len({step.group for step in self.plan}),
            plan=self.plan[request.position : request.position + self.slice_size],
        )

    @activity.defn(name=RECORD_PROGRESS)
    async def record(self, request: ProgressRequest) -> PlanSlice:
        self.writes += 1
        self.outcomes |= {step.step_id: step.outcome for step in request.finished}
        self.started += request.started
        if request.read_from is None:
            return PlanSlice()
        return PlanSlice(plan=self.plan[request.read_from : request.read_from + self.slice_size])

    @activity.defn(name=CLOSE_EXECUTION)
    async def close(self, request: CloseRequest) -> None:
        self.outcomes |= {step.step_id: step.outcome for step in request.finished}
        self.status, self.message = request.status, request.message
        self.closed += 1

    def status_of(self, name: str) -> StepStatus | None:
        [step] = [step for step in self.plan if step.name == name]
        outcome = self.outcomes.get(step.step_id)
        return outcome.status if outcome else None


class Steps:
    """Step activities that do what their name says, and note when."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.overlaps: dict[str, set[str]] = defaultdict(set)
        self.attempts: dict[str, int] = defaultdict(int)
        self.active: set[str] = set()
        self.hanging = asyncio.Event()

    @activity.defn(name="Work")
    async def work(self, step: StepInput) -> StepOutcome:
        self.begun.append(step.name)
        self.attempts[step.name] += 1
        for other in self.active:
            self.overlaps[other].add(step.name)
            self.overlaps[step.name].add(other)
        self.active.add(step.name)
        try:
            match step.config.get("does"):
                case "fail":
                    outcome = StepOutcome(status=StepStatus.FAILED, message="it broke", exit_code=3)
                    raise ApplicationError("it broke", outcome, type=STEP_FAILED)
                case "flaky" if self.attempts[step.name] < 3:
                    raise ApplicationError("not yet", type=STEP_FAILED)
                case "hang":
                    self.hanging.set()
                    while True:
                        activity.heartbeat()
                        await asyncio.sleep(0.05)
            await asyncio.sleep(step.config.get("seconds", 0))
        finally:
            self.active.discard(step.name)
        return StepOutcome(status=StepStatus.COMPLETED, attempts=activity.info().attempt)


def step(name: str, group: int, *, does: str = "", **fields: Any) -> StepSpec:
    fields.setdefault("config", {"does": does} if does else {})
    return StepSpec(step_id=uuid.uuid4(), position=0, group=group, name=name, step_type="Work", **fields)


def plan(*steps: StepSpec) -> list[StepSpec]:
    return [spec.model_copy(update={"position": position}) for position, spec in enumerate(steps)]


@asynccontextmanager
async def started(
    environment: WorkflowEnvironment,
    task_queue: str,
    record: Record,
    steps: Steps,
) -> AsyncIterator[WorkflowHandle[ScheduleExecution, ExecutionResult]]:
    async with Worker(
        environment.client,
        task_queue=task_queue,
        workflows=[ScheduleExecution],
        activities=[record.open, record.record, record.close, steps.work],
        workflow_runner=workflow_runner(),
        max_heartbeat_throttle_interval=timedelta(milliseconds=100),
    ):
        execution_id = uuid.uuid4()
        yield await environment.client.start_workflow(
            ScheduleExecution.run,
            ExecutionRequest(
                schedule_id=uuid.uuid4(),
                schedule_name="Nightly",
                trigger=TriggerType.MANUAL,
                execution_id=execution_id,
            ),
            id=f"nightly/run/{execution_id}",
            task_queue=task_queue,
        )


async def run(environment: WorkflowEnvironment, task_queue: str, record: Record, steps: Steps) -> ExecutionResult:
    async with started(environment, task_queue, record, steps) as handle:
        return await handle.result()


async def test_groups_run_in_order_and_steps_of_a_group_together(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    together = {"config": {"seconds": 0.3}}
    record = Record(plan(step("a", 0), step("b", 1, **together), step("c", 1, **together), step("d", 2)))

    result = await run(time_skipping, task_queue, record, steps)

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
        await run(time_skipping, task_queue, record, steps)

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

    result = await run(time_skipping, task_queue, record, steps)

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

    result = await run(time_skipping, task_queue, record, steps)

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
        await run(time_skipping, task_queue, record, steps)

    assert record.outcomes[record.plan[0].step_id].attempts == 3
    assert steps.attempts == {"flaky": 3, "once": 1}
    assert record.status_of("once") == StepStatus.FAILED


async def test_cancel_ends_running_steps_and_closes_the_record(
    time_skipping: WorkflowEnvironment, task_queue: str
) -> None:
    steps = Steps()
    record = Record(plan(step("done", 0), step("hanging", 1, does="hang"), step("never", 2)))

    async with started(time_skipping, task_queue, record, steps) as handle:
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


@pytest.mark.parametrize(("decision", "outcome"), [("skip", "Skipped"), ("ended", "Ended")])
async def test_what_may_not_run_runs_nothing(
    time_skipping: WorkflowEnvironment, task_queue: str, decision: str, outcome: str
) -> None:
    steps = Steps()
    record = Record(plan(step("a", 0)), decision=decision)

    result = await run(time_skipping, task_queue, record, steps)

    assert result.outcome == outcome
    assert result.execution_id is None
    assert not steps.begun
    assert record.closed == 0


async def test_sequential_steps_cost_one_write_each(time_skipping: WorkflowEnvironment, task_queue: str) -> None:
    record = Record(plan(*(step(f"s{n}", n) for n in range(10))))

    await run(time_skipping, task_queue, record, Steps())

    assert record.writes == 1 + 10
    assert record.closed == 1


async def test_a_plan_is_read_in_slices(time_skipping: WorkflowEnvironment, task_queue: str) -> None:
    steps = Steps()
    names = [f"s{n}" for n in range(30)]
    record = Record(plan(*(step(name, n // 3) for n, name in enumerate(names))), slice_size=4)

    result = await run(time_skipping, task_queue, record, steps)

    assert result.outcome == ExecutionStatus.COMPLETE
    assert sorted(steps.begun) == sorted(names)
    for position in range(0, 30, 3):
        assert set(steps.begun[position : position + 3]) == set(names[position : position + 3])
