"""Following an execution: when it is asked for, what changes are told, what the display shows."""

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from cli.client import ApiFailure, ExecutionDetail, ExecutionStep
from cli.follow import Sight, follow, poll_pause
from cli.live_view import LiveView, visible_steps
from cli.summary import print_summary
from cli.watch import ChangeLog
from tests.unit.cli.samples import EXECUTION_ID, NOW, at, execution, step

AWAY = ApiFailure("Nothing answers.")


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def followed(
    answers: Iterator[ExecutionDetail | ApiFailure],
    clock: Clock,
    *,
    timeout_seconds: float | None = None,
    answer_seconds: float = 0,
) -> Iterator[Sight]:
    def ask() -> ExecutionDetail:
        clock.now += answer_seconds
        answer = next(answers)
        if isinstance(answer, ApiFailure):
            raise answer
        return answer

    return follow(ask, timeout_seconds=timeout_seconds, monotonic=clock.monotonic, sleep=clock.sleep)


def running() -> ExecutionDetail:
    return execution("InProgress", [[step("one", "Processing", -5)]])


def complete() -> ExecutionDetail:
    return execution("Complete", [[step("one", "Completed", -5, 0)]])


def repeating(answer: ExecutionDetail | ApiFailure) -> Iterator[ExecutionDetail | ApiFailure]:
    while True:
        yield answer


@pytest.mark.parametrize(
    ("watched", "took", "pause"),
    [(0, 0, 0.2), (4, 0.01, 0.2), (20, 0.01, 1.0), (40, 0.01, 2.0), (9999, 0.01, 2.0), (0, 0.5, 1.5), (0, 60, 10.0)],
)
def test_pauses_grow_with_the_time_watched_and_with_slow_answers(watched: float, took: float, pause: float) -> None:
    assert poll_pause(watched, took) == pytest.approx(pause)


def test_following_ends_with_the_execution() -> None:
    clock = Clock()
    sights = list(followed(iter([running(), running(), complete()]), clock))
    assert [sight.execution and sight.execution["status"] for sight in sights] == ["InProgress"] * 2 + ["Complete"]
    assert clock.pauses == pytest.approx([0.2, 0.2])


def test_following_a_long_run_asks_less_and_less_often() -> None:
    clock = Clock()
    list(followed(repeating(running()), clock, timeout_seconds=100))
    assert clock.pauses[0] == pytest.approx(0.2)
    assert max(clock.pauses) == pytest.approx(2.0)
    assert clock.now == pytest.approx(200)


def test_a_last_look_is_taken_when_the_time_is_up() -> None:
    clock = Clock()
    sights = list(followed(iter([running(), complete()]), clock, timeout_seconds=0.1))
    assert len(sights) == 2
    assert clock.pauses == pytest.approx([0.1])


def test_a_short_outage_is_noted_and_survived() -> None:
    sights = list(followed(iter([running(), AWAY, AWAY, complete()]), Clock()))
    assert [sight.outage for sight in sights] == [None, AWAY.message, AWAY.message, None]
    assert sights[1].execution == running()


def test_a_minute_without_an_answer_is_a_failure() -> None:
    clock = Clock()
    sights = followed(repeating(AWAY), clock)
    with pytest.raises(ApiFailure, match="Nothing answers"):
        list(sights)
    assert 60 <= clock.now - 100 < 65


def test_outages_count_from_their_own_beginning() -> None:
    clock = Clock()
    answers: list[ExecutionDetail | ApiFailure] = [AWAY, running()] * 3
    assert len(list(followed(iter([*answers, complete()]), clock, answer_seconds=25))) == 7


def test_a_refusal_ends_the_watching_at_once() -> None:
    refused = ApiFailure("Schedule execution not found", status=404)
    with pytest.raises(ApiFailure, match="not found"):
        list(followed(iter([running(), refused]), Clock()))


def test_without_any_answer_in_time_the_outage_is_the_failure() -> None:
    with pytest.raises(ApiFailure, match="Nothing answers"):
        list(followed(repeating(AWAY), Clock(), timeout_seconds=3))


def told(log: ChangeLog, shown: ExecutionDetail | None, outage: str | None = None) -> list[str]:
    return [line[10:] for line in log.lines(Sight(shown, outage), NOW)]


def test_each_change_is_a_line_and_nothing_else_is() -> None:
    log = ChangeLog()
    first = [step("one", "Queued"), step("two", "Waiting")]
    assert told(log, execution("InProgress", [first, [step("three", "Pending")]])) == [
        "Identity sync: InProgress",
        "[1/2] one: Queued",
    ]
    first_try = {"number": 1, "errorMessage": "Timed out"}
    again = step("one", "Processing", -5, attempts=2, errorMessage="Timed out", attemptHistory=[first_try])
    moved = [again, step("two", "Processing", -5)]
    shown = execution("InProgress", [moved, [step("three", "Waiting")]])
    assert told(log, shown) == [
        "[1/2] two: Processing",
        "[1/2] one: Processing, attempt 2: attempt 1 failed: Timed out",
    ]
    assert told(log, shown) == []
    stale = [step("one", "Processing", -5, attempts=1), moved[1]]
    assert told(log, execution("InProgress", [stale, [step("three", "Waiting")]])) == []
    ended = [
        step("one", "Failed", -5, -1, attempts=2, exitCode=3, errorMessage="exit code 3\x1b[2J"),
        step("two", "Completed with Warning", -65, 0),
    ]
    assert told(log, execution("Failed", [ended, [step("three", "Cancelled")]])) == [
        "[1/2] one: Failed after 4.0s, attempt 2: exit code 3",
        "[1/2] two: Completed with Warning after 1m 05s",
        "1 step was not started",
        "Identity sync: Failed",
    ]


def test_a_step_that_no_worker_took_in_time_is_told() -> None:
    log = ChangeLog()
    never = step("never", "Failed", None, 0, errorMessage="No worker took it within 4 s")
    assert told(log, execution("InProgress", [[never], [step("two", "Processing", -1)]])) == [
        "Identity sync: InProgress",
        "[2/2] two: Processing",
        "[1/2] never: Failed: No worker took it within 4 s",
    ]


def test_why_a_step_waits_is_told_once_when_it_is_known() -> None:
    log = ChangeLog()

    def look(status: str = "Queued", **fields: Any) -> list[str]:
        return told(log, execution("InProgress", [[step("one", status, **fields)]]))

    def waiting(seconds: int) -> str:
        return f"Waiting for {seconds} s: no worker serves the pool 'windows'."

    assert look() == ["Identity sync: InProgress", "[1/1] one: Queued"]
    assert look(errorMessage=waiting(8)) == [f"[1/1] one: Queued: {waiting(8)}"]
    assert look(errorMessage=waiting(9)) == look() == look(errorMessage=waiting(10)) == []
    tried: dict[str, Any] = {"attempts": 2, "attemptHistory": [{"number": 1, "errorMessage": "Timed out"}]}
    assert look(errorMessage="Timed out", **tried) == ["[1/1] one: Queued, attempt 2: attempt 1 failed: Timed out"]
    assert look(errorMessage="Timed out", **tried) == []
    assert look(errorMessage=waiting(5), **tried) == [f"[1/1] one: Queued, attempt 2: {waiting(5)}"]
    assert look(errorMessage=waiting(6), **tried) == []
    assert look(status="Processing", **tried) == ["[1/1] one: Processing, attempt 2"]
    assert look(errorMessage=waiting(7), **tried) == [f"[1/1] one: Queued, attempt 2: {waiting(7)}"]


def test_why_an_execution_waits_is_told_once_when_it_is_known() -> None:
    log = ChangeLog()

    def look(why: str | None, status: str = "Queued") -> list[str]:
        return told(log, execution(status, [[step("one")]], startedAt=None, errorMessage=why))

    assert look(None) == ["Identity sync: Queued"]
    assert look("Waiting for 5 s: no worker.") == ["Identity sync: Queued: Waiting for 5 s: no worker."]
    assert look("Waiting for 6 s: no worker.") == []
    assert look("Waiting for 70 s: it is gone.") == ["Identity sync: Queued: Waiting for 70 s: it is gone."]
    assert look(None) == []
    assert look("Waiting for 5 s: it is gone.") == ["Identity sync: Queued: Waiting for 5 s: it is gone."]
    assert look(None, "InProgress") == ["Identity sync: InProgress"]


def test_of_many_that_wait_for_the_same_one_says_it() -> None:
    log = ChangeLog()
    told(log, execution("InProgress", [[step(name, "Queued") for name in "abc"]]))
    waiting = [step(name, "Queued", errorMessage="No worker is free.") for name in "abc"]
    assert told(log, execution("InProgress", [waiting])) == ["[1/1] a: Queued: No worker is free."]
    assert told(log, execution("InProgress", [waiting])) == []


def test_what_runs_again_is_told_with_the_time_of_that() -> None:
    log = ChangeLog()
    tried = [{"number": 1, "errorMessage": "Timed out"}]
    log.lines(Sight(execution("InProgress", [[step("one", "Processing", -900)]]), None), NOW)
    waiting = step("one", "Queued", -900, attempts=2, errorMessage="No worker is free.", attemptHistory=tried)
    [line] = log.lines(Sight(execution("InProgress", [[waiting]]), None), NOW)
    assert line == f"{NOW.astimezone():%H:%M:%S}  [1/1] one: Queued, attempt 2: No worker is free."


def test_a_step_is_told_behind_its_execution() -> None:
    log = ChangeLog()
    seen = [[step("one", "Processing", -5)]]
    assert told(log, execution("Queued", seen, startedAt=None)) == ["Identity sync: Queued"]
    assert told(log, execution("InProgress", seen)) == ["Identity sync: InProgress", "[1/1] one: Processing"]


def test_the_clock_of_the_lines_does_not_go_back() -> None:
    log = ChangeLog()
    steps = [
        # Reused from an execution of an hour ago.
        [step("one", "Completed", -3610, -3600)],
        [step("two", "Completed", -18, -3), step("three", "Completed", -18, -9)],
        [step("four", "Processing", -2)],
    ]
    looks = [
        log.lines(Sight(execution("Queued", steps[:1], startedAt=None), None), NOW - timedelta(seconds=20)),
        log.lines(Sight(execution("InProgress", steps), None), NOW),
        log.lines(Sight(None, "Nothing answers."), NOW + timedelta(seconds=2)),
        log.lines(Sight(execution("Complete", [[step("four", "Completed", -2, 1)]], completedAt=at(1)), None), NOW),
    ]

    def line(seconds: int, text: str) -> str:
        return f"{(NOW + timedelta(seconds=seconds)).astimezone():%H:%M:%S}  {text}"

    assert [line for lines in looks for line in lines] == [
        line(-21, "Identity sync: Queued"),
        line(-20, "Identity sync: InProgress"),
        line(-20, "[1/3] one: Completed after 10.0s"),
        line(-9, "[2/3] three: Completed after 9.0s"),
        line(-3, "[2/3] two: Completed after 15.0s"),
        line(-2, "[3/3] four: Processing"),
        line(2, "Nothing answers. Trying again."),
        line(2, "The API answers again."),
        line(2, "[1/1] four: Completed after 3.0s"),
        line(2, "Identity sync: Complete"),
    ]


def test_an_outage_is_told_when_it_begins_and_when_it_ends() -> None:
    log = ChangeLog()
    told(log, running())
    assert told(log, running(), "Nothing answers.") == ["Nothing answers. Trying again."]
    assert told(log, running(), "Nothing answers.") == []
    assert told(log, running()) == ["The API answers again."]


def rendered(shown: ExecutionDetail | None, *, width: int, height: int = 24, outage: str | None = None) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None, record=True)
    console.print(LiveView(Sight(shown, outage), now=lambda: NOW))
    return [line.rstrip() for line in console.export_text().splitlines()]


def a_run() -> ExecutionDetail:
    progress = {"done": 450, "total": 1000, "message": "importing\rimported e00001"}
    return execution(
        "InProgress",
        [
            [
                step("HR - Full import", "Completed", -20, -15),
                step("Badges - Full import", "Failed", -20, -12, errorMessage="exit code 3"),
            ],
            [step("Project identities", "Processing", -10, attempts=2, host="worker-1", progress=progress)],
            [step("A name that is rather too long for the row it stands in [b]", "Waiting")],
        ],
    )


def test_a_wide_display_shows_all_there_is() -> None:
    lines = rendered(a_run(), width=130)
    assert lines[0] == "Identity sync  InProgress  20.0s"
    assert lines[1].endswith(" 1/3 step groups")
    assert [line.split(maxsplit=3) for line in lines[2:4]] == [
        ["✓", "1", "┬", lines[2].split(maxsplit=3)[3]],
        ["✗", "└", "Badges", lines[3].split(maxsplit=3)[3]],
    ]
    assert all(part in lines[3] for part in ("Failed", "8.0s", "exit code 3"))
    for part in (
        "Project identities",
        "Processing",
        "10.0s",
        "attempt 2",
        "━━━━──────  45% 450/1,000",
        "imported e00001",
    ):
        assert part in lines[4]
    assert lines[4].endswith("worker-1")


@pytest.mark.parametrize(("status", "started"), [("Queued", None), ("InProgress", "2026-03-01T12:00:00Z")])
def test_the_display_says_why_no_worker_takes_an_execution_up(status: str, started: str | None) -> None:
    said = "Waiting for 9 s: no worker serves the task queue 'rota'. Start one with `rota worker`."
    waiting = execution(status, [[step("one")]], startedAt=started, errorMessage=said)
    title, first, second, *_ = rendered(waiting, width=60)
    assert title.startswith(f"Identity sync  {status}")
    assert f"{first} {second}" == said


@pytest.mark.parametrize("width", [20, 30, 49, 50, 79, 80, 109, 110, 300])
def test_every_row_is_one_line_at_any_width(width: int) -> None:
    lines = rendered(a_run(), width=width, outage="Nothing answers.")
    assert len(lines) == 2 + 4 + 1
    assert all(len(line) <= width for line in lines)
    assert lines[2].startswith("✓ 1 ┬ HR")


def test_a_terminal_without_unicode_gets_ascii() -> None:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="latin-1", errors="replace")
    console = Console(file=file, width=70, height=24, color_system=None)
    console.print(LiveView(Sight(a_run(), None), now=lambda: NOW))
    file.flush()
    shown = written.getvalue().decode("latin-1")
    assert "+ 1 + HR" in shown
    assert "#" in shown


def test_before_the_first_answer_only_the_outage_is_shown() -> None:
    assert rendered(None, width=60, outage="Nothing answers.") == ["Nothing answers. Trying again."]


def many_steps(count: int, ended: int, active: int) -> list[ExecutionStep]:
    return [
        step(f"step {place}", "Completed", -900 + place, -899 + place)
        if place < ended
        else step(f"step {place}", "Processing", -5)
        if place < ended + active
        else step(f"step {place}")
        for place in range(count)
    ]


def test_of_many_steps_the_running_ones_and_their_neighbours_are_shown() -> None:
    lines = rendered(execution("InProgress", [[one] for one in many_steps(500, 300, 3)]), width=60, height=18)
    shown = [line.split("step ")[1].split()[0] for line in lines[2:-1]]
    assert shown == [str(place) for place in range(295, 308)]
    assert lines[-1] == "487 more steps: 192 Waiting, 295 Completed"
    assert len(lines) <= 18


def test_more_running_steps_than_rows_fill_the_display() -> None:
    steps = many_steps(500, 100, 400)
    assert visible_steps(steps, 10) == list(range(100, 110))
    assert visible_steps(steps[:10], 10) == list(range(10))


def test_a_step_that_runs_long_stays_in_sight() -> None:
    steps = [step("slow", "Processing", -900), *many_steps(400, 399, 1)]
    assert visible_steps(steps, 8)[0] == 0
    assert visible_steps(steps, 8)[-1] == 400


def summary(shown: ExecutionDetail, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, height=24, record=True, color_system=None)
    print_summary(console, shown, NOW)
    return console.export_text()


def test_the_summary_tells_each_step_and_what_failed_steps_printed() -> None:
    output = "\n".join(f"line {number} [red]\x1b[31m" for number in range(30))
    text = summary(
        execution(
            "Failed",
            [
                [
                    step("HR", "Completed", -20, -15, exitCode=0),
                    step(
                        "Badges",
                        "Failed",
                        -85,
                        -12,
                        exitCode=3,
                        attempts=2,
                        errorMessage="It failed.",
                        outputTail=output,
                    ),
                ],
                [step("Never", "Cancelled", errorMessage="Not started: a step before it failed.")],
            ],
            completedAt="2026-08-03T06:00:22.500Z",
            errorMessage="Step 'Badges' failed",
        )
    )
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["Group", "Step", "Status", "Duration", "Exit", "code", "Message"]
    assert rows[1] == ["1", "HR", "Completed", "5.0s", "0"]
    assert rows[2] == ["1", "Badges", "Failed", "1m", "13s", "3", "2", "attempts.", "It", "failed."]
    assert rows[3][:5] == ["2", "Never", "Cancelled", "-", "-"]
    assert "Not started: a step before it failed." in text
    assert "Badges: the last lines that it printed" in text
    assert "  line 20 [red]\n" in text
    assert "line 19" not in text
    assert f"rota executions logs {EXECUTION_ID}" in text
    assert text.endswith("\nIdentity sync: Failed after 12.5s: Step 'Badges' failed\n")


def test_the_summary_of_many_steps_lists_what_did_not_simply_succeed() -> None:
    steps = many_steps(500, 500, 0)
    steps[123] = step("step 123", "Failed", -9, -8)
    steps[400:] = [step(f"step {place}", "Cancelled") for place in range(400, 500)]
    text = summary(execution("Failed", [[one] for one in steps]))
    [failed] = [line for line in text.splitlines() if "Failed" in line and line.startswith("124")]
    assert failed.split()[:4] == ["124", "step", "123", "Failed"]
    assert "499 more steps: 399 Completed, 100 Cancelled" in text
    assert len(text.splitlines()) < 10


def test_the_summary_of_what_goes_on_says_how_far_it_is() -> None:
    text = summary(execution("InProgress", [[step("one", "Processing", -20)], [step("two")]]))
    assert text.endswith("Identity sync: InProgress, step group 1 of 2, running for 20.0s\n")
    text = summary(execution("Queued", [[step("one")]], startedAt=None, errorMessage="Waiting for 9 s"))
    assert text.endswith("Identity sync: Queued, step group 1 of 1, not begun: Waiting for 9 s\n")


def test_on_a_narrow_terminal_states_and_commands_stay_whole() -> None:
    failed = [step("Project identities", "Failed", -20, -15, exitCode=3, errorMessage="It failed.", outputTail="x")]
    text = summary(execution("Failed", [failed], completedAt="2026-08-03T06:00:22Z"), width=50)
    assert all(word in text for word in ("Status", "Failed", "Exit code", "5.0s"))
    assert f"All output: rota executions logs {EXECUTION_ID}\n" in text
