"""Schedules in requests and responses. The fields of steps follow from the registered step types."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args
from uuid import UUID

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from activities.support.registry import step_types
from api.models.base import DIGITS, Guid, Instant, RequestModel, ResponseModel, member
from catalogue.schedules import ExecutionMode
from contracts.execution import ExecutionStatus, OverlapPolicy, TriggerType
from timetable import IntervalUnit, PatternType

Name = Annotated[str, Field(min_length=1, max_length=200)]

if TYPE_CHECKING:
    TriggerTypeIn = TriggerType
    PatternTypeIn = PatternType
    IntervalUnitIn = IntervalUnit
    OverlapPolicyIn = OverlapPolicy
    ExecutionModeIn = ExecutionMode
else:
    TriggerTypeIn = member(TriggerType)
    PatternTypeIn = member(PatternType)
    IntervalUnitIn = member(IntervalUnit)
    OverlapPolicyIn = member(OverlapPolicy)
    ExecutionModeIn = member(ExecutionMode)


class StepFields(RequestModel):
    """The fields that a step of any type has."""

    id: Guid | None = None
    step_index: Annotated[int, Field(ge=0, le=1000), DIGITS] = 0
    name: str | None = Field(default=None, max_length=200)
    execution_mode: ExecutionModeIn = ExecutionMode.SEQUENTIAL
    step_type: str = Field(default="RunProfile", max_length=100, json_schema_extra={"enum": list(step_types())})
    continue_on_failure: bool = False
    timeout_seconds: Annotated[int, Field(ge=1, le=86400), DIGITS] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=10), DIGITS] | None = None
    worker_pool: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = Field(
        default=None, description="The pool whose workers alone may run the step: letters, digits, dots, dashes."
    )
    schedule_to_start_seconds: Annotated[int, Field(ge=1, le=86400), DIGITS] | None = Field(
        default=None, description="How long the step may wait for a worker before it fails; without end by default."
    )


def _type_fields() -> dict[str, FieldInfo]:
    """Returns every field that any step type declares, by attribute name; the registry sees that they agree."""
    return {name: field for kind in step_types().values() for name, field in kind.config_model.model_fields.items()}


def _request_field(field: FieldInfo) -> tuple[Any, Any]:
    rules = [*field.metadata, *([DIGITS] if _plain_type(field) is int else [])]
    annotation = Annotated[(field.annotation, *rules)] if rules else field.annotation
    return (
        Union[annotation, None],  # noqa: UP007 - built at run time
        Field(default=None, title=field.title, description=field.description),
    )


def _response_field(field: FieldInfo) -> tuple[Any, Any]:
    return Union[field.annotation, None], Field(title=field.title, description=field.description)  # noqa: UP007


def _plain_type(field: FieldInfo) -> object:
    parts = [part for part in get_args(field.annotation) or (field.annotation,) if part is not type(None)]
    return parts[0]


class StepFieldsOut(ResponseModel):
    """What every step shows."""

    id: UUID
    step_index: int
    name: str | None
    execution_mode: ExecutionMode
    step_type: str
    continue_on_failure: bool
    timeout_seconds: int | None
    max_attempts: int
    worker_pool: str | None
    schedule_to_start_seconds: int | None


if TYPE_CHECKING:
    StepIn = StepFields
    StepOut = StepFieldsOut
else:
    StepIn = create_model(
        "ScheduleStepRequest",
        __base__=StepFields,
        __doc__="A step of a schedule, as it is sent.",
        **{name: _request_field(field) for name, field in _type_fields().items()},
    )
    StepOut = create_model(
        "ScheduleStep",
        __base__=StepFieldsOut,
        __doc__="A step of a schedule. Fields of other step types are null.",
        **{name: _response_field(field) for name, field in _type_fields().items()},
    )


class TimetableChange(RequestModel):
    """The fields that say when a schedule runs."""

    cron_expression: str | None = Field(default=None, max_length=2000)
    pattern_type: PatternTypeIn = PatternType.SPECIFIC_TIMES
    days_of_week: str | None = Field(default=None, max_length=50)
    run_times: str | None = Field(default=None, max_length=200)
    interval_value: Annotated[int, Field(ge=1, le=59), DIGITS] | None = None
    interval_unit: IntervalUnitIn | None = None
    interval_window_start: str | None = Field(default=None, max_length=10)
    interval_window_end: str | None = Field(default=None, max_length=10)
    time_zone: str | None = Field(default=None, max_length=64, description="IANA name; UTC by default.")
    start_at: Instant | None = Field(default=None, description="Nothing fires before it.")
    end_at: Instant | None = Field(default=None, description="Nothing fires after it.")


class ScheduleChange(TimetableChange):
    """The fields of a schedule that a client may set; what is left out of a PUT keeps its value."""

    name: Name = ""
    description: str | None = Field(default=None, max_length=1000)
    trigger_type: TriggerTypeIn = TriggerType.MANUAL
    overlap_policy: OverlapPolicyIn | None = None
    catch_up_window_seconds: Annotated[int, Field(ge=10, le=31_536_000), DIGITS] | None = None
    jitter_seconds: Annotated[int, Field(ge=0, le=3600), DIGITS] | None = None
    is_enabled: bool = False
    steps: list[StepIn] = Field(default_factory=list, max_length=10_000)
    change_reason: str | None = Field(default=None, max_length=2000, description="Why; kept in the change history.")


class ScheduleCreate(ScheduleChange):
    """A new schedule."""

    name: Name


class ScheduleOut(ResponseModel):
    """A schedule, without its steps."""

    id: UUID
    name: str
    description: str | None
    trigger_type: TriggerType
    cron_expression: str | None
    pattern_type: PatternType
    days_of_week: str | None
    run_times: str | None
    interval_value: int | None
    interval_unit: IntervalUnit | None
    interval_window_start: str | None
    interval_window_end: str | None
    time_zone: str
    start_at: datetime | None
    end_at: datetime | None
    overlap_policy: OverlapPolicy
    catch_up_window_seconds: int
    jitter_seconds: int
    is_enabled: bool
    last_run_time: datetime | None
    next_run_time: datetime | None
    step_count: int
    created: datetime
    last_updated: datetime | None
    last_execution_id: UUID | None
    last_execution_status: ExecutionStatus | None
    last_execution_current_step_index: int | None
    last_execution_total_steps: int | None
    last_execution_completed_at: datetime | None
    last_execution_error_message: str | None
    last_skipped_time: datetime | None
    skipped_count: int
    warnings: list[str]


class ScheduleDetailOut(ScheduleOut):
    """A schedule with its steps."""

    steps: list[StepOut]


class RunStarted(ResponseModel):
    """The answer to a manual run."""

    execution_id: UUID
    message: str


class PreviewRequest(TimetableChange):
    """A timetable to be looked at; nothing is stored."""

    count: Annotated[int, Field(ge=1, le=1000), DIGITS] = 10
    from_: Instant | None = Field(default=None, alias="from", description="Times after this one; now by default.")


class PreviewTime(ResponseModel):
    """One time at which it would run."""

    time: datetime
    local_time: datetime
    """The same instant in the timetable's zone, with its offset."""
    clock_change: str | None
    """What a change of the clocks does to this run; null on other days."""


class Preview(ResponseModel):
    """What a timetable means."""

    cron_expression: str
    sentence: str
    warnings: list[str]
    items: list[PreviewTime]


class NextRuns(ResponseModel):
    """The next times at which a schedule runs."""

    items: list[datetime]
