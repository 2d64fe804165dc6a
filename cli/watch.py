"""Following an execution to its end: live on a terminal, a line for each change elsewhere."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final

import typer
from rich.console import Console
from rich.live import Live

from cli.client import ApiClient, ExecutionDetail, ExecutionStep
from cli.console import (
    EXIT_FAILED,
    EXIT_STILL_RUNNING,
    duration,
    elapsed,
    make_console,
    parse_time,
    print_line,
    printable,
)
from cli.follow import Sight, follow
from cli.live_view import LiveView
from cli.summary import (
    execution_waiting_reason,
    group_numbers,
    has_ended,
    print_summary,
    step_message,
    waiting_reason,
    was_unreached,
)
from contracts.execution import ExecutionStatus, StepStatus

_EXIT_INTERRUPTED: Final = 130
_NUMBER: Final = re.compile(r"\d+")
_NOT_BEGUN: Final = frozenset({StepStatus.PENDING, StepStatus.WAITING})


def watch(
    client: ApiClient,
    execution_id: str,
    console: Console,
    *,
    timeout_seconds: float | None = None,
) -> ExecutionDetail:
    """Shows an execution until it has ended or the time is up, then a summary of its steps.

    Args:
        client: The API.
        execution_id: Whole id of the execution.
        console: Where to show it: a live display on a terminal, else a line for each change.
        timeout_seconds: How long to watch; None for as long as it takes.

    Returns:
        The execution as it was seen last; its status tells whether it has ended.

    Raises:
        ApiFailure: There is no such execution, or the API was away for too long.
    """
    sights = follow(lambda: client.get_execution(execution_id), timeout_seconds=timeout_seconds)
    if console.file.isatty() and not console.is_dumb_terminal:
        execution = _watch_live(sights, console)
    else:
        execution = _watch_lines(sights, console)
    print_summary(console, execution, datetime.now(UTC))
    return execution


def watch_and_exit(client: ApiClient, execution_id: str, timeout_seconds: float | None) -> None:
    """Watches an execution on standard output, then ends the command.

    Raises:
        typer.Exit: With code 0 if the execution is Complete, 3 if it goes on, 130 on Ctrl-C, else 1.
    """
    try:
        execution = watch(client, execution_id, make_console(), timeout_seconds=timeout_seconds)
    except KeyboardInterrupt:
        _say_that_it_goes_on(execution_id)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if not has_ended(execution):
        _say_that_it_goes_on(execution_id)
        raise typer.Exit(EXIT_STILL_RUNNING)
    raise typer.Exit(0 if execution["status"] == ExecutionStatus.COMPLETE else EXIT_FAILED)


def _say_that_it_goes_on(execution_id: str) -> None:
    typer.echo(
        f"rota: the execution goes on. `rota executions watch {execution_id}` shows it again, "
        f"`rota executions cancel {execution_id}` ends it.",
        err=True,
    )


def _watch_lines(sights: Iterator[Sight], console: Console) -> ExecutionDetail:
    changes = ChangeLog()
    latest: ExecutionDetail | None = None
    for sight in sights:
        for line in changes.lines(sight, datetime.now(UTC)):
            print_line(console, line)
        latest = sight.execution
    assert latest is not None  # noqa: S101 - `follow` raises where there was no answer at all
    return latest


class ChangeLog:
    """Says what changed since the last look: a line for each state of the execution and of each step.

    Why a step or the execution waits is known some seconds after it began to: that is a line of its own, once, as it counts
    the seconds.

    Each has the time of what it tells, but none has an earlier one than the line above it: what was reused of another
    execution has ended long ago.
    """

    def __init__(self) -> None:
        self._status: str | None = None
        self._steps: dict[str, tuple[str, int]] = {}
        self._explained: set[str] = set()
        self._reason = ""
        """Why the execution waits, but for the seconds, as it was told last."""
        self._away = False
        self._told_to = datetime.min.replace(tzinfo=UTC)

    def lines(self, sight: Sight, now: datetime) -> list[str]:
        """Returns the lines to add for this look."""
        changes: list[tuple[datetime, str]] = []
        if self._away != bool(sight.outage):
            self._away = bool(sight.outage)
            changes.append((now, f"{sight.outage} Trying again." if sight.outage else "The API answers again."))
        execution = sight.execution
        if execution is not None and not sight.outage:
            status = self._status_change(execution, now)
            # What runs is younger than the record: of one that is still queued there steps may be seen to run.
            steps = (
                []
                if execution["status"] == ExecutionStatus.QUEUED
                else sorted(self._step_changes(execution, now), key=itemgetter(0))
            )
            changes += [*steps, *status] if has_ended(execution) else [*status, *steps]
        lines = []
        for at, text in changes:
            # By the clock of another host it may be still to come.
            self._told_to = max(self._told_to, min(at, now))
            lines.append(f"{self._told_to.astimezone():%H:%M:%S}  {printable(text)}")
        return lines

    def _status_change(self, execution: ExecutionDetail, now: datetime) -> list[tuple[datetime, str]]:
        before, self._status = self._status, execution["status"]
        if self._status == before:
            why = execution_waiting_reason(execution)
            told, self._reason = self._reason, _NUMBER.sub("", why)
            if self._reason in {"", told}:
                return []
            return [(now, f"{execution['scheduleName']}: {self._status}: {why}")]
        self._reason = ""
        at = execution["completedAt"]
        # Nothing says when it was paused.
        if before in (None, ExecutionStatus.QUEUED) and self._status != ExecutionStatus.PAUSED:
            at = at or execution["startedAt"] or execution["queuedAt"]
        return [(parse_time(at) if at else now, f"{execution['scheduleName']}: {self._status}")]

    def _step_changes(self, execution: ExecutionDetail, now: datetime) -> Iterator[tuple[datetime, str]]:
        groups = len(execution["progress"]["steps"])
        unreached, is_explained = 0, False
        for number, step in zip(group_numbers(execution), execution["steps"], strict=True):
            state, before = (step["status"], step["attempts"]), self._steps.get(step["id"])
            # Between its last attempt and its record a step shows for a moment as it began.
            is_stale = before is not None and state[1] < before[1] and not StepStatus(state[0]).is_terminal
            if is_stale or step["status"] in _NOT_BEGUN:
                continue
            if state != before:
                self._explained.discard(step["id"])
            elif step["id"] in self._explained or not waiting_reason(step):
                continue
            elif is_explained:
                # Of many that wait for the same the first one says it.
                self._explained.add(step["id"])
                continue
            self._steps[step["id"]] = state
            if waiting_reason(step):
                self._explained.add(step["id"])
                is_explained = True
            if was_unreached(step):
                unreached += 1
                continue
            # What runs again began earlier: its start is that of its first attempt.
            at = step["completedAt"] or (None if step["attemptHistory"] else step["startedAt"])
            yield parse_time(at) if at else now, f"[{number}/{groups}] {step['name']}: {_state_line(step, now)}"
        if unreached:
            at = execution["completedAt"]
            yield (
                parse_time(at) if at else now,
                f"{unreached:,} {'step was' if unreached == 1 else 'steps were'} not started",
            )


def _state_line(step: ExecutionStep, now: datetime) -> str:
    text = step["status"]
    if StepStatus(step["status"]).is_terminal and step["startedAt"]:
        text += f" after {duration(elapsed(step['startedAt'], step['completedAt'], now))}"
    if step["attempts"] > 1:
        text += f", attempt {step['attempts']}"
    message = step_message(step)
    return f"{text}: {message}" if message else text


def _watch_live(sights: Iterator[Sight], console: Console) -> ExecutionDetail:
    view = LiveView(next(sights))
    with Live(view, console=console, refresh_per_second=8, transient=True, vertical_overflow="crop") as live:
        for sight in sights:
            view.sight = sight
            live.refresh()
    assert view.sight.execution is not None  # noqa: S101 - `follow` raises where there was no answer at all
    return view.sight.execution
