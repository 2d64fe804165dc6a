"""The change history of a schedule in responses."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Optional
from uuid import UUID

from pydantic import Field, JsonValue, create_model

from api.models.base import ResponseModel
from api.models.schedules import ScheduleChange, ScheduleOut, StepOut
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
            Field(default=None, title=fields[name].title, description=fields[name].description),
        )
        for name in names
    }


if TYPE_CHECKING:
    StepSnapshot = StepOut

    class ScheduleSnapshot(ResponseModel):
        """What a type checker needs to know."""

        steps: list[StepSnapshot]
else:
    StepSnapshot = create_model(
        "ScheduleStepSnapshot",
        __base__=ResponseModel,
        __doc__="A step as it was after a change, secrets masked. Fields of other step types are null.",
        **_nullable(StepOut, tuple(StepOut.model_fields)),
    )
    ScheduleSnapshot = create_model(
        "ScheduleSnapshot",
        __base__=ResponseModel,
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

    name: str = Field(description="A field's JSON name; a step's name, or `Step` and its stepIndex.")
    kind: DiffNodeKind
    id: UUID | None = Field(description="Id of a step; null for the rest.")
    change: DiffChange = Field(description="A field is Added where it was null, Removed where it became null.")
    is_secret: bool = Field(description="Whether the values are masked: Modified with equal values is another secret.")
    old_value: JsonValue = Field(description="Value of a field before; null if there was none.")
    new_value: JsonValue = Field(description="Value of a field after; null if there is none.")
    children: list["ConfigurationDiffNode"]


class ConfigurationDiff(ResponseModel):
    """What differs between two versions.

    The counts are of fields and of whole steps: a step that came or went counts once, one that changed counts once for
    each of its fields that did.
    """

    object_type: str
    object_id: int = Field(description="0: a schedule has a GUID.")
    object_guid_id: UUID
    object_name: str
    old_version: int | None = Field(description="Null for the difference that the first version makes.")
    new_version: int
    root: ConfigurationDiffNode
    added_count: int
    removed_count: int
    modified_count: int
    has_changes: bool


class ScheduleVersionOut(ResponseModel):
    """One change of a schedule."""

    activity_id: UUID = Field(description="Id of the change itself.")
    version: int = Field(description="From 1 for each schedule, without gaps.")
    operation: ChangeOperation
    initiated_by_type: InitiatorType
    initiated_by_id: str | None
    initiated_by_name: str | None
    when: datetime
    reason: str | None = Field(description="The changeReason of the request.")
    summary: str
    diff: ConfigurationDiff | None = Field(description="What the change made different; null in lists.")


class ScheduleVersionDetailOut(ScheduleVersionOut):
    """One change of a schedule, and the schedule after it."""

    snapshot: ScheduleSnapshot = Field(description="The schedule after the change; what was deleted, for a deletion.")
