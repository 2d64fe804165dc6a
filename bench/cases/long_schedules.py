"""G: very long schedules."""

import statistics
from typing import Final

from bench.case import Case, Extent, say
from bench.report import Measure, Target
from bench.runs import BenchError, executable
from bench.stack import Stack, find_program

_GROUPS: Final = 1_001
_STEPS: Final = 10_000
_WIDTH: Final = 10
_SHORT: Final = 100
_SHORT_RUNS: Final = 3

_TARGET: Final = Target("ratio", "at most", 1.3)


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures a schedule of 1,001 groups of one step, and one of 1,000 groups of ten: what a step costs in them.

    Each is run once, against three runs of a schedule of 100 steps of the same shape. The long ones do not fit in one
    history: that their workflow continued as new is checked, and so is the record of every step.
    """
    short = extent.size(_SHORT, quick=10)
    return [
        await _compared(stack, extent, groups=extent.size(_GROUPS, quick=11), width=1, short_groups=short),
        await _compared(
            stack,
            extent,
            groups=extent.size(_STEPS, quick=20) // _WIDTH,
            width=_WIDTH,
            short_groups=max(1, short // _WIDTH),
        ),
    ]


async def _compared(stack: Stack, extent: Extent, *, groups: int, width: int, short_groups: int) -> Measure:
    name = f"wall a step, {groups:,} groups of {width}"
    runs = [await _run(stack, short_groups, width) for _ in range(1 if extent.quick else _SHORT_RUNS)]
    shorts = tuple(wall for wall, _ in runs)
    short = statistics.median(shorts)
    say(f"  {name} (ms): {short_groups} groups {short:.1f}")
    long, was_continued = await _run(stack, groups, width)
    say(f"  {name} (ms): {short_groups} groups {short:.1f}, {groups:,} groups {long:.1f}")
    if not was_continued and not extent.quick:
        raise BenchError(f"a schedule of {groups:,} groups of {width} ran in one history: it was to continue as new")
    return Measure(name, "ms", (long,), f"{short_groups} groups of {width}", shorts, _TARGET)


async def _run(stack: Stack, groups: int, width: int) -> tuple[float, bool]:
    """Returns milliseconds a step, and whether the workflow continued as new."""
    true = find_program("true")
    steps = [executable(true, step_index=group) for group in range(groups) for _ in range(width)]
    run = await stack.rota.run(await stack.rota.create_schedule(steps))
    async for event in stack.rota.temporal.get_workflow_handle(run.workflow_id).fetch_history_events():
        before = event.workflow_execution_started_event_attributes.continued_execution_run_id
        return run.run_ms / len(steps), bool(before)
    raise BenchError(f"workflow {run.workflow_id} has no history")


CASE: Final = Case("G", f"a schedule of {_GROUPS:,} groups, and one of {_STEPS:,} steps", _measure)
