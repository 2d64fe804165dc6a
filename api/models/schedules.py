"""Schedules in requests and responses. The fields of steps follow from the registered step types."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union, get_args
from uuid import UUID

from pydantic import AfterValidator, Field, create_model
from pydantic.fields import FieldInfo

from activities.support.registry import step_types
from activities.support.step_type import StepType
from api.models.base import DIGITS, Guid, Instant, RequestModel, ResponseModel, example_of, member
from catalogue.schedules import ExecutionMode
from contracts.execution import ExecutionStatus, OverlapPolicy, TriggerType
from contracts.ids import WORKER_POOL_LENGTH, WORKER_POOL_PATTERN
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


def find_step_type(name: str) -> StepType[Any]:
    """Returns the step type with this name, in any letter case.

    Raises:
        ValueError: There is none; it says which there are.
    """
    known = step_types()
    # As it is written, nearly always: there may be ten thousand steps.
    step_type = known.get(name)
    if step_type is None:
        step_type = {other.lower(): known[other] for other in known}.get(name.strip().lower())
    if step_type is None:
        raise ValueError(f"Unknown step type: {name}. Known are {', '.join(known)}.")
    return step_type


def _step_type_name(name: str) -> str:
    return find_step_type(name).name


def _example_steps() -> list[dict[str, Any]]:
    """Returns a step of each type whose required fields have examples, one after the other."""
    steps: list[dict[str, Any]] = []
    for name, kind in step_types().items():
        own = example_of(kind.config_model)
        if own is not None:
            steps.append({"stepIndex": len(steps), "stepType": name, **own})
    return steps


class StepFields(RequestModel):
    """The fields that a step of any type has."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = _example_steps()

    id: Guid | None = Field(default=None, examples=["b2c3d4e5-f6a7-4901-bcde-f12345678901"])
    """Id of the step. A step of the schedule that has it keeps what the request leaves out; any other is new."""
    step_index: Annotated[int, Field(ge=0, le=1000, examples=[0]), DIGITS] = 0
    """Place in the order, from 0, which is the default. The steps of one index form a group and run in parallel: those
    that run one after the other have different ones."""
    name: str | None = Field(default=None, max_length=200, examples=["Full import of HR"])
    """What executions call the step. Without it: the run profile's or the file's name."""
    execution_mode: ExecutionModeIn = ExecutionMode.SEQUENTIAL
    """`Sequential` or `ParallelWithPrevious`. An index whose steps are all `ParallelWithPrevious` runs together with the
    group before it. `Sequential` by default."""
    step_type: Annotated[str, Field(max_length=100), AfterValidator(_step_type_name)] = Field(
        default="RunProfile", json_schema_extra={"enum": list(step_types())}
    )
    """Name of the step type, `RunProfile` by default. Fields of other types are checked, then dropped."""
    continue_on_failure: bool = False
    """Whether the execution goes on if this step fails; it then ends `CompleteWithError`. False by default."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86400), DIGITS] | None = Field(default=None, examples=[3600])
    """Limit of one attempt in seconds; then the step and every process that it started are ended. Null for none."""
    max_attempts: Annotated[int, Field(ge=1, le=10), DIGITS] | None = Field(default=None, examples=[1])
    """How often the step is tried; 1 by default."""
    worker_pool: Annotated[str, Field(max_length=WORKER_POOL_LENGTH, pattern=WORKER_POOL_PATTERN)] | None = Field(
        default=None, examples=["branch-office"]
    )
    """The pool whose workers alone may run the step (`rota worker --pool NAME`). Without it: any other worker."""
    schedule_to_start_seconds: Annotated[int, Field(ge=1, le=86400), DIGITS] | None = Field(
        default=None,
        examples=[600],
    )
    """How long the step may wait for a worker before it fails, in seconds. Null for no limit."""


def _type_fields() -> dict[str, FieldInfo]:
    """Returns every field that any step type declares, by attribute name; the registry sees that they agree."""
    return {name: field for kind in step_types().values() for name, field in kind.config_model.model_fields.items()}


def _description(name: str) -> str:
    """Returns what each step type says of its field."""
    declared = {kind.name: kind.config_model.model_fields.get(name) for kind in step_types().values()}
    return " ".join(f"{kind}: {field.description}" for kind, field in declared.items() if field and field.description)


def _request_field(name: str, field: FieldInfo) -> tuple[Any, Any]:
    rules = [*field.metadata, *([DIGITS] if _plain_type(field) is int else [])]
    annotation = Annotated[(field.annotation, *rules)] if rules else field.annotation
    return (
        Union[annotation, None],  # noqa: UP007 - built at run time
        Field(default=None, title=field.title, description=_description(name), examples=field.examples),
    )


def _response_field(field: FieldInfo) -> tuple[Any, Any]:
    return Union[field.annotation, None], Field()  # noqa: UP007 - built at run time


def _plain_type(field: FieldInfo) -> object:
    parts = [part for part in get_args(field.annotation) or (field.annotation,) if part is not type(None)]
    return parts[0]


if TYPE_CHECKING:
    StepIn = StepFields
else:
    StepIn = create_model(
        "ScheduleStepRequest",
        __base__=StepFields,
        __doc__="A step of a schedule, as it is sent.",
        **{name: _request_field(name, field) for name, field in _type_fields().items()},
    )


class StepFieldsOut(ResponseModel):
    """What every step shows."""

    written_as = StepIn

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
    StepOut = StepFieldsOut
else:
    StepOut = create_model(
        "ScheduleStep",
        __base__=StepFieldsOut,
        __doc__="A step of a schedule. Fields of other step types are null.",
        **{name: _response_field(field) for name, field in _type_fields().items()},
    )


class TimetableChange(RequestModel):
    """The fields that say when a schedule runs."""

    cron_expression: str | None = Field(default=None, max_length=2000, examples=["0 6 * * 1-5"])
    """When it runs, as standard cron of five fields; several joined by ` | `. Taken from the client for `Custom`, and
    where no field that the pattern requires is sent, which makes the schedule `Custom`; else generated."""
    pattern_type: PatternTypeIn = PatternType.SPECIFIC_TIMES
    """Which fields say when it runs. `SpecificTimes`: `daysOfWeek` and `runTimes`. `Interval`: `daysOfWeek`,
    `intervalValue`, `intervalUnit`, `intervalWindowStart` and `intervalWindowEnd`. `Custom`: `cronExpression`."""
    days_of_week: str | None = Field(default=None, max_length=50, examples=["1,2,3,4,5"])
    """Days by number, 0 (Sunday) to 6 (Saturday), with commas between them. A window past midnight belongs to the day
    on which it opens."""
    run_times: str | None = Field(default=None, max_length=200, examples=["06:00,12:00,18:00"])
    """Times of `SpecificTimes`, `HH:mm` of 24 hours, with commas between them."""
    interval_value: Annotated[int, Field(ge=1, le=59), DIGITS] | None = Field(default=None, examples=[30])
    """How many minutes or hours lie between two runs of `Interval`."""
    interval_unit: IntervalUnitIn | None = Field(default=None, examples=["Minutes"])
    """What `intervalValue` counts."""
    interval_window_start: str | None = Field(default=None, max_length=10, examples=["08:00"])
    """First run of a day of `Interval`, `HH:mm`."""
    interval_window_end: str | None = Field(default=None, max_length=10, examples=["18:00"])
    """End of the window of `Interval`, `HH:mm`, itself included. Before the start: on the next day."""
    time_zone: str | None = Field(default=None, max_length=64, examples=["Europe/London"])
    """IANA name of the zone whose clocks the times are read on; UTC by default."""
    start_at: Instant | None = Field(default=None, examples=["2027-01-01T00:00:00Z"])
    """Nothing fires before it."""
    end_at: Instant | None = Field(default=None, examples=["2028-01-01T00:00:00Z"])
    """Nothing fires after it."""


class ScheduleChange(TimetableChange):
    """The fields of a schedule that a client may set; what is left out of a PUT keeps its value."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"runTimes": "06:00,18:30", "timeZone": "Europe/London"},
        {"triggerType": "Manual", "description": None},
    )

    name: Name = Field(default="", examples=["Weekday synchronisation"])
    """Name, which no other schedule has; letter case counts."""
    description: str | None = Field(default=None, max_length=1000, examples=["Import, synchronise, export"])
    """What it is for."""
    trigger_type: TriggerTypeIn = TriggerType.MANUAL
    """`Cron`: it runs when its pattern says, and on demand. `Manual`: on demand only."""
    overlap_policy: OverlapPolicyIn | None = None
    """What a cron fire does while another execution of the schedule is active: it is skipped and counted (`Skip`, the
    default), one waits until none is active (`BufferOne`), or it runs beside the others (`AllowAll`)."""
    catch_up_window_seconds: Annotated[int, Field(ge=10, le=31_536_000), DIGITS] | None = Field(
        default=None,
        examples=[3600],
    )
    """How far back the latest fire that was missed while the server was down is made up for; 3600 by default."""
    jitter_seconds: Annotated[int, Field(ge=0, le=3600), DIGITS] | None = Field(default=None, examples=[0])
    """By how much a fire may come later, at random; 0 by default."""
    is_enabled: bool = False
    """Whether the trigger fires."""
    steps: list[StepIn] = Field(default_factory=list, max_length=10_000)
    """The steps. In a PUT the complete new list."""
    change_reason: str | None = Field(default=None, max_length=2000, examples=["Approved in CHG-1042"])
    """Why; kept in the change history."""


class ScheduleCreate(ScheduleChange):
    """A new schedule."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "name": "Weekday synchronisation",
            "description": "Import, synchronise, export",
            "triggerType": "Cron",
            "patternType": "SpecificTimes",
            "daysOfWeek": "1,2,3,4,5",
            "runTimes": "06:00,12:00,18:00",
            "isEnabled": True,
            "steps": StepIn.openapi_examples,
        },
        {
            "name": "Delta imports by day",
            "triggerType": "Cron",
            "patternType": "Interval",
            "daysOfWeek": "1,2,3,4,5",
            "intervalValue": 30,
            "intervalUnit": "Minutes",
            "intervalWindowStart": "08:00",
            "intervalWindowEnd": "18:00",
            "timeZone": "Europe/London",
            "overlapPolicy": "BufferOne",
        },
        {"name": "First Monday", "triggerType": "Cron", "patternType": "Custom", "cronExpression": "0 2 * * MON#1"},
    )

    name: Name = Field(examples=["Weekday synchronisation"])
    """Name, which no other schedule has; letter case counts."""


class ScheduleOut(ResponseModel):
    """A schedule, without its steps."""

    written_as = ScheduleCreate

    id: UUID = Field(examples=["a1b2c3d4-e5f6-4890-abcd-ef1234567890"])
    """Id of the schedule."""
    name: str
    description: str | None
    trigger_type: TriggerType
    cron_expression: str | None = Field(examples=["0 6,12,18 * * 1-5"])
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
    last_run_time: datetime | None = Field(examples=["2027-03-26T18:00:00Z"])
    """When it last started, however triggered."""
    next_run_time: datetime | None = Field(examples=["2027-03-29T06:00:00Z"])
    """When it will fire next; null while it is disabled or `Manual`."""
    step_count: int = Field(examples=[4])
    """How many steps it has."""
    created: datetime = Field(examples=["2027-01-15T09:30:00Z"])
    """When it was created."""
    last_updated: datetime | None
    """When it was last changed, enabled or disabled; null until then."""
    last_execution_id: UUID | None
    """Id of its latest execution. It and the five after it are filled by the list, and null elsewhere."""
    last_execution_status: ExecutionStatus | None
    """Status of its latest execution."""
    last_execution_current_step_index: int | None
    """Ordinal of the step group that its latest execution reached, from 0."""
    last_execution_total_steps: int | None
    """How many step groups its latest execution has."""
    last_execution_completed_at: datetime | None
    """When its latest execution ended."""
    last_execution_error_message: str | None
    """Why its latest execution failed or was cancelled."""
    last_skipped_time: datetime | None
    """Latest fire that was skipped."""
    skipped_count: int = Field(examples=[0])
    """How many fires were skipped."""
    warnings: list[str] = Field(examples=[[]])
    """What may not be meant: cron text that other schedulers read otherwise, a timetable that is sent without a
    `triggerType` for a `Manual` schedule, systems that do not exist yet, `Sequential` steps that share an index, fields of
    the request that nothing knows."""


class ScheduleDetailOut(ScheduleOut):
    """A schedule with its steps."""

    steps: list[StepOut]


class RunStarted(ResponseModel):
    """The answer to a manual run."""

    execution_id: UUID = Field(examples=["c3d4e5f6-a7b8-4901-8def-123456789012"])
    """Id of the execution."""
    message: str = Field(examples=["Schedule 'Weekday synchronisation' started successfully"])
    """What was done."""


class PreviewRequest(TimetableChange):
    """A timetable to be looked at; nothing is stored."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"cronExpression": "30 1 * * *", "timeZone": "Europe/London", "count": 3, "from": "2027-03-27T00:00:00Z"},
        {"patternType": "SpecificTimes", "daysOfWeek": "1,2,3,4,5", "runTimes": "06:00"},
    )

    count: Annotated[int, Field(ge=1, le=1000), DIGITS] = 10
    """How many times are wanted."""
    from_: Instant | None = Field(default=None, alias="from", examples=["2027-03-27T00:00:00Z"])
    """Times after this one; now by default."""


class PreviewTime(ResponseModel):
    """One time at which it would run."""

    time: datetime = Field(examples=["2027-03-28T01:00:00Z"])
    """When it runs, in UTC."""
    local_time: datetime = Field(examples=["2027-03-28T02:00:00+01:00"])
    """The same instant in the timetable's zone, with its offset."""
    clock_change: str | None = Field(examples=["Clocks go forward 60 minutes at 01:00."])
    """What a change of the clocks does to this run; null on other days."""


class Preview(ResponseModel):
    """What a timetable means."""

    cron_expression: str = Field(examples=["30 1 * * *"])
    """The timetable as standard cron; several expressions are joined by ` | `."""
    sentence: str = Field(examples=["At 01:30 (Europe/London)"])
    """The timetable in words."""
    warnings: list[str] = Field(examples=[[]])
    """What may not be meant."""
    items: list[PreviewTime]
    """The next times."""


class NextRuns(ResponseModel):
    """The next times at which a schedule runs."""

    items: list[datetime] = Field(examples=[["2027-03-29T06:00:00Z", "2027-03-29T12:00:00Z"]])
    """The times, in UTC; none for a schedule that is disabled or `Manual`."""
