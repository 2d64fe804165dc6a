"""Worker pools of steps, and executions that take up others."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Brings the schema to this revision."""
    for table in ("schedule_step", "step_record"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.add_column(sa.Column("worker_pool", sa.String(length=100), nullable=True))
            batch_op.add_column(sa.Column("schedule_to_start_seconds", sa.Integer(), nullable=True))
    with op.batch_alter_table("execution") as batch_op:
        batch_op.add_column(sa.Column("retry_of", sa.Uuid(), nullable=True))


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    with op.batch_alter_table("execution") as batch_op:
        batch_op.drop_column("retry_of")
    for table in ("schedule_step", "step_record"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column("schedule_to_start_seconds")
            batch_op.drop_column("worker_pool")
