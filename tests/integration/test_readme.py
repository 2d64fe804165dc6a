"""What the README says to type, typed: its tours against a real `rota dev`, its example of a step type in a real worker."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.tours import Checkout, run_and_check
from tests.markdown import REPOSITORY, Page

# Starts servers and a dozen commands one after the other; a busy machine takes its time.
pytestmark = pytest.mark.timeout(300)

README = Page(REPOSITORY / "README.md")
CURL, CLI = "A tour with curl", "A tour with the command line"
TOUR = [block for block in README.blocks if block.language == "sh" and block.section in {CURL, CLI}]

# What each block of the tours prints, among other things.
PRINTS: dict[str, list[list[str]]] = {
    CURL: [
        [],
        [
            r'"cronExpression": "30 2 \* \* 1-5"',
            r'"nextRunTime": "\d{4}-\d\d-\d\dT0[12]:30:00Z"',
            r'"scriptPath": null',
        ],
        [r"(Queued\n|InProgress\n)+Complete\n\Z"],
        [r'"status": "Complete"', r'"outputTail": "badges: read part 1 of 3\\n', r'"name": "2 in parallel"'],
        [r"\Ahr: read part 1 of 2\nhr: read part 2 of 2\n\Z"],
        [r'"status": "Cancelled"', r'"errorMessage": "Cancelled by user"'],
        [r'"name": "Nightly import"', r'"name": "Slow import"', r'"totalCount": 2', r'"status": "Cancelled"'],
        [r'"code": "VALIDATION_ERROR"', r'"steps\[0\].timeoutSeconds"'],
    ],
    CLI: [
        [r"Nightly import +30 2 \* \* 1-5 Europe/London", r"2 steps in parallel", r"Nightly import: Complete in \d"],
        [
            r"At 01:30, every day \(Europe/London\)",
            r"Sun 2027-03-28 02:00 \+01:00 +2027-03-28 01:00Z +Clocks go forward 60 minutes at 01:00\.",
            r"At 02:30, Monday through Friday \(Europe/London\)",
        ],
        [
            r"schedule Evening export: would be created\n.*\nexit code 3\n",
            r"schedule Evening export: created",
            r"Directory: Failed",
            r"no-such-program\.sh",
            r"exit code 1\n\Z",
        ],
        [r"Reused from execution", r"Evening export: Complete in \d"],
        [r"schedules/evening-export\.yaml\n", r"0 created, 0 changed, 3 unchanged, 0 failed\n\Z"],
        [r"\n2 .* Disabled +Office move\n1 .* Created with 3 steps", r"1 to 2: 1 modified\nisEnabled: true -> false\n"],
        [r"Slow import +(Queued|InProgress)", r"Slow import: Cancelled", r"Output of import\.sh:"],
        [r"\Abadges: read part 1 of 3\n(badges: .*\n){2}\Z"],
        [r"rota_ak_[0-9a-f]{64}\n", r"dashboard\W+Reader", r"Revoked: dashboard"],
        [r"Nightly import: deleted; .*\nSlow import: deleted; .*\nEvening export: deleted; .*\n\Z"],
    ],
}


def test_outside_the_tours_the_readme_says_to_type_make_targets_only() -> None:
    others = [block for block in README.blocks if block.language == "sh" and block not in TOUR]

    assert others
    assert all(line.startswith("make ") for block in others for line in block.text.splitlines())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
async def test_the_tours_print_what_they_should(dev: Checkout) -> None:
    assert [block.section for block in TOUR] == [section for section in PRINTS for _ in PRINTS[section]]
    expected = [patterns for section in PRINTS.values() for patterns in section]

    await asyncio.to_thread(run_and_check, TOUR, expected, dev)


@pytest.fixture
async def extended(tmp_path: Path) -> AsyncIterator[Checkout]:
    """`rota dev` with a copy of `activities/` into which the README's example was dropped, and no other change."""
    [example] = [block for block in README.blocks if block.language == "python"]
    shutil.copytree(REPOSITORY / "activities", tmp_path / "activities", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "activities" / "http_check.py").write_text(example.text + "\n")
    dev = Checkout(tmp_path)  # `python -m` looks in the current folder first
    await dev.start()
    yield dev
    assert await dev.stop() == 0


async def test_the_example_of_a_step_type_works_without_any_other_edit(extended: Checkout, tmp_path: Path) -> None:
    token = "planted-token-0123456789"
    api = f"http://127.0.0.1:{extended.ports[0]}"

    await _is_in_openapi(api)
    await _is_checked(extended, api)
    answered = {"stepType": "HttpCheck", "name": "health", "url": f"{api}/api/v1/health", "bearerToken": token}
    refused = {"stepType": "HttpCheck", "name": "no key", "stepIndex": 1, "url": f"{api}/api/v1/schedules"}
    schedule = await extended.call("POST", "/schedules", {"name": "checks", "steps": [answered, refused]})
    assert [step["bearerToken"] for step in schedule["steps"]] == ["***", None]
    assert [step["expectedStatus"] for step in schedule["steps"]] == [200, 200]
    execution = await extended.ended((await extended.call("POST", f"/schedules/{schedule['id']}/run"))["executionId"])

    health, no_key = execution["steps"]
    assert (health["status"], health["outputTail"]) == ("Completed", f"{api}/api/v1/health answered 200\n")
    assert (no_key["status"], no_key["errorMessage"]) == ("Failed", f"{api}/api/v1/schedules answered 401, not 200")
    assert token not in _stored(extended, "*")
    assert f"{api}/api/v1/health" in _stored(extended, "temporal.db*"), "the histories are not readable in these files"
    listed = await asyncio.to_thread(_step_types, tmp_path)
    assert "Asks a web address." in listed
    assert "expectedStatus" in listed


def _stored(dev: Checkout, pattern: str) -> str:
    """Returns what the catalogue, the server's histories and the logs hold."""
    return "".join(file.read_bytes().decode("latin-1") for file in dev.data_dir.glob(pattern))


def _step_types(folder: Path) -> str:
    return subprocess.check_output([sys.executable, "-m", "cli.main", "step-types", "HttpCheck"], cwd=folder, text=True)


async def _is_in_openapi(api: str) -> None:
    async with httpx.AsyncClient() as http:
        document: dict[str, Any] = (await http.get(f"{api}/openapi.json")).json()
    step = document["components"]["schemas"]["ScheduleStepRequest"]["properties"]
    assert "HttpCheck" in step["stepType"]["enum"]
    assert {"url", "expectedStatus", "bearerToken"} <= step.keys()
    assert step["url"]["description"] == "HttpCheck: Address to ask, with GET."


async def _is_checked(dev: Checkout, api: str) -> None:
    wrong = {"stepType": "HttpCheck", "url": "ftp://example.com", "expectedStatus": 99}
    missing = {"stepType": "HttpCheck"}
    headers = {"X-API-Key": (dev.data_dir / "api-key").read_text().strip()}
    async with httpx.AsyncClient(base_url=api, headers=headers) as http:
        first = await http.post("/api/v1/schedules", json={"name": "wrong", "steps": [wrong]})
        second = await http.post("/api/v1/schedules", json={"name": "wrong", "steps": [missing]})
    assert first.status_code == second.status_code == 400
    assert first.json()["validationErrors"].keys() == {"steps[0].url", "steps[0].expectedStatus"}
    assert second.json()["validationErrors"] == {"steps[0].url": ["URL is required for HttpCheck steps"]}
