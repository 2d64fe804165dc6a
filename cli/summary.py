"""How an execution ended, step by step, and what its failed steps printed last."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client import Execution, ExecutionDetail, ExecutionStep
from cli.console import cell, duration, elapsed, last_line, plain_table, print_line, printable, status_text
from contracts.execution import ACTIVE_STATUSES, ExecutionStatus, StepStatus

# Of more steps than this only those that did not simply succeed are listed.
_MAX_ROWS: Final = 50
_MAX_FAILURES: Final = 10
_OUTPUT_LINES: Final = 10


def has_ended(execution: Execution) -> bool:
    """Whether an execution is over."""
    return execution["status"] not in ACTIVE_STATUSES


def group_numbers(execution: ExecutionDetail) -> list[int]:
    """Returns the number of each step's group, from 1, in the order of the steps."""
    return [group["stepIndex"] + 1 for group in execution["progress"]["steps"] for _ in group["taskStatuses"]]


def was_unreached(step: ExecutionStep) -> bool:
    """Whether the execution ended before the step was due. One that no worker took in time has failed, and is due."""
    return step["status"] == StepStatus.CANCELLED and step["startedAt"] is None


def has_failed(step: ExecutionStep) -> bool:
    """Whether a step failed; one that was never reached is Cancelled, and no failure of its own."""
    return StepStatus(step["status"]).is_failure and not was_unreached(step)


def step_message(step: ExecutionStep) -> str:
    """Returns why a step failed or what it waits for, or, while it is tried again, why the attempt before failed."""
    said = last_line(step["errorMessage"] or "")
    if said and step["attemptHistory"] and not StepStatus(step["status"]).is_terminal:
        before = step["attemptHistory"][-1]
        if before["errorMessage"] == step["errorMessage"]:
            return f"attempt {before['number']} failed: {said}"
    return said


def waiting_reason(step: ExecutionStep) -> str:
    """Returns why a queued step waits, where that is known: not why the attempt before failed."""
    said = step["errorMessage"] or ""
    before = step["attemptHistory"][-1]["errorMessage"] if step["attemptHistory"] else None
    return last_line(said) if step["status"] == StepStatus.QUEUED and said != before else ""


def execution_waiting_reason(execution: ExecutionDetail) -> str:
    """Returns why an execution waits for a worker or for another execution, where that is known."""
    return "" if has_ended(execution) else last_line(execution["errorMessage"] or "")


def count_statuses(steps: Iterable[ExecutionStep]) -> str:
    """Returns how many steps are in which state: `300 Completed, 2 Failed`."""
    counts = Counter(step["status"] for step in steps)
    return ", ".join(f"{counts[status]:,} {status}" for status in StepStatus if counts[status])


def closing_line(execution: ExecutionDetail, now: datetime) -> Text:
    """Returns the execution's state in one line: `Identity sync: Complete in 12.3s`."""
    line = Text.assemble(printable(execution["scheduleName"]), ": ", status_text(execution["status"]))
    took = duration(elapsed(execution["startedAt"], execution["completedAt"], now))
    if not has_ended(execution):
        done = min(execution["currentStepIndex"] + 1, execution["totalSteps"])
        line.append(f", step group {done} of {execution['totalSteps']}")
        line.append(f", running for {took}" if execution["startedAt"] else ", not begun")
    elif execution["startedAt"]:
        line.append(f" {'in' if execution['status'] == ExecutionStatus.COMPLETE else 'after'} {took}")
    if execution["errorMessage"]:
        line.append(f": {printable(execution['errorMessage'])}")
    return line


def print_summary(console: Console, execution: ExecutionDetail, now: datetime, *, with_output: bool = True) -> None:
    """Prints a table of the steps, the last lines of what failed steps printed, if wanted, and the closing line."""
    steps = list(zip(group_numbers(execution), execution["steps"], strict=True))
    if len(steps) <= _MAX_ROWS:
        shown = steps
    else:
        shown = [(n, step) for n, step in steps if step["status"] != StepStatus.COMPLETED and not was_unreached(step)]
        shown = shown[:_MAX_ROWS]
    if shown:
        console.print(_steps_table(shown, now))
    if len(shown) < len(steps):
        ids = {step["id"] for _, step in shown}
        rest = [step for _, step in steps if step["id"] not in ids]
        print_line(console, f"{len(rest):,} {'more ' if shown else ''}steps: {count_statuses(rest)}")
    if with_output:
        _print_failures(console, execution)
    console.print()
    print_line(console, closing_line(execution, now))


def _steps_table(steps: Sequence[tuple[int, ExecutionStep]], now: datetime) -> Table:
    table = plain_table("Group", "Step")
    table.add_column("Status", no_wrap=True)
    table.add_column("Duration", justify="right", no_wrap=True)
    table.add_column("Exit code", justify="right", no_wrap=True)
    table.add_column("Message", overflow="fold")
    for number, step in steps:
        exit_code = step["exitCode"]
        attempts = f"{step['attempts']} attempts. " if step["attempts"] > 1 else ""
        table.add_row(
            str(number),
            cell(step["name"]),
            status_text(step["status"]),
            duration(elapsed(step["startedAt"], step["completedAt"], now)),
            "-" if exit_code is None else str(exit_code),
            cell(attempts + (step["errorMessage"] or "")),
        )
    return table


def _print_failures(console: Console, execution: ExecutionDetail) -> None:
    failed = [step for step in execution["steps"] if has_failed(step) and step["outputTail"]]
    for step in failed[:_MAX_FAILURES]:
        lines = printable(step["outputTail"] or "").rstrip().split("\n")
        left_out = "the last lines that" if len(lines) > _OUTPUT_LINES else "what"
        console.print()
        print_line(console, Text.assemble((printable(step["name"]), "bold"), f": {left_out} it printed"))
        for line in lines[-_OUTPUT_LINES:]:
            print_line(console, f"  {line}")
    if failed:
        console.print()
        more = f"{len(failed) - _MAX_FAILURES} more steps failed. " if len(failed) > _MAX_FAILURES else ""
        print_line(console, f"{more}All output: rota executions logs {execution['id']}")
