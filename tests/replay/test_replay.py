"""Histories of the past replay with the workflow of today: what is running during an upgrade goes on."""

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from runtime.temporal import data_converter
from tests.replay.record import HISTORIES, SCENARIOS
from tests.workflow.doubles import strict_runner
from worker import WORKFLOWS

COMMITTED = sorted(path.stem for path in HISTORIES.glob("*.json"))


def test_every_scenario_has_a_committed_history() -> None:
    assert set(SCENARIOS) <= set(COMMITTED), "run: .venv/bin/python -m tests.replay.record"


@pytest.mark.parametrize("name", COMMITTED)
async def test_history_replays(name: str) -> None:
    history = WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())
    replayer = Replayer(workflows=WORKFLOWS, data_converter=data_converter, workflow_runner=strict_runner())

    await replayer.replay_workflow(history)
