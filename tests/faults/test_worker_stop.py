"""A worker that is stopped for a deploy, in the middle of steps."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.dev_process import DevProcess
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.fixture
async def dev(tmp_path: Path) -> AsyncIterator[DevProcess]:
    dev = DevProcess(tmp_path, environment={"ROTA_DRAIN_SECONDS": "1"})
    await dev.start()
    yield dev
    await dev.stop()


def step(folder: Path, name: str, **fields: Any) -> dict[str, Any]:
    """A step that hangs in its first run, and notes each of its runs."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho $$ >> {name}.runs\ntest $(wc -l < {name}.runs) -ge 2 || exec sleep 60\n")
    path.chmod(0o755)
    return {"stepType": "Executable", "executablePath": name, "name": name, "stepIndex": 0, **fields}


async def test_a_stop_in_mid_step_spends_no_attempt_and_fails_what_may_run_once(
    dev: DevProcess, tmp_path: Path
) -> None:
    steps = [
        step(tmp_path, "several", maxAttempts=2),
        step(tmp_path, "once", executionMode="ParallelWithPrevious", continueOnFailure=True),
    ]
    schedule = await dev.call("POST", "/schedules", {"name": "deploy", "steps": steps})
    execution_id = (await dev.call("POST", f"/schedules/{schedule['id']}/run"))["executionId"]
    runs = [tmp_path / f"{each['name']}.runs" for each in steps]

    async def all_run() -> bool:
        return all(path.exists() and path.read_text() for path in runs)

    await eventually(all_run)
    worker = dev.child("worker")
    pids = [int(path.read_text()) for path in runs]
    worker.terminate()  # `rota dev` starts another one when it is gone
    execution = await dev.ended(execution_id)

    assert execution["status"] == "CompleteWithError"
    several, once = execution["steps"]
    cut_short, done = several["attemptHistory"]
    assert (several["status"], several["attempts"]) == ("Completed", 1)
    assert (cut_short["number"], cut_short["isCounted"], cut_short["status"]) == (1, False, "Failed")
    assert (done["number"], done["isCounted"], done["status"]) == (2, True, "Completed")
    message = f"The worker {worker.pid}@{once['host']} was stopped before the step had ended."
    assert cut_short["errorMessage"] == message
    assert (once["status"], once["attempts"], once["errorMessage"]) == ("Failed", 1, message)
    assert [len(path.read_text().split()) for path in runs] == [2, 1]
    assert not any(psutil.pid_exists(pid) for pid in pids)
