"""Migrations: there and back, and the same as the tables."""

import asyncio
from collections import Counter
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy
from alembic import command
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel, select

from catalogue.api_keys import ApiKey, Role, new_api_key
from catalogue.connected_systems import ConnectedSystem, RunProfile
from catalogue.engine import Catalogue, DatabaseUrlError, sync_url
from catalogue.execution_lists import count_executions
from catalogue.executions import Execution, InitiatorType, StepRecord
from catalogue.migrations import alembic_config, migrate
from catalogue.migrations.check import check
from catalogue.schedules import ExecutionMode, Schedule, ScheduleStep, list_schedules
from contracts.execution import ExecutionStatus, TriggerType


def tables(url: str) -> set[str]:
    engine = sqlalchemy.create_engine(sync_url(url))
    try:
        return set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_migrations_and_tables_agree(database_url: str) -> None:
    check(database_url)


def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = tables(database_url)
    migrate(database_url)
    assert tables(database_url) == before


def test_the_way_back_leaves_nothing_behind_and_the_way_up_is_open_again(database_url: str) -> None:
    command.downgrade(alembic_config(database_url), "base")
    assert tables(database_url) == {"alembic_version"}
    migrate(database_url)
    check(database_url)


def test_schedules_can_be_written_under_another_search_path(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no search path")
    engine = sqlalchemy.create_engine(sync_url(database_url))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(Schedule).values(Schedule(name="Nightly").model_dump(exclude_none=True)))
        # As a dump sets it that is read back.
        connection.execute(sqlalchemy.text("SELECT set_config('search_path', '', true)"))
        connection.execute(sqlalchemy.text("UPDATE public.schedule SET search_text = 'weekly'"))
        [[found]] = connection.execute(sqlalchemy.text("SELECT text FROM public.schedule_text")).all()
    engine.dispose()
    assert found == "weekly"


async def fill(url: str) -> None:
    """Writes a row of each of the first tables; every reference between them is used."""
    catalogue = Catalogue(url)
    schedule, system = Schedule(name="Nightly", description="ÉCOLE"), ConnectedSystem(name="HR", connector_name="Jim")
    ended = Execution(
        schedule_id=schedule.id,
        schedule_name=schedule.name,
        status=ExecutionStatus.COMPLETE,
        trigger_type=TriggerType.MANUAL,
        total_groups=1,
        total_steps=1,
        initiated_by_type=InitiatorType.SYSTEM,
        workflow_id="w",
    )
    key, _ = new_api_key("key", Role.READER)
    async with catalogue.write() as session:
        session.add_all([schedule, system, ended, key])
        await session.flush()
        assert system.id is not None
        session.add(RunProfile(connected_system_id=system.id, name="Full import", run_type="FullImport"))
        session.add(ScheduleStep(schedule_id=schedule.id, position=0, step_type="Executable", config={"a": "b"}))
        session.add(
            StepRecord(
                execution_id=ended.id,
                position=0,
                group=0,
                step_index=0,
                display_name="one",
                execution_mode=ExecutionMode.SEQUENTIAL,
                step_type="Executable",
            ),
        )
    await catalogue.close()


async def read_all(url: str) -> list[list[dict[str, Any]]]:
    catalogue = Catalogue(url)
    models: tuple[type[SQLModel], ...] = (
        Schedule,
        ScheduleStep,
        ConnectedSystem,
        RunProfile,
        Execution,
        StepRecord,
        ApiKey,
    )
    async with catalogue.read() as session:
        # What has ended is counted by the migration that begins to count.
        rows = [[row.model_dump(exclude={"tallied"}) for row in await session.exec(select(model))] for model in models]
    await catalogue.close()
    return rows


def test_the_way_back_and_up_again_keeps_what_is_there(database_url: str) -> None:
    asyncio.run(fill(database_url))
    before = asyncio.run(read_all(database_url))
    assert all(before)

    command.downgrade(alembic_config(database_url), "0001")
    migrate(database_url)

    assert asyncio.run(read_all(database_url)) == before
    check(database_url)


def test_a_migration_that_fails_half_way_leaves_nothing_of_it(database_url: str) -> None:
    command.downgrade(alembic_config(database_url), "0006")
    before = tables(database_url)
    engine = sqlalchemy.create_engine(sync_url(database_url))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("ALTER TABLE schedule ADD COLUMN search_text TEXT"))
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="search_text"):
        migrate(database_url)
    assert tables(database_url) == before

    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("ALTER TABLE schedule DROP COLUMN search_text"))
    engine.dispose()
    migrate(database_url)
    check(database_url)


def test_what_is_there_before_the_tally_is_counted_and_found(database_url: str) -> None:
    command.downgrade(alembic_config(database_url), "0006")
    engine = sqlalchemy.create_engine(sync_url(database_url))
    schedule_id = uuid4()
    statuses = [ExecutionStatus.COMPLETE, ExecutionStatus.COMPLETE, ExecutionStatus.FAILED, ExecutionStatus.QUEUED]
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO schedule (id, name, trigger_type, pattern_type, time_zone, overlap_policy,"
                " catch_up_window_seconds, is_enabled, created, skipped_count)"
                " VALUES (:id, 'Daily IMPORT', 'Manual', 'Custom', 'UTC', 'Skip', 60, false, '2026-01-01', 0)",
            ),
            {"id": schedule_id.hex},
        )
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO execution (id, schedule_id, status, schedule_name, trigger_type, current_group,"
                " total_groups, total_steps, queued_at, initiated_by_type, workflow_id)"
                " VALUES (:id, :schedule_id, :status, 's', 'Cron', 0, 1, 1, '2026-01-01', 'System', 'w')",
            ),
            [{"id": uuid4().hex, "schedule_id": schedule_id.hex, "status": status.value} for status in statuses],
        )
    engine.dispose()
    migrate(database_url)

    async def read() -> None:
        catalogue = Catalogue(database_url)
        for counted in (None, schedule_id):
            counts = await catalogue.read_short(partial(count_executions, schedule_id=counted))
            assert Counter(counts) == Counter(statuses)
        found, _ = await catalogue.read_short(
            partial(list_schedules, search="import", sort_by=None, descending=False, offset=0, limit=1)
        )
        assert [row.name for row in found] == ["Daily IMPORT"]
        await catalogue.close()

    asyncio.run(read())


@pytest.mark.parametrize("url", ["nonsense", "mysql://root@localhost/test"])
def test_a_wrong_url_is_one_clear_line(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match=r"^ROTA_DATABASE_URL: ") as error:
        migrate(url)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_process_that_ran_before_a_migration_writes_after_it(database_url: str) -> None:
    # In this revision search_text was generated: who writes it is refused.
    await asyncio.to_thread(command.downgrade, alembic_config(database_url), "0010")
    catalogue = Catalogue(database_url)

    async def write(name: str) -> None:
        async with catalogue.write() as session:
            session.add(Schedule(name=name))

    try:
        with pytest.raises(OperationalError):
            await write("too early")
        async with catalogue.write() as session:
            session.add(ConnectedSystem(name="HR", connector_name="Jim"))
        await asyncio.to_thread(migrate, database_url)

        # The connection still has the schema of before.
        with pytest.raises(OperationalError):
            await write("late")
        await write("on time")
    finally:
        await catalogue.close()
