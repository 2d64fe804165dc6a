"""Executions in responses."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.models.base import ResponseModel
from catalogue.executions import InitiatorType
from catalogue.schedules import ExecutionMode
from contracts.execution import ExecutionStatus, StepProgress, StepStatus


class ExecutionOut(ResponseModel):
    """An execution of a schedule."""

    id: UUID = Field(examples=["c3d4e5f6-a7b8-4901-8def-123456789012"])
    """Id of the execution."""
    schedule_id: UUID = Field(examples=["a1b2c3d4-e5f6-4890-abcd-ef1234567890"])
    """The schedule that it is an execution of, which may have been deleted since."""
    schedule_name: str = Field(examples=["Weekday synchronisation"])
    """The schedule's name when the execution began."""
    status: ExecutionStatus = Field(examples=["InProgress"])
    """How it stands. `CompleteWithError`: it ran to its end, and a step that was set to continue failed."""
    current_step_index: int = Field(examples=[0])
    """Ordinal of the step group that was reached, from 0."""
    total_steps: int = Field(examples=[1])
    """How many step groups there are."""
    queued_at: datetime = Field(examples=["2027-03-29T05:00:00Z"])
    """When it was asked for, or due."""
    started_at: datetime | None = Field(examples=["2027-03-29T05:00:00.120Z"])
    """When a worker began it."""
    completed_at: datetime | None
    """When it ended; null until then."""
    initiated_by_type: InitiatorType = Field(examples=["ApiKey"])
    """`ApiKey` for a manual run, `System` for a cron fire."""
    initiated_by_id: str | None = Field(examples=["d4e5f6a7-b8c9-4012-9efa-234567890123"])
    """Id of the API key."""
    initiated_by_name: str | None = Field(examples=["operations"])
    """Name of the API key, or `Scheduler`."""
    error_message: str | None
    """Why it failed or was cancelled; of one that waits, shown by itself, what for; null otherwise."""
    retry_of: UUID | None
    """The execution that this one takes up where it had stopped; null for any other."""


class StepAttemptOut(ResponseModel):
    """An attempt of a step that has ended."""

    number: int = Field(examples=[1])
    """From 1, in the order in which they were made."""
    is_counted: bool = Field(examples=[True])
    """Whether it counts against `maxAttempts`: one that a planned stop of its worker cut short does not."""
    status: StepStatus = Field(examples=["Failed"])
    """How it ended."""
    started_at: datetime | None = Field(examples=["2027-03-29T05:00:00.160Z"])
    """When it began."""
    completed_at: datetime | None = Field(examples=["2027-03-29T05:00:02.310Z"])
    """When it ended."""
    host: str | None = Field(examples=["worker-1"])
    """Where it ran."""
    exit_code: int | None = Field(examples=[1])
    """Exit code of its program."""
    error_message: str | None = Field(examples=["hr-sync exited with code 1"])
    """Error or warning, one line."""


class ExecutionStepOut(ResponseModel):
    """A step of an execution, from the snapshot that it runs."""

    id: UUID = Field(examples=["e5f6a7b8-c9d0-4123-afab-345678901234"])
    """Id of the step's record."""
    step_index: int = Field(examples=[0])
    """`stepIndex` of the schedule's step."""
    name: str = Field(examples=["HR - Full Import"])
    """The step's name, or what its step type calls it."""
    step_type: str = Field(examples=["RunProfile"])
    """Name of the step type."""
    execution_mode: ExecutionMode
    """How it was placed beside the step before it."""
    connected_system_id: int | None = Field(examples=[1])
    """Connected system of a RunProfile step."""
    connected_system_name: str | None = Field(examples=["HR"])
    """Its name when the execution began."""
    run_profile_id: int | None = Field(examples=[1])
    """Run profile of a RunProfile step."""
    run_profile_name: str | None = Field(examples=["Full Import"])
    """Its name when the execution began."""
    status: StepStatus = Field(examples=["Processing"])
    """How it stands, in words for people."""
    task_id: UUID | None = Field(examples=["e5f6a7b8-c9d0-4123-afab-345678901234"])
    """Id of the step's record until it has ended; then null."""
    started_at: datetime | None = Field(examples=["2027-03-29T05:00:00.160Z"])
    """When its first attempt began; null for a step that was never reached."""
    completed_at: datetime | None
    """When it ended; null until then."""
    error_message: str | None
    """Error or warning, one line."""
    activity_id: str | None = Field(examples=["e5f6a7b8-c9d0-4123-afab-345678901234"])
    """JIM's activity, where a connector drives a JIM; else the id of the step's record."""
    activity_status: str | None = Field(examples=["InProgress"])
    """How it stands in JIM's words for activities."""
    continue_on_failure: bool
    """Whether the execution goes on if the step fails."""
    output_tail: str | None
    """The last 64 KiB of what it printed, stdout and stderr as they came; null until it has ended."""
    exit_code: int | None
    """Exit code of its program."""
    attempts: int = Field(examples=[1])
    """How many attempts count so far, one that runs among them."""
    attempt_history: list[StepAttemptOut] = Field(examples=[[]])
    """The attempts that have ended, in order."""
    host: str | None = Field(examples=["worker-1"])
    """Where it ran last."""
    processes_ended: int = Field(examples=[0])
    """Processes that Rota had to end: on a timeout, a cancel, or left behind."""
    progress: StepProgress | None
    """How far it has come, where its step type knows; its last line of output while it runs."""


class ProgressStep(ResponseModel):
    """A step group, as a progress display shows it. Statuses are names: `CompletedWithWarning`."""

    step_index: int = Field(examples=[0])
    """Ordinal of the group, from 0."""
    name: str = Field(examples=["HR - Full Import"])
    """Name of the step, or how many run in parallel."""
    status: str = Field(examples=["Processing"])
    """What the states of its steps come to."""
    task_statuses: list[str] = Field(examples=[["Processing"]])
    """State of each step, the worst first."""
    is_parallel: bool
    """Whether it has more than one step."""


class Progress(ResponseModel):
    """How far an execution has come."""

    current_step_number: int | None = Field(examples=[1])
    """Which group runs, from 1."""
    total_steps: int = Field(examples=[1])
    """How many step groups there are."""
    steps: list[ProgressStep]
    """The step groups in their order."""


class ExecutionDetailOut(ExecutionOut):
    """An execution with its steps."""

    steps: list[ExecutionStepOut]
    """The steps in the order in which they run."""
    progress: Progress
    """How far it has come, by step group."""
