"""What a file and the stored schedule or connected system have in common, and where they differ, field by field."""

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

from cli.client import ScheduleDetail
from cli.definitions import Directory, Document, place_of
from runtime.secrets import MASK

READ_ONLY: Final = frozenset(
    {
        "id",
        "lastRunTime",
        "nextRunTime",
        "stepCount",
        "created",
        "lastUpdated",
        "lastExecutionId",
        "lastExecutionStatus",
        "lastExecutionCurrentStepIndex",
        "lastExecutionTotalSteps",
        "lastExecutionCompletedAt",
        "lastExecutionErrorMessage",
        "lastSkippedTime",
        "skippedCount",
        "warnings",
    },
)
"""The fields of a schedule that the API shows and does not take."""

STEP_DEFAULTS: Final = {
    "stepIndex": 0,
    "executionMode": "Sequential",
    "stepType": "RunProfile",
    "continueOnFailure": False,
    "maxAttempts": 1,
}
"""What a step has that says nothing of it; the default of every other field is null."""

Step = Mapping[str, Any]


def holds_mask(step: Step) -> bool:
    """Whether a field of a step is, or may be, a masked secret."""
    return any(map(_is_masked, step.values()))


def complete_steps(document: Document, stored: ScheduleDetail) -> Document:
    """Returns the document of a schedule with its steps whole: the ids of the stored ones that they are, every field.

    A PUT keeps the fields that it leaves out of a step whose id it gives; a step of a file is what stands there, and the
    default of what does not. A file's step is the stored one with its id, else with its name where both have that name
    once, else one that is equal in every field, else the next of its type and name. The last two are not for a step with
    a masked secret: it would get that of a step that nobody named.
    """
    known = {name.lower(): name for name in stored}
    document = Document.at(document.place, {known.get(name.lower(), name): value for name, value in document.items()})
    steps = document.get("steps")
    if not isinstance(steps, list) or not stored["steps"] or not all(isinstance(step, dict) for step in steps):
        return document
    names = {name.lower(): name for name in stored["steps"][0]}
    sent = [
        Document.at(place_of(step).removesuffix(": "), {names.get(key.lower(), key): step[key] for key in step})
        for step in steps
    ]
    unset = dict.fromkeys(stored["steps"][0]) | STEP_DEFAULTS
    whole = [Document.at(step.place, {**unset, **step}) for step in sent]
    pairs = _pair(whole, stored["steps"])
    document["steps"] = [
        Document.at(step.place, step | {"id": pairs[place]["id"]}) if place in pairs else sent[place]
        for place, step in enumerate(whole)
    ]
    return document


def _pair(steps: Sequence[Step], stored: Sequence[Step]) -> dict[int, Step]:
    """Returns, by place, the stored steps that the steps of a file are."""
    pairs: dict[int, Step] = {}
    left = {step["id"]: step for step in stored}

    def pair(key_of: Callable[[Step], Hashable], *, once: bool = False, masked: bool = True) -> None:
        wanted: defaultdict[Hashable, list[int]] = defaultdict(list)
        offered: defaultdict[Hashable, list[Step]] = defaultdict(list)
        for place, step in enumerate(steps):
            if place not in pairs and (masked or not holds_mask(step)):
                wanted[key_of(step)].append(place)
        for step in left.values():
            offered[key_of(step)].append(step)
        for key in (wanted.keys() & offered.keys()) - {None}:
            if once and len(wanted[key]) + len(offered[key]) > 2:
                continue
            for place, step in zip(wanted[key], offered[key], strict=False):
                pairs[place] = left.pop(step["id"])

    pair(lambda step: str(step["id"]).lower() if step["id"] else None)
    pair(lambda step: step["name"], once=True)
    pair(lambda step: json.dumps({**step, "id": None}, sort_keys=True), masked=False)
    pair(lambda step: (str(step["stepType"]).lower(), step["name"]), masked=False)
    return pairs


def schedule_changes(before: ScheduleDetail, after: ScheduleDetail, directory: Directory) -> list[str]:
    """Returns a line for each field that differs, in the words of files; under a line for each step that does.

    Args:
        before: The schedule as it is.
        after: As it would be, or is now; the steps that it still has have their ids.
        directory: Gives run profiles their names.
    """
    fields = [name for name in after if name not in READ_ONLY | {"steps"}]
    if "Custom" not in {before["patternType"], after["patternType"]}:
        # The API derives it from the pattern, which is what differs.
        fields.remove("cronExpression")
    return [*_field_changes(before, after, fields), *_step_changes(before["steps"], after["steps"], directory)]


def _field_changes(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [
        f"{name}: {_shown(before.get(name))} -> {_shown(after.get(name))}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _step_changes(before: Sequence[Step], after: Sequence[Step], directory: Directory) -> Iterator[str]:
    old = {step["id"]: (number, step) for number, step in enumerate(before, 1)}
    new_ids = {step["id"] for step in after}
    for number, step in enumerate(after, 1):
        named = directory.with_names(step)
        if step["id"] not in old:
            yield f"{_label(number, named)}: added"
            continue
        was = directory.with_names(old[step["id"]][1])
        changes = _field_changes(was, named, list({**was, **named}))
        if changes:
            yield _label(number, named)
            yield from (f"  {change}" for change in changes)
    for step_id, (number, step) in old.items():
        if step_id not in new_ids:
            yield f"{_label(number, directory.with_names(step))}: removed"
    order = [step["id"] for step in after if step["id"] in old]
    if order != [step_id for step_id in old if step_id in new_ids]:
        yield f"order of the steps: {', '.join(str(old[step_id][0]) for step_id in order)}"


def _label(number: int, step: Step) -> str:
    name = step["name"]
    if not name and "runProfile" in step:
        name = f"{step['connectedSystem']} - {step['runProfile']}"
    return f"step {number}{f' {name}' if name else ''} ({step['stepType']})"


def secrets_in_steps(document: Mapping[str, Any], stored: ScheduleDetail) -> list[str]:
    """Returns which secrets a document writes out where the stored schedule has some, which nobody can compare.

    Args:
        document: With the ids of the stored steps that its own are.
        stored: The schedule as the API shows it, secrets masked.
    """
    steps = {step["id"]: (number, step) for number, step in enumerate(stored["steps"], 1)}
    sent = document.get("steps")
    return [
        f"{_label(steps[step['id']][0], step)}: {name}"
        for step in (sent if isinstance(sent, list) else [])
        if isinstance(step, dict) and step.get("id") in steps
        for name in _secrets_over(step, steps[step["id"]][1])
    ]


def secrets_in_body(body: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Returns the same of a connected system or run profile, for the body that is to be sent."""
    settings = next((value for name, value in body.items() if name.lower() == "settings"), None)
    if not isinstance(settings, dict):
        return []
    known: dict[str, str] = {name.lower(): name for name in stored["settings"]}
    sent = {known.get(str(name).lower(), str(name)): value for name, value in settings.items()}
    return [f"settings.{name}" for name in _secrets_over(sent, stored["settings"])]


def system_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Returns a line for each field and setting in which two connected systems or run profiles differ."""
    settings = _field_changes(before["settings"], after["settings"], list({**before["settings"], **after["settings"]}))
    fields = [name for name in after if name not in {"settings", "warnings"}]
    return [*_field_changes(before, after, fields), *(f"settings.{line}" for line in settings)]


def _secrets_over(sent: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Returns the fields that are masked where they are stored, and written out where they are sent."""
    return [
        name for name, value in shown.items() if _is_masked(value) and sent.get(name) and not _is_masked(sent[name])
    ]


def _is_masked(value: object) -> bool:
    return isinstance(value, str) and MASK in value
