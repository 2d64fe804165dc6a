"""Servers and databases that tests share: each is started once for a session, and tests keep out of each other's way."""

import atexit
import os
import shutil
import sysconfig
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from catalogue.engine import Catalogue
from catalogue.migrations import migrate
from contracts.names import SEARCH_ATTRIBUTES
from runtime.embedded import DYNAMIC_CONFIG, find_temporal
from runtime.leaving import leave
from runtime.temporal import add_search_attributes, data_converter, register_search_attributes
from runtime.zones import use_packaged_zones, zone_environment

# The kit that holds step types to their promises is tested as its users run it.
pytest_plugins = ["pytester", "activities.support.conformance"]

LONG_HISTORY_EVENTS = 200

_SERVER_TRIES = 4
"""The SDK gives a server five seconds to start, which is little where several start on a busy machine."""

use_packaged_zones()

_exit_status = 0


def pytest_sessionfinish(exitstatus: int) -> None:
    global _exit_status  # noqa: PLW0603 - an exit handler takes no argument
    _exit_status = int(exitstatus)


# Handlers run in the opposite order: being registered first, this one is the last thing that happens.
atexit.register(lambda: leave(_exit_status))


async def _start_server(arguments: list[str]) -> WorkflowEnvironment:
    for tries_left in reversed(range(_SERVER_TRIES)):
        try:
            return await WorkflowEnvironment.start_local(
                dev_server_existing_path=str(find_temporal()),
                dev_server_extra_args=arguments,
                data_converter=data_converter,
            )
        except RuntimeError:
            if not tries_left:
                raise
    raise AssertionError


@pytest.fixture(scope="session")
async def dev_server() -> AsyncIterator[WorkflowEnvironment]:
    """The development server, in memory, with the settings of the embedded one.

    A history soon counts as long, and what was closed may be deleted within a second instead of half a minute.
    """
    config = DYNAMIC_CONFIG | {
        "limit.historyCount.suggestContinueAsNew": str(LONG_HISTORY_EVENTS),
        "history.transferProcessorUpdateAckInterval": '"1s"',
    }
    arguments = [part for key, value in config.items() for part in ("--dynamic-config-value", f"{key}={value}")]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zone_environment().items():
            patch.setenv(name, value)
        environment = await _start_server(arguments)
    async with environment:
        await register_search_attributes(environment.client)
        yield environment


@pytest.fixture(scope="session")
def client(dev_server: WorkflowEnvironment) -> Client:
    return dev_server.client


@pytest.fixture(scope="session")
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The test server that skips time: no Schedules, no listing."""
    binary = Path(sysconfig.get_path("scripts")) / "temporal-test-server"
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(binary),
        data_converter=data_converter,
    ) as environment:
        await add_search_attributes(environment.client, SEARCH_ATTRIBUTES)
        yield environment


@pytest.fixture
def task_queue() -> str:
    return f"test-{uuid.uuid4()}"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: the one that ROTA_TEST_POSTGRES_URL names, else pgserver's."""
    named = os.environ.get("ROTA_TEST_POSTGRES_URL")
    if named:
        yield named
        return
    reason = "no PostgreSQL: set ROTA_TEST_POSTGRES_URL, or use a platform with pgserver"
    pgserver = pytest.importorskip("pgserver", reason=reason)
    # Not in pytest's own folder: the server runs as another user where root runs the tests, and the start of any other
    # test run takes that user's access to the folder away.
    with tempfile.TemporaryDirectory(prefix="rota-postgres-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite catalogue at the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "rota.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[tuple[sqlalchemy.Engine, sqlalchemy.URL]]:
    """An empty PostgreSQL catalogue at the newest schema, to be copied, and a connection that may do so."""
    server = sqlalchemy.make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with temporary_database(engine) as template:
        migrate(template.render_as_string(hide_password=False))
        yield engine, template
    engine.dispose()


@contextmanager
def temporary_database(engine: sqlalchemy.Engine, template: str = "template1") -> Iterator[sqlalchemy.URL]:
    name = f"rota_{uuid.uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    yield engine.url.set(drivername="postgresql", database=name)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty catalogue of each kind, at the newest schema."""
    if request.param == "sqlite":
        copy = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "rota.db")
        yield f"sqlite:///{copy}"
        return
    engine, template = request.getfixturevalue("postgres_template")
    with temporary_database(engine, template.database) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture
async def catalogue(database_url: str) -> AsyncIterator[Catalogue]:
    catalogue = Catalogue(database_url)
    yield catalogue
    await catalogue.close()
