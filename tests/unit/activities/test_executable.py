import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from activities.executable import Executable, ExecutableConfig
from activities.support.marker import MARKER
from activities.support.step_type import StepFailure, StepRun
from tests.unit.activities.step_runs import step_run, until, write_program

SHOW = f"""#!{sys.executable} -IS
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]))
"""


def executable(root: Path, path: str, *, worker: dict[str, Any] | None = None, **config: Any) -> StepRun[Any]:
    return step_run(ExecutableConfig(executable_path=path, **config), root, **(worker or {}))


async def failure(step: StepRun[Any]) -> StepFailure:
    with pytest.raises(StepFailure) as caught:
        await Executable().run(step)
    return caught.value


async def test_it_runs_where_its_root_is_with_the_step_environment(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    write_program(tmp_path / "bin" / "show", SHOW)
    environment = {"NAME": "value", "LC_ALL": "C.UTF-8"}
    step = executable(
        tmp_path, "bin/show", arguments="""--mode "full sync" '' $HOME""", worker={"step_environment": environment}
    )
    await Executable().run(step)
    words, folder, seen = json.loads(step.output.text())
    assert (words, folder) == (["--mode", "full sync", "", "$HOME"], str(tmp_path))
    assert seen.pop(MARKER)
    assert seen == environment
    assert (step.exit_code, step.processes_ended, step.warning) == (0, 0, None)


async def test_it_runs_in_the_folder_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    write_program(tmp_path / "show", SHOW)
    step = executable(tmp_path, str(tmp_path / "show"), working_directory="work")
    await Executable().run(step)
    assert json.loads(step.output.text())[1] == str(tmp_path / "work")


async def test_another_exit_code_is_a_failure_that_says_what_was_printed_last(tmp_path: Path) -> None:
    write_program(tmp_path / "sync.sh", "#!/bin/sh\necho 'no such user' >&2; echo goodbye; exit 12\n")
    step = executable(tmp_path, "sync.sh")
    assert str(await failure(step)) == "sync.sh exited with code 12: no such user"
    assert step.exit_code == 12
    write_program(tmp_path / "silent.sh", "#!/bin/sh\nexit 1\n")
    assert str(await failure(executable(tmp_path, "silent.sh"))) == "silent.sh exited with code 1"


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (40, "signal 40")])
async def test_a_signal_is_a_failure_that_names_it(tmp_path: Path, number: int, name: str) -> None:
    write_program(tmp_path / "die.sh", f"#!/bin/sh\nkill -{number} $$\n")
    step = executable(tmp_path, "die.sh")
    assert str(await failure(step)) == f"die.sh was killed by {name}"
    assert step.exit_code == -number


async def test_what_cannot_be_run_names_the_field(tmp_path: Path) -> None:
    write_program(tmp_path / "no-line", "echo\n")
    write_program(tmp_path / "bad-line", "#!/missing/interpreter\n")
    cases = {
        "no-line": "executablePath: no-line cannot be run: Exec format error; a script needs",
        "bad-line": "executablePath: bad-line cannot be run: No such file or directory; the interpreter",
        "missing": "executablePath: no program missing",
        "/bin/true": "executablePath: /bin/true is outside the script roots",
        "true": "executablePath: /",
    }
    for path, message in cases.items():
        assert str(await failure(executable(tmp_path, path))).startswith(message)


async def test_bad_arguments_and_folders_name_their_fields(tmp_path: Path) -> None:
    write_program(tmp_path / "ok", "#!/bin/sh\n")
    assert str(await failure(executable(tmp_path, "ok", arguments='"open'))).startswith("arguments: a quote is not")
    outside = await failure(executable(tmp_path, "ok", working_directory=".."))
    assert str(outside).startswith("workingDirectory: .. is outside the script roots")


async def test_what_it_leaves_behind_is_counted(tmp_path: Path) -> None:
    write_program(tmp_path / "leave.sh", "#!/bin/sh\nsetsid sleep 600 &\nsleep 600 &\n")
    step = executable(tmp_path, "leave.sh")
    await Executable().run(step)
    assert (step.exit_code, step.processes_ended) == (0, 2)


async def test_a_cancelled_step_is_ended_and_counted(tmp_path: Path) -> None:
    write_program(tmp_path / "stay.sh", "#!/bin/sh\necho ready\nsleep 600 & sleep 600\n")
    step = executable(tmp_path, "stay.sh")
    task = asyncio.create_task(Executable().run(step))
    await until(lambda: step.output.last_line == "ready")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert step.processes_ended >= 2
    assert step.exit_code is None


def test_fields_have_the_names_and_limits_of_the_documented_api() -> None:
    config = ExecutableConfig.model_validate({"executablePath": "a", "arguments": None, "workingDirectory": "w"})
    assert (config.executable_path, config.arguments, config.working_directory) == ("a", None, "w")
    assert {
        name: next(limit.max_length for limit in field.metadata)
        for name, field in ExecutableConfig.model_fields.items()
    } == {"executable_path": 500, "arguments": 2000, "working_directory": 500}


@pytest.mark.parametrize("path", ["sync.exe", "/opt/engine/sync.exe", "C:\\Engine\\sync.exe"])
def test_a_step_without_a_name_is_called_like_its_file(path: str) -> None:
    assert Executable().display_name({"executable_path": path}, {}) == "sync.exe"
