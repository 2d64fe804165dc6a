"""What steps print: stored in the catalogue while they run, read as text, followed."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.services.output import SIGN_OF_LIFE
from catalogue.engine import Catalogue
from contracts.execution import OUTPUT_TAIL_BYTES
from runtime.settings import Settings
from tests.integration.stack import Rota, Run
from tests.waiting import eventually
from worker import build_pool_worker

# What does not depend on the database is tested with one.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def executable(path: str, **fields: Any) -> dict[str, Any]:
    return {"stepType": "Executable", "executablePath": path, **fields}


def path_of(execution: dict[str, Any], number: int = 0) -> str:
    return f"/api/v1/schedule-executions/{execution['id']}/steps/{execution['steps'][number]['id']}/output"


async def output_of(rota: Rota, execution: dict[str, Any], number: int = 0, **query: Any) -> str:
    answer = await rota.http.get(path_of(execution, number), params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.text


class Followed:
    """What a follower has been sent so far."""

    def __init__(self) -> None:
        self.text = b""
        self.has_ended = False


@asynccontextmanager
async def following(rota: Rota, execution: dict[str, Any], **query: Any) -> AsyncIterator[Followed]:
    followed = Followed()

    async def read() -> None:
        async with rota.http.stream("GET", path_of(execution), params={"follow": "true", **query}) as answer:
            assert answer.status_code == 200
            async for part in answer.aiter_raw():
                followed.text += part
        followed.has_ended = True

    reading = asyncio.create_task(read())
    yield followed
    reading.cancel()
    await asyncio.wait({reading})


async def test_all_that_a_step_printed_is_read_as_text(rota: Rota, run_steps: Run) -> None:
    printer = rota.script("printer.sh", "#!/bin/sh\nprintf 'caf\\303\\251 \\377\\n'; seq 1 40000; echo end >&2\n")

    execution = await run_steps(executable(printer), executable("/bin/true", stepIndex=1))

    text = await output_of(rota, execution)
    assert text == "café \N{REPLACEMENT CHARACTER}\n" + "".join(f"{n}\n" for n in range(1, 40001)) + "end\n"
    assert execution["steps"][0]["outputTail"] == text.encode()[-OUTPUT_TAIL_BYTES:].decode()
    assert await output_of(rota, execution, 1) == ""


@on_sqlite
async def test_of_too_much_beginning_and_end_are_kept(rota: Rota, run_steps: Run) -> None:
    printer = rota.script("printer.sh", "#!/bin/sh\nseq -w 1 400000\n")

    execution = await run_steps(executable(printer))

    text = await output_of(rota, execution)
    head, left_out, tail = re.split(r"\n?\[Rota: ([0-9,]+) bytes are left out here\]\n", text)
    everything = "".join(f"{n:06}\n" for n in range(1, 400001))
    assert everything.startswith(head)
    assert everything.endswith(tail)
    assert len(head) == len(tail) == rota.settings.output_bytes // 2
    assert int(left_out.replace(",", "")) == len(everything) - rota.settings.output_bytes


@on_sqlite
async def test_attempts_stand_one_after_the_other(rota: Rota, run_steps: Run) -> None:
    flaky = rota.script("flaky.sh", "#!/bin/sh\necho x >> tries; seq 1 20000; test $(wc -l < tries) -ge 2\n")

    execution = await run_steps(executable(flaky, maxAttempts=3, workingDirectory=str(rota.root)))

    numbers = "".join(f"{n}\n" for n in range(1, 20001))
    assert await output_of(rota, execution) == f"[Rota: attempt 1]\n{numbers}[Rota: attempt 2]\n{numbers}"
    assert await output_of(rota, execution, attempt=1) == numbers
    missing = await rota.http.get(path_of(execution), params={"attempt": 3})
    assert missing.status_code == 404
    assert "no attempt 3; its last one is attempt 2" in missing.json()["message"]
    wrong = await rota.http.get(path_of(execution), params={"attempt": 0})
    assert wrong.status_code == 400


@on_sqlite
async def test_what_is_not_there_is_not_found(rota: Rota, run_steps: Run) -> None:
    execution = await run_steps(executable("/bin/true"))
    other = await run_steps(executable("/bin/true"))

    for path in (
        f"/api/v1/schedule-executions/{uuid.uuid4()}/steps/{execution['steps'][0]['id']}/output",
        f"/api/v1/schedule-executions/{execution['id']}/steps/{uuid.uuid4()}/output",
        f"/api/v1/schedule-executions/{execution['id']}/steps/{other['steps'][0]['id']}/output?follow=true",
    ):
        answer = await rota.http.get(path)
        assert answer.status_code == 404, path
        assert "not found" in answer.json()["message"]


async def test_a_running_step_is_followed_to_its_end(rota: Rota) -> None:
    go = rota.root / "go"
    slow = rota.script(
        "slow.sh", f"#!/bin/sh\necho first\nuntil test -e {go}; do sleep 0.05; done\necho last\nexit 3\n"
    )
    execution = await rota.execution(await rota.run(await rota.create(executable(slow))))

    async with following(rota, execution) as one, following(rota, execution, attempt=1) as other:
        await eventually(lambda: asyncio.sleep(0, one.text and other.text))
        assert one.text == b"first\n"
        assert await output_of(rota, execution) == "first\n"
        # One that goes leaves the others alone.
        async with following(rota, execution) as third:
            await eventually(lambda: asyncio.sleep(0, third.text))
        go.touch()
        await eventually(lambda: asyncio.sleep(0, one.has_ended and other.has_ended))

    assert one.text == other.text == b"first\nlast\n"
    # Followed late, it ends at once.
    assert await output_of(rota, execution, follow="true") == "first\nlast\n"


@on_sqlite
async def test_a_follower_hears_a_sign_of_life_while_nothing_is_printed(
    rota: Rota, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.services.feed._SILENCE_SECONDS", 0.1)
    execution = await rota.execution(await rota.run(await rota.create(executable("/bin/sleep", arguments="60"))))

    async with following(rota, execution) as followed:
        await eventually(lambda: asyncio.sleep(0, followed.text))
        await rota.http.post(f"/api/v1/schedule-executions/{execution['id']}/cancel")
        await eventually(lambda: asyncio.sleep(0, followed.has_ended))

    assert followed.text.strip(SIGN_OF_LIFE) == b""


@on_sqlite
@pytest.mark.parametrize("has_catalogue", [False, True])
async def test_a_pool_worker_stores_output_where_it_has_the_catalogue(
    rota: Rota, settings: Settings, catalogue: Catalogue, *, has_catalogue: bool
) -> None:
    go = rota.root / "go"
    slow = rota.script("slow.sh", f"#!/bin/sh\nseq 1 20000\nuntil test -e {go}; do sleep 0.05; done\necho last\n")
    numbers = "".join(f"{n}\n" for n in range(1, 20001))
    step = executable(slow, workerPool="apart")

    async with build_pool_worker(rota.temporal, "apart", settings, catalogue if has_catalogue else None):
        execution = await rota.execution(await rota.run(await rota.create(step)))
        await rota.until(execution["id"], lambda shown: shown["steps"][0]["progress"] is not None)
        async with following(rota, execution) as followed:
            await eventually(lambda: asyncio.sleep(0, followed.text))
            running = followed.text.decode()
            go.touch()
            await eventually(lambda: asyncio.sleep(0, followed.has_ended))
        ended = await rota.ended(execution["id"])

    text = await output_of(rota, ended)
    if has_catalogue:
        assert text == followed.text.decode() == numbers + "last\n"
        return
    first, left_out, rest = text.split("\n", 2)
    assert "has no access to the catalogue: only the end of the output is kept" in first
    assert re.fullmatch(r"\[Rota: [0-9,]+ bytes are left out here\]", left_out)
    assert (numbers + "last\n").endswith(rest)
    assert len(rest.encode()) == OUTPUT_TAIL_BYTES
    assert running == first + "\n"
    assert followed.text.decode() == text


@on_sqlite
async def test_a_reused_step_shows_what_it_had_printed(rota: Rota, run_steps: Run) -> None:
    flag = rota.root / "flag"
    printer = rota.script("printer.sh", "#!/bin/sh\nseq 1 20000\n")
    failing = rota.script("failing.sh", f"#!/bin/sh\ntest -e {flag}\n")
    failed = await run_steps(executable(printer), executable(failing, stepIndex=1))
    flag.touch()

    again = await rota.http.post(f"/api/v1/schedule-executions/{failed['id']}/retry")
    execution = await rota.ended(again.json()["executionId"])

    assert execution["status"] == "Complete"
    assert await output_of(rota, execution) == "".join(f"{n}\n" for n in range(1, 20001))
