"""What is accepted of a schedule and may not be meant: fields that nothing knows, steps that share an index."""

from typing import Any
from uuid import uuid4

import pytest

from api.models.schedules import PreviewRequest, ScheduleChange, ScheduleDetailOut, StepOut
from api.services.schedule_warnings import group_warnings, unfired_timetable, unknown_fields, unknown_preview_fields
from catalogue.schedules import ExecutionMode, Schedule, ScheduleStep
from contracts.execution import TriggerType


def warnings(body: dict[str, Any]) -> list[str]:
    return unknown_fields(ScheduleChange.model_validate(body))


def test_unknown_fields_are_named_with_what_they_may_have_been() -> None:
    assert warnings(
        {
            "name": "S",
            "overlapPolicies": "Skip",
            "Colour": "red",
            "steps": [{"stepType": "Executable"}, {"timeoutSecs": 3, "NAME": "two"}, {"timeoutSecs": 4}],
        }
    ) == [
        "overlapPolicies: unknown field, ignored. Did you mean overlapPolicy?",
        "Colour: unknown field, ignored.",
        "steps[1].timeoutSecs: unknown field, ignored in 2 steps. Did you mean timeoutSeconds?",
    ]


def test_an_attribute_name_is_no_field() -> None:
    change = ScheduleChange.model_validate({"steps": [{"step_index": 3}]})
    assert unknown_fields(change) == ["steps[0].step_index: unknown field, ignored. Did you mean stepIndex?"]
    assert (change.steps[0].step_index, change.steps[0].model_fields_set) == (0, set())


def test_what_was_shown_may_be_sent_back() -> None:
    shown = {field.alias or name: None for name, field in ScheduleDetailOut.model_fields.items()}
    step = {field.alias or name: None for name, field in StepOut.model_fields.items()}
    wanted = {"triggerType": "Manual", "patternType": "Custom", "isEnabled": False, "name": "S", "timeZone": "UTC"}
    kept = {"stepIndex": 0, "executionMode": "Sequential", "stepType": "Executable", "continueOnFailure": False}
    assert warnings({**shown, **wanted, "steps": [{**step, **kept}]}) == []


def test_many_unknown_fields_are_told_in_few_lines() -> None:
    said = warnings({f"{'x' * 1000}{number}": 1 for number in range(5000)})
    assert len(said) == 21
    assert said[-1] == "4,980 more unknown fields were ignored."
    assert all(len(line) < 150 for line in said)


def test_a_preview_tells_them_too() -> None:
    body = PreviewRequest.model_validate({"cronExpression": "0 6 * * *", "cuont": 3, "name": "S", "isEnabled": True})
    assert unknown_preview_fields(body) == ["cuont: unknown field, ignored. Did you mean count?"]


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({"cronExpression": "0 6 * * *"}, "cronExpression"),
        ({"daysOfWeek": "1,2", "runTimes": "06:00", "timeZone": "UTC"}, "daysOfWeek, runTimes"),
        ({"intervalValue": 5, "intervalUnit": "Minutes", "runTimes": None}, "intervalValue, intervalUnit"),
        ({"intervalWindowStart": "08:00", "intervalWindowEnd": "09:00"}, "intervalWindowStart, intervalWindowEnd"),
    ],
)
def test_a_timetable_without_a_trigger_type_is_told(sent: dict[str, Any], named: str) -> None:
    [said] = unfired_timetable(Schedule(name="S"), ScheduleChange.model_validate(sent), is_new=False)
    assert said == (
        f"The schedule has a timetable ({named}), but its triggerType is Manual: it never fires. Set triggerType to Cron."
    )
    on_cron = Schedule(name="S", trigger_type=TriggerType.CRON, is_enabled=True)
    assert unfired_timetable(on_cron, ScheduleChange.model_validate(sent), is_new=True) == []


@pytest.mark.parametrize(
    "sent",
    [
        {"triggerType": "Manual", "runTimes": "06:00"},
        {"patternType": "Custom", "timeZone": "Europe/London", "cronExpression": None, "runTimes": ""},
        {"description": "x"},
    ],
)
def test_what_is_meant_to_be_manual_is_not(sent: dict[str, Any]) -> None:
    assert unfired_timetable(Schedule(name="S"), ScheduleChange.model_validate(sent), is_new=True) == []


def test_a_new_schedule_that_is_disabled_by_default_is_told() -> None:
    disabled, sent = Schedule(name="S", trigger_type=TriggerType.CRON), {"triggerType": "Cron", "runTimes": "06:00"}
    body = ScheduleChange.model_validate(sent)
    said = unfired_timetable(disabled, body, is_new=True)
    assert said == ["The schedule is disabled, as isEnabled was not sent: it does not fire. Enable it."]
    assert unfired_timetable(disabled, body, is_new=False) == []
    assert unfired_timetable(disabled, ScheduleChange.model_validate(sent | {"isEnabled": False}), is_new=True) == []


def steps(*placed: tuple[int, str]) -> list[ScheduleStep]:
    return [
        ScheduleStep(
            schedule_id=uuid4(),
            position=position,
            step_index=index,
            execution_mode=ExecutionMode(mode),
            step_type="Executable",
        )
        for position, (index, mode) in enumerate(placed)
    ]


BESIDE = "ParallelWithPrevious"


@pytest.mark.parametrize(
    ("placed", "beginnings"),
    [
        ([(0, "Sequential"), (0, BESIDE), (1, "Sequential")], []),
        ([(0, BESIDE), (0, BESIDE)], []),
        ([(0, "Sequential")] * 3, ["3 steps of stepIndex 0 (the default) are Sequential, and yet run in parallel"]),
        (
            [(0, "Sequential"), (4, "Sequential"), (4, "Sequential"), (4, BESIDE)],
            ["2 steps of stepIndex 4 are Sequential, and yet"],
        ),
        ([(0, "Sequential"), (1, BESIDE)], ["All steps of stepIndex 1 are ParallelWithPrevious"]),
    ],
)
def test_groups_that_may_not_be_meant(placed: list[tuple[int, str]], beginnings: list[str]) -> None:
    said = group_warnings(steps(*placed))
    assert len(said) == len(beginnings)
    assert all(line.startswith(beginning) for line, beginning in zip(said, beginnings, strict=True))


def test_many_such_groups_are_told_in_few_lines() -> None:
    said = group_warnings(steps(*[(index, "Sequential") for index in range(1000)] * 2))
    assert len(said) == 21
    assert said[-1] == "980 more indices are like this."
