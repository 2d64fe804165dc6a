"""The tally of executions that have ended, and what a search for schedules looks into."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ENDED = "status NOT IN ('Queued', 'InProgress', 'Paused')"

_COUNT = """
    INSERT INTO execution_tally (schedule_id, status, executions)
    SELECT {schedule_id}, status, count(*) FROM execution WHERE {ended} GROUP BY 1, 2
"""


def upgrade() -> None:
    """Brings the schema to this revision."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    op.create_table(
        "execution_tally",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("executions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("schedule_id", "status", name=op.f("pk_execution_tally")),
    )
    # PostgreSQL takes the default for rows that are there without writing them; SQLite cannot change it afterwards.
    before = sa.false() if is_sqlite else sa.true()
    op.add_column("execution", sa.Column("tallied", sa.Boolean(), nullable=False, server_default=before))
    if is_sqlite:
        op.execute(f"UPDATE execution SET tallied = 1 WHERE {_ENDED}")  # noqa: S608 - a constant
    else:
        op.execute(f"UPDATE execution SET tallied = false WHERE NOT ({_ENDED})")  # noqa: S608 - a constant
        op.alter_column("execution", "tallied", server_default=sa.false())
        # Room for the next version of a row in its page: a write that changes no indexed column, as those of every step
        # are, then leaves the indexes alone.
        op.execute("ALTER TABLE execution SET (fillfactor = 85)")
        op.execute("ALTER TABLE step_record SET (fillfactor = 75)")
    op.execute(_COUNT.format(schedule_id="schedule_id", ended=_ENDED))
    all_schedules = UUID(int=0).hex if is_sqlite else str(UUID(int=0))
    op.execute(_COUNT.format(schedule_id=f"CAST('{all_schedules}' AS {'TEXT' if is_sqlite else 'UUID'})", ended=_ENDED))
    folded = sa.Computed("lower(name || '\n' || coalesce(description, ''))", persisted=not is_sqlite)
    op.add_column("schedule", sa.Column("search_text", sa.Text(), folded, nullable=True))


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE execution RESET (fillfactor)")
        op.execute("ALTER TABLE step_record RESET (fillfactor)")
    op.drop_column("schedule", "search_text")
    op.drop_column("execution", "tallied")
    op.drop_table("execution_tally")
