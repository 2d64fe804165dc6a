"""The upkeep's activity that takes away what is old enough."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity

from catalogue.columns import utc_now
from catalogue.engine import Catalogue
from catalogue.retention import delete_old_executions, remove_old_output
from contracts.names import KEEP_RETENTION
from contracts.upkeep import RetentionKept


class Retention:
    """Removes the output of executions, and executions, some time after they have ended."""

    def __init__(self, catalogue: Catalogue, *, output: timedelta, executions: timedelta | None) -> None:
        """Keeps what this catalogue has for so long after the execution's end; None for ever."""
        self._catalogue = catalogue
        self._output = output
        self._executions = executions

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """What the worker registers."""
        return [self.keep_retention]

    @activity.defn(name=KEEP_RETENTION)
    async def keep_retention(self) -> RetentionKept:
        """Takes away what is too old by now."""
        kept = RetentionKept()
        if self._executions is not None:
            kept.executions_deleted = await self._until_none_is_left(delete_old_executions, self._executions)
        kept.outputs_removed = await self._until_none_is_left(remove_old_output, self._output)
        return kept

    async def _until_none_is_left(
        self, take_away: Callable[[Catalogue, datetime], Awaitable[int]], age: timedelta
    ) -> int:
        ended_before = utc_now() - age
        total = 0
        while some := await take_away(self._catalogue, ended_before):
            activity.heartbeat()
            total += some
        return total
