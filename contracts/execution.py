"""One execution of a schedule: what its workflow is told, what a step is told, and what comes back."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

OUTPUT_TAIL_BYTES = 64 * 1024
"""How much of a step's output is kept with the step, in bytes of UTF-8."""

FOLLOWED_TAIL_BYTES = 4 * 1024
"""How much of an attempt's output is carried at most where another attempt follows: many of them stay in one history."""


MAX_STEPS_IN_FLIGHT = 200
"""Steps of one group handed out at a time. Temporal advises 500 pending activities at most; narrower costs no
throughput, as one worker runs fewer."""


class TriggerType(StrEnum):
    """What starts the executions of a schedule."""

    CRON = "Cron"
    MANUAL = "Manual"


class ExecutionStatus(StrEnum):
    """The state of an execution, as the REST API shows it."""

    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    COMPLETE = "Complete"
    COMPLETE_WITH_ERROR = "CompleteWithError"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    PAUSED = "Paused"

    @property
    def is_terminal(self) -> bool:
        """Whether the execution has ended."""
        return self not in ACTIVE_STATUSES


ACTIVE_STATUSES = frozenset({ExecutionStatus.QUEUED, ExecutionStatus.IN_PROGRESS, ExecutionStatus.PAUSED})
"""The statuses of an execution that has not ended."""


class StepStatus(StrEnum):
    """The state of a step in an execution, in the display strings of the REST API."""

    PENDING = "Pending"
    WAITING = "Waiting"
    QUEUED = "Queued"
    PROCESSING = "Processing"
    CANCELLING = "Cancelling"
    COMPLETED = "Completed"
    COMPLETED_WITH_WARNING = "Completed with Warning"
    COMPLETED_WITH_ERROR = "Completed with Error"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the step has ended."""
        return self in _ENDED

    @property
    def is_failure(self) -> bool:
        """Whether the step ended in a way that stops the execution unless it may continue."""
        return self in _FAILURES


_FAILURES = frozenset({StepStatus.COMPLETED_WITH_ERROR, StepStatus.FAILED, StepStatus.CANCELLED})
_ENDED = _FAILURES | {StepStatus.COMPLETED, StepStatus.COMPLETED_WITH_WARNING}


class OverlapPolicy(StrEnum):
    """What a cron fire does while another execution of the schedule is active."""

    SKIP = "Skip"
    BUFFER_ONE = "BufferOne"
    ALLOW_ALL = "AllowAll"


DEFAULT_CATCH_UP_SECONDS: Final = 3600
"""How far back missed fires of a schedule are made up for, unless it says otherwise."""


class StepProgress(BaseModel):
    """How far a running step has come, where its step type knows."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    done: int | None = Field(default=None, examples=[4_200])
    """Objects processed so far."""
    total: int | None = Field(default=None, examples=[12_408])
    """Objects to process; null where unknown."""
    message: str | None = Field(default=None, examples=["Importing"])
    """One line for people: the phase, or the last line of output."""


class StepHeartbeat(BaseModel):
    """What a running step tells Temporal about itself: seen by operators, and by the attempt after a lost worker."""

    host: str
    worker: str
    """Identity of the worker, `pid@host`."""
    started_at: datetime | None = None
    """When the worker began the attempt."""
    progress: StepProgress | None = None
    activity_id: str | None = None
    """Id of the run in the connected system, where it has one of its own."""
    memo: dict[str, Any] = Field(default_factory=dict)
    """What the step type needs to take up the same external run again in its next attempt."""
    resumable: bool = False
    """Whether the next attempt takes up where this one stood; see `StepRun.resumable`."""
    stores_output: bool = True
    """Whether the worker stores what the step prints while it runs."""


class StepSpec(BaseModel):
    """One step of an execution's plan, as the snapshot holds it. Secrets in `config` are sealed."""

    step_id: UUID
    """Id of the step's record."""
    position: int
    """Place in the plan, from 0; steps of one group stand together."""
    group: int
    """Ordinal of the step group, from 0."""
    name: str
    step_type: str
    """Registered name of the step type, which is also the name of its activity."""
    continue_on_failure: bool = False
    timeout_seconds: int | None = None
    """Limit of one attempt, 1-86400; None for none."""
    max_attempts: int = 1
    """How often the step is tried, 1-10."""
    worker_pool: str | None = None
    """The pool whose workers alone may run it; None for the workers of the workflows."""
    schedule_to_start_seconds: int | None = None
    """How long it may wait for a worker, 1-86400; None for ever."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The step type's own fields, by attribute name."""
    resolved: dict[str, Any] = Field(default_factory=dict)
    """What the step type had looked up in the catalogue when the snapshot was taken."""


class StepInput(BaseModel):
    """What a step activity is told."""

    execution_id: UUID
    schedule_name: str
    step_id: UUID
    name: str
    timeout_seconds: int | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    resolved: dict[str, Any] = Field(default_factory=dict)
    attempt: int = 1
    """Number of this attempt, from 1; counts those too that are not held against `max_attempts`."""
    is_last: bool = True
    """Whether no other attempt follows a failure of this one."""
    may_restart: bool = False
    """Whether another attempt follows where the worker is stopped in the middle of this one."""
    memo: dict[str, Any] = Field(default_factory=dict)
    """What the attempt before remembered."""
    resumed_from: datetime | None = None
    """Where this attempt takes up an earlier one: when that one began. The time limit counts from there."""


class StepAttempt(BaseModel):
    """How one attempt of a step ended, as the step's record keeps it."""

    number: int
    """From 1, in the order in which they were made."""
    is_counted: bool = True
    """Whether it is held against `max_attempts`; one that a planned stop cut short, or that is taken up again, is not."""
    status: StepStatus
    message: str | None = None
    exit_code: int | None = None
    host: str | None = None
    started_at: datetime | None = None
    """None where no worker took it."""
    completed_at: datetime | None = None
    output_bytes: int = 0
    """How many bytes of UTF-8 it printed."""
    output_note: str | None = None
    """Why not all is kept that it printed; None where it is, or is too large."""


class StepOutcome(BaseModel):
    """How an attempt of a step ended: the activity's result, or the detail of its failure."""

    status: StepStatus
    message: str | None = None
    """The error or warning, one line; None where there is nothing to say."""
    exit_code: int | None = None
    output_tail: str = ""
    """The last `OUTPUT_TAIL_BYTES` of what the attempt printed."""
    output_bytes: int = 0
    """How many bytes of UTF-8 it printed."""
    output_note: str | None = None
    """Why no more is kept of it than the tail; None where there is no reason but its size."""
    attempts: int = 1
    """How many attempts count so far, this one among them."""
    host: str | None = None
    processes_ended: int = 0
    """Processes that Rota had to end: on a timeout, a cancel, or left behind."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    progress: StepProgress | None = None
    activity_id: str | None = None
    """Id of the run in the connected system, where it has one of its own."""
    activity_status: str | None = None
    """State of that run in the connected system's words."""
    memo: dict[str, Any] = Field(default_factory=dict)
    """What the step type remembers for the next attempt."""
    resumable: bool = False
    """Whether the next attempt takes up where this one stood."""
    history: list[StepAttempt] = Field(default_factory=list)
    """Every attempt, in order, where there was more than one; written by the workflow."""


def no_catalogue(worker: str) -> str:
    """Returns why only the end is kept of what the steps of a worker print."""
    return f"The worker {worker} has no access to the catalogue: only the end of the output is kept."


class StoppingFailure(BaseModel):
    """A failed step that does not let the execution go on."""

    step_name: str
    message: str | None = None


class Carried(BaseModel):
    """What an execution knows when it continues in a new run of its workflow."""

    position: int
    """The first step of the plan that has not been started."""
    group: int
    """The group in which that step, or the last one that was started, stands."""
    total_steps: int
    total_groups: int
    had_failures: bool = False
    """Whether a step that may fail has failed."""
    stopping: list[StoppingFailure] = Field(default_factory=list)
    """The first of the current group's failures that stop the execution."""
    stopping_count: int = 0
    """How many there are."""
    paused: bool = False
    """Whether it holds before the next group."""


class ExecutionRequest(BaseModel):
    """What a `ScheduleExecution` workflow is told."""

    schedule_id: UUID
    schedule_name: str
    trigger: TriggerType
    execution_id: UUID | None = None
    """Given by the API for a manual run; a cron fire makes its own."""
    carried: Carried | None = None
    """Where to go on: of a run that continued as new, or of an execution that takes up an earlier one."""


class ExecutionResult(BaseModel):
    """What a `ScheduleExecution` workflow answers."""

    execution_id: UUID | None = None
    """None for a fire that was skipped: it is no execution."""
    outcome: str
    """An execution status, or `Skipped`."""
    message: str | None = None


class OpenRequest(BaseModel):
    """Opens an execution's record; safe to repeat."""

    execution_id: UUID
    schedule_id: UUID
    trigger: TriggerType
    workflow_id: str
    fire_time: datetime | None = None
    """The time for which the trigger fired; None for a manual run."""
    started_at: datetime | None = None
    """When the server started the workflow: much later than `fire_time` where the fire was missed and caught up."""
    position: int = 0
    """Where in the plan to start reading."""
    begin_at_most: int = 0
    """So many steps of the group at that place are begun with it."""


class Opened(BaseModel):
    """The answer to `OpenRequest`."""

    decision: str
    """`run`; `skip` for a fire that the overlap policy drops; `wait` for one that it holds back; `missed` for one that
    a later fire replaces; `ended` where the record is closed already, or the schedule may not fire."""
    message: str | None = None
    total_steps: int = 0
    total_groups: int = 0
    plan: list[StepSpec] = Field(default_factory=list)
    """The first slice of the plan."""
    begun: int | None = None
    """How many of its steps are marked as begun already, from its first. None from a worker that marked none: the
    execution then goes on as such a worker's did, and writes before every step."""
    hold_back_seconds: float | None = None
    """For so long what follows is held back before it is written. None from a worker that did not say: a tenth of a
    second."""


class FinishedStep(BaseModel):
    """A step of the plan that ended."""

    step_id: UUID
    outcome: StepOutcome


class AttemptedStep(BaseModel):
    """A step of the plan of which an attempt ended that another one follows."""

    step_id: UUID
    attempts: int
    """How many attempts count so far."""
    history: list[StepAttempt]
    """Every attempt so far, in order."""
    output_tail: str = ""
    """The end of what the last of them printed, where its worker could not store it."""


class ProgressRequest(BaseModel):
    """Records what ended and what begins, and reads the next slice of the plan; safe to repeat."""

    execution_id: UUID
    finished: list[FinishedStep] = Field(default_factory=list)
    attempted: list[AttemptedStep] = Field(default_factory=list)
    started: list[UUID] = Field(default_factory=list)
    """Records of the steps that were handed to workers, and have not ended."""
    current_group: int | None = None
    paused: bool | None = None
    """True where the execution holds between two groups from now on, False where it goes on, None where neither changed."""
    before_group: int = 0
    """The group before which it holds, or that it goes on with; of no meaning where `paused` is None."""
    read_from: int | None = None
    """Position from which the next slice of the plan is wanted."""


class PlanSlice(BaseModel):
    """The answer to `ProgressRequest`."""

    plan: list[StepSpec] = Field(default_factory=list)
    """Steps of the plan that follow one another, where they were asked for."""
    hold_back_seconds: float | None = None
    """See `Opened.hold_back_seconds`."""


class CloseRequest(BaseModel):
    """Closes an execution's record; safe to repeat, and without effect on one that is closed."""

    execution_id: UUID
    schedule_id: UUID
    finished: list[FinishedStep] = Field(default_factory=list)
    current_group: int | None = None
    """The group that was begun last."""
    status: ExecutionStatus
    message: str | None = None
    unreached_message: str | None = None
    """Why steps that were never started ended as Cancelled."""


class Closed(BaseModel):
    """The answer to `CloseRequest`."""

    waiting_workflow_id: str | None = None
    """Workflow of the fire that was held back until now, and may run."""
