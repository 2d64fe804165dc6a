"""Starts that go wrong half-way: either the run is there, or nothing of it is."""

import uuid
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from tests.integration.stack import Rota
from tests.waiting import eventually

TRUE = {"stepType": "Executable", "executablePath": "/bin/true"}


async def executions_of(rota: Rota, schedule: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await rota.http.get("/api/v1/schedule-executions", params={"scheduleId": schedule["id"]})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.mark.parametrize("status", [RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.UNAVAILABLE])
async def test_a_start_that_temporal_refuses_leaves_no_execution(
    api: Rota, monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode
) -> None:
    schedule = await api.create(TRUE)

    async def refused(*_: object, **__: object) -> None:
        raise RPCError("no mapping defined for search attribute", status, b"")

    monkeypatch.setattr(Client, "start_workflow", refused)
    answer = await api.http.post(f"/api/v1/schedules/{schedule['id']}/run")

    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert await executions_of(api, schedule) == []
    assert (await api.http.get(f"/api/v1/schedules/{schedule['id']}")).json()["lastRunTime"] is None


async def test_a_start_whose_answer_is_lost_is_a_run_where_a_worker_has_begun_it(
    rota: Rota, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await rota.create(TRUE)
    start = Client.start_workflow

    async def lost(client: Client, *arguments: Any, **options: Any) -> WorkflowHandle[Any, Any]:
        await start(client, *arguments, **options)

        async def begun() -> bool:
            return any(execution["status"] != "Queued" for execution in await executions_of(rota, schedule))

        await eventually(begun)
        raise RPCError("the answer was lost", RPCStatusCode.DEADLINE_EXCEEDED, b"")

    monkeypatch.setattr(Client, "start_workflow", lost)
    execution_id = await rota.run(schedule)

    assert (await rota.ended(execution_id))["status"] == "Complete"


async def test_a_start_that_is_begun_after_it_was_withdrawn_runs_nothing(
    rota: Rota, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = rota.root / "ran"
    schedule = await rota.create(TRUE | {"executablePath": rota.script("mark.sh", f"#!/bin/sh\ntouch {marker}\n")})
    start = Client.start_workflow
    held: list[tuple[Any, Any]] = []

    async def held_back(_: Client, *arguments: Any, **options: Any) -> None:
        held.append((arguments, options))
        raise RPCError("the answer was lost", RPCStatusCode.DEADLINE_EXCEEDED, b"")

    monkeypatch.setattr(Client, "start_workflow", held_back)
    answer = await rota.http.post(f"/api/v1/schedules/{schedule['id']}/run")
    assert answer.status_code == 503
    [(arguments, options)] = held
    handle = await start(rota.temporal, *arguments, **options)

    assert (await handle.result())["outcome"] == "Ended"
    assert not marker.exists()
    assert await executions_of(rota, schedule) == []


async def test_a_name_may_be_as_long_as_documented_whatever_it_is_made_of(rota: Rota) -> None:
    name = f"{'🦄' * 190}{uuid.uuid4().hex[:10]}"
    schedule = await rota.create(
        TRUE | {"name": "🦄" * 200},
        name=name,
        triggerType="Cron",
        cronExpression="0 0 1 1 *",
        isEnabled=True,
    )

    execution = await rota.ended(await rota.run(schedule))

    assert execution["status"] == "Complete"
    assert execution["scheduleName"] == name
    assert execution["steps"][0]["name"] == "🦄" * 200


async def test_many_failures_make_no_endless_message(rota: Rota) -> None:
    steps = [
        {"stepType": "Executable", "executablePath": f"/bin/missing-{n}", "name": "x" * 190 + str(n)} for n in range(60)
    ]

    execution = await rota.ended(await rota.run(await rota.create(*steps)))

    assert execution["status"] == "Failed"
    assert "and 50 more" in execution["errorMessage"]
    assert len(execution["errorMessage"]) < 10_000
    assert all(step["status"] == "Failed" for step in execution["steps"])
