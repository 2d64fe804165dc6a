"""`rota connected-systems` against a real API: what an operator sees, ids and masked secrets above all."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.connected_systems import app
from tests.integration.stack import Rota

SYSTEMS = "/api/v1/synchronisation/connected-systems"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def invoke(api: Rota, *arguments: str) -> Result:
    options = ("--url", str(api.http.base_url), "--api-key", api.http.headers["X-API-Key"])
    # In a thread: the API is served by this loop.
    return await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *options])


async def made(api: Rota, path: str, **body: Any) -> dict[str, Any]:
    answer = await api.http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_systems_and_their_profiles_are_shown_with_their_ids(api: Rota) -> None:
    empty = await invoke(api, "list")
    settings = {"executablePath": "/bin/true", "arguments": "hr"}
    hr = await made(api, SYSTEMS, name="HR [x]", description="People", connectorName="Command", settings=settings)
    await made(api, SYSTEMS, name="AD", connectorName="Command", settings=settings)
    profile = {"name": "Full import", "runType": "FullImport", "settings": {"arguments": "--full"}}
    await made(api, f"{SYSTEMS}/1/run-profiles", **profile)

    listed, shown, bare, unknown = [
        await invoke(api, *command)
        for command in (("list",), ("show", "HR [x]"), ("show", "2"), ("show", "Active Directory"))
    ]
    as_json = json.loads((await invoke(api, "show", "1", "--json")).stdout)

    assert empty.stdout == "No connected systems.\n"
    assert [" ".join(line.split()) for line in listed.stdout.splitlines()] == [
        "Id Name Connector Description",
        "1 HR [x] Command People",
        "2 AD Command -",
    ]
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "Settings executablePath: /bin/true arguments: hr" in lines
    assert lines[-2:] == ["Run profile Name Run type Settings", "1 Full import FullImport arguments: --full"]
    assert bare.stdout.endswith("No run profiles.\n")
    assert as_json == hr | {"runProfiles": [(await api.http.get(f"{SYSTEMS}/1/run-profiles/1")).json()]}
    assert unknown.exit_code == 1
    assert "There is no connected system 'Active Directory'." in unknown.output
