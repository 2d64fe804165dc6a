"""The step types and connectors that Rota brings pass its own conformance kit."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from activities.connectors.command import Command
from activities.connectors.jim import Jim
from activities.executable import Executable
from activities.powershell import PowerShell
from activities.sql_script import SqlScript
from activities.support.conformance import (
    ConnectorConformance,
    StepTypeConformance,
    Trial,
    Trials,
    default_worker,
)
from activities.support.worker_context import WorkerContext
from tests.jim.double import JimDouble

STAND_IN = Path(__file__).parents[1] / "unit" / "activities" / "stand_in_pwsh.py"


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return name


def programs(folder: Path) -> dict[str, str]:
    """Writes programs that succeed, fail, hang with a child in a session of its own, and print 2 MB."""
    return {
        "succeeds": program(folder, "succeeds", "echo done"),
        "fails": program(folder, "fails", "echo broken >&2; exit 3"),
        "hangs": program(folder, "hangs", "setsid sleep 600 & echo begun; sleep 600"),
        "floods": program(folder, "floods", "head -c 2000000 /dev/zero | tr '\\0' x"),
    }


def trials(by_name: dict[str, Trial]) -> Trials:
    return Trials(
        succeeds=by_name["succeeds"], fails=by_name["fails"], hangs=by_name["hangs"], floods=by_name["floods"]
    )


class TestExecutable(StepTypeConformance):
    step_type = Executable()

    def trials(self, folder: Path) -> Trials:
        return trials({name: Trial({"executablePath": path}) for name, path in programs(folder).items()})


class TestCommand(ConnectorConformance):
    connector = Command()

    def trials(self, folder: Path) -> Trials:
        return trials({name: Trial({}, system={"executablePath": path}) for name, path in programs(folder).items()})


class TestJim(ConnectorConformance):
    connector = Jim()

    by_name: ClassVar[dict[str, JimDouble]]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _jims(cls) -> Iterator[None]:
        """One JIM for each kind of end: a run profile has no settings that could tell them apart."""
        with JimDouble() as succeeds, JimDouble() as fails, JimDouble() as hangs:
            cls.by_name = {"succeeds": succeeds, "fails": fails, "hangs": hangs}
            for jim in cls.by_name.values():
                jim.state.add_profile(1, "Full Import", jim.state.add_system(1, "HR"))
            fails.state.profiles[1].work.status = "FailedWithError"
            hangs.state.profiles[1].work.held = True
            yield

    def trials(self, folder: Path) -> Trials:
        del folder
        jims = self.by_name
        known = {name: Trial({}, system={"url": jim.url, "apiKey": jim.key.secret}) for name, jim in jims.items()}
        return Trials(
            succeeds=known["succeeds"],
            fails=known["fails"],
            fails_for_good=Trial({}, system={"url": jims["succeeds"].url, "apiKey": "jim_ak_unknown"}),
            hangs=replace(known["hangs"], has_begun=lambda: bool(jims["hangs"].state.tasks)),
            is_left_over=lambda: bool(jims["hangs"].state.tasks),
        )


class TestPowerShell(StepTypeConformance):
    """With the stand-in for PowerShell: it shows what Rota does, not what PowerShell does."""

    step_type = PowerShell()

    def worker(self, folder: Path) -> WorkerContext:
        (folder / "pwsh").write_text(f'#!/bin/sh\nexec {sys.executable} -I {STAND_IN} "$@"\n')
        (folder / "pwsh").chmod(0o755)
        return replace(
            default_worker(folder), powershell=str(folder / "pwsh"), step_environment={"PATH": os.environ["PATH"]}
        )

    def trials(self, folder: Path) -> Trials:
        scripts = {
            "succeeds": {"stdout": "done\n"},
            "fails": {"stderr": "boom\n", "exit": 3},
            "hangs": {"stdout": "begun\n", "hold": True},
            "floods": {"stdout": "x" * 2_000_000},
        }
        for name, script in scripts.items():
            (folder / f"{name}.ps1").write_text(json.dumps(script))
        return trials({name: Trial({"scriptPath": f"{name}.ps1"}) for name in scripts})


class TestSqlScript(StepTypeConformance):
    step_type = SqlScript()

    def trials(self, folder: Path) -> Trials:
        endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n"
        scripts = {"succeeds": "create table if not exists p (a)", "wrong": "select * from nowhere", "hangs": endless}
        for name, script in scripts.items():
            (folder / f"{name}.sql").write_text(f"{script};\n")
        file = f"sqlite:///{folder / 'hr.db'}"
        # Nothing listens there: a server that is away may be back for the next attempt.
        away = "postgresql://rota:S3cret-canary@127.0.0.1:1/hr"
        return Trials(
            succeeds=Trial({"sqlConnectionString": file, "sqlScriptPath": "succeeds.sql"}),
            fails=Trial({"sqlConnectionString": away, "sqlScriptPath": "succeeds.sql"}),
            fails_for_good=Trial({"sqlConnectionString": file, "sqlScriptPath": "wrong.sql"}),
            hangs=Trial({"sqlConnectionString": file, "sqlScriptPath": "hangs.sql"}),
        )
