"""The first tables of the catalogue."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Brings the schema to this revision."""
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("key_prefix", sa.String(length=12), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_key_key_hash")),
        sa.UniqueConstraint("name", name=op.f("uq_api_key_name")),
    )
    op.create_table(
        "connected_system",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=True),
        sa.Column("connector_name", sa.String(length=100), nullable=False),
        sa.Column("settings", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connected_system")),
        sa.UniqueConstraint("name", name=op.f("uq_connected_system_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "execution",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("schedule_name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("trigger_type", sa.String(length=32), nullable=False),
        sa.Column("current_group", sa.Integer(), nullable=False),
        sa.Column("total_groups", sa.Integer(), nullable=False),
        sa.Column("total_steps", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("initiated_by_type", sa.String(length=32), nullable=False),
        sa.Column("initiated_by_id", sa.String(length=64), nullable=True),
        sa.Column("initiated_by_name", sa.String(length=200), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("workflow_id", sa.String(length=400), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution")),
    )
    with op.batch_alter_table("execution", schema=None) as batch_op:
        batch_op.create_index("ix_execution_queued", ["queued_at", "id"], unique=False)
        batch_op.create_index("ix_execution_schedule_queued", ["schedule_id", "queued_at"], unique=False)
        batch_op.create_index("ix_execution_status", ["status", "queued_at"], unique=False)

    op.create_table(
        "schedule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=True),
        sa.Column("trigger_type", sa.String(length=32), nullable=False),
        sa.Column("pattern_type", sa.String(length=32), nullable=False),
        sa.Column("cron_expression", sa.String(length=2000), nullable=True),
        sa.Column("days_of_week", sa.String(length=50), nullable=True),
        sa.Column("run_times", sa.String(length=200), nullable=True),
        sa.Column("interval_value", sa.Integer(), nullable=True),
        sa.Column("interval_unit", sa.String(length=32), nullable=True),
        sa.Column("interval_window_start", sa.String(length=10), nullable=True),
        sa.Column("interval_window_end", sa.String(length=10), nullable=True),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("overlap_policy", sa.String(length=32), nullable=False),
        sa.Column("catch_up_window_seconds", sa.Integer(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_run_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_run_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_skipped_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("skipped_count", sa.Integer(), nullable=False),
        sa.Column("last_execution_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
        sa.UniqueConstraint("name", name=op.f("uq_schedule_name")),
    )
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_schedule_last_run_time"), ["last_run_time"], unique=False)
        batch_op.create_index(batch_op.f("ix_schedule_next_run_time"), ["next_run_time"], unique=False)

    op.create_table(
        "run_profile",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("connected_system_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("run_type", sa.String(length=32), nullable=False),
        sa.Column("settings", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["connected_system_id"],
            ["connected_system.id"],
            name=op.f("fk_run_profile_connected_system_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_profile")),
        sa.UniqueConstraint("connected_system_id", "name", name=op.f("uq_run_profile_connected_system_id_name")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("run_profile", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_profile_connected_system_id"), ["connected_system_id"], unique=False)

    op.create_table(
        "schedule_step",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("execution_mode", sa.String(length=32), nullable=False),
        sa.Column("step_type", sa.String(length=100), nullable=False),
        sa.Column("continue_on_failure", sa.Boolean(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=True),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("config", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedule.id"], name=op.f("fk_schedule_step_schedule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_step")),
    )
    with op.batch_alter_table("schedule_step", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_schedule_step_schedule_id"), ["schedule_id"], unique=False)

    op.create_table(
        "step_record",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("step_group", sa.Integer(), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("display_name", sa.String(length=500), nullable=False),
        sa.Column("execution_mode", sa.String(length=32), nullable=False),
        sa.Column("step_type", sa.String(length=100), nullable=False),
        sa.Column("continue_on_failure", sa.Boolean(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=True),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("config", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("resolved", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("processes_ended", sa.Integer(), nullable=False),
        sa.Column("output_tail", sa.Text(), nullable=False),
        sa.Column("progress", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True),
        sa.Column("activity_id", sa.String(length=64), nullable=True),
        sa.Column("activity_status", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.id"], name=op.f("fk_step_record_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_record")),
    )
    with op.batch_alter_table("step_record", schema=None) as batch_op:
        batch_op.create_index("ix_step_record_plan", ["execution_id", "position"], unique=True)


def downgrade() -> None:
    """Takes the schema back to the revision before."""
    with op.batch_alter_table("step_record", schema=None) as batch_op:
        batch_op.drop_index("ix_step_record_plan")

    op.drop_table("step_record")
    with op.batch_alter_table("schedule_step", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_schedule_step_schedule_id"))

    op.drop_table("schedule_step")
    with op.batch_alter_table("run_profile", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_profile_connected_system_id"))

    op.drop_table("run_profile")
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_schedule_next_run_time"))
        batch_op.drop_index(batch_op.f("ix_schedule_last_run_time"))

    op.drop_table("schedule")
    with op.batch_alter_table("execution", schema=None) as batch_op:
        batch_op.drop_index("ix_execution_status")
        batch_op.drop_index("ix_execution_schedule_queued")
        batch_op.drop_index("ix_execution_queued")

    op.drop_table("execution")
    op.drop_table("connected_system")
    op.drop_table("api_key")
