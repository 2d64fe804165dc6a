"""Steps and record of an execution, replaced by name: everything else of the workflow is real."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from contracts.execution import (
    Carried,
    Closed,
    CloseRequest,
    ExecutionRequest,
    ExecutionResult,
    ExecutionStatus,
    Opened,
    OpenRequest,
    PlanSlice,
    ProgressRequest,
    StepAttempt,
    StepInput,
    StepOutcome,
    StepSpec,
    StepStatus,
    TriggerType,
)
from contracts.names import CLOSE_EXECUTION, OPEN_EXECUTION, RECORD_PROGRESS, STEP_FAILED, STEP_INTERRUPTED
from workflows.schedule_execution import ScheduleExecution


def strict_runner() -> SandboxedWorkflowRunner:
    """The sandbox with the workflows in it, which forbids them what is not deterministic."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules("contracts", "pydantic")
    )


@dataclass
class Record:
    """The record of one execution, in memory: what the local activities wrote."""

    plan: list[StepSpec]
    decision: str = "run"
    held_back: bool = False
    waiting_workflow_id: str | None = None
    slice_size: int = 200
    marks_first: bool = True
    """Whether opening marks the first group as begun, as workers do that let the execution hold writes back."""
    hold_back_seconds: float | None = 0.0
    """For how long the worker has writes held back; None from those of before, which said nothing.

    Not at all where nothing is said: a timer runs while something is held back, and the test server that skips time loses
    the workflow task that cancels one which has just fired ("invalid history builder state"). A real server does not.
    """
    status: ExecutionStatus | None = None
    message: str | None = None
    outcomes: dict[uuid.UUID, StepOutcome] = field(default_factory=dict)
    attempts: dict[uuid.UUID, list[StepAttempt]] = field(default_factory=dict)
    """What is known of the attempts of a step between two of them."""
    started: list[uuid.UUID] = field(default_factory=list)
    begun_at_attempt: list[bool] = field(default_factory=list)
    """At each write of an attempt, whether it was known that its step had begun."""
    last_group: int | None = None
    started_at: datetime | None = None
    """When the server had started the workflow, as it said when it was opened."""
    opening: asyncio.Event | None = None
    """Until this is set, opening takes its time."""
    writes: int = 0
    holds: int = 0
    pauses: list[ProgressRequest] = field(default_factory=list)
    """What was written of pauses, and of their ends."""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    closed: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn(name=OPEN_EXECUTION)
    async def open(self, request: OpenRequest) -> Opened:
        self.writes += 1
        self.started_at = request.started_at
        self.asked.set()
        if self.opening is not None:
            await self.opening.wait()
        if self.held_back:
            return Opened(decision="wait", message="Waiting until the execution before has ended.")
        first = self.plan[request.position : request.position + self.slice_size]
        begun = [step.step_id for step in first[: request.begin_at_most] if step.group == first[0].group]
        if self.marks_first:
            self.started += begun
        return Opened(
            decision=self.decision,
            total_steps=len(self.plan),
            total_groups=len({step.group for step in self.plan}),
            plan=first,
            begun=len(begun) if self.marks_first else None,
            hold_back_seconds=self.hold_back_seconds,
        )

    @activity.defn(name=RECORD_PROGRESS)
    async def record(self, request: ProgressRequest) -> PlanSlice:
        self.writes += 1
        self.outcomes |= {step.step_id: step.outcome for step in request.finished}
        self.attempts |= {step.step_id: step.history for step in request.attempted}
        self.started += [step_id for step_id in request.started if step_id not in self.started]
        self.begun_at_attempt += [step.step_id in self.started for step in request.attempted]
        self.last_group = request.current_group
        if request.paused is not None:
            self.pauses.append(request)
        if request.paused:
            self.holds += 1
            self.held.set()
        after = self.plan[request.read_from : request.read_from + self.slice_size] if request.read_from else []
        return PlanSlice(plan=after, hold_back_seconds=self.hold_back_seconds)

    @activity.defn(name=CLOSE_EXECUTION)
    async def close(self, request: CloseRequest) -> Closed:
        self.outcomes |= {step.step_id: step.outcome for step in request.finished}
        self.status, self.message, self.last_group = request.status, request.message, request.current_group
        self.closed += 1
        return Closed(waiting_workflow_id=self.waiting_workflow_id)

    def outcome_of(self, name: str) -> StepOutcome:
        [step] = [step for step in self.plan if step.name == name]
        return self.outcomes[step.step_id]

    def status_of(self, name: str) -> StepStatus | None:
        [step] = [step for step in self.plan if step.name == name]
        outcome = self.outcomes.get(step.step_id)
        return outcome.status if outcome else None


class Steps:
    """Step activities that do what their name says, and note when."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.inputs: list[StepInput] = []
        self.overlaps: dict[str, set[str]] = defaultdict(set)
        self.attempts: dict[str, int] = defaultdict(int)
        self.active: set[str] = set()
        self.hanging = asyncio.Event()

    @activity.defn(name="Work")
    async def work(self, step: StepInput) -> StepOutcome:
        self.begun.append(step.name)
        self.inputs.append(step)
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
                case "stopped" if self.attempts[step.name] < 3:
                    outcome = StepOutcome(
                        status=StepStatus.FAILED,
                        message="The worker 1@h was stopped.",
                        memo={"run": self.attempts[step.name]},
                        resumable=step.config.get("resumable", False),
                    )
                    raise ApplicationError("stopped", outcome, type=STEP_INTERRUPTED)
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


def serving(client: Client, task_queue: str, record: Record, steps: Steps) -> Worker:
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[ScheduleExecution],
        activities=[record.open, record.record, record.close, steps.work],
        workflow_runner=strict_runner(),
        max_heartbeat_throttle_interval=timedelta(milliseconds=100),
    )


async def start(
    client: Client, task_queue: str, carried: Carried | None = None
) -> WorkflowHandle[ScheduleExecution, ExecutionResult]:
    execution_id = uuid.uuid4()
    return await client.start_workflow(
        ScheduleExecution.run,
        ExecutionRequest(
            schedule_id=uuid.uuid4(),
            schedule_name="Nightly",
            trigger=TriggerType.MANUAL,
            execution_id=execution_id,
            carried=carried,
        ),
        id=f"nightly/run/{execution_id}",
        task_queue=task_queue,
    )


@asynccontextmanager
async def started(
    client: Client,
    task_queue: str,
    record: Record,
    steps: Steps,
    carried: Carried | None = None,
) -> AsyncIterator[WorkflowHandle[ScheduleExecution, ExecutionResult]]:
    async with serving(client, task_queue, record, steps):
        yield await start(client, task_queue, carried)


async def run(client: Client, task_queue: str, record: Record, steps: Steps) -> ExecutionResult:
    async with started(client, task_queue, record, steps) as handle:
        return await handle.result()
