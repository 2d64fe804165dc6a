"""`python -m tests.replay.record`: runs every scenario and writes the histories that are not there yet.

A history that is committed is never written again: it is what ran in the past, and must go on replaying. After a
change that adds commands (behind `workflow.patched`), add a scenario or delete nothing and give the new one a new name.
A scenario whose workflow continues as new has a history for each run: `name`, `name-2`.
"""

import asyncio
import re
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from contracts.execution import Carried, ExecutionResult
from contracts.names import KEEP_EXECUTIONS, KEEP_RETENTION, KEEP_TRIGGERS, PAUSE, PROCEED, RESUME
from contracts.upkeep import ExecutionsKept, RetentionKept, TriggersKept
from runtime.embedded import find_temporal
from runtime.temporal import data_converter, register_search_attributes
from tests.waiting import eventually
from tests.workflow.doubles import Record, Steps, plan, started, step, strict_runner
from workflows.schedule_execution import ScheduleExecution
from workflows.upkeep import Upkeep

_STACK_TRACE: Final = re.compile(r'"stackTrace": "(?:[^"\\]|\\.)*"')

HISTORIES: Final = Path(__file__).parent / "histories"

# A history counts as long from here: beyond all scenarios but the one that is to continue as new.
_LONG_HISTORY_EVENTS: Final = 120

Handle = WorkflowHandle[ScheduleExecution, ExecutionResult]
Act = Callable[[Handle, Record, Steps], Awaitable[None]]
Run = Callable[[Client], Awaitable[WorkflowHandle[Any, Any]]]
"""Runs a scenario to its end."""


async def _wait(_: Handle, __: Record, ___: Steps) -> None:
    return


async def _cancel(handle: Handle, _: Record, steps: Steps) -> None:
    await steps.hanging.wait()
    await handle.cancel()


async def _cancel_between_attempts(handle: Handle, record: Record, _: Steps) -> None:
    await eventually(lambda: asyncio.sleep(0, record.attempts))
    await handle.cancel()


async def _tell_to_proceed(handle: Handle, record: Record, _: Steps) -> None:
    await record.asked.wait()
    record.held_back = False
    await handle.signal(PROCEED)


async def _pause_and_resume(handle: Handle, record: Record, _: Steps) -> None:
    await handle.signal(PAUSE)
    await record.held.wait()
    await handle.signal(RESUME)


async def _say_how_long_to_hold_back(_: Handle, record: Record, __: Steps) -> None:
    await record.asked.wait()
    record.hold_back_seconds = 0.3


def _execution(make_record: Callable[[], Record], act: Act = _wait, carried: Carried | None = None) -> Run:
    async def run(client: Client) -> Handle:
        record, steps = make_record(), Steps()
        async with started(client, f"record-{uuid.uuid4()}", record, steps, carried) as handle:
            await act(handle, record, steps)
            try:
                await handle.result()
            except WorkflowFailureError:
                sys.stderr.write("ended without success, as it should: ")
        return handle

    return run


@activity.defn(name=KEEP_EXECUTIONS)
async def _keep_executions() -> ExecutionsKept:
    return ExecutionsKept(checked=2, closed=1)


@activity.defn(name=KEEP_RETENTION)
async def _keep_retention() -> RetentionKept:
    return RetentionKept(outputs_removed=3, executions_deleted=1)


@activity.defn(name=KEEP_TRIGGERS)
async def _keep_triggers() -> TriggersKept:
    return TriggersKept(checked=3, repaired=1)


async def _upkeep(client: Client) -> WorkflowHandle[Any, Any]:
    task_queue = f"record-{uuid.uuid4()}"
    async with Worker(
        client,
        task_queue=task_queue,
        workflows=[Upkeep],
        activities=[_keep_executions, _keep_triggers, _keep_retention],
        workflow_runner=strict_runner(),
    ):
        handle = await client.start_workflow(Upkeep.run, id=task_queue, task_queue=task_queue)
        await handle.result()
        return handle


_Silent = partial(Record, hold_back_seconds=None)

SCENARIOS: Final[dict[str, Run]] = {
    "success": _execution(lambda: Record(plan(step("a", 0), step("b", 1), step("c", 2)))),
    "parallel": _execution(
        lambda: Record(
            plan(step("a", 0), *(step(f"b{n}", 1, config={"seconds": n / 20}) for n in range(4)), step("c", 2))
        ),
    ),
    "failure": _execution(lambda: Record(plan(step("a", 0), step("bad", 1, does="fail"), step("never", 2)))),
    "continued-after-failure": _execution(
        lambda: Record(plan(step("bad", 0, does="fail", continue_on_failure=True), step("next", 1))),
    ),
    "retried": _execution(lambda: Record(plan(step("flaky", 0, does="flaky", max_attempts=3)))),
    "attempts-one-by-one": _execution(lambda: Record(plan(step("flaky", 0, does="flaky", max_attempts=3)))),
    "cancelled-between-attempts": _execution(
        lambda: Record(plan(step("bad", 0, does="fail", max_attempts=3), step("never", 1))),
        _cancel_between_attempts,
    ),
    "restarted-after-a-stop": _execution(lambda: Record(plan(step("several", 0, does="stopped", max_attempts=2)))),
    "resumed-after-a-stop": _execution(
        lambda: Record(plan(step("external", 0, config={"does": "stopped", "resumable": True}))),
    ),
    "cancelled": _execution(
        lambda: Record(plan(step("a", 0), step("hanging", 1, does="hang"), step("never", 2))),
        _cancel,
    ),
    "skipped": _execution(lambda: Record(plan(step("a", 0)), decision="skip")),
    "sliced-plan": _execution(lambda: Record(plan(*(step(f"s{n}", n // 3) for n in range(12))), slice_size=4)),
    "held-back": _execution(lambda: Record(plan(step("a", 0)), held_back=True), _tell_to_proceed),
    "continued-as-new": _execution(lambda: Record(plan(*(step(f"s{n}", n) for n in range(24))))),
    "paused": _execution(lambda: Record(plan(step("a", 0, config={"seconds": 0.3}), step("b", 1))), _pause_and_resume),
    "taken-up": _execution(
        lambda: Record(plan(step("a", 0), step("b", 1), step("c", 2))),
        carried=Carried(position=1, group=0, total_steps=3, total_groups=3, had_failures=True),
    ),
    "pool-without-workers": _execution(
        lambda: Record(plan(step("a", 0, worker_pool="nobody", schedule_to_start_seconds=1))),
    ),
    "writes-held-back": _execution(
        lambda: _Silent(
            plan(*(step(f"s{n}", n) for n in range(6)), step("slow", 6, config={"seconds": 2}), step("z", 7))
        )
    ),
    "writes-held-back-parallel": _execution(
        lambda: _Silent(plan(step("a", 0), *(step(f"b{n}", 1, config={"seconds": n / 3}) for n in range(6)))),
    ),
    "writes-held-back-retried": _execution(
        lambda: _Silent(plan(step("a", 0), step("flaky", 1, does="flaky", max_attempts=3), step("b", 2))),
    ),
    "writes-held-back-cancelled": _execution(
        lambda: _Silent(plan(step("a", 0), step("b", 1), step("hanging", 2, does="hang"), step("never", 3))),
        _cancel,
    ),
    "writes-held-back-paused": _execution(
        lambda: _Silent(plan(step("a", 0, config={"seconds": 0.3}), step("b", 1))), _pause_and_resume
    ),
    "writes-held-back-continued-as-new": _execution(lambda: _Silent(plan(*(step(f"s{n}", n) for n in range(30))))),
    "held-back-as-the-worker-says": _execution(
        lambda: Record(
            plan(*(step(f"s{n}", n) for n in range(6)), step("slow", 6, config={"seconds": 2}), step("z", 7)),
            hold_back_seconds=0.4,
        )
    ),
    "held-back-as-a-later-worker-says": _execution(
        lambda: _Silent(
            plan(*(step(f"s{n}", n) for n in range(6)), step("slow", 6, config={"seconds": 2}), step("z", 7))
        ),
        _say_how_long_to_hold_back,
    ),
    "held-back-to-the-end": _execution(
        lambda: Record(plan(*(step(f"s{n}", n) for n in range(4))), hold_back_seconds=3600)
    ),
    # From here on payloads leave out what is None.
    "none-left-out": _execution(
        lambda: Record(
            plan(*(step(f"s{n}", n) for n in range(4)), step("flaky", 4, does="flaky", max_attempts=3), step("z", 5)),
            hold_back_seconds=0.4,
        )
    ),
    "none-left-out-continued-as-new": _execution(lambda: Record(plan(*(step(f"s{n}", n) for n in range(24))))),
    "upkeep": _upkeep,
    "upkeep-with-retention": _upkeep,
}


async def _histories(client: Client, handle: WorkflowHandle[Any, Any]) -> AsyncIterator[WorkflowHistory]:
    """Yields the history of a workflow's first run, and of those in which it continued as new."""
    run_id = handle.first_execution_run_id
    while run_id:
        history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        yield history
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id


async def _write(client: Client, name: str) -> None:
    handle = await SCENARIOS[name](client)
    number = 0
    async for history in _histories(client, handle):
        number += 1
        path = HISTORIES / (f"{name}.json" if number == 1 else f"{name}-{number}.json")
        # Traces hold the paths of the machine that recorded them, and no replay reads them.
        path.write_text(_STACK_TRACE.sub('"stackTrace": ""', history.to_json()) + "\n")
        sys.stderr.write(f"{path.stem}: {len(history.events)} events\n")


async def _main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    missing = [name for name in SCENARIOS if not (HISTORIES / f"{name}.json").exists()]
    if not missing:
        return
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(find_temporal()),
        dev_server_extra_args=[
            "--dynamic-config-value",
            f"limit.historyCount.suggestContinueAsNew={_LONG_HISTORY_EVENTS}",
        ],
        data_converter=data_converter,
    ) as environment:
        await register_search_attributes(environment.client)
        for name in missing:
            await _write(environment.client, name)


if __name__ == "__main__":
    asyncio.run(_main())
