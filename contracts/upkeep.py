"""What a pass of the upkeep answers."""

from pydantic import BaseModel, Field


class TriggersKept(BaseModel):
    """What was repaired at the Temporal Schedules."""

    checked: int = 0
    repaired: int = 0
    """Created anew, or brought back to what the catalogue says."""
    made_up: int = 0
    """Fires that were lost meanwhile, and made up for."""
    removed: int = 0
    """Taken away because the catalogue has no such cron schedule."""
    failed: int = 0
    """Left as they are, because something is wrong with them that the worker's log tells."""


class ExecutionsKept(BaseModel):
    """What was repaired at the records of executions."""

    checked: int = 0
    closed: int = 0
    """Closed because no workflow runs them any more."""
    failed: int = 0
    """Left as they are, because something is wrong with them that the worker's log tells."""
    tallied: int = 0
    """Counted into the tally."""
    turns_ended: int = 0
    """Turns that belonged to a step of an execution that is no more."""


class RetentionKept(BaseModel):
    """What was taken away because of its age."""

    outputs_removed: int = 0
    """Executions whose output was removed."""
    executions_deleted: int = 0


class UpkeepDone(BaseModel):
    """What one pass of the upkeep found."""

    triggers: TriggersKept
    executions: ExecutionsKept
    retention: RetentionKept = Field(default_factory=RetentionKept)
