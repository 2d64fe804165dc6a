"""The run of an attempt: whatever a step type does, the outcome is told, and no secret with it."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, field_validator
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.support.output_store import KeptOutput, OutputStore
from activities.support.runner import step_activity
from activities.support.step_type import StepConfig, StepFailure, StepRun, StepType
from activities.support.worker_context import WorkerContext
from catalogue.engine import Catalogue
from contracts.execution import (
    FOLLOWED_TAIL_BYTES,
    OUTPUT_TAIL_BYTES,
    StepHeartbeat,
    StepInput,
    StepOutcome,
    StepProgress,
    StepStatus,
)
from contracts.names import STEP_CANCELLED, STEP_FAILED, STEP_INTERRUPTED, STEP_TIMED_OUT
from runtime.secrets import Sealed, SecretBox

BOX = SecretBox("the key of these tests")
CANARY = "S3cret-canary"
VARIABLE = "canary of a variable"


class Page(BaseModel):
    at: int
    last: int | None = None


class ProbeConfig(StepConfig):
    does: str = ""
    prints: int = 0
    token: Annotated[str, Sealed()] = Field(default="")

    @field_validator("token")
    @classmethod
    def _known(cls, token: str) -> str:
        if token.startswith("bad"):
            raise ValueError(f"unknown token {token}")
        return token


class Probe(StepType[ProbeConfig]):
    name = "Probe"
    config_model = ProbeConfig

    async def run(self, step: StepRun[ProbeConfig]) -> None:
        step.output.write_line("some output")
        step.output.feed(b"x" * step.config.prints)
        match step.config.does:
            case "time out by itself":
                raise TimeoutError(f"connect timed out to https://x/?token={CANARY}")
            case "defect":
                raise KeyError(CANARY)
            case "fail":
                raise StepFailure("it broke" + "!" * 5000)
            case "fail for good":
                raise StepFailure("it broke", retryable=False)
            case "remember":
                step.remember(run="r1", page=Page(at=7))
            case "remember its end":
                step.remember(run="r1")
                step.begins_anew = True
                raise StepFailure("half of it broke", status=StepStatus.COMPLETED_WITH_ERROR)
            case "hang on":
                step.remark = "It goes on."
                await asyncio.Event().wait()
            case "warn":
                step.warn("look here")
            case "hang":
                await asyncio.Event().wait()


class Talker(StepType[ProbeConfig]):
    name = "Talker"
    config_model = ProbeConfig

    async def run(self, step: StepRun[ProbeConfig]) -> None:
        step.output.write_line(f"the token is {step.config.token}")
        step.report(StepProgress(message=f"sending {step.config.token}"))
        match step.config.does:
            case "fail":
                raise StepFailure(f"{step.config.token} was refused")
            case "defect":
                raise KeyError(f"{step.config.token} and {VARIABLE}")
        step.warn(f"{step.config.token} is weak")


async def attempt(
    config: dict[str, Any],
    step_type: StepType[ProbeConfig] | None = None,
    *,
    environment: ActivityEnvironment | None = None,
    **fields: Any,
) -> StepOutcome:
    step = StepInput(
        execution_id=uuid.uuid4(),
        schedule_name="s",
        step_id=uuid.uuid4(),
        name="probe",
        config=config,
        **fields,
    )
    activity = step_activity(step_type or Probe(), WorkerContext(named_environment={"A": VARIABLE, "B": ""}), BOX)
    outcome: StepOutcome = await (environment or ActivityEnvironment()).run(activity, step)
    return outcome


def outcome_of(error: ApplicationError) -> StepOutcome:
    [outcome] = error.details
    assert isinstance(outcome, StepOutcome)
    return outcome


async def test_success_and_warning_are_told_apart() -> None:
    assert (await attempt({})).status is StepStatus.COMPLETED
    warned = await attempt({"does": "warn"})
    assert (warned.status, warned.message) == (StepStatus.COMPLETED_WITH_WARNING, "look here")
    assert warned.output_tail == "some output\n"


@pytest.mark.parametrize("does", ["time out by itself", "defect"])
async def test_a_defect_of_a_step_type_is_told_without_its_text(does: str) -> None:
    with pytest.raises(ApplicationError) as failed:
        await attempt({"does": does})

    error = failed.value
    assert error.type == STEP_FAILED
    assert CANARY not in str(error) + str(error.details) + str(error.__cause__)
    assert "failed unexpectedly" in error.message
    assert outcome_of(error).output_tail == "some output\n"


async def test_a_secret_that_a_step_was_given_is_hidden_in_what_it_says() -> None:
    heartbeats: list[Any] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: heartbeats.append(details)

    outcome = await attempt({"token": BOX.seal(CANARY)}, Talker(), environment=environment)

    assert outcome.message == "*** is weak"
    assert outcome.output_tail == "the token is ***\n"
    assert outcome.progress == StepProgress(message="sending ***")
    assert heartbeats
    assert CANARY not in str(heartbeats)


@pytest.mark.parametrize(
    ("does", "message", "logged"),
    [
        ("fail", "*** was refused", ""),
        ("defect", "Talker failed unexpectedly (KeyError)", "KeyError: '*** and ***'"),
    ],
)
async def test_and_in_how_it_fails(does: str, message: str, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ApplicationError) as failed:
        await attempt({"token": BOX.seal(CANARY), "does": does}, Talker())

    assert failed.value.message.startswith(message)
    assert logged in caplog.text
    for secret in (CANARY, VARIABLE):
        assert secret not in f"{failed.value!r} {failed.value.details} {failed.value.__cause__!r} {caplog.text}"


async def test_a_field_that_is_not_valid_is_named_and_a_secret_is_not_shown() -> None:
    with pytest.raises(ApplicationError) as failed:
        await attempt({"token": BOX.seal(f"bad{CANARY}"), "does": 5})

    assert CANARY not in str(failed.value) + str(failed.value.details)
    assert "token: is not valid" in failed.value.message
    assert "does:" in failed.value.message
    assert failed.value.non_retryable


async def test_a_secret_of_another_key_is_a_clear_failure() -> None:
    with pytest.raises(ApplicationError, match="ROTA_SECRET_KEY") as failed:
        await attempt({"token": SecretBox("another key altogether").seal("x")})

    assert failed.value.non_retryable


async def test_a_timeout_says_so_and_keeps_the_output() -> None:
    with pytest.raises(ApplicationError) as failed:
        await attempt({"does": "hang"}, timeout_seconds=1)

    assert failed.value.type == STEP_TIMED_OUT
    assert outcome_of(failed.value).message == "Timed out after 1 s."
    assert outcome_of(failed.value).output_tail == "some output\n"


@pytest.mark.parametrize(("does", "final"), [("fail", False), ("fail for good", True)])
async def test_a_failure_says_whether_another_attempt_can_help(does: str, *, final: bool) -> None:
    with pytest.raises(ApplicationError) as failed:
        await attempt({"does": does})

    assert failed.value.non_retryable is final
    assert len(failed.value.message) <= 1000


async def test_an_attempt_that_another_follows_carries_little_output_in_its_failure() -> None:
    with pytest.raises(ApplicationError) as first:
        await attempt({"does": "fail", "prints": 100_000}, is_last=False)
    with pytest.raises(ApplicationError) as last:
        await attempt({"does": "fail", "prints": 100_000}, attempt=2)

    assert len(outcome_of(first.value).output_tail) == FOLLOWED_TAIL_BYTES
    assert len(outcome_of(last.value).output_tail) == OUTPUT_TAIL_BYTES
    assert outcome_of(last.value).output_bytes == 100_012


@pytest.mark.parametrize(("prints", "says_so"), [(1000, False), (100_000, True)])
async def test_a_worker_without_the_catalogue_says_where_it_keeps_the_tail_alone(prints: int, *, says_so: bool) -> None:
    outcome = await attempt({"prints": prints})

    assert bool(outcome.output_note) is says_so
    if outcome.output_note:
        assert "has no access to the catalogue" in outcome.output_note


async def test_a_stop_of_the_worker_says_so() -> None:
    environment = ActivityEnvironment()
    running = asyncio.create_task(attempt({"does": "hang"}, environment=environment))
    # Its first heartbeat says that it runs.
    heard = asyncio.Event()
    environment.on_heartbeat = lambda *_: heard.set()
    await heard.wait()
    environment.worker_shutdown()
    environment.cancel(ActivityCancellationDetails(worker_shutdown=True))

    with pytest.raises(ApplicationError, match="was stopped before the step had ended") as stopped:
        await running

    assert stopped.value.type == STEP_INTERRUPTED
    assert outcome_of(stopped.value).message == stopped.value.message


async def test_a_cancel_during_a_stop_of_the_worker_is_a_cancel() -> None:
    environment = ActivityEnvironment()
    running = asyncio.create_task(attempt({"does": "hang"}, environment=environment))
    heard = asyncio.Event()
    environment.on_heartbeat = lambda *_: heard.set()
    await heard.wait()
    environment.cancel(ActivityCancellationDetails(cancel_requested=True, worker_shutdown=True))

    with pytest.raises(ApplicationError) as cancelled:
        await running

    assert cancelled.value.type == STEP_CANCELLED
    assert cancelled.value.non_retryable


async def test_an_attempt_that_takes_up_another_has_what_is_left_of_its_time() -> None:
    with pytest.raises(ApplicationError, match="Timed out after 3600 s") as failed:
        await attempt(
            {"does": "hang"},
            timeout_seconds=3600,
            resumed_from=datetime.now(UTC) - timedelta(hours=2),
            memo={"run": "r1"},
        )

    assert outcome_of(failed.value).resumable
    assert outcome_of(failed.value).memo == {"run": "r1"}


async def test_what_has_come_to_its_end_is_not_taken_up_again() -> None:
    environment = ActivityEnvironment()
    beats: list[StepHeartbeat] = []
    environment.on_heartbeat = beats.append
    with pytest.raises(ApplicationError, match="half of it broke") as failed:
        await attempt({"does": "remember its end"}, environment=environment)

    assert outcome_of(failed.value).status is StepStatus.COMPLETED_WITH_ERROR
    assert outcome_of(failed.value).memo == {}
    # Lost before it can tell of its end, the worker leaves to the next one what that can find the end by.
    assert beats[-1].memo == {"run": "r1"}


async def test_a_step_type_may_add_to_what_is_said_of_its_end() -> None:
    with pytest.raises(ApplicationError) as failed:
        await attempt({"does": "hang on"}, timeout_seconds=1)

    assert failed.value.message == "Timed out after 1 s. It goes on."


async def test_what_a_step_remembers_is_in_its_heartbeats() -> None:
    heartbeats: list[StepHeartbeat] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = heartbeats.append

    await attempt({"does": "remember"}, environment=environment)

    # Plain, whatever it was: nothing of it is left out on its way.
    assert heartbeats[-1].memo == {"run": "r1", "page": {"at": 7, "last": None}}
    assert heartbeats[-1].worker.endswith(f"@{heartbeats[-1].host}")


@pytest.mark.parametrize("reason", ["cancel_requested", "worker_shutdown"])
async def test_a_cancel_that_comes_when_the_step_has_ended_changes_nothing(reason: str, tmp_path: Path) -> None:
    storing, stored = asyncio.Event(), asyncio.Event()

    class SlowStore(OutputStore):
        async def close(self, kept: KeptOutput, *, tail_is_recorded: bool) -> str | None:
            assert tail_is_recorded
            self._open.discard(kept)
            storing.set()
            await stored.wait()
            return None

    outputs = SlowStore(Catalogue(f"sqlite:///{tmp_path}/never-opened.db"), 1024)
    environment = ActivityEnvironment()
    activity = step_activity(Probe(), WorkerContext(outputs=outputs), BOX)
    step = StepInput(execution_id=uuid.uuid4(), schedule_name="s", step_id=uuid.uuid4(), name="probe")
    running: asyncio.Future[StepOutcome] = asyncio.ensure_future(environment.run(activity, step))
    await storing.wait()
    environment.cancel(ActivityCancellationDetails(**{reason: True}))
    await asyncio.sleep(0)
    stored.set()
    assert (await running).status is StepStatus.COMPLETED
