"""RunProfile steps on the double of JIM's API: a real worker, the real server, and a JIM that loses answers."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.testing import ActivityEnvironment

from activities.connectors import jim as connector
from activities.support.continuity import clear_turns
from activities.support.upkeep import Upkeep
from catalogue.engine import Catalogue
from contracts.ids import turn_id
from contracts.upkeep import ExecutionsKept
from runtime.settings import Settings
from runtime.temporal import connect_to
from tests.integration.stack import Rota
from tests.jim.double import JimDouble
from tests.jim.state import RunProfile
from tests.waiting import eventually
from worker import build_worker

TURN = turn_id("jim-run-profile/1/1")
STEP = {"stepType": "RunProfile", "connectedSystemId": 1, "runProfileId": 1}
EXECUTE = ".*/execute"


# What runs a JIM never asks the catalogue: one kind of it is enough.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def server() -> Iterator[JimDouble]:
    with JimDouble() as server:
        yield server


@pytest.fixture
def jim(server: JimDouble, monkeypatch: pytest.MonkeyPatch) -> JimDouble:
    monkeypatch.setattr(connector, "_SETTLING_SECONDS", (0.0, 0.1))
    monkeypatch.setattr(connector, "_SHARE_SECONDS", 0.1)
    server.reset()
    return server


@pytest.fixture
def profile(jim: JimDouble) -> RunProfile:
    return jim.state.add_profile(1, "Full Import", jim.state.add_system(1, "HR"))


async def schedule(rota: Rota, jim: JimDouble, *steps: dict[str, Any]) -> dict[str, Any]:
    """Creates the connected system with its run profile, whose ids are JIM's, and a schedule of these steps."""
    systems = "/api/v1/synchronisation/connected-systems"
    settings = {"url": jim.url, "apiKey": jim.key.secret}
    system = await rota.http.post(systems, json={"name": "HR", "connectorName": "Jim", "settings": settings})
    assert system.status_code == 201, system.text
    assert system.json()["settings"] == {"url": jim.url, "apiKey": "***"}
    profile = await rota.http.post(
        f"{systems}/{system.json()['id']}/run-profiles", json={"name": "Full Import", "runType": "FullImport"}
    )
    assert profile.status_code == 201, profile.text
    assert (system.json()["id"], profile.json()["id"]) == (1, 1)
    return await rota.create(*steps or [STEP])


async def listed_turns(rota: Rota) -> list[WorkflowExecution]:
    """Returns the turns that operators see."""
    return [turn async for turn in rota.temporal.list_workflows("WorkflowType = 'Turn'")]


async def workflows_of(rota: Rota, execution_id: str) -> list[str]:
    return [found.id async for found in rota.temporal.list_workflows(f"RotaExecutionId = '{execution_id}'")]


async def has_turn(rota: Rota) -> bool:
    """Whether some step has the turn at the run profile, which one has had; the server's lists follow later."""
    turn = await rota.temporal.get_workflow_handle(TURN).describe()
    return turn.status is WorkflowExecutionStatus.RUNNING


async def test_the_record_shows_jim_s_activity_and_no_history_its_key(
    rota: Rota, jim: JimDouble, profile: RunProfile
) -> None:
    profile.work.held = True
    profile.work.status, profile.work.warning_message = "CompleteWithWarning", "2 objects skipped"
    execution_id = await rota.run(await schedule(rota, jim))
    running = await rota.until(
        execution_id, lambda execution: (execution["steps"][0]["progress"] or {}).get("done") == 10
    )
    [activity] = jim.state.runs_of(profile)
    [step] = running["steps"]
    assert (step["status"], step["activityId"], step["activityStatus"]) == (
        "Processing",
        str(activity.id),
        "InProgress",
    )
    assert step["progress"] == {"done": 10, "total": 20, "message": "Synchronise (2 of 2)"}
    profile.work.held = False
    ended = await rota.ended(execution_id)
    [step] = ended["steps"]
    assert (ended["status"], step["status"], step["errorMessage"]) == (
        "Complete",
        "Completed with Warning",
        "2 objects skipped",
    )
    assert (step["activityId"], step["activityStatus"]) == (str(activity.id), "CompleteWithWarning")
    assert step["name"] == "HR - Full Import"
    async for workflow in rota.temporal.list_workflows(f"RotaExecutionId = '{execution_id}'"):
        history = await rota.temporal.get_workflow_handle(workflow.id).fetch_history()
        assert jim.key.secret not in history.to_json()


async def test_a_cancel_of_the_execution_cancels_jim_s_run(rota: Rota, jim: JimDouble, profile: RunProfile) -> None:
    profile.work.held = True
    jim.state.cancelled_reads_in_progress_after = 0
    execution_id = await rota.run(await schedule(rota, jim))
    await eventually(lambda: asyncio.sleep(0, [task for task in jim.state.tasks.values() if task.status != "Queued"]))

    answer = await rota.http.post(f"/api/v1/schedule-executions/{execution_id}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "Cancelled")
    assert jim.state.tasks == {}
    [step] = (await rota.execution(execution_id))["steps"]
    assert (step["status"], step["activityStatus"]) == ("Cancelled", "Cancelled")


async def test_a_failed_run_is_run_again_and_a_stopped_worker_s_is_taken_up(
    api: Rota, catalogue: Catalogue, jim: JimDouble, profile: RunProfile
) -> None:
    profile.work.held = True
    profile.work.status = "FailedWithError"
    settings = Settings(**api.settings.model_dump() | {"drain_seconds": 0})
    async with build_worker(api.temporal, catalogue, settings):
        execution_id = await api.run(await schedule(api, jim, STEP | {"maxAttempts": 2}))
        await eventually(lambda: asyncio.sleep(0, jim.state.tasks))
    [first] = jim.state.runs_of(profile)
    assert [task.status for task in jim.state.tasks.values()] == ["Processing"]
    profile.work.held = False
    async with build_worker(api.temporal, catalogue, settings):
        ended = await api.ended(execution_id)
    [step] = ended["steps"]
    assert step["status"] == "Failed"
    second = jim.state.runs_of(profile)[-1]
    assert len(jim.state.runs_of(profile)) == 2
    assert step["activityId"] == str(second.id) != str(first.id)
    assert [(attempt["status"], attempt["isCounted"]) for attempt in step["attemptHistory"]] == [
        ("Failed", False),
        ("Failed", True),
        ("Failed", True),
    ]


async def test_every_step_has_a_run_of_its_own_though_answers_are_lost(
    api: Rota, catalogue: Catalogue, jim: JimDouble, profile: RunProfile
) -> None:
    """Equal runs of one key cannot be told apart in JIM: only the turns that steps take keep them apart."""
    for acted in (True, False, True):
        jim.fail("POST", EXECUTE, lost=True, acted=acted)
    another = await connect_to(api.temporal.service_client.config.target_host)
    async with build_worker(api.temporal, catalogue, api.settings), build_worker(another, catalogue, api.settings):
        parallel = STEP | {"executionMode": "ParallelWithPrevious"}
        plan = await schedule(api, jim, STEP, parallel)
        running = [await api.run(plan) for _ in range(2)]
        executions = [await api.ended(execution_id) for execution_id in running]
    assert [execution["status"] for execution in executions] == ["Complete"] * 2
    shown = [step["activityId"] for execution in executions for step in execution["steps"]]
    assert sorted(shown) == sorted(str(activity.id) for activity in jim.state.runs_of(profile))
    assert len(shown) == 4

    assert not await has_turn(api)


async def test_turns_that_were_given_back_go_from_the_lists_after_a_while(
    rota: Rota, jim: JimDouble, profile: RunProfile
) -> None:
    assert (await rota.ended(await rota.run(await schedule(rota, jim))))["status"] == "Complete"
    assert jim.state.runs_of(profile)
    ended = await rota.temporal.get_workflow_handle(TURN).describe()

    async def is_listed() -> bool:
        return ended.run_id in [turn.run_id for turn in await listed_turns(rota) if turn.close_time]

    await eventually(is_listed)
    # Other tests may have left turns of theirs on this server: how many end is not looked at.
    await clear_turns(rota.temporal, older_than=timedelta(hours=1))
    assert await is_listed()
    await clear_turns(rota.temporal, older_than=timedelta(0))

    async def is_gone() -> bool:
        return not await is_listed()

    await eventually(is_gone)


async def test_the_turn_of_an_execution_that_is_gone_is_taken_over(
    rota: Rota, jim: JimDouble, profile: RunProfile
) -> None:
    jim.fail("POST", EXECUTE, delay=60, acted=True)
    plan = await schedule(rota, jim)
    first = await rota.run(plan)
    await eventually(lambda: asyncio.sleep(0, jim.state.runs_of(profile)))
    [workflow] = await eventually(lambda: workflows_of(rota, first))
    second = await rota.run(plan)
    await rota.until(
        second, lambda execution: "turn" in ((execution["steps"][0]["progress"] or {}).get("message") or "")
    )
    await rota.temporal.get_workflow_handle(workflow).terminate()
    assert (await rota.ended(second))["status"] == "Complete"
    assert len(jim.state.runs_of(profile)) == 2


async def test_the_upkeep_ends_the_turn_of_an_execution_that_is_gone(
    api: Rota, catalogue: Catalogue, jim: JimDouble, profile: RunProfile
) -> None:
    jim.fail("POST", EXECUTE, delay=60, acted=True)
    settings = Settings(**api.settings.model_dump() | {"drain_seconds": 0})
    async with build_worker(api.temporal, catalogue, settings):
        execution_id = await api.run(await schedule(api, jim))
        await eventually(lambda: asyncio.sleep(0, jim.state.runs_of(profile)))
    [workflow] = await eventually(lambda: workflows_of(api, execution_id))
    upkeep = Upkeep(catalogue, api.temporal, api.settings.task_queue)

    async def ended_turns() -> int:
        kept: ExecutionsKept = await ActivityEnvironment().run(upkeep.keep_executions)
        return kept.turns_ended

    async def is_listed() -> bool:
        return WorkflowExecutionStatus.RUNNING in [turn.status for turn in await listed_turns(api)]

    await eventually(is_listed)
    assert await ended_turns() == 0
    await api.temporal.get_workflow_handle(workflow).terminate()
    assert await has_turn(api)
    assert await ended_turns() == 1
    assert not await has_turn(api)
    assert (await api.execution(execution_id))["status"] == "Cancelled"
