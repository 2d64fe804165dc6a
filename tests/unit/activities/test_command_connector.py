import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from activities.connectors.command import Command, CommandRunProfile, CommandSettings
from activities.support.step_type import StepFailure, StepRun
from tests.unit.activities.step_runs import step_run, until, write_program

SHOW = f"""#!{sys.executable} -IS
import json, os, sys
print(json.dumps([sys.argv[1:], os.path.basename(os.getcwd())]))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "engine").mkdir()
    (tmp_path / "other").mkdir()
    write_program(tmp_path / "show", SHOW)
    return tmp_path


async def run(root: Path, settings: dict[str, Any], profile: dict[str, Any]) -> StepRun[Any]:
    step = step_run(None, root)
    await Command().run(
        step,
        CommandSettings.model_validate({"executablePath": "show", **settings}),
        CommandRunProfile.model_validate(profile),
    )
    return step


@pytest.mark.parametrize(
    ("settings", "profile", "words"),
    [
        ({}, {}, []),
        ({"arguments": "--engine 'a b'"}, {}, ["--engine", "a b"]),
        ({"arguments": "--engine a"}, {"arguments": "import --full"}, ["--engine", "a", "import", "--full"]),
        ({}, {"arguments": "import"}, ["import"]),
    ],
)
async def test_a_profile_s_arguments_follow_the_system_s(
    root: Path,
    settings: dict[str, Any],
    profile: dict[str, Any],
    words: list[str],
) -> None:
    step = await run(root, settings, profile)
    assert json.loads(step.output.text())[0] == words
    assert step.exit_code == 0


async def test_a_profile_s_folder_takes_the_place_of_the_system_s(root: Path) -> None:
    step = await run(root, {"workingDirectory": "engine"}, {})
    assert json.loads(step.output.text())[1] == "engine"
    step = await run(root, {"workingDirectory": "engine"}, {"workingDirectory": "other"})
    assert json.loads(step.output.text())[1] == "other"


async def test_a_quote_that_the_system_s_arguments_open_is_not_closed_by_the_profile_s(root: Path) -> None:
    with pytest.raises(StepFailure, match=r"^arguments: a quote is not closed"):
        await run(root, {"arguments": "'a"}, {"arguments": "b'"})


async def test_the_rules_are_those_of_an_executable_step(root: Path) -> None:
    with pytest.raises(StepFailure, match=r"^executablePath: /bin/true is outside the script roots"):
        await run(root, {"executablePath": "/bin/true"}, {})
    write_program(root / "fail", "#!/bin/sh\necho broken; exit 4\n")
    with pytest.raises(StepFailure, match=r"^fail exited with code 4: broken$"):
        await run(root, {"executablePath": "fail"}, {})


async def test_a_cancel_ends_the_run(root: Path) -> None:
    write_program(root / "stay", "#!/bin/sh\necho ready\nsetsid sleep 600\n")
    step = step_run(None, root)
    task = asyncio.create_task(Command().run(step, CommandSettings(executable_path="stay"), CommandRunProfile()))
    await until(lambda: step.output.last_line == "ready")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert step.processes_ended >= 1
