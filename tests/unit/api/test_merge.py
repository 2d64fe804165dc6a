"""What a PUT leaves out keeps its value, what it sends is taken, whatever is sent and however names are written."""

import random
from typing import Any
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from api.models.schedules import ScheduleChange, StepIn
from api.services.schedules import _take_fields
from api.services.steps import read_steps, show_step
from catalogue.schedules import Schedule, ScheduleStep
from runtime.secrets import SecretBox

BOX = SecretBox("a key of the tests")
WORD = st.text("aé/ -1", min_size=1, max_size=20).filter(str.strip)
CONNECTION = st.builds("postgresql://u:{}@db/x".format, st.text("abc", min_size=1, max_size=8))
STEP: dict[str, st.SearchStrategy[Any]] = {
    "stepIndex": st.integers(0, 1000),
    "name": st.none() | WORD,
    "executionMode": st.sampled_from(["Sequential", "ParallelWithPrevious"]),
    "continueOnFailure": st.booleans(),
    "timeoutSeconds": st.none() | st.integers(1, 86400),
    "maxAttempts": st.integers(1, 10),
}
OWN: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "Executable": {"executablePath": WORD, "arguments": st.none() | WORD, "workingDirectory": st.none() | WORD},
    "PowerShell": {"scriptPath": WORD, "arguments": st.none() | WORD},
    "SqlScript": {"sqlConnectionString": CONNECTION, "sqlScriptPath": WORD},
}
SCHEDULE: dict[str, st.SearchStrategy[Any]] = {
    "name": WORD,
    "description": st.none() | WORD,
    "triggerType": st.sampled_from(["Cron", "Manual"]),
    "patternType": st.sampled_from(["SpecificTimes", "Interval", "Custom"]),
    "daysOfWeek": st.none() | st.just("1,2"),
    "runTimes": st.none() | st.just("06:00"),
    "intervalValue": st.none() | st.integers(1, 59),
    "intervalUnit": st.none() | st.sampled_from(["Minutes", "Hours"]),
    "isEnabled": st.booleans(),
    "overlapPolicy": st.sampled_from(["Skip", "BufferOne", "AllowAll"]),
    "jitterSeconds": st.integers(0, 3600),
}


@st.composite
def a_step_and_its_change(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    kind = draw(st.sampled_from(sorted(OWN)))
    fields = STEP | OWN[kind]
    whole = draw(st.fixed_dictionaries(fields)) | {"stepType": kind}
    return whole, draw(st.fixed_dictionaries({}, optional=fields | {"stepType": st.just(kind)}))


def in_any_case(fields: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Writes names as some client might."""
    return {"".join(chance.choice((c.lower(), c.upper())) for c in name): value for name, value in fields.items()}


def read(body: dict[str, Any], stored: ScheduleStep | None, schedule: Schedule) -> ScheduleStep:
    known = {stored.id: stored} if stored else {}
    [row] = read_steps([StepIn.model_validate(body)], schedule.id, known, BOX)
    return row


def shown(row: ScheduleStep) -> dict[str, Any]:
    return show_step(row, BOX).model_dump(mode="json", by_alias=True)


@settings(max_examples=40, deadline=None)
@given(a_step_and_its_change(), st.randoms(use_true_random=False))
def test_a_step_keeps_what_is_left_out(step: tuple[dict[str, Any], dict[str, Any]], chance: random.Random) -> None:
    whole, change = step
    schedule = Schedule(name="n")
    stored = read(in_any_case(whole, chance), None, schedule)

    changed = read(in_any_case(change | {"id": str(stored.id)}, chance), stored, schedule)
    # A client that sends back all that it was shown, masked secrets too, changes nothing.
    echoed = read(shown(changed), changed, schedule)

    assert changed.id == stored.id
    assert shown(changed) == shown(read(whole | change | {"id": str(stored.id)}, None, schedule))
    assert echoed.model_dump() == changed.model_dump()


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries(SCHEDULE), st.fixed_dictionaries({}, optional=SCHEDULE), st.randoms(use_true_random=False))
def test_a_schedule_keeps_what_is_left_out(
    whole: dict[str, Any], change: dict[str, Any], chance: random.Random
) -> None:
    merged, at_once = Schedule(id=uuid4(), name="n"), Schedule(name="n")
    for body in (whole, change):
        _take_fields(merged, ScheduleChange.model_validate(in_any_case(body, chance)))
    _take_fields(at_once, ScheduleChange.model_validate(whole | change))

    names = set(Schedule.model_fields) - {"id", "created"}
    assert merged.model_dump(include=names) == at_once.model_dump(include=names)
