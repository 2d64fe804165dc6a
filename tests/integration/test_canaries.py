"""Nothing that Rota gives away holds a secret that was put in: canaries are planted wherever one can go, then looked for."""

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

import httpx
import pytest
import sqlalchemy
import typer
from pydantic import BaseModel
from sqlmodel import SQLModel
from temporalio.client import Client
from typer.testing import CliRunner

from activities.support.registry import all_connectors, step_types
from catalogue.api_keys import Role, new_api_key
from catalogue.engine import Catalogue, sync_url
from cli import connected_systems, schedules
from runtime.secrets import secret_fields
from runtime.settings import Settings
from runtime.temporal import connect_to
from tests.faults.dev_process import DevProcess
from tests.integration.canaries import MARKER, Canaries
from tests.integration.stack import TERMINAL, Rota
from tests.markdown import REPOSITORY
from tests.waiting import eventually

SYSTEMS: Final = "/api/v1/synchronisation/connected-systems"
SCHEDULES: Final = "/api/v1/schedules"
NOT_ROTAS: Final = ("httpcore", "httpx", "uvicorn.access")
"""Loggers of this test's own client, and of what Rota does not log: addresses may hold what is searched for."""
PARALLEL: Final = {"executionMode": "ParallelWithPrevious", "continueOnFailure": True}

# A step type and a connector as anyone may add them, whose authors took no care.
CARELESS: Final = '''
"""A step type that gives away what it was given."""

from typing import Annotated

from pydantic import Field

from activities.support.step_type import StepConfig, StepRun, StepType
from runtime.secrets import Sealed


class CarelessConfig(StepConfig):
    """Its fields."""

    token: Annotated[str, Sealed()] = Field(max_length=60, title="Token", description="Sent to nobody.")


class Careless(StepType[CarelessConfig]):
    """Fails with what it was given."""

    name = "Careless"
    config_model = CarelessConfig

    async def run(self, step: StepRun[CarelessConfig]) -> None:
        """Fails."""
        raise ValueError(f"MARKER: the token {step.config.token} was refused")
'''
CARELESS_CONNECTOR: Final = '''
"""A connector that gives away what it was given."""

from typing import Annotated, Any

from activities.connectors.connector import Connector, ConnectorSettings
from activities.support.step_type import StepRun
from runtime.secrets import Sealed


class CarelessSettings(ConnectorSettings):
    """Settings of a system."""

    url: str
    api_key: Annotated[str, Sealed()]


class CarelessProfile(ConnectorSettings):
    """Settings of a run profile."""

    pin: Annotated[str, Sealed()]


class CarelessConnector(Connector[CarelessSettings, CarelessProfile]):
    """Fails with what it was given."""

    name = "CarelessConnector"
    settings_model = CarelessSettings
    run_profile_model = CarelessProfile

    async def run(self, step: StepRun[Any], settings: CarelessSettings, profile: CarelessProfile) -> None:
        """Fails."""
        raise ValueError(f"MARKER: {settings.api_key} and {profile.pin} were refused by {settings.url}")
'''


@dataclass
class Story:
    """What is done to a running Rota: secrets go in everywhere, and all that comes back is kept."""

    http: httpx.AsyncClient
    canaries: Canaries
    root: Path
    """The script root."""
    postgres_url: str
    variables: Mapping[str, str]
    """The worker's variables that steps may name."""
    has_careless: bool
    """Whether this Rota has the careless step type and connector."""
    answers: list[bytes] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    systems: list[int] = field(default_factory=list)
    profiles: list[int] = field(default_factory=list)

    async def call(self, method: str, path: str, expected: int, **request: Any) -> Any:
        answer = await self.http.request(method, path, **request)
        head = b"\n".join(b": ".join(header) for header in answer.headers.raw)
        self.answers.append(head + b"\n\n" + answer.content)
        assert answer.status_code == expected, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content and "json" in answer.headers["content-type"] else None

    async def tell(self) -> None:
        """Does everything once."""
        await self._keys()
        systems = [step async for step in self._connected_systems()]
        steps = [*self._connections(), *self._programs(), *systems]
        schedule = await self._schedule(f"{MARKER} schedule", [step | PARALLEL for step in steps])
        await self._refusals(schedule)
        await self._changes(schedule)
        await self._commands()
        await self._run(schedule)
        await self._cancel()
        await self._search()
        await self._read_everything()
        await self.call("DELETE", f"{SCHEDULES}/{schedule['id']}", 204)
        await self._read_everything()

    async def _keys(self) -> None:
        unknown = f"rota_ak_{self.canaries.plant('unknown API key')}"
        for headers in (
            {"X-API-Key": unknown},
            {"X-API-Key": self.canaries.plant("malformed API key")},
            {"X-API-Key": "", "Authorization": f"Bearer {self.canaries.plant('bearer token')}"},
        ):
            await self.call("GET", SCHEDULES, 401, headers=headers)
            await self.call("POST", SCHEDULES, 401, headers=headers, json={"name": "x"})

    def _sql(self, name: str, connection: str, script: str = "select 1") -> dict[str, Any]:
        path = self.root / f"{len(list(self.root.glob('*.sql')))}.sql"
        path.write_text(script)
        fields = {"sqlConnectionString": connection, "sqlScriptPath": str(path)}
        return {"stepType": "SqlScript", "name": f"{MARKER} {name}"} | fields

    def _connections(self) -> Iterator[dict[str, Any]]:
        """Steps with every form of connection string: to where nothing listens, and to a real server."""
        plant = self.canaries.plant
        pg = f"127.0.0.1:1/{MARKER}"
        pwd = "PWD=" + plant("odbc_connect")
        odbc = f"Driver={{ODBC Driver 18 for SQL Server}};Server=127.0.0.1,1;Database={MARKER};UID=sa;"
        for name, connection in {
            "URL": f"postgresql://{MARKER}:{plant('URL password')}@{pg}",
            "URL, encoded": f"postgresql://u:{plant('before @')}%40{plant('after @')}%2F%3A%25@{pg}",
            "query": f"postgresql://{pg}?user=u&password={plant('query password')}",
            "query, another spelling": f"postgresql://{pg}?user=u&PWD={plant('query pwd')}",
            "query, key": f"postgresql://u@{pg}?sslpassword={plant('sslpassword')}",
            "MySQL": f"mysql://u:{plant('MySQL password')}@127.0.0.1:1/db",
            "MySQL, key": f"mysql://u@127.0.0.1:1/db?passwd={plant('passwd')}&ssl_key_password={plant('key password')}",
            "SQL Server": f"mssql://sa:{plant('SQL Server password')}@127.0.0.1:1/db",
            "Npgsql": f"Host=127.0.0.1;Port=1;Database={MARKER};Username=u;Password={plant('Npgsql password')}",
            "SqlClient": f'Server=127.0.0.1,1;User Id=sa;Pwd="{plant("before ;")};{plant("after ;")}"""',
            "ODBC": f"{odbc}PWD={{{plant('in braces')};{plant('in braces, after ;')}}}}}x}}",
            "odbc_connect": f"mssql+pyodbc:///?odbc_connect={quote_plus(odbc + pwd)}",
            "SqlClient, unquoted": f"Server=127.0.0.1,1;Password=a;{plant('key after a password')}=y",
            "variable": f"postgresql://u:${{env:CANARY_PASSWORD}}@{pg}",
            "variable, whole": "${env:CANARY_DSN}",
            "variable, not given": f"postgresql://u:{plant('beside a variable')}@${{env:CANARY_MISSING}}:1/db",
        }.items():
            yield self._sql(name, connection)
        for name, script in {
            "says it": "select '{p}' as shown;\ndo $$ begin raise notice 'this is {p}'; end $$;",
            "fails with it": "select '{p}'::int",
            "is refused with it": 'select * from "{p}"',
        }.items():
            password = plant(f"password of a script that {name}")
            url = sqlalchemy.make_url(self.postgres_url).set(password=password)
            yield self._sql(name, url.render_as_string(hide_password=False), script.replace("{p}", password))
        wrong = sqlalchemy.make_url(self.postgres_url).set(
            username=f"{MARKER}_nobody", password=plant("refused password")
        )
        yield self._sql("is refused", wrong.render_as_string(hide_password=False)) | {"maxAttempts": 2}

    def _programs(self) -> Iterator[dict[str, Any]]:
        program = self.root / "program.sh"
        program.write_text('#!/bin/sh\ntest -n "$CANARY_TOKEN" && echo "the token is set"\nexit $1\n')
        program.chmod(0o755)
        step = {"stepType": "Executable", "executablePath": str(program)}
        yield step | {"name": f"{MARKER} good", "arguments": "0"}
        yield step | {"name": f"{MARKER} bad", "arguments": "3", "maxAttempts": 2}
        # A field of another step type is dropped.
        yield step | {"arguments": "0", "sqlConnectionString": f"mysql://u:{self.canaries.plant('dropped field')}@h/db"}
        if self.has_careless:
            yield {"stepType": "Careless", "name": f"{MARKER} careless", "token": self.canaries.plant("token")}

    async def _connected_systems(self) -> AsyncIterator[dict[str, Any]]:
        """Steps that run profiles of connected systems with secrets in their settings."""
        plant = self.canaries.plant
        yield await self._system("Jim", plant("key of a JIM"))
        yield await self._system("Jim", "${env:CANARY_TOKEN}")
        yield await self._system("Jim", f"{plant('key that no header takes')}\N{LATIN SMALL LETTER E WITH ACUTE}")
        with_password = {"url": f"https://u:{plant('password of a JIM')}@example.com", "apiKey": "x"}
        body = {"name": "wrong", "connectorName": "Jim", "settings": with_password}
        await self.call("POST", SYSTEMS, 400, json=body)
        if self.has_careless:
            yield await self._system("CarelessConnector", plant("key of a careless connector"), pin=plant("pin"))

    async def _system(self, connector: str, key: str, **profile: str) -> dict[str, Any]:
        plant = self.canaries.plant
        # Rota itself answers where a JIM would: it does not know the key, and says so.
        settings = {"url": str(self.http.base_url), "apiKey": plant(f"first key, {connector} {key}")}
        body = {"name": f"{MARKER} {len(self.systems)}", "connectorName": connector, "settings": settings}
        system = await self.call("POST", SYSTEMS, 201, json=body)
        self.systems.append(system["id"])
        place = f"{SYSTEMS}/{system['id']}"
        await self.call("POST", SYSTEMS, 409, json=body)
        for wrong in (
            {"apiKey": plant(f"key without url, {connector} {key}")},
            {"url": settings["url"], "apiKey": [plant(f"key in a list, {connector} {key}")]},
            {"url": settings["url"], "apiKey": f"{plant(f'masked key, {connector} {key}')}***"},
            {"url": "https://elsewhere.example.com", "apiKey": "***"},
        ):
            await self.call("PUT", place, 400, json={"settings": wrong})
        await self.call("PUT", place, 200, json=system)
        await self.call("PUT", place, 200, json={"settings": settings | {"apiKey": key}})
        body = {"name": f"{MARKER} import", "settings": profile}
        created = await self.call("POST", f"{place}/run-profiles", 201, json=body)
        self.profiles.append(created["id"])
        await self.call("PUT", f"{place}/run-profiles/{created['id']}", 200, json=created)
        return {"stepType": "RunProfile", "connectedSystemId": system["id"], "runProfileId": created["id"]}

    async def _schedule(self, name: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
        body = {"name": name, "steps": steps, "triggerType": "Cron", "cronExpression": "0 3 * * *", "isEnabled": True}
        schedule: dict[str, Any] = await self.call("POST", SCHEDULES, 201, json=body)
        await self.call("POST", SCHEDULES, 409, json=body)
        self.schedules.append(schedule["id"])
        return schedule

    async def _refusals(self, schedule: dict[str, Any]) -> None:
        """What is refused is not repeated to whoever sent it."""
        plant = self.canaries.plant
        for connection in (
            f"u:{plant('neither form')}@host",
            f"postgresql://u:{plant('two @')}@h@x/db",
            f"postgresql://u:x@h/db?secret={plant('unknown option')}",
            f"postgresql://h:{plant('port')}/db",
            f"oracle://u:{plant('unknown dialect')}@h/db",
            f"Server=h;Password=a;{plant('rest of a password')};x=y",
            f"Server=h;Port=3306;Pwd={plant('MySQL as pairs')}",
            f"postgresql://u:${{env:{plant('no variable')}!}}@h/db",
            f"postgresql://u:{plant('too long')}{'x' * 500}@h/db",
            f"postgresql://u:{plant('NUL')}\0@h/db",
            f"{plant('masked')}***",
            {"password": plant("an object")},
            [plant("an array")],
        ):
            await self.call(
                "POST",
                SCHEDULES,
                400,
                json={
                    "name": "n",
                    "steps": [
                        self._sql("wrong", "")
                        | {
                            "sqlConnectionString": connection,
                        }
                    ],
                },
            )
        secret = f'"sqlConnectionString": "postgresql://u:{plant("malformed JSON")}@h/db"'
        as_json = {"Content-Type": "application/json"}
        for text in (f'{{"steps": [{{{secret}', f"{{{secret}, {secret}}}", f"[{secret}]", f"{{{secret}}}"):
            await self.call("POST", SCHEDULES, 400, content=text, headers=as_json)
        await self.call("POST", SCHEDULES, 415, content=secret, headers={"Content-Type": "text/plain"})
        await self.call("POST", SCHEDULES, 413, content=f"{{{secret}, {'x' * 2**23}", headers=as_json)
        # A masked secret beside another host, and one in a step that is new.
        step = schedule["steps"][0]
        elsewhere = step["sqlConnectionString"].replace("127.0.0.1", "elsewhere")
        for edited in (step | {"sqlConnectionString": elsewhere}, step | {"id": None}):
            await self.call("PUT", f"{SCHEDULES}/{schedule['id']}", 400, json={"steps": [edited]})
        another = await self._schedule(f"{MARKER} other", [self._sql("other", self._url("secret of another's step"))])
        stolen = {"id": another["steps"][0]["id"], "sqlConnectionString": self._url("secret in a stolen step")}
        await self.call("PUT", f"{SCHEDULES}/{schedule['id']}", 400, json={"steps": [step | stolen]})

    def _url(self, where: str) -> str:
        return f"postgresql://{MARKER}:{self.canaries.plant(where)}@127.0.0.1:1/db"

    async def _changes(self, schedule: dict[str, Any]) -> None:
        place = f"{SCHEDULES}/{schedule['id']}"
        first, *others = (await self.call("PUT", place, 200, json=schedule | {"changeReason": "nothing"}))["steps"]
        first["sqlConnectionString"] = self._url("changed password")
        await self.call("PUT", place, 200, json={"steps": [first, *others], "changeReason": f"{MARKER} reason"})
        for change in ("disable", "enable"):
            await self.call("POST", f"{place}/{change}?changeReason={MARKER}", 200)

    async def _commands(self) -> None:
        """What the command line shows of files with secrets, and of what is stored."""
        file = self.root / "applied.json"
        wrong = self._sql("wrong", f"u:{self.canaries.plant('refused on the command line')}@host")
        file.write_text(json.dumps({"name": f"{MARKER} wrong", "steps": [wrong]}))
        await self._command(1, schedules.app, "apply", "-f", str(file))
        new = self._sql("other", self._url("secret in a file"))
        file.write_text(json.dumps({"name": f"{MARKER} other", "steps": [new]}))
        await self._command(3, schedules.app, "apply", "-f", str(file), "--dry-run")
        await self._command(0, schedules.app, "apply", "-f", str(file))
        await self._command(0, schedules.app, "export")
        await self._command(0, schedules.app, "show", f"{MARKER} other")
        await self._command(0, connected_systems.app, "show", f"{MARKER} 0")

    async def _command(self, code: int, app: typer.Typer, *arguments: str) -> None:
        options = ("--url", str(self.http.base_url), "--api-key", self.http.headers["X-API-Key"])
        # In a thread: the API may be served by this loop.
        done = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *options])
        self.answers.append(done.output.encode())
        assert done.exit_code == code, done.output

    async def _run(self, schedule: dict[str, Any]) -> None:
        execution = await self._ended(await self._started(schedule))
        assert execution["status"] == "CompleteWithError"
        by_name = {step["name"]: step for step in execution["steps"]}
        says = by_name[f"{MARKER} says it"]
        # The mask is what was looked for: these steps did show their password.
        assert says["status"] == "Completed", says
        assert "  ***\n" in says["outputTail"]
        assert "this is ***" in says["outputTail"]
        assert "***" in by_name[f"{MARKER} fails with it"]["errorMessage"]
        assert by_name[f"{MARKER} good"]["outputTail"] == "the token is set\n"
        kinds = {"SqlScript", "RunProfile"}
        failed = [step for step in execution["steps"] if step["stepType"] in kinds and step is not says]
        assert {step["status"] for step in failed} == {"Failed"}
        assert "127.0.0.1" in by_name[f"{MARKER} URL"]["errorMessage"]

    async def _started(self, schedule: dict[str, Any]) -> str:
        started = await self.call("POST", f"{SCHEDULES}/{schedule['id']}/run", 202)
        self.executions.append(started["executionId"])
        return self.executions[-1]

    async def _ended(self, execution_id: str) -> dict[str, Any]:
        async def probe() -> dict[str, Any] | None:
            execution: dict[str, Any] = await self.call("GET", f"/api/v1/schedule-executions/{execution_id}", 200)
            return execution if execution["status"] in TERMINAL else None

        execution = await eventually(probe, 60)
        assert execution is not None
        return execution

    async def _cancel(self) -> None:
        """Cancels a step that waits for a server, the secret in its hands."""
        url = sqlalchemy.make_url(self.postgres_url).set(password=self.canaries.plant("password of a cancelled step"))
        step = self._sql("sleeps", url.render_as_string(hide_password=False), "select pg_sleep(60)")
        execution_id = await self._started(await self._schedule(f"{MARKER} cancelled", [step]))
        path = f"/api/v1/schedule-executions/{execution_id}"

        async def is_running() -> bool:
            return bool((await self.call("GET", path, 200))["steps"][0]["progress"])

        await eventually(is_running)
        await self.call("POST", f"{path}/cancel", 200)

    async def _search(self) -> None:
        """No list finds a secret, or part of one."""
        searched = self.canaries.plant("searched for")
        for path in (SCHEDULES, "/api/v1/schedule-executions", SYSTEMS):
            for query in (f"search={searched}", f"sortBy={searched}", f"filter=settings:contains:{searched}"):
                await self.call("GET", f"{path}?{query}", 200)
        for secret in ("Canary", "sealed:v1"):
            found = await self.call("GET", f"{SCHEDULES}?search={secret}", 200)
            assert found["totalCount"] == 0

    async def _read_everything(self) -> None:
        """Asks every GET route that the document names."""
        document = await self.call("GET", "/openapi.json", 200)
        executions = [await self.call("GET", f"/api/v1/schedule-executions/{each}", 200) for each in self.executions]
        known: dict[str, list[Any]] = {
            "scheduleId": self.schedules,
            "executionId": self.executions,
            "stepId": [step["id"] for execution in executions for step in execution["steps"]],
            "version": [1, 2, 3],
            "systemId": self.systems,
            "profileId": self.profiles,
            "fromVersion": [1],
            "toVersion": [2],
        }
        for template, operations in document["paths"].items():
            if "get" not in operations:
                continue
            wanted = [
                parameter
                for parameter in operations["get"].get("parameters", [])
                if parameter["in"] == "path" or (parameter["in"] == "query" and parameter["required"])
            ]
            missing = {parameter["name"] for parameter in wanted} - known.keys()
            assert not missing, f"{template}: tell this test what to put for {missing}"
            for path in _filled(template, [p["name"] for p in wanted], known):
                answer = await self.http.get(path)
                self.answers.append(answer.content)
                assert answer.status_code in {200, 404}, answer.text


def _filled(template: str, names: list[str], known: Mapping[str, list[Any]]) -> Iterator[str]:
    if not names:
        yield template
        return
    name, *others = names
    for value in known[name]:
        if f"{{{name}}}" in template:
            path = template.replace(f"{{{name}}}", str(value))
        else:
            path = f"{template}{'&' if '?' in template else '?'}{name}={value}"
        yield from _filled(path, others, known)


def variables(canaries: Canaries) -> dict[str, str]:
    """Returns variables of the worker with secrets in them."""
    return {
        "CANARY_PASSWORD": canaries.plant("variable"),
        "CANARY_DSN": f"postgresql://u:{canaries.plant('variable that holds a URL')}@127.0.0.1:1/{MARKER}",
        "CANARY_TOKEN": canaries.plant("variable of a program"),
    }


async def held_by_temporal(client: Client, query: str | None) -> AsyncIterator[bytes]:
    """Yields what the server tells of workflows and Schedules: histories, memos, search attributes, summaries."""
    async for workflow in client.list_workflows(query):
        handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        yield (await handle.describe()).raw_description.SerializeToString()
        async for event in handle.fetch_history_events():
            yield event.SerializeToString()
    async for schedule in await client.list_schedules():
        yield (await client.get_schedule_handle(schedule.id).describe()).raw_description.SerializeToString()


def assert_silent(canaries: Canaries, **places: bytes) -> None:
    """Fails where a secret is in one of the places, or where one of them was not really looked into."""
    blind = [place for place, held in places.items() if MARKER.lower().encode() not in held.lower()]
    assert not blind
    seen = [f"{place}: {what}" for place, held in places.items() for what in canaries.seen_in(held)]
    assert not seen, "\n\n".join(seen)


class Checkout(DevProcess):
    """`rota dev` with a copy of `activities/` to which the careless files were added."""

    def prepare(self) -> None:
        copy = self.folder / "activities"
        shutil.copytree(REPOSITORY / "activities", copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "careless.py").write_text(CARELESS.replace("MARKER", MARKER))
        (copy / "connectors" / "careless.py").write_text(CARELESS_CONNECTOR.replace("MARKER", MARKER))


def test_every_field_for_secrets_is_part_of_the_story() -> None:
    models: set[tuple[str, type[BaseModel]]] = {(kind.name, kind.config_model) for kind in step_types().values()}
    for connector in all_connectors().values():
        models |= {(connector.name, connector.settings_model), (connector.name, connector.run_profile_model)}

    assert {(name, field) for name, model in models for field in secret_fields(model)} == {
        ("SqlScript", "sql_connection_string"),
        ("Jim", "api_key"),
    }


@pytest.mark.timeout(180)
async def test_the_processes_of_rota_keep_their_secrets(tmp_path: Path, postgres_url: str) -> None:
    canaries = Canaries()
    given = variables(canaries)
    environment = {"ROTA_SECRET_KEY": canaries.plant("ROTA_SECRET_KEY"), "ROTA_STEP_ENV": ",".join(given), **given}
    dev = Checkout(tmp_path, environment=environment)  # `python -m` looks in the current folder first
    dev.prepare()
    await dev.start()
    try:
        row, key = new_api_key(f"{MARKER} key", Role.ADMINISTRATOR)
        canaries.adopt("API key", key.removeprefix("rota_ak_"))
        catalogue = Catalogue(f"sqlite:///{dev.data_dir / 'rota.db'}")
        async with catalogue.write() as session:
            session.add(row)
        await catalogue.close()
        api, temporal, _ = dev.ports
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{api}", headers={"X-API-Key": key}, timeout=30
        ) as http:
            story = Story(http, canaries, tmp_path, postgres_url, given, has_careless=True)
            await story.tell()
        histories = [held async for held in held_by_temporal(await connect_to(f"127.0.0.1:{temporal}"), None)]
    finally:
        assert await dev.stop() == 0

    def files(pattern: str) -> bytes:
        return b"".join(file.read_bytes() for file in dev.data_dir.glob(pattern))

    assert_silent(
        canaries,
        answers=b"\n".join(story.answers),
        histories=b"\n".join(histories),
        logs=(tmp_path / "dev.log").read_bytes() + files("*.log"),
        catalogue=files("rota.db*"),
        temporal=files("temporal.db*"),
    )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_no_logger_and_no_table_holds_a_secret(
    tmp_path: Path,
    postgres_url: str,
    canary_settings: tuple[Canaries, dict[str, str]],
    caplog: pytest.LogCaptureFixture,
    rota: Rota,
) -> None:
    canaries, given = canary_settings
    canaries.adopt("API key", rota.http.headers["X-API-Key"].removeprefix("rota_ak_"))
    story = Story(rota.http, canaries, tmp_path, postgres_url, given, has_careless=False)
    await story.tell()
    query = f"TaskQueue = '{rota.settings.task_queue}'"
    histories = [held async for held in held_by_temporal(rota.temporal, query)]

    assert_silent(
        canaries,
        answers=b"\n".join(story.answers),
        histories=b"\n".join(histories),
        logs=caplog.text.encode(),
        tables=await asyncio.to_thread(_rows, rota.settings.catalogue_url),
    )


@pytest.fixture
def canary_settings(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> tuple[Canaries, dict[str, str]]:
    for name in NOT_ROTAS:
        caplog.set_level(logging.WARNING, name)
    # Last, as it is also the level of what is captured.
    caplog.set_level(logging.DEBUG)
    canaries = Canaries()
    given = variables(canaries)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return canaries, given


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    canaries, given = request.getfixturevalue("canary_settings")
    secret_key = canaries.plant("ROTA_SECRET_KEY")
    return settings.model_copy(update={"step_env": list(given), "secret_key": secret_key})


def _rows(url: str) -> bytes:
    engine = sqlalchemy.create_engine(sync_url(url))
    with engine.connect() as connection:
        rows = [
            tuple(row)
            for table in SQLModel.metadata.sorted_tables
            for row in connection.execute(sqlalchemy.select(table))
        ]
    engine.dispose()
    return json.dumps(rows, default=str).encode()
