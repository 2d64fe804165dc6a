"""The upkeep on a real server: what hands and accidents changed is as the catalogue says again."""

import contextlib
import dataclasses
import shutil
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleHandle,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import SearchAttributeKey, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode, _BridgeServiceClient
from temporalio.testing import ActivityEnvironment

from activities.support.upkeep import Upkeep
from catalogue.engine import Catalogue
from catalogue.executions import Execution
from catalogue.schedules import Schedule, get_schedule
from contracts.ids import trigger_id
from contracts.upkeep import ExecutionsKept, TriggersKept
from runtime import triggers
from runtime.triggers import ensure_upkeep, remove_trigger
from tests.integration.stack import Rota
from tests.waiting import eventually

TRUE = {"stepType": "Executable", "executablePath": "/bin/true"}


@pytest.fixture
def upkeep(catalogue: Catalogue, client: Client, task_queue: str, monkeypatch: pytest.MonkeyPatch) -> Upkeep:
    # Nothing of a test is as old as what the upkeep leaves alone.
    monkeypatch.setattr("activities.support.upkeep._SETTLED", timedelta(0))
    return Upkeep(catalogue, client, task_queue)


async def keep_triggers(upkeep: Upkeep) -> TriggersKept:
    kept: TriggersKept = await ActivityEnvironment().run(upkeep.keep_triggers)
    return kept


async def keep_executions(upkeep: Upkeep) -> ExecutionsKept:
    kept: ExecutionsKept = await ActivityEnvironment().run(upkeep.keep_executions)
    return kept


async def cron_schedule(api: Rota, **fields: Any) -> tuple[dict[str, Any], ScheduleHandle]:
    body = {"triggerType": "Cron", "cronExpression": "30 1 * * *", "timeZone": "Europe/London", "isEnabled": True}
    schedule = await api.create(TRUE, **(body | fields))
    return schedule, api.temporal.get_schedule_handle(trigger_id(uuid.UUID(schedule["id"])))


async def edit_spec(handle: ScheduleHandle) -> None:
    def change(found: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = found.description.schedule
        schedule.spec = ScheduleSpec(cron_expressions=["0 0 1 1 *"])
        return ScheduleUpdate(schedule)

    await handle.update(change)


def edit_action(**fields: Any) -> Callable[[ScheduleHandle], Awaitable[None]]:
    async def edit(handle: ScheduleHandle) -> None:
        def change(found: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule = found.description.schedule
            assert isinstance(schedule.action, ScheduleActionStartWorkflow)
            schedule.action = dataclasses.replace(schedule.action, **fields)
            return ScheduleUpdate(schedule)

        await handle.update(change)

    return edit


@pytest.mark.parametrize(
    "harm",
    [
        ScheduleHandle.delete,
        ScheduleHandle.pause,
        edit_spec,
        edit_action(args=[{"schedule_id": str(uuid.uuid4()), "schedule_name": "other", "trigger": "Cron"}]),
        edit_action(args=[]),
        edit_action(args=["what", "else"]),
        edit_action(task_queue="nobody"),
        edit_action(typed_search_attributes=TypedSearchAttributes.empty),
        edit_action(execution_timeout=timedelta(seconds=1)),
    ],
    ids=[
        "deleted",
        "paused",
        "times",
        "input",
        "no input",
        "other input",
        "task queue",
        "search attributes",
        "timeout",
    ],
)
async def test_what_was_changed_by_hand_is_repaired(
    api: Rota,
    upkeep: Upkeep,
    harm: Callable[[ScheduleHandle], Awaitable[None]],
) -> None:
    schedule, handle = await cron_schedule(api)
    due = (await handle.describe()).info.next_action_times
    assert (await keep_triggers(upkeep)).repaired == 0
    await harm(handle)

    kept = await keep_triggers(upkeep)

    assert (kept.checked, kept.repaired) == (1, 1)
    description = await handle.describe()
    assert not description.schedule.state.paused
    assert description.info.next_action_times == due
    assert (await keep_triggers(upkeep)).repaired == 0
    assert schedule["nextRunTime"] is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_one_that_cannot_be_kept_hinders_no_other(
    api: Rota, upkeep: Upkeep, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules = [await cron_schedule(api) for _ in range(4)]
    (sick, _), (gone, _), *others = sorted(schedules, key=lambda pair: uuid.UUID(pair[0]["id"]))
    async with catalogue.write() as session:
        (await session.get_one(Schedule, uuid.UUID(gone["id"]))).time_zone = "Mars/Base"
    for _, handle in others:
        await handle.delete()
    asked = triggers.is_as_desired

    async def stuck(client: Client, trigger: triggers.Trigger, task_queue: str) -> bool:
        if str(trigger.schedule_id) == sick["id"]:
            raise RPCError("it does not answer", RPCStatusCode.DEADLINE_EXCEEDED, b"")
        return await asked(client, trigger, task_queue)

    monkeypatch.setattr("activities.support.upkeep.is_as_desired", stuck)

    kept = await keep_triggers(upkeep)

    assert (kept.checked, kept.repaired, kept.failed) == (4, 2, 2)
    for _, handle in others:
        assert (await handle.describe()).info.next_action_times

    async def away(*_: object) -> bool:
        raise RPCError("nobody is there", RPCStatusCode.UNAVAILABLE, b"")

    monkeypatch.setattr("activities.support.upkeep.is_as_desired", away)
    with pytest.raises(RPCError, match="nobody is there"):
        await keep_triggers(upkeep)


@pytest.mark.parametrize(
    "fields",
    [
        {"cronExpression": "*/7 8-17 * * MON-FRI", "timeZone": "America/New_York"},
        {"cronExpression": "0 0 L * * | 15 6 1,15 * 1", "timeZone": "Asia/Kathmandu"},
        {"patternType": "Interval", "cronExpression": None, "daysOfWeek": "0,6", "intervalValue": 7}
        | {"intervalUnit": "Minutes", "intervalWindowStart": "22:30", "intervalWindowEnd": "02:10"},
        {"jitterSeconds": 30, "startAt": "2031-01-01T00:00:00Z", "endAt": "2032-01-01T00:00:00+01:00"},
        {"isEnabled": False, "catchUpWindowSeconds": 10, "overlapPolicy": "AllowAll"},
    ],
)
async def test_what_has_not_drifted_is_left_alone(api: Rota, upkeep: Upkeep, fields: dict[str, Any]) -> None:
    await cron_schedule(api, **fields)

    kept = await keep_triggers(upkeep)

    assert (kept.checked, kept.repaired, kept.removed) == (1, 0, 0)


async def test_an_input_that_another_version_wrote_in_another_way_is_left_alone(api: Rota, upkeep: Upkeep) -> None:
    schedule, handle = await cron_schedule(api)
    written = {"schedule_id": schedule["id"], "schedule_name": schedule["name"], "trigger": "Cron"}
    await edit_action(args=[written | {"execution_id": None, "carried": None}])(handle)

    assert (await keep_triggers(upkeep)).repaired == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_pass_that_finds_nothing_asks_once_for_each_and_writes_nothing(
    api: Rota, upkeep: Upkeep, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = [(await cron_schedule(api))[1] for _ in range(7)]
    call = _BridgeServiceClient._rpc_call
    asked: Counter[tuple[str, str]] = Counter()

    async def counting(self: _BridgeServiceClient, rpc: str, req: Any, *arguments: Any, **options: Any) -> Any:
        asked[rpc, getattr(req, "schedule_id", "")] += 1
        return await call(self, rpc, req, *arguments, **options)

    def refuse() -> None:
        raise AssertionError("nothing is to be written")

    monkeypatch.setattr(_BridgeServiceClient, "_rpc_call", counting)
    monkeypatch.setattr(catalogue, "write", refuse)
    monkeypatch.setattr("activities.support.upkeep._PAGE", 3)

    kept = await keep_triggers(upkeep)

    assert (kept.checked, kept.repaired, kept.removed) == (7, 0, 0)
    ids = {handle.id for handle in handles}
    assert {key: count for key, count in asked.items() if key[1] in ids} == {
        ("describe_schedule", schedule_id): 1 for schedule_id in ids
    }


async def fires_of(api: Rota, schedule: dict[str, Any]) -> list[datetime]:
    """The times for which a schedule has fired."""
    query = f"RotaScheduleId = '{schedule['id']}'"
    return [
        found.typed_search_attributes[SearchAttributeKey.for_datetime("TemporalScheduledStartTime")]
        async for found in api.temporal.list_workflows(query)
    ]


@pytest.mark.parametrize("jitter", [0, 30])
@pytest.mark.parametrize("harm", [ScheduleHandle.delete, ScheduleHandle.pause], ids=["deleted", "paused"])
async def test_a_fire_that_was_lost_meanwhile_is_made_up_for_once(
    api: Rota, upkeep: Upkeep, catalogue: Catalogue, harm: Callable[[ScheduleHandle], Awaitable[None]], jitter: int
) -> None:
    lost = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2)
    # Of the three that are overdue the latest is made up for.
    minutes = ",".join(str((lost - timedelta(minutes=earlier)).minute) for earlier in (0, 1, 2))
    schedule, handle = await cron_schedule(
        api, cronExpression=f"{minutes} * * * *", timeZone="UTC", jitterSeconds=jitter
    )
    # Where its workflow waits for a worker, another changes nothing.
    for _ in range(2):
        await harm(handle)
        async with catalogue.write() as session:
            row = await session.get_one(Schedule, uuid.UUID(schedule["id"]))
            row.next_run_time = lost - timedelta(minutes=2)

        kept = await keep_triggers(upkeep)

        assert (kept.repaired, kept.made_up) == (1, 1)
        assert await eventually(lambda: fires_of(api, schedule)) == [lost]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_no_fire_was_lost_of_is_not_made_up_for(api: Rota, upkeep: Upkeep, catalogue: Catalogue) -> None:
    long_ago = datetime.now(UTC) - timedelta(seconds=90)
    in_half_an_hour = (datetime.now(UTC) + timedelta(minutes=30)).minute
    every_minute = {"cronExpression": "* * * * *"}
    for due, fields in (
        (long_ago, {"cronExpression": f"{in_half_an_hour} * * * *"}),
        (long_ago, every_minute | {"catchUpWindowSeconds": 10, "jitterSeconds": 3600}),
        (long_ago, every_minute | {"endAt": "2026-01-01T00:00:00Z"}),
        (None, every_minute | {"isEnabled": False}),
        (datetime.now(UTC) + timedelta(minutes=5), every_minute),
    ):
        schedule, handle = await cron_schedule(api, **fields)
        async with catalogue.write() as session:
            (await session.get_one(Schedule, uuid.UUID(schedule["id"]))).next_run_time = due
        await handle.delete()

    kept = await keep_triggers(upkeep)

    assert (kept.repaired, kept.made_up) == (5, 0)


async def test_a_temporal_schedule_that_the_catalogue_does_not_know_is_removed(
    api: Rota, upkeep: Upkeep, catalogue: Catalogue
) -> None:
    known, _ = await cron_schedule(api)
    schedule, handle = await cron_schedule(api)
    async with catalogue.write() as session:
        await session.delete(await session.get_one(Schedule, uuid.UUID(schedule["id"])))

    async def removed() -> bool:
        # The server's listing follows a moment later.
        return (await keep_triggers(upkeep)).removed == 1

    assert await eventually(removed)
    with pytest.raises(Exception, match="not found"):
        await handle.describe()
    assert (await api.http.get(f"/api/v1/schedules/{known['id']}")).status_code == 200
    assert (await keep_triggers(upkeep)).removed == 0


async def test_schedules_of_another_installation_are_left_alone(
    api: Rota, upkeep: Upkeep, client: Client, task_queue: str, sqlite_template: Path, tmp_path: Path
) -> None:
    _, handle = await cron_schedule(api)
    elsewhere = Catalogue(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'elsewhere.db')}")

    async def listed() -> bool:
        return any([found.id == handle.id async for found in await client.list_schedules()])

    assert await eventually(listed)
    assert (await keep_triggers(Upkeep(elsewhere, client, "another-queue"))).removed == 0
    assert await handle.describe()
    # It is the task queue that tells them apart.
    assert (await keep_triggers(Upkeep(elsewhere, client, task_queue))).removed == 1
    assert (await keep_triggers(upkeep)).repaired == 1
    await elsewhere.close()


# Method, path, body, and how many calls of Temporal it takes.
CHANGES: dict[str, tuple[str, str, dict[str, Any] | None, int]] = {
    "create": ("POST", "", {"name": "new", "triggerType": "Cron", "cronExpression": "0 5 * * *", "isEnabled": True}, 1),
    "times": ("PUT", "/{id}", {"cronExpression": "0 7 * * *"}, 3),
    "name": ("PUT", "/{id}", {"name": "renamed"}, 3),
    "manual": ("PUT", "/{id}", {"triggerType": "Manual"}, 1),
    "disable": ("POST", "/{id}/disable", None, 3),
    "delete": ("DELETE", "/{id}", None, 1),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", ["Temporal is away", "its answer is lost", "the catalogue is away"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_fails_half_way_is_none(
    api: Rota, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch, change: str, fault: str
) -> None:
    schedule, handle = await cron_schedule(api)
    due = (await handle.describe()).info.next_action_times
    method, path, body, calls = CHANGES[change]
    call = _BridgeServiceClient._rpc_call
    made: list[str] = []
    fails_at = 0

    async def failing(self: _BridgeServiceClient, rpc: str, *arguments: Any, **options: Any) -> Any:
        made.append(rpc)
        if len(made) != fails_at:
            return await call(self, rpc, *arguments, **options)
        if fault == "its answer is lost":
            with contextlib.suppress(RPCError):
                await call(self, rpc, *arguments, **options)
        raise RPCError("lost", RPCStatusCode.DEADLINE_EXCEEDED, b"")

    def uncommitted(_: Connection) -> None:
        raise OperationalError("COMMIT", {}, Exception("the database is away"))

    async def removed() -> bool:
        # The server's listing follows a moment later.
        return (await keep_triggers(upkeep)).removed == 1

    for fails_at in range(1, calls + 1) if fault != "the catalogue is away" else [0]:
        made.clear()
        with monkeypatch.context() as patch:
            patch.setattr(_BridgeServiceClient, "_rpc_call", failing)
            if not fails_at:
                event.listen(Engine, "commit", uncommitted)
            answer = await api.http.request(method, f"/api/v1/schedules{path}".format(id=schedule["id"]), json=body)
            if not fails_at:
                event.remove(Engine, "commit", uncommitted)

        assert (answer.status_code, len(made)) == (503, fails_at or calls), answer.text
        listed = (await api.http.get("/api/v1/schedules")).json()["items"]
        assert [(found["id"], found["name"]) for found in listed] == [(schedule["id"], schedule["name"])]
        assert (await api.http.get(f"/api/v1/schedules/{schedule['id']}")).json() == schedule
        if change == "create" and fault != "Temporal is away":
            assert await eventually(removed)
        await keep_triggers(upkeep)
        assert (await handle.describe()).info.next_action_times == due


async def test_a_terminated_execution_is_closed_as_cancelled(rota: Rota, upkeep: Upkeep) -> None:
    sleeper = rota.script("sleeper.sh", "#!/bin/sh\nsleep 60\n")
    schedule = await rota.create({"stepType": "Executable", "executablePath": sleeper}, TRUE | {"stepIndex": 1})
    execution_id = await rota.run(schedule)
    await rota.until(execution_id, lambda execution: execution["steps"][0]["status"] == "Processing")
    assert (await keep_executions(upkeep)).closed == 0
    [workflow] = await eventually(lambda: workflows_of(rota, execution_id))
    await rota.temporal.get_workflow_handle(workflow).terminate(reason="enough of it")

    kept = await keep_executions(upkeep)

    assert (kept.checked, kept.closed) == (1, 1)
    execution = await rota.execution(execution_id)
    assert execution["status"] == "Cancelled"
    assert "terminated" in execution["errorMessage"]
    assert "enough of it" in execution["errorMessage"]
    assert {step["status"] for step in execution["steps"]} == {"Cancelled"}
    assert (await rota.ended(await rota.run(await rota.create(TRUE))))["status"] == "Complete"


async def workflows_of(rota: Rota, execution_id: str) -> list[str]:
    query = f"RotaExecutionId = '{execution_id}'"
    return [found.id async for found in rota.temporal.list_workflows(query)]


async def test_an_execution_that_was_never_started_is_closed_as_failed(
    api: Rota, upkeep: Upkeep, catalogue: Catalogue
) -> None:
    execution_id = await api.run(await api.create(TRUE))
    async with catalogue.write() as session:
        execution = await session.get_one(Execution, uuid.UUID(execution_id))
        execution.workflow_id = f"never/{execution_id}"
        session.add(execution)

    await keep_executions(upkeep)

    closed = await api.execution(execution_id)
    assert closed["status"] == "Failed"
    assert "never started" in closed["errorMessage"]


async def test_the_upkeep_runs_on_a_schedule_of_its_own(rota: Rota, catalogue: Catalogue, task_queue: str) -> None:
    schedule, handle = await cron_schedule(rota)
    await remove_trigger(rota.temporal, uuid.UUID(schedule["id"]))

    await ensure_upkeep(rota.temporal, task_queue, timedelta(hours=1))
    await ensure_upkeep(rota.temporal, task_queue, timedelta(hours=1))

    async def is_back() -> bool:
        return any([found.id == handle.id async for found in await rota.temporal.list_schedules()])

    assert await eventually(is_back)
    async with catalogue.read() as session:
        assert await get_schedule(session, uuid.UUID(schedule["id"])) is not None
