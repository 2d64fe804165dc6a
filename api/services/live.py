"""What runs right now, asked of Temporal: it answers with every worker down."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client
from temporalio.service import RPCError

from contracts.execution import StepHeartbeat, StepStatus
from runtime.temporal import data_converter

_TIMEOUT: Final = timedelta(seconds=2)
"""Live detail is an extra: a page does not wait longer for it."""


@dataclass(frozen=True)
class LiveStep:
    """A step that a worker has, or that waits for one."""

    status: StepStatus
    started_at: datetime | None
    attempt: int
    heartbeat: StepHeartbeat | None
    last_failure: str | None


async def live_steps(client: Client, workflow_id: str) -> dict[UUID, LiveStep] | None:
    """Returns the steps of an execution that are queued or running, by record id; None where Temporal cannot say."""
    try:
        description = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=_TIMEOUT)
    except (RPCError, RuntimeError):
        return None
    live: dict[UUID, LiveStep] = {}
    for pending in description.raw_description.pending_activities:
        try:
            step_id = UUID(pending.activity_id)
        except ValueError:
            continue
        live[step_id] = LiveStep(
            status=_status(pending.state),
            started_at=pending.last_started_time.ToDatetime(UTC) if pending.HasField("last_started_time") else None,
            attempt=pending.attempt,
            heartbeat=await _heartbeat(pending),
            last_failure=pending.last_failure.message or None,
        )
    return live


def _status(state: int) -> StepStatus:
    match state:
        case PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
            return StepStatus.PROCESSING
        case PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED:
            return StepStatus.CANCELLING
        case _:
            return StepStatus.QUEUED


async def _heartbeat(pending: PendingActivityInfo) -> StepHeartbeat | None:
    if not pending.heartbeat_details.payloads:
        return None
    [heartbeat] = await data_converter.decode(list(pending.heartbeat_details.payloads), [StepHeartbeat])
    return heartbeat if isinstance(heartbeat, StepHeartbeat) else None
