"""An index for each order of a list."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_BEFORE = {
    "ix_execution_queued": ("execution", ["queued_at", "id"]),
    "ix_execution_schedule_queued": ("execution", ["schedule_id", "queued_at"]),
    "ix_execution_status": ("execution", ["status", "queued_at"]),
    "ix_schedule_last_run_time": ("schedule", ["last_run_time"]),
    "ix_schedule_next_run_time": ("schedule", ["next_run_time"]),
}

_AFTER = {
    "ix_execution_queued": ("execution", ["queued_at", "id", "status"]),
    "ix_execution_started": ("execution", ["started_at", "id", "status"]),
    "ix_execution_completed": ("execution", ["completed_at", "id", "status"]),
    "ix_execution_status": ("execution", ["status", "id"]),
    "ix_execution_status_queued": ("execution", ["status", "queued_at", "id"]),
    "ix_execution_status_started": ("execution", ["status", "started_at", "id"]),
    "ix_execution_status_completed": ("execution", ["status", "completed_at", "id"]),
    "ix_execution_schedule_queued": ("execution", ["schedule_id", "queued_at", "id", "status"]),
    "ix_execution_schedule_started": ("execution", ["schedule_id", "started_at", "id", "status"]),
    "ix_execution_schedule_completed": ("execution", ["schedule_id", "completed_at", "id", "status"]),
    "ix_execution_schedule_status": ("execution", ["schedule_id", "status", "id"]),
    "ix_execution_untallied": ("execution", ["schedule_id", "status"]),
    "ix_schedule_name": ("schedule", ["name", "id"]),
    "ix_schedule_created": ("schedule", ["created", "id"]),
    "ix_schedule_last_run_time": ("schedule", ["last_run_time", "id"]),
    "ix_schedule_next_run_time": ("schedule", ["next_run_time", "id"]),
    "ix_schedule_is_enabled": ("schedule", ["is_enabled", "id"]),
}


def upgrade() -> None:
    """Brings the schema to this revision."""
    _replace(_BEFORE, _AFTER)


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    _replace(_AFTER, _BEFORE)


def _replace(old: dict[str, tuple[str, list[str]]], new: dict[str, tuple[str, list[str]]]) -> None:
    """Replaces indexes one by one, beside writers, and so that what was interrupted can be done again."""
    with op.get_context().autocommit_block():
        for name in old | new:
            table, columns = (old | new)[name]
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            if name not in new:
                continue
            untallied = name == "ix_execution_untallied"
            op.create_index(
                name,
                table,
                columns,
                postgresql_concurrently=True,
                postgresql_where=sa.text("NOT tallied") if untallied else None,
                sqlite_where=sa.text("tallied = 0") if untallied else None,
            )
