"""Which stored step a step of a file is, and what is said of the difference."""

from typing import Any, cast

import pytest

from api.models.schedules import ScheduleChange, ScheduleOut, StepFields
from cli.client import ApiClient, ApiKey, ScheduleDetail
from cli.definitions import Directory, Document
from cli.difference import READ_ONLY, STEP_DEFAULTS, complete_steps, schedule_changes, secrets_in_steps

MASKED = "postgresql://u:***@db/x"
PLAIN: dict[str, Any] = {
    "id": None,
    "stepIndex": 0,
    "name": None,
    "executionMode": "Sequential",
    "stepType": "Executable",
    "continueOnFailure": False,
    "timeoutSeconds": None,
    "maxAttempts": 1,
    "connectedSystemId": None,
    "runProfileId": None,
    "executablePath": None,
    "sqlConnectionString": None,
}


def stored(*steps: dict[str, Any], **fields: Any) -> ScheduleDetail:
    """A schedule as the API shows it; the ids of its steps are their places, from `a`."""
    shown = [{**PLAIN, "id": chr(ord("a") + place), **step} for place, step in enumerate(steps)]
    return cast("ScheduleDetail", {"patternType": "SpecificTimes", "cronExpression": "x", **fields, "steps": shown})


def ids(schedule: ScheduleDetail, *steps: dict[str, Any]) -> list[str | None]:
    document = complete_steps(Document({"steps": [Document(step) for step in steps]}), schedule)
    return [step.get("id") for step in document["steps"]]


def changes(before: ScheduleDetail, after: ScheduleDetail) -> list[str]:
    return schedule_changes(before, after, Directory(ApiClient("http://nobody", ApiKey(None, "x"))))


def test_the_fields_that_are_not_compared_are_those_that_no_request_takes() -> None:
    shown = {field.alias for field in ScheduleOut.model_fields.values()}
    taken = {field.alias for field in ScheduleChange.model_fields.values()}
    assert shown - taken == READ_ONLY


def test_the_defaults_of_a_step_are_those_of_the_api() -> None:
    defaults = {field.alias: field.default for field in StepFields.model_fields.values()}
    assert {name for name, value in defaults.items() if value is not None} | {"maxAttempts"} == STEP_DEFAULTS.keys()
    assert {name: STEP_DEFAULTS[name] for name in STEP_DEFAULTS if name != "maxAttempts"} == {
        name: value for name, value in defaults.items() if value is not None
    }


def test_a_step_is_found_by_its_id_then_by_its_name() -> None:
    schedule = stored({"name": "one"}, {"name": "two"}, {"name": "three"})
    assert ids(schedule, {"name": "three"}, {"ID": "A", "name": "two"}, {"name": "new"}) == ["c", "a", None]


def test_a_name_that_is_there_twice_tells_nothing_but_the_order_does() -> None:
    schedule = stored({"name": "x", "executablePath": "1"}, {"name": "x", "executablePath": "2"})
    second, first = {"name": "x", "executablePath": "2"}, {"name": "x", "executablePath": "1"}
    for step in (first, second):
        step["stepType"] = "Executable"
    assert ids(schedule, second, first) == ["b", "a"]
    assert ids(schedule, {**first, "executablePath": "3"}, first) == ["b", "a"]
    assert ids(schedule, {**first, "executablePath": "3"}, {**second, "executablePath": "4"}) == ["a", "b"]


def test_a_step_without_a_name_is_the_equal_one_then_the_next_of_its_type() -> None:
    schedule = stored(
        {"stepType": "RunProfile", "connectedSystemId": 1}, {"stepType": "RunProfile", "connectedSystemId": 2}, {}
    )
    other = {"connectedSystemId": 3}
    assert ids(schedule, {"connectedSystemId": 2}, other, {"stepType": "executable"}) == ["b", "a", "c"]
    assert ids(schedule, other, other, other, {"name": "named", "stepType": "Executable"}) == ["a", "b", None, None]


def test_a_masked_secret_is_that_of_a_step_with_the_id_or_the_name_and_of_no_other() -> None:
    sql = {"stepType": "SqlScript", "sqlConnectionString": MASKED}
    assert ids(stored(sql, {**sql, "name": "x"}), sql, {**sql, "name": "x"}, {**sql, "id": "a"}) == [None, "b", "a"]


def test_a_step_of_a_file_is_what_stands_there_and_defaults() -> None:
    schedule = stored({"name": "x", "timeoutSeconds": 5, "continueOnFailure": True, "maxAttempts": 3, "stepIndex": 4})
    document = complete_steps(Document({"Steps": [Document({"Name": "x"}), Document({"name": "y"})]}), schedule)
    same, new = document["steps"]
    assert same == {**PLAIN, "id": "a", "name": "x", "stepType": "RunProfile"}
    assert new == {"name": "y"}


@pytest.mark.parametrize("steps", [None, [], "none", [None], [{"name": "x"}, 1]])
def test_what_is_no_list_of_steps_is_left_to_the_api(steps: Any) -> None:
    document = Document({"name": "S", "steps": steps})
    assert complete_steps(document, stored({"name": "x"})) == document


def test_differences_are_told_field_by_field_and_step_by_step() -> None:
    before = stored(
        {"name": "one", "timeoutSeconds": 5},
        {"stepType": "RunProfile", "stepIndex": 1},
        {"name": "three", "stepIndex": 2},
        description=None,
        runTimes="06:00",
        nextRunTime="soon",
    )
    after = stored(description='a "b"', runTimes="06:00", nextRunTime="later")
    one, two, _ = before["steps"]
    after["steps"] = [two, {**one, "timeoutSeconds": None, "stepIndex": 1}, {**PLAIN, "id": "x", "name": "four"}]
    after["cronExpression"] = "derived"
    assert changes(before, before) == []
    assert changes(before, after) == [
        r'description: null -> "a \"b\""',
        "step 2 one (Executable)",
        "  stepIndex: 0 -> 1",
        "  timeoutSeconds: 5 -> null",
        "step 3 four (Executable): added",
        "step 3 three (Executable): removed",
        "order of the steps: 2, 1",
    ]


def test_a_cron_expression_counts_where_it_is_what_was_written() -> None:
    custom = stored(patternType="Custom", cronExpression="0 6 * * *")
    assert changes(custom, {**custom, "cronExpression": "0 7 * * *"}) == ['cronExpression: "0 6 * * *" -> "0 7 * * *"']


def test_secrets_that_are_written_out_over_stored_ones_are_told() -> None:
    schedule = stored({"name": "x", "sqlConnectionString": MASKED}, {"name": "y"})
    steps = [Document({"name": "x", "sqlConnectionString": "postgresql://u:secret@db/x"}), Document({"name": "y"})]
    body = complete_steps(Document({"steps": steps}), schedule)
    assert secrets_in_steps(body, schedule) == ["step 1 x (RunProfile): sqlConnectionString"]
    assert secrets_in_steps(complete_steps(Document({"steps": [schedule["steps"][0]]}), schedule), schedule) == []
