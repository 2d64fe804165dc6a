"""Triggers through outages, wiped servers and hands in the Web UI, on a whole `rota dev`."""

import asyncio
import contextlib
import sysconfig
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError

from contracts.ids import trigger_id
from contracts.names import SEARCH_OUTCOME
from runtime.temporal import connect_to
from tests.faults.dev_process import DevProcess
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(420)]

MINUTE = timedelta(minutes=1)
_SCHEDULED_START = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
_OUTCOME = SearchAttributeKey.for_keyword(SEARCH_OUTCOME)


@pytest.fixture
async def dev(tmp_path: Path) -> AsyncIterator[DevProcess]:
    dev = DevProcess(tmp_path, environment={"ROTA_UPKEEP_SECONDS": "2", "ROTA_SCRIPT_ROOTS": "/bin:/usr/bin"})
    await dev.start()
    yield dev
    await dev.stop()


async def minutely(dev: DevProcess, **fields: Any) -> dict[str, Any]:
    step = {"stepType": "Executable", "executablePath": "/bin/true"}
    body = {"name": f"m {uuid.uuid4()}", "triggerType": "Cron", "cronExpression": "* * * * *", "isEnabled": True}
    schedule: dict[str, Any] = await dev.call("POST", "/schedules", body | {"steps": [step]} | fields)
    return schedule


async def started(dev: DevProcess, schedule: dict[str, Any]) -> list[datetime]:
    """When the schedule's executions were started, oldest first."""
    path = f"/schedule-executions?scheduleId={schedule['id']}&sortDescending=false&pageSize=100"
    return [datetime.fromisoformat(execution["queuedAt"]) for execution in (await dev.call("GET", path))["items"]]


async def temporal(dev: DevProcess) -> Client:
    return await connect_to(f"127.0.0.1:{dev.ports[1]}")


async def test_after_an_outage_only_the_latest_missed_fire_runs(dev: DevProcess) -> None:
    schedule = await minutely(dev)

    async def fired() -> bool:
        # Ended, too: one that the kill interrupts is active until its worker is given up, and fires are skipped meanwhile.
        path = f"/schedule-executions?scheduleId={schedule['id']}&status=Complete"
        return bool((await dev.call("GET", path))["totalCount"])

    await eventually(fired, seconds=90)
    await dev.kill()
    killed = datetime.now(UTC)
    # Two fires are missed: what is waited for here is the wall clock itself.
    back_at = killed.replace(second=0, microsecond=0) + 2 * MINUTE + timedelta(seconds=15)
    await asyncio.sleep((back_at - killed).total_seconds())
    await dev.start()

    ready = datetime.now(UTC)
    client = await temporal(dev)

    async def fires() -> dict[datetime, tuple[datetime, str]]:
        """When each fire since the kill was due: when the server started it, and what became of it."""
        query = (
            f"RotaScheduleId = '{schedule['id']}' AND StartTime > '{killed.isoformat()}' AND RotaOutcome IS NOT NULL"
        )
        return {
            found.typed_search_attributes[_SCHEDULED_START]: (
                found.start_time,
                found.typed_search_attributes[_OUTCOME],
            )
            async for found in client.list_workflows(query)
        }

    async def on_time_again() -> bool:
        return any(due > ready for due in await fires())

    assert await eventually(on_time_again, seconds=200)
    seen = await fires()
    due_times = sorted(seen)
    first = killed.replace(second=0, microsecond=0) + MINUTE
    # No fire is lost, and none comes twice.
    assert due_times == [first + n * MINUTE for n in range(len(due_times))], seen
    missed = [due for due in due_times if due < ready]
    assert len(missed) >= 2, seen
    for due in missed[:-1]:
        assert seen[due][1] == "Missed", seen
    for due in due_times[len(missed) - 1 :]:
        began, outcome = seen[due]
        # The latest of them runs; it yields only where the server came to it so late that the next one was due.
        assert outcome == ("Complete" if began < due + MINUTE else "Missed"), seen
    ran = [began for began, outcome in seen.values() if outcome == "Complete"]
    assert len([start for start in await started(dev, schedule) if start > killed]) == len(ran)
    assert (await dev.call("GET", f"/schedules/{schedule['id']}"))["skippedCount"] == 0


async def test_fires_that_wait_for_a_worker_run_all(tmp_path: Path) -> None:
    dev = DevProcess(tmp_path, environment={"ROTA_SCRIPT_ROOTS": "/bin:/usr/bin"}, with_worker=False)
    await dev.start()
    worker = None
    try:
        schedule = await minutely(dev, overlapPolicy="AllowAll")
        client = await temporal(dev)
        query = f"RotaScheduleId = '{schedule['id']}'"

        async def two_wait() -> bool:
            return (await client.count_workflows(query)).count >= 2

        await eventually(two_wait, seconds=150)
        said = (tmp_path / "dev.log").read_text()
        command = said.partition("in another terminal:")[2].partition("Ctrl-C")[0]
        binaries = sysconfig.get_path("scripts")
        worker = await asyncio.create_subprocess_shell(
            f"export PATH={binaries}:$PATH\n{command.replace('rota worker', 'exec rota worker')}", cwd="/"
        )

        async def outcomes() -> list[str]:
            completed = client.list_workflows(f"{query} AND ExecutionStatus != 'Running'")
            return [str(found.typed_search_attributes.get(_OUTCOME)) async for found in completed]

        async def two_ended() -> bool:
            return len(await outcomes()) >= 2

        await eventually(two_ended)
        # The first was started on time, though the second was due before anybody took it.
        assert set(await outcomes()) == {"Complete"}
    finally:
        if worker is not None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                worker.terminate()
            await worker.wait()
        await dev.stop()


async def test_a_wiped_server_gets_every_schedule_back(dev: DevProcess) -> None:
    schedules = [await minutely(dev, cronExpression=f"{n} 3 * * *") for n in range(5)]
    due = (datetime.now(UTC) + timedelta(seconds=10)).replace(second=0, microsecond=0) + MINUTE
    lost = await minutely(dev, cronExpression=f"{due.minute} {due.hour} * * *")
    await dev.stop()
    for path in dev.data_dir.glob("temporal.db*"):
        path.unlink()
    # A fire is lost with the server: what is waited for here is the wall clock itself.
    await asyncio.sleep((due - datetime.now(UTC)).total_seconds() + 1)
    await dev.start()
    client = await temporal(dev)

    async def all_back() -> bool:
        found = {listed.id async for listed in await client.list_schedules()}
        return found >= {trigger_id(uuid.UUID(schedule["id"])) for schedule in schedules}

    assert await eventually(all_back)

    async def made_up_for() -> bool:
        return len(await started(dev, lost)) == 1

    assert await eventually(made_up_for)
    ended = await dev.ended((await dev.call("POST", f"/schedules/{schedules[0]['id']}/run"))["executionId"])
    assert ended["status"] == "Complete"


async def test_what_hands_do_in_the_web_ui_is_undone(dev: DevProcess) -> None:
    schedule = await minutely(dev, cronExpression="0 3 * * *")
    handle = (await temporal(dev)).get_schedule_handle(trigger_id(uuid.UUID(schedule["id"])))
    await handle.pause(note="by hand")

    async def unpaused() -> bool:
        return not (await handle.describe()).schedule.state.paused

    assert await eventually(unpaused)
    await handle.delete()

    async def there_again() -> bool:
        try:
            return bool((await handle.describe()).info.next_action_times)
        except RPCError:
            return False

    assert await eventually(there_again)


async def test_an_execution_terminated_from_the_command_line_is_closed_and_the_schedule_fires_on(
    dev: DevProcess,
) -> None:
    step = {"stepType": "Executable", "executablePath": "/bin/sleep", "arguments": "300"}
    schedule = await minutely(dev, steps=[step])

    async def active() -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = await dev.call("GET", "/schedule-executions/active")
        return listed

    [execution] = await eventually(active, seconds=90)
    client = await temporal(dev)
    query = f"RotaExecutionId = '{execution['id']}'"

    async def workflows() -> list[str]:
        return [found.id async for found in client.list_workflows(query)]

    [workflow_id] = await eventually(workflows)
    binary = Path(sysconfig.get_path("scripts")) / "temporal"
    terminated = await asyncio.create_subprocess_exec(
        *(str(binary), "workflow", "terminate", "--address", f"127.0.0.1:{dev.ports[1]}"),
        *("--workflow-id", workflow_id, "--reason", "had enough"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await terminated.wait() == 0

    closed = await dev.ended(execution["id"], seconds=30)
    assert closed["status"] == "Cancelled"
    assert "terminated" in closed["errorMessage"]
    assert "had enough" in closed["errorMessage"]

    async def fired_again() -> bool:
        return len(await started(dev, schedule)) >= 2

    assert await eventually(fired_again, seconds=90)
