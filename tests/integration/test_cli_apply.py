"""`rota schedules export` and `apply` against a real API: what differs is told and changed, all else is left alone."""

import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from activities.support import registry
from cli.client import ApiClient, ScheduleDetail
from tests.integration.stack import Rota
from tests.integration.test_connected_systems import Keyed
from tests.markdown import REPOSITORY

SECRET = "postgresql://u:planted-secret@db/x"
SQL = {"stepType": "SqlScript", "sqlConnectionString": SECRET, "sqlScriptPath": "x.sql"}

SYSTEMS = """\
name: HR
connectorName: Command
settings: {executablePath: hr.sh}
runProfiles:
  - {name: Full import, runType: FullImport, settings: {arguments: full}}
  - name: Delta import
    runType: DeltaImport
"""
SYNC = """\
name: Sync
triggerType: Cron
daysOfWeek: 1,2,3
runTimes: 6:00
isEnabled: true
steps:
  - {connectedSystem: HR, runProfile: Full import}
  - {stepIndex: 1, name: Load, stepType: SqlScript, sqlConnectionString: "sqlite:///x.db", sqlScriptPath: x.sql}
"""


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """One database is enough: this is about what the API is asked and answers."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'rota.db')}"


@dataclass
class Cli:
    """The command line, with this API."""

    rota: Rota
    folder: Path

    async def run(self, *arguments: str) -> Result:
        return await self.rota.cli("schedules", *arguments)

    async def apply(self, *options: str) -> Result:
        return await self.run("apply", "-f", str(self.folder), *options)

    def write(self, **files: str) -> None:
        self.folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (self.folder / f"{name}.yaml").write_text(text, "utf-8")

    async def stored(self) -> dict[str, Any]:
        """Everything that an apply could change, by name."""
        systems = (await self.rota.http.get("/api/v1/synchronisation/connected-systems")).json()["items"]
        schedules = (await self.rota.http.get("/api/v1/schedules")).json()["items"]
        found = {}
        for system in systems:
            address = f"/api/v1/synchronisation/connected-systems/{system['id']}/run-profiles"
            found[system["name"]] = system | {"runProfiles": (await self.rota.http.get(address)).json()}
        for schedule in schedules:
            found[schedule["name"]] = (await self.rota.http.get(f"/api/v1/schedules/{schedule['id']}")).json()
        return found


@pytest.fixture
def cli(api: Rota, tmp_path: Path) -> Cli:
    return Cli(api, tmp_path / "files")


async def test_apply_creates_then_finds_nothing_to_change(cli: Cli) -> None:
    cli.write(hr=SYSTEMS, sync=SYNC)

    ahead = await cli.apply("--dry-run")
    assert ahead.exit_code == 3, ahead.output
    assert ahead.stdout == (
        "connected system HR: would be created\n"
        "run profile HR - Full import: would be created\n"
        "run profile HR - Delta import: would be created\n"
        "schedule Sync: would be created\n"
        "  it names a connected system or run profile that would be created, and is compared only then\n"
        "Nothing was changed by this dry run. It found: 4 created, 0 changed, 0 unchanged, 0 failed\n"
    )
    assert await cli.stored() == {}

    first = await cli.apply()
    assert first.exit_code == 0, first.output
    stored = await cli.stored()
    assert f"schedule Sync: created, id {stored['Sync']['id']}\n" in first.stdout
    assert first.stdout.endswith("\n4 created, 0 changed, 0 unchanged, 0 failed\n")
    assert stored["Sync"]["runTimes"] == "06:00"

    for options in ([], ["--dry-run"]):
        again = await cli.apply(*options)
        assert again.exit_code == 0, again.output
        assert "schedule Sync: unchanged\n" in again.stdout
        assert "0 created, 0 changed, 4 unchanged, 0 failed" in again.stdout
    assert await cli.stored() == stored


async def test_apply_tells_and_makes_each_difference(cli: Cli) -> None:
    cli.write(hr=SYSTEMS, sync=SYNC)
    await cli.apply()
    before = await cli.stored()
    cli.write(
        hr=SYSTEMS.replace("full}", "all}").replace("hr.sh}", "hr.sh, arguments: -v}"),
        sync=SYNC.replace("6:00", "07:00")
        .replace("Full import", "Delta import")
        .replace("stepIndex: 1", "stepIndex: 2"),
    )
    differences = (
        "connected system HR: {}\n"
        '  settings.arguments: null -> "-v"\n'
        "run profile HR - Full import: {}\n"
        '  settings.arguments: "full" -> "all"\n'
        "run profile HR - Delta import: unchanged\n"
        "schedule Sync: {}\n"
        '  runTimes: "06:00" -> "07:00"\n'
        "  step 1 HR - Delta import (RunProfile)\n"
        '    runProfile: "Full import" -> "Delta import"\n'
        "  step 2 Load (SqlScript)\n"
        "    stepIndex: 1 -> 2\n"
    )

    dry = await cli.apply("--dry-run")
    assert dry.exit_code == 3, dry.output
    assert dry.stdout.startswith(differences.replace("{}", "would be changed"))
    assert await cli.stored() == before

    real = await cli.apply()
    assert real.exit_code == 0, real.output
    assert real.stdout.startswith(differences.replace("{}", "changed"))
    after = await cli.stored()
    assert [step["id"] for step in after["Sync"]["steps"]] == [step["id"] for step in before["Sync"]["steps"]]
    assert after["Sync"]["cronExpression"] == "0 7 * * 1-3"
    assert (await cli.apply()).stdout.endswith("0 created, 0 changed, 4 unchanged, 0 failed\n")
    assert await cli.stored() == after


async def test_what_fails_does_not_keep_the_rest_from_being_applied(cli: Cli) -> None:
    cli.write(
        a="name: [broken",
        b="name: Bad\ntriggerType: Cron\ncronExpression: nonsense",
        c="name: Lost\nsteps: [{connectedSystem: Nowhere, runProfile: x}]",
        d="name: Good\nnonsense: 1",
        e="trigger: none",
    )
    for options, code in ((["--dry-run"], 1), ([], 1)):
        result = await cli.apply(*options)
        assert result.exit_code == code, result.output
        assert "1 created, 0 changed, 0 unchanged, 4 failed" in result.stdout
        for pattern in (
            r"rota: .*a\.yaml:1: ",
            r"rota: cronExpression: .*b\.yaml:1: schedule 'Bad': .*nonsense|rota: .*b\.yaml:1: schedule 'Bad': .*nonsense",
            r"rota: .*c\.yaml:2: connected system 'Nowhere' does not exist",
            r"warning: .*d\.yaml:1: Good: nonsense: unknown field, ignored" if not options else r"Good",
            r"rota: .*e\.yaml:1: `name` is missing",
        ):
            assert re.search(pattern, result.output), (pattern, result.output)
    assert list(await cli.stored()) == ["Good"]


async def test_fields_that_nothing_knows_are_told_whether_they_are_new_or_not(cli: Cli) -> None:
    cli.write(hr=SYSTEMS.replace("settings: {", "descripton: x\nsettings: {argumnets: y, ", 1) + "    runTyp: Export\n")
    said = [
        r"warning: .*/files/hr.yaml:1: HR: descripton: unknown field, ignored\. Did you",
        r"HR: settings.argumnets: unknown field, ignored\. Did you mean arguments\?",
        r"hr.yaml:7: Delta import: runTyp: unknown field, ignored\. Did you mean runType\?",
    ]

    for counted in ("3 created, 0 changed, 0 unchanged", "0 created, 0 changed, 3 unchanged"):
        result = await cli.apply()
        assert result.exit_code == 0, result.output
        assert counted in result.output
        for pattern in said:
            assert re.search(pattern, result.output), result.output


async def test_two_documents_of_one_name_stop_it_all(cli: Cli) -> None:
    cli.write(a="name: A", b="name: A")
    result = await cli.apply()
    assert result.exit_code == 1
    assert "b.yaml:1: 'A' stands here and at" in result.stderr
    assert await cli.stored() == {}


async def test_an_api_that_refuses_the_key_is_asked_once(cli: Cli) -> None:
    cli.write(a="name: A", b="name: B")
    result = await cli.apply("--api-key", "rota_ak_unknown")
    assert result.exit_code == 1
    assert result.stderr.count("does not know the API key") == 1
    assert result.stdout == "0 created, 0 changed, 0 unchanged, 0 failed\n"


async def test_what_is_exported_changes_nothing_when_it_is_applied(cli: Cli) -> None:
    await cli.run("apply", "-f", str(REPOSITORY / "examples" / "identity"))
    await cli.rota.create(
        SQL | {"name": "named"}, SQL, SQL, SQL | {"name": "twice"}, SQL | {"name": "twice"}, name="Größe/\u200b 1: 'x'"
    )
    await cli.rota.create(
        name="größe\u200b 1 x", triggerType="Cron", cronExpression="0 6 1 * MON", timeZone="Asia/Tokyo"
    )
    await cli.rota.create(
        name="interval",
        description="two\nlines",
        triggerType="Cron",
        patternType="Interval",
        daysOfWeek="0",
        intervalValue=7,
        intervalUnit="Minutes",
        intervalWindowStart="22:00",
        intervalWindowEnd="02:00",
        overlapPolicy="BufferOne",
        startAt="2030-01-01T00:00:00+02:00",
    )
    stored = await cli.stored()

    exported = await cli.run("export", "--out", str(cli.folder))

    assert exported.exit_code == 0, exported.output
    names = ["größe-1-x.yaml", "größe-1-x-2.yaml", "identity-sync.yaml", "interval.yaml"]
    assert sorted(path.name for path in cli.folder.iterdir()) == sorted(names)
    assert exported.stderr.count("*** stands for the secret") == 1
    applied = await cli.apply()
    assert applied.stdout.endswith("\n0 created, 0 changed, 4 unchanged, 0 failed\n"), applied.output
    assert await cli.stored() == stored
    whole = (await cli.run("export")).stdout
    assert [document["name"] for document in yaml.safe_load_all(whole)] == sorted(
        document["name"] for path in cli.folder.iterdir() for document in yaml.safe_load_all(path.read_text("utf-8"))
    )
    [one] = yaml.safe_load_all((await cli.run("export", "Identity sync")).stdout)
    assert one["steps"][0] == {
        "stepIndex": 0,
        "stepType": "RunProfile",
        "timeoutSeconds": 120,
        "connectedSystem": "HR",
        "runProfile": "Full import",
    }
    assert "planted-secret" not in whole


async def test_an_export_makes_the_same_schedule_where_there_is_none(cli: Cli) -> None:
    await cli.rota.create(
        {"stepType": "Executable", "executablePath": "x", "arguments": "1 2"}, name="S", description="d", isEnabled=True
    )
    await cli.run("export", "--out", str(cli.folder))
    before = await cli.stored()
    deleted = await cli.run("delete", "S", "--yes")
    assert deleted.stdout == f"S: deleted; its history stays: rota schedules history {before['S']['id']}\n"
    assert "Deleted" in (await cli.run("history", before["S"]["id"])).stdout

    assert (await cli.apply()).exit_code == 0

    def lasting(schedule: dict[str, Any]) -> dict[str, Any]:
        steps = [{**step, "id": None} for step in schedule["steps"]]
        return {**schedule, "id": None, "created": None, "steps": steps}

    assert lasting((await cli.stored())["S"]) == lasting(before["S"])


@pytest.fixture
async def masked(cli: Cli) -> Callable[..., str]:
    """A schedule with a secret, and what makes a file of it with another step."""
    await cli.rota.create(SQL | {"name": "Load"}, SQL, name="S")

    def document(**step: Any) -> str:
        return str(yaml.safe_dump({"name": "S", "steps": [SQL | step]}))

    return document


MASK = "postgresql://u:***@db/x"


async def test_a_masked_secret_is_kept_by_name_or_id(cli: Cli, masked: Callable[..., str]) -> None:
    second = (await cli.stored())["S"]["steps"][1]
    cli.write(s=masked(name="Load", sqlConnectionString=MASK, timeoutSeconds=5))
    result = await cli.apply()
    assert "timeoutSeconds: null -> 5" in result.stdout, result.output
    assert "step 2 (SqlScript): removed" in result.stdout
    assert second["sqlConnectionString"] == MASK


@pytest.mark.parametrize("step", [{}, {"name": "Other"}, {"id": str(uuid.uuid4())}])
async def test_a_masked_secret_of_no_known_step_is_an_error(
    cli: Cli, masked: Callable[..., str], step: dict[str, Any]
) -> None:
    before = await cli.stored()
    cli.write(s=masked(sqlConnectionString=MASK, **step))
    result = await cli.apply()
    assert result.exit_code == 1
    assert "steps[0].sqlConnectionString: The field holds a masked secret" in result.stderr
    assert "by that step's id or by a name that both have" in result.stderr
    assert await cli.stored() == before


async def test_a_secret_that_is_written_out_is_compared_without_being_seen(
    cli: Cli, masked: Callable[..., str]
) -> None:
    cli.write(s=masked(name="Load"))
    assert (await cli.apply()).stdout.startswith("schedule S: changed\n  step 2 (SqlScript): removed\n")
    before = await cli.stored()
    assert (await cli.apply()).stdout.splitlines()[0] == "schedule S: unchanged"
    assert await cli.stored() == before

    cli.write(s=masked(name="Load").replace("planted-secret", "planted-new"))
    for options, would in ((["--dry-run"], "would be "), ([], "")):
        result = await cli.apply(*options)
        assert result.stdout.splitlines()[:2] == [
            f"schedule S: {would}changed",
            "  step 1 Load (SqlScript): sqlConnectionString: may be another secret",
        ]
        assert "planted" not in result.output
    assert (await cli.apply("--dry-run")).stdout.splitlines()[0] == "schedule S: unchanged"


async def test_a_secret_of_a_connected_system_is_sent_each_time(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    connectors = {**registry.all_connectors(), "Keyed": Keyed()}
    monkeypatch.setattr("api.services.connected_systems.all_connectors", lambda: connectors)
    cli.write(s="name: J\nconnectorName: Keyed\nsettings: {url: u, apiKey: planted-key}")
    await cli.apply()
    for options in (["--dry-run"], []):
        result = await cli.apply(*options)
        assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "connected system J: unchanged")
        assert "connected system J: settings.apiKey is sent each time" in result.stderr
        assert "planted-key" not in result.output
    cli.write(s="name: J\nconnectorName: Keyed\nsettings: {url: u, apiKey: '***'}")
    assert (await cli.apply()).stderr == ""


async def test_what_another_writer_changed_in_between_is_not_overwritten(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cli.rota.create(name="S")
    cli.write(s="name: S\ndescription: ours")
    ask = ApiClient.try_update_schedule

    def ask_and_be_late(client: ApiClient, schedule_id: str, body: Mapping[str, Any]) -> tuple[ScheduleDetail, str]:
        answer = ask(client, schedule_id, body)
        client.set_enabled(schedule_id, enabled=True)
        return answer

    monkeypatch.setattr(ApiClient, "try_update_schedule", ask_and_be_late)
    result = await cli.apply()
    assert result.exit_code == 1
    assert "s.yaml:1: schedule 'S': The schedule has been changed since it was read" in result.stderr
    assert (await cli.stored())["S"]["description"] is None
