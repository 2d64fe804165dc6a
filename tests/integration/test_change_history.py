"""Change history: every change is a version, nothing else is, and no version shows a secret."""

import asyncio
import uuid
from typing import Any

import httpx
from sqlalchemy import text

from catalogue.engine import Catalogue
from catalogue.schedules import Schedule
from tests.integration.stack import Rota, serving

TRUE = {"stepType": "Executable", "executablePath": "/bin/true"}
FIRST_SECRET, SECOND_SECRET = "canary-one-7391", "canary-two-4416"


def sql(secret: str) -> dict[str, Any]:
    return {
        "name": "Load",
        "stepType": "SqlScript",
        "sqlConnectionString": f"postgresql://loader:{secret}@db.example/hr",
        "sqlScriptPath": "load.sql",
    }


class History:
    """The change history of one schedule, and changes of it."""

    def __init__(self, api: Rota, schedule_id: str) -> None:
        self.http = api.http
        self.path = f"/api/v1/schedules/{schedule_id}"

    async def put(self, **fields: Any) -> dict[str, Any]:
        return answered(await self.http.put(self.path, json=fields))

    async def listed(self, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get("", **query))["items"]
        return items

    async def get(self, place: str, **query: Any) -> dict[str, Any]:
        return answered(await self.http.get(f"{self.path}/change-history{place}", params=query))

    async def compare(self, old: int, new: int) -> dict[str, Any]:
        return await self.get("/compare", fromVersion=old, toVersion=new)


def answered(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def fields(node: dict[str, Any]) -> dict[str, tuple[str, Any, Any]]:
    """The fields right below a node."""
    return {
        child["name"]: (child["change"], child["oldValue"], child["newValue"])
        for child in node["children"]
        if child["kind"] == "Field"
    }


def steps(diff: dict[str, Any]) -> list[dict[str, Any]]:
    return [child for node in diff["root"]["children"] if node["kind"] == "Steps" for child in node["children"]]


async def test_each_change_is_a_version_and_outlives_the_schedule(api: Rota) -> None:
    schedule = await api.create(TRUE, description="old", changeReason="ticket 1")
    history = History(api, schedule["id"])
    await history.put(description="new", changeReason='because é & "q"')
    await history.put(description="new", changeReason="says nothing new")
    for action in ("enable", "enable", "disable"):
        answered(await api.http.post(f"{history.path}/{action}?changereason=go%20%C3%A9%26x"))
    assert (await api.http.delete(f"{history.path}?changeReason=no longer needed")).status_code == 204

    versions = await history.listed()

    assert [(item["version"], item["operation"], item["summary"], item["reason"]) for item in versions] == [
        (5, "Delete", "Deleted with 1 step", "no longer needed"),
        (4, "Disable", "Disabled", "go é&x"),
        (3, "Enable", "Enabled", "go é&x"),
        (2, "Update", "Changed description", 'because é & "q"'),
        (1, "Create", "Created with 1 step", "ticket 1"),
    ]
    assert {(item["initiatedByType"], item["initiatedByName"]) for item in versions} == {("ApiKey", "tests")}
    assert all(uuid.UUID(item["initiatedById"]) and uuid.UUID(item["activityId"]) for item in versions)
    assert all(item["when"].endswith("Z") and item["diff"] is None for item in versions)
    assert (await api.http.get(history.path)).status_code == 404


async def test_a_version_holds_the_schedule_and_its_difference(api: Rota) -> None:
    schedule = await api.create(TRUE | {"name": "one"}, name=f"s {uuid.uuid4()}", description="old")
    history = History(api, schedule["id"])
    one = schedule["steps"][0]
    changed = await history.put(
        description=None,
        timeZone="Europe/London",
        steps=[{"id": one["id"], "timeoutSeconds": 60}, TRUE | {"name": "two", "stepIndex": 1}],
    )
    await history.put(steps=[changed["steps"][1]])
    assert (await api.http.delete(history.path)).status_code == 204

    created, second, third, deleted = [await history.get(f"/{version}") for version in (1, 2, 3, 4)]

    for name, value in created["snapshot"].items():
        assert schedule[name] == value, name
    assert created["snapshot"]["steps"] == [one]
    assert second["snapshot"]["steps"] == changed["steps"]
    assert deleted["snapshot"] == third["snapshot"]
    diff = second["diff"]
    assert (diff["objectType"], diff["objectGuidId"], diff["objectName"]) == (
        "Schedule",
        schedule["id"],
        schedule["name"],
    )
    assert (diff["oldVersion"], diff["newVersion"], diff["hasChanges"]) == (1, 2, True)
    assert fields(diff["root"]) == {
        "description": ("Removed", "old", None),
        "timeZone": ("Modified", "UTC", "Europe/London"),
    }
    kept, added = steps(diff)
    assert (kept["name"], kept["id"], kept["change"]) == ("one", one["id"], "Modified")
    assert fields(kept) == {"timeoutSeconds": ("Added", None, 60)}
    assert (added["name"], added["change"]) == ("two", "Added")
    assert fields(added)["executablePath"] == ("Added", None, "/bin/true")
    assert (diff["addedCount"], diff["removedCount"], diff["modifiedCount"]) == (2, 1, 1)
    assert [(step["name"], step["change"]) for step in steps(third["diff"])] == [("one", "Removed")]
    assert (created["diff"]["oldVersion"], created["diff"]["root"]["change"]) == (None, "Added")
    assert deleted["diff"]["root"]["change"] == "Removed"
    both = await history.compare(1, 3)
    assert [(step["name"], step["change"]) for step in steps(both)] == [("two", "Added"), ("one", "Removed")]
    back = await history.compare(3, 1)
    assert fields(back["root"])["description"] == ("Added", None, "old")
    same = await history.compare(2, 2)
    assert (same["hasChanges"], same["root"]["change"], same["root"]["children"]) == (False, "Unchanged", [])


async def test_a_changed_secret_is_a_change_and_never_shown(api: Rota, catalogue: Catalogue) -> None:
    schedule = await api.create(sql(FIRST_SECRET))
    history = History(api, schedule["id"])
    [step] = schedule["steps"]
    masked = step["sqlConnectionString"]
    await history.put(steps=[{"id": step["id"], **sql(FIRST_SECRET)}])
    await history.put(steps=[step])
    assert len(await history.listed()) == 1
    for secret in (SECOND_SECRET, FIRST_SECRET):
        await history.put(steps=[{"id": step["id"], **sql(secret)}])

    second = await history.get("/2")

    [changed] = steps(second["diff"])
    [field] = changed["children"]
    assert (field["name"], field["change"], field["isSecret"]) == ("sqlConnectionString", "Modified", True)
    assert (field["oldValue"], field["newValue"]) == (masked, masked)
    assert (await history.compare(2, 3))["modifiedCount"] == 1
    assert (await history.compare(1, 3))["hasChanges"] is False
    seen = str([await history.listed(), second, await history.get("/1"), await history.compare(1, 2)])
    async with catalogue.read() as session:
        rows = (await (await session.connection()).execute(text("SELECT * FROM schedule_version"))).all()
    for secret in (FIRST_SECRET, SECOND_SECRET):
        assert secret not in seen
        assert secret not in str(rows)


async def test_writers_at_once_get_a_version_each(api: Rota, api_key: str) -> None:
    schedule = await api.create(TRUE)
    history = History(api, schedule["id"])
    changes: list[dict[str, Any]] = [
        {"description": str(n)} if n % 4 < 2 else {"catchUpWindowSeconds": 100 + n} for n in range(16)
    ]
    async with (
        serving(api.settings, api.temporal) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-Key": api_key}, timeout=30) as other,
    ):
        answers = await asyncio.gather(
            *(
                (other if n % 2 else api.http).put(history.path, json=change | {"changeReason": str(n)})
                for n, change in enumerate(changes)
            ),
        )

    assert {answer.status_code for answer in answers} == {200}
    versions = await history.listed(sortDirection="asc")
    assert [item["version"] for item in versions] == list(range(1, 18))
    assert sorted(int(item["reason"]) for item in versions[1:]) == list(range(16))
    # Each is the version before it and its own change: nobody wrote down what another had changed meanwhile.
    for item in versions[1:]:
        diff = (await history.get(f"/{item['version']}"))["diff"]
        assert {name: new for name, (_, _, new) in fields(diff["root"]).items()} == changes[int(item["reason"])]


async def test_what_is_refused_leaves_no_version(api: Rota) -> None:
    taken = await api.create(TRUE)
    schedule = await api.create(TRUE)
    history = History(api, schedule["id"])

    for body, status in (
        ({"name": taken["name"]}, 409),
        ({"description": "x", "changeReason": "x" * 2001}, 400),
        ({"steps": [{"stepType": "PowerShell"}]}, 400),
    ):
        assert (await api.http.put(history.path, json=body)).status_code == status
    assert (await api.http.put(f"{history.path}?dryRun=true", json={"description": "x"})).status_code == 200
    assert (await api.http.delete(f"{history.path}?changeReason={'x' * 2001}")).status_code == 400

    assert [item["version"] for item in await history.listed()] == [1]


async def test_runs_are_no_changes(rota: Rota) -> None:
    schedule = await rota.create(TRUE)
    await rota.ended(await rota.run(schedule))

    assert [item["operation"] for item in await History(rota, schedule["id"]).listed()] == ["Create"]


async def test_a_schedule_older_than_its_history_begins_with_what_it_was(api: Rota, catalogue: Catalogue) -> None:
    old = Schedule(name="Older", description="before")
    async with catalogue.write() as session:
        session.add(old)
    history = History(api, str(old.id))
    assert await history.listed() == []

    await history.put(description="after")

    update, baseline = await history.listed()
    assert (update["version"], update["operation"], update["initiatedByName"]) == (2, "Update", "tests")
    assert (baseline["version"], baseline["operation"], baseline["initiatedByType"]) == (1, "Create", "System")
    assert (await history.get("/1"))["snapshot"]["description"] == "before"
    assert fields((await history.get("/2"))["diff"]["root"]) == {"description": ("Modified", "before", "after")}


async def test_the_history_is_paged_sorted_and_filtered(api: Rota) -> None:
    schedule = await api.create(TRUE)
    history = History(api, schedule["id"])
    for number in range(3):
        await history.put(description=f"d{number}", changeReason=f"Ticket {number}")

    page = await history.get("", page=2, pageSize=3)
    assert ([item["version"] for item in page["items"]], page["totalCount"], page["hasPreviousPage"]) == ([1], 4, True)
    assert (await history.get(""))["pageSize"] == 25

    async def versions(**query: str) -> list[int]:
        return [item["version"] for item in await history.listed(**query)]

    assert await versions(sortBy="reason", sortDirection="ASC") == [2, 3, 4, 1]
    assert await versions(sortBy="when") == [4, 3, 2, 1]
    assert await versions(filter="reason:contains:ticket 2") == [4]
    assert await versions(filter="operation:eq:Create") == [1]


async def test_what_is_not_there_is_said(api: Rota) -> None:
    schedule = await api.create()
    expected = {
        "": 200,
        "/2": 404,
        "/0": 404,
        "/99999999999": 404,
        "/one": 404,
        "/compare?fromVersion=1&toVersion=2": 404,
        "/compare?FromVersion=1&toversion=1": 200,
        "/compare?fromVersion=1": 400,
        "/compare?fromVersion=0&toVersion=99999999999": 400,
        "?pageSize=0": 400,
        "?sortDirection=up": 400,
    }

    async def statuses(schedule_id: object) -> dict[str, int]:
        path = f"/api/v1/schedules/{schedule_id}/change-history"
        return {place: (await api.http.get(path + place)).status_code for place in expected}

    assert await statuses(schedule["id"]) == expected
    assert await statuses(uuid.uuid4()) == {
        place: max(status, 404) if status != 400 else 400 for place, status in expected.items()
    }
