"""Connected systems and run profiles over HTTP: JIM's lists, merging changes, and what may not be deleted."""

import asyncio
import uuid
from typing import Annotated, Any

import pytest
from pydantic import Field

from activities.connectors.connector import Connector, ConnectorSettings
from activities.support import registry
from activities.support.step_type import StepRun
from catalogue.connected_systems import ConnectedSystem
from catalogue.engine import Catalogue
from runtime.secrets import Sealed, SecretBox
from tests.integration.stack import Rota

SYSTEMS = "/api/v1/synchronisation/connected-systems"
COMMAND: dict[str, Any] = {"connectorName": "Command", "settings": {"executablePath": "/bin/true"}}
MASKED = "The field holds a masked secret"


class KeyedSettings(ConnectorSettings):
    """An address, and the key that is sent there."""

    url: str
    api_key: Annotated[str, Sealed()] = Field(max_length=100)
    note: str | None = None
    pages: int = 5


class Keyed(Connector[KeyedSettings, ConnectorSettings]):
    """A connector with a secret."""

    name = "Keyed"
    settings_model = KeyedSettings
    run_profile_model = ConnectorSettings

    async def run(self, step: StepRun[Any], settings: KeyedSettings, profile: ConnectorSettings) -> None:
        """Does nothing."""


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    connectors = {**registry.all_connectors(), "Keyed": Keyed()}
    monkeypatch.setattr("api.services.connected_systems.all_connectors", lambda: connectors)


async def made(api: Rota, path: str = SYSTEMS, **body: Any) -> dict[str, Any]:
    answer = await api.http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"{path}/{created['id']}"
    assert (await api.http.get(answer.headers["Location"])).json() == created
    return created


async def names(api: Rota, query: str) -> list[str]:
    answer = await api.http.get(f"{SYSTEMS}?{query}")
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["totalCount"] == len(page["items"])
    return [system["name"] for system in page["items"]]


async def test_lists_have_jims_shapes(api: Rota) -> None:
    hr = await made(api, **COMMAND, name="HR", description="People")
    profile = await made(api, f"{SYSTEMS}/{hr['id']}/run-profiles", name="Full import", runType="FullImport")
    bare = await made(api, f"{SYSTEMS}/{hr['id']}/run-profiles", name="Anything")

    page = (await api.http.get(SYSTEMS)).json()
    profiles = (await api.http.get(f"{SYSTEMS}/{hr['id']}/run-profiles")).json()

    created = hr.pop("created")
    assert created.endswith("Z")
    assert hr == {
        "id": 1,
        "name": "HR",
        "description": "People",
        "status": "Active",
        "objectCount": 0,
        "connectorsCount": 0,
        "pendingExportObjectsCount": 0,
        "connectorName": "Command",
        "connectorId": 0,
        "settings": {"executablePath": "/bin/true", "arguments": None, "workingDirectory": None},
        "warnings": [],
    }
    assert page == {
        "items": [{**hr, "created": created}],
        "totalCount": 1,
        "page": 1,
        "pageSize": 25,
        "totalPages": 1,
        "hasNextPage": False,
        "hasPreviousPage": False,
    }
    assert profiles == [profile, bare]
    assert profile == {
        "id": 1,
        "name": "Full import",
        "connectedSystemId": 1,
        "runType": "FullImport",
        "pageSize": 0,
        "partitionName": None,
        "targetsDeselectedPartition": False,
        "filePath": None,
        "verifyImportContentHashes": False,
        "settings": {"arguments": None, "workingDirectory": None},
        "warnings": [],
    }
    assert bare["runType"] == "NotSet"


async def test_fields_that_nothing_knows_are_told(api: Rota) -> None:
    misspelt = {"descripton": "x", "settings": {"executablePath": "/bin/true", "argumnets": "x", "ARGUMENTS": "y"}}
    created = (await api.http.post(SYSTEMS, json={"name": "HR", "connectorName": "Command"} | misspelt)).json()
    place = f"{SYSTEMS}/{created['id']}"
    said = [
        "descripton: unknown field, ignored. Did you mean description?",
        "settings.argumnets: unknown field, ignored. Did you mean arguments?",
    ]
    assert created["warnings"] == said
    assert (await api.http.put(place, json=misspelt)).json()["warnings"] == said
    shown = (await api.http.get(place)).json()
    assert shown["warnings"] == []
    # What was shown may be sent back.
    assert (await api.http.put(place, json=shown)).json() == shown

    misspelt = {"runtype": "Export", "colour": "red", "settings": {"workingDir": "/", "x": 1}}
    profile = (await api.http.post(f"{place}/run-profiles", json={"name": "Full"} | misspelt)).json()
    said = [
        "colour: unknown field, ignored.",
        "settings.workingDir: unknown field, ignored. Did you mean workingDirectory?",
        "settings.x: unknown field, ignored.",
    ]
    assert (profile["runType"], profile["warnings"]) == ("Export", said)
    place = f"{place}/run-profiles/{profile['id']}"
    assert (await api.http.put(place, json=misspelt)).json()["warnings"] == said
    shown = (await api.http.get(place)).json()
    assert (await api.http.put(place, json=shown)).json() == shown


async def test_a_required_field_that_is_misspelt_is_guessed(api: Rota) -> None:
    body = {"nam": "HR", "conectorName": "Command", "settings": {}}
    answer = await api.http.post(SYSTEMS, json=body)
    assert answer.status_code == 400
    assert answer.json()["validationErrors"] == {
        "name": ["The field name is required. nam is unknown: did you mean name?"],
        "connectorName": ["The field connectorName is required. conectorName is unknown: did you mean connectorName?"],
    }
    settings = {"executablPath": "/bin/true"}
    answer = await api.http.post(SYSTEMS, json={"name": "HR", "connectorName": "Command", "settings": settings})
    assert answer.json()["validationErrors"] == {
        "settings.executablePath": [
            "The field executablePath is required. executablPath is unknown: did you mean executablePath?"
        ]
    }


async def test_the_list_pages_sorts_and_filters(api: Rota, catalogue: Catalogue) -> None:
    descriptions = {"Delta": "50% of AD", "alpha": None, "Charlie": "ad", "bravo": "Payroll: weekly"}
    async with catalogue.write() as session:
        for name, description in descriptions.items():
            session.add(ConnectedSystem(name=name, description=description, connector_name="Command", settings={}))
            await session.flush()

    first = (await api.http.get(f"{SYSTEMS}?page=0&PAGESIZE=3&SortBy=id&sortDirection=DESC")).json()
    last = (await api.http.get(f"{SYSTEMS}?page=2&pageSize=3")).json()
    assert [system["id"] for system in first["items"]] == [4, 3, 2]
    assert (first["page"], first["totalPages"], first["hasNextPage"]) == (1, 2, True)
    assert [system["name"] for system in last["items"]] == ["bravo"]
    assert (await api.http.get(f"{SYSTEMS}?pageSize=1000")).json()["pageSize"] == 100

    # How letters stand to digits and to each other is the database's own business; what has no value is last.
    for direction in ("asc", "desc"):
        assert (await names(api, f"sortBy=description&sortDirection={direction}"))[-1] == "alpha"
    assert await names(api, "sortBy=created&sortDirection=desc") == ["bravo", "Charlie", "alpha", "Delta"]
    for unknown in ("sortBy=bogus", "sortBy=settings", "sortBy=objectCount&sortDirection=desc"):
        assert sorted(await names(api, unknown)) == sorted(descriptions)

    for query, found in {
        "filter=name:eq:Delta": ["Delta"],
        "filter=name:eq:delta": [],
        "filter=NAME:NE:Delta": ["alpha", "Charlie", "bravo"],
        "filter=name:contains:LPH": ["alpha"],
        "filter=name:startswith:c": ["Charlie"],
        "filter=name:endswith:VO": ["bravo"],
        "filter=description:contains:50%25": ["Delta"],
        "filter=description:contains:%25": ["Delta"],
        "filter=description:eq:Payroll: weekly": ["bravo"],
        "filter=description:ne:ad": ["Delta", "alpha", "bravo"],
        "filter=id:gt:2": ["Charlie", "bravo"],
        "filter=id:lte:2&filter=name:contains:a&FILTER=id:ne:1": ["alpha"],
        "filter=id:lt:999999999999999": list(descriptions),
        "filter=id:gte:-1": list(descriptions),
        "filter=connectorName:eq:Command&filter=status:eq:Active": list(descriptions),
        "filter=pendingExportObjectsCount:gt:0": [],
        "filter=objectCount:eq:0": list(descriptions),
        # What JIM cannot read, it ignores.
        "filter=bogus:eq:1": list(descriptions),
        "filter=name": list(descriptions),
        "filter=name:like:x": list(descriptions),
        "filter=name:gt:x": list(descriptions),
        "filter=id:eq:one": list(descriptions),
        "filter=id:gt:99999999999999999999": list(descriptions),
        "filter=created:eq:2026": list(descriptions),
        "filter=": list(descriptions),
    }.items():
        assert await names(api, query) == found, query


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_filters_know_more_than_the_letters_of_english(api: Rota, catalogue: Catalogue) -> None:
    async with catalogue.write() as session:
        for name in ("Übung", "plain"):
            session.add(ConnectedSystem(name=name, connector_name="Command", settings={}))

    for query in ("name:contains:BUNG", "name:startswith:üb", "name:endswith:ÜBUNG"):
        assert await names(api, f"filter={query}") == ["Übung"]


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("pageSize=0", "pageSize", "must be a positive number"),
        ("sortDirection=up", "sortDirection", "must be one of asc, desc."),
        ("page=one", "page", "must be a whole number."),
    ],
)
async def test_what_cannot_be_asked_of_the_list(api: Rota, query: str, field: str, says: str) -> None:
    answer = await api.http.get(f"{SYSTEMS}?{query}")

    assert answer.status_code == 400, answer.text
    assert says in answer.json()["validationErrors"][field][0]


async def test_a_change_keeps_what_it_leaves_out(api: Rota) -> None:
    system = await made(api, **COMMAND, name="HR", description="People")
    place = f"{SYSTEMS}/{system['id']}"
    profile = await made(api, f"{place}/run-profiles", name="Import", runType="FullImport", settings={"arguments": "a"})

    renamed = await api.http.put(place, json={"name": "Staff", "connectorName": " command "})
    cleared = await api.http.put(place, json={"description": None})
    moved = await api.http.put(place, json={"settings": {"EXECUTABLEPATH": "/bin/false", "arguments": "x"}})
    run_type = await api.http.put(f"{place}/run-profiles/{profile['id']}", json={"runType": "export"})

    assert renamed.json() == {**system, "name": "Staff"}
    assert cleared.json() == {**system, "name": "Staff", "description": None}
    settings = {"executablePath": "/bin/false", "arguments": "x", "workingDirectory": None}
    assert moved.json() == {**cleared.json(), "settings": settings}
    assert run_type.json() == {**profile, "runType": "Export"}
    assert (await api.http.get(place)).json() == moved.json()


async def test_what_is_refused_changes_nothing(api: Rota) -> None:
    system = await made(api, **COMMAND, name="HR")
    place = f"{SYSTEMS}/{system['id']}"
    profile = await made(api, f"{place}/run-profiles", name="Import")
    other = await made(api, **COMMAND, name="AD")
    await made(api, f"{SYSTEMS}/{other['id']}/run-profiles", name="Import")
    await made(api, f"{place}/run-profiles", name="Export")

    for method, path, body, status, says in (
        ("POST", SYSTEMS, {"name": "HR", **COMMAND}, 409, "A connected system named 'HR' exists already."),
        ("PUT", place, {"name": "AD"}, 409, "A connected system named 'AD' exists already."),
        ("PUT", place, {"name": " "}, 400, "The field name may not be empty."),
        ("PUT", place, {"name": "Staff", "connectorName": "Bogus"}, 400, "Unknown connector: Bogus. Known are Command"),
        ("PUT", place, {"name": "Staff", "settings": None}, 400, "The field settings must be an object."),
        ("PUT", place, {"name": "Staff", "settings": {}}, 400, "The field executablePath is required."),
        ("POST", SYSTEMS, {"name": "New"}, 400, "The field connectorName is required."),
        (
            "POST",
            f"{place}/run-profiles",
            {"name": "Import"},
            409,
            "A run profile of that system named 'Import' exists",
        ),
        ("PUT", f"{place}/run-profiles/{profile['id']}", {"name": "Export"}, 409, "A run profile of that system named"),
        ("PUT", f"{place}/run-profiles/{profile['id']}", {"runType": "Sideways"}, 400, "The field runType must be one"),
        ("GET", f"{SYSTEMS}/{other['id']}/run-profiles/{profile['id']}", None, 404, "Run profile not found: 1"),
        ("GET", f"{SYSTEMS}/0", None, 404, "Connected system not found: 0"),
        ("PUT", f"{SYSTEMS}/{2**31}", {"name": "x"}, 404, f"Connected system not found: {2**31}"),
        ("GET", f"{SYSTEMS}/99/run-profiles", None, 404, "Connected system not found: 99"),
        ("POST", f"{SYSTEMS}/99/run-profiles", {"name": "x"}, 404, "Connected system not found: 99"),
        ("DELETE", f"{place}/run-profiles/99", None, 404, "Run profile not found: 99"),
        ("DELETE", f"{SYSTEMS}/one", None, 404, f"Not found: {SYSTEMS}/one"),
    ):
        answer = await api.http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["message"][: len(says)]) == (status, says), (method, path, body)

    assert (await api.http.get(place)).json() == system
    assert (await api.http.get(f"{place}/run-profiles/{profile['id']}")).json() == profile
    assert await names(api, "") == ["HR", "AD"]


async def test_what_a_schedule_uses_cannot_be_deleted(api: Rota) -> None:
    system = await made(api, **COMMAND, name="HR")
    place = f"{SYSTEMS}/{system['id']}"
    used = await made(api, f"{place}/run-profiles", name="Import")
    unused = await made(api, f"{place}/run-profiles", name="Export")
    step = {"stepType": "RunProfile", "connectedSystemId": system["id"], "runProfileId": used["id"]}
    schedules = [await api.create(step, name=f"Night {number:02}") for number in range(12)]
    assert schedules[0]["warnings"] == []

    refused = await api.http.delete(place)
    assert refused.status_code == 409
    message = "The connected system is used by the schedules 'Night 00', 'Night 01', "
    assert refused.json()["message"].startswith(message)
    assert refused.json()["message"].endswith("'Night 09' and 2 more: take it out of them first.")
    assert (await api.http.delete(f"{place}/run-profiles/{used['id']}")).status_code == 409
    assert (await api.http.delete(f"{place}/run-profiles/{unused['id']}")).status_code == 204
    assert [profile["id"] for profile in (await api.http.get(f"{place}/run-profiles")).json()] == [used["id"]]

    for schedule in schedules:
        await api.http.delete(f"/api/v1/schedules/{schedule['id']}")
    assert (await api.http.delete(place)).status_code == 204
    assert (await api.http.get(place)).status_code == 404
    # An id that was given once is never given to another.
    again = await made(api, **COMMAND, name="HR")
    assert again["id"] > system["id"]
    assert (await api.http.get(f"{SYSTEMS}/{again['id']}/run-profiles")).json() == []


async def test_a_name_that_many_want_at_once_is_given_once(api: Rota) -> None:
    answers = await asyncio.gather(*(api.http.post(SYSTEMS, json={"name": "HR", **COMMAND}) for _ in range(6)))

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]


async def test_a_step_may_name_what_does_not_exist_yet(api: Rota) -> None:
    system = await made(api, **COMMAND, name="HR")
    step = {"stepType": "RunProfile", "connectedSystemId": system["id"], "runProfileId": 7}

    schedule = await api.create(step, {**step, "connectedSystemId": 8, "stepIndex": 1})

    assert schedule["warnings"] == [
        f"steps[0]: run profile 7 does not exist yet on connected system {system['id']}.",
        "steps[1]: connected system 8 does not exist yet.",
    ]


@pytest.mark.usefixtures("keyed")
async def test_a_masked_secret_is_kept_only_beside_what_has_not_changed(api: Rota, catalogue: Catalogue) -> None:
    secret = f"canary-{uuid.uuid4()}"
    settings = {"url": "https://jim.example.com", "apiKey": secret}
    system = await made(api, name="JIM", connectorName="Keyed", settings=settings)
    shown = system["settings"]
    assert shown == {"url": "https://jim.example.com", "apiKey": "***", "note": None, "pages": 5}
    place = f"{SYSTEMS}/{system['id']}"

    for kept in ({"settings": shown, "name": "J"}, {"settings": {"url": shown["url"], "apiKey": "***"}}):
        answer = await api.http.put(place, json=kept)
        assert answer.status_code == 200, answer.text
        assert await stored_key(api, catalogue, system["id"]) == secret
    for settings, says in (
        (shown | {"url": "https://evil.example.com"}, f"{MASKED} beside settings that have changed"),
        (shown | {"note": "new"}, f"{MASKED} beside settings that have changed"),
        (shown | {"apiKey": "x***"}, f"{MASKED} that stands for nothing stored"),
    ):
        answer = await api.http.put(place, json={"settings": settings})
        assert answer.status_code == 400, answer.text
        assert answer.json()["validationErrors"]["settings.apiKey"][0].startswith(says)
    left_out = await api.http.put(place, json={"settings": {"url": "https://evil.example.com"}})
    assert left_out.json()["validationErrors"] == {"settings.apiKey": ["The field apiKey is required."]}
    assert await stored_key(api, catalogue, system["id"]) == secret

    moved = await api.http.put(place, json={"settings": {"url": "https://new.example.com", "apiKey": "another"}})
    assert moved.json()["settings"]["url"] == "https://new.example.com"
    assert await stored_key(api, catalogue, system["id"]) == "another"


async def stored_key(api: Rota, catalogue: Catalogue, system_id: int) -> str:
    async with catalogue.read() as session:
        system = await session.get_one(ConnectedSystem, system_id)
    sealed: str = system.settings["api_key"]
    assert sealed.startswith("sealed:")
    return SecretBox(api.settings.sealing_key).open(sealed)
