"""Fills an empty catalogue with schedules, executions and records of steps, spread as after a year of use."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from random import Random
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Table, Uuid, bindparam, create_engine, inspect, text
from sqlmodel import SQLModel

from catalogue.engine import sync_url
from catalogue.executions import Execution, InitiatorType, StepRecord
from catalogue.schedules import ExecutionMode, Schedule, ScheduleStep, search_text
from catalogue.tally import ALL_SCHEDULES
from contracts.execution import OUTPUT_TAIL_BYTES, ExecutionStatus, StepStatus, TriggerType

_SEED: Final = 5
_DAYS: Final = 400
_CHUNK: Final = 10_000
_SAMPLE: Final = 100

_ENDINGS: Final = {
    ExecutionStatus.COMPLETE: 88,
    ExecutionStatus.FAILED: 5,
    ExecutionStatus.COMPLETE_WITH_ERROR: 4,
    ExecutionStatus.CANCELLED: 3,
}
"""How executions ended, in percent."""
_NEVER_BEGUN: Final = 0.3
"""Share of the cancelled ones that no worker had begun."""
_ACTIVE: Final = 70
"""So many have not ended: the last ones. A third of them are queued."""

_STEP_COUNTS: Final = {1: 25, 2: 30, 3: 25, 4: 12, 6: 6, 12: 2}
"""How many steps an execution has, in percent: 2.6 on average."""

_BUSY: Final = ((3, 0.3), (20, 0.2), (100, 0.1))
"""So many schedules have this share of the executions between them; the others have the rest."""
_RESTING: Final = 0.4
"""Share of the schedules that have never run."""

_LARGE_EXECUTIONS: Final = ((10_000, 200), (1_000, 1_000), (200, OUTPUT_TAIL_BYTES))
"""Executions of so many steps, with so many bytes of output each."""

_SYSTEMS: Final = ("Workday", "SAP HR", "Active Directory", "Entra ID", "Badges", "Payroll", "LDAP Lab", "Exchange")
_TASKS: Final = ("Full Import", "Delta Import", "Synchronisation", "Export", "Reconciliation", "Clean-up", "Report")
_PLACES: Final = ("Oslo", "Zürich", "Lyon", "Leeds", "Kraków", "Porto", "Turku", "Gdańsk", "Málaga", "Bergen", "Ghent")
_RARELY: Final = 1000
RARE_WORD: Final = "quarterly"
"""In the name of every thousandth schedule, in another letter case."""
COMMON_WORD: Final = "synchron"
"""In the names of a seventh of the schedules, in another letter case."""

_CONFIG: Final = {"executable_path": "/opt/identity/run.sh", "arguments": "--delta --quiet", "working_directory": None}
_NOBODY: Final = UUID(int=0)

_TALLY: Final = text(
    "INSERT INTO execution_tally (schedule_id, status, executions) "
    "SELECT schedule_id, status, count(*) FROM execution WHERE tallied GROUP BY schedule_id, status "
    "UNION ALL SELECT :all_schedules, status, count(*) FROM execution WHERE tallied GROUP BY status"
).bindparams(bindparam("all_schedules", ALL_SCHEDULES, Uuid()))
"""As the upkeep leaves it."""

Stored = str | None
"""A value as text that both databases read."""


@dataclass
class Filled:
    """What there is to ask for."""

    busy_schedule: UUID
    """It has a tenth of the executions."""
    schedules: list[UUID]
    """Some, whether they have run or not."""
    executions: list[UUID] = field(default_factory=list)
    """Some, of all times."""
    large_executions: dict[str, UUID] = field(default_factory=dict)
    """By what they are."""


def fill(url: str, *, executions: int, schedules: int) -> Filled:
    """Writes schedules, executions and records of steps, the same ones for the same numbers.

    Args:
        url: An empty catalogue at the newest schema.
        executions: How many, 100 at least.
        schedules: How many, 1,000 at least.
    """
    engine = create_engine(sync_url(url))
    content = _Content(executions, schedules)
    tables = [content.execution.table, content.record.table, content.schedule.table, content.step.table]
    indexes = [index for table in tables for index in table.indexes]
    with engine.begin() as connection:
        # Made anew at the end: in half the time that it takes to keep them, and as dense as after a REINDEX.
        for index in indexes:
            index.drop(connection)
        for _ in content.rows():
            for rows in (content.execution, content.record, content.schedule, content.step):
                _write(connection, rows)
        connection.execute(_TALLY)
        for index in indexes:
            index.create(connection)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # What autovacuum does in its own time.
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    return content.filled


class _Rows:
    """Rows of one table: those of an example, and what differs."""

    def __init__(self, example: SQLModel) -> None:
        attributes = inspect(type(example)).column_attrs
        self.table: Table = inspect(type(example)).local_table
        self.columns = [attribute.columns[0].name for attribute in attributes]
        self._places = {attribute.key: place for place, attribute in enumerate(attributes)}
        self._example = [_stored(getattr(example, name)) for name in self._places]
        self.rows: list[list[Stored]] = []

    def add(self, **values: Any) -> None:
        row = self._example.copy()
        for name, value in values.items():
            row[self._places[name]] = value if type(value) is str else _stored(value)
        self.rows.append(row)


def _stored(value: Any) -> Stored:
    if value is None or type(value) is str:
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    if isinstance(value, dict):
        return json.dumps(value)
    return str(int(value))


def _write(connection: Connection, rows: _Rows) -> None:
    columns = ", ".join(f'"{name}"' for name in rows.columns)
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        with driver.cursor() as cursor, cursor.copy(f'COPY "{rows.table.name}" ({columns}) FROM STDIN') as copy:
            for row in rows.rows:
                line = "\t".join([r"\N" if value is None else value for value in row])
                copy.write(line.replace("\n", r"\n") + "\n")
    else:
        places = ", ".join("?" * len(rows.columns))
        driver.executemany(f'INSERT INTO "{rows.table.name}" ({columns}) VALUES ({places})', rows.rows)  # noqa: S608 - names of ours
    rows.rows.clear()


class _Content:
    """What is written, in the order of time."""

    def __init__(self, executions: int, schedules: int) -> None:
        self._random = Random(_SEED)  # noqa: S311 - not a secret
        self._now = datetime.now(UTC)
        self._executions = executions
        self._schedules = [(self._id(), self._name(number)) for number in range(schedules)]
        self._last: dict[str, tuple[str, datetime]] = {}
        some = self._random.sample(self._schedules, _SAMPLE)
        self.filled = Filled(UUID(self._schedules[0][0]), [UUID(schedule_id) for schedule_id, _ in some])
        self.execution = _Rows(
            Execution(
                schedule_id=_NOBODY,
                schedule_name="",
                trigger_type=TriggerType.CRON,
                total_groups=1,
                total_steps=1,
                initiated_by_type=InitiatorType.SYSTEM,
                initiated_by_name="Scheduler",
                workflow_id="",
            ),
        )
        self.record = _Rows(
            StepRecord(
                execution_id=_NOBODY,
                position=0,
                group=0,
                step_index=0,
                display_name="run.sh",
                execution_mode=ExecutionMode.SEQUENTIAL,
                step_type="Executable",
                config=_CONFIG,
                status=StepStatus.COMPLETED,
                attempts=1,
                exit_code=0,
                host="worker-1",
            ),
        )
        self.schedule = _Rows(
            Schedule(name="", cron_expression="15 6 * * 1-5", days_of_week="1,2,3,4,5", run_times="06:15"),
        )
        self.step = _Rows(ScheduleStep(schedule_id=_NOBODY, position=0, step_type="Executable", config=_CONFIG))

    def rows(self) -> Iterator[None]:
        """Adds rows, and lets the caller write them every now and then."""
        for number in range(self._executions):
            self._add_any_execution(number)
            if number % _CHUNK == 0:
                yield
        for steps, size in _LARGE_EXECUTIONS:
            output = ("one line of output like any other\n" * size)[:size]
            execution_id = self._add_execution(ExecutionStatus.COMPLETE, self._now, steps, output)
            self.filled.large_executions[f"{steps:,} steps with {size:,} bytes of output each"] = UUID(execution_id)
            yield
        for number in range(len(self._schedules)):
            self._add_schedule(number)
            if number % _CHUNK == 0:
                yield
        yield

    def _id(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def _chosen(self, weights: dict[Any, int]) -> Any:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _name(self, number: int) -> str:
        word = f"{RARE_WORD.title()} " if number % _RARELY == 0 else ""
        return f"{word}{_SYSTEMS[number % 8]} {_TASKS[number % 7]} {_PLACES[number % 11]} {number:06}"

    def _any_schedule(self) -> tuple[str, str]:
        share, first = self._random.random(), 0
        for count, part in _BUSY:
            if share < part:
                return self._schedules[first + self._random.randrange(count)]
            share -= part
            first += count
        return self._schedules[self._random.randrange(first, int(len(self._schedules) * (1 - _RESTING)))]

    def _add_any_execution(self, number: int) -> None:
        age = timedelta(days=_DAYS) * (1 - (number + self._random.random()) / self._executions)
        status = self._chosen(_ENDINGS)
        if number >= self._executions - _ACTIVE:
            status = ExecutionStatus.IN_PROGRESS if number % 3 else ExecutionStatus.QUEUED
        is_begun = status is not ExecutionStatus.QUEUED
        if status is ExecutionStatus.CANCELLED:
            is_begun = self._random.random() >= _NEVER_BEGUN
        execution_id = self._add_execution(
            status,
            self._now - age,
            self._chosen(_STEP_COUNTS),
            "read 4,711 objects, changed 12, nothing left to do",
            is_begun=is_begun,
        )
        if number % (self._executions // _SAMPLE) == 0:
            self.filled.executions.append(UUID(execution_id))

    def _add_execution(
        self,
        status: ExecutionStatus,
        queued_at: datetime,
        steps: int,
        output: str,
        *,
        is_begun: bool = True,
    ) -> str:
        execution_id = self._id()
        schedule_id, name = self._any_schedule()
        self._last[schedule_id] = execution_id, queued_at
        started_at = queued_at + timedelta(seconds=self._random.expovariate(2))
        ended_at = started_at + timedelta(seconds=self._random.lognormvariate(3, 1.5))
        times = {
            "started_at": _stored(started_at if is_begun else None),
            "completed_at": _stored(ended_at if status.is_terminal else None),
        }
        self.execution.add(
            id=execution_id,
            schedule_id=schedule_id,
            schedule_name=name,
            status=status,
            queued_at=queued_at,
            total_groups=steps,
            total_steps=steps,
            error_message="Step 'run.sh' failed: exit code 3" if status is ExecutionStatus.FAILED else None,
            workflow_id=f"bench/run/{execution_id}",
            tallied=status.is_terminal,
            **times,
        )
        step_status = (StepStatus.COMPLETED if status.is_terminal else StepStatus.WAITING).value
        for position in map(str, range(steps)):
            self.record.add(
                id=self._id(),
                execution_id=execution_id,
                position=position,
                group=position,
                step_index=position,
                status=step_status,
                output_tail=output,
                **times,
            )
        return execution_id

    def _add_schedule(self, number: int) -> None:
        schedule_id, name = self._schedules[number]
        last_id, last_time = self._last.get(schedule_id, (None, None))
        created = self._now - timedelta(days=_DAYS, seconds=self._random.randrange(10_000_000))
        is_enabled = number % 10 < 6
        next_run_time = self._now + timedelta(seconds=self._random.randrange(700_000))
        description = f"Keeps {_PLACES[number % 11]} up to date, every morning before work" if number % 5 else None
        self.schedule.add(
            id=schedule_id,
            name=name,
            description=description,
            search_text=search_text(name, description),
            trigger_type=TriggerType.MANUAL if number % 10 == 9 else TriggerType.CRON,
            is_enabled=is_enabled,
            created=created,
            last_updated=created if number % 3 else None,
            last_run_time=last_time,
            next_run_time=next_run_time if is_enabled else None,
            last_execution_id=last_id,
        )
        for position in range(1 + number % 5):
            self.step.add(id=self._id(), schedule_id=schedule_id, position=position, step_index=position)
