"""Output without end, a catalogue that cannot be written, an API that stops while it is followed."""

import asyncio
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.faults.dev_process import DevProcess
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

MEGABYTE = 1024 * 1024


@pytest.fixture
async def dev(tmp_path: Path) -> AsyncIterator[DevProcess]:
    dev = DevProcess(tmp_path)
    await dev.start()
    yield dev
    await dev.stop()


async def run(dev: DevProcess, text: str, **fields: Any) -> str:
    """Starts a run of one step, a shell script; returns the execution's id."""
    path = dev.folder / "step.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    step = {"stepType": "Executable", "executablePath": path.name, **fields}
    schedule = await dev.call("POST", "/schedules", {"name": f"output {fields} {text}", "steps": [step]})
    return str((await dev.call("POST", f"/schedules/{schedule['id']}/run"))["executionId"])


async def output_path(dev: DevProcess, execution_id: str) -> str:
    execution = await dev.call("GET", f"/schedule-executions/{execution_id}")
    return f"/schedule-executions/{execution_id}/steps/{execution['steps'][0]['id']}/output"


def client_of(dev: DevProcess) -> httpx.AsyncClient:
    key = (dev.data_dir / "api-key").read_text().strip()
    url = f"http://127.0.0.1:{dev.ports[0]}/api/v1"
    return httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=30)


def peak_memory(process: psutil.Process) -> int:
    """Returns the most memory that a process has had resident since `forget_peak`."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) * 1024


def forget_peak(process: psutil.Process) -> None:
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from Linux's /proc")
async def test_a_step_that_prints_two_gigabytes_costs_the_worker_little_memory(dev: DevProcess) -> None:
    # The worker has run a step before: what that loads and keeps is no matter of the output.
    await dev.ended(await run(dev, "seq 100000"))
    worker = dev.child("worker")
    forget_peak(worker)
    before = peak_memory(worker)

    execution = await dev.ended(await run(dev, "yes 0123456789abcde | head -c 2147483648"))

    assert execution["status"] == "Complete"
    added = peak_memory(worker) - before
    assert added < 32 * MEGABYTE, f"{added / MEGABYTE:.1f} MB"
    async with client_of(dev) as http:
        text = (await http.get(await output_path(dev, execution["id"]))).text
    head, left_out, tail = re.split(r"\[Rota: ([0-9,]+) bytes are left out here\]\n", text)
    assert len(head) + int(left_out.replace(",", "")) + len(tail) == 2147483648
    assert {*head.split("\n"), *tail.split("\n")} == {"0123456789abcde", ""}


@pytest.fixture
def catalogue(dev: DevProcess) -> Iterator[sqlite3.Connection]:
    """The database, for those who harm it."""
    connection = sqlite3.connect(dev.data_dir / "rota.db", isolation_level=None)
    yield connection
    connection.close()


def numbers(first: int, last: int) -> str:
    return "".join(f"{n}\n" for n in range(first, last + 1))


async def test_a_catalogue_that_is_locked_fails_no_step_and_loses_nothing(
    dev: DevProcess, catalogue: sqlite3.Connection
) -> None:
    execution_id = await run(dev, "until test -e go; do sleep 0.05; done; seq 1 100000")
    path = await output_path(dev, execution_id)

    async def step() -> dict[str, Any]:
        shown: dict[str, Any] = (await dev.call("GET", f"/schedule-executions/{execution_id}"))["steps"][0]
        return shown

    async def has_worker() -> bool:
        return bool((await step())["host"])

    async def has_ended() -> bool:
        """Temporal knows of it, and the record not yet."""
        return bool((await step())["status"] == "Completed")

    await eventually(has_worker)
    catalogue.execute("BEGIN IMMEDIATE")
    (dev.folder / "go").touch()
    await eventually(has_ended)
    catalogue.execute("ROLLBACK")
    execution = await dev.ended(execution_id)

    assert execution["status"] == "Complete"
    async with client_of(dev) as http:

        async def is_whole() -> bool:
            return (await http.get(path)).text == numbers(1, 100000)

        assert await eventually(is_whole)


async def test_output_that_cannot_be_stored_is_told_and_fails_no_step(
    dev: DevProcess, catalogue: sqlite3.Connection
) -> None:
    execution_id = await run(dev, "seq 1 50000; until test -e go; do sleep 0.05; done; seq 50001 100000")
    path = await output_path(dev, execution_id)
    async with client_of(dev) as http:

        async def is_stored() -> bool:
            return (await http.get(path)).text == numbers(1, 50000)

        await eventually(is_stored)
        catalogue.execute(
            "CREATE TRIGGER full BEFORE INSERT ON step_output BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
        )
        (dev.folder / "go").touch()
        execution = await dev.ended(execution_id)
        text = (await http.get(path)).text

    assert execution["status"] == "Complete"
    note = re.match(r"\[Rota: The worker \S+ could not store the rest in the catalogue \(IntegrityError\)\.\]\n", text)
    assert note, text[:200]
    head, left_out, tail = re.split(r"\[Rota: ([0-9,]+) bytes are left out here\]\n", text[note.end() :])
    assert head == numbers(1, 50000)
    assert tail == execution["steps"][0]["outputTail"]
    assert numbers(50001, 100000).endswith(tail)
    assert int(left_out.replace(",", "")) == len(numbers(50001, 100000)) - len(tail)


async def test_an_api_that_stops_lets_its_followers_go_at_once(dev: DevProcess) -> None:
    execution_id = await run(dev, "echo first; sleep 60")
    path = await output_path(dev, execution_id)
    api = dev.child("api")
    followed = b""
    async with client_of(dev) as http, http.stream("GET", path, params={"follow": "true"}) as answer:
        async for part in answer.aiter_raw():
            followed += part
            if followed == b"first\n":
                api.terminate()

    assert followed == b"first\n[Rota: The API stops here; the step runs on.]\n"
    await asyncio.to_thread(api.wait, 10)

    async def goes_on() -> bool:
        try:
            return bool((await dev.call("GET", f"/schedule-executions/{execution_id}"))["status"] == "InProgress")
        except httpx.TransportError:
            return False

    await eventually(goes_on)
    await dev.call("POST", f"/schedule-executions/{execution_id}/cancel")
