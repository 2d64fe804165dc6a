"""What the page on migrating says to type, typed: from a double of JIM to a real Rota whose worker then drives it."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Settings
from tests.integration.stack import Rota
from tests.jim.double import JimDouble
from tests.markdown import REPOSITORY, Page

PAGE = Page(REPOSITORY / "docs" / "migrating-from-jim.md")
BLOCKS = [block for block in PAGE.blocks if block.language == "sh"]

# What each block prints, among other things, by the heading under which it stands.
PRINTS = [
    ("Look", [r"schedule Nightly: would be created\n  step 2 Notify", r"\nexit code 3\n\Z"]),
    ("Import", [r"\n4 created, 0 changed", r"7 +HR +Jim", r"Nightly +0 2 \* \* \* +no "]),
    ("Compare", [r"HR - Full import", r"At 02:00", r"\d\d 02:00Z"]),
    ("Try", [r"Nightly: Complete in"]),
    ("Switch", [r'"isEnabled":false', r"Nightly: enabled, next run"]),
    ("Switch", [r"rota_ak_[0-9a-f]{64}\n"]),
    ("Switch", [r"schedules/nightly\.yaml\n"]),
    ("Going back", [r"Nightly: disabled", r'"isEnabled":true']),
]


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'rota.db')}"


@pytest.fixture
def jim(tmp_path: Path) -> Iterator[JimDouble]:
    notify = tmp_path / "notify.sh"
    notify.write_text("#!/bin/sh\necho notified\n")
    notify.chmod(0o755)
    with JimDouble() as jim:
        jim.state.add_profile(40, "Full import", jim.state.add_system(7, "HR"))
        steps: list[dict[str, Any]] = [
            {"connectedSystemId": 7, "runProfileId": 40},
            {"stepIndex": 1, "stepType": "Executable", "name": "Notify", "executablePath": str(notify)},
        ]
        # What a search finds first is not what was meant.
        jim.state.add_schedule("Nightly, by hand", steps[:1])
        jim.state.add_schedule("Nightly", steps, triggerType="Cron", cronExpression="0 2 * * *", isEnabled=True)
        yield jim


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
async def test_the_page_takes_a_schedule_over_and_back(rota: Rota, jim: JimDouble, settings: Settings) -> None:
    assert [block.section for block in BLOCKS] == [section for section, _ in PRINTS]

    printed = await asyncio.to_thread(_run, rota, jim, settings)

    for block, output, (_, patterns) in zip(BLOCKS, printed, PRINTS, strict=True):
        for pattern in patterns:
            assert re.search(pattern, output), f"{pattern} is not what this printed:\n{block.text}\n\n{output}"
    [activity] = jim.state.activities.values()
    assert (activity.profile.id, activity.status) == (40, "Complete")
    [nightly] = [one for one in jim.state.schedules.values() if one["name"] == "Nightly"]
    assert nightly["isEnabled"] is True
    switched = [path for method, path in jim.requests if method == "POST" and path.startswith("/schedules/")]
    assert switched == [f"/schedules/{nightly['id']}/{verb}" for verb in ("disable", "enable")]
    there = (await rota.http.get("/api/v1/schedules")).json()["items"]
    assert [one["isEnabled"] for one in there] == [False, False]


def _run(rota: Rota, jim: JimDouble, settings: Settings) -> list[str]:
    """Runs the page's blocks one after the other in one shell; every command must succeed."""
    parts = [f"{{\n{block.text}\n}} > block-{number}.out 2>&1" for number, block in enumerate(BLOCKS)]
    script = "\n".join(["set -euo pipefail", *parts])
    script = script.replace("https://jim.example.com", jim.url).replace("jim_ak_...", jim.key.secret)
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "ROTA_API_URL": str(rota.http.base_url).rstrip("/"),
        "ROTA_API_KEY": rota.http.headers["X-API-Key"],
        "ROTA_DATABASE_URL": settings.catalogue_url,
    }
    done = subprocess.run(["bash", "-c", script], cwd=rota.root, env=environment, timeout=100, check=False)
    printed = [file.read_text("utf-8") for n in range(len(BLOCKS)) if (file := rota.root / f"block-{n}.out").exists()]
    assert done.returncode == 0, f"this failed:\n{BLOCKS[len(printed) - 1].text}\n\n{printed[-1]}"
    return printed
