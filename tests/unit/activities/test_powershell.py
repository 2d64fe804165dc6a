import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from activities.powershell import PowerShell, PowerShellConfig
from activities.support.marker import MARKER
from activities.support.powershell_errors import powershell_errors
from activities.support.step_type import StepFailure, StepRun
from tests.unit.activities.step_runs import step_run, until, write_program

STAND_IN = Path(__file__).with_name("stand_in_pwsh.py")

needs_powershell = pytest.mark.skipif(shutil.which("pwsh") is None, reason="PowerShell 7 (pwsh) is not installed here")

# Errors as PowerShell 7 writes them: thrown, wrapped, with colours, from a native program, parsing.
THROWN = """\
Exception: /scripts/sync.ps1:2
Line |
   2 |  function Foo { throw "boom" }
     |                 ~~~~~~~~~~~~
     | boom
"""
WRAPPED = """\
Get-JIMSchedule: /scripts/sync.ps1:14
Line |
  14 |  Get-JIMSchedule -Id $id | Where-Object Name -eq 'x'
     |  ~~~~~~~~~~~~~~~~~~~~~~~
     | The term 'Get-JIMSchedule' is not recognized as a name of a cmdlet, function,
     | script file, or executable program. Check the spelling of the name.
"""
COLOURED = "\x1b[31;1mWrite-Error: \x1b[31;1mcould not connect\x1b[0m\n"


class TestErrors:
    def test_the_message_of_an_error_with_a_position_is_its_last_part(self) -> None:
        assert powershell_errors(THROWN) == ["boom"]

    def test_a_wrapped_message_is_one_line(self) -> None:
        (message,) = powershell_errors(WRAPPED)
        assert message == (
            "The term 'Get-JIMSchedule' is not recognized as a name of a cmdlet, function, script file, or executable "
            "program. Check the spelling of the name."
        )

    def test_other_lines_stand_for_themselves_without_colours(self) -> None:
        assert powershell_errors(f"\n{COLOURED}ls: cannot access 'x'\n{THROWN}") == [
            "Write-Error: could not connect",
            "ls: cannot access 'x'",
            "boom",
        ]

    def test_an_error_that_was_cut_is_named_by_its_header(self) -> None:
        assert powershell_errors("\n".join(THROWN.splitlines()[:3])) == ["Exception: /scripts/sync.ps1:2"]

    def test_nothing_is_no_error(self) -> None:
        assert powershell_errors(" \n\x1b[0m\n") == []


class Script:
    """A script for the stand-in, and the attempt that runs it."""

    def __init__(
        self, root: Path, *, arguments: str | None = None, worker: dict[str, Any] | None = None, **work: Any
    ) -> None:
        (root / "sync.ps1").write_text(json.dumps(work))
        self._record = root / "pwsh-record.json"
        # Not under the root: PowerShell is the worker's, not the step's.
        folder = root.parent / f"{root.name}-bin"
        folder.mkdir(exist_ok=True)
        write_program(folder / "pwsh", f'#!/bin/sh\nexec {sys.executable} -IS {STAND_IN} "$@"\n')
        config = PowerShellConfig(script_path="sync.ps1", arguments=arguments)
        context = {"powershell": str(folder / "pwsh"), **(worker or {})}
        self.step: StepRun[Any] = step_run(config, root, **context)

    async def run(self) -> None:
        await PowerShell().run(self.step)

    @property
    def record(self) -> dict[str, Any]:
        return dict(json.loads(self._record.read_text()))


def is_removed(folder: str) -> bool:
    return not Path(folder).parent.exists()


async def test_the_command_line_is_the_one_that_was_measured(tmp_path: Path) -> None:
    script = Script(tmp_path, arguments=r"""-Path C:\New\x -Name 'it''s me' -Flag:$false "" """)
    await script.run()
    assert script.record["argv"] == [
        *("-NoLogo", "-NoProfile", "-NonInteractive", "-File", str(tmp_path / "sync.ps1")),
        *("-Path", r"C:\New\x", "-Name", "it's me", "-Flag:$false", ""),
    ]
    assert script.record["cwd"] == str(tmp_path)
    assert script.record["stdin"] == ""
    assert script.record["ignored"] == [False, False]
    assert (script.step.exit_code, script.step.warning) == (0, None)


async def test_the_environment_is_quiet_and_its_folders_are_removed(tmp_path: Path) -> None:
    own = {"PATH": os.defpath, "HOME": "/home/worker", "LISTED": "x", "TMPDIR": "/elsewhere", "LANG": "de_DE"}
    script = Script(tmp_path, litter=True, worker={"step_environment": own})
    await script.run()
    environment = script.record["environment"]
    temporary, cache = environment.pop("TMPDIR"), environment.pop("XDG_CACHE_HOME")
    assert script.record["folders"] == [True, True]
    assert temporary != cache
    assert is_removed(temporary)
    assert is_removed(cache)
    environment.pop("PWD", None)  # the stand-in's shell adds its own
    environment.pop("LC_CTYPE", None)
    assert environment.pop(MARKER)
    assert environment == {
        "PATH": os.defpath,
        "HOME": "/home/worker",
        "LISTED": "x",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "POWERSHELL_TELEMETRY_OPTOUT": "1",
        "POWERSHELL_UPDATECHECK": "Off",
        "POWERSHELL_DIAGNOSTICS_OPTOUT": "1",
        "DOTNET_EnableDiagnostics": "0",
    }


async def test_an_empty_home_is_none(tmp_path: Path) -> None:
    script = Script(tmp_path, worker={"step_environment": {"PATH": os.defpath, "HOME": ""}})
    await script.run()
    assert "HOME" not in script.record["environment"]


async def test_an_error_with_exit_code_0_is_a_warning_that_names_the_first(tmp_path: Path) -> None:
    script = Script(tmp_path, stdout="done\n", stderr=WRAPPED + THROWN)
    await script.run()
    assert script.step.warning is not None
    assert script.step.warning.startswith(
        "sync.ps1 exited with code 0, but wrote an error: The term 'Get-JIMSchedule' is not recognized",
    )


async def test_blank_lines_on_stderr_are_no_error(tmp_path: Path) -> None:
    script = Script(tmp_path, stderr="\n \n")
    await script.run()
    assert script.step.warning is None


async def test_another_exit_code_is_a_failure_that_names_the_last_error(tmp_path: Path) -> None:
    script = Script(tmp_path, stderr=WRAPPED + THROWN, exit=1)
    with pytest.raises(StepFailure, match=r"^sync\.ps1 exited with code 1: boom$"):
        await script.run()
    assert script.step.exit_code == 1


@pytest.mark.parametrize("on_term", ["default", "exit 0"])
async def test_a_cancelled_run_is_no_success_whatever_its_exit_code(tmp_path: Path, on_term: str) -> None:
    script = Script(tmp_path, stdout="ready\n", hold=True, litter=True, on_term=on_term)
    task = asyncio.create_task(script.run())
    await until(lambda: script.step.output.last_line == "ready")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert script.step.processes_ended == 1
    assert script.step.exit_code is None
    assert is_removed(script.record["environment"]["TMPDIR"])


async def test_without_powershell_the_remedy_is_named(tmp_path: Path) -> None:
    for powershell in ("pwsh-that-is-nowhere", str(tmp_path / "missing" / "pwsh")):
        script = Script(tmp_path, worker={"powershell": powershell})
        with pytest.raises(StepFailure, match=r"^PowerShell is not found: .*ROTA_POWERSHELL"):
            await script.run()


async def test_a_name_of_powershell_is_looked_up_on_the_path(tmp_path: Path) -> None:
    script = Script(tmp_path)
    path = str(Path(script.step.worker.powershell).parent)
    script = Script(tmp_path, worker={"powershell": "pwsh", "step_environment": {"PATH": path}})
    await script.run()
    assert script.step.exit_code == 0


async def test_scripts_and_arguments_that_are_wrong_name_their_fields(tmp_path: Path) -> None:
    cases = {
        ("missing.ps1", None): "scriptPath: no file missing.ps1",
        ("..", None): "scriptPath: .. is outside the script roots",
        ("sync.ps1", "'open"): "arguments: a ' is not closed",
    }
    worker = Script(tmp_path).step.worker
    for (path, arguments), message in cases.items():
        step = step_run(PowerShellConfig(script_path=path, arguments=arguments), tmp_path, powershell=worker.powershell)
        with pytest.raises(StepFailure) as caught:
            await PowerShell().run(step)
        assert str(caught.value).startswith(message)


def test_a_step_without_a_name_is_called_like_its_script() -> None:
    assert PowerShell().display_name({"script_path": "C:\\Scripts\\Sync Users.ps1"}, {}) == "Sync Users.ps1"


# The real PowerShell, where there is one.


class RealScript:
    """A real script, and the attempt that runs it."""

    def __init__(self, root: Path, text: str, arguments: str | None = None) -> None:
        (root / "sync.ps1").write_text(text)
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        config = PowerShellConfig(script_path="sync.ps1", arguments=arguments)
        self.step: StepRun[Any] = step_run(config, root, step_environment=environment)

    async def run(self) -> None:
        await PowerShell().run(self.step)


@needs_powershell
async def test_real_arguments_arrive_as_they_are_written(tmp_path: Path) -> None:
    text = "param($Path, $Name, [switch]$Flag)\n$Path; $Name; $Flag.IsPresent; [Console]::In.ReadToEnd().Length"
    script = RealScript(tmp_path, text, r"""-Path C:\New\x -Name 'it''s $me' -Flag:$false""")
    await script.run()
    assert script.step.output.text().splitlines() == [r"C:\New\x", "it's $me", "False", "0"]


@needs_powershell
async def test_a_real_error_with_exit_code_0_is_a_warning(tmp_path: Path) -> None:
    script = RealScript(tmp_path, "Write-Error 'first thing'\nWrite-Error 'second thing'\n'done'")
    await script.run()
    assert script.step.warning is not None
    assert "first thing" in script.step.warning
    assert "second thing" not in script.step.warning
    assert script.step.output.text().count("\x1b") == 0


@needs_powershell
async def test_a_real_exception_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StepFailure, match=r"^sync\.ps1 exited with code 1: boom$"):
        await RealScript(tmp_path, 'function Foo { throw "boom" }\nFoo').run()


@needs_powershell
async def test_a_real_run_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    script = RealScript(tmp_path, '$p = Start-Process sleep 600 -PassThru\n"$($p.Id)"\nStart-Sleep 600')
    task = asyncio.create_task(script.run())
    await until(lambda: script.step.output.last_line)
    child = psutil.Process(int(script.step.output.last_line or ""))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not child.is_running()
    assert script.step.processes_ended >= 2
