import asyncio
import contextlib
import os
import sqlite3
import sys
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from activities.sql_script import SqlScript, SqlScriptConfig
from activities.support.sql import run, sqlite
from activities.support.step_type import StepFailure, StepRun
from contracts.execution import StepProgress
from runtime.secrets import MASK, SecretBox, mask_fields
from tests.unit.activities.step_runs import step_run, until

ENDLESS = (
    "insert into p values (1);\nwith recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
)


def script(root: Path, text: str | bytes, *, url: str = "sqlite:///hr.db", **worker: Any) -> StepRun[Any]:
    (root / "script.sql").write_bytes(text.encode() if isinstance(text, str) else text)
    config = SqlScriptConfig(sql_connection_string=url, sql_script_path="script.sql")
    return step_run(config, root, **worker)


def rows(root: Path, query: str, database: str = "hr.db") -> list[Any]:
    with closing(sqlite3.connect(root / database)) as connection:
        return connection.execute(query).fetchall()


async def failure(step: StepRun[Any]) -> StepFailure:
    with pytest.raises(StepFailure) as caught:
        await SqlScript().run(step)
    return caught.value


async def stopped(step: StepRun[Any], when: Any) -> None:
    """Runs a step and cancels it once a condition holds."""
    task = asyncio.create_task(SqlScript().run(step))
    await until(lambda: when() or task.done())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_fields_are_the_documented_ones_and_checked() -> None:
    fields = {"sqlConnectionString": "postgresql://u:s3cret@db/hr", "sqlScriptPath": "a/b.sql"}
    config = SqlScriptConfig.model_validate(fields)
    assert config.model_dump(by_alias=True) == fields
    assert SqlScript().display_name(config.model_dump(), {}) == "b.sql"
    masked = mask_fields(SqlScriptConfig, config.model_dump(), SecretBox("key"))
    assert masked == {"sql_connection_string": f"postgresql://u:{MASK}@db/hr", "sql_script_path": "a/b.sql"}
    with pytest.raises(ValidationError, match="MySQL is written as a URL") as caught:
        SqlScriptConfig.model_validate({**fields, "sqlConnectionString": "Server=db;Port=3306"})
    assert [error["loc"] for error in caught.value.errors()] == [("sqlConnectionString",)]
    with pytest.raises(ValidationError, match="500"):
        SqlScriptConfig.model_validate({**fields, "sqlScriptPath": "x" * 501})


async def test_a_script_is_one_transaction_and_shows_what_it_did(tmp_path: Path) -> None:
    text = (
        "\ufeff-- people\ncreate table p (id integer primary key, name text);\n"
        "insert into p (name) values ('Ann'), ('Bób'), (null), (x'00ff');\n"
        "update p set name = name || '!' where id < 3;\n\nselect * from p order by id;\n"
        "create trigger t after insert on p begin update p set name = 'x;' where id = 1; end;\n"
        "insert into p (name) values ('Z') returning id;"
    )
    step = script(tmp_path, text)
    await SqlScript().run(step)
    assert step.output.text().splitlines() == [
        "statement 1 (line 2): done",
        "statement 2 (line 3): 4 rows",
        "statement 3 (line 4): 2 rows",
        "statement 4 (line 6): 4 rows",
        "  id | name",
        "  1 | Ann!",
        "  2 | Bób!",
        "  3 | NULL",
        "  4 | 0x00ff",
        "statement 5 (line 7): done",
        "statement 6 (line 8): 1 row",
        "  id",
        "  5",
        "committed: 6 statements, 11 rows",
    ]
    assert step.progress == StepProgress(done=6, total=6, message="6 of 6 statements, 11 rows")
    assert step.warning is None
    assert rows(tmp_path, "select name from p where id = 1") == [("x;",)]


async def test_only_the_first_rows_of_a_result_are_shown(tmp_path: Path) -> None:
    text = "with recursive n(i) as (select 1 union all select i + 1 from n limit 500) select i, printf('%.*c', 99, 'x') from n"
    step = script(tmp_path, text, url="sqlite://")
    await SqlScript().run(step)
    shown = step.output.text().splitlines()
    assert shown[0] == "statement 1 (line 1): 500 rows"
    assert shown[2] == f"  1 | {'x' * 79}…"
    assert shown[21:23] == [f"  20 | {'x' * 79}…", "  ... and 480 rows more"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("create table q (a);\n\n/* ; */ insert into\nnope values (1);", "statement 2 (line 3): no such table: nope"),
        ("create table q (a unique);\ninsert into q values (1), (1)", "statement 2 (line 2): UNIQUE constraint failed"),
        ("insert into p values (2);\nselct 1;\n", 'statement 2 (line 2): near "selct": syntax error'),
        ("insert into p values (2);\nselect 'a\n", "script.sql: line 2: the ' that begins here is not closed"),
        ("insert into p values (2); commit; drop table p", "script.sql: statement 2 (line 1): COMMIT: a script is one"),
        ("begin nonsense; select 1; commit", 'statement 1 (line 1): near "nonsense": syntax error'),
        ("vacuum", "statement 1 (line 1): cannot VACUUM from within a transaction"),
    ],
)
async def test_an_error_rolls_all_back_and_names_the_statement(tmp_path: Path, text: str, message: str) -> None:
    await SqlScript().run(script(tmp_path, "create table p (a); insert into p values (1)"))
    error = await failure(script(tmp_path, text))
    assert str(error).startswith(message)
    assert not error.retryable
    assert rows(tmp_path, "select a from p") == [(1,)]
    assert rows(tmp_path, "select count(*) from sqlite_master") == [(1,)]


async def test_a_script_may_frame_itself_and_set_pragmas_around(tmp_path: Path) -> None:
    setup = "create table p (id primary key); create table c (p references p); insert into c values (1)"
    await SqlScript().run(script(tmp_path, setup))
    text = "pragma foreign_keys=on;\nbegin;\ninsert into c values (2);\ncommit;\npragma foreign_keys=off;"
    error = await failure(script(tmp_path, text))
    assert str(error) == "statement 3 (line 3): FOREIGN KEY constraint failed"
    await SqlScript().run(script(tmp_path, text.replace("=on", "=off")))
    assert rows(tmp_path, "select p from c") == [(1,), (2,)]


async def test_an_error_at_the_commit_is_a_failure(tmp_path: Path) -> None:
    await SqlScript().run(script(tmp_path, "create table p (id primary key)"))
    text = "pragma foreign_keys=on; create table c (p references p deferrable initially deferred); insert into c values (1)"
    error = await failure(script(tmp_path, text))
    assert str(error) == "the script could not be committed: FOREIGN KEY constraint failed"
    assert rows(tmp_path, "select name from sqlite_master where name = 'c'") == []


async def test_a_script_without_statements_is_a_warning(tmp_path: Path) -> None:
    step = script(tmp_path, "-- later;\n")
    await SqlScript().run(step)
    assert step.warning == "the script holds no statement"
    assert not (tmp_path / "hr.db").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"select 1;\nselect 'M\xfcller';", "script.sql is not UTF-8 (byte 0xFC in line 2)"),
        ("select 1;\n".encode("utf-16"), "script.sql is not UTF-8 (byte 0xFF in line 1)"),
        ("select 1;\n".encode("utf-16-le"), "script.sql holds a NUL in line 1; is it UTF-8?"),
    ],
)
async def test_a_script_is_utf8(tmp_path: Path, content: bytes, message: str) -> None:
    assert str(await failure(script(tmp_path, content))) == message


async def test_a_script_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SCRIPT_LIMIT_BYTES", 1024**2)
    error = await failure(script(tmp_path, "-" * (1024**2 + 1)))
    assert str(error).startswith("script.sql is larger than 1 MiB")


async def test_files_lie_under_the_script_roots(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    named = {
        f"sqlite:///{outside}/hr.db": "sqlConnectionString",
        "sqlite:///../outside/hr.db": "sqlConnectionString",
        "sqlite:///link/hr.db": "sqlConnectionString",
    }
    for url, field in named.items():
        error = await failure(script(root, "create table t (a)", url=url))
        assert str(error).startswith(f"{field}: ")
        assert "outside the script roots" in str(error)
    step = script(root, "select 1")
    step.config = SqlScriptConfig(sql_connection_string="sqlite://", sql_script_path=str(outside / "x.sql"))
    assert "outside the script roots" in str(await failure(step))
    assert list(outside.iterdir()) == []


async def test_a_script_may_attach_what_the_step_may_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    text = f"attach '{root}/other.db' as o;\ncreate table o.t (a);\nattach ':memory:' as m; create table m.t (a);"
    await SqlScript().run(script(root, text))
    assert rows(root, "select name from sqlite_master", "other.db") == [("t",)]
    for name, message in {
        f"'{tmp_path}/out.db'": "outside the script roots",
        "'other.db'": "ATTACH takes the absolute path of a file",
        f"'{root}/' || 'other.db'": "ATTACH takes the absolute path of a file",
    }.items():
        assert message in str(await failure(script(root, f"attach {name} as o")))


@pytest.mark.parametrize(
    "pragma",
    ["hard_heap_limit = 100000", "SOFT_HEAP_LIMIT(1)", "main.temp_store_directory = '/'", "data_store_directory = ''"],
)
async def test_a_script_changes_no_connection_but_its_own(tmp_path: Path, pragma: str) -> None:
    error = await failure(script(tmp_path, f"create table t (a);\npragma {pragma}"))
    assert "is refused: it would change the whole worker" in str(error)
    assert str(error).startswith("statement 2 (line 2): PRAGMA ")
    with contextlib.closing(sqlite3.connect(":memory:")) as other:
        assert other.execute("pragma hard_heap_limit").fetchone() == (0,)
    assert not (tmp_path / "out.db").exists()


async def test_a_stop_interrupts_the_statement_and_rolls_back(tmp_path: Path) -> None:
    await SqlScript().run(script(tmp_path, "create table p (a)"))
    step = script(tmp_path, ENDLESS)
    await stopped(step, lambda: "statement 1" in step.output.text())
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("sql-script")] == []
    assert rows(tmp_path, "select * from p") == []


async def test_a_stop_between_statements_rolls_back(tmp_path: Path) -> None:
    await SqlScript().run(script(tmp_path, "create table p (a)"))
    step = script(tmp_path, "insert into p values (1);\n" * 5_000)
    await stopped(step, lambda: "statement 9" in step.output.text())
    assert "committed" not in step.output.text()
    assert rows(tmp_path, "select * from p") == []


async def test_a_stop_that_is_repeated_changes_nothing(tmp_path: Path) -> None:
    step = script(tmp_path, f"create table p (a);\n{ENDLESS};")
    task = asyncio.create_task(SqlScript().run(step))
    await until(lambda: "statement 2" in step.output.text())
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()
    assert rows(tmp_path, "select * from sqlite_master") == []


async def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    await SqlScript().run(script(tmp_path, "create table p (a)"))
    with closing(sqlite3.connect(tmp_path / "hr.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        other.execute("insert into p values (1)")
        step = script(tmp_path, "insert into p select count(*) + 1 from p")
        task = asyncio.create_task(SqlScript().run(step))
        await until(lambda: step.progress is not None)
        assert not task.done()
        other.execute("commit")
        await task
    assert rows(tmp_path, "select a from p") == [(1,), (2,)]


async def test_a_stop_ends_the_wait_for_a_lock(tmp_path: Path) -> None:
    await SqlScript().run(script(tmp_path, "create table p (a)"))
    with closing(sqlite3.connect(tmp_path / "hr.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        step = script(tmp_path, "insert into p values (1)")
        await stopped(step, lambda: step.progress is not None)
        other.execute("commit")
    assert rows(tmp_path, "select a from p") == []


async def test_a_file_that_stays_locked_is_worth_another_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.1)
    await SqlScript().run(script(tmp_path, "create table p (a)"))
    with closing(sqlite3.connect(tmp_path / "hr.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        error = await failure(script(tmp_path, "insert into p values (1)"))
    assert str(error) == "statement 1 (line 1): database is locked"
    assert error.retryable


async def test_a_file_that_may_only_be_read_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await SqlScript().run(script(tmp_path, "create table p (a)"))
    step = script(tmp_path, "select count(*) from p")
    with closing(sqlite3.connect(tmp_path / "hr.db", isolation_level=None)) as other:
        # Who begins for writing would wait for this one.
        other.execute("begin immediate")
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and Path(path).exists())
        await SqlScript().run(step)
    assert step.output.text().startswith("statement 1 (line 1): 1 row\n")


@pytest.mark.parametrize(
    ("url", "module", "driver", "message"),
    [
        (
            "postgresql://db/hr",
            "postgresql",
            "psycopg",
            "PostgreSQL is not installed on this worker: pip install 'rota[postgres]'",
        ),
        ("mysql://db/hr", "mysql", "pymysql", "MySQL is not installed on this worker: pip install 'rota[mysql]'"),
        ("Server=db", "sqlserver", "pymssql", "SQL Server is not installed on this worker: pip install 'rota[mssql]'"),
    ],
)
async def test_a_driver_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, module: str, driver: str, message: str
) -> None:
    monkeypatch.delitem(sys.modules, f"activities.support.sql.{module}", raising=False)
    monkeypatch.setitem(sys.modules, driver, None)
    error = await failure(script(tmp_path, "select 1", url=url))
    assert str(error) == f"the driver of {message}"
    assert not error.retryable


async def test_variables_come_from_the_worker(tmp_path: Path) -> None:
    worker = {"named_environment": {"HR_DATABASE": "people.db"}, "kill_grace": timedelta(seconds=1)}
    await SqlScript().run(script(tmp_path, "create table p (a)", url="sqlite:///${env:HR_DATABASE}", **worker))
    assert rows(tmp_path, "select name from sqlite_master", "people.db") == [("p",)]
    error = await failure(script(tmp_path, "select 1", url="sqlite:///${env:OTHER}", **worker))
    assert "ROTA_STEP_ENV" in str(error)
