"""What SQLite's planner is to think of executions: nobody analyses a catalogue, and its guesses are of a small one.

Without statistics it takes a status for rare, and sorts all executions that have it instead of walking the index that
is sorted already. The numbers are those of a catalogue with years in it; https://www.sqlite.org/lang_analyze.html
describes their form, and that they may be given in place of an analysis.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_STATISTICS = {
    "sqlite_autoindex_execution_1": "100000 1",
    "ix_execution_queued": "100000 1 1 1",
    "ix_execution_started": "100000 1 1 1",
    "ix_execution_completed": "100000 1 1 1",
    "ix_execution_status": "100000 15000 1",
    "ix_execution_status_queued": "100000 15000 1 1",
    "ix_execution_status_started": "100000 15000 1 1",
    "ix_execution_status_completed": "100000 15000 1 1",
    "ix_execution_schedule_queued": "100000 20 1 1 1",
    "ix_execution_schedule_started": "100000 20 1 1 1",
    "ix_execution_schedule_completed": "100000 20 1 1 1",
    "ix_execution_schedule_status": "100000 20 10 1",
    "ix_execution_untallied": "1000 10 5",
}


def upgrade() -> None:
    """Brings the schema to this revision."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.execute("ANALYZE sqlite_master")
    for index, statistics in _STATISTICS.items():
        op.execute(f"INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('execution', '{index}', '{statistics}')")  # noqa: S608 - constants
    op.execute("ANALYZE sqlite_master")


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    if op.get_context().dialect.name == "sqlite":
        op.execute("DELETE FROM sqlite_stat1 WHERE tbl = 'execution'")
