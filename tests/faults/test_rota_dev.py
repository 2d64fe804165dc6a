"""`rota dev` killed, stopped and started again."""

import asyncio
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.dev_process import DevProcess
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.fixture
async def dev(tmp_path: Path) -> AsyncIterator[DevProcess]:
    dev = DevProcess(tmp_path)
    await dev.start()
    yield dev
    await dev.stop()


def script(folder: Path, name: str, text: str) -> dict[str, Any]:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"stepType": "Executable", "executablePath": name, "name": name}


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: one that ended may stay listed until its new parent, the system's first process, asks for it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_killed_in_mid_run_it_goes_on_by_itself(dev: DevProcess, tmp_path: Path) -> None:
    first = script(tmp_path, "first", "echo x >> first.runs")
    # Waits only in its first attempt, which the kill interrupts.
    again = script(tmp_path, "again", "echo x >> again.runs\ntest $(wc -l < again.runs) -ge 2 || sleep 60")
    once = script(tmp_path, "once", "echo x >> once.runs\nsleep 60")
    last = script(tmp_path, "last", "echo x >> last.runs")
    retried = await dev.call(
        "POST",
        "/schedules",
        {"name": "retried", "steps": [first, again | {"stepIndex": 1, "maxAttempts": 2}, last | {"stepIndex": 2}]},
    )
    single = await dev.call("POST", "/schedules", {"name": "single", "steps": [once, last | {"stepIndex": 1}]})
    going_on = (await dev.call("POST", f"/schedules/{retried['id']}/run"))["executionId"]
    failing = (await dev.call("POST", f"/schedules/{single['id']}/run"))["executionId"]

    async def both_in_mid_run() -> bool:
        # By their heartbeats: a worker that is lost before its first one is not named.
        hosts = [
            step["host"]
            for execution_id, index in ((going_on, 1), (failing, 0))
            for step in [(await dev.call("GET", f"/schedule-executions/{execution_id}"))["steps"][index]]
        ]
        return all(hosts) and (tmp_path / "again.runs").exists() and (tmp_path / "once.runs").exists()

    await eventually(both_in_mid_run)
    await dev.kill()
    await dev.start()

    execution = await dev.ended(going_on)
    assert execution["status"] == "Complete", execution
    assert [step["status"] for step in execution["steps"]] == ["Completed"] * 3
    assert execution["steps"][1]["attempts"] == 2
    lost, done = execution["steps"][1]["attemptHistory"]
    assert (lost["number"], lost["isCounted"], lost["status"]) == (1, True, "Failed")
    assert "was lost" in lost["errorMessage"]
    assert lost["host"]
    assert lost["startedAt"] < lost["completedAt"] < done["startedAt"]
    assert done["status"] == "Completed"
    failed = await dev.ended(failing)
    assert failed["status"] == "Failed"
    interrupted, unreached = failed["steps"]
    assert interrupted["status"] == "Failed"
    assert "was lost" in interrupted["errorMessage"]
    assert interrupted["host"] in interrupted["errorMessage"]
    assert unreached["status"] == "Cancelled"
    runs = {name: (tmp_path / f"{name}.runs").read_text().count("x") for name in ("first", "again", "once", "last")}
    assert runs == {"first": 1, "again": 2, "once": 1, "last": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_ends_every_process_and_the_state_survives(
    dev: DevProcess, tmp_path: Path, number: signal.Signals
) -> None:
    quick = script(tmp_path, "quick", "touch quick.begun; sleep 3; echo done >> quick.runs")
    schedule = await dev.call("POST", "/schedules", {"name": "quick", "steps": [quick]})
    execution_id = (await dev.call("POST", f"/schedules/{schedule['id']}/run"))["executionId"]
    await eventually(lambda: asyncio.sleep(0, (tmp_path / "quick.begun").exists()))
    assert dev.process is not None
    # The processes of the step are among them.
    everything = psutil.Process(dev.process.pid).children(recursive=True)
    assert len(everything) > 3
    code = await dev.stop(number)

    assert code == 0
    assert not [process for process in everything if is_alive(process)]
    assert (tmp_path / "quick.runs").read_text() == "done\n"
    key = dev.data_dir / "api-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_text()
    await dev.start()
    assert key.read_text() == before
    execution = await dev.ended(execution_id)
    assert execution["status"] == "Complete"


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not end a child when its parent dies")
async def test_a_second_ctrl_c_waits_for_no_step(tmp_path: Path) -> None:
    dev = DevProcess(tmp_path, environment={"ROTA_DRAIN_SECONDS": "3600"})
    await dev.start()
    endless = script(tmp_path, "endless", "trap '' TERM; touch endless.begun; while :; do sleep 1; done")
    schedule = await dev.call("POST", "/schedules", {"name": "endless", "steps": [endless]})
    await dev.call("POST", f"/schedules/{schedule['id']}/run")
    await eventually(lambda: asyncio.sleep(0, (tmp_path / "endless.begun").exists()))
    assert dev.process is not None
    everything = psutil.Process(dev.process.pid).children(recursive=True)
    assert len(everything) > 3
    dev.process.send_signal(signal.SIGINT)
    await eventually(lambda: asyncio.sleep(0, "worker shutdown" in (tmp_path / "dev.log").read_text()))

    code = await dev.stop(signal.SIGINT)

    assert code == 130
    # A step's own processes get the time between being asked to end and being killed.
    await eventually(lambda: asyncio.sleep(0, not [process for process in everything if is_alive(process)]))


async def test_a_cron_schedule_fires_by_itself(dev: DevProcess, tmp_path: Path) -> None:
    quick = script(tmp_path, "quick", "echo fired")
    schedule = await dev.call(
        "POST",
        "/schedules",
        {"name": "minutely", "triggerType": "Cron", "cronExpression": "* * * * *", "isEnabled": True, "steps": [quick]},
    )

    async def fired() -> list[dict[str, Any]]:
        listed = await dev.call("GET", f"/schedule-executions?scheduleId={schedule['id']}")
        return [execution for execution in listed["items"] if execution["completedAt"]]

    # The next minute may have fired in between: the newest comes first.
    execution = (await eventually(fired, seconds=100))[-1]
    assert execution["status"] == "Complete"
    assert (execution["initiatedByType"], execution["initiatedByName"]) == ("System", "Scheduler")
    again = await dev.call("GET", f"/schedules/{schedule['id']}")
    assert again["lastRunTime"] >= execution["queuedAt"]
    assert again["nextRunTime"] > execution["queuedAt"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_during_the_start_is_heeded(tmp_path: Path, number: signal.Signals) -> None:
    # A database that takes connections and never says a word: the start would not end by itself.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x"
        dev = DevProcess(tmp_path, environment={"ROTA_DATABASE_URL": url})
        starting = asyncio.create_task(dev.start())

        async def children() -> list[psutil.Process]:
            found = psutil.Process(dev.process.pid).children(recursive=True) if dev.process else []
            return found if len(found) == 2 else []

        everything = await eventually(children)
        starting.cancel()
        code = await dev.stop(number)

    assert code == 0
    assert not [process for process in everything if is_alive(process)]
    assert "Traceback" not in (tmp_path / "dev.log").read_text()


async def test_a_process_that_ends_at_its_start_ends_the_start(tmp_path: Path) -> None:
    dev = DevProcess(tmp_path)
    dev.data_dir.mkdir()
    (dev.data_dir / "temporal.db").write_text("no database, and longer than the header of one would have to be\n" * 20)
    with pytest.raises(
        AssertionError, match=r"rota: the Temporal server ended with code 1 at its start: see .*temporal"
    ):
        await dev.start()
    assert dev.process is not None
    assert dev.process.returncode == 1


async def test_a_database_that_is_not_supported_is_one_line(tmp_path: Path) -> None:
    dev = DevProcess(tmp_path, environment={"ROTA_DATABASE_URL": "mysql://u:swordfish@h/x"})
    with pytest.raises(AssertionError):
        await dev.start()
    assert dev.process is not None
    assert dev.process.returncode == 2
    assert (tmp_path / "dev.log").read_text() == (
        "rota: ROTA_DATABASE_URL: mysql is not supported; use sqlite or postgresql\n"
    )


async def test_a_second_one_on_the_same_folder_is_refused(dev: DevProcess) -> None:
    second = DevProcess(dev.folder)
    with pytest.raises(AssertionError, match="another `rota dev` uses"):
        await second.start()
    assert second.process is not None
    assert second.process.returncode == 2
