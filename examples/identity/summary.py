#!/usr/bin/env python3
"""Prints what this run found and did, as aligned text."""

import argparse
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

COUNTS = {
    "Sources": {
        "rows of HR imported": "SELECT count(*) FROM hr",
        "rows of HR rejected": "SELECT count(*) FROM rejected WHERE system = 'hr'",
        "badges imported": "SELECT count(*) FROM badges",
        "badges rejected": "SELECT count(*) FROM rejected WHERE system = 'badges'",
    },
    "People": {
        "people in HR": "SELECT count(*) FROM person",
        "duplicate rows of HR merged": "SELECT (SELECT count(*) FROM hr) - (SELECT count(*) FROM person)",
        "gone, or not here yet": "SELECT count(*) FROM person WHERE NOT active",
        "kept, as their rows are unreadable": "SELECT count(*) FROM identity WHERE uid NOT IN (SELECT uid FROM person)",
        "identities": "SELECT count(*) FROM identity",
        "identities without a badge": "SELECT count(*) FROM identity WHERE badge IS NULL",
        "badge holders unknown in HR": "SELECT count(*) FROM holder WHERE uid NOT IN (SELECT uid FROM person)",
    },
    "Identities without a manager": {
        reason: f"SELECT count(*) FROM missing_manager WHERE reason = '{reason}'"  # noqa: S608 - the words below
        for reason in ("none named", "unknown in HR", "not active", "names the person itself", "row unreadable")
    },
    "Changes": {
        f"{kind}s": f"SELECT count(*) FROM change WHERE kind = '{kind}'"  # noqa: S608 - the words below
        for kind in ("joiner", "mover", "leaver")
    },
}


def summarise(database: Path, out: Path) -> None:
    """Prints the counts, and the files of the export in the folder `out` with their sizes."""
    # mode=ro: a database that is not there is an error, not a new one.
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as db:
        [as_of] = db.execute("SELECT as_of FROM source WHERE system = 'hr'").fetchone()
        sections = {
            title: [(label, db.execute(query).fetchone()[0]) for label, query in counts.items()]
            for title, counts in COUNTS.items()
        }
    sections[f"Bytes in {out}"] = [(file.name, file.stat().st_size) for file in sorted(out.glob("changes.*"))]

    width = max(len(label) for rows in sections.values() for label, _ in rows)
    print(f"Identity sync as of {as_of}")
    for title, rows in sections.items():
        print(f"\n{title}")
        for label, number in rows:
            print(f"  {label:<{width}}  {number:>9,}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prints what this run found and did.")
    parser.add_argument("database", type=Path)
    parser.add_argument("out", type=Path, help="folder with changes.ldif and changes.csv")
    options = parser.parse_args()
    try:
        summarise(options.database, options.out)
    except (OSError, sqlite3.Error) as problem:
        sys.exit(f"summary.py: cannot summarise {options.database}: {problem}")
