"""Changes of a schedule: whole or not at all, whoever else changes it, and only of the version that is meant."""

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection
from temporalio.client import Client

from catalogue.engine import Catalogue
from catalogue.schedules import Schedule, ScheduleStep, get_schedule, get_steps, read_schedule
from contracts.ids import trigger_id
from runtime.secrets import SecretBox
from runtime.temporal import data_converter
from tests.integration.stack import Rota, serving

SCHEDULES = "/api/v1/schedules"
DAILY = {"triggerType": "Cron", "patternType": "SpecificTimes", "daysOfWeek": "1", "runTimes": "06:00"}
DATABASE = {
    "stepType": "SqlScript",
    "sqlConnectionString": "postgresql://rota:first-password@db.example/hr",
    "sqlScriptPath": "load.sql",
}


def executable(**fields: Any) -> dict[str, Any]:
    return {"stepType": "Executable", "executablePath": "/bin/true"} | fields


async def test_writers_at_once_never_mix(api: Rota, api_key: str) -> None:
    schedule = await api.create(executable(name="first"), **DAILY)
    path = f"{SCHEDULES}/{schedule['id']}"
    kept = schedule["steps"][0]["id"]

    def body(writer: int) -> dict[str, Any]:
        steps = [executable(name=f"{writer}.{index}", stepIndex=index) for index in range(writer)]
        return DAILY | {
            "description": str(writer),
            "runTimes": f"06:{writer:02}",
            "isEnabled": True,
            "steps": [{"id": kept, "name": f"{writer}.kept"}, *steps],
        }

    # Two processes of the API, as it were: each has connections and turns of its own.
    async with (
        serving(api.settings, api.temporal) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-Key": api_key}, timeout=30) as other,
    ):
        answers = await asyncio.gather(
            *((api.http, other)[writer % 2].put(path, json=body(writer)) for writer in range(1, 9)),
        )

    assert {answer.status_code for answer in answers} == {200}
    left = (await api.http.get(path)).json()
    winner = int(left["description"])
    assert left == answers[winner - 1].json()
    assert left["runTimes"] == f"06:{winner:02}"
    expected = {f"{winner}.kept", *(f"{winner}.{index}" for index in range(winner))}
    assert {step["name"] for step in left["steps"]} == expected
    trigger = await api.temporal.get_schedule_handle(trigger_id(uuid.UUID(schedule["id"]))).describe()
    assert trigger.info.next_action_times[0].minute == winner


async def test_what_is_read_is_of_one_moment(catalogue: Catalogue) -> None:
    schedule = Schedule(name="before")
    async with catalogue.write() as session:
        session.add(schedule)

    async def rename(name: str) -> None:
        async with catalogue.write() as session:
            (await session.get_one(Schedule, schedule.id)).name = name

    async with catalogue.read() as reader:
        await (await reader.connection()).run_sync(get_steps, schedule.id)
        await rename("while it is read")
        seen = await get_schedule(reader, schedule.id)
    assert seen is not None
    assert seen.name == "before"

    loop = asyncio.get_running_loop()

    def read(connection: Connection) -> Schedule | None:
        get_steps(connection, schedule.id)
        asyncio.run_coroutine_threadsafe(rename("while it is read in a thread"), loop).result()
        return read_schedule(connection, schedule.id)

    seen = await catalogue.read_short(read)
    assert seen is not None
    assert seen.name == "while it is read"


async def test_a_change_that_is_refused_late_changes_nothing(api: Rota, api_key: str) -> None:
    schedule = await api.create(executable(name="one"), executable(name="two", stepIndex=1), **DAILY, isEnabled=True)
    disabled = await api.create(executable(), **DAILY, isEnabled=False)
    taken = await api.create(name="taken")
    path = f"{SCHEDULES}/{schedule['id']}"
    change: dict[str, Any] = {
        "name": "changed",
        "runTimes": "07:00",
        "steps": [{"id": schedule["steps"][1]["id"], "name": "changed"}, executable(name="new")],
    }
    refusals = [
        (change | {"steps": [*change["steps"], {"stepType": "PowerShell"}]}, 400),
        (change | {"steps": [*change["steps"], executable(id=disabled["steps"][0]["id"])]}, 400),
        (change | {"timeZone": "Mars/Base"}, 400),
        (change | {"name": taken["name"]}, 409),
    ]
    for body, status in refusals:
        answer = await api.http.put(path, json=body)
        assert answer.status_code == status, answer.text
    assert answer.json()["message"] == "A schedule named 'taken' exists already."
    nowhere = await Client.connect("127.0.0.1:1", lazy=True, data_converter=data_converter)
    async with (
        serving(api.settings, nowhere) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-Key": api_key}, timeout=60) as http,
    ):
        answers = await asyncio.gather(
            http.put(path, json=change),
            http.post(f"{SCHEDULES}/{disabled['id']}/enable"),
        )

    assert [answer.status_code for answer in answers] == [503, 503]
    assert (await api.http.get(path)).json() == schedule
    assert (await api.http.get(f"{SCHEDULES}/{disabled['id']}")).json() == disabled


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_masked_secret_stands_for_the_stored_one_where_nothing_else_changed(
    api: Rota, catalogue: Catalogue
) -> None:
    schedule = await api.create(DATABASE, executable(stepIndex=1))
    path = f"{SCHEDULES}/{schedule['id']}"
    step, other = schedule["steps"]
    assert step["sqlConnectionString"] == "postgresql://rota:***@db.example/hr"

    async def stored_secret() -> str:
        async with catalogue.read() as session:
            row = await session.get_one(ScheduleStep, uuid.UUID(step["id"]))
        sealed = row.config["sql_connection_string"]
        assert "first-password" not in sealed
        return SecretBox(api.settings.sealing_key).open(sealed)

    kept = await api.http.put(path, json={"steps": [step | {"sqlScriptPath": "other.sql", "name": "n"}, other]})
    assert kept.json()["steps"][0] == step | {"sqlScriptPath": "other.sql", "name": "n"}
    assert await stored_secret() == DATABASE["sqlConnectionString"]
    for refused in (
        step | {"sqlConnectionString": "postgresql://rota:***@elsewhere.example/hr"},
        step | {"sqlConnectionString": "postgresql://root:***@db.example/hr"},
        step | {"sqlConnectionString": "postgresql://rota:***@db.example/hr?host=elsewhere.example"},
        step | {"id": None},
        step | {"id": str(uuid.uuid4())},
        step | {"id": other["id"]},
    ):
        answer = await api.http.put(path, json={"steps": [refused]})
        assert answer.status_code == 400, answer.text
        assert set(answer.json()["validationErrors"]) == {"steps[0].sqlConnectionString"}
    assert await stored_secret() == DATABASE["sqlConnectionString"]


async def test_the_etag_follows_what_clients_write(api: Rota) -> None:
    steps = [executable(stepIndex=1), DATABASE]
    created = await api.http.post(SCHEDULES, json=DAILY | {"name": "n", "isEnabled": True, "steps": steps})
    schedule = created.json()
    path = f"{SCHEDULES}/{schedule['id']}"
    etag = created.headers["etag"]
    assert etag.startswith('"')

    async def etag_now() -> str:
        return str((await api.http.get(path)).headers["etag"])

    assert await etag_now() == etag
    await api.run(schedule)
    after_run = await api.http.get(path)
    assert after_run.json()["lastRunTime"] is not None
    assert after_run.headers["etag"] == etag
    same = await api.http.put(path, json=after_run.json())
    assert same.json()["steps"][0]["sqlConnectionString"] == "postgresql://rota:***@db.example/hr"
    assert same.headers["etag"] == etag
    assert (await api.http.post(f"{path}/enable")).headers["etag"] == etag

    step = {"id": schedule["steps"][0]["id"]}
    seen = {etag}
    for change in (
        {"description": "new"},
        {"jitterSeconds": 1},
        {"steps": [step | {"sqlConnectionString": "postgresql://rota:second-password@db.example/hr"}]},
        {"steps": [step | {"continueOnFailure": True}]},
        {"steps": [step, executable()]},
    ):
        changed = await api.http.put(path, json=change)
        assert changed.status_code == 200, changed.text
        assert changed.headers["etag"] == await etag_now()
        assert changed.headers["etag"] not in seen
        seen.add(changed.headers["etag"])
    assert (await api.http.post(f"{path}/disable")).headers["etag"] not in seen


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_if_match_lets_a_change_be_of_the_version_that_was_read(api: Rota) -> None:
    created = await api.http.post(SCHEDULES, json=DAILY | {"name": "n", "steps": [executable()]})
    path = f"{SCHEDULES}/{created.json()['id']}"
    first = created.headers["etag"]
    second = (await api.http.put(path, json={"description": "x"}, headers={"If-Match": first})).headers["etag"]
    before = (await api.http.get(path)).json()

    wrong = {
        first: (412, "PRECONDITION_FAILED", "has been changed since it was read"),
        '"unknown", "tags"': (412, "PRECONDITION_FAILED", "has been changed since it was read"),
        f'"unknown", W/{second}': (412, "PRECONDITION_FAILED", 'A weak tag (`W/"..."`) never matches'),
    } | dict.fromkeys(
        (second.strip('"'), second[:-1], f"{second} {second}", f"w/{second}", f"*, {second}", ",", ""),
        (400, "VALIDATION_ERROR", 'with its quotes, as in `If-Match: "..."`'),
    )
    for sent, (status, code, said) in wrong.items():
        headers = {"If-Match": sent}
        for answer in (
            await api.http.put(path, json={"description": "y"}, headers=headers),
            await api.http.put(f"{path}?dryRun=true", json={"description": "y"}, headers=headers),
            await api.http.post(f"{path}/enable", headers=headers),
            await api.http.post(f"{path}/disable", headers=headers),
            await api.http.delete(path, headers=headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert answer.json().keys() == {"code", "message", "details", "validationErrors", "timestamp"}
            assert said in answer.json()["message"]
            assert (answer.json()["validationErrors"] or {}).keys() == ({"If-Match"} if status == 400 else set())
    assert (await api.http.get(path)).json() == before
    for headers in ({"If-Match": f'"other", {second}'}, {"If-Match": f", {second},"}, {"If-Match": "*"}):
        assert (await api.http.put(path, json={"description": "x"}, headers=headers)).status_code == 200
    assert (await api.http.post(f"{path}/enable", headers={"If-Match": second})).status_code == 200
    unknown = await api.http.put(f"{SCHEDULES}/{uuid.uuid4()}", json={}, headers={"If-Match": "*"})
    assert unknown.status_code == 404
    assert (await api.http.delete(path, headers={"If-Match": "*"})).status_code == 204


async def test_of_many_changes_of_one_version_one_is_made(api: Rota) -> None:
    schedule = await api.http.post(SCHEDULES, json={"name": "n"})
    path, headers = f"{SCHEDULES}/{schedule.json()['id']}", {"If-Match": schedule.headers["etag"]}

    answers = await asyncio.gather(
        *(api.http.put(path, json={"description": str(writer)}, headers=headers) for writer in range(8)),
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    [made] = [answer for answer in answers if answer.is_success]
    assert (await api.http.get(path)).json() == made.json()
