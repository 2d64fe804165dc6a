"""Ids that Temporal knows things by: readable first, unique by the id that they end with."""

import json
import re
from typing import Final
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f0f5f3e-98a5-5d0a-8a3a-0f6a3c1f7f10")
_SLUG_LENGTH = 48


SUMMARY_BYTES: Final = 300
"""Length of a summary in the Web UI, as JSON. Temporal refuses more than 400 bytes, and the workflow task with it."""

SEARCH_ATTRIBUTE_BYTES: Final = 2000
"""Length of a search attribute, as JSON. Temporal refuses more than 2,048 bytes."""


def shortened(text: str, size: int) -> str:
    """Returns a text cut so that its JSON, in which an emoji may take twelve bytes, has at most so many bytes."""
    while len(json.dumps(text)) > size:
        text = text[: len(text) * size // len(json.dumps(text))].rstrip()
    return text


def _slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_SLUG_LENGTH].strip("-")
    return slug or "schedule"


def manual_workflow_id(schedule_name: str, execution_id: UUID) -> str:
    """Workflow id of a manual run, such as `daily-delta-sync/run/<execution id>`."""
    return f"{_slug(schedule_name)}/run/{execution_id}"


def cron_workflow_id(schedule_name: str, schedule_id: UUID) -> str:
    """Workflow id of a cron fire; Temporal appends `-` and the time for which it fired."""
    return f"{_slug(schedule_name)}/cron/{schedule_id}"


_TRIGGER_PREFIX = "rota-schedule/"


def trigger_id(schedule_id: UUID) -> str:
    """Id of the Temporal Schedule that fires a schedule."""
    return f"{_TRIGGER_PREFIX}{schedule_id}"


def schedule_of_trigger(temporal_id: str) -> UUID | None:
    """Returns the schedule that a Temporal Schedule of this id fires; None where it is not one of Rota's."""
    if not temporal_id.startswith(_TRIGGER_PREFIX):
        return None
    try:
        return UUID(temporal_id.removeprefix(_TRIGGER_PREFIX))
    except ValueError:
        return None


WORKER_POOL_LENGTH: Final = 100
WORKER_POOL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What the name of a worker pool may be: it stands in the name of a task queue."""


def step_task_queue(task_queue: str, worker_pool: str | None) -> str:
    """Task queue of the steps of a worker pool, such as `rota/windows`; that of the workflows where there is none."""
    return task_queue if worker_pool is None else f"{task_queue}/{worker_pool}"


def turn_id(name: str) -> str:
    """Id of the workflow that stands for a turn."""
    return f"rota-turn/{name}"


def upkeep_id(task_queue: str) -> str:
    """Id of the Temporal Schedule, and of the workflows, of the upkeep."""
    return f"rota-upkeep/{task_queue}"


def fired_execution_id(workflow_id: str, first_run_id: str) -> UUID:
    """Execution id of a cron fire: the same however often its workflow is retried, reset or replayed."""
    return uuid5(_NAMESPACE, f"{workflow_id}/{first_run_id}")
