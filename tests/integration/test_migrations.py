"""Migrations: there and back, and the same as the tables."""

import pytest
import sqlalchemy
from alembic import command

from catalogue.engine import DatabaseUrlError, sync_url
from catalogue.migrations import alembic_config, migrate
from catalogue.migrations.check import check


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


@pytest.mark.parametrize("url", ["nonsense", "mysql://root@localhost/test"])
def test_a_wrong_url_is_one_clear_line(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match=r"^ROTA_DATABASE_URL: ") as error:
        migrate(url)
    assert "\n" not in str(error.value)
