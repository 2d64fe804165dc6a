"""`python -m tests.replay.record`: runs every scenario and writes the histories that are not there yet.

A history that is committed is never written again: it is what ran in the past, and must go on replaying. After a
change that adds commands (behind `workflow.patched`), add a scenario or delete nothing and give the new one a new name.
"""

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from contracts.execution import ExecutionResult
from runtime.embedded import find_temporal
from runtime.temporal import data_converter, register_search_attributes
from tests.workflow.doubles import Record, Steps, plan, started, step
from workflows.schedule_execution import ScheduleExecution

HISTORIES: Final = Path(__file__).parent / "histories"

Handle = WorkflowHandle[ScheduleExecution, ExecutionResult]
Act = Callable[[Handle, Steps], Awaitable[None]]


async def _wait(_: Handle, __: Steps) -> None:
    return


async def _cancel(handle: Handle, steps: Steps) -> None:
    await steps.hanging.wait()
    await handle.cancel()


SCENARIOS: Final[dict[str, tuple[Callable[[], Record], Act]]] = {
    "success": (lambda: Record(plan(step("a", 0), step("b", 1), step("c", 2))), _wait),
    "parallel": (
        lambda: Record(
            plan(step("a", 0), *(step(f"b{n}", 1, config={"seconds": n / 20}) for n in range(4)), step("c", 2))
        ),
        _wait,
    ),
    "failure": (lambda: Record(plan(step("a", 0), step("bad", 1, does="fail"), step("never", 2))), _wait),
    "continued-after-failure": (
        lambda: Record(plan(step("bad", 0, does="fail", continue_on_failure=True), step("next", 1))),
        _wait,
    ),
    "retried": (lambda: Record(plan(step("flaky", 0, does="flaky", max_attempts=3))), _wait),
    "cancelled": (lambda: Record(plan(step("a", 0), step("hanging", 1, does="hang"), step("never", 2))), _cancel),
    "skipped": (lambda: Record(plan(step("a", 0)), decision="skip"), _wait),
    "sliced-plan": (lambda: Record(plan(*(step(f"s{n}", n // 3) for n in range(12))), slice_size=4), _wait),
}


async def _write(environment: WorkflowEnvironment, name: str) -> None:
    make_record, act = SCENARIOS[name]
    steps = Steps()
    async with started(environment.client, f"record-{uuid.uuid4()}", make_record(), steps) as handle:
        await act(handle, steps)
        try:
            await handle.result()
        except WorkflowFailureError:
            sys.stderr.write(f"{name}: ended without success, as it should\n")
        history = await handle.fetch_history()
    (HISTORIES / f"{name}.json").write_text(history.to_json() + "\n")
    sys.stderr.write(f"{name}: {len(history.events)} events\n")


async def _main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    missing = [name for name in SCENARIOS if not (HISTORIES / f"{name}.json").exists()]
    if not missing:
        return
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(find_temporal()),
        data_converter=data_converter,
    ) as environment:
        await register_search_attributes(environment.client)
        for name in missing:
            await _write(environment, name)


if __name__ == "__main__":
    asyncio.run(_main())
