#!/usr/bin/env python3
"""Exports the changes of this run: `changes.ldif` for a directory server, `changes.csv` for people and scripts.

Marks the state as exported when both files are complete, so that the next run counts from it. May be run again: it
writes the same files until project.sql has run once more.
"""

import argparse
import base64
import csv
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

BASE = "ou=people,dc=example,dc=org"
CSV_COLUMNS = (
    "kind", "uid", "given_name", "surname", "mail", "department", "title", "location", "manager", "badge", "building",
    "attributes",
)  # fmt: skip
CHANGES = """
SELECT change.kind, change.attributes, identity.* FROM change JOIN identity USING (uid) WHERE kind <> 'leaver'
UNION ALL
SELECT change.kind, change.attributes, identity_previous.* FROM change JOIN identity_previous USING (uid)
WHERE kind = 'leaver'
ORDER BY kind, uid
"""


def distinguished_name(uid: str) -> str:
    """Returns the name of a person's entry; a uid needs no escaping."""
    return f"uid={uid},{BASE}"


def directory_entry(person: sqlite3.Row) -> dict[str, str]:
    """Returns a person's attributes as an inetOrgPerson has them (RFC 2798), without those that are empty."""
    name = " ".join(part for part in (person["given_name"], person["surname"]) if part)
    attributes = {
        "cn": name,
        "sn": person["surname"],
        "givenName": person["given_name"],
        "mail": person["mail"],
        "ou": person["department"],
        "title": person["title"],
        "l": person["location"],
        "manager": person["manager"] and distinguished_name(person["manager"]),
        "description": person["badge"] and f"Badge {person['badge']}",
        "physicalDeliveryOfficeName": person["building"],
    }
    return {attribute: value for attribute, value in attributes.items() if value}


def ldif_line(attribute: str, value: str) -> str:
    """Returns one attribute as LDIF: base64 unless it is a SAFE-STRING, folded after 76 characters (RFC 2849)."""
    safe = value.isascii() and value.isprintable() and value[0] not in " :<" and value[-1] != " "
    line = f"{attribute}: {value}" if safe else f"{attribute}:: {base64.b64encode(value.encode()).decode()}"
    return "\n ".join([line[:76], *(line[start : start + 75] for start in range(76, len(line), 75))])


def ldif_record(person: sqlite3.Row, previous: sqlite3.Row | None) -> list[str]:
    """Returns the lines of one change record."""
    lines = [ldif_line("dn", distinguished_name(person["uid"]))]
    now = directory_entry(person)
    if person["kind"] == "joiner":
        lines += ["changetype: add", "objectClass: inetOrgPerson", f"uid: {person['uid']}"]
        return lines + [ldif_line(attribute, value) for attribute, value in now.items()]
    if person["kind"] == "leaver" or previous is None:
        return [*lines, "changetype: delete"]
    was = directory_entry(previous)
    lines.append("changetype: modify")
    for attribute in sorted(now.keys() | was.keys()):
        if now.get(attribute) != was.get(attribute):
            # Replacing by no value at all removes the attribute.
            values = [ldif_line(attribute, now[attribute])] if attribute in now else []
            lines += [f"replace: {attribute}", *values, "-"]
    return lines


def export(database: Path, out: Path) -> None:
    """Writes both files, prints the number of changes by kind, and marks the state as exported.

    Without any change the LDIF file holds its version line alone, the CSV file its column names.
    """
    out.mkdir(parents=True, exist_ok=True)
    # mode=rw: a database that is not there is an error, not a new one.
    uri = f"{database.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        db.execute("BEGIN IMMEDIATE")
        changes = db.execute(CHANGES).fetchall()
        previous = {row["uid"]: row for row in db.execute("SELECT * FROM identity_previous")}

        records = [["version: 1"]]
        for kind in ("joiner", "mover", "leaver"):
            records += [ldif_record(row, previous.get(row["uid"])) for row in changes if row["kind"] == kind]
        ldif, table = out / "changes.ldif.part", out / "changes.csv.part"
        ldif.write_text("\n\n".join("\n".join(record) for record in records) + "\n", encoding="ascii", newline="\n")
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(CSV_COLUMNS)
            writer.writerows([row[column] for column in CSV_COLUMNS] for row in changes)
        for part in (ldif, table):
            part.replace(part.with_suffix(""))

        db.execute("DELETE FROM exported")
        db.execute("INSERT INTO exported SELECT as_of FROM source WHERE system = 'hr'")
        db.execute("COMMIT")

    counts = Counter(row["kind"] for row in changes)
    for kind in ("joiner", "mover", "leaver"):
        print(f"{counts[kind]:5} {kind}{'' if counts[kind] == 1 else 's'}")
    print(f"written: {out / 'changes.ldif'}, {out / 'changes.csv'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Exports the changes of this run as LDIF and CSV.")
    parser.add_argument("database", type=Path)
    parser.add_argument("out", type=Path, help="folder for changes.ldif and changes.csv")
    options = parser.parse_args()
    try:
        export(options.database, options.out)
    except (OSError, sqlite3.Error) as problem:
        sys.exit(f"export_changes.py: cannot export the changes in {options.database}: {problem}")
