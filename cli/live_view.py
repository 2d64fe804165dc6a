"""The live display of an execution on a terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from cli.client import ExecutionDetail, ExecutionStep, StepProgress
from cli.console import duration, elapsed, last_line, parse_time, printable, status_text
from cli.follow import Sight
from cli.summary import count_statuses, execution_waiting_reason, group_numbers, step_message
from contracts.execution import StepStatus

# The progress of the groups has states without blanks: CompletedWithWarning.
_ENDED: Final = frozenset(status.replace(" with ", "With") for status in StepStatus if status.is_terminal)

# Columns appear as the terminal gets wider.
_WIDTH_FOR_STATUS: Final = 50
_WIDTH_FOR_DETAIL: Final = 80
_WIDTH_FOR_HOST: Final = 110
# Rows that are not steps: title, bar, outage, the count of what is not shown, and the cursor's own.
_OTHER_ROWS: Final = 5
_FEWEST_STEPS: Final = 3
_RECENT_STEPS: Final = 5
_BAR_CELLS: Final = 10
_GROUP_BAR_CELLS: Final = 40


@dataclass(frozen=True)
class _Marks:
    """The characters of the display, by what the terminal's encoding has."""

    states: dict[str, str]
    spinner: str
    first: str
    middle: str
    last: str
    bar: str
    rest: str


_UNICODE: Final = _Marks(
    states={
        "Completed": "✓",
        "Completed with Warning": "!",
        "Completed with Error": "✗",
        "Failed": "✗",
        "Cancelled": "■",
    },
    spinner="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    first="┬",
    middle="├",
    last="└",
    bar="━",
    rest="─",
)
_ASCII: Final = _Marks(
    states={
        "Completed": "+",
        "Completed with Warning": "!",
        "Completed with Error": "x",
        "Failed": "x",
        "Cancelled": "-",
    },
    spinner="|/-\\",
    first="+",
    middle="|",
    last="+",
    bar="#",
    rest=".",
)


@dataclass
class LiveView:
    """The live display of an execution: a row for each step, as many as fit, and the bar of its step groups."""

    sight: Sight
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders what was seen last, durations going on."""
        now, execution, width = self.now(), self.sight.execution, options.max_width
        if execution is not None:
            marks = _UNICODE if options.encoding.startswith("utf") else _ASCII
            yield _title(execution, now)
            height = console.height
            if reason := execution_waiting_reason(execution):
                said = Text(printable(reason), style="yellow").wrap(console, width)
                yield from said
                height -= len(said)
            yield _group_bar(execution, width, marks)
            yield from self._rows(execution, now, width, height, marks)
        if self.sight.outage:
            yield Text(
                f"{printable(self.sight.outage)} Trying again.", style="yellow", no_wrap=True, overflow="ellipsis"
            )

    @staticmethod
    def _rows(execution: ExecutionDetail, now: datetime, width: int, height: int, marks: _Marks) -> RenderResult:
        steps = execution["steps"]
        chosen = visible_steps(steps, max(height - _OTHER_ROWS, _FEWEST_STEPS))
        numbers = group_numbers(execution)
        branches = _branches([numbers[index] for index in chosen], marks)
        grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=2)
        if width >= _WIDTH_FOR_STATUS:
            grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        if width >= _WIDTH_FOR_DETAIL:
            grid.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
        if width >= _WIDTH_FOR_HOST:
            grid.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
        for index, branch in zip(chosen, branches, strict=True):
            step = steps[index]
            status = status_text(step["status"])
            cells = [
                Text(_state_mark(step, now, marks), style=status.style),
                Text(branch),
                Text(printable(step["name"])),
            ]
            if width >= _WIDTH_FOR_STATUS:
                cells.append(status)
            cells.append(Text(duration(elapsed(step["startedAt"], step["completedAt"], now))))
            if width >= _WIDTH_FOR_DETAIL:
                cells.append(Text(_detail(step, marks)))
            if width >= _WIDTH_FOR_HOST:
                cells.append(Text(printable(step["host"] or ""), style="dim"))
            grid.add_row(*cells)
        yield grid
        if len(chosen) < len(steps):
            hidden = set(range(len(steps))) - set(chosen)
            yield Text(f"{len(hidden):,} more steps: {count_statuses(steps[index] for index in hidden)}", style="dim")


def _title(execution: ExecutionDetail, now: datetime) -> Text:
    name, status = printable(execution["scheduleName"]), status_text(execution["status"])
    took = duration(elapsed(execution["startedAt"] or execution["queuedAt"], execution["completedAt"], now))
    return Text.assemble((name, "bold"), "  ", status, f"  {took}", no_wrap=True, overflow="ellipsis")


def _group_bar(execution: ExecutionDetail, width: int, marks: _Marks) -> Text:
    groups = execution["progress"]["steps"]
    done = sum(_ENDED.issuperset(group["taskStatuses"]) for group in groups)
    count = f" {done:,}/{len(groups):,} step groups"
    cells = max(min(width - len(count), _GROUP_BAR_CELLS), 0)
    share = done / len(groups) if groups else 0.0
    return Text(f"{_bar(share, cells, marks)}{count}", no_wrap=True, overflow="ellipsis")


def _bar(share: float, cells: int, marks: _Marks) -> str:
    filled = int(share * cells)
    return marks.bar * filled + marks.rest * (cells - filled)


def visible_steps(steps: Sequence[ExecutionStep], rows: int) -> list[int]:
    """Returns the places of the steps to show, in order: all that fit, else first those that run.

    After them come the five that ended last, those that wait for a worker, those that follow, then older ones.
    """
    if len(steps) <= rows:
        return list(range(len(steps)))
    states = [StepStatus(step["status"]) for step in steps]

    def of(*wanted: StepStatus) -> list[int]:
        return [index for index, state in enumerate(states) if state in wanted]

    ended = [index for index, state in enumerate(states) if state.is_terminal]
    ended.sort(key=lambda index: _ended_at(steps[index]), reverse=True)
    running = of(StepStatus.PROCESSING, StepStatus.CANCELLING)
    waiting = of(StepStatus.QUEUED) + of(StepStatus.WAITING, StepStatus.PENDING)
    ranked = running + ended[:_RECENT_STEPS] + waiting + ended[_RECENT_STEPS:]
    return sorted(ranked[:rows])


def _ended_at(step: ExecutionStep) -> float:
    return parse_time(step["completedAt"]).timestamp() if step["completedAt"] else 0.0


def _branches(groups: Sequence[int], marks: _Marks) -> list[str]:
    """Returns what stands before each step: its group's number, and how the steps of a group belong together."""
    branches = []
    for index, group in enumerate(groups):
        first = index == 0 or groups[index - 1] != group
        last = index == len(groups) - 1 or groups[index + 1] != group
        if first:
            branches.append(f"{group}  " if last else f"{group} {marks.first}")
        else:
            branches.append(marks.last if last else marks.middle)
    return branches


def _state_mark(step: ExecutionStep, now: datetime, marks: _Marks) -> str:
    if step["status"] in {StepStatus.PROCESSING, StepStatus.CANCELLING}:
        return marks.spinner[int(now.timestamp() * 8) % len(marks.spinner)]
    return marks.states.get(step["status"], " ")


def _detail(step: ExecutionStep, marks: _Marks) -> str:
    """Returns what there is to say of a step: attempt, progress, last line of output, error."""
    parts = [f"attempt {step['attempts']}"] if step["attempts"] > 1 else []
    progress = step["progress"]
    if progress is not None and not StepStatus(step["status"]).is_terminal:
        parts += _progress_parts(progress, marks)
    else:
        parts.append(step_message(step))
    return "  ".join(part for part in parts if part)


def _progress_parts(progress: StepProgress, marks: _Marks) -> list[str]:
    done, total, message = progress["done"], progress["total"], progress["message"]
    parts = []
    if done is not None and total:
        share = min(max(done / total, 0.0), 1.0)
        parts.append(f"{_bar(share, _BAR_CELLS, marks)} {share:4.0%} {done:,}/{total:,}")
    elif done is not None:
        parts.append(f"{done:,} done")
    if message:
        parts.append(last_line(message))
    return parts
