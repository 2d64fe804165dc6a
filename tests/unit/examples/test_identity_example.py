"""The identity example: its programs run as its schedule says, its numbers hold, its files are what they claim."""

import base64
import csv
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "identity"
DATA = EXAMPLE / "data"
DAYS = ("day1", "day2")
SCRIPTS = ("export_changes.py", "import_csv.py", "make_data.py", "summary.py", "verify_counts.py")
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

Row = dict[str, Any]
Entry = dict[str, list[str]]


def start(*command: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return output


def run(*command: str | Path) -> str:
    return finish(start(*command))


def project(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.executescript(f"BEGIN;{(EXAMPLE / 'project.sql').read_text('utf-8')}COMMIT;")


def query(database: Path, sql: str) -> list[Row]:
    with closing(sqlite3.connect(database)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql)]


def definition(name: str, places: Mapping[str, Path]) -> Any:
    text = (EXAMPLE / name).read_text("utf-8")
    for placeholder, path in places.items():
        text = text.replace(f"{{{placeholder}}}", str(path))
    return yaml.safe_load(text)


def run_schedule(places: Mapping[str, Path]) -> list[str]:
    """Runs the steps of schedule.yaml, a group at a time, and returns what each printed."""
    systems = {system["name"]: system for system in definition("connected-systems.yaml", places)}
    outputs = []
    for _, group in groupby(definition("schedule.yaml", places)["steps"], key=lambda step: step["stepIndex"]):
        started = []
        for step in group:
            match step["stepType"]:
                case "RunProfile":
                    system = systems[step["connectedSystem"]]
                    [profile] = [each for each in system["runProfiles"] if each["name"] == step["runProfile"]]
                    arguments = [each["settings"].get("arguments", "") for each in (system, profile)]
                    started.append(start(system["settings"]["executablePath"], *shlex.split(" ".join(arguments))))
                case "Executable":
                    started.append(start(step["executablePath"], *shlex.split(step["arguments"])))
                case "SqlScript":
                    assert ROOT / step["sqlScriptPath"] == EXAMPLE / "project.sql"
                    project(Path(step["sqlConnectionString"].removeprefix("sqlite:///")))
                case "PowerShell":
                    assert (ROOT / step["scriptPath"]).is_file()
        outputs += [finish(process) for process in started]
    return outputs


@dataclass
class Run:
    """What one day's run of the schedule left behind."""

    outputs: list[str]
    identities: dict[str, Row]
    changes: dict[str, Row]
    unreadable: list[Row]
    ldif: str
    table: list[dict[str, str]]

    def counts(self) -> dict[str, int]:
        kinds = Counter(change["kind"] for change in self.changes.values())
        return {f"{kind}s": kinds[kind] for kind in ("joiner", "mover", "leaver")}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A blank in the path shows whether every argument is quoted.
    return tmp_path_factory.mktemp("identity sync") / "identity.db"


@pytest.fixture(scope="module")
def runs(database: Path) -> dict[str, Run]:
    found = {}
    for day in DAYS:
        out = database.parent / day
        outputs = run_schedule({"data": DATA / day, "database": database, "out": out})
        with (out / "changes.csv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        found[day] = Run(
            outputs=outputs,
            identities={row["uid"]: row for row in query(database, "SELECT * FROM identity")},
            changes={row["uid"]: row for row in query(database, "SELECT * FROM change")},
            unreadable=query(database, "SELECT * FROM rejected JOIN account ON account.id = rejected.employee_id"),
            ldif=(out / "changes.ldif").read_text("ascii"),
            table=table,
        )
    return found


@pytest.fixture(scope="module")
def verified() -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = json.loads(run(EXAMPLE / "verify_counts.py"))
    return counts


def test_counts_are_those_of_the_independent_reading(runs: dict[str, Run], verified: dict[str, dict[str, int]]) -> None:
    assert {day: each.counts() for day, each in runs.items()} == verified
    assert verified["day1"]["movers"] == verified["day1"]["leavers"] == 0
    assert len({verified["day1"]["joiners"], *verified["day2"].values()}) == 4


def test_readme_states_the_numbers(verified: dict[str, dict[str, int]]) -> None:
    readme = (EXAMPLE / "README.md").read_text("utf-8")
    for day, counts in verified.items():
        assert f"| {day} | {counts['joiners']} | {counts['movers']} | {counts['leavers']} |" in readme


def test_readme_commands_run(tmp_path: Path, verified: dict[str, dict[str, int]]) -> None:
    [commands] = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text("utf-8"), re.DOTALL)
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-euc", commands], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stderr == ""
    for day in DAYS:
        [file] = tmp_path.glob(f"*/{day}/changes.csv")
        assert len(file.read_text("utf-8").splitlines()) == 1 + sum(verified[day].values())


def test_csv_holds_every_change_with_what_changed(runs: dict[str, Run]) -> None:
    for each in runs.values():
        assert {row["uid"]: row["kind"] for row in each.table} == {
            uid: change["kind"] for uid, change in each.changes.items()
        }
        assert all(bool(row["attributes"]) == (row["kind"] == "mover") for row in each.table)
    before, now = runs["day1"].identities, runs["day2"].identities
    for row in runs["day2"].table:
        if row["kind"] == "mover":
            old, new = before[row["uid"]], now[row["uid"]]
            assert row["attributes"].split() == [name for name in new if old[name] != new[name]]


def records(ldif: str) -> Iterator[list[tuple[str, str]]]:
    """Reads LDIF (RFC 2849): each record as its lines, `-` as an empty attribute."""
    assert all(len(line) <= 76 for line in ldif.splitlines())
    version, *blocks = ldif.replace("\n ", "").strip().split("\n\n")
    assert version == "version: 1"
    for block in blocks:
        record = []
        for line in block.split("\n"):
            if line == "-":
                record.append(("", ""))
                continue
            match = re.fullmatch(
                r"([A-Za-z][A-Za-z0-9-]*)(?:: ([!-9;=-~](?:[ -~]*[!-~])?)|:: ([A-Za-z0-9+/]+=*))", line
            )
            assert match, line
            name, plain, encoded = match.groups()
            record.append((name, plain or base64.b64decode(encoded, validate=True).decode("utf-8")))
        yield record


def load(directory: dict[str, Entry], ldif: str) -> None:
    """Does to a directory what an LDAP server does that loads the file."""
    for (first, name), (second, kind), *lines in records(ldif):
        assert (first, second) == ("dn", "changetype")
        if kind == "delete":
            del directory[name]
        elif kind == "add":
            assert name not in directory
            entry = directory[name] = {}
            for attribute, value in lines:
                entry.setdefault(attribute, []).append(value)
        else:
            assert kind == "modify"
            assert lines
            assert lines[-1] == ("", "")
            for ended, group in groupby(lines, key=lambda line: line == ("", "")):
                if not ended:
                    (operation, attribute), *values = group
                    assert operation == "replace"
                    assert {each for each, _ in values} <= {attribute}
                    directory[name].pop(attribute, None)
                    if values:
                        directory[name][attribute] = [value for _, value in values]


def expected_entry(person: Row) -> Entry:
    name = f"{person['given_name']} {person['surname']}"
    manager = person["manager"] and f"uid={person['manager']},ou=people,dc=example,dc=org"
    values = {
        "objectClass": "inetOrgPerson",
        "uid": person["uid"],
        "cn": name,
        "sn": person["surname"],
        "givenName": person["given_name"],
        "mail": person["mail"],
        "ou": person["department"],
        "title": person["title"],
        "l": person["location"],
        "manager": manager,
        "description": person["badge"] and f"Badge {person['badge']}",
        "physicalDeliveryOfficeName": person["building"],
    }
    return {attribute: [value] for attribute, value in values.items() if value}


def test_a_directory_that_loads_the_ldif_files_holds_the_identities(runs: dict[str, Run]) -> None:
    directory: dict[str, Entry] = {}
    for each in runs.values():
        load(directory, each.ldif)
        assert directory == {
            f"uid={uid},ou=people,dc=example,dc=org": expected_entry(person) for uid, person in each.identities.items()
        }
        managers = {name: entry["manager"][0] for name, entry in directory.items() if "manager" in entry}
        assert set(managers.values()) <= directory.keys()
        assert all(name != manager for name, manager in managers.items())


def test_a_person_whose_row_cannot_be_read_stays(runs: dict[str, Run]) -> None:
    [row] = [row for row in runs["day2"].unreadable if row["reason"].endswith("is not a date")]
    uid = row["uid"]
    assert uid not in runs["day2"].changes
    assert runs["day2"].identities[uid] == runs["day1"].identities[uid]
    assert runs["day2"].identities[uid]["manager"]


def test_progress_and_rejected_rows_are_printed(runs: dict[str, Run]) -> None:
    hr = runs["day1"].outputs[0].splitlines()
    assert re.fullmatch(r"250/(\d+) rows", hr[0])
    done, total = re.findall(r"(\d+)/(\d+) rows", "\n".join(hr))[-1]
    assert done == total
    [imported, rejected] = re.findall(r"hr as of 2026-03-02: (\d+) rows imported, (\d+) rejected", "\n".join(hr))[0]
    assert int(imported) + int(rejected) == int(total)
    reasons = [re.sub(r"\d+", "N", line) for line in hr if line.startswith("  line ")]
    assert len(reasons) == int(rejected)
    assert "  line N: employee_id 'TBD' is not of the form E-N" in reasons
    assert "  line N: N cells for N columns" in reasons


def test_summary_is_aligned_and_states_the_counts(runs: dict[str, Run]) -> None:
    for each in runs.values():
        lines = each.outputs[-1].splitlines()
        assert len({len(line) for line in lines if line.startswith("  ")}) == 1
        for label, count in each.counts().items():
            assert any(line.split() == [label, str(count)] for line in lines)


def test_every_step_may_run_again(runs: dict[str, Run], database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "identity.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    changes = "SELECT * FROM change ORDER BY uid"
    run(EXAMPLE / "export_changes.py", copy, tmp_path)
    assert (tmp_path / "changes.ldif").read_text("ascii") == runs["day2"].ldif
    project(copy)
    assert query(copy, changes) == []
    run(EXAMPLE / "export_changes.py", copy, tmp_path)
    assert (tmp_path / "changes.ldif").read_text("ascii") == "version: 1\n"

    # Changes that were not exported are found again.
    run(EXAMPLE / "import_csv.py", "hr", DATA / "day1" / "hr.csv", copy)
    project(copy)
    found = query(copy, changes)
    project(copy)
    assert query(copy, changes) == found != []


def test_parallel_imports_into_a_new_database(tmp_path: Path) -> None:
    for attempt in range(3):
        database = tmp_path / f"{attempt}.db"
        both = [
            start(EXAMPLE / "import_csv.py", system, DATA / "day1" / f"{system}.csv", database)
            for system in ("hr", "badges")
        ]
        assert all("rows imported" in finish(process) for process in both)
        assert query(database, "PRAGMA journal_mode") == [{"journal_mode": "wal"}]
        assert [row["system"] for row in query(database, "SELECT system FROM source ORDER BY system")] == [
            "badges",
            "hr",
        ]


HR_HEADER = "Employee ID;Last name;First name;E-mail;Department;Title;Location;Manager ID;Start date;End date"


@pytest.mark.parametrize(
    ("export", "message"),
    [
        (None, "No such file"),
        (b"", "expected a line 'As of'"),
        (f"As of;02.03.2026\n{HR_HEADER}\n".encode(), "expected a line 'As of'"),
        (f"As of;2026-03-02\n{HR_HEADER}\nE-1;A;B;;;;;;;\n".encode(), "'2026-03-02' is not a date"),
        (f"As of;02.03.2026\n{HR_HEADER[:-9]}\nE-1;A;B;;;;;;\n".encode(), "column End date is missing"),
        (f"As of;02.03.2026\n{HR_HEADER}\nE-1;M\xfcller;B;;;;;;;\n".encode("latin-1"), "can't decode byte 0xfc"),
        (f'As of;02.03.2026\n{HR_HEADER}\nE-1;"A;B;;;;;;;\n'.encode(), "unexpected end of data"),
        (f"As of;02.03.2026\n{HR_HEADER}\n;A;B;;;;;;;\n".encode(), "none of its 1 rows can be read"),
    ],
)
def test_an_unusable_export_is_refused_in_one_line(tmp_path: Path, export: bytes | None, message: str) -> None:
    database, file = tmp_path / "identity.db", tmp_path / "hr.csv"
    if export is not None:
        file.write_bytes(export)
    process = start(EXAMPLE / "import_csv.py", "hr", file, database)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1
    assert message in errors
    assert not database.exists()


@pytest.mark.parametrize("script", ["export_changes.py", "summary.py"])
def test_a_missing_database_is_refused_in_one_line(tmp_path: Path, script: str) -> None:
    database = tmp_path / "missing.db"
    process = start(EXAMPLE / script, database, tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1
    assert "unable to open database file" in errors
    assert not database.exists()


def test_committed_data_is_what_make_data_writes(tmp_path: Path) -> None:
    run(EXAMPLE / "make_data.py", tmp_path)
    written = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*.csv")}
    assert written == {file.relative_to(DATA): file.read_bytes() for file in DATA.rglob("*.csv")}
    assert len(written) == 4


def test_data_has_the_flaws_of_real_exports() -> None:
    for day in DAYS:
        hr = (DATA / day / "hr.csv").read_bytes()
        assert hr.startswith(b"\xef\xbb\xbfAs of;")
        text = hr.decode("utf-8-sig")
        assert not unicodedata.is_normalized("NFC", text)
        for flaw in ('"Buyer; deputy"', '"Operator\nNight Shift"', "\r\n\r\n", "\r\n;;;;", "\u00a0", "\r\ne0", ";n/a;"):
            assert flaw in text
        badges = (DATA / day / "badges.csv").read_text("utf-8")
        for flaw in ('"Müller, ', ", E-0", ",LOST,", ",,active,"):
            assert flaw in badges


def test_schedule_is_complete() -> None:
    schedule = definition("schedule.yaml", {})
    assert (schedule["name"], schedule["triggerType"], schedule["patternType"]) == (
        "Identity sync",
        "Cron",
        "SpecificTimes",
    )
    assert (schedule["daysOfWeek"], schedule["runTimes"], schedule["isEnabled"]) == ("1,2,3,4,5", "06:00", False)
    assert [(step["stepIndex"], step["stepType"]) for step in schedule["steps"]] == [
        (0, "RunProfile"),
        (0, "RunProfile"),
        (1, "SqlScript"),
        (2, "RunProfile"),
        (3, "Executable"),
        (4, "PowerShell"),
    ]
    assert [step.get("executionMode") for step in schedule["steps"][:2]] == ["Sequential", "ParallelWithPrevious"]
    assert all(step["timeoutSeconds"] for step in schedule["steps"])
    named = set()
    for name in ("schedule.yaml", "connected-systems.yaml"):
        named |= set(re.findall(r"\{(\w+)\}", (EXAMPLE / name).read_text("utf-8")))
    assert named == {"data", "database", "out"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_programs(script: str) -> None:
    file = EXAMPLE / script
    assert file.read_text("utf-8").startswith("#!/usr/bin/env python3\n")
    assert os.access(file, os.X_OK)
    assert "usage: " in run(file, "--help")


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="needs PowerShell 7 (pwsh)")
def test_notify_prints_a_line_for_each_kind(runs: dict[str, Run], database: Path, tmp_path: Path) -> None:
    command = ("pwsh", "-NoLogo", "-NoProfile", "-NonInteractive", "-File", EXAMPLE / "notify.ps1", "-Path")
    lines = run(*command, database.parent / "day2" / "changes.csv").splitlines()
    counts = runs["day2"].counts()
    assert {line.split(":")[0].strip() for line in lines} == {f"{count} {kind[:-1]}" for kind, count in counts.items()}
    missing = start(*command, tmp_path / "missing.csv")
    missing.communicate(timeout=60)
    assert missing.returncode == 1
