"""How Alembic reaches the catalogue and what it compares the migrations with."""

from alembic import context
from sqlalchemy import create_engine, event, text
from sqlmodel import SQLModel

# Each import registers its tables with the metadata.
from catalogue import api_keys, connected_systems, executions, schedules  # noqa: F401
from catalogue.engine import configure_sqlite

# Two processes that migrate at the same time: one waits, then finds nothing left to do. Any fixed number serves.
_MIGRATION_LOCK = 7_361_001

url = context.config.get_main_option("sqlalchemy.url")
if url is None:
    raise RuntimeError("sqlalchemy.url is not set: run migrations through catalogue.migrations")
engine = create_engine(url)
is_sqlite = engine.dialect.name == "sqlite"
if is_sqlite:
    event.listen(engine, "connect", configure_sqlite)

with engine.connect() as connection:
    if not is_sqlite:
        connection.execute(text(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})"))
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=is_sqlite,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
