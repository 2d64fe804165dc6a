"""How the change history of a schedule is shown: a table of its versions, and what differs between two."""

import json
from collections.abc import Iterator, Sequence

from rich.console import Console

from cli.client import DiffNode, ScheduleDiff, ScheduleVersion
from cli.console import cell, local_time, plain_table, print_line


def print_versions(console: Console, versions: Sequence[ScheduleVersion]) -> None:
    """Prints a line for each version."""
    if not versions:
        print_line(console, "No change is recorded yet.")
        return
    table = plain_table("Version", "When", "By", "What", "Reason")
    for version in versions:
        table.add_row(
            str(version["version"]),
            local_time(version["when"]),
            cell(version["initiatedByName"] or version["initiatedByType"]),
            cell(version["summary"]),
            cell(version["reason"]),
        )
    console.print(table)


def print_diff(console: Console, diff: ScheduleDiff) -> None:
    """Prints what differs, a line for each field."""
    counts = [
        f"{count} {word}"
        for count, word in (
            (diff["addedCount"], "added"),
            (diff["removedCount"], "removed"),
            (diff["modifiedCount"], "modified"),
        )
        if count
    ]
    head = f"{diff['objectName']}, version {diff['oldVersion']} to {diff['newVersion']}"
    print_line(console, f"{head}: {', '.join(counts) or 'no difference'}")
    for line in _lines(diff["root"]):
        print_line(console, line)


def _lines(node: DiffNode) -> Iterator[str]:
    for child in node["children"]:
        match child["kind"]:
            case "Steps":
                yield from _lines(child)
            case "Step":
                came_or_went = "" if child["change"] == "Modified" else f": {child['change'].lower()}"
                yield f"step {child['name']}{came_or_went}"
                yield from (f"  {line}" for line in _lines(child))
            case _:
                yield _field_line(child, node)


def _field_line(field: DiffNode, parent: DiffNode) -> str:
    name, old, new = field["name"], _shown(field["oldValue"]), _shown(field["newValue"])
    if parent["kind"] == "Steps":
        return "the steps are in another order"
    if parent["change"] != "Modified":
        return f"{name}: {new if field['change'] == 'Added' else old}"
    if field["isSecret"] and old == new:
        return f"{name}: {new} with another secret"
    return f"{name}: {old} -> {new}"


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
