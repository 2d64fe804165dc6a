"""What differs between two states of a schedule: matched by id, in a tree and in a line."""

from typing import Any
from uuid import UUID

import pytest

from api.models.change_history import ConfigurationDiffNode
from api.services.differences import State, difference, summary


def step(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": str(UUID(int=number)), "stepIndex": 0, "name": f"s{number}"} | fields


def state(*steps: dict[str, Any], **fields: Any) -> State:
    return State({"name": "S", "isEnabled": False, **fields, "steps": list(steps)}, {})


def lines(node: ConfigurationDiffNode, depth: int = 0) -> list[str]:
    values = f" {node.old_value} {node.new_value}" if node.kind == "Field" else ""
    own = f"{'  ' * depth}{node.change} {node.kind} {node.name}{values}"
    return [own, *(line for child in node.children for line in lines(child, depth + 1))]


def test_steps_are_matched_by_id_and_what_is_the_same_is_left_out() -> None:
    before = state(step(1), step(2, timeoutSeconds=5), step(3))
    after = state(step(2, timeoutSeconds=6), step(3), step(4, stepIndex=1), description="d")

    assert lines(difference(before, after)) == [
        "Modified Schedule Schedule",
        "  Added Field description None d",
        "  Modified Steps steps",
        "    Modified Step s2",
        "      Modified Field timeoutSeconds 5 6",
        "    Added Step s4",
        "      Added Field stepIndex None 1",
        "      Added Field name None s4",
        "    Removed Step s1",
        "      Removed Field stepIndex 0 None",
        "      Removed Field name s1 None",
    ]


def test_steps_that_changed_places_say_so_once() -> None:
    before = state(step(1), step(2), step(3, stepIndex=1))
    after = state(step(2), step(1, stepIndex=2), step(3, stepIndex=1, name=None))
    swapped = state(step(2), step(1), step(3, stepIndex=1))

    assert lines(difference(before, after))[2:] == [
        "    Modified Step s1",
        "      Modified Field stepIndex 0 2",
        "    Modified Step Step 1",
        "      Removed Field name s3 None",
    ]
    one, two = str(UUID(int=1)), str(UUID(int=2))
    three = str(UUID(int=3))
    [order] = difference(before, swapped).children[0].children
    assert (order.name, order.kind, order.old_value, order.new_value) == (
        "order",
        "Field",
        [one, two, three],
        [two, one, three],
    )
    assert summary(before, swapped) == "Changed the order of steps"


def test_fields_of_a_step_type_that_is_gone_are_compared_too() -> None:
    changed = difference(state(step(1, goneField=1)), state(step(1, goneField=2)))

    assert lines(changed)[-1] == "      Modified Field goneField 1 2"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (None, state(), "Created with no steps"),
        (state(step(1), step(2)), None, "Deleted with 2 steps"),
        (state(), state(isEnabled=True, timeZone="UTC"), "Changed timeZone, isEnabled"),
        (
            state(step(1), step(2)),
            state(step(1, name="x"), step(3), name="T"),
            "Changed name, 1 step; added 1 step; removed 1 step",
        ),
        (state(step(1)), state(step(2), step(3)), "Added 2 steps; removed 1 step"),
    ],
)
def test_a_change_is_a_line(before: State | None, after: State | None, says: str) -> None:
    assert summary(before, after) == says
