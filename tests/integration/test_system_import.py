"""Connected systems that come with their ids: all or none, beside what is there, and the ids that follow."""

from typing import Any

import pytest

from tests.integration.stack import Rota
from tests.integration.test_connected_systems import COMMAND, SYSTEMS, keyed

__all__ = ["keyed"]


def system(system_id: int, name: str, *profiles: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return COMMAND | {"id": system_id, "name": name, "description": None, "runProfiles": list(profiles)} | fields


def profile(profile_id: int, name: str, **fields: Any) -> dict[str, Any]:
    return {"id": profile_id, "name": name, "runType": "FullImport", "settings": {}} | fields


async def imported(api: Rota, *systems: dict[str, Any], status: int = 200, query: str = "", **fields: Any) -> Any:
    answer = await api.http.post(f"{SYSTEMS}/import{query}", json={"connectedSystems": list(systems)} | fields)
    assert answer.status_code == status, answer.text
    return answer.json()


async def stored(api: Rota) -> dict[str, Any]:
    systems = (await api.http.get(SYSTEMS)).json()["items"]
    return {
        f"{one['id']} {one['name']}": [
            f"{p['id']} {p['name']} {p['runType']}"
            for p in (await api.http.get(f"{SYSTEMS}/{one['id']}/run-profiles")).json()
        ]
        for one in systems
    }


def results(answer: dict[str, Any]) -> list[str]:
    return [
        line
        for one in answer["connectedSystems"]
        for line in (f"{one['id']} {one['result']}", *(f"{p['id']} {p['result']}" for p in one["runProfiles"]))
    ]


HR = system(7, "HR", profile(40, "Full import"), profile(12, "Delta import"))
BADGES = system(3, "Badges", profile(13, "Full import"))


async def test_ids_are_kept_and_later_ones_count_on(api: Rota) -> None:
    ahead = await imported(api, HR, BADGES, query="?dryRun=true")
    assert results(ahead) == ["7 Created", "40 Created", "12 Created", "3 Created", "13 Created"]
    assert await stored(api) == {}

    assert await imported(api, HR, BADGES) == ahead
    there = {
        "3 Badges": ["13 Full import FullImport"],
        "7 HR": ["12 Delta import FullImport", "40 Full import FullImport"],
    }
    assert await stored(api) == there
    again = await imported(api, HR, BADGES)
    assert {line.split()[1] for line in results(again)} == {"Unchanged"}

    created = (await api.http.post(SYSTEMS, json=COMMAND | {"name": "Directory"})).json()
    assert created["id"] == 8
    new = (await api.http.post(f"{SYSTEMS}/8/run-profiles", json={"name": "Export"})).json()
    assert new["id"] == 41
    await imported(api, system(5, "Late"))
    assert (await api.http.post(SYSTEMS, json=COMMAND | {"name": "Last"})).json()["id"] == 9


async def test_ids_do_not_run_out(api: Rota) -> None:
    await imported(api, system(10**9, "Highest", profile(10**9, "Highest")))

    system_id = (await api.http.post(SYSTEMS, json=COMMAND | {"name": "Next"})).json()["id"]
    new = await api.http.post(f"{SYSTEMS}/{system_id}/run-profiles", json={"name": "Next"})
    assert (system_id, new.json()["id"]) == (10**9 + 1, 10**9 + 1)


async def test_what_is_there_is_kept_or_updated(api: Rota) -> None:
    await imported(api, HR)
    changed = system(7, "HR", profile(40, "Everything"), profile(12, "Delta import", runType="Export"), description="x")

    assert results(await imported(api, changed)) == ["7 Kept", "40 Kept", "12 Kept"]
    assert "40 Full import FullImport" in (await stored(api))["7 HR"]
    assert results(await imported(api, changed, update=True)) == ["7 Updated", "40 Updated", "12 Updated"]
    assert await stored(api) == {"7 HR": ["12 Delta import Export", "40 Everything FullImport"]}
    renamed = system(7, "People", profile(12, "Delta import", runType="Export"), description="x")
    assert results(await imported(api, renamed, update=True)) == ["7 Updated", "12 Unchanged"]
    assert list(await stored(api)) == ["7 People"]


OTHER = {"executablePath": "/bin/false"}


CONFLICTS: list[tuple[list[dict[str, Any]], dict[str, str]]] = [
    (
        [system(7, "Other", settings=OTHER)],
        {"connectedSystems[1].id": "The id 7 is taken by the connected system 'HR' (Command)."},
    ),
    (
        [system(9, "HR")],
        {"connectedSystems[1].name": "The name 'HR' is taken by the connected system 7."},
    ),
    (
        [system(9, "New", profile(40, "x"), profile(50, "y"))],
        {"connectedSystems[1].runProfiles[0].id": "The id 40 is taken by the run profile 'Full import' of 'HR' (7)."},
    ),
    (
        [system(7, "HR", profile(50, "Full import"))],
        {
            "connectedSystems[1].runProfiles[0].name": (
                "The name 'Full import' is taken by the run profile 40 of the same system."
            ),
        },
    ),
    (
        [system(9, "HR"), system(10, "New", profile(12, "x"))],
        {
            "connectedSystems[1].name": "The name 'HR' is taken by the connected system 7.",
            "connectedSystems[2].runProfiles[0].id": (
                "The id 12 is taken by the run profile 'Delta import' of 'HR' (7)."
            ),
        },
    ),
]


async def test_what_is_taken_by_something_else_stops_it_all(api: Rota) -> None:
    await imported(api, HR)
    before = await stored(api)

    for systems, conflicts in CONFLICTS:
        for update in (False, True):
            refused = await imported(api, BADGES, *systems, status=409, update=update)
            assert refused["code"] == "CONFLICT"
            assert refused["validationErrors"] == {name: [message] for name, message in conflicts.items()}
            if len(conflicts) > 1:
                assert refused["message"] == "2 ids or names are taken: nothing was imported."
    assert await stored(api) == before


WRONG: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([system(1, "A"), system(1, "B")], ["connectedSystems[0].id", "connectedSystems[1].id"]),
    ([system(1, "A"), system(2, "A")], ["connectedSystems[0].name", "connectedSystems[1].name"]),
    (
        [system(1, "A", profile(1, "x")), system(2, "B", profile(1, "x"))],
        ["connectedSystems[0].runProfiles[0].id", "connectedSystems[1].runProfiles[0].id"],
    ),
    ([system(1, "A", profile(1, "x"), profile(2, "x"))], ["connectedSystems[0].runProfiles[0].name"]),
    ([system(0, "A")], ["connectedSystems[0].id"]),
    ([system(10**9 + 1, "A")], ["connectedSystems[0].id"]),
    ([system(1, " ")], ["connectedSystems[0].name"]),
    ([system(1, "A", connectorName="None")], ["connectedSystems[0].connectorName"]),
    ([system(1, "A", settings={})], ["connectedSystems[0].settings.executablePath"]),
    (
        [system(1, "A", profile(1, "x", settings={"arguments": 1}))],
        ["connectedSystems[0].runProfiles[0].settings."],
    ),
]


async def test_what_cannot_be_is_a_400_that_names_the_field(api: Rota) -> None:
    for systems, fields in WRONG:
        refused = await imported(api, *systems, status=400)
        for field in fields:
            assert any(name.startswith(field) for name in refused["validationErrors"]), refused
    assert await stored(api) == {}


@pytest.mark.usefixtures("keyed")
async def test_secrets_are_compared_in_clear(api: Rota) -> None:
    settings = {"url": "https://jim", "apiKey": "planted-key"}
    keyed_system = system(7, "HR", connectorName="Keyed", settings=settings)
    await imported(api, keyed_system)
    assert results(await imported(api, keyed_system)) == ["7 Unchanged"]
    other_key = keyed_system | {"name": "Renamed", "settings": settings | {"apiKey": "other"}}
    assert results(await imported(api, other_key)) == ["7 Kept"]
    other_url = keyed_system | {"name": "Renamed", "settings": settings | {"url": "https://other"}}
    assert "'HR' (Keyed)" in (await imported(api, other_url, status=409))["message"]
    assert "planted-key" not in (await api.http.get(f"{SYSTEMS}/7")).text


async def test_names_that_pass_round_are_told(api: Rota) -> None:
    await imported(api, system(1, "A"), system(2, "B"))
    swapped = await imported(api, system(1, "B"), system(2, "A"), status=409, update=True)
    assert swapped["message"].startswith("Some exchange their names")
    assert list(await stored(api)) == ["1 A", "2 B"]
