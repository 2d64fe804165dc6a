"""Migrations: there and back, and the same as the tables."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest
import sqlalchemy
from alembic import command

from catalogue.engine import Catalogue, DatabaseUrlError, sync_url
from catalogue.execution_lists import count_executions
from catalogue.migrations import alembic_config, migrate
from catalogue.migrations.check import check
from catalogue.schedules import list_schedules
from contracts.execution import ExecutionStatus


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


def test_the_way_back_leaves_nothing_behind(database_url: str) -> None:
    command.downgrade(alembic_config(database_url), "base")
    assert tables(database_url) == {"alembic_version"}


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
        async with catalogue.read() as session:
            for counted in (None, schedule_id):
                assert Counter(await count_executions(session, counted)) == Counter(statuses)
            found, _ = await list_schedules(session, search="import", sort_by=None, descending=False, offset=0, limit=1)
            assert [row.name for row in found] == ["Daily IMPORT"]
        await catalogue.close()

    asyncio.run(read())


@pytest.mark.parametrize("url", ["nonsense", "mysql://root@localhost/test"])
def test_a_wrong_url_is_one_clear_line(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match=r"^ROTA_DATABASE_URL: ") as error:
        migrate(url)
    assert "\n" not in str(error.value)
