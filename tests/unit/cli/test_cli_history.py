"""How the change history of a schedule is shown."""

import io
import re
from typing import Any, cast

from rich.console import Console

from cli.client import DiffNode, ScheduleDiff, ScheduleVersion
from cli.definitions import Document, with_reason
from cli.history import print_diff, print_versions


def console() -> Console:
    return Console(file=io.StringIO(), width=200, record=True, color_system=None)


def lines(shown: Console) -> list[str]:
    return [line.rstrip() for line in shown.export_text().splitlines()]


def node(name: str, kind: str, change: str = "Modified", *children: DiffNode, **fields: Any) -> DiffNode:
    plain = {"name": name, "kind": kind, "change": change, "isSecret": False, "oldValue": None, "newValue": None}
    return cast("DiffNode", plain | {"children": list(children)} | fields)


def test_a_difference_is_a_line_for_each_field() -> None:
    masked = "postgresql://u:***@db/hr"
    root = node(
        "Schedule",
        "Schedule",
        "Modified",
        node("description", "Field", "Removed", oldValue="old\x1b[2J"),
        node(
            "steps",
            "Steps",
            "Modified",
            node("HR", "Step", "Modified", node("sql", "Field", isSecret=True, oldValue=masked, newValue=masked)),
            node("Report", "Step", "Added", node("stepIndex", "Field", "Added", newValue=1)),
            node("order", "Field", oldValue=["a", "b"], newValue=["b", "a"]),
        ),
    )
    diff = {"objectName": "S", "oldVersion": 1, "newVersion": 3, "root": root}
    counts = {"addedCount": 1, "removedCount": 1, "modifiedCount": 2, "hasChanges": True}
    shown = console()

    print_diff(shown, cast("ScheduleDiff", diff | counts))

    assert lines(shown) == [
        "S, version 1 to 3: 1 added, 1 removed, 2 modified",
        'description: "old\\u001b[2J" -> null',
        "step HR",
        f'  sql: "{masked}" with another secret',
        "step Report: added",
        "  stepIndex: 1",
        "the steps are in another order",
    ]


def test_a_version_is_a_row() -> None:
    version = {
        "version": 2,
        "operation": "Update",
        "initiatedByType": "ApiKey",
        "initiatedByName": "ops [x]",
        "when": "2026-08-03T06:00:00Z",
        "reason": None,
        "summary": "Changed description",
    }
    shown, empty = console(), console()

    print_versions(shown, [cast("ScheduleVersion", version)])
    print_versions(empty, [])

    head, row = lines(shown)
    assert head.split() == ["Version", "When", "By", "What", "Reason"]
    assert re.fullmatch(r"2 +2026-08-0\d \S+ \S+ +ops \[x\] +Changed description +-", row)
    assert lines(empty) == ["No change is recorded yet."]


def test_a_given_reason_goes_before_that_of_the_file() -> None:
    document = Document.at("a.yaml:1", {"name": "S", "ChangeReason": "file"})

    assert with_reason(document, None) is document
    assert with_reason(document, "given") == {"name": "S", "changeReason": "given"}
    assert with_reason(document, "given").place == "a.yaml:1"
