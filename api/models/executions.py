"""Executions in responses."""

from datetime import datetime
from uuid import UUID

from api.models.base import ResponseModel
from catalogue.executions import InitiatorType
from catalogue.schedules import ExecutionMode
from contracts.execution import ExecutionStatus, StepProgress, StepStatus


class ExecutionOut(ResponseModel):
    """An execution of a schedule."""

    id: UUID
    schedule_id: UUID
    schedule_name: str
    status: ExecutionStatus
    current_step_index: int
    """Ordinal of the step group that was reached, from 0."""
    total_steps: int
    """How many step groups there are."""
    queued_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    initiated_by_type: InitiatorType
    initiated_by_id: str | None
    initiated_by_name: str | None
    error_message: str | None
    retry_of: UUID | None
    """The execution that this one takes up where it had stopped."""


class StepAttemptOut(ResponseModel):
    """An attempt of a step that has ended."""

    number: int
    """From 1, in the order in which they were made."""
    is_counted: bool
    """Whether it counts against `maxAttempts`: one that a planned stop of its worker cut short does not."""
    status: StepStatus
    started_at: datetime | None
    completed_at: datetime | None
    host: str | None
    exit_code: int | None
    error_message: str | None


class ExecutionStepOut(ResponseModel):
    """A step of an execution."""

    id: UUID
    step_index: int
    name: str
    step_type: str
    execution_mode: ExecutionMode
    connected_system_id: int | None
    connected_system_name: str | None
    run_profile_id: int | None
    run_profile_name: str | None
    status: StepStatus
    task_id: UUID | None
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    activity_id: str | None
    activity_status: str | None
    continue_on_failure: bool
    output_tail: str | None
    exit_code: int | None
    attempts: int
    """How many attempts count so far, one that runs among them."""
    attempt_history: list[StepAttemptOut]
    """The attempts that have ended, in order."""
    host: str | None
    processes_ended: int
    progress: StepProgress | None


class ProgressStep(ResponseModel):
    """A step group, as a progress display shows it. Statuses are names: `CompletedWithWarning`."""

    step_index: int
    name: str
    status: str
    task_statuses: list[str]
    is_parallel: bool


class Progress(ResponseModel):
    """How far an execution has come."""

    current_step_number: int | None
    total_steps: int
    steps: list[ProgressStep]


class ExecutionDetailOut(ExecutionOut):
    """An execution with its steps."""

    steps: list[ExecutionStepOut]
    progress: Progress
