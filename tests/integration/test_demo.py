"""`rota demo`, as `make demo` runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.markdown import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "identity"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder in the repository: the demo's only script root is the folder that it runs in."""
    folder = REPOSITORY / ".rota" / f"test-demo-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(300)
def test_the_demo_runs_both_days_and_its_numbers_are_right(data_dir: Path) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "cli.main", "demo", "--data-dir", data_dir],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    output = demo.stdout

    assert demo.returncode == 0, output
    counted = json.loads(subprocess.check_output([sys.executable, EXAMPLE / "verify_counts.py"]))
    rows = re.findall(r"(day\d)\W+(joiners|movers|leavers)\W+(\d+)\W+\d+\W+(agrees|DIFFERS)", output)
    shown = {day: {kind: int(count) for of, kind, count, _ in rows if of == day} for day, *_ in rows}
    assert shown == counted
    for name in _step_names():
        assert output.count(f"--- {name}: Completed\n") == len(counted)


def _step_names() -> list[str]:
    """Returns what the steps of the example are called, without the one that needs PowerShell where there is none."""
    steps = yaml.safe_load((EXAMPLE / "schedule.yaml").read_text("utf-8"))["steps"]
    return [
        step.get("name") or f"{step['connectedSystem']} - {step['runProfile']}"
        for step in steps
        if step["stepType"] != "PowerShell" or shutil.which("pwsh")
    ]
