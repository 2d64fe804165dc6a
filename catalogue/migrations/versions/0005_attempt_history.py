"""Every attempt of a step in its record."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Brings the schema to this revision."""
    with op.batch_alter_table("step_record") as batch_op:
        batch_op.add_column(sa.Column("attempt_history", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True))


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    with op.batch_alter_table("step_record") as batch_op:
        batch_op.drop_column("attempt_history")
