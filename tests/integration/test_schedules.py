"""Schedules over HTTP: what is documented comes back, what is wrong is told, and nothing half-done stays."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from alembic import command
from temporalio.client import Client, ScheduleHandle
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment

from activities.support.upkeep import Upkeep
from catalogue.api_keys import Role, new_api_key
from catalogue.engine import Catalogue
from catalogue.migrations import alembic_config, migrate
from catalogue.schedules import Schedule
from catalogue.schema import revisions
from contracts.ids import trigger_id
from runtime.settings import Settings
from runtime.temporal import data_converter
from tests.integration.stack import Rota, serving
from tests.waiting import eventually

# The example of the documented API, as a client would send it.
EXAMPLE: dict[str, Any] = {
    "name": "Daily Delta Sync",
    "description": "Import, sync, and export changes from all connected systems",
    "triggerType": "Cron",
    "patternType": "SpecificTimes",
    "daysOfWeek": "1,2,3,4,5",
    "runTimes": "06:00",
    "intervalValue": None,
    "intervalUnit": None,
    "intervalWindowStart": None,
    "intervalWindowEnd": None,
    "isEnabled": True,
    "steps": [
        {
            "stepIndex": 0,
            "name": None,
            "executionMode": "Sequential",
            "stepType": "RunProfile",
            "continueOnFailure": False,
            "timeoutSeconds": None,
            "connectedSystemId": 1,
            "runProfileId": 1,
            "scriptPath": None,
            "arguments": None,
            "executablePath": None,
            "workingDirectory": None,
            "sqlConnectionString": None,
            "sqlScriptPath": None,
        },
    ],
}

TRUE = {"stepType": "Executable", "executablePath": "/bin/true"}


def handle_of(api: Rota, schedule: dict[str, Any]) -> ScheduleHandle:
    return api.temporal.get_schedule_handle(trigger_id(uuid.UUID(schedule["id"])))


async def test_the_documented_example_comes_back_with_every_attribute(api: Rota) -> None:
    answer = await api.http.post("/api/v1/schedules", json=EXAMPLE)

    assert answer.status_code == 201
    created = answer.json()
    assert answer.headers["location"] == f"/api/v1/schedules/{created['id']}"
    for name, value in EXAMPLE.items():
        if name != "steps":
            assert created[name] == value
    assert created["cronExpression"] == "0 6 * * 1-5"
    assert created["stepCount"] == 1
    assert created["lastRunTime"] is None
    assert created["lastUpdated"] is None
    assert created["created"].endswith("Z")
    [step] = created["steps"]
    assert uuid.UUID(step["id"])
    assert {name: step[name] for name in EXAMPLE["steps"][0]} == EXAMPLE["steps"][0]
    assert any("connected system 1" in warning for warning in created["warnings"])
    following = datetime.fromisoformat(created["nextRunTime"])
    assert following.astimezone(UTC).strftime("%H:%M") == "06:00"
    assert following.weekday() < 5
    description = await handle_of(api, created).describe()
    assert description.info.next_action_times[0] == following
    read = await api.http.get(f"/api/v1/schedules/{created['id']}")
    assert read.json() == created


async def test_what_may_not_be_meant_is_told_and_stored_all_the_same(api: Rota) -> None:
    together = "2 steps of stepIndex 0 (the default) are Sequential, and yet run in parallel"
    schedule = await api.create(TRUE | {"timeoutSecs": 5}, TRUE, jitter=3)
    path = f"/api/v1/schedules/{schedule['id']}"

    assert len(schedule["warnings"]) == 3
    assert schedule["warnings"][0].startswith(together)
    assert schedule["warnings"][1:] == [
        "jitter: unknown field, ignored. Did you mean jitterSeconds?",
        "steps[0].timeoutSecs: unknown field, ignored. Did you mean timeoutSeconds?",
    ]
    [warning] = (await api.http.get(path)).json()["warnings"]
    assert warning.startswith(together)
    changed = await api.http.put(path, json={"descripton": "x", "steps": [TRUE, TRUE | {"stepIndex": 1}]})
    assert changed.json()["warnings"] == ["descripton: unknown field, ignored. Did you mean description?"]


async def test_what_is_wrong_is_told_at_once(api: Rota) -> None:
    steps = [TRUE | {"stepType": "Teleport"}, TRUE]
    by_type = await api.http.post("/api/v1/schedules", json={"name": "n", "overlapPolicy": "Never", "steps": steps})
    broken = {"name": " ", "triggerType": "Cron", "cronExpression": "nonsense", "steps": [{"stepType": "Executable"}]}
    by_meaning = await api.http.post("/api/v1/schedules", json=broken)

    assert (by_type.status_code, by_meaning.status_code) == (400, 400)
    assert by_type.json()["validationErrors"].keys() == {"overlapPolicy", "steps[0].stepType"}
    assert by_meaning.json()["validationErrors"].keys() == {"name", "cronExpression", "steps[0].executablePath"}
    assert by_meaning.json()["message"] == "The field name may not be empty."


async def test_what_changes_nothing_is_no_update(api: Rota) -> None:
    schedule = await api.create(TRUE, name="Still")
    path = f"/api/v1/schedules/{schedule['id']}"

    same = [await api.http.put(path, json=body) for body in ({}, {"name": "Still", "steps": schedule["steps"]})]
    disabled = await api.http.post(f"{path}/disable")
    assert [answer.json()["lastUpdated"] for answer in (*same, disabled)] == [None, None, None]

    enabled = (await api.http.post(f"{path}/enable")).json()["lastUpdated"]
    assert enabled is not None
    assert (await api.http.post(f"{path}/enable")).json()["lastUpdated"] == enabled
    changed = (await api.http.put(path, json={"description": "x"})).json()["lastUpdated"]
    assert changed > enabled
    assert (await api.http.put(path, json={})).json()["lastUpdated"] == changed


async def test_a_schedule_that_is_enabled_and_will_not_fire_says_so(api: Rota) -> None:
    past = {"triggerType": "Cron", "cronExpression": "0 6 * * *", "endAt": "2020-01-01T00:00:00Z", "isEnabled": False}
    said = (
        "The schedule is enabled, but will not fire: its timetable has no more times until endAt, 2020-01-01T00:00:00Z."
    )
    schedule = await api.create(TRUE, **past)
    path = f"/api/v1/schedules/{schedule['id']}"
    assert schedule["warnings"] == []

    assert (await api.http.post(f"{path}/enable")).json()["warnings"] == [said]
    assert (await api.http.get(path)).json()["warnings"] == [said]
    assert (await api.http.put(path, json={})).json()["warnings"] == [said]
    assert (await api.http.put(path, json={"endAt": None})).json()["warnings"] == []


@pytest.fixture
async def lost_zone(api: Rota, catalogue: Catalogue) -> dict[str, Any]:
    """An enabled schedule whose time zone is not known any more."""
    schedule = await api.create(TRUE, triggerType="Cron", cronExpression="0 6 * * *", isEnabled=True)
    async with catalogue.write() as session:
        (await session.get_one(Schedule, uuid.UUID(schedule["id"]))).time_zone = "Mars/Olympus"
    return schedule


async def test_a_stored_time_zone_that_is_known_no_more_can_be_seen_and_mended(
    api: Rota, lost_zone: dict[str, Any]
) -> None:
    schedule, path = lost_zone, f"/api/v1/schedules/{lost_zone['id']}"

    shown = (await api.http.get(path)).json()
    assert shown["timeZone"] == "Mars/Olympus"
    [warning] = shown["warnings"]
    assert warning.startswith(
        "The timetable cannot be read any more: timeZone: 'Mars/Olympus' is not a known time zone"
    )
    listed = (await api.http.get("/api/v1/schedules")).json()["items"]
    assert schedule["id"] in [item["id"] for item in listed]
    for refused in (
        await api.http.get(f"{path}/next-runs"),
        await api.http.post(f"{path}/enable"),
        await api.http.put(path, json={"description": "x"}),
    ):
        assert (refused.status_code, list(refused.json()["validationErrors"])) == (400, ["timeZone"])
    mended = (await api.http.put(path, json={"timeZone": "Asia/Tokyo"})).json()
    assert mended["warnings"] == []
    description = await handle_of(api, mended).describe()
    assert description.info.next_action_times[0] == datetime.fromisoformat(mended["nextRunTime"])


async def test_a_schedule_whose_time_zone_is_known_no_more_can_be_disabled(
    api: Rota, catalogue: Catalogue, lost_zone: dict[str, Any]
) -> None:
    path, handle = f"/api/v1/schedules/{lost_zone['id']}", handle_of(api, lost_zone)
    upkeep = Upkeep(catalogue, api.temporal, api.settings.task_queue)

    for _ in range(2):
        disabled = await api.http.post(f"{path}/disable")
        assert (disabled.status_code, disabled.json()["isEnabled"]) == (200, False)
        assert "cannot be read any more" in disabled.json()["warnings"][0]
    description = await handle.describe()
    assert description.schedule.state.paused
    assert description.info.next_action_times == []
    kept = await ActivityEnvironment().run(upkeep.keep_triggers)
    assert (kept.checked, kept.repaired, kept.failed) == (1, 0, 0)
    refused = await api.http.post(f"{path}/enable")
    assert (refused.status_code, list(refused.json()["validationErrors"])) == (400, ["timeZone"])

    assert (await api.http.put(path, json={"timeZone": "Asia/Tokyo"})).json()["warnings"] == []
    mended = (await api.http.post(f"{path}/enable")).json()
    description = await handle.describe()
    assert description.info.next_action_times[0] == datetime.fromisoformat(mended["nextRunTime"])


async def test_a_schedule_whose_time_zone_is_known_no_more_can_be_deleted(api: Rota, lost_zone: dict[str, Any]) -> None:
    assert (await api.http.delete(f"/api/v1/schedules/{lost_zone['id']}")).status_code == 204
    with pytest.raises(RPCError, match="not found"):
        await handle_of(api, lost_zone).describe()


async def test_put_merges_and_keeps_step_ids(api: Rota) -> None:
    schedule = await api.create(
        TRUE | {"name": "one", "timeoutSeconds": 30},
        TRUE | {"name": "two", "stepIndex": 1},
        description="before",
    )
    first = schedule["steps"][0]["id"]

    answer = await api.http.put(
        f"/api/v1/schedules/{schedule['id']}",
        json={"description": "after", "steps": [{"Id": first, "StepIndex": 3}]},
    )

    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["name"] == schedule["name"]
    assert changed["description"] == "after"
    assert changed["lastUpdated"] is not None
    [step] = changed["steps"]
    assert step == schedule["steps"][0] | {"stepIndex": 3}
    cleared = await api.http.put(f"/api/v1/schedules/{schedule['id']}", json={"description": None})
    assert cleared.json()["description"] is None
    assert cleared.json()["steps"] == changed["steps"]


async def test_a_dry_run_answers_what_would_be_stored_and_stores_nothing(api: Rota) -> None:
    new = {**EXAMPLE, "name": f"s {uuid.uuid4()}", "runTimes": "6:00"}

    created = await api.http.post("/api/v1/schedules?dryRun=true", json=new)

    assert created.status_code == 200, created.text
    assert "location" not in created.headers
    assert created.json()["runTimes"] == "06:00"
    assert (await api.http.get(f"/api/v1/schedules?search={new['name']}")).json()["totalCount"] == 0
    with pytest.raises(RPCError, match="not found"):
        await handle_of(api, created.json()).describe()

    stored = await api.create(**{**new, "steps": [TRUE | {"name": "one"}]})
    address = f"/api/v1/schedules/{stored['id']}"
    change = {"runTimes": "07:00", "steps": [{"id": stored["steps"][0]["id"], "timeoutSeconds": 5}, TRUE]}
    changed = await api.http.put(f"{address}?dryrun=true", json=change)

    assert changed.json()["cronExpression"] == "0 7 * * 1-5"
    assert [step["timeoutSeconds"] for step in changed.json()["steps"]] == [5, None]
    assert (await api.http.get(address)).json() == stored
    description = await handle_of(api, stored).describe()
    assert description.info.next_action_times[0] == datetime.fromisoformat(stored["nextRunTime"])
    refused = await api.http.put(f"{address}?dryRun=true", json={"runTimes": "25:00"})
    assert refused.json()["validationErrors"].keys() == {"runTimes"}
    taken = await api.http.post("/api/v1/schedules?dryRun=true", json=new)
    assert taken.status_code == 409


async def test_enable_and_disable_reach_temporal_in_the_same_call(api: Rota) -> None:
    schedule = await api.create(TRUE, **{**EXAMPLE, "name": f"s {uuid.uuid4()}", "isEnabled": False, "steps": [TRUE]})
    assert schedule["nextRunTime"] is None
    assert (await handle_of(api, schedule).describe()).schedule.state.paused

    enabled = await api.http.post(f"/api/v1/schedules/{schedule['id']}/enable")
    assert enabled.status_code == 200
    assert enabled.json()["isEnabled"] is True
    assert enabled.json()["nextRunTime"] is not None
    assert not (await handle_of(api, schedule).describe()).schedule.state.paused

    disabled = await api.http.post(f"/api/v1/schedules/{schedule['id']}/disable")
    assert disabled.json()["nextRunTime"] is None
    description = await handle_of(api, schedule).describe()
    assert description.schedule.state.paused
    assert "disabled in Rota" in (description.schedule.state.note or "")


async def test_delete_takes_the_temporal_schedule_with_it(api: Rota) -> None:
    schedule = await api.create(**{**EXAMPLE, "name": f"s {uuid.uuid4()}"})

    assert (await api.http.delete(f"/api/v1/schedules/{schedule['id']}")).status_code == 204

    assert (await api.http.get(f"/api/v1/schedules/{schedule['id']}")).status_code == 404
    with pytest.raises(RPCError, match="not found"):
        await handle_of(api, schedule).describe()


async def test_a_schedule_without_steps_does_not_run(api: Rota) -> None:
    schedule = await api.create()

    answer = await api.http.post(f"/api/v1/schedules/{schedule['id']}/run")

    assert answer.status_code == 400
    assert answer.json()["message"] == "Cannot run a schedule with no steps"
    listed = await api.http.get("/api/v1/schedule-executions", params={"scheduleId": schedule["id"]})
    assert listed.json()["totalCount"] == 0


async def test_the_list_pages_searches_and_sorts(api: Rota) -> None:
    for name in ("alpha", "Beta", "gamma"):
        await api.create(TRUE, name=name, description="of the greek alphabet")

    page = (await api.http.get("/api/v1/schedules", params={"SEARCH": "GREEK", "sortBy": "name", "pageSize": 2})).json()
    beyond = (await api.http.get("/api/v1/schedules", params={"page": 9, "pageSize": 1000})).json()

    assert [item["name"] for item in page["items"]] in (["alpha", "Beta"], ["Beta", "alpha"])
    assert (page["totalCount"], page["totalPages"], page["hasNextPage"], page["hasPreviousPage"]) == (3, 2, True, False)
    assert page["items"][0]["stepCount"] == 1
    assert (beyond["items"], beyond["totalCount"], beyond["pageSize"]) == ([], 3, 100)
    assert (await api.http.get("/api/v1/schedules", params={"pageSize": 0})).status_code == 400


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "name", "The field name is required."),
        ({"nam": "x"}, "name", "The field name is required. nam is unknown: did you mean name?"),
        ({"colour": "x"}, "name", "The field name is required."),
        (
            {"name": "n", "steps": [{"stepType": "Executable", "executablepat": "/bin/true"}]},
            "steps[0].executablePath",
            "Executable path is required for Executable steps. executablepat is unknown: did you mean executablePath?",
        ),
        ({"name": "  "}, "name", "empty"),
        ({"name": "x" * 201}, "name", "200"),
        ({"name": "n", "triggerType": "Cron"}, "daysOfWeek", ""),
        ({"name": "n", "triggerType": "Sometimes"}, "triggerType", "Cron, Manual"),
        ({"name": "n", "triggerType": 1}, "triggerType", "Cron, Manual"),
        ({"name": "n", "isEnabled": "yes"}, "isEnabled", ""),
        ({"name": "n", "steps": [{"stepType": "Teleport"}]}, "steps[0].stepType", "Unknown step type: Teleport"),
        (
            {"name": "n", "steps": [TRUE, {}]},
            "steps[1].connectedSystemId",
            "Connected System ID is required for RunProfile steps",
        ),
        (
            {"name": "n", "steps": [{"stepType": "PowerShell"}]},
            "steps[0].scriptPath",
            "Script path is required for PowerShell steps",
        ),
        (
            {"name": "n", "steps": [{"stepType": "Executable"}]},
            "steps[0].executablePath",
            "Executable path is required for Executable steps",
        ),
        ({"name": "n", "steps": [TRUE | {"timeoutSeconds": 0}]}, "steps[0].timeoutSeconds", "at least 1"),
        ({"name": "n", "steps": [TRUE | {"timeoutSeconds": 86401}]}, "steps[0].timeoutSeconds", "86400"),
        ({"name": "n", "steps": [TRUE | {"maxAttempts": 11}]}, "steps[0].maxAttempts", "10"),
        ({"name": "n", "steps": [TRUE | {"id": "nope"}]}, "steps[0].id", "GUID"),
        ({"name": "n", "steps": None}, "steps", ""),
        ({"name": "n", "steps": [None]}, "steps[0]", ""),
    ],
)
async def test_bad_input_is_a_400_that_names_the_field(api: Rota, body: dict[str, Any], field: str, says: str) -> None:
    answer = await api.http.post("/api/v1/schedules", json=body)

    assert answer.status_code == 400, answer.text
    error = answer.json()
    assert set(error) == {"code", "message", "details", "validationErrors", "timestamp"}
    assert error["code"] == "VALIDATION_ERROR"
    assert field in error["validationErrors"], error
    assert says in " ".join(error["validationErrors"][field])
    assert (await api.http.get("/api/v1/schedules")).json()["totalCount"] == 0


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"name": "a", "Name": "b"}', "application/json", 400),
        (b'{"name": "a\\u0000b"}', "application/json", 400),
        (b'{"name": ' + b"[" * 40 + b"]" * 40 + b"}", "application/json", 400),
        (b"name=a", "application/x-www-form-urlencoded", 415),
        (b'{"name": "a"}', "application/json; charset=utf-16", 415),
        (b'\xef\xbb\xbf{"name": "with a byte-order mark"}', "text/json", 201),
        (
            b'{"NAME": "any case", "isenabled": false, "intervalValue": "5"}',
            "application/vnd.x+json; charset=UTF-8",
            201,
        ),
        (b'{"name": "' + b"x" * (8 * 1024 * 1024) + b'"}', "application/json", 413),
    ],
)
async def test_what_counts_as_json(api: Rota, content: bytes, content_type: str, status: int) -> None:
    answer = await api.http.post("/api/v1/schedules", content=content, headers={"Content-Type": content_type})

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"


async def test_keys_and_roles(api: Rota, catalogue: Catalogue) -> None:
    reader, reader_secret = new_api_key("reader", Role.READER)
    expired, expired_secret = new_api_key("expired", Role.ADMINISTRATOR, datetime.now(UTC) - timedelta(seconds=1))
    async with catalogue.write() as session:
        session.add_all([reader, expired])

    async def ask(method: str, key: str | None) -> httpx.Response:
        async with httpx.AsyncClient(base_url=api.http.base_url) as http:
            headers = {"X-API-Key": key} if key is not None else {}
            return await http.request(
                method, "/api/v1/schedules", headers=headers, json={"name": "n"} if method == "POST" else None
            )

    for key in (None, "", "rota_ak_" + "0" * 64, expired_secret):
        answer = await ask("GET", key)
        assert answer.status_code == 401
        assert answer.json()["code"] == "UNAUTHORISED"
    assert (await ask("GET", reader_secret)).status_code == 200
    forbidden = await ask("POST", reader_secret)
    assert forbidden.status_code == 403
    assert forbidden.json()["code"] == "FORBIDDEN"
    async with httpx.AsyncClient(base_url=api.http.base_url, headers={"X-API-Key": reader_secret}) as http:
        preview = await http.post("/api/v1/schedules/preview", json={"cronExpression": "0 6 * * *"})
    assert (preview.status_code, len(preview.json()["items"])) == (200, 10)


async def test_names_are_unique_and_unknown_things_are_404(api: Rota) -> None:
    schedule = await api.create(name="Only one")

    taken = await api.http.post("/api/v1/schedules", json={"name": "Only one"})
    other_case = await api.http.post("/api/v1/schedules", json={"name": "only ONE"})
    nowhere = await api.http.get(f"/api/v1/schedules/{uuid.uuid4()}")
    no_guid = await api.http.get("/api/v1/schedules/nope")
    no_route = await api.http.get("/api/v1/nothing/here")
    no_method = await api.http.patch(f"/api/v1/schedules/{schedule['id']}")
    no_execution = await api.http.get(f"/api/v1/schedule-executions/{uuid.uuid4()}")

    assert (taken.status_code, taken.json()["code"]) == (409, "CONFLICT")
    assert other_case.status_code == 201
    assert nowhere.json()["message"].startswith("Schedule not found: ")
    assert no_execution.json()["message"].startswith("Schedule execution not found: ")
    for answer in (nowhere, no_guid, no_route, no_execution):
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert (no_method.status_code, no_method.json()["code"]) == (405, "METHOD_NOT_ALLOWED")


async def test_without_temporal_nothing_changes_and_the_catalogue_goes_on_answering(api: Rota, api_key: str) -> None:
    schedule = await api.create(TRUE, **{**EXAMPLE, "name": "kept", "steps": [TRUE]})
    manual = await api.create(TRUE, name="manual")
    nowhere = await Client.connect("127.0.0.1:1", lazy=True, data_converter=data_converter)
    async with (
        serving(api.settings, nowhere) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-Key": api_key}, timeout=60) as http,
    ):
        created, ran, deleted = await asyncio.gather(
            http.post("/api/v1/schedules", json={**EXAMPLE, "name": "refused"}),
            http.post(f"/api/v1/schedules/{schedule['id']}/run"),
            http.delete(f"/api/v1/schedules/{schedule['id']}"),
        )
        described = await http.put(f"/api/v1/schedules/{schedule['id']}", json={"description": "needs no Temporal"})
        dropped = await http.delete(f"/api/v1/schedules/{manual['id']}")
        listed = await http.get("/api/v1/schedules")
        executions = await http.get("/api/v1/schedule-executions")
        history = await http.get(f"/api/v1/schedules/{schedule['id']}/change-history")
        ready = await http.get("/api/v1/health/ready")

    for answer in (created, ran, deleted):
        assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    assert (described.status_code, dropped.status_code) == (200, 204)
    assert [item["name"] for item in listed.json()["items"]] == ["kept"]
    assert listed.json()["items"][0]["lastRunTime"] is None
    assert executions.json()["items"] == []
    assert [item["operation"] for item in history.json()["items"]] == ["Update", "Create"]
    assert ready.status_code == 503


async def test_an_api_on_a_catalogue_without_a_schema_is_not_ready(
    settings: Settings, client: Client, database_url: str
) -> None:
    command.downgrade(alembic_config(database_url), "0001")
    newest = revisions()[-1]
    async with serving(settings, client) as url, httpx.AsyncClient(base_url=f"{url}/api/v1/health") as http:
        older = await http.get("/ready")
        command.downgrade(alembic_config(database_url), "base")
        empty = await http.get("/ready")
        migrate(database_url)
        migrated = await http.get("/ready")

    assert (older.status_code, older.json()["status"], older.json()["reason"]) == (
        503,
        "not_ready",
        f"the catalogue is at schema 0001, and this version needs {newest}: run `rota migrate`",
    )
    assert (empty.status_code, empty.json()["status"], empty.json()["reason"]) == (
        503,
        "not_ready",
        "the catalogue has no schema: run `rota migrate`",
    )
    assert (migrated.status_code, migrated.json()["reason"]) == (200, None)


async def test_health_counts_workers(rota: Rota) -> None:
    async with httpx.AsyncClient(base_url=rota.http.base_url) as anyone:

        async def ready_with_worker() -> dict[str, Any] | None:
            answer: dict[str, Any] = (await anyone.get("/api/v1/health/ready")).json()
            return answer if answer["workers"] else None

        ready = await eventually(ready_with_worker)
        version = await anyone.get("/api/v1/health/version")
        health = await anyone.get("/api/v1/health")

    assert ready is not None
    assert (ready["status"], ready["workers"]) == ("ready", 1)
    assert version.json()["product"] == "Rota"
    assert health.json()["status"] == "healthy"
