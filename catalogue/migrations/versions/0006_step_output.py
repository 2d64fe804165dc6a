"""What steps print, beyond the tail in their records."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Brings the schema to this revision."""
    op.create_table(
        "step_output",
        sa.Column("step_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["step_id"], ["step_record.id"], name=op.f("fk_step_output_step_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("step_id", "attempt", "start", name=op.f("pk_step_output")),
    )
    with op.batch_alter_table("step_record") as batch_op:
        batch_op.add_column(sa.Column("output_bytes", sa.BigInteger(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("output_note", sa.String(length=500), nullable=True))
        batch_op.add_column(sa.Column("output_of", sa.Uuid(), nullable=True))


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    with op.batch_alter_table("step_record") as batch_op:
        batch_op.drop_column("output_of")
        batch_op.drop_column("output_note")
        batch_op.drop_column("output_bytes")
    op.drop_table("step_output")
