"""Steps of a schedule: checked by their step type, secrets sealed on the way in and masked on the way out."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from pydantic import ValidationError

from activities.support.registry import step_types
from activities.support.step_type import StepType
from api.errors import ValidationFailed, field_messages, field_name
from api.misspelt import guess_for
from api.models.base import is_blank
from api.models.schedules import StepFieldsOut, StepIn, StepOut, find_step_type
from catalogue.schedules import ScheduleStep
from runtime.secrets import MASK, SecretBox, mask_fields, open_fields, seal_fields, secret_fields

_NO_ID = UUID(int=0)

_KEPT = (
    "step_index",
    "name",
    "execution_mode",
    "continue_on_failure",
    "timeout_seconds",
    "worker_pool",
    "schedule_to_start_seconds",
)
"""What a step keeps where a request leaves it out."""


def read_steps(
    steps: Sequence[StepIn],
    schedule_id: UUID,
    stored: Mapping[UUID, ScheduleStep],
    box: SecretBox,
) -> list[ScheduleStep]:
    """Returns the rows of the steps that a request holds.

    A step whose id is stored keeps what the request leaves out; any other is new.

    Raises:
        ValidationFailed: A step is not valid; every message names its field.
    """
    problems: dict[str, list[str]] = {}
    rows: list[ScheduleStep] = []
    seen: set[UUID] = set()
    for position, step in enumerate(steps):
        place = ("steps", position)
        if step.id is not None and step.id in seen:
            problems[field_name([*place, "id"])] = [f"The step id {step.id} is there twice."]
        if step.id is not None and step.id != _NO_ID:
            seen.add(step.id)
        try:
            rows.append(_read_step(step, place, schedule_id, position, stored.get(step.id or _NO_ID), box))
        except ValidationFailed as failed:
            problems.update({name: list(messages) for name, messages in (failed.fields or {}).items()})
    if problems:
        raise ValidationFailed.of_fields(problems)
    return rows


def _read_step(
    step: StepIn,
    place: tuple[str, int],
    schedule_id: UUID,
    position: int,
    stored: ScheduleStep | None,
    box: SecretBox,
) -> ScheduleStep:
    given = step.model_fields_set
    step_type = _step_type(stored.step_type if stored and "step_type" not in given else step.step_type, place)
    kept = {name: getattr(stored if stored and name not in given else step, name) for name in _KEPT}
    # Not initialised as the ORM does, attribute by attribute, which took most of the time of 10,000 steps: steps are
    # written by Core.
    return ScheduleStep.model_construct(
        id=stored.id if stored else (step.id if step.id and step.id != _NO_ID else uuid4()),
        schedule_id=schedule_id,
        position=position,
        step_type=step_type.name,
        max_attempts=stored.max_attempts if stored and "max_attempts" not in given else step.max_attempts or 1,
        config=_config(step, place, step_type, stored, box),
        **kept,
    )


def _step_type(name: str, place: tuple[str, int]) -> StepType[Any]:
    try:
        return find_step_type(name)
    except ValueError as error:
        # Stored once, and gone with the package that brought it.
        raise ValidationFailed.of_fields({field_name([*place, "stepType"]): [str(error)]}) from None


def _config(
    step: StepIn,
    place: tuple[str, int],
    step_type: StepType[Any],
    stored: ScheduleStep | None,
    box: SecretBox,
) -> dict[str, Any]:
    """Returns the step type's own fields, checked, secrets sealed."""
    model = step_type.config_model
    kept = open_fields(model, stored.config, box) if stored and stored.step_type == step_type.name else {}
    given = {name: getattr(step, name) for name in model.model_fields if name in step.model_fields_set}
    problems: dict[str, list[str]] = {}
    for name, marker in secret_fields(model).items():
        if name not in given or not isinstance(given[name], str):
            continue
        if name in kept and given[name] == marker.mask(kept[name]):
            given[name] = kept[name]
        elif MASK in given[name]:
            message = "The field holds a masked secret that stands for nothing stored: write the secret out."
            problems[field_name([*place, name])] = [message]
    values = {name: value for name, value in (kept | given).items() if not is_blank(value)}
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            name = str(item["loc"][0])
            if item["type"] == "missing":
                field = next(f for n, f in model.model_fields.items() if name in {n, f.alias})
                message = f"{field.title or name} is required for {step_type.name} steps"
                if guess := guess_for(field.alias or name, step.unknown):
                    message += f".{guess}"
                problems[field_name([*place, name])] = [message]
            else:
                problems |= field_messages([item], place)
    if problems:
        raise ValidationFailed.of_fields(problems)
    checked = config.model_dump(mode="json", exclude_none=True)
    # A secret that has not changed stays as it is stored: sealed anew it would look like a change.
    unchanged = {name for name in secret_fields(model) if name in kept and kept[name] == checked.get(name)}
    return seal_fields(model, checked, box) | {name: stored.config[name] for name in unchanged if stored}


def shown_fields(step: ScheduleStep, box: SecretBox) -> dict[str, Any]:
    """Returns what the API shows of a step, by attribute name: its own fields, secrets masked, and those that all have."""
    step_type = step_types().get(step.step_type)
    config = mask_fields(step_type.config_model, step.config, box) if step_type else {}
    return config | {name: getattr(step, name) for name in StepFieldsOut.model_fields}


def show_step(step: ScheduleStep, box: SecretBox) -> StepOut:
    """Returns a step as the API shows it: every documented field, secrets masked."""
    return StepOut.model_validate(dict.fromkeys(StepOut.model_fields) | shown_fields(step, box))
