"""What the last events of an execution tell of its steps."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

from api.services.live import LatestStep, _LastEvents
from contracts.execution import StepOutcome, StepStatus
from contracts.names import STEP_FAILED, STEP_INTERRUPTED
from runtime.temporal import data_converter

TAKEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Events:
    """Events in the order in which they happen."""

    def __init__(self) -> None:
        self.all: list[HistoryEvent] = []

    def _add(self) -> HistoryEvent:
        at = Timestamp()
        at.FromDatetime(TAKEN)
        event = HistoryEvent(event_id=len(self.all) + 1, event_time=at)
        self.all.append(event)
        return event

    def begin(self, step_id: UUID) -> int:
        scheduled = self._add()
        scheduled.activity_task_scheduled_event_attributes.activity_id = str(step_id)
        self._add().activity_task_started_event_attributes.scheduled_event_id = scheduled.event_id
        return scheduled.event_id

    def complete(self, scheduled: int, *payloads: Payload) -> None:
        attributes = self._add().activity_task_completed_event_attributes
        attributes.scheduled_event_id = scheduled
        attributes.result.payloads.extend(payloads)

    def fail(self, scheduled: int, kind: str, *payloads: Payload, is_final: bool = False) -> None:
        attributes = self._add().activity_task_failed_event_attributes
        attributes.scheduled_event_id = scheduled
        told = attributes.failure.application_failure_info
        told.type, told.non_retryable = kind, is_final
        told.details.payloads.extend(payloads)

    def hand_out(self, step_id: UUID) -> int:
        """Begins a step that no worker takes."""
        scheduled = self._add()
        scheduled.activity_task_scheduled_event_attributes.activity_id = str(step_id)
        return scheduled.event_id

    def time_out(self, scheduled: int) -> None:
        self._add().activity_task_timed_out_event_attributes.scheduled_event_id = scheduled

    def cancel(self, scheduled: int) -> None:
        self._add().activity_task_cancel_requested_event_attributes.scheduled_event_id = scheduled
        self._add().activity_task_canceled_event_attributes.scheduled_event_id = scheduled

    async def told_of(self, step_id: UUID) -> LatestStep:
        last = _LastEvents({step_id})
        await last.add(reversed(self.all))
        return last.steps[step_id]


async def payload(status: StepStatus) -> Payload:
    [encoded] = await data_converter.encode([StepOutcome(status=status)])
    return encoded


async def test_a_step_that_ended_well_tells_so() -> None:
    events, step_id = Events(), uuid4()
    events.complete(events.begin(step_id), await payload(StepStatus.COMPLETED))
    events.begin(uuid4())
    told = await events.told_of(step_id)
    assert told == LatestStep(1, TAKEN, StepOutcome(status=StepStatus.COMPLETED), may_follow=False)


@pytest.mark.parametrize("is_final", [False, True])
async def test_a_step_that_failed_tells_whether_another_attempt_may_follow(is_final: bool) -> None:  # noqa: FBT001 - a case
    events, step_id = Events(), uuid4()
    events.fail(events.begin(step_id), STEP_FAILED, await payload(StepStatus.FAILED), is_final=is_final)
    told = await events.told_of(step_id)
    assert told == LatestStep(1, TAKEN, StepOutcome(status=StepStatus.FAILED), may_follow=not is_final)


async def test_what_a_stop_of_the_worker_cut_short_has_not_ended() -> None:
    events, step_id = Events(), uuid4()
    events.fail(events.begin(step_id), STEP_INTERRUPTED, await payload(StepStatus.FAILED))
    assert (await events.told_of(step_id)).outcome is None


async def test_the_last_of_several_attempts_does_not_speak_for_the_step() -> None:
    events, step_id = Events(), uuid4()
    events.fail(events.begin(step_id), STEP_FAILED, await payload(StepStatus.FAILED))
    events.complete(events.begin(step_id), await payload(StepStatus.COMPLETED))
    assert (await events.told_of(step_id)).outcome is None


async def test_a_step_that_no_worker_took_in_time_was_never_taken() -> None:
    events, step_id, taken = Events(), uuid4(), uuid4()
    events.time_out(events.hand_out(step_id))
    events.time_out(events.begin(taken))
    assert await events.told_of(step_id) == LatestStep(1, None, None, may_follow=False, is_untaken=True)
    assert not (await events.told_of(taken)).is_untaken


async def test_a_step_that_is_cancelled_before_a_worker_took_it_tells_both() -> None:
    events, step_id = Events(), uuid4()
    events.cancel(events.hand_out(step_id))
    told = await events.told_of(step_id)
    assert told == LatestStep(1, None, None, may_follow=False, is_untaken=True, is_cancelling=True)


@pytest.mark.parametrize("encoding", [b"binary/encrypted", b"json/plain", None])
async def test_what_another_codec_wrote_is_left_out(encoding: bytes | None) -> None:
    events, step_id = Events(), uuid4()
    metadata = {} if encoding is None else {"encoding": encoding}
    events.complete(events.begin(step_id), Payload(metadata=metadata, data=b"\x00"))
    assert await events.told_of(step_id) == LatestStep(1, TAKEN, None, may_follow=False)
