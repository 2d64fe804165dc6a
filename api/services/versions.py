"""Versions of a schedule: its ETag, and the `If-Match` that a change may carry."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Final

from api.errors import PreconditionFailed
from api.models.schedules import ScheduleChange
from catalogue.schedules import Schedule, ScheduleStep

# A tag and its quotes; one that is weak (`W/"..."`) never matches here (RFC 9110, section 13.1.1).
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')


def etag_of(schedule: Schedule, steps: Sequence[ScheduleStep]) -> str:
    """Returns the strong ETag of a schedule, quotes included.

    It follows from what clients can write, as it is stored, sealed secrets included: a changed password changes it, a run
    does not.
    """
    written = schedule.model_dump(include={"id", *ScheduleChange.model_fields})
    ordered = sorted(steps, key=lambda step: (step.step_index, step.position))
    rows = [step.model_dump(exclude={"schedule_id", "position"}) for step in ordered]
    text = json.dumps([written, rows], default=str, sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def check_version(if_match: str | None, etag: str) -> None:
    """Checks that a change is meant for the version that is stored.

    Args:
        if_match: The header `If-Match`: tags separated by commas, or `*`; None asks for nothing.
        etag: The ETag of what is stored, read in the transaction of the change.

    Raises:
        PreconditionFailed: The header names other versions.
    """
    if if_match is None or if_match.strip() == "*" or etag in _TAG.findall(if_match):
        return
    raise PreconditionFailed("The schedule has been changed since it was read: read it again, then retry.")
