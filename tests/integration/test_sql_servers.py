"""SqlScript steps on real servers: what is committed, what is rolled back, and what a stop leaves running there."""

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import sqlalchemy
from sqlalchemy import text

from activities.sql_script import SqlScript, SqlScriptConfig
from activities.support.step_type import StepFailure, StepRun
from tests.unit.activities.step_runs import step_run, until

_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}


@dataclass
class Server:
    """A database server, and a table name that no other test has."""

    url: str
    engine: sqlalchemy.Engine
    sleep: str
    """A statement that sleeps, the table's name in it."""
    sessions: str
    """The sessions of others whose statement has the table's name in it."""
    table: str

    def fill(self, template: str) -> str:
        return template.replace("{sleep}", self.sleep).replace("{sessions}", self.sessions).replace("{t}", self.table)

    def ask(self, query: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(self.fill(query))).scalar()

    def rows(self) -> int:
        return int(self.ask("select count(*) from {t}"))

    def running(self) -> int:
        """Returns how many statements run that have the table's name in them."""
        return int(self.ask("select count(*) from {sessions}"))

    @contextmanager
    def other_client(self) -> Iterator[Callable[[str], Any]]:
        """Gives what runs statements in a transaction of its own, committed at the end."""
        with self.engine.begin() as connection:
            yield lambda statement: connection.execute(text(self.fill(statement)))


@pytest.fixture(params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        sleep = "select '{t}', pg_sleep(300)"
        sessions = "pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%{t}%'"
    else:
        url = os.environ.get("ROTA_TEST_MYSQL_URL")
        if not url:
            pytest.skip("no MySQL or MariaDB: set ROTA_TEST_MYSQL_URL")
        sleep = "select '{t}', sleep(300)"
        sessions = "information_schema.processlist where id <> connection_id() and info like '%{t}%'"
    parsed = sqlalchemy.make_url(url)
    engine = sqlalchemy.create_engine(parsed.set(drivername=_DRIVERS[parsed.get_backend_name()]))
    server = Server(url, engine, sleep, sessions, f"rota_{uuid.uuid4().hex}")
    with server.other_client() as run:
        run("create table {t} (a int primary key, b varchar(20))")
    yield server
    with server.other_client() as run:
        run("drop table {t}")
    engine.dispose()


on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)
on_mysql = pytest.mark.parametrize("server", ["mysql"], indirect=True)


def script(root: Path, server: Server, content: str, *, url: str | None = None, **worker: Any) -> StepRun[Any]:
    (root / "script.sql").write_text(server.fill(content))
    config = SqlScriptConfig(sql_connection_string=url or server.url, sql_script_path="script.sql")
    return step_run(config, root, **{"kill_grace": timedelta(seconds=20), **worker})


async def failure(step: StepRun[Any]) -> StepFailure:
    with pytest.raises(StepFailure) as caught:
        await SqlScript().run(step)
    return caught.value


async def stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_script_is_one_transaction_and_shows_what_it_did(tmp_path: Path, server: Server) -> None:
    content = (
        "insert into {t} values (1, 'it''s; ü'), (2, null);\nupdate {t} set a = a + 10;\n\n"
        "select * from {t} order by a;\nselect a from {t} where a = 0"
    )
    step = script(tmp_path, server, content)
    await SqlScript().run(step)
    assert step.output.text().splitlines() == [
        "statement 1 (line 1): 2 rows",
        "statement 2 (line 2): 2 rows",
        "statement 3 (line 4): 2 rows",
        "  a | b",
        "  11 | it's; ü",
        "  12 | NULL",
        "statement 4 (line 5): 0 rows",
        "  a",
        "committed: 4 statements, 6 rows",
    ]
    assert server.rows() == 2


async def test_an_error_rolls_back_and_names_the_statement(tmp_path: Path, server: Server) -> None:
    step = script(tmp_path, server, "insert into {t} values (1, 'x');\n\ninsert into {t} values (2, 'y'), (1, 'z');")
    error = await failure(step)
    assert str(error).startswith("statement 2 (line 3): ")
    assert "uplicate" in str(error)
    assert not error.retryable
    assert server.rows() == 0
    syntax = await failure(script(tmp_path, server, "insert into {t} values (1, 'x');\nselct 1"))
    assert str(syntax).startswith("statement 2 (line 2): ")
    assert not syntax.retryable
    assert server.rows() == 0


async def test_a_script_may_frame_its_own_transaction(tmp_path: Path, server: Server) -> None:
    content = "-- framed\nstart transaction;\ninsert into {t} values (1, 'x');\nsavepoint s;\nrollback to s;\ncommit;\n"
    await SqlScript().run(script(tmp_path, server, content))
    assert server.rows() == 1


async def test_a_lock_that_is_not_granted_is_worth_another_attempt(tmp_path: Path, server: Server) -> None:
    await SqlScript().run(script(tmp_path, server, "insert into {t} values (1, 'x')"))
    with server.other_client() as run:
        run("update {t} set b = 'y'")
        error = await failure(script(tmp_path, server, "select * from {t} for update nowait"))
    assert str(error).startswith("statement 1 (line 1): ")
    assert error.retryable


async def test_a_stop_ends_the_statement_on_the_server_and_rolls_back(tmp_path: Path, server: Server) -> None:
    step = script(tmp_path, server, "insert into {t} values (1, 'x');\n{sleep};\ndelete from {t}")
    task = asyncio.create_task(SqlScript().run(step))
    await until(server.running)
    await stopped(task)
    assert server.running() == 0
    assert server.rows() == 0
    # No lock is left on what the script wrote.
    with server.other_client() as run:
        run("insert into {t} values (1, 'y')")


async def test_a_stop_that_waits_for_a_lock_ends_the_wait(tmp_path: Path, server: Server) -> None:
    await SqlScript().run(script(tmp_path, server, "insert into {t} values (1, 'x')"))
    with server.other_client() as run:
        run("update {t} set b = 'y'")
        task = asyncio.create_task(SqlScript().run(script(tmp_path, server, "update {t} set b = 'z'")))
        await until(server.running)
        await stopped(task)
        assert server.running() == 0
    assert server.ask("select b from {t}") == "y"


async def test_a_stop_ends_a_result_without_end(tmp_path: Path, server: Server) -> None:
    content = "insert into {t} values (1, 'x');\nselect '{t}', a.table_name from {c} a, {c} b, {c} c, {c} d"
    step = script(tmp_path, server, content.replace("{c}", "information_schema.columns"))
    task = asyncio.create_task(SqlScript().run(step))
    await until(server.running)
    await stopped(task)
    assert server.running() == 0
    assert server.rows() == 0


async def test_a_stop_between_statements_rolls_back(tmp_path: Path, server: Server) -> None:
    content = "\n".join("insert into {t} values (#, 'x');".replace("#", str(number)) for number in range(5000))
    step = script(tmp_path, server, content)
    task = asyncio.create_task(SqlScript().run(step))
    await until(lambda: "statement 5" in step.output.text())
    await stopped(task)
    assert "committed" not in step.output.text()
    assert server.rows() == 0


async def test_a_connection_that_is_lost_is_worth_another_attempt(tmp_path: Path, server: Server) -> None:
    step = script(tmp_path, server, "insert into {t} values (1, 'x');\n{sleep}")
    task = asyncio.create_task(SqlScript().run(step))
    await until(server.running)
    with server.other_client() as run:
        if server.engine.dialect.name == "postgresql":
            run("select pg_terminate_backend(pid) from {sessions}")
        else:
            victim = run("select id from {sessions}").scalar()
            run(f"kill {victim}")
    with pytest.raises(StepFailure) as caught:
        await task
    assert str(caught.value).startswith("statement 2 (line 2): ")
    assert caught.value.retryable
    assert server.rows() == 0


class Relay:
    """Passes bytes between clients and a server, until it is told to go silent."""

    def __init__(self, server: Server) -> None:
        self._url = server.engine.url
        self._silent = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        port = self._listener.sockets[0].getsockname()[1]
        url = self._url.set(drivername=self._url.get_backend_name(), host="127.0.0.1", port=port, query={})
        return url.render_as_string(hide_password=False)

    def go_silent(self) -> None:
        self._silent.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        folder = str(self._url.query.get("host", ""))
        if folder.startswith("/"):
            upstream = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{self._url.port or 5432}")
        else:
            usual = 5432 if self._url.get_backend_name() == "postgresql" else 3306
            upstream = await asyncio.open_connection(self._url.host or folder, self._url.port or usual)
        for source, sink in ((reader, upstream[1]), (upstream[0], writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if self._silent.is_set():
                    await asyncio.Event().wait()
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()


async def test_a_server_that_has_gone_silent_does_not_hold_up_a_stop(tmp_path: Path, server: Server) -> None:
    async with Relay(server) as relay:
        content = "insert into {t} values (1, 'x');\n{sleep}"
        step = script(tmp_path, server, content, url=relay.url, kill_grace=timedelta(seconds=0.3))
        task = asyncio.create_task(SqlScript().run(step))
        await until(server.running)
        relay.go_silent()
        await stopped(task)
    # Both look now and then whether their client is still there (PostgreSQL because the session asks it to).
    await until(lambda: server.running() == 0)
    assert server.rows() == 0


async def test_a_stop_while_connecting_ends_the_attempt(tmp_path: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        url = f"{server.engine.dialect.name}://u:s3cret@127.0.0.1:{silent.getsockname()[1]}/db"
        task = asyncio.create_task(SqlScript().run(script(tmp_path, server, "select 1", url=url)))
        connection, _ = await asyncio.to_thread(silent.accept)
        with connection:
            await stopped(task)


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        url = f"{server.engine.dialect.name}://u:s3cret@{place}/db?connect_timeout=1"
        error = await failure(script(tmp_path, server, "select 1", url=url))
    assert str(error).startswith("cannot connect to ")
    assert place in str(error)
    assert "s3cret" not in str(error)
    assert error.retryable


async def test_a_refused_login_hides_the_password(tmp_path: Path, server: Server) -> None:
    url = server.engine.url.set(drivername=server.engine.dialect.name, username="nobody_such", password="s3cret;'pw")
    error = await failure(script(tmp_path, server, "select 1", url=url.render_as_string(hide_password=False)))
    assert str(error).startswith("cannot connect to ")
    assert "nobody_such" in str(error)
    assert "s3cret" not in str(error)
    assert error.retryable


@on_postgresql
async def test_postgresql_notices_bodies_and_error_details(tmp_path: Path, server: Server) -> None:
    content = (
        "create function {t}_f(int) returns int language plpgsql as $$\nbegin\n  raise notice 'got; %', $1;\n"
        "  return $1 + 1;\nend $$;\nselect {t}_f(1);\ndo $$ begin raise exception 'no; %', 5\n"
        "  using detail = 'why', hint = 'how'; end $$;"
    )
    step = script(tmp_path, server, content)
    assert str(await failure(step)) == "statement 3 (line 7): no; 5"
    shown = step.output.text().splitlines()
    assert shown[1:5] == ["NOTICE: got; 1", "statement 2 (line 6): 1 row", f"  {server.table}_f", "  2"]
    assert shown[6:8] == ["  DETAIL: why", "  HINT: how"]
    assert server.ask("select count(*) from pg_proc where proname = '{t}_f'") == 0


@on_postgresql
async def test_postgresql_options_of_npgsql(tmp_path: Path, server: Server) -> None:
    url = server.engine.url
    host, port = url.host or url.query["host"], url.port or 5432
    connection = (
        f"Host={host};Port={port};Username={url.username};Password={url.password or 'none'};Database={url.database};"
        "Application Name=hr sync;Search Path=pg_catalog, public;SSL Mode=Prefer;Timeout=5;Pooling=true"
    )
    content = (
        "select current_setting('application_name'), current_setting('search_path'),"
        " coalesce(current_setting('client_connection_check_interval', true), '2s')"
    )
    step = script(tmp_path, server, content, url=connection)
    await SqlScript().run(step)
    assert step.output.text().splitlines()[2] == "  hr sync | pg_catalog, public | 2s"


@on_postgresql
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("copy {t} from stdin", "COPY FROM STDIN and TO STDOUT need a client"),
        ("copy {t} to stdout", "COPY FROM STDIN and TO STDOUT need a client"),
        ("create database {t}", "CREATE DATABASE cannot run inside a transaction block"),
        ("create procedure {t}_p() language plpgsql as $$ begin commit; end $$; call {t}_p()", "invalid transaction"),
    ],
)
async def test_postgresql_statements_that_fit_no_script(
    tmp_path: Path, server: Server, content: str, message: str
) -> None:
    error = await failure(script(tmp_path, server, content))
    assert message in str(error)
    assert not error.retryable


@on_mysql
async def test_mysql_procedures_and_warnings(tmp_path: Path, server: Server) -> None:
    content = (
        "DELIMITER //\ncreate procedure {t}_p()\nbegin\n  select 1 as one; insert into {t} values (1, 'x;');\nend//\n"
        "DELIMITER ;\ncall {t}_p();\nselect 1/0 as nothing;\ndrop procedure {t}_p;"
    )
    step = script(tmp_path, server, content)
    await SqlScript().run(step)
    assert step.output.text().splitlines() == [
        "statement 1 (line 2): 0 rows; the server has committed the script so far",
        "statement 2 (line 7): 1 row",
        "  one",
        "  1",
        "statement 2 (line 7): 1 row",
        "statement 3 (line 8): 1 row",
        "  nothing",
        "  NULL",
        "Warning 1365: Division by 0",
        "statement 4 (line 9): 0 rows; the server has committed the script so far",
        "committed: 4 statements, 3 rows",
    ]
    assert server.rows() == 1


@on_mysql
@pytest.mark.parametrize(
    "content",
    [
        "insert into {t} values (1, 'x');\nalter table {t} comment = 'x';\ninsert into {t} values (2, 'x');\nselct 1",
        "insert into {t} values (1, 'x');\nselect 1;\ninsert into {t} values (2, 'x');\ncreate table {t} (a int)",
    ],
)
async def test_mysql_commits_at_some_statements_and_the_failure_says_so(
    tmp_path: Path, server: Server, content: str
) -> None:
    error = await failure(script(tmp_path, server, content))
    kept = 1 if "alter" in content else 2
    assert str(error).startswith("statement 4 (line 4): ")
    assert str(error).endswith("statements 1 to 2 stay, which the server had committed by itself") == (kept == 1)
    assert str(error).endswith("statements 1 to 3 stay, which the server had committed by itself") == (kept == 2)
    assert server.rows() == kept
    assert not error.retryable


@on_mysql
async def test_mysql_autocommit_cannot_be_turned_on(tmp_path: Path, server: Server) -> None:
    content = (
        "insert into {t} values (1, 'x');\nset session sql_mode = '', autocommit = 1;\ninsert into {t} values (2, 'x')"
    )
    error = await failure(script(tmp_path, server, content))
    assert "turned autocommit on" in str(error)
    assert server.rows() == 1
