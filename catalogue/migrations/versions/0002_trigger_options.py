"""Jitter and the bounds of a schedule's trigger."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Brings the schema to this revision."""
    with op.batch_alter_table("schedule") as batch_op:
        batch_op.add_column(sa.Column("jitter_seconds", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("start_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("end_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    with op.batch_alter_table("schedule") as batch_op:
        batch_op.drop_column("end_at")
        batch_op.drop_column("start_at")
        batch_op.drop_column("jitter_seconds")
