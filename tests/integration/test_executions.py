"""Executions end to end: HTTP in, processes in between, records out."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from temporalio.client import Client, WorkflowExecution

from activities.support.pace import Pace
from api.services import detail
from api.services.live import LiveExecution, live_execution
from catalogue.engine import Catalogue
from contracts.execution import FinishedStep
from tests.integration.stack import Rota, Run
from tests.waiting import eventually
from worker import build_worker


def executable(path: str, **fields: Any) -> dict[str, Any]:
    return {"stepType": "Executable", "executablePath": path} | fields


def interval(step: dict[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(step["startedAt"]), datetime.fromisoformat(step["completedAt"])


async def test_steps_run_in_order_and_parallel_ones_overlap(rota: Rota, run_steps: Run) -> None:
    # Each of the two ends only when the other has begun.
    meet = rota.script("meet.sh", "#!/bin/sh\necho $1\ntouch $1\nuntil test -e $2; do sleep 0.05; done\n")

    execution = await run_steps(
        executable("/bin/echo", name="first", arguments="one", stepIndex=0),
        executable(meet, name="left", arguments="two three", stepIndex=1),
        executable(meet, name="right", arguments="three two", stepIndex=1, executionMode="ParallelWithPrevious"),
        executable("/bin/echo", name="last", arguments="four", stepIndex=2),
    )

    assert execution["status"] == "Complete"
    assert execution["totalSteps"] == 3
    assert execution["currentStepIndex"] == 2
    first, left, right, last = execution["steps"]
    assert [step["outputTail"].strip() for step in execution["steps"]] == ["one", "two", "three", "four"]
    assert {step["status"] for step in execution["steps"]} == {"Completed"}
    assert interval(first)[1] <= interval(left)[0]
    assert max(interval(left)[0], interval(right)[0]) < min(interval(left)[1], interval(right)[1])
    assert max(interval(left)[1], interval(right)[1]) <= interval(last)[0]
    assert [step["exitCode"] for step in execution["steps"]] == [0, 0, 0, 0]
    assert [group["isParallel"] for group in execution["progress"]["steps"]] == [False, True, False]
    assert execution["progress"]["currentStepNumber"] == 3


async def test_a_failure_stops_the_execution_and_names_the_step(rota: Rota, run_steps: Run) -> None:
    bad = rota.script("bad.sh", "#!/bin/sh\necho about to break\nexit 3\n")

    execution = await run_steps(
        executable(bad, name="Break", stepIndex=0),
        executable("/bin/true", name="Never", stepIndex=1),
    )

    assert execution["status"] == "Failed"
    assert execution["errorMessage"].startswith("Step 'Break' failed and ContinueOnFailure is false.")
    broken, never = execution["steps"]
    assert broken["status"] == "Failed"
    assert broken["exitCode"] == 3
    assert "3" in broken["errorMessage"]
    assert broken["outputTail"] == "about to break\n"
    assert broken["activityStatus"] == "FailedWithError"
    # It stood in its first group: JIM's clients show that, from the detail and from lists.
    assert (execution["currentStepIndex"], execution["progress"]["currentStepNumber"]) == (0, 1)
    assert never["status"] == "Cancelled"
    assert never["startedAt"] is None
    assert never["errorMessage"]


async def test_continue_on_failure_ends_complete_with_error(run_steps: Run) -> None:
    execution = await run_steps(
        executable("/bin/false", stepIndex=0, continueOnFailure=True),
        executable("/bin/true", stepIndex=1),
    )

    assert execution["status"] == "CompleteWithError"
    assert [step["status"] for step in execution["steps"]] == ["Failed", "Completed"]
    assert [step["name"] for step in execution["steps"]] == ["false", "true"]


async def test_a_timeout_ends_the_process_and_says_so(rota: Rota, run_steps: Run) -> None:
    slow = rota.script("slow.sh", "#!/bin/sh\necho started\nsleep 60\n")

    execution = await run_steps(executable(slow, timeoutSeconds=1))

    [step] = execution["steps"]
    assert step["status"] == "Failed"
    assert step["errorMessage"] == "Timed out after 1 s."
    assert step["outputTail"] == "started\n"
    assert step["processesEnded"] >= 1
    begun, ended = interval(step)
    assert (ended - begun).total_seconds() >= 1


async def test_max_attempts_retries(rota: Rota, run_steps: Run) -> None:
    counter = rota.root / "tries"
    flaky = rota.script("flaky.sh", f"#!/bin/sh\necho x >> {counter}\ntest $(wc -l < {counter}) -ge 2\n")

    execution = await run_steps(executable(flaky, maxAttempts=3))

    [step] = execution["steps"]
    assert step["status"] == "Completed"
    assert step["attempts"] == 2
    first, second = step["attemptHistory"]
    assert (first["number"], first["isCounted"], first["status"], first["exitCode"]) == (1, True, "Failed", 1)
    assert "exited with code 1" in first["errorMessage"]
    assert (second["number"], second["status"], second["errorMessage"]) == (2, "Completed", None)
    assert step["startedAt"] == first["startedAt"] < first["completedAt"] < second["startedAt"]
    assert step["errorMessage"] is None
    assert counter.read_text() == "x\nx\n"


async def test_a_running_step_is_seen_live_and_cancel_ends_it(rota: Rota) -> None:
    pid_file = rota.root / "pid"
    slow = rota.script("slow.sh", f"#!/bin/sh\necho $$ > {pid_file}\necho working on it\nexec sleep 60\n")
    execution_id = await rota.run(
        await rota.create(executable(slow, stepIndex=0), executable("/bin/true", stepIndex=1))
    )

    running = await rota.until(
        execution_id,
        lambda execution: bool((execution["steps"][0]["progress"] or {}).get("message")),
    )
    step = running["steps"][0]
    assert running["status"] == "InProgress"
    assert step["status"] == "Processing"
    assert step["progress"]["message"] == "working on it"
    assert step["host"]
    assert step["attempts"] == 1
    active = (await rota.http.get("/api/v1/schedule-executions/active")).json()
    assert execution_id in [execution["id"] for execution in active]

    answer = await rota.http.post(f"/api/v1/schedule-executions/{execution_id}/cancel")

    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "Cancelled"
    assert answer.json()["errorMessage"] == "Cancelled by user"
    assert not (await process_exists(int(pid_file.read_text())))
    execution = await rota.execution(execution_id)
    assert [step["status"] for step in execution["steps"]] == ["Cancelled", "Cancelled"]
    assert (execution["currentStepIndex"], execution["progress"]["currentStepNumber"]) == (0, 1)
    assert execution["steps"][0]["outputTail"] == "working on it\n"
    again = await rota.http.post(f"/api/v1/schedule-executions/{execution_id}/cancel")
    assert again.status_code == 400
    assert again.json()["message"] == "Cannot cancel execution with status: Cancelled"


IN_A_ROW = [executable("/bin/true", stepIndex=index) for index in range(40)]
SIDE_BY_SIDE = [
    executable("/bin/sleep", arguments=f"0.{index % 5}", stepIndex=index // 25, executionMode="ParallelWithPrevious")
    for index in range(100)
]


@pytest.mark.parametrize("steps", [IN_A_ROW, SIDE_BY_SIDE], ids=["in a row", "side by side"])
async def test_no_step_goes_back_in_the_eyes_of_who_watches(rota: Rota, steps: list[dict[str, Any]]) -> None:
    order = ["Pending", "Waiting", "Queued", "Processing", "Completed"]
    last_one = executable("/bin/sleep", arguments="2", stepIndex=len(steps))
    execution_id = await rota.run(await rota.create(*steps, last_one))
    seen: list[list[tuple[int, int]]] = []
    groups: list[int] = []

    async def is_over() -> bool:
        execution = await rota.execution(execution_id)
        seen.append([(order.index(step["status"]), step["attempts"]) for step in execution["steps"]])
        groups.append(execution["currentStepIndex"])
        return bool(execution["status"] == "Complete")

    await eventually(is_over)

    for number, (before, after) in enumerate(pairwise(seen)):
        back = {index: (a, b) for index, (a, b) in enumerate(zip(before, after, strict=True)) if a > b}
        assert not back, f"reading {number + 1}: {back}"
    assert groups == sorted(groups)
    # While the last one sleeps, what is known of the others is written.
    last, done = order.index("Processing"), order.index("Completed")
    assert [*[(done, 1)] * len(steps), (last, 1)] in seen


@pytest.mark.parametrize("delayed", ["live_execution", "steps_begun_last"])
async def test_no_step_goes_back_while_the_workflow_continues_as_new(
    rota: Rota, monkeypatch: pytest.MonkeyPatch, delayed: str
) -> None:
    # Nothing is written, and so what has ended is known from the history alone, until the run that it belongs to ends.
    monkeypatch.setattr(Pace, "hold_back_seconds", lambda *_: 60.0)
    gates = [rota.root / "first", rota.root / "second"]
    waiting = rota.script("waiting.sh", "#!/bin/sh\nuntil test -e $1; do sleep 0.05; done\n")
    steps = [executable("/bin/true", stepIndex=index) for index in range(60)]
    at_first, at_second = 25, 55
    for index, gate in zip((at_first, at_second), gates, strict=True):
        steps[index] |= {"executablePath": waiting, "arguments": str(gate)}
    execution_id = await rota.run(await rota.create(*steps))
    earlier = await rota.until(execution_id, lambda execution: execution["steps"][at_first]["status"] == "Processing")
    ask: Callable[..., Awaitable[Any]] = getattr(detail, delayed)

    async def asked_when_continued(client: Client, workflow_id: str, *arguments: Any, **options: Any) -> object:
        async def is_continued() -> bool:
            answer = await live_execution(client, workflow_id)
            return answer is not None and answer.is_continued

        gates[0].touch()
        await eventually(is_continued)
        return await ask(client, workflow_id, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(detail, delayed, asked_when_continued)
        later = await rota.execution(execution_id)
    gates[1].touch()

    for execution in (earlier, later):
        assert {step["status"] for step in execution["steps"][:at_first]} == {"Completed"}
    assert (await rota.ended(execution_id))["status"] == "Complete"


@contextmanager
def no_end_is_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """Has the catalogue refuse how steps ended; the event tells that it did."""
    refused = asyncio.Event()

    def away(_: Connection, finished: Sequence[FinishedStep]) -> None:
        if finished:
            refused.set()
            raise OperationalError("UPDATE", {}, Exception("the database is away"))

    with monkeypatch.context() as patch:
        patch.setattr("activities.support.recording.finish_steps", away)
        yield refused


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_step_whose_end_waits_for_a_workflow_task_is_shown_as_running(
    rota: Rota, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = rota.root / "go"
    last = rota.script("last.sh", f"#!/bin/sh\nuntil test -e {go}; do sleep 0.05; done\n")

    with no_end_is_written(monkeypatch) as held_back:
        execution_id = await rota.run(await rota.create(executable("/bin/true"), executable(last)))
        await rota.until(execution_id, lambda execution: execution["steps"][1]["status"] == "Processing")
        # The workflow's task lasts as long as the write does: the server keeps what happens meanwhile for the next one.
        await eventually(lambda: asyncio.sleep(0, held_back.is_set()))
        [workflow] = [found async for found in rota.temporal.list_workflows(f"RotaExecutionId = '{execution_id}'")]
        go.touch()

        async def is_none_pending() -> bool:
            answer = await live_execution(rota.temporal, workflow.id)
            return answer is not None and not answer.steps

        await eventually(is_none_pending)
        [_, shown] = (await rota.execution(execution_id))["steps"]

    # A task that lasts for some seconds is renewed, and the end seen then.
    assert (shown["status"], shown["attempts"]) in {("Processing", 1), ("Completed", 1)}
    assert (await rota.ended(execution_id))["status"] == "Complete"


async def test_a_step_that_was_handed_out_while_it_was_asked_for_is_queued(
    rota: Rota, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await rota.run(await rota.create(executable("/bin/true", workerPool="nobody")))
    await rota.until(execution_id, lambda execution: execution["steps"][0]["status"] == "Queued")

    async def asked_before(client: Client, workflow_id: str) -> LiveExecution | None:
        answer = await live_execution(client, workflow_id)
        # As it was when the record had been opened: the step came with the last event.
        return answer and replace(answer, steps={}, history_length=answer.history_length - 1)

    with monkeypatch.context() as patch:
        patch.setattr("api.services.detail.live_execution", asked_before)
        shown = await rota.execution(execution_id)
    await rota.http.post(f"/api/v1/schedule-executions/{execution_id}/cancel")

    assert shown["steps"][0]["status"] == "Queued"


@pytest.mark.parametrize("index_of_last", [0, 1], ids=["beside another that runs", "before another"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_step_whose_end_is_not_written_yet_shows_how_it_ended(
    rota: Rota, monkeypatch: pytest.MonkeyPatch, index_of_last: int
) -> None:
    go = rota.root / "go"
    last = rota.script("last.sh", f"#!/bin/sh\nuntil test -e {go}; do sleep 0.05; done\n")

    with no_end_is_written(monkeypatch) as held_back:
        execution_id = await rota.run(
            await rota.create(executable("/bin/echo", arguments="said"), executable(last, stepIndex=index_of_last))
        )
        await eventually(lambda: asyncio.sleep(0, held_back.is_set()))
        if not index_of_last:  # else it begins when the end of the first is written
            await rota.until(execution_id, lambda execution: bool(execution["steps"][1]["startedAt"]))
        between = await rota.execution(execution_id)
        path = f"/api/v1/schedule-executions/{execution_id}/steps/{between['steps'][0]['id']}/output"
        printed = (await rota.http.get(path)).text
    go.touch()
    after = await rota.ended(execution_id)

    shown, stored = between["steps"][0], after["steps"][0]
    assert (after["status"], stored["status"], stored["attempts"]) == ("Complete", "Completed", 1)
    assert shown == stored
    assert printed == "said\n"


async def process_exists(pid: int) -> bool:
    shown = await asyncio.create_subprocess_exec("ps", "-p", str(pid), stdout=asyncio.subprocess.DEVNULL)
    return await shown.wait() == 0


async def test_one_that_no_worker_has_begun_is_cancelled_at_once(api: Rota) -> None:
    execution_id = await api.run(await api.create(executable("/bin/true")))
    queued = await api.execution(execution_id)
    assert queued["status"] == "Queued"
    assert queued["steps"][0]["status"] == "Waiting"

    answer = await api.http.post(f"/api/v1/schedule-executions/{execution_id}/cancel")

    assert answer.status_code == 200
    assert answer.json()["status"] == "Cancelled"


async def test_one_that_no_worker_has_begun_says_so_after_a_while(api: Rota, catalogue: Catalogue) -> None:
    execution_id = await api.run(await api.create(executable("/bin/true")))
    assert (await api.execution(execution_id))["errorMessage"] is None

    waiting = await api.until(execution_id, lambda execution: execution["errorMessage"] is not None)

    assert waiting["status"] == "Queued"
    assert waiting["errorMessage"].endswith(
        f" s: no worker serves the task queue {api.settings.task_queue!r}. Start one with `rota worker`."
    )
    async with build_worker(api.temporal, catalogue, api.settings):
        ended = await api.ended(execution_id)
    assert (ended["status"], ended["errorMessage"]) == ("Complete", None)


async def test_editing_or_deleting_the_schedule_leaves_a_running_execution_alone(rota: Rota) -> None:
    go = rota.root / "go"
    waiting = rota.script("waiting.sh", f"#!/bin/sh\nuntil test -e {go}; do sleep 0.05; done\necho went\n")
    schedule = await rota.create(
        executable(waiting, stepIndex=0), executable("/bin/echo", arguments="as planned", stepIndex=1)
    )
    execution_id = await rota.run(schedule)
    await rota.until(execution_id, lambda execution: execution["steps"][0]["status"] == "Processing")

    changed = await rota.http.put(f"/api/v1/schedules/{schedule['id']}", json={"steps": []})
    assert changed.status_code == 200
    assert (await rota.http.delete(f"/api/v1/schedules/{schedule['id']}")).status_code == 204
    go.touch()

    execution = await rota.ended(execution_id)
    assert execution["status"] == "Complete"
    assert [step["outputTail"] for step in execution["steps"]] == ["went\n", "as planned\n"]
    assert execution["scheduleName"] == schedule["name"]


async def test_a_missing_script_fails_the_step_with_a_clear_message(rota: Rota, run_steps: Run) -> None:
    execution = await run_steps(executable(str(rota.root / "missing.sh")))

    [step] = execution["steps"]
    assert execution["status"] == "Failed"
    assert step["status"] == "Failed"
    assert "missing.sh" in step["errorMessage"]
    assert "Traceback" not in str(execution)


async def test_nothing_outside_the_script_roots_runs(run_steps: Run) -> None:
    execution = await run_steps(executable("/sbin/../usr/sbin/nologin"), executable("/usr/sbin/nologin"))

    for step in execution["steps"]:
        assert "outside the script roots" in step["errorMessage"]


async def test_a_run_profile_runs_through_its_connector(rota: Rota, run_steps: Run) -> None:
    importer = rota.script("import.sh", '#!/bin/sh\necho "$@"\n')
    system = await rota.http.post(
        "/api/v1/synchronisation/connected-systems",
        json={
            "name": f"HR {uuid.uuid4()}",
            "connectorName": "Command",
            "settings": {"executablePath": importer, "arguments": "hr"},
        },
    )
    assert system.status_code == 201, system.text
    system_id = system.json()["id"]
    profile = await rota.http.post(
        f"/api/v1/synchronisation/connected-systems/{system_id}/run-profiles",
        json={"name": "Full import", "runType": "FullImport", "settings": {"arguments": "--full 'two words'"}},
    )
    assert profile.status_code == 201, profile.text

    execution = await run_steps(
        {"stepType": "RunProfile", "connectedSystemId": system_id, "runProfileId": profile.json()["id"]},
    )

    [step] = execution["steps"]
    assert step["status"] == "Completed"
    assert step["name"] == f"{system.json()['name']} - Full import"
    assert step["outputTail"] == "hr --full two words\n"
    assert step["connectedSystemName"] == system.json()["name"]
    assert step["runProfileName"] == "Full import"


async def test_an_unknown_connected_system_is_a_warning_and_then_a_failed_step(rota: Rota) -> None:
    schedule = await rota.create({"stepType": "RunProfile", "connectedSystemId": 4711, "runProfileId": 1})
    assert any("4711" in warning for warning in schedule["warnings"])

    execution = await rota.ended(await rota.run(schedule))

    assert execution["status"] == "Failed"
    assert "Connected system 4711 does not exist" in execution["steps"][0]["errorMessage"]


async def test_a_sql_script_runs_and_its_secret_stays_secret(rota: Rota) -> None:
    database = rota.root / "data.db"
    script = rota.root / "script.sql"
    script.write_text("CREATE TABLE person (name TEXT);\nINSERT INTO person VALUES ('Ada'), ('Grace');\n")
    schedule = await rota.create(
        {"stepType": "SqlScript", "sqlConnectionString": f"sqlite:///{database}", "sqlScriptPath": str(script)},
        {
            "stepType": "SqlScript",
            "stepIndex": 1,
            "sqlConnectionString": "postgresql://ada:S3cret-canary@127.0.0.1:1/none",
            "sqlScriptPath": str(script),
        },
    )
    assert schedule["steps"][1]["sqlConnectionString"] == "postgresql://ada:***@127.0.0.1:1/none"

    execution = await rota.ended(await rota.run(schedule))

    assert execution["steps"][0]["status"] == "Completed"
    assert execution["steps"][1]["status"] == "Failed"
    [listed] = (await rota.http.get("/api/v1/schedule-executions", params={"scheduleId": schedule["id"]})).json()[
        "items"
    ]
    assert listed["status"] == "Failed"
    history = [
        str(event)
        async for workflow in rota.temporal.list_workflows(f"RotaScheduleId = '{schedule['id']}'")
        async for event in rota.temporal.get_workflow_handle(workflow.id).fetch_history_events()
    ]
    assert history
    assert "S3cret-canary" not in "".join(history) + str(execution) + str(listed)


async def test_the_operator_sees_names_and_outcome_in_temporal(rota: Rota) -> None:
    schedule = await rota.create(executable("/bin/true", name="Nothing much"), name=f"Nightly Sync {uuid.uuid4()}")
    execution_id = await rota.run(schedule)
    await rota.ended(execution_id)

    # The server's listing follows the workflow a moment later.
    query = f"RotaExecutionId = '{execution_id}' AND RotaOutcome = 'Complete'"

    async def listed() -> list[WorkflowExecution]:
        return [found async for found in rota.temporal.list_workflows(query)]

    [workflow] = await eventually(listed)

    assert workflow.id.endswith(f"/run/{execution_id}")
    assert workflow.id.startswith("nightly-sync-")
    assert workflow.workflow_type == "ScheduleExecution"
    assert workflow.search_attributes["RotaTrigger"] == ["Manual"]
    handle = rota.temporal.get_workflow_handle(workflow.id)
    assert await (await handle.describe()).static_summary() == schedule["name"]
    scheduled = [
        event
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    [step] = scheduled
    assert b"Nothing much" in step.user_metadata.summary.data
