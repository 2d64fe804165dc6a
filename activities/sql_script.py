"""The step type `SqlScript`: runs a SQL script."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import Field, field_validator

from activities.support.program import file_name
from activities.support.roots import locate, locate_file
from activities.support.sql.connection import (
    check_connection_string,
    mask_connection_string,
    parse_connection_string,
)
from activities.support.step_type import StepConfig, StepRun, StepType
from runtime.secrets import Sealed


class SqlScriptConfig(StepConfig):
    """The fields of a SqlScript step."""

    sql_connection_string: Annotated[str, Sealed(mask=mask_connection_string)] = Field(
        max_length=500,
        title="Connection string",
        examples=["postgresql://rota@db.example.com:5432/hr"],
        description="The database. Either a SQLAlchemy URL (`postgresql://user:password@host:5432/db`, `mysql://...`, "
        "`mariadb://...`, `mssql://...`, `sqlite:///path`), or an ADO.NET string with `Host` (PostgreSQL) or `Server` "
        "(SQL Server). `${env:NAME}` stands for a variable of the worker that its `ROTA_STEP_ENV` lists. A file of "
        "SQLite lies under the script roots.",
    )
    sql_script_path: str = Field(
        max_length=500,
        title="SQL script path",
        examples=["sql/close-leavers.sql"],
        description="Script to run, in UTF-8, 16 MiB at most, under the script roots of the worker "
        "(`ROTA_SCRIPT_ROOTS`). A relative path is looked for under each of them.",
    )

    @field_validator("sql_connection_string")
    @classmethod
    def _has_a_form(cls, value: str) -> str:
        check_connection_string(value)
        return value


class SqlScript(StepType[SqlScriptConfig]):
    """Runs a SQL script on SQLite, PostgreSQL, MySQL, MariaDB or SQL Server, as one transaction.

    An error rolls everything back and names the statement and its line. A timeout and a cancel stop the statement on
    the server. The output shows the rows affected, the first rows of results and the server's notices. `BEGIN` as the
    first and `COMMIT` as the last statement do no harm; others that begin or end transactions are refused before
    anything runs. MySQL and MariaDB commit by themselves at `CREATE TABLE` and its kin: a failure then says what stays.
    The drivers are extras: `pip install 'rota[postgres,mysql,mssql]'`.
    """

    name = "SqlScript"
    config_model = SqlScriptConfig

    def display_name(self, config: Mapping[str, Any], resolved: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        """Returns the script's file name."""
        return file_name(config["sql_script_path"])

    async def run(self, step: StepRun[SqlScriptConfig]) -> None:
        """Runs the script to its end."""
        roots = step.worker.script_roots
        # In a thread: a script root may be a network share.
        script = await asyncio.to_thread(locate_file, step.config.sql_script_path, "sqlScriptPath", roots)
        # With it comes sqlglot, 9 MB that no API needs, and no worker before its first script.
        from activities.support.sql.run import ScriptRun  # noqa: PLC0415

        run = ScriptRun(
            script,
            parse_connection_string(step.config.sql_connection_string, step.worker.named_environment),
            locate=partial(locate, field="sqlConnectionString", roots=roots),
            write=step.output.write_line,
            grace=step.worker.kill_grace.total_seconds(),
        )
        if not await run.run(step.report):
            step.warn("the script holds no statement")
