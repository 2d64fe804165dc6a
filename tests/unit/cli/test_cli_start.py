"""What keeps a command from starting is one line, and a secret is not in it."""

import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from alembic import command as migration
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from temporalio.envconfig import ClientConfig
from typer.testing import CliRunner

import worker
from api.errors import field_messages
from api.models.schedules import ScheduleCreate
from catalogue.api_keys import Role
from catalogue.engine import sync_url
from catalogue.migrations import alembic_config, migrate
from catalogue.schema import revisions
from cli import api_keys, dev, main
from cli.catalogue_access import CatalogueUnusable, catalogue_failures, check_catalogue_url, check_schema
from cli.demo import empty_demo_dir
from cli.ports import Ports
from cli.prepare import prepare
from runtime.settings import Settings, SettingsError

PASSWORD = "swordfish"


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROTA_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def migrated(data_dir: Path, sqlite_template: Path) -> Path:
    """The data folder, with a catalogue at the newest schema."""
    data_dir.mkdir()
    shutil.copy(sqlite_template, data_dir / "rota.db")
    return data_dir


@pytest.fixture
def away() -> str:
    """A PostgreSQL that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"postgresql://u:{PASSWORD}@127.0.0.1:{probe.getsockname()[1]}/x"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Runs a command that does not start; returns its exit code and the one line that it says."""
    with pytest.raises(SystemExit) as ending:
        main.run(arguments)
    shown = capsys.readouterr()
    assert not shown.out
    [line] = shown.err.splitlines()
    assert PASSWORD not in line
    assert isinstance(ending.value.code, int)
    return ending.value.code, line


@pytest.mark.parametrize("command", [["migrate"], ["api-key", "list"], ["api-key", "revoke", "x"]])
def test_a_database_that_is_away(
    command: list[str], away: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROTA_DATABASE_URL", away)
    code, line = refused(capsys, *command)
    assert code == 1
    assert "postgresql://u:***@127.0.0.1" in line
    assert "Connection refused" in line


@pytest.mark.parametrize("command", [["list"], ["create", "--name", "x", "--role", "Reader"], ["revoke", "x"]])
@pytest.mark.parametrize("exists", [True, False])
def test_keys_before_the_first_migration(
    command: list[str], data_dir: Path, capsys: pytest.CaptureFixture[str], *, exists: bool
) -> None:
    if exists:
        data_dir.mkdir()
    code, line = refused(capsys, "api-key", *command)
    assert code == 1
    assert line.endswith("is not at the newest schema: run `rota migrate`")


def test_the_keys_of_rota_dev_have_names_that_can_be_read(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir)
    settings.make_data_dir()
    for _ in range(2):
        prepare(settings)
        (data_dir / "api-key").unlink()

    head, *keys = CliRunner().invoke(main.app, ["api-key", "list"]).stdout.splitlines()

    assert head.split() == ["Name", "Role", "Begins", "with", "Created", "State"]
    assert [re.split(r"  +", line)[:2] for line in keys] == [
        ["rota dev", "Administrator"],
        ["rota dev 2", "Administrator"],
    ]


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(main.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"rota {version('rota')}\n")


def test_a_wrong_setting_says_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROTA_DRAIN_SECONDS", "soon")
    code, line = refused(capsys, "worker")
    assert code == 2
    assert line == "rota: ROTA_DRAIN_SECONDS: Input should be a number of seconds (given: 'soon')"


@pytest.mark.parametrize("command", ["migrate", "api", "worker"])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        (f"mysql://u:{PASSWORD}@h/x", "mysql is not supported"),
        (f"postgresql://u:p@{PASSWORD}@h/x", "write an @ in the user or the password as %40"),
    ],
)
def test_a_wrong_database_url(
    command: str, url: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROTA_DATABASE_URL", url)
    code, line = refused(capsys, command)
    assert code == 2
    assert line.startswith("rota: ROTA_DATABASE_URL: ")
    assert message in line


@pytest.mark.parametrize("command", [["migrate"], ["dev"], ["api"], ["worker"]])
def test_a_data_dir_that_is_a_file(command: list[str], data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir.touch()
    code, line = refused(capsys, *command)
    assert code == 2
    assert str(data_dir) in line


def test_a_cut_short_secret_key(migrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (migrated / "secret-key").touch()
    for command in ("api", "worker"):
        code, line = refused(capsys, command)
        assert code == 2
        assert str(migrated / "secret-key") in line


@pytest.mark.usefixtures("migrated")
def test_a_temporal_profile_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEMPORAL_PROFILE", "missing")
    for command in ("api", "worker"):
        code, line = refused(capsys, command)
        assert code == 2
        assert "'missing' not found" in line


@pytest.mark.usefixtures("migrated")
def test_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        code, line = refused(capsys, "api", "--port", str(port))
    assert code == 2
    assert line == f"rota: --port: 127.0.0.1:{port} cannot be used: Address already in use"


def test_a_port_out_of_range(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = refused(capsys, "dev", "--api-port", "99999")
    assert code == 2
    assert "99999" in line


@pytest.mark.parametrize("name", ["bad pool", "", "a/b", "-x", "a\n", "x" * 101])
def test_a_pool_that_no_step_can_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValidationError) as refusal:
        ScheduleCreate.model_validate({"name": "x", "steps": [{"workerPool": name}]})
    [said] = field_messages(refusal.value.errors()).values()

    code, line = refused(capsys, "worker", "--pool", "branch-office", "--pool", name)

    assert code == 2
    assert line == f"rota: --pool: {said[0].removeprefix('The field workerPool ').removesuffix('.')} (given: {name!r})"


class FakeDriverError(Exception):
    sqlstate: str | None = None


def test_messages_of_drivers() -> None:
    settings = Settings(database_url=f"postgresql://u:{PASSWORD}@h/x?password={PASSWORD}2")
    unmigrated = FakeDriverError('relation "apikey" does not exist')
    unmigrated.sqlstate = "42P01"
    with pytest.raises(CatalogueUnusable, match="run `rota migrate`"), catalogue_failures(settings):
        raise ProgrammingError("SELECT", {}, unmigrated)
    talkative = FakeDriverError(f"FATAL: no entry for\n password={PASSWORD}, {PASSWORD}2")
    with pytest.raises(CatalogueUnusable) as failure, catalogue_failures(settings):
        raise OperationalError("SELECT", {}, talkative)
    assert PASSWORD not in str(failure.value)
    assert str(failure.value).startswith(
        "the catalogue postgresql://u:***@h/x cannot be used: FATAL: no entry for pass"
    )
    with pytest.raises(CatalogueUnusable, match="locate revision"), catalogue_failures(settings):
        raise CommandError("Can't locate revision identified by 'x'")


def test_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r"pip install 'rota\[postgres\]'"):
        check_catalogue_url(Settings(database_url="postgresql://h/x"))


def test_a_catalogue_of_a_newer_version(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir.mkdir()
    url = f"sqlite:///{data_dir}/rota.db"
    migrate(url)
    set_revision(url, "f00")
    code, line = refused(capsys, "migrate")
    assert code == 1
    assert "revision" in line


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_server_in_the_wrong_folder_leaves_nothing_there(
    command: str, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = refused(capsys, command)
    assert code == 1
    assert line == f"rota: the catalogue sqlite:///{data_dir}/rota.db has no schema: run `rota migrate`"
    assert not data_dir.exists()


def test_a_server_on_the_database_of_another_program(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir.mkdir()
    connection = sqlite3.connect(data_dir / "rota.db")
    connection.execute("CREATE TABLE alembic_version AS SELECT 'a1b2c3' AS version_num")
    connection.close()
    code, line = refused(capsys, "worker")
    assert code == 1
    assert "has no schema: run `rota migrate`" in line


def set_revision(url: str, revision: str) -> None:
    engine = create_engine(sync_url(url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


@pytest.mark.parametrize("command", [["api"], ["worker"], ["worker", "--pool", "branch-office"]])
def test_a_server_on_another_schema(
    command: list[str],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = make_url(database_url)
    if url.host:
        url = url.set(password=url.password or PASSWORD)
    monkeypatch.setenv("ROTA_DATABASE_URL", url.render_as_string(hide_password=False))
    shown = url.set(query={}).render_as_string()
    remedy = "run `rota migrate`"

    set_revision(database_url, "0007")
    code, line = refused(capsys, *command)
    assert (code, line) == (
        1,
        f"rota: the catalogue {shown} is at schema 0007, and this version needs {revisions()[-1]}: {remedy}",
    )
    set_revision(database_url, revisions()[-1])
    migration.downgrade(alembic_config(database_url), "base")
    code, line = refused(capsys, *command)
    assert (code, line) == (1, f"rota: the catalogue {shown} has no schema: {remedy}")


def test_a_newer_schema_and_a_database_that_is_away_keep_no_server_from_its_start(database_url: str, away: str) -> None:
    check_schema(Settings(database_url=database_url))
    set_revision(database_url, "f00")
    check_schema(Settings(database_url=database_url))
    check_schema(Settings(database_url=away))


def test_a_pool_worker_without_a_catalogue_needs_none(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Sequence[str]] = []

    async def run_worker(_: Settings, pools: Sequence[str]) -> None:
        started.append(pools)

    monkeypatch.setattr(worker, "run_worker", run_worker)
    main.app(["worker", "--pool", "branch-office"], standalone_mode=False)
    assert started == [["branch-office"]]
    assert not (data_dir / "rota.db").exists()


def test_the_revisions_that_are_known_are_those_of_the_migrations() -> None:
    scripts = ScriptDirectory.from_config(alembic_config("sqlite://"))
    assert list(revisions()) == sorted(script.revision for script in scripts.walk_revisions())
    assert scripts.get_current_head() == revisions()[-1]


@pytest.mark.parametrize(
    ("expires", "problem"), [("2020-01-31", "is over"), ("0d", "is over"), ("soon", "is neither days such as 90d")]
)
def test_a_key_that_would_never_work_is_not_made(data_dir: Path, expires: str, problem: str) -> None:
    made = CliRunner().invoke(main.app, ["api-key", "create", "--name", "k", "--role", "Reader", "--expires", expires])
    assert made.exit_code == 2
    assert f"'{expires}' {problem}" in made.output
    assert not (data_dir / "rota.db").exists()


def test_the_roles_of_a_key_are_the_catalogues() -> None:
    assert tuple(role.value for role in Role) == api_keys.ROLES


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], Ports("127.0.0.2", 9090, 7233, 8233)),
        (["--host", "127.0.0.3", "--api-port", "9191", "--ui-port", "9292"], Ports("127.0.0.3", 9191, 7233, 9292)),
    ],
)
def test_rota_dev_listens_where_the_settings_say(
    options: list[str], expected: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Ports] = []

    async def run_dev(_: Settings, ports: Ports, *, with_worker: bool) -> None:
        assert with_worker
        given.append(ports)

    monkeypatch.setattr(dev, "run_dev", run_dev)
    monkeypatch.setenv("ROTA_API_HOST", "127.0.0.2")
    monkeypatch.setenv("ROTA_API_PORT", "9090")
    main.app(["dev", *options], standalone_mode=False)
    assert given == [expected]


def test_no_temporal_setting_of_the_users_reaches_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEMPORAL_PROFILE", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_TLS"):
        monkeypatch.setenv(name, "mine")
    environment = dev._environment(Settings(), Ports("127.0.0.1", 1, 2, 3))
    assert {name for name in environment if name.startswith("TEMPORAL_")} == {
        "TEMPORAL_ADDRESS",
        "TEMPORAL_CONFIG_FILE",
    }
    for name in ("TEMPORAL_PROFILE", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_TLS"):
        monkeypatch.delenv(name)
    assert ClientConfig.load_client_connect_config(override_env_vars=environment) == {"target_host": "127.0.0.1:2"}


def test_the_supervisor_and_the_clients_load_neither_server_nor_database() -> None:
    check = (
        "import sys, cli.main, cli.dev;"
        "print(*sorted({'temporalio', 'sqlalchemy', 'alembic', 'fastapi', 'uvicorn', 'sqlglot'} & set(sys.modules)))"
    )
    assert not subprocess.check_output([sys.executable, "-c", check], text=True).strip()


def test_the_demo_empties_a_folder_of_its_own_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "thesis").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"^--data-dir: .*mine is not empty, and not the demo's own"):
        empty_demo_dir(mine)
    assert (mine / "thesis").is_dir()

    demos = tmp_path / "demos"
    demos.mkdir()
    empty_demo_dir(demos)
    (demos / "identity" / "out").mkdir(parents=True)
    (demos / "rota.db").touch()
    (demos / "link").symlink_to(mine)
    with dev.hold_data_dir(demos), pytest.raises(SettingsError, match="another"):
        empty_demo_dir(demos)
    assert (demos / "rota.db").exists()
    empty_demo_dir(demos)
    assert sorted(path.name for path in demos.iterdir()) == [".rota-demo", "lock"]
    assert (mine / "thesis").is_dir()
