"""`python -m bench` in earnest, in small: every case works, checks its own work, and nothing is left behind."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.case import find_cases
from tests.markdown import REPOSITORY
from tests.waiting import eventually

# A server, an API and two workers start before anything is measured; a busy machine takes its time.
pytestmark = pytest.mark.timeout(600)

CASES = find_cases()
SLOW = {"H", "I", "J"}
"""H starts a process for each sample; I and J start `rota dev`, J four times."""
UNTESTED = {"F"}
"""It waits for a minute to begin, twice, whatever its size: `make bench` alone runs it."""


async def start(folder: Path, *arguments: str) -> Process:
    """Starts the benchmark with its temporary files in a folder."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "--quick", *arguments),
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
        stdout=PIPE,
        stderr=PIPE,
    )


async def measured(folder: Path, letters: set[str]) -> dict[str, Any]:
    """Runs some cases and returns the report, with what was printed."""
    report = folder / "report.json"
    options = [part for letter in sorted(letters) for part in ("--case", letter)]
    process = await start(folder, *options, "--json", str(report))
    printed, progress = await process.communicate()
    assert process.returncode == 0, progress.decode()
    assert names(folder) == [report.name]
    return {**json.loads(report.read_text()), "printed": printed.decode()}


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def check(report: dict[str, Any], letters: set[str]) -> None:
    assert [case["letter"] for case in report["cases"]] == sorted(letters)
    for case in report["cases"]:
        assert f"### {case['letter']}: {case['title']}\n" in report["printed"]
        assert case["measures"]
        for measure in case["measures"]:
            assert f"| {measure['name']} | {measure['unit']} |" in report["printed"]


async def test_cases_measure(tmp_path: Path) -> None:
    letters = set(CASES) - SLOW - UNTESTED
    report = await measured(tmp_path, letters)

    check(report, letters)
    assert report["versions"]["database"].startswith("sqlite 3.")


@pytest.mark.faults
async def test_slow_cases_measure(tmp_path: Path) -> None:
    check(await measured(tmp_path, SLOW), SLOW)


@pytest.mark.faults
async def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await start(tmp_path, "--case", "A")
    assert process.stderr is not None
    bench = psutil.Process(process.pid)
    while (line := (await process.stderr.readline()).decode()) and not line.startswith("A:"):
        pass
    # The server, the API, two workers, and two stock servers of the case.
    children = await eventually(lambda: asyncio.sleep(0, [*running] if len(running := bench.children()) >= 6 else []))

    process.send_signal(signal.SIGINT)
    _, progress = await process.communicate()

    assert process.returncode == 130
    assert progress.decode().endswith("bench: stopped\n")
    assert not any(child.is_running() for child in children)
    assert names(tmp_path) == []
