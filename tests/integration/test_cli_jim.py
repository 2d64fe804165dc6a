"""`rota jim import` from a double of JIM into a real Rota."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli.jim_client import JimClient
from tests.integration.stack import Rota
from tests.integration.test_system_import import stored as stored_systems
from tests.jim.double import JimDouble

SECRET = "planted-secret"


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """One database is enough: the import itself is tested on both."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'rota.db')}"


@pytest.fixture
def jim() -> Iterator[JimDouble]:
    with JimDouble() as jim:
        hr = jim.state.add_system(7, "HR", description="People")
        jim.state.add_profile(40, "Full import", hr)
        jim.state.add_profile(12, "Delta import", hr, run_type="DeltaImport")
        directory = jim.state.add_system(3, "Directory", description="d" * 1200)
        jim.state.add_profile(13, "Export", directory, run_type="Export")
        jim.state.add_system(9, "Old", status="Deleting")
        yield jim


def add_schedules(jim: JimDouble) -> None:
    run = {"connectedSystemId": 7, "runProfileId": 40}
    jim.state.add_schedule(
        "Nightly",
        [run, {"stepIndex": 1, "connectedSystemId": 3, "runProfileId": 13, "executionMode": "ParallelWithPrevious"}],
        description="All of it",
        triggerType="Cron",
        cronExpression="15 9,12 * * 1,2,3,4,5",
        daysOfWeek="1,2,3,4,5",
        runTimes="09:15,12:45",
        isEnabled=True,
    )
    sql = {"stepType": "SqlScript", "sqlConnectionString": f"Host=db;Password={SECRET}", "sqlScriptPath": "x.sql"}
    jim.state.add_schedule(
        "Monthly", [run, sql | {"stepIndex": 1}], triggerType="Cron", cronExpression="0 22-6 1-7 * MON"
    )
    jim.state.add_schedule("Reconcile", [{"stepType": "TemporalScopeReconciliation"}])
    jim.state.add_schedule("Wrong", [run], triggerType="Cron", cronExpression="nonsense")


async def imported(rota: Rota, jim: JimDouble, *options: str, **environment: str) -> Result:
    return await rota.cli(
        "jim", "import", "--url", jim.url, *options, **{"ROTA_JIM_API_KEY": jim.key.secret, **environment}
    )


async def schedules(rota: Rota) -> dict[str, dict[str, Any]]:
    listed = (await rota.http.get("/api/v1/schedules")).json()["items"]
    return {one["name"]: (await rota.http.get(f"/api/v1/schedules/{one['id']}")).json() for one in listed}


SYSTEMS = {
    "3 Directory": ["13 Export Export"],
    "7 HR": ["12 Delta import DeltaImport", "40 Full import FullImport"],
}


async def test_connected_systems_and_run_profiles_come_with_their_ids(api: Rota, jim: JimDouble) -> None:
    add_schedules(jim)
    ahead = await imported(api, jim, "--dry-run")
    assert ahead.exit_code == 3, ahead.output
    assert await stored_systems(api) == {}

    result = await imported(api, jim)

    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"JIM 0.14.0 at {jim.url}: 2 connected systems, 3 run profiles\n"
        "connected system 3 Directory: created\n"
        "  description: cut to 1,000 of its 1,200 characters\n"
        "run profile 13 Directory - Export: created\n"
        "connected system 7 HR: created\n"
        "run profile 40 HR - Full import: created\n"
        "run profile 12 HR - Delta import: created\n"
        "connected system 9 Old: left out\n"
        "  JIM is deleting it\n"
        "5 created, 0 changed, 0 unchanged, 0 kept, 1 left out, 0 failed\n"
    )
    assert ahead.stdout.splitlines()[1:-1] == [
        line.replace(": created", ": would be created") for line in result.stdout.splitlines()[1:-1]
    ]
    assert await stored_systems(api) == SYSTEMS
    system = (await api.http.get("/api/v1/synchronisation/connected-systems/7")).json()
    assert (system["description"], system["connectorName"]) == ("People", "Jim")
    assert system["settings"] == {"url": jim.url, "apiKey": "***"}
    assert await schedules(api) == {}
    assert not any(jim.key.secret.encode() in file.read_bytes() for file in api.root.glob("rota.db*"))
    again = await imported(api, jim)
    assert "0 created, 0 changed, 5 unchanged, 0 kept, 1 left out, 0 failed" in again.stdout


async def test_schedules_come_disabled_with_what_is_otherwise_than_in_jim(api: Rota, jim: JimDouble) -> None:
    add_schedules(jim)
    ahead = await imported(api, jim, "--schedules", "--dry-run")
    assert (ahead.exit_code, await stored_systems(api), await schedules(api)) == (1, {}, {})

    result = await imported(api, jim, "--schedules")

    assert result.exit_code == 1, result.output
    there = await schedules(api)
    expected = (
        f"schedule Monthly: created, id {there['Monthly']['id']}\n"
        "  step 2 (SqlScript): JIM skipped it, Rota runs it\n"
        f"schedule Nightly: created, id {there['Nightly']['id']}\n"
        "  step 2 (RunProfile): made Sequential, as the first of its index; else it would join the group before it\n"
        "  timetable: comes over by its pattern, At 09:15 and 12:45, Monday through Friday "
        "(15 9 * * 1-5 | 45 12 * * 1-5); JIM's text fires otherwise: 15 9,12 * * 1,2,3,4,5\n"
        "  enabled in JIM, disabled here\n"
        "schedule Reconcile: left out\n"
        "  step 1 (TemporalScopeReconciliation): left out, Rota has no such step\n"
        "  left out: no step of it can come over\n"
        "7 created, 0 changed, 0 unchanged, 0 kept, 2 left out, 1 failed\n"
    )
    assert result.stdout.endswith(expected)
    for output in (ahead, result):
        assert "day of month and day of week are both given" in output.stderr
        assert "22-6 in the hour runs on past the end; JIM swaps its ends" in output.stderr
        assert "schedule 'Wrong': 'nonsense'" in output.stderr
        assert "does not exist yet" not in output.stderr
        assert SECRET not in output.output
    assert list(there) == ["Monthly", "Nightly"]
    assert {one["isEnabled"] for one in there.values()} == {False}
    nightly = there["Nightly"]
    assert (nightly["description"], nightly["runTimes"], nightly["timeZone"]) == ("All of it", "09:15,12:45", "UTC")
    assert [step["runProfileId"] for step in nightly["steps"]] == [40, 13]
    assert there["Monthly"]["cronExpression"] == "0 22-6 1-7 * MON"
    assert there["Monthly"]["steps"][1]["sqlConnectionString"] == "Host=db;Password=***"
    assert nightly["warnings"] == []
    history = (await api.http.get(f"/api/v1/schedules/{nightly['id']}/change-history")).json()["items"]
    assert [version["reason"] for version in history] == [f"Imported from JIM at {jim.url}"]


async def test_what_is_there_is_kept_unless_it_is_to_be_updated(api: Rota, jim: JimDouble) -> None:
    add_schedules(jim)
    await imported(api, jim, "--schedules")
    there = await schedules(api)
    await api.http.post(f"/api/v1/schedules/{there['Nightly']['id']}/enable")
    before = await schedules(api)
    jim.state.systems[7].description = "Persons"
    jim.state.profiles[40].name = "Everything"
    [nightly] = [one for one in jim.state.schedules.values() if one["name"] == "Nightly"]
    nightly["runTimes"] = "10:00"
    del nightly["steps"][1]

    kept = await imported(api, jim, "--schedules")
    assert (
        "connected system 7 HR: kept\n  it differs from JIM's; --update brings it to that\n"
        "run profile 40 HR - Everything: kept\n"
    ) in kept.stdout
    assert "schedule Nightly: kept\n  there is one of that name; --update brings it to JIM's\n" in kept.stdout
    assert await stored_systems(api) == SYSTEMS
    assert await schedules(api) == before

    ahead = await imported(api, jim, "--schedules", "--update", "--dry-run")
    updated = await imported(api, jim, "--schedules", "--update")
    for output, would in ((ahead, "would be "), (updated, "")):
        assert f"connected system 7 HR: {would}changed\n" in output.stdout, output.output
        assert (
            f"schedule Nightly: {would}changed\n"
            '  runTimes: "09:15,12:45" -> "10:00"\n'
            "  step 2 Directory - Export (RunProfile): removed\n"
        ) in output.stdout
        assert "schedule Monthly: unchanged\n" in output.stdout
    after = await schedules(api)
    assert after["Nightly"]["isEnabled"] is True
    assert [step["id"] for step in after["Nightly"]["steps"]] == [before["Nightly"]["steps"][0]["id"]]
    assert after["Monthly"] == before["Monthly"]
    assert "40 Everything FullImport" in (await stored_systems(api))["7 HR"]
    last = await imported(api, jim, "--schedules", "--update")
    assert "0 created, 0 changed, 7 unchanged, 0 kept, 2 left out, 1 failed" in last.stdout


async def test_an_id_that_something_else_has_stops_it_before_anything_is_written(api: Rota, jim: JimDouble) -> None:
    add_schedules(jim)
    other = {"name": "Other", "connectorName": "Command", "settings": {"executablePath": "x"}}
    for number in range(3):
        await api.http.post("/api/v1/synchronisation/connected-systems", json=other | {"name": f"Other {number}"})
    before = await stored_systems(api)

    for options in ([], ["--update"], ["--dry-run"]):
        result = await imported(api, jim, "--schedules", *options)
        assert result.exit_code == 1
        assert "The id 3 is taken by the connected system 'Other 2' (Command)." in result.stderr
    assert await stored_systems(api) == before
    assert await schedules(api) == {}


async def test_a_variable_may_hold_the_key_here_and_on_the_workers(api: Rota, jim: JimDouble) -> None:
    result = await imported(api, jim, "--api-key-env", "JIM_KEY", JIM_KEY=jim.key.secret, ROTA_JIM_API_KEY="")
    assert result.exit_code == 0, result.output
    system = (await api.http.get("/api/v1/synchronisation/connected-systems/7")).json()
    assert system["settings"]["apiKey"] == "${env:JIM_KEY}"


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ([], {"ROTA_JIM_API_KEY": ""}, "The variable ROTA_JIM_API_KEY is not set"),
        ([], {"ROTA_JIM_API_KEY": "jim ak"}, "The variable ROTA_JIM_API_KEY holds no API key of JIM"),
        (["--api-key-env", "NOT_SET"], {}, "--api-key-env: the variable NOT_SET is not set"),
        (["--api-key-env", "ROTA_X"], {"ROTA_X": "x"}, "--api-key-env: 'ROTA_X' is no variable that a worker may name"),
        (["--api-key-env", "a-b"], {}, "--api-key-env: 'a-b' is no variable"),
        (["--url", "ftp://jim"], {}, "--url: write the address of JIM as https://jim.example.com"),
        (["--url", "http://u:p@jim"], {}, "--url: write the address of JIM as https://jim.example.com"),
    ],
)
async def test_what_cannot_be_used_is_told(
    api: Rota, jim: JimDouble, options: list[str], environment: dict[str, str], message: str
) -> None:
    result = await imported(api, jim, *options, **environment)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"rota: {message}"), result.output
    assert jim.requests == []


async def test_a_jim_that_is_troubled_is_asked_again(
    api: Rota, jim: JimDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.jim_client._PAUSES", lambda _: 0.01)
    jim.fail("GET", "/health/version", status=500)
    jim.fail("GET", "/synchronisation/connected-systems", status=429, retry_after=0)
    jim.fail("GET", "/synchronisation/connected-systems/7/run-profiles", lost=True)
    jim.fail("GET", "/synchronisation/connected-systems/3/run-profiles", status=503, times=2)

    result = await imported(api, jim)

    assert result.exit_code == 0, result.output
    assert await stored_systems(api) == SYSTEMS
    assert jim.count("GET", "/synchronisation/connected-systems/3/run-profiles") == 3


async def test_a_jim_that_stays_troubled_or_is_none_is_told(
    api: Rota, jim: JimDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.jim_client._PAUSES", lambda _: 0.01)
    monkeypatch.setattr("cli.jim_client._PATIENCE_SECONDS", 0.1)
    assert (
        f"{api.http.base_url} is no JIM".replace("/ is", " is")
        in (await imported(api, jim, "--url", str(api.http.base_url))).stderr
    )
    jim.state.database_is_up = False
    assert "its database is not available" in (await imported(api, jim)).stderr
    jim.state.database_is_up = True
    assert "does not know this API key" in (await imported(api, jim, ROTA_JIM_API_KEY="jim_ak_x")).stderr
    jim.key.is_administrator = False
    assert "it needs the role Administrator" in (await imported(api, jim)).stderr
    jim.key.is_administrator = True
    fault = jim.fail("GET", "/synchronisation/.*", status=500, times=math.inf)
    assert "did not answer within 0.1 s: it answered 500." in (await imported(api, jim)).stderr
    fault.times = 0
    jim.stop()
    assert f"Nothing answers at {jim.url}" in (await imported(api, jim)).stderr
    assert await stored_systems(api) == {}


def test_long_lists_are_read_page_by_page(jim: JimDouble) -> None:
    for number in range(10, 260):
        jim.state.add_system(number, f"System {number}")
        jim.state.add_schedule(f"Schedule {number}")
    with JimClient(jim.url, jim.key.secret, print) as client:
        jim.requests_a_minute = 10_000
        assert [system["id"] for system in client.list_connected_systems()] == [3, 7, 9, *range(10, 260)]
        assert len(client.list_schedules()) == 250
