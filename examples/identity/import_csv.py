#!/usr/bin/env python3
"""Imports one system's CSV export into its staging table: a full import, in one transaction.

Only the form changes here: blanks, dates, Unicode. What the rows mean (who is the same person, who works here) is
decided in project.sql. A row that cannot be read is rejected with its reason; the others go in.
"""

import argparse
import csv
import re
import sqlite3
import sys
import unicodedata
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

EMPLOYEE_ID = re.compile(r"[E\-. ]*[0-9]+", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How a system writes its export: line 1 says of which day it is (`As of`), line 2 names the columns."""

    delimiter: str
    date_format: str
    columns: dict[str, str]
    """Column of the export -> column of the staging table. Those that end in `_date` hold dates."""
    required: tuple[str, ...]
    """Columns of the staging table that must not be empty."""


LAYOUTS = {
    "hr": Layout(
        delimiter=";",
        date_format="%d.%m.%Y",
        columns={
            "Employee ID": "employee_id", "Last name": "surname", "First name": "given_name", "E-mail": "mail",
            "Department": "department", "Title": "title", "Location": "location", "Manager ID": "manager_id",
            "Start date": "start_date", "End date": "end_date",
        },
        required=("employee_id", "surname"),
    ),
    "badges": Layout(
        delimiter=",",
        date_format="%Y-%m-%d",
        columns={
            "badge_no": "badge", "holder": "holder", "employee_no": "employee_id", "status": "status",
            "issued": "issued_date", "building": "building",
        },
        required=("badge", "employee_id"),
    ),
}  # fmt: skip


def clean(text: str) -> str:
    """Returns the text in Unicode NFC, with one blank for blanks and line breaks inside and none around it."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_date(layout: Layout, text: str) -> str:
    """Returns the date as YYYY-MM-DD."""
    try:
        return datetime.strptime(text, layout.date_format).date().isoformat()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise ValueError(f"'{text}' is not a date") from None


def read_row(layout: Layout, header: list[str], cells: list[str]) -> tuple[dict[str, str | None], str | None]:
    """Returns a row of the staging table, empty cells as None, and the reason to reject it, if there is one."""
    texts = dict(zip(header, map(clean, cells), strict=False))
    row = {column: texts.get(name) or None for name, column in layout.columns.items()}
    if len(cells) != len(header):
        return row, f"{len(cells)} cells for {len(header)} columns"
    for column in layout.required:
        if not row[column]:
            return row, f"{column} is empty"
    if not EMPLOYEE_ID.fullmatch(row["employee_id"] or ""):
        return row, f"employee_id '{row['employee_id']}' is not of the form E-01234"
    for column, text in row.items():
        if text and column.endswith("_date"):
            try:
                row[column] = read_date(layout, text)
            except ValueError as error:
                return row, f"{column} {error}"
    return row, None


def read_export(layout: Layout, export: Path) -> tuple[str, list[str], list[tuple[int, list[str]]]]:
    """Returns the day of the export, its column names, and its rows, each with the line on which it ends."""
    with export.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=layout.delimiter, strict=True)
        lines = [(reader.line_num, cells) for cells in reader if any(map(clean, cells))]
    if len(lines) < 3 or clean(lines[0][1][0]) != "As of":
        raise ValueError("expected a line 'As of', a line with the names of the columns, and rows")
    header = [clean(name) for name in lines[1][1]]
    if missing := [name for name in layout.columns if name not in header]:
        raise ValueError(f"column {', '.join(missing)} is missing")
    return read_date(layout, clean(lines[0][1][-1])), header, lines[2:]


def import_export(system: str, export: Path, database: Path) -> None:
    """Replaces what the staging table holds by what the export says, and prints what became of the rows."""
    layout = LAYOUTS[system]
    as_of, header, lines = read_export(layout, export)
    rows, rejected = [], []
    for count, (line, cells) in enumerate(lines, start=1):
        row, reason = read_row(layout, header, cells)
        if reason:
            rejected.append((system, line, row["employee_id"], reason))
        else:
            rows.append((line, *row.values()))
        if count % 250 == 0 or count == len(lines):
            print(f"{count}/{len(lines)} rows", flush=True)
    if not rows:
        raise ValueError(f"none of its {len(lines)} rows can be read: {rejected[0][-1]}")

    columns = ", ".join(["line", *layout.columns.values()])
    marks = ", ".join("?" * (1 + len(layout.columns)))
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as db:
        with suppress(sqlite3.OperationalError):  # the import beside this one is switching it at this very moment
            db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE IF NOT EXISTS source (system PRIMARY KEY, as_of, rows INTEGER, rejected INTEGER)")
        db.execute("CREATE TABLE IF NOT EXISTS rejected (system, line INTEGER, employee_id, reason)")
        db.execute(f"CREATE TABLE IF NOT EXISTS {system} ({columns})")
        db.execute("DELETE FROM rejected WHERE system = ?", (system,))
        db.execute(f"DELETE FROM {system}")  # noqa: S608 - the names come from LAYOUTS
        db.execute("REPLACE INTO source VALUES (?, ?, ?, ?)", (system, as_of, len(rows), len(rejected)))
        db.executemany("INSERT INTO rejected VALUES (?, ?, ?, ?)", rejected)
        db.executemany(f"INSERT INTO {system} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - as above
        db.execute("COMMIT")

    print(f"{system} as of {as_of}: {len(rows)} rows imported, {len(rejected)} rejected")
    for _, line, _, reason in rejected:
        print(f"  line {line}: {reason}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Imports one system's CSV export into its staging table.")
    parser.add_argument("system", choices=LAYOUTS)
    parser.add_argument("export", type=Path, help="the CSV file")
    parser.add_argument("database", type=Path, help="SQLite database, made where it is missing")
    options = parser.parse_args()
    try:
        import_export(options.system, options.export, options.database)
    except (OSError, ValueError, csv.Error, sqlite3.Error) as problem:
        sys.exit(f"import_csv.py: cannot import {options.export}: {problem}")
