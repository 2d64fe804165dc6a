"""One pass of the upkeep: Temporal brought in line with the catalogue, open records closed, old ones taken away."""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from contracts.names import KEEP_EXECUTIONS, KEEP_RETENTION, KEEP_TRIGGERS, UPKEEP
    from contracts.upkeep import ExecutionsKept, RetentionKept, TriggersKept, UpkeepDone

_LIMIT: Final = timedelta(minutes=30)
_HEARTBEAT_TIMEOUT: Final = timedelta(seconds=30)

_RETENTION: Final = "retention"
"""Patch: what is too old is taken away."""

# What cannot be done now is done by the next pass, a minute later.
_ONCE: Final = RetryPolicy(maximum_attempts=1)


@workflow.defn(name=UPKEEP)
class Upkeep:
    """Repairs drift between catalogue and Temporal, both ways."""

    @workflow.run
    async def run(self) -> UpkeepDone:
        """Looks at every active execution, at every trigger, and at what is too old."""
        executions = await workflow.execute_activity(
            KEEP_EXECUTIONS,
            result_type=ExecutionsKept,
            start_to_close_timeout=_LIMIT,
            heartbeat_timeout=_HEARTBEAT_TIMEOUT,
            retry_policy=_ONCE,
            summary="Executions that nothing runs any more",
        )
        triggers = await workflow.execute_activity(
            KEEP_TRIGGERS,
            result_type=TriggersKept,
            start_to_close_timeout=_LIMIT,
            heartbeat_timeout=_HEARTBEAT_TIMEOUT,
            retry_policy=_ONCE,
            summary="Temporal Schedules as the catalogue says",
        )
        done = UpkeepDone(triggers=triggers, executions=executions)
        if workflow.patched(_RETENTION):
            done.retention = await workflow.execute_activity(
                KEEP_RETENTION,
                result_type=RetentionKept,
                start_to_close_timeout=_LIMIT,
                heartbeat_timeout=_HEARTBEAT_TIMEOUT,
                retry_policy=_ONCE,
                summary="Output and records that are old enough to go",
            )
        return done
