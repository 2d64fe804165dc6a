"""Versions of a schedule: its ETag, and the `If-Match` that a change may carry."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Final

from api.errors import PreconditionFailed, ValidationFailed
from api.models.schedules import ScheduleChange
from catalogue.schedules import Schedule, ScheduleStep

# A tag and its quotes, and a list of them, whose items may be empty (RFC 9110, sections 8.8.3 and 5.6.1.2).
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')
_TAGS: Final = re.compile(rf"[\s,]*{_TAG.pattern}(?:\s*,[\s,]*{_TAG.pattern})*[\s,]*")

_WEAK: Final = 'A weak tag (`W/"..."`) never matches.'
"""Said of what some proxies make of a tag (RFC 9110, section 13.1.1)."""


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
        ValidationFailed: The header holds no tags.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if _TAGS.fullmatch(if_match) is None:
        message = 'If-Match takes the ETag of the schedule with its quotes, as in `If-Match: "..."`. ' + _WEAK
        raise ValidationFailed.of_fields({"If-Match": [message]})
    tags = _TAG.findall(if_match)
    if etag in tags:
        return
    if f"W/{etag}" in tags:
        raise PreconditionFailed(f"{_WEAK} Send the ETag as it was answered.")
    raise PreconditionFailed("The schedule has been changed since it was read: read it again, then retry.")
