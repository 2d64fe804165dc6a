"""Requests that schemathesis makes up from the OpenAPI document: every answer is one that the document allows, none is a
500, and nothing fails behind an answer.
"""

import asyncio
import json
import logging
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Settings
from tests.integration.stack import Rota
from tests.markdown import REPOSITORY

CONFIGURATION = REPOSITORY / "tests" / "data" / "schemathesis.toml"
SYSTEMS = "/api/v1/synchronisation/connected-systems"

# It fails at once, as there is no program that may be run. On the pool it waits for a worker that never comes.
STEP = {"stepType": "Executable", "executablePath": "nothing"}
WAITING = STEP | {"workerPool": "nobody", "stepIndex": 1}
RUN_PROFILE = {"stepType": "RunProfile", "connectedSystemId": 4001, "runProfileId": 5001, "stepIndex": 2}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with which no step can do anything, here or elsewhere, and made-up keys are not counted."""
    scripts = tmp_path / "no scripts"
    scripts.mkdir()
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return settings.model_copy(update={"script_roots": [scripts], "failed_keys_per_minute": 0})


@pytest.mark.timeout(300)
async def test_answers_are_as_documented(rota: Rota, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await fuzz(rota, tmp_path, caplog, "--seed=1", "--max-examples=10")


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_many_answers_are_as_documented(rota: Rota, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # The seed is another each time; a failure shows it.
    await fuzz(rota, tmp_path, caplog, "--max-examples=60")


async def fuzz(rota: Rota, folder: Path, caplog: pytest.LogCaptureFixture, *options: str) -> None:
    """Lets schemathesis test the API; fails with all that it printed where it found something."""
    variables = await populate(rota, folder)
    shutil.copy(CONFIGURATION, folder)
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sysconfig.get_path("scripts")) / "schemathesis"), "--config-file", CONFIGURATION.name),
        *("run", f"{rota.http.base_url}/openapi.json", "--no-color", *options),
        *("--report", "json", "--report-json-path", "report.json"),
        cwd=folder,
        env=os.environ | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    # A request that is refused says little: of each operation some were accepted.
    report: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    accepted = {
        operation: sum(phase["accepted"] for phase in phases.values())
        for operation, phases in report["valid_rates"].items()
    }
    assert len(accepted) == report["operations"]["total"]
    assert [operation for operation, count in accepted.items() if not count] == []


async def populate(rota: Rota, folder: Path) -> dict[str, str]:
    """Creates what requests can be about, writes the lists of ids that the configuration names; returns its variables."""
    systems: list[dict[str, Any]] = [
        {"id": 4000 + n, "name": f"System {n}", "connectorName": "Command", "settings": {"executablePath": "nothing"}}
        for n in range(1, 7)
    ]
    systems[0]["runProfiles"] = [{"id": 5000 + n, "name": f"Run profile {n}"} for n in range(1, 7)]
    assert (await rota.http.post(f"{SYSTEMS}/import", json={"connectedSystems": systems})).is_success
    schedules = [await rota.create(STEP | {"continueOnFailure": True}, WAITING, RUN_PROFILE) for _ in range(12)]
    # A second version for the change history, and a trigger.
    timetable = {"triggerType": "Cron", "daysOfWeek": "1", "runTimes": "06:00", "isEnabled": True}
    for schedule in schedules:
        assert (await rota.http.put(f"/api/v1/schedules/{schedule['id']}", json=timetable)).is_success
    active = [await rota.run(schedules[0]) for _ in range(16)]
    failing = await rota.create(STEP, RUN_PROFILE)
    failed = [await rota.run(failing) for _ in range(4)]
    for execution_id in active:
        await rota.until(execution_id, lambda execution: execution["currentStepIndex"] == 1)
    ended = [await rota.ended(execution_id) for execution_id in failed]
    lists = {
        "schedules": [schedule["id"] for schedule in schedules[:8]],
        "removable-schedules": [schedule["id"] for schedule in schedules[8:]],
        "active": active[:8],
        "cancellable": active[8:],
        "failed": failed,
        "steps": [step["id"] for step in ended[0]["steps"]],
    }
    for name, ids in lists.items():
        (folder / name).write_text("".join(f'"{one}"\n' for one in ids))
    return {"ROTA_API_KEY": rota.http.headers["X-API-Key"], "ENDED_EXECUTION": ended[0]["id"]}
