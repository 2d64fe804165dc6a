"""Steps that name a worker pool."""

from typing import Any

from tests.integration.stack import Rota
from worker import build_pool_worker


def on_pool(pool: str | None, **fields: Any) -> dict[str, Any]:
    return {"stepType": "Executable", "executablePath": "/bin/echo", "workerPool": pool} | fields


async def test_the_steps_of_a_pool_run_on_its_workers_alone(rota: Rota) -> None:
    schedule = await rota.create(on_pool("windows", arguments="there"), on_pool(None, stepIndex=1, arguments="here"))
    execution_id = await rota.run(schedule)

    # Nobody serves the pool: the step waits, and after a while says for what.
    waiting = await rota.until(execution_id, lambda execution: bool(execution["steps"][0]["errorMessage"]))
    assert waiting["status"] == "InProgress"
    assert [step["status"] for step in waiting["steps"]] == ["Queued", "Waiting"]
    assert "no worker serves the pool 'windows'" in waiting["steps"][0]["errorMessage"]
    assert "rota worker --pool windows" in waiting["steps"][0]["errorMessage"]

    async with build_pool_worker(rota.temporal, "windows", rota.settings):
        ended = await rota.ended(execution_id)
    assert ended["status"] == "Complete"
    assert [step["outputTail"] for step in ended["steps"]] == ["there\n", "here\n"]
    assert [step["errorMessage"] for step in ended["steps"]] == [None, None]


async def test_a_step_waits_for_a_worker_no_longer_than_it_is_told(rota: Rota) -> None:
    schedule = await rota.create(on_pool("nobody", scheduleToStartSeconds=1, maxAttempts=3))

    ended = await rota.ended(await rota.run(schedule))

    assert ended["status"] == "Failed"
    [step] = ended["steps"]
    assert step["status"] == "Failed"
    assert step["errorMessage"] == "No worker of the pool 'nobody' took the step within 1 s."
    assert (step["attempts"], step["startedAt"]) == (0, None)


async def test_the_fields_are_kept_shown_and_checked(rota: Rota) -> None:
    schedule = await rota.create(on_pool("eu.west-1", scheduleToStartSeconds="60"))
    [step] = schedule["steps"]
    assert (step["workerPool"], step["scheduleToStartSeconds"]) == ("eu.west-1", 60)
    path = f"/api/v1/schedules/{schedule['id']}"

    kept = (await rota.http.put(path, json={"steps": [{"id": step["id"], "name": "x"}]})).json()
    assert kept["steps"][0] == {**step, "name": "x"}
    cleared = (await rota.http.put(path, json={"steps": [{"id": step["id"], "workerPool": None}]})).json()
    assert cleared["steps"][0]["workerPool"] is None
    refused = await rota.http.put(path, json={"steps": [on_pool("a b", scheduleToStartSeconds=0)]})
    assert refused.status_code == 400
    assert set(refused.json()["validationErrors"]) == {"steps[0].workerPool", "steps[0].scheduleToStartSeconds"}
