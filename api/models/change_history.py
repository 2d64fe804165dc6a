"""The change history of a schedule in responses."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Optional
from uuid import UUID

from pydantic import Field, JsonValue, create_model

from api.models.base import ResponseModel
from api.models.schedules import ScheduleChange, ScheduleCreate, ScheduleOut, StepIn, StepOut
from catalogue.change_history import ChangeOperation
from catalogue.executions import InitiatorType

SNAPSHOT_FIELDS: Final = tuple(name for name in ScheduleOut.model_fields if name in ScheduleChange.model_fields)
"""What a snapshot holds of a schedule besides its steps: the fields that a client may set."""


def _nullable(model: type[ResponseModel], names: tuple[str, ...]) -> dict[str, Any]:
    """Returns fields of a model, null where a snapshot is older than the field."""
    fields = model.model_fields
    return {
        name: (
            Optional[fields[name].annotation],  # noqa: UP045 - built at run time
            None,
        )
        for name in names
    }


if TYPE_CHECKING:
    StepSnapshot = StepOut

    class ScheduleSnapshot(ResponseModel):
        """What a type checker needs to know."""

        steps: list[StepSnapshot]
else:

    class _StepSnapshot(ResponseModel):
        written_as = StepIn

    class _ScheduleSnapshot(ResponseModel):
        written_as = ScheduleCreate

    StepSnapshot = create_model(
        "ScheduleStepSnapshot",
        __base__=_StepSnapshot,
        __doc__="A step as it was after a change, secrets masked. Fields of other step types are null.",
        **_nullable(StepOut, tuple(StepOut.model_fields)),
    )
    ScheduleSnapshot = create_model(
        "ScheduleSnapshot",
        __base__=_ScheduleSnapshot,
        __doc__="What clients had set of a schedule after a change, secrets masked. A field that came later is null.",
        **_nullable(ScheduleOut, SNAPSHOT_FIELDS),
        steps=(list[StepSnapshot], ...),
    )


class DiffNodeKind(StrEnum):
    """What a node of a difference stands for."""

    SCHEDULE = "Schedule"
    STEPS = "Steps"
    STEP = "Step"
    FIELD = "Field"


class DiffChange(StrEnum):
    """What became of it."""

    ADDED = "Added"
    REMOVED = "Removed"
    MODIFIED = "Modified"
    UNCHANGED = "Unchanged"


class ConfigurationDiffNode(ResponseModel):
    """A part of a schedule that differs. What is the same on both sides is left out; only the root is ever Unchanged.

    The root is the Schedule. Its children are Fields and one node Steps, whose children are Steps, matched by id, each
    with Fields of its own. Where steps of one stepIndex changed places, Steps has a Field `order`, its values the ids
    in order.
    """

    name: str = Field(examples=["runTimes"])
    """A field's JSON name; a step's name, or `Step` and its stepIndex."""
    kind: DiffNodeKind = Field(examples=["Field"])
    """What it stands for."""
    id: UUID | None
    """Id of a step; null for the rest."""
    change: DiffChange = Field(examples=["Modified"])
    """What became of it. A field is Added where it was null, Removed where it became null."""
    is_secret: bool
    """Whether the values are masked: Modified with equal values is another secret."""
    old_value: JsonValue = Field(examples=["06:00"])
    """Value of a field before; null if there was none."""
    new_value: JsonValue = Field(examples=["06:00,12:00"])
    """Value of a field after; null if there is none."""
    children: list["ConfigurationDiffNode"] = Field(examples=[[]])
    """The parts of it that differ."""


class ConfigurationDiff(ResponseModel):
    """What differs between two versions.

    The counts are of fields and of whole steps: a step that came or went counts once, one that changed counts once for
    each of its fields that did.
    """

    object_type: str = Field(examples=["Schedule"])
    """Always `Schedule`."""
    object_id: int = Field(examples=[0])
    """As in JIM; 0, as a schedule has a GUID."""
    object_guid_id: UUID = Field(examples=["a1b2c3d4-e5f6-4890-abcd-ef1234567890"])
    """Id of the schedule."""
    object_name: str = Field(examples=["Weekday synchronisation"])
    """Name of the schedule after the change."""
    old_version: int | None = Field(examples=[1])
    """Version before; null for the difference that the first version makes."""
    new_version: int = Field(examples=[2])
    """Version after."""
    root: ConfigurationDiffNode = Field(
        examples=[
            {
                "name": "Schedule",
                "kind": "Schedule",
                "oldValue": None,
                "newValue": None,
                "children": [{"name": "runTimes"}],
            }
        ]
    )
    """The schedule, and below it what differs."""
    added_count: int = Field(examples=[0])
    """How many came."""
    removed_count: int = Field(examples=[0])
    """How many went."""
    modified_count: int = Field(examples=[1])
    """How many changed."""
    has_changes: bool = Field(examples=[True])
    """Whether anything differs."""


class ScheduleVersionOut(ResponseModel):
    """One change of a schedule."""

    activity_id: UUID = Field(examples=["f6a7b8c9-d0e1-4234-8abc-456789012345"])
    """Id of the change itself."""
    version: int = Field(examples=[2])
    """From 1 for each schedule, without gaps."""
    operation: ChangeOperation = Field(examples=["Update"])
    """What was done."""
    initiated_by_type: InitiatorType = Field(examples=["ApiKey"])
    """`ApiKey`; `System` for the version that a schedule older than its history begins with."""
    initiated_by_id: str | None = Field(examples=["d4e5f6a7-b8c9-4012-9efa-234567890123"])
    """Id of the API key."""
    initiated_by_name: str | None = Field(examples=["operations"])
    """Name of the API key."""
    when: datetime = Field(examples=["2027-03-20T14:12:00Z"])
    """When it was done."""
    reason: str | None = Field(examples=["Approved in CHG-1042"])
    """The `changeReason` of the request."""
    summary: str = Field(examples=["Changed runTimes"])
    """What was done, in one line."""
    diff: ConfigurationDiff | None
    """What the change made different; null in lists."""


class ScheduleVersionDetailOut(ScheduleVersionOut):
    """One change of a schedule, and the schedule after it."""

    diff: ConfigurationDiff = Field(examples=[{"oldVersion": 1}])
    """What the change made different."""
    snapshot: ScheduleSnapshot
    """The schedule after the change; what was deleted, for a deletion."""
