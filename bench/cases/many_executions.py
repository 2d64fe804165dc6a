"""C: many executions at once."""

from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from bench.case import FLOOR, NO_HEARTBEAT, Case, Extent, Quantity, Sample, Side, interleaved
from bench.cpu import cpu_milliseconds, machine_milliseconds
from bench.floor import COMPLETE, FloorRequest, make_record, recorded
from bench.report import Measure, Target
from bench.runs import BenchError, executable
from bench.stack import Stack, find_program

_EXECUTIONS: Final = 50
_STEPS: Final = 4

_RATE: Final = "executions"
_CPU: Final = "CPU of a step: "
_WITH_RECORD: Final = "bare workflow with a record of one row"


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures 50 schedules of 4 sequential steps of `true`, all started at once.

    The rate is the number of executions over the time from the first request to the end of the last execution. Rota's
    requests go through its API. What bounds it is the CPU, which is measured too, by step: of the server, of the worker and
    of what it starts, of the API and the client, and all that the machine was busy for. That alone has what supervisors of
    steps took that have ended since. What any record costs is shown by the floor with a row for each workflow, which is
    written twice.
    """
    executions = extent.size(_EXECUTIONS, quick=3)
    true = find_program("true")
    steps = [executable(true, step_index=index) for index in range(_STEPS)]
    schedules = [await stack.rota.create_schedule(steps) for _ in range(executions)]
    requests = [FloorRequest([true], _STEPS)] * executions
    record = str(stack.processes.folder / "floor-record.db")
    make_record(record)
    recorded_requests = [replace(request, record=record) for request in requests]
    silent_requests = [replace(request, heartbeat=False) for request in requests]

    def cpu(worker: Process | None) -> dict[str, float]:
        return {
            f"{_CPU}server": cpu_milliseconds(stack.server),
            f"{_CPU}worker": cpu_milliseconds(worker),
            f"{_CPU}API and client": cpu_milliseconds(stack.rota_processes["api"]) + cpu_milliseconds(),
            f"{_CPU}whole machine": machine_milliseconds(),
        }

    def by_step(before: Sample, after: Sample) -> dict[str, float]:
        return {name: (after[name] - before[name]) / (executions * _STEPS) for name in after}

    async def run_floor(requests: Sequence[FloorRequest]) -> Sample:
        before = cpu(stack.floor_process)
        seconds = await stack.floor.run_at_once(requests)
        return {_RATE: executions / seconds} | by_step(before, cpu(stack.floor_process))

    async def floor_with_record() -> Sample:
        complete = recorded(record, COMPLETE)
        sample = await run_floor(recorded_requests)
        if recorded(record, COMPLETE) != complete + executions:
            raise BenchError("a workflow of the floor has no record")
        return sample

    async def rota() -> Sample:
        worker = stack.rota_processes["worker"]
        before, after = cpu(worker), dict[str, float]()
        seconds = await stack.rota.run_at_once(schedules, at_end=lambda: after.update(cpu(worker)))
        return {_RATE: executions / seconds} | by_step(before, after)

    quantities = [
        Quantity(_RATE, "1/s", {FLOOR: Target("ratio", "at least", 0.8)}),
        *(Quantity(name, "ms") for name in cpu(None)),
    ]
    sides: dict[str, Side] = {
        FLOOR: partial(run_floor, requests),
        NO_HEARTBEAT: partial(run_floor, silent_requests),
        _WITH_RECORD: floor_with_record,
    }
    return await interleaved(extent.rounds(), quantities, rota, sides)


CASE: Final = Case("C", f"{_EXECUTIONS} executions of {_STEPS} steps at once", _measure)
