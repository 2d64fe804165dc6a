"""What a search for schedules looks through, in a table of its own: its rows are a quarter as long as a schedule's.

Triggers keep it, as the version before, which does not know of it, goes on writing schedules. On SQLite a migration that
builds `schedule` anew has to make them again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


_SQLITE_TRIGGER = """
    CREATE TRIGGER {name} AFTER {change} ON schedule BEGIN
        INSERT OR REPLACE INTO schedule_text (schedule_id, text) VALUES (NEW.id, NEW.search_text);
    END
"""
_SQLITE_TRIGGERS = {"schedule_text_insert": "INSERT", "schedule_text_update": "UPDATE OF search_text"}

# In the schema of its table, whatever the search path of who writes.
_POSTGRESQL_FUNCTION = """
    CREATE FUNCTION keep_schedule_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format(
            'INSERT INTO %I.schedule_text (schedule_id, text) VALUES ($1, $2) '
            'ON CONFLICT (schedule_id) DO UPDATE SET text = EXCLUDED.text',
            TG_TABLE_SCHEMA
        ) USING NEW.id, NEW.search_text;
        RETURN NULL;
    END
    $$
"""
_POSTGRESQL_TRIGGER = """
    CREATE TRIGGER schedule_text AFTER INSERT OR UPDATE OF search_text ON schedule
        FOR EACH ROW EXECUTE FUNCTION keep_schedule_text()
"""


def upgrade() -> None:
    """Brings the schema to this revision."""
    op.create_table(
        "schedule_text",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedule.id"], name=op.f("fk_schedule_text_schedule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("schedule_id", name=op.f("pk_schedule_text")),
    )
    # On PostgreSQL the foreign key keeps writers of schedules waiting until all of this is there.
    op.execute("INSERT INTO schedule_text (schedule_id, text) SELECT id, search_text FROM schedule")
    if op.get_context().dialect.name == "sqlite":
        for name, change in _SQLITE_TRIGGERS.items():
            op.execute(_SQLITE_TRIGGER.format(name=name, change=change))
    else:
        op.execute(_POSTGRESQL_FUNCTION)
        op.execute(_POSTGRESQL_TRIGGER)


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    if op.get_context().dialect.name == "sqlite":
        for name in _SQLITE_TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
    else:
        op.execute("DROP TRIGGER schedule_text ON schedule")
        op.execute("DROP FUNCTION keep_schedule_text()")
    op.drop_table("schedule_text")
