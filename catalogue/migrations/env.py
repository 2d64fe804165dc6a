"""How Alembic reaches the catalogue and what it compares the migrations with."""

import time
from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import JSON, Enum, NullPool, create_engine, event, text
from sqlmodel import AutoString, SQLModel

# Each import registers its tables with the metadata.
from catalogue import api_keys, change_history, connected_systems, executions, output, retention, schedules, tally  # noqa: F401
from catalogue.columns import UtcDateTime
from catalogue.engine import configure_sqlite_writers

# Two processes that migrate at the same time: one waits, then finds nothing left to do. Any fixed number serves.
_MIGRATION_LOCK = 7_361_001
# Between two tries to have the lock: another process migrates, which takes seconds.
_LOCK_POLL_SECONDS = 0.1


def _plain_type(kind: str, item: object, _: AutogenContext) -> str | Literal[False]:
    """Writes the plain type of a column into a migration, which must not change when the code does."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, AutoString | Enum):
        return f"sa.String(length={item.length})"
    if isinstance(item, JSON):
        return 'sa.JSON().with_variant(JSONB(), "postgresql")'
    return False


url = context.config.get_main_option("sqlalchemy.url")
if url is None:
    raise RuntimeError("sqlalchemy.url is not set: run migrations through catalogue.migrations")
# No pool: a connection that a failure left in one would go on holding the lock.
engine = create_engine(url, poolclass=NullPool)
is_sqlite = engine.dialect.name == "sqlite"
if is_sqlite:
    configure_sqlite_writers(engine)
    # A table that is built anew is dropped on the way: it would take along the rows of others that refer to its own.
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=OFF"))

with engine.connect() as connection:
    if not is_sqlite:
        # Asked for again and again: one that waits for it would hold a snapshot, and an index that is made beside
        # writers (CONCURRENTLY) waits until every snapshot before it is gone.
        while not connection.execute(text(f"SELECT pg_try_advisory_lock({_MIGRATION_LOCK})")).scalar_one():
            connection.commit()
            time.sleep(_LOCK_POLL_SECONDS)
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=is_sqlite,
        transactional_ddl=True,
        render_item=_plain_type,
    )
    with context.begin_transaction():
        context.run_migrations()
