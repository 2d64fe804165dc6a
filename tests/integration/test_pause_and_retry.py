"""Executions that are held between step groups, and executions that take up others where they had stopped."""

from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from tests.integration.stack import Rota
from tests.waiting import eventually


def executable(path: str, **fields: Any) -> dict[str, Any]:
    return {"stepType": "Executable", "executablePath": path} | fields


async def post(rota: Rota, execution_id: str, action: str) -> tuple[int, dict[str, Any]]:
    answer = await rota.http.post(f"/api/v1/schedule-executions/{execution_id}/{action}")
    return answer.status_code, answer.json()


def gate(rota: Rota, name: str) -> str:
    """Returns a program that runs until the test opens the gate of that name."""
    return rota.script(f"{name}.sh", f"#!/bin/sh\ntouch {name}.begun\nuntil test -e {name}.open; do sleep 0.05; done\n")


async def begun(rota: Rota, name: str) -> None:
    assert await eventually(lambda: _exists(rota, f"{name}.begun"))


async def _exists(rota: Rota, name: str) -> bool:
    return (rota.root / name).exists()


def statuses(execution: dict[str, Any]) -> list[str]:
    return [step["status"] for step in execution["steps"]]


async def test_a_paused_execution_holds_before_the_next_group_and_goes_on_when_resumed(rota: Rota) -> None:
    schedule = await rota.create(
        executable(gate(rota, "first"), workingDirectory=str(rota.root)), executable("/bin/true", stepIndex=1)
    )
    execution_id = await rota.run(schedule)
    await begun(rota, "first")

    # The step that runs is left to end: until then the execution is not held.
    status, execution = await post(rota, execution_id, "pause")
    assert (status, execution["status"]) == (202, "InProgress")
    (rota.root / "first.open").touch()
    held = await rota.until(execution_id, lambda execution: execution["status"] == "Paused")
    assert statuses(held) == ["Completed", "Waiting"]
    assert held["completedAt"] is None
    assert execution_id in [found["id"] for found in (await rota.http.get("/api/v1/schedule-executions/active")).json()]
    assert await post(rota, execution_id, "pause") == (200, {**execution, "status": "Paused"})

    status, execution = await post(rota, execution_id, "resume")
    assert status == 200
    assert execution["status"] != "Paused"
    ended = await rota.ended(execution_id)
    assert ended["status"] == "Complete"
    assert statuses(ended) == ["Completed", "Completed"]


async def test_a_pause_that_was_not_reached_is_taken_back_by_a_resume(rota: Rota) -> None:
    schedule = await rota.create(
        executable(gate(rota, "first"), workingDirectory=str(rota.root)), executable("/bin/true", stepIndex=1)
    )
    execution_id = await rota.run(schedule)
    await begun(rota, "first")
    await post(rota, execution_id, "pause")
    assert (await post(rota, execution_id, "resume"))[0] == 200
    (rota.root / "first.open").touch()

    assert (await rota.ended(execution_id))["status"] == "Complete"


async def test_a_paused_execution_can_be_cancelled(rota: Rota) -> None:
    schedule = await rota.create(
        executable(gate(rota, "first"), workingDirectory=str(rota.root)), executable("/bin/true", stepIndex=1)
    )
    execution_id = await rota.run(schedule)
    await begun(rota, "first")
    await post(rota, execution_id, "pause")
    (rota.root / "first.open").touch()
    await rota.until(execution_id, lambda execution: execution["status"] == "Paused")

    status, execution = await post(rota, execution_id, "cancel")

    assert (status, execution["status"]) == (200, "Cancelled")
    assert statuses(await rota.execution(execution_id)) == ["Completed", "Cancelled"]


async def test_an_execution_whose_last_group_runs_is_not_paused(rota: Rota) -> None:
    schedule = await rota.create(
        executable("/bin/true"), executable(gate(rota, "last"), workingDirectory=str(rota.root), stepIndex=1)
    )
    execution_id = await rota.run(schedule)
    await begun(rota, "last")

    status, error = await post(rota, execution_id, "pause")

    assert (status, error["code"]) == (409, "CONFLICT")
    assert "its last step group runs" in error["message"]
    (rota.root / "last.open").touch()
    assert (await rota.ended(execution_id))["status"] == "Complete"


@pytest.mark.parametrize("action", ["pause", "resume"])
async def test_what_has_ended_can_be_neither_paused_nor_resumed(rota: Rota, action: str) -> None:
    execution_id = await rota.run(await rota.create(executable("/bin/true")))
    await rota.ended(execution_id)

    status, error = await post(rota, execution_id, action)

    assert (status, error["message"]) == (400, f"Cannot {action} execution with status: Complete")


async def test_a_retry_reuses_the_groups_that_completed_and_runs_the_rest(rota: Rota) -> None:
    mended = rota.script("mended.sh", f"#!/bin/sh\necho looking\ntest -e {rota.root}/mended\n")
    count = rota.script("count.sh", f"#!/bin/sh\necho once >> {rota.root}/count\necho counted\n")
    schedule = await rota.create(
        executable(count, name="Count"),
        executable("/bin/false", name="May fail", continueOnFailure=True, executionMode="ParallelWithPrevious"),
        executable(mended, name="Breaks", stepIndex=1),
        executable("/bin/true", name="Beside", stepIndex=1, executionMode="ParallelWithPrevious"),
        executable("/bin/true", name="Last", stepIndex=2),
    )
    failed = await rota.ended(await rota.run(schedule))
    assert failed["status"] == "Failed"
    # A retry runs what the failed one ran, whatever became of the schedule since.
    await rota.http.put(f"/api/v1/schedules/{schedule['id']}", json={"steps": []})
    (rota.root / "mended").touch()

    status, started = await post(rota, failed["id"], "retry")

    assert status == 202
    assert "1 of 3 step groups are reused" in started["message"]
    ended = await rota.ended(started["executionId"])
    # Its first group holds a failure that was let pass.
    assert ended["status"] == "CompleteWithError"
    assert ended["retryOf"] == failed["id"]
    assert failed["retryOf"] is None
    assert statuses(ended) == ["Completed", "Failed", "Completed", "Completed", "Completed"]
    assert (rota.root / "count").read_text() == "once\n"
    counted, may_fail, *run = ended["steps"]
    note = f"Reused from execution {failed['id']}."
    assert counted["errorMessage"] == note
    assert counted["outputTail"] == "counted\n"
    assert counted["startedAt"] == failed["steps"][0]["startedAt"]
    assert may_fail["errorMessage"] == f"{note} {failed['steps'][1]['errorMessage']}"
    assert [step["errorMessage"] for step in run] == [None, None, None]
    assert not {step["id"] for step in ended["steps"]} & {step["id"] for step in failed["steps"]}
    assert ended["progress"]["currentStepNumber"] == 3


async def test_a_retry_of_a_retry_names_the_execution_in_which_a_step_ran(rota: Rota) -> None:
    schedule = await rota.create(
        executable("/bin/true"),
        executable("/bin/false", continueOnFailure=True, executionMode="ParallelWithPrevious"),
        executable(rota.script("mended.sh", f"#!/bin/sh\ntest -e {rota.root}/mended\n"), stepIndex=1),
    )
    first = await rota.ended(await rota.run(schedule))
    second = await rota.ended((await post(rota, first["id"], "retry"))[1]["executionId"])
    (rota.root / "mended").touch()

    third = await rota.ended((await post(rota, second["id"], "retry"))[1]["executionId"])

    assert (second["status"], third["status"]) == ("Failed", "CompleteWithError")
    assert third["retryOf"] == second["id"]
    for reused, ran in zip(third["steps"][:2], first["steps"][:2], strict=True):
        note = f"Reused from execution {first['id']}."
        assert reused["errorMessage"] == (f"{note} {ran['errorMessage']}" if ran["errorMessage"] else note)


async def test_what_a_retry_takes_further_is_not_retried_again(rota: Rota) -> None:
    mended = rota.script("mended.sh", f"#!/bin/sh\ntest -e {rota.root}/mended\n")
    schedule = await rota.create(
        executable(mended), executable(gate(rota, "held"), workingDirectory=str(rota.root), stepIndex=1)
    )
    first = await rota.ended(await rota.run(schedule))
    second = await rota.ended((await post(rota, first["id"], "retry"))[1]["executionId"])
    (rota.root / "mended").touch()

    # Taken up is what has come furthest: steps would run once more otherwise.
    status, error = await post(rota, first["id"], "retry")
    assert (status, error["code"]) == (409, "CONFLICT")
    assert error["message"].endswith(f"its retry {second['id']} has taken it up; retry that one")
    status, started = await post(rota, second["id"], "retry")
    assert status == 202
    await begun(rota, "held")
    for execution in (first, second):
        status, error = await post(rota, execution["id"], "retry")
        assert (status, error["code"]) == (409, "CONFLICT")
        assert error["message"].endswith(f"its retry {started['executionId']} has the status InProgress")
    await post(rota, started["executionId"], "cancel")
    status, started = await post(rota, started["executionId"], "retry")
    assert status == 202
    (rota.root / "held.open").touch()
    assert (await rota.ended(started["executionId"]))["status"] == "Complete"

    for execution in (first, second):
        status, error = await post(rota, execution["id"], "retry")
        assert (status, error["code"]) == (409, "CONFLICT")
        assert error["message"].endswith(f"its retry {started['executionId']} has the status Complete")


async def test_a_pause_that_comes_as_the_execution_ends_says_how_it_ended(
    rota: Rota, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await rota.create(
        executable(gate(rota, "first"), workingDirectory=str(rota.root)), executable("/bin/true", stepIndex=1)
    )
    execution_id = await rota.run(schedule)
    await begun(rota, "first")
    signal = WorkflowHandle.signal

    async def ended_first(handle: WorkflowHandle[Any, Any], *arguments: Any, **options: Any) -> None:
        (rota.root / "first.open").touch()
        await handle.result()
        await signal(handle, *arguments, **options)

    monkeypatch.setattr(WorkflowHandle, "signal", ended_first)

    status, error = await post(rota, execution_id, "pause")

    assert (status, error["message"]) == (400, "Cannot pause execution with status: Complete")


async def test_a_retry_of_a_cancelled_execution_begins_with_the_group_that_was_cut_off(rota: Rota) -> None:
    schedule = await rota.create(
        executable("/bin/true"),
        executable(gate(rota, "second"), workingDirectory=str(rota.root), stepIndex=1, continueOnFailure=True),
    )
    execution_id = await rota.run(schedule)
    await begun(rota, "second")
    await post(rota, execution_id, "cancel")
    (rota.root / "second.open").touch()

    _, started = await post(rota, execution_id, "retry")

    ended = await rota.ended(started["executionId"])
    assert ended["status"] == "Complete"
    assert [step["attempts"] for step in ended["steps"]] == [1, 1]
    assert [bool(step["errorMessage"]) for step in ended["steps"]] == [True, False]


async def test_only_what_failed_or_was_cancelled_can_be_retried(rota: Rota) -> None:
    execution_id = await rota.run(await rota.create(executable("/bin/true")))
    await rota.ended(execution_id)

    status, error = await post(rota, execution_id, "retry")

    assert (status, error["message"]) == (400, "Cannot retry execution with status: Complete")


async def test_an_execution_of_a_deleted_schedule_cannot_be_retried(rota: Rota) -> None:
    schedule = await rota.create(executable("/bin/false"))
    execution_id = await rota.run(schedule)
    await rota.ended(execution_id)
    await rota.http.delete(f"/api/v1/schedules/{schedule['id']}")

    status, error = await post(rota, execution_id, "retry")

    assert (status, error["message"]) == (400, "Cannot retry an execution whose schedule was deleted")
