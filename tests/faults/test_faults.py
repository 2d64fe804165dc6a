"""The faults of docs/reliability.md, each injected for real: what becomes of the steps, and what the record says."""

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.service import RPCError

from contracts.names import RECORD_PROGRESS, SCHEDULE_EXECUTION
from runtime.temporal import connect_to
from tests.faults.cluster import Cluster, gone, is_alive, running, running_on_postgres
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running(tmp_path) as cluster:
        yield cluster


async def test_a_killed_worker_fails_its_step_or_lets_another_try_it_again(cluster: Cluster) -> None:
    once = await cluster.run(cluster.gate("once"), cluster.gate("never", stepIndex=1))
    retried = await cluster.run(cluster.gate("again", maxAttempts=2))
    pids = [await cluster.until_runs("once"), await cluster.until_runs("again")]

    async def is_known() -> bool:
        """By its heartbeat: a worker that is lost before its first one is not named."""
        return (await cluster.execution(once))["steps"][0]["host"] is not None

    await eventually(is_known)
    await cluster.kill("worker")

    # Its processes go with it, before anybody has noticed.
    assert [await gone(pid) for pid in pids] == [True, True]
    await cluster.start_worker("second")
    await cluster.until_runs("again", 2)
    cluster.open("again")

    failed, complete = await cluster.ended(once), await cluster.ended(retried)
    assert [step["status"] for step in failed["steps"]] == ["Failed", "Cancelled"]
    assert "was lost" in failed["steps"][0]["errorMessage"]
    assert failed["steps"][0]["host"] in failed["steps"][0]["errorMessage"]
    assert complete["status"] == "Complete"
    assert complete["steps"][0]["attempts"] == 2
    assert (len(cluster.runs("once")), len(cluster.runs("again")), cluster.runs("never")) == (1, 2, [])


async def test_a_frozen_worker_is_given_up_and_ends_its_step_when_it_wakes(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("step"))
    pid = await cluster.until_runs("step")
    cluster.send("worker", signal.SIGSTOP)
    await cluster.start_worker("second")

    ended = await cluster.ended(execution_id)

    assert "was lost" in ended["steps"][0]["errorMessage"]
    assert is_alive(pid)
    cluster.send("worker", signal.SIGCONT)
    assert await gone(pid)
    # What it writes until its end changes nothing.
    await cluster.stop("worker")
    assert (await cluster.execution(execution_id))["steps"] == ended["steps"]


async def test_a_cancel_while_no_worker_is_there_ends_with_the_next_one(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("step"))
    pid = await cluster.until_runs("step")
    await cluster.kill("worker")

    answer = await cluster.ask("POST", f"/schedule-executions/{execution_id}/cancel")

    assert answer.status_code == 202
    assert await gone(pid)

    async def what_it_waits_for() -> str:
        waiting = await cluster.execution(execution_id)
        assert waiting["status"] == "InProgress"
        return waiting["errorMessage"] or ""

    assert (await eventually(what_it_waits_for)).endswith("is free, or the last one has just gone.")
    await cluster.start_worker()
    ended = await cluster.ended(execution_id)
    # The step itself was lost before the cancel could reach it.
    assert (ended["status"], ended["steps"][0]["status"]) == ("Cancelled", "Failed")
    assert "was lost" in ended["steps"][0]["errorMessage"]
    assert len(cluster.runs("step")) == 1


async def test_an_execution_waits_for_a_worker_and_can_be_cancelled_without_one(cluster: Cluster) -> None:
    await cluster.kill("worker")
    waiting, cancelled = await cluster.run(cluster.gate("waits")), await cluster.run(cluster.gate("cancelled"))

    answer = await cluster.ask("POST", f"/schedule-executions/{cancelled}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "Cancelled")
    assert (await cluster.execution(waiting))["status"] == "Queued"
    await cluster.start_worker()
    await cluster.until_runs("waits")
    cluster.open("waits")

    assert (await cluster.ended(waiting))["status"] == "Complete"
    assert cluster.runs("cancelled") == []


def supervisor_of(pid: int) -> psutil.Process:
    supervisor = psutil.Process(pid).parent()
    assert supervisor is not None
    return supervisor


async def test_a_killed_supervisor_fails_its_step_and_the_worker_ends_what_is_left(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("step"))
    pid = await cluster.until_runs("step")
    supervisor_of(pid).kill()

    ended = await cluster.ended(execution_id)

    assert ended["steps"][0]["status"] == "Failed"
    assert "its supervisor was killed" in ended["steps"][0]["errorMessage"]
    assert ended["steps"][0]["processesEnded"] >= 1
    assert not is_alive(pid)


async def test_what_a_killed_worker_and_supervisor_leave_is_ended_by_the_next_worker(cluster: Cluster) -> None:
    # Asked to end, it does not: a worker that another test starts right now would need a second to kill it.
    text = "trap '' TERM; echo $$ >> step.runs; while :; do sleep 0.05; done"
    execution_id = await cluster.run(cluster.script("step", text))
    pid = await cluster.until_runs("step")
    supervisor = supervisor_of(pid)
    # Stopped, it does not see its worker die.
    supervisor.suspend()
    await cluster.kill("worker")
    supervisor.kill()
    assert is_alive(pid)

    await cluster.start_worker()

    assert await gone(pid)
    ended = await cluster.ended(execution_id)
    assert "was lost" in ended["steps"][0]["errorMessage"]
    assert len(cluster.runs("step")) == 1


async def test_a_killed_launcher_takes_no_step_with_it(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("before"), cluster.gate("after", stepIndex=1))
    await cluster.until_runs("before")
    worker = psutil.Process(cluster.processes["worker"].pid)
    [launcher] = [child for child in worker.children() if "supervisor.py" in " ".join(child.cmdline())]
    launcher.kill()
    cluster.open("before")
    cluster.open("after")

    ended = await cluster.ended(execution_id)

    assert [step["status"] for step in ended["steps"]] == ["Completed", "Completed"]
    assert (len(cluster.runs("before")), len(cluster.runs("after"))) == (1, 1)


async def test_a_killed_api_takes_nothing_with_it(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("step"))
    await cluster.until_runs("step")
    await cluster.kill("api")
    cluster.open("step")
    await cluster.start_api()

    ended = await cluster.ended(execution_id)

    assert ended["status"] == "Complete"
    assert len(cluster.runs("step")) == 1


async def test_an_api_killed_between_record_and_start_leaves_a_record_that_is_closed(cluster: Cluster) -> None:
    schedule = await cluster.call("POST", "/schedules", {"name": "s", "steps": [cluster.gate("step")]})
    cluster.send("temporal", signal.SIGSTOP)
    asking = asyncio.create_task(cluster.ask("POST", f"/schedules/{schedule['id']}/run"))

    def recorded() -> bool:
        with sqlite3.connect(cluster.folder / "rota.db") as catalogue:
            return bool(catalogue.execute("select count(*) from execution").fetchone()[0])

    assert await eventually(lambda: asyncio.to_thread(recorded))
    await cluster.kill("api")
    await asyncio.gather(asking, return_exceptions=True)
    cluster.send("temporal", signal.SIGCONT)
    # Should the server have got the start after all, the step runs: both are right, and nothing stays open.
    cluster.open("step")
    await cluster.start_api()

    [execution] = (await cluster.call("GET", f"/schedule-executions?scheduleId={schedule['id']}"))["items"]
    ended = await cluster.ended(execution["id"])
    if cluster.runs("step"):
        assert ended["status"] == "Complete"
    else:
        assert ended["status"] == "Failed"
        assert "never started" in ended["errorMessage"]


async def test_a_killed_temporal_server_goes_on_where_it_was(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("first"), cluster.gate("second", stepIndex=1))
    await cluster.until_runs("first")
    await cluster.kill("temporal")
    cluster.open("first")
    cluster.open("second")
    await cluster.start_server()

    ended = await cluster.ended(execution_id)

    assert ended["status"] == "Complete"
    assert (len(cluster.runs("first")), len(cluster.runs("second"))) == (1, 1)


async def test_steps_are_given_up_where_temporal_is_away_for_longer_than_twenty_seconds(cluster: Cluster) -> None:
    once, again = await cluster.run(cluster.gate("once")), await cluster.run(cluster.gate("again", maxAttempts=2))
    unheard = await cluster.run(cluster.gate("unheard"))
    pids = [await cluster.until_runs(name) for name in ("once", "again", "unheard")]
    await cluster.kill("temporal")
    cluster.open("unheard")
    assert await gone(pids[2])
    # As long as Temporal waits for a word of a worker, and a little more.
    await asyncio.sleep(25)
    assert [is_alive(pid) for pid in pids[:2]] == [True, True]
    # A heartbeat may be faster than the server, which then goes on with the attempt. Not here.
    cluster.send("worker", signal.SIGSTOP)
    await cluster.start_server()
    assert await eventually(lambda: given_up(cluster, 3), seconds=60)
    cluster.send("worker", signal.SIGCONT)

    # The worker hears at once that its attempts count no more.
    assert [await gone(pid) for pid in pids[:2]] == [True, True]
    await cluster.until_runs("again", 2)
    cluster.open("again")
    failed, complete, lost = [await cluster.ended(execution) for execution in (once, again, unheard)]
    assert [execution["status"] for execution in (failed, complete, lost)] == ["Failed", "Complete", "Failed"]
    assert complete["steps"][0]["attempts"] == 2
    for execution in (failed, lost):
        assert "could not reach Temporal" in execution["steps"][0]["errorMessage"]
    assert [len(cluster.runs(name)) for name in ("once", "again", "unheard")] == [1, 2, 1]


async def given_up(cluster: Cluster, count: int) -> bool:
    """Whether the server has given up an attempt in so many executions."""
    with contextlib.suppress(RPCError, RuntimeError):  # it is not there yet
        client = await connect_to(f"127.0.0.1:{cluster.ports[0]}")
        running = [found async for found in client.list_workflows(f"WorkflowType = '{SCHEDULE_EXECUTION}'")]
        histories = [await client.get_workflow_handle(found.id).fetch_history() for found in running]
        timed_out = EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT
        return count == sum(any(event.event_type == timed_out for event in found.events) for found in histories)
    return False


async def test_without_temporal_a_run_is_refused_and_what_needs_only_the_catalogue_answers(cluster: Cluster) -> None:
    schedule = await cluster.call("POST", "/schedules", {"name": "s", "steps": [cluster.gate("step")]})
    cron = {"name": "cron", "triggerType": "Cron", "cronExpression": "0 3 * * *", "isEnabled": True}
    await cluster.kill("temporal")

    refused = await cluster.ask("POST", f"/schedules/{schedule['id']}/run")
    assert (refused.status_code, refused.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert "Retry-After" in refused.headers
    assert (await cluster.ask("POST", "/schedules", cron)).status_code == 503
    assert [found["name"] for found in (await cluster.call("GET", "/schedules"))["items"]] == ["s"]
    assert (await cluster.call("GET", "/schedule-executions"))["totalCount"] == 0
    assert (await cluster.ask("GET", "/health/ready")).status_code == 503
    assert (await cluster.ask("GET", "/health/live")).status_code == 200


async def test_a_worker_without_temporal_says_so_in_few_lines(cluster: Cluster) -> None:
    await cluster.ended(await cluster.run(cluster.script("step", "true")))
    await cluster.kill("temporal")

    def lines(text: str) -> list[str]:
        return cluster.logged("worker", text)

    # What keeps the upkeep says so every ROTA_UPKEEP_SECONDS, which is one here; meanwhile every poller tries again.
    await eventually(
        lambda: asyncio.sleep(0, lines("retried") and len(lines("the upkeep cannot be looked after")) >= 8), seconds=120
    )
    said_at = [datetime.fromisoformat(line.split()[0]) for line in lines("retried")]
    assert all((after - before).total_seconds() >= 59 for before, after in pairwise(said_at))
    assert len(lines(" WARNING ")) + len(lines(" INFO ")) == len(lines(""))


async def test_a_cancel_without_temporal_is_refused_and_changes_nothing(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("step"))
    pid = await cluster.until_runs("step")
    await cluster.kill("temporal")

    refused = await cluster.ask("POST", f"/schedule-executions/{execution_id}/cancel")

    assert refused.status_code == 503
    assert is_alive(pid)
    await cluster.start_server()
    cluster.open("step")
    assert (await cluster.ended(execution_id))["status"] == "Complete"


async def test_a_temporal_server_that_lost_its_data_closes_what_was_running(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("step"))
    pid = await cluster.until_runs("step")
    await cluster.kill("temporal")
    for path in cluster.folder.glob("temporal.db*"):
        path.unlink()
    await cluster.start_server()

    ended = await cluster.ended(execution_id)

    assert ended["status"] == "Failed"
    assert "knows it no more" in ended["errorMessage"]
    assert await gone(pid)


async def test_postgresql_killed_in_mid_run_loses_nothing_and_runs_nothing_twice(tmp_path: Path) -> None:
    async with running_on_postgres(tmp_path) as (cluster, postgres):
        execution_id = await cluster.run(cluster.gate("first"), cluster.gate("second", stepIndex=1))
        await cluster.until_runs("first")
        await asyncio.to_thread(postgres.kill)

        # The step ends while nobody can write it down, and nothing is answered that could not be kept.
        cluster.open("first")
        assert (await cluster.ask("GET", "/schedules")).status_code == 503
        assert (await cluster.ask("POST", "/schedules", {"name": "s"})).status_code == 503
        assert (await cluster.ask("GET", "/health/ready")).status_code == 503
        assert cluster.runs("second") == []
        await asyncio.to_thread(postgres.start)
        await cluster.until_runs("second")
        cluster.open("second")

        ended = await cluster.ended(execution_id)
        assert ended["status"] == "Complete"
        assert [step["outputTail"] for step in ended["steps"]] == ["first done\n", "second done\n"]
        assert (len(cluster.runs("first")), len(cluster.runs("second"))) == (1, 1)
        again = await cluster.run(cluster.script("again", "echo hello"))
        assert (await cluster.ended(again))["status"] == "Complete"


async def test_a_database_that_refuses_to_write_is_waited_for(tmp_path: Path) -> None:
    async with running_on_postgres(tmp_path) as (cluster, postgres):
        execution_id = await cluster.run(cluster.gate("first"), cluster.gate("second", stepIndex=1))
        await cluster.until_runs("first")
        await asyncio.to_thread(postgres.refuse_writes, refuse=True)

        async def is_refused() -> bool:
            return (await cluster.ask("POST", "/schedules", {"name": os.urandom(6).hex()})).status_code == 503

        assert await eventually(is_refused)
        cluster.open("first")
        cluster.open("second")
        await until_a_write_has_failed(cluster)
        assert [step["status"] for step in (await cluster.execution(execution_id))["steps"]] == ["Completed", "Waiting"]
        await asyncio.to_thread(postgres.refuse_writes, refuse=False)

        ended = await cluster.ended(execution_id)
        assert ended["status"] == "Complete"
        assert (len(cluster.runs("first")), len(cluster.runs("second"))) == (1, 1)


async def until_a_write_has_failed(cluster: Cluster) -> None:
    """Waits until a worker has given up a try to write a record, which it makes again."""

    async def failed() -> bool:
        return any(RECORD_PROGRESS in line for line in cluster.logged("worker", "as failed"))

    await eventually(failed, seconds=60)


async def test_a_locked_sqlite_file_is_waited_for(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("first"), cluster.gate("second", stepIndex=1))
    await cluster.until_runs("first")
    other = sqlite3.connect(cluster.folder / "rota.db", isolation_level=None)
    other.execute("begin immediate")
    cluster.open("first")
    cluster.open("second")
    await until_a_write_has_failed(cluster)
    assert (await cluster.execution(execution_id))["status"] == "InProgress"
    assert cluster.runs("second") == []
    other.execute("rollback")
    other.close()

    ended = await cluster.ended(execution_id)

    assert ended["status"] == "Complete"
    assert (len(cluster.runs("first")), len(cluster.runs("second"))) == (1, 1)


async def test_a_full_disk_under_the_catalogue_is_waited_for(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("first"), cluster.gate("second", stepIndex=1))
    pid = await cluster.until_runs("first")
    worker = psutil.Process(cluster.processes["worker"].pid)
    # To the worker every file is full from here, its log included: writes fail as on a disk without room.
    limit = worker.rlimit(psutil.RLIMIT_FSIZE)
    worker.rlimit(psutil.RLIMIT_FSIZE, (0, limit[1]))
    cluster.open("first")
    cluster.open("second")

    assert await gone(pid)
    # Long enough for several tries to write the record: that none succeeds is what is to be seen.
    await asyncio.sleep(3)
    assert [step["status"] for step in (await cluster.execution(execution_id))["steps"]] == ["Completed", "Waiting"]
    assert cluster.runs("second") == []
    worker.rlimit(psutil.RLIMIT_FSIZE, limit)

    ended = await cluster.ended(execution_id)
    assert ended["status"] == "Complete"
    assert (len(cluster.runs("first")), len(cluster.runs("second"))) == (1, 1)


async def test_a_step_that_meets_a_full_disk_fails_with_its_own_words(cluster: Cluster) -> None:
    step = cluster.script("writes", "ulimit -f 1\ntrap '' XFSZ\ndd if=/dev/zero of=big bs=4096 count=100")

    ended = await cluster.ended(await cluster.run(step))

    assert ended["status"] == "Failed"
    assert "File too large" in ended["steps"][0]["outputTail"]


async def test_a_worker_with_another_secret_key_says_so(cluster: Cluster) -> None:
    await cluster.kill("worker")
    await cluster.start_worker("other", ROTA_SECRET_KEY="not the key of the fault tests")
    (cluster.folder / "q.sql").write_text("select 1;\n")
    step = {
        "stepType": "SqlScript",
        "sqlConnectionString": f"sqlite:///{cluster.folder}/x.db",
        "sqlScriptPath": "q.sql",
    }

    ended = await cluster.ended(await cluster.run(step))

    assert ended["status"] == "Failed"
    assert "ROTA_SECRET_KEY" in ended["steps"][0]["errorMessage"]


async def test_a_pool_worker_that_is_killed_is_like_any_other(cluster: Cluster) -> None:
    await cluster.start_worker("pool", "--pool", "far")
    execution_id = await cluster.run(cluster.gate("step", workerPool="far", maxAttempts=2))
    pid = await cluster.until_runs("step")
    await cluster.kill("pool")
    assert await gone(pid)
    await cluster.start_worker("pool", "--pool", "far")
    await cluster.until_runs("step", 2)
    cluster.open("step")

    ended = await cluster.ended(execution_id)

    assert (ended["status"], ended["steps"][0]["attempts"]) == ("Complete", 2)


async def test_a_pause_outlasts_server_and_worker(cluster: Cluster) -> None:
    execution_id = await cluster.run(cluster.gate("first"), cluster.gate("second", stepIndex=1))
    await cluster.until_runs("first")
    await cluster.call("POST", f"/schedule-executions/{execution_id}/pause")
    cluster.open("first")
    cluster.open("second")

    async def paused() -> bool:
        return bool((await cluster.execution(execution_id))["status"] == "Paused")

    assert await eventually(paused)
    await cluster.kill("worker")
    await cluster.kill("temporal")
    await cluster.start_server()
    await cluster.start_worker()
    assert (await cluster.execution(execution_id))["status"] == "Paused"
    await eventually(lambda: _resumed(cluster, execution_id), seconds=60)

    ended = await cluster.ended(execution_id)
    assert ended["status"] == "Complete"
    assert (len(cluster.runs("first")), len(cluster.runs("second"))) == (1, 1)


async def _resumed(cluster: Cluster, execution_id: str) -> bool:
    return (await cluster.ask("POST", f"/schedule-executions/{execution_id}/resume")).is_success
