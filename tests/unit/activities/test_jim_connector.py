"""The connector `Jim` against the double of JIM's API: every end a run may have, and every fault on the way there."""

import asyncio
import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activities.connectors import jim as connector
from activities.connectors.jim import Jim, JimRunProfile, JimSettings
from activities.run_profile import RunProfileConfig
from activities.support.output import OutputTail
from activities.support.step_type import Continuity, StepFailure, StepRun
from activities.support.worker_context import WorkerContext
from contracts.execution import StepProgress, StepStatus
from tests.jim.double import JimDouble
from tests.jim.state import RunProfile
from tests.unit.activities.step_runs import until

EXECUTE = ".*/execute"
PROGRESS = "/activities/[^/]*/progress"


class Following(Continuity):
    """An attempt that another follows: what is kept survives it, as it would in Temporal."""

    def __init__(self) -> None:
        self.step: StepRun[Any] | None = None
        self.kept: dict[str, Any] = {}
        self.is_handed_over = False
        self.turns: list[str] = []
        self.gives_nothing_back = False

    async def keep(self) -> None:
        assert self.step is not None
        self.kept = dict(self.step.memo)

    async def hands_over(self) -> bool:
        return self.is_handed_over

    async def take_turn(self, name: str) -> None:
        if name not in self.turns:
            self.turns.append(name)

    async def give_back(self, name: str) -> None:
        if self.gives_nothing_back:
            await asyncio.Event().wait()
        if name in self.turns:
            self.turns.remove(name)


class Shown:
    """One run profile of a JIM, and the attempts of the step that runs it."""

    def __init__(self, jim: JimDouble) -> None:
        self.jim = jim
        self.connector = Jim()
        self.profile: RunProfile = jim.state.add_profile(7, "Full Import", jim.state.add_system(3, "HR"))
        self.continuity = Following()
        self.progress: list[StepProgress] = []
        self.settings = {"url": jim.url, "apiKey": jim.key.secret}
        self.environment: dict[str, str] = {}

    def attempt(self, memo: dict[str, Any] | None = None, time_limit: float | None = None) -> StepRun[Any]:
        step = StepRun(
            config=RunProfileConfig(connected_system_id=3, run_profile_id=7),
            output=OutputTail(),
            worker=WorkerContext(named_environment=self.environment),
            memo=dict(memo or {}),
            time_limit=time_limit,
            continuity=self.continuity,
        )
        step.on_change = lambda: self.progress.append(step.progress) if step.progress else None
        self.continuity.step = step
        return step

    async def run(self, step: StepRun[Any] | None = None) -> StepRun[Any]:
        step = step or self.attempt()
        await self.connector.run(step, JimSettings.model_validate(self.settings), JimRunProfile())
        return step

    async def failure(self, step: StepRun[Any] | None = None) -> StepFailure:
        with pytest.raises(StepFailure) as failed:
            await self.run(step)
        assert self.jim.key.secret not in str(failed.value)
        return failed.value

    @property
    def runs(self) -> int:
        return len(self.jim.state.runs_of(self.profile))

    @property
    def task_statuses(self) -> list[str]:
        return [task.status for task in list(self.jim.state.tasks.values())]

    async def until_processing(self) -> None:
        await until(lambda: "Processing" in self.task_statuses)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "_SOONEST_SECONDS", 0.02)
    monkeypatch.setattr(connector, "_SHARE_SECONDS", 0.01)
    monkeypatch.setattr(connector, "_SETTLING_SECONDS", (0.0, 0.05))
    monkeypatch.setattr(connector, "_PAUSES", lambda _: 0.02)


@pytest.fixture(scope="module")
def server() -> Iterator[JimDouble]:
    with JimDouble() as server:
        yield server


@pytest.fixture
def shown(server: JimDouble) -> Shown:
    server.reset()
    return Shown(server)


async def test_a_run_is_followed_to_its_end(shown: Shown) -> None:
    shown.profile.warnings = ("Partition dc=old is not selected",)
    shown.profile.work.held = True
    step = shown.attempt()
    running = asyncio.create_task(shown.run(step))
    await until(lambda: step.progress and step.progress.total == 20 and step.progress.done == 10)
    assert step.progress == StepProgress(done=10, total=20, message="Synchronise (2 of 2)")
    assert step.activity_status == "InProgress"
    shown.profile.work.held = False
    await running
    [activity] = shown.jim.state.runs_of(shown.profile)
    assert (step.activity_id, step.activity_status, step.warning) == (str(activity.id), "Complete", None)
    printed = step.output.text()
    assert "Run Profile 'Full Import' has been queued for execution." in printed
    assert "Warning: Partition dc=old is not selected" in printed
    assert printed.endswith("Synchronise (2 of 2)\nComplete\n")
    assert step.resumable
    assert shown.continuity.turns == []


async def test_a_run_that_waits_in_jim_says_so(shown: Shown) -> None:
    other = shown.jim.state.add_profile(8, "Export", shown.profile.system)
    other.work.held = True
    shown.jim.state.queue_run(other, by=None)
    step = shown.attempt()
    running = asyncio.create_task(shown.run(step))
    await until(lambda: step.progress and step.progress.message == "Queued in JIM")
    other.work.held = False
    await running
    assert step.activity_status == "Complete"


@pytest.mark.parametrize(
    ("status", "ends_as", "retryable"),
    [
        ("CompleteWithError", StepStatus.COMPLETED_WITH_ERROR, True),
        ("FailedWithError", StepStatus.FAILED, True),
        ("Cancelled", StepStatus.CANCELLED, False),
    ],
)
async def test_a_run_without_success_is_a_failure(
    shown: Shown, status: str, ends_as: StepStatus, *, retryable: bool
) -> None:
    shown.profile.work.status = status
    shown.profile.work.error_message = "3 objects\nfailed"
    step = shown.attempt()
    failure = await shown.failure(step)
    assert (failure.status, failure.retryable, step.begins_anew) == (ends_as, retryable, True)
    assert (step.activity_status, "3 objects failed" in str(failure)) == (status, retryable)


async def test_a_run_with_warnings_is_a_success_with_a_warning(shown: Shown) -> None:
    shown.profile.work.status = "CompleteWithWarning"
    shown.profile.work.warning_message = "2 objects skipped"
    step = await shown.run()
    assert (step.warning, step.activity_status) == ("2 objects skipped", "CompleteWithWarning")


async def test_a_cancel_ends_the_run_though_its_activity_reads_in_progress_again(shown: Shown) -> None:
    shown.profile.work.held = True
    shown.jim.state.cancelled_reads_in_progress_after = 0
    shown.jim.state.cancel_seconds = 0.1
    step = shown.attempt()
    running = asyncio.create_task(shown.run(step))
    await shown.until_processing()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (shown.task_statuses, step.activity_status, step.remark) == ([], "Cancelled", None)
    assert step.begins_anew


async def test_a_time_limit_cancels_a_queued_run(shown: Shown) -> None:
    other = shown.jim.state.add_profile(8, "Export", shown.profile.system)
    other.work.held = True
    shown.jim.state.queue_run(other, by=None)
    step = shown.attempt()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await shown.run(step)
    [activity] = shown.jim.state.runs_of(shown.profile)
    assert (activity.status, step.activity_status) == ("Cancelled", "Cancelled")
    assert shown.continuity.turns == []


async def test_a_cancel_during_the_request_finds_the_run_and_ends_it(shown: Shown) -> None:
    shown.profile.work.held = True
    shown.jim.fail("POST", EXECUTE, delay=math.inf, acted=True)
    step = shown.attempt()
    running = asyncio.create_task(shown.run(step))
    await shown.until_processing()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (shown.runs, shown.task_statuses, step.activity_status) == (1, [], "Cancelled")
    assert shown.continuity.turns == []


async def test_an_end_that_jim_does_not_confirm_is_told(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "_ENDING_SECONDS", 0.2)
    shown.profile.work.held = True
    shown.jim.state.cancel_seconds = math.inf
    step = shown.attempt()
    running = asyncio.create_task(shown.run(step))
    await shown.until_processing()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert step.remark == f"JIM has not confirmed that its run {step.activity_id} has ended."


async def test_a_run_that_is_cancelled_in_jim_ends_the_step(shown: Shown) -> None:
    shown.profile.work.held = True
    shown.jim.state.cancelled_reads_in_progress_after = 0
    running = asyncio.create_task(shown.failure())
    await shown.until_processing()
    [task] = list(shown.jim.state.tasks.values())
    shown.jim.state.request_cancel(task)
    failure = await running
    assert (failure.status, failure.retryable) == (StepStatus.CANCELLED, False)
    assert "cancelled in JIM" in str(failure)


@pytest.mark.parametrize("acted", [True, False])
@pytest.mark.parametrize("fault", [{"lost": True}, {"status": 500}, {"status": 503, "retry_after": 0}])
async def test_a_lost_answer_leads_to_one_run(shown: Shown, fault: dict[str, Any], *, acted: bool) -> None:
    # Others' runs, and older ones of this key: none of them is this step's.
    other = shown.jim.state.add_profile(8, "Export", shown.profile.system)
    shown.jim.state.clock_offset = timedelta(hours=-5)
    shown.jim.state.queue_run(shown.profile, by=shown.jim.key)
    shown.jim.fail("POST", EXECUTE, acted=acted, **fault)
    step = shown.attempt()
    running = asyncio.create_task(shown.run(step))
    await until(lambda: shown.jim.count("POST", EXECUTE) == 1)
    shown.jim.state.queue_run(shown.profile, by=None)
    shown.jim.state.queue_run(other, by=shown.jim.key)
    await running
    ours = [activity for activity in shown.jim.state.runs_of(shown.profile) if activity.initiated_by_type == "ApiKey"]
    assert len(ours) == 2
    assert step.activity_id == str(ours[-1].id)
    assert shown.jim.count("POST", EXECUTE) == (1 if acted else 2)


async def test_an_answer_that_does_not_come_in_time_leads_to_one_run(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "_TIMEOUT", 0.2)
    shown.jim.fail("POST", EXECUTE, delay=math.inf, acted=True)
    shown.jim.fail("GET", PROGRESS, delay=math.inf)
    step = await shown.run()
    assert (shown.runs, step.activity_status) == (1, "Complete")


async def test_runs_that_cannot_be_told_apart_are_a_failure(shown: Shown) -> None:
    shown.jim.fail("POST", EXECUTE, lost=True, acted=True, delay=0.1)
    step = shown.attempt()
    running = asyncio.create_task(shown.failure(step))
    await until(lambda: shown.runs == 1)
    shown.jim.state.queue_run(shown.profile, by=shown.jim.state.add_key("jim_ak_of_another_program"))
    failure = await running
    assert not failure.retryable
    assert all(str(activity.id) in str(failure) for activity in shown.jim.state.runs_of(shown.profile))


@pytest.mark.parametrize("when", ["known", "asked for", "running", "ended"])
async def test_another_attempt_takes_up_the_run(shown: Shown, when: str) -> None:
    """Whatever the worker that was lost had done, what it kept in time is enough."""
    shown.profile.work.held = when != "ended"
    step = shown.attempt()
    shown.continuity.is_handed_over = True
    match when:
        case "known":
            shown.jim.fail("POST", EXECUTE, lost=True, delay=0.2)
        case "asked for":
            shown.jim.fail("POST", EXECUTE, acted=True, delay=math.inf)
        case "ended":
            # Without an answer it cannot hear of the end before it is lost.
            shown.jim.fail("GET", PROGRESS, delay=math.inf)
    lost = asyncio.create_task(shown.run(step))
    await until(lambda: "known" in shown.continuity.kept)
    match when:
        case "asked for":
            await shown.until_processing()
        case "running":
            await until(lambda: "activityId" in shown.continuity.kept)
        case "ended":
            await until(lambda: shown.jim.count("GET", PROGRESS) and not shown.task_statuses)
    lost.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lost
    assert "CancellationRequested" not in shown.task_statuses
    next_step = shown.attempt(memo=shown.continuity.kept)
    following = asyncio.create_task(shown.run(next_step))
    await until(lambda: next_step.activity_status)
    shown.profile.work.held = False
    await following
    [activity] = shown.jim.state.runs_of(shown.profile)
    assert (next_step.activity_id, next_step.activity_status) == (str(activity.id), "Complete")
    assert shown.continuity.turns == []


@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_turn_that_an_attempt_was_about_to_give_back_is_given_back(shown: Shown, *, is_followed: bool) -> None:
    shown.continuity.is_handed_over = is_followed
    shown.continuity.gives_nothing_back = True
    cut_off = asyncio.create_task(shown.run())
    await until(lambda: "activityId" in shown.continuity.kept)
    shown.continuity.gives_nothing_back = False
    cut_off.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut_off
    if is_followed:
        assert shown.continuity.turns
        await shown.run(shown.attempt(memo=shown.continuity.kept))
    assert shown.continuity.turns == []
    assert shown.runs == 1


async def test_a_run_that_was_found_again_can_be_cancelled(shown: Shown) -> None:
    shown.profile.work.held = True
    shown.jim.fail("POST", EXECUTE, lost=True, acted=True)
    running = asyncio.create_task(shown.run())
    await shown.until_processing()
    await until(lambda: "activityId" in shown.continuity.kept)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert shown.task_statuses == []


async def test_a_restart_of_jim_abandons_the_run(shown: Shown) -> None:
    shown.profile.work.held = True
    step = shown.attempt()
    running = asyncio.create_task(shown.failure(step))
    await shown.until_processing()
    await asyncio.to_thread(shown.jim.stop)
    await until(lambda: step.progress and "cannot be reached" in (step.progress.message or ""))
    await asyncio.to_thread(shown.jim.start)
    failure = await running
    assert "abandoned" in str(failure)
    assert (step.activity_status, shown.runs) == ("FailedWithError", 1)


async def test_a_key_is_not_given_up_while_jim_has_no_database(shown: Shown) -> None:
    shown.profile.work.held = True
    step = shown.attempt()
    running = asyncio.create_task(shown.run(step))
    await shown.until_processing()
    shown.jim.state.database_is_up = False
    await until(lambda: step.progress and "not ready" in (step.progress.message or ""))
    shown.profile.work.held = False
    shown.jim.state.database_is_up = True
    await running
    assert step.activity_status == "Complete"


async def test_too_many_requests_hold_every_run_of_the_key_back(shown: Shown) -> None:
    shown.jim.fail("GET", PROGRESS, status=429, retry_after=1)
    step = shown.attempt()
    running = asyncio.create_task(shown.run(step))
    await until(lambda: step.progress and "too many requests" in (step.progress.message or ""))
    sent = len(shown.jim.requests)
    second = asyncio.create_task(shown.run())
    await asyncio.sleep(0.3)
    assert len(shown.jim.requests) == sent
    await asyncio.gather(running, second)
    assert shown.runs == 2


async def test_a_jim_that_stays_away_is_a_failure_where_nothing_else_limits_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connector, "_OUTAGE", timedelta(seconds=0.2))
    with JimDouble() as jim:
        shown = Shown(jim)
    failure = await shown.failure()
    assert "JIM did not answer" in str(failure)
    assert failure.retryable
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await shown.run(shown.attempt(time_limit=0.5))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"apiKey": "jim_ak_" + "f" * 64}, "refuses the API key"),
        ({"apiKey": "two\nlines"}, "characters that no key of JIM has"),
        ({"apiKey": "${env:JIM_KEY}"}, "the API key names ${env:JIM_KEY}, which this worker does not give to steps"),
        ({"url": "${env:ROTA_API_URL}"}, "the URL names ${env:ROTA_API_URL}: ROTA_* and TEMPORAL_* are never given"),
    ],
)
async def test_settings_that_cannot_be_used_are_named(shown: Shown, change: dict[str, str], said: str) -> None:
    shown.settings |= change
    failure = await shown.failure()
    assert said in str(failure)
    assert not failure.retryable
    assert shown.runs == 0


async def test_settings_may_name_variables_of_the_worker(shown: Shown) -> None:
    shown.environment = {"JIM_KEY": shown.jim.key.secret, "JIM_URL": f"{shown.jim.url}/api/v1/"}
    shown.settings = {"apiKey": "${env:JIM_KEY}", "url": "${env:JIM_URL}"}
    assert (await shown.run()).activity_status == "Complete"


async def test_what_jim_refuses_is_told_in_its_words(shown: Shown) -> None:
    del shown.jim.state.profiles[7]
    failure = await shown.failure()
    assert str(failure) == "JIM refuses to run run profile 7 of connected system 3: Run profile not found: 7"
    assert not failure.retryable
    shown.jim.state.profiles[7] = shown.profile
    shown.profile.targets_deselected_partition = True
    assert "partition that is not selected" in str(await shown.failure())
    shown.jim.key.is_administrator = False
    assert "needs the role Administrator" in str(await shown.failure())
    assert shown.continuity.turns == []


async def test_another_server_than_jim_is_told(shown: Shown) -> None:
    shown.settings["url"] += "/elsewhere"
    assert "does not answer /activities as JIM does" in str(await shown.failure())


@pytest.mark.parametrize(
    "url",
    [
        *("jim.example.com", "ftp://jim", "https://user:S3cret@jim", "https://jim/?key=S3cret", "https://", "http://["),
        *("https://user:S3cret@${env:HOST}", "${env:URL}?key=S3cret", "https://user:${env:PASSWORD}@jim"),
    ],
)
def test_an_address_is_checked_when_it_is_stored(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        JimSettings(url=url, api_key="x")
    [error] = refused.value.errors()
    assert error["loc"] == ("url",)
    assert "S3cret" not in error["msg"]


def test_a_key_is_masked_and_the_name_of_a_variable_is_shown() -> None:
    assert connector._mask("jim_ak_0") == "***"
    assert connector._mask("${env:JIM_KEY}") == "${env:JIM_KEY}"
