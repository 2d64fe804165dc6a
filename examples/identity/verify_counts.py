#!/usr/bin/env python3
"""Counts joiners, movers and leavers from the source files alone, to check the pipeline against.

A second reading of the rules in README.md (their numbers stand at the code): it shares no code and no SQL with the
pipeline. Prints JSON: `{"day1": {"joiners": 3, "movers": 0, "leavers": 0}, ...}`.
"""

import argparse
import csv
import json
import re
import sys
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

# What makes a mover when it differs (rule 9), besides manager, badge and building.
HR_ATTRIBUTES = ("First name", "Last name", "E-mail", "Department", "Title", "Location")


Person = dict[str, Any]


def load(file: Path, delimiter: str) -> tuple[date, list[dict[str, str]]]:
    """Returns the day of an export and its rows (rule 1); what is odd about a row stands under `""`."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = [[plain(cell) for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    (_, day), names, *rows = [row for row in table if "".join(row)]
    as_of = calendar_day(day)
    if as_of is None:
        raise ValueError(f"{file}: '{day}' is not a date")
    return as_of, [
        dict(zip(names, row, strict=False)) | {"": "" if len(row) == len(names) else "another length"} for row in rows
    ]


def plain(cell: str) -> str:
    """Returns a cell as rule 1 has it."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", cell)).strip()


def calendar_day(text: str) -> date | None:
    """Reads 31.12.2026 or 2026-12-31; None for anything else."""
    if european := re.fullmatch(r"(\d\d)\.(\d\d)\.(\d{4})", text):
        text = "-".join(reversed(european.groups()))
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def number(employee_id: str) -> int | None:
    """Returns the number in an employee id (rule 3); None where it is not one."""
    match = re.fullmatch(r"[eE. -]*(\d+)", employee_id, re.ASCII)
    return int(match[1]) if match else None


def readable(row: dict[str, str], required: tuple[str, ...], dates: tuple[str, ...]) -> bool:
    """Tells whether a row whose employee id is one counts (rule 2)."""
    return (
        not row[""]
        and all(row[name] for name in required)
        and all(not row[name] or calendar_day(row[name]) for name in dates)
    )


def badges(folder: Path) -> dict[int, tuple[str, str]]:
    """Returns number and building of each person's badge (rule 6)."""
    found: dict[int, tuple[date, int, str, str]] = {}
    for place, row in enumerate(load(folder / "badges.csv", ",")[1]):
        who = number(row.get("employee_no", ""))
        if who is not None and readable(row, ("badge_no",), ("issued",)) and row["status"].casefold() == "active":
            badge = (calendar_day(row["issued"]) or date.min, place, row["badge_no"], row["building"])
            found[who] = max(badge, found.get(who, badge))
    return {who: badge[2:] for who, badge in found.items()}


def identities(folder: Path, before: dict[int, Person]) -> dict[int, Person]:
    """Returns who has an identity on that day, by number, with their attributes."""
    today, rows = load(folder / "hr.csv", ";")
    unread: set[int] = set()
    contracts: dict[int, list[tuple[bool, date, int, dict[str, str]]]] = {}
    for place, row in enumerate(rows):
        who = number(row.get("Employee ID", ""))
        if who is not None and readable(row, ("Last name",), ("Start date", "End date")):
            start, end = calendar_day(row["Start date"]) or date.min, calendar_day(row["End date"]) or date.max
            contracts.setdefault(who, []).append((start <= today <= end, start, place, row))  # rule 4
        elif who is not None:
            unread.add(who)

    badge_of = badges(folder)
    now: dict[int, Person] = {}
    for who, several in contracts.items():
        active, _, _, row = max(several, key=lambda contract: contract[:3])  # rule 5
        if active:
            now[who] = {name: row[name] for name in HR_ATTRIBUTES}
            now[who]["E-mail"] = row["E-mail"].lower()
            now[who]["manager"] = number(row["Manager ID"])
            now[who]["badge"] = badge_of.get(who)
    for who in (unread - contracts.keys()) & before.keys():  # rule 8
        now[who] = dict(before[who])
    for who, person in now.items():  # rule 7
        if person["manager"] not in now or person["manager"] == who:
            person["manager"] = None
    return now


def verify(data: Path) -> dict[str, dict[str, int]]:
    """Returns the number of changes (rule 9) of each day, the days taken in the order of their folders' names."""
    counts: dict[str, dict[str, int]] = {}
    before: dict[int, Person] = {}
    for folder in sorted(data.glob("day*")):
        now = identities(folder, before)
        counts[folder.name] = {
            "joiners": len(now.keys() - before.keys()),
            "movers": sum(now[who] != before[who] for who in now.keys() & before.keys()),
            "leavers": len(before.keys() - now.keys()),
        }
        before = now
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Counts joiners, movers and leavers from the source files alone.")
    parser.add_argument("data", type=Path, nargs="?", default=Path(__file__).parent / "data", help="has day1, day2")
    try:
        print(json.dumps(verify(parser.parse_args().data)))
    except (OSError, ValueError, KeyError, csv.Error) as problem:
        sys.exit(f"verify_counts.py: cannot count: {problem}")
