"""What becomes of a fire that meets an active execution, on a real server with a real worker."""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.ids import trigger_id
from contracts.names import PROCEED
from tests.integration.stack import Rota
from tests.waiting import eventually

EXECUTIONS = "/api/v1/schedule-executions"


@pytest.fixture
def held(rota: Rota) -> Callable[[str], dict[str, Any]]:
    """A step that ends when a file of that name is there."""
    script = rota.script("hold.sh", '#!/bin/sh\nwhile [ ! -e "$1" ]; do sleep 0.05; done\n')
    return lambda name: {"stepType": "Executable", "executablePath": script, "arguments": str(rota.root / name)}


async def yearly(rota: Rota, step: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A schedule that does not fire by itself while a test runs."""
    day = datetime.now(UTC) + timedelta(days=40)
    cron = f"0 6 {day.day} {day.month} *"
    return await rota.create(step, triggerType="Cron", cronExpression=cron, isEnabled=True, **fields)


async def fire(rota: Rota, schedule: dict[str, Any]) -> None:
    # To Temporal two fires of one second are one workflow.
    await asyncio.sleep(1 - time.time() % 1)
    await rota.temporal.get_schedule_handle(trigger_id(uuid.UUID(schedule["id"]))).trigger()


async def fired(rota: Rota, schedule: dict[str, Any]) -> list[dict[str, Any]]:
    """The executions that the trigger has started, oldest first."""
    query = {"scheduleId": schedule["id"], "sortBy": "queuedAt", "sortDescending": "false"}
    listed = (await rota.http.get(EXECUTIONS, params=query)).json()["items"]
    return [execution for execution in listed if execution["initiatedByType"] == "System"]


async def until_fired(rota: Rota, schedule: dict[str, Any], count: int) -> dict[str, Any]:
    """Waits for so many executions of the trigger; returns the latest."""

    async def probe() -> list[dict[str, Any]] | None:
        found = await fired(rota, schedule)
        return found if len(found) == count else None

    found = await eventually(probe)
    assert found
    return found[-1]


async def until_skipped(rota: Rota, schedule: dict[str, Any], count: int) -> dict[str, Any]:
    async def probe() -> dict[str, Any] | None:
        shown: dict[str, Any] = (await rota.http.get(f"/api/v1/schedules/{schedule['id']}")).json()
        return shown if shown["skippedCount"] == count else None

    shown = await eventually(probe)
    assert shown
    return shown


async def running(rota: Rota, execution_id: str) -> None:
    await rota.until(execution_id, lambda execution: execution["status"] == "InProgress")


async def test_a_fire_that_meets_a_run_by_hand_is_skipped_and_counted(
    rota: Rota, held: Callable[[str], dict[str, Any]]
) -> None:
    schedule = await yearly(rota, held("done"))
    by_hand = await rota.run(schedule)
    await running(rota, by_hand)
    before = datetime.now(UTC) - timedelta(seconds=1)

    await fire(rota, schedule)
    await until_skipped(rota, schedule, 1)
    await fire(rota, schedule)
    shown = await until_skipped(rota, schedule, 2)

    assert await fired(rota, schedule) == []
    assert before < datetime.fromisoformat(shown["lastSkippedTime"]) <= datetime.now(UTC)
    assert shown["lastRunTime"] == (await rota.execution(by_hand))["queuedAt"]
    (rota.root / "done").touch()
    await rota.ended(by_hand)
    await fire(rota, schedule)
    ran = await until_fired(rota, schedule, 1)
    assert (await rota.ended(ran["id"]))["status"] == "Complete"
    shown = (await rota.http.get(f"/api/v1/schedules/{schedule['id']}")).json()
    assert (shown["lastRunTime"], shown["skippedCount"]) == (ran["queuedAt"], 2)


async def test_a_fire_that_is_held_back_waits_until_nothing_is_active(
    rota: Rota, held: Callable[[str], dict[str, Any]]
) -> None:
    schedule = await yearly(rota, held("done"), overlapPolicy="BufferOne")
    first = await rota.run(schedule)
    await running(rota, first)
    await fire(rota, schedule)
    waiting = await until_fired(rota, schedule, 1)
    assert waiting["status"] == "Queued"
    shown = await rota.execution(waiting["id"])
    assert shown["errorMessage"] == "Waiting until the execution before has ended."
    await fire(rota, schedule)
    await until_skipped(rota, schedule, 1)
    second = await rota.run(schedule)
    await running(rota, second)

    await rota.http.post(f"{EXECUTIONS}/{first}/cancel")
    await rota.ended(first)
    assert (await rota.execution(waiting["id"]))["status"] == "Queued"
    (rota.root / "done").touch()

    last = await rota.ended(waiting["id"])
    assert last["status"] == "Complete"
    assert (await rota.execution(second))["completedAt"] <= last["startedAt"]
    assert len(await fired(rota, schedule)) == 1
    # It was told, and need not look by itself after half a minute.
    [workflow_id] = [found.id async for found in rota.temporal.list_workflows(f"RotaExecutionId = '{last['id']}'")]
    history = await rota.temporal.get_workflow_handle(workflow_id).fetch_history()
    signals = [event.workflow_execution_signaled_event_attributes.signal_name for event in history.events]
    assert PROCEED in signals


async def test_a_fire_that_is_held_back_can_be_cancelled_and_outlives_its_schedule(
    rota: Rota, held: Callable[[str], dict[str, Any]]
) -> None:
    schedule = await yearly(rota, held("done"), overlapPolicy="BufferOne")
    by_hand = await rota.run(schedule)
    await running(rota, by_hand)
    await fire(rota, schedule)
    waiting = await until_fired(rota, schedule, 1)
    answer = await rota.http.post(f"{EXECUTIONS}/{waiting['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "Cancelled")

    await fire(rota, schedule)
    following = await until_fired(rota, schedule, 2)
    assert (await rota.http.delete(f"/api/v1/schedules/{schedule['id']}")).status_code == 204
    (rota.root / "done").touch()

    assert (await rota.ended(by_hand))["status"] == "Complete"
    assert (await rota.ended(following["id"]))["status"] == "Complete"


async def test_fires_may_run_side_by_side(rota: Rota, held: Callable[[str], dict[str, Any]]) -> None:
    schedule = await yearly(rota, held("done"), overlapPolicy="AllowAll")
    for count in (1, 2):
        await fire(rota, schedule)
        await running(rota, (await until_fired(rota, schedule, count))["id"])
    (rota.root / "done").touch()

    assert {(await rota.ended(run["id"]))["status"] for run in await fired(rota, schedule)} == {"Complete"}
