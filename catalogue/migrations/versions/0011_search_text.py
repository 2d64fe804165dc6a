"""What a search for schedules looks into, folded by Rota: SQLite folds the letters of English alone."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SCHEDULE = sa.table("schedule", *(sa.column(name) for name in ("id", "name", "description", "search_text")))


def upgrade() -> None:
    """Brings the schema to this revision."""
    # Dropped, not altered: SQLite cannot make an ordinary column of a generated one.
    op.drop_column("schedule", "search_text")
    op.add_column("schedule", sa.Column("search_text", sa.Text(), nullable=False, server_default=""))
    connection = op.get_bind()
    rows = connection.execute(sa.select(_SCHEDULE.c.id, _SCHEDULE.c.name, _SCHEDULE.c.description)).all()
    folded = [{"of": id_, "text": f"{name}\n{description or ''}".casefold()} for id_, name, description in rows]
    keep = _SCHEDULE.update().where(_SCHEDULE.c.id == sa.bindparam("of")).values(search_text=sa.bindparam("text"))
    if folded:
        connection.execute(keep, folded)


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    persisted = op.get_context().dialect.name != "sqlite"
    generated = sa.Computed("lower(name || '\n' || coalesce(description, ''))", persisted=persisted)
    op.drop_column("schedule", "search_text")
    op.add_column("schedule", sa.Column("search_text", sa.Text(), generated, nullable=True))
