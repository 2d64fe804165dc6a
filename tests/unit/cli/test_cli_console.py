"""How times, durations, failures and foreign text are shown."""

import io
import time
from collections.abc import Iterator

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from cli import connected_systems, executions, schedules
from cli.client import ApiFailure
from cli.console import (
    cell,
    connected,
    duration,
    elapsed,
    failure_lines,
    last_line,
    local_time,
    make_console,
    one_of,
    printable,
)
from cli.definitions import DefinitionError
from contracts.execution import ExecutionStatus
from tests.unit.cli.samples import NOW, at


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.0s"),
        (0.44, "0.4s"),
        (59.94, "59.9s"),
        (59.96, "1m 00s"),
        (65, "1m 05s"),
        (5, "5s"),
        (3599.6, "1h 00m"),
        (7385, "2h 03m"),
        (100_800, "1d 04h"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.usefixtures("berlin")
def test_times_are_local_and_name_their_zone() -> None:
    assert local_time("2026-08-03T06:00:00Z") == "2026-08-03 08:00:00 CEST"
    assert local_time("2026-12-03T06:00:00.123456Z") == "2026-12-03 07:00:00 CET"
    assert local_time(None) == "-"


def test_elapsed_time_runs_to_the_end_or_to_now_and_is_never_negative() -> None:
    assert elapsed(at(-20), at(-15), NOW) == 5
    assert elapsed(at(-20), None, NOW) == 20
    assert elapsed(None, at(-15), NOW) is None
    assert elapsed(at(3), None, NOW) == 0


def test_control_characters_and_terminal_sequences_do_not_reach_the_terminal() -> None:
    text = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b(B \x9b2J\x00\x07tab\tand\nline\r\x7f"
    assert printable(text) == "red link tab\tand\nline"
    assert "\x1b" not in printable("\x1b[" * 3 + "\x1b")


def test_the_last_line_is_the_last_that_says_something() -> None:
    assert last_line("one\n10%\r20%\r\n  \n") == "20%"
    assert last_line("") == ""


def test_foreign_text_is_no_markup() -> None:
    console = Console(file=io.StringIO(), record=True, width=40)
    console.print(cell("[bold]steps[2][/bold] :smile:"))
    assert console.export_text() == "[bold]steps[2][/bold] :smile:\n"


def test_a_failure_names_each_wrong_field_once() -> None:
    assert failure_lines(ApiFailure("No such thing.")) == ["rota: No such thing."]
    assert failure_lines(ApiFailure("Too long.", fields={"name": ["Too long."]})) == ["rota: name: Too long."]
    assert failure_lines(ApiFailure("Wrong.", fields={"a": ["x", "y"], "b": ["z"]})) == [
        "rota: Wrong.",
        "  a: x",
        "  a: y",
        "  b: z",
    ]
    assert failure_lines(DefinitionError("f.yaml:3: bad")) == ["rota: f.yaml:3: bad"]


def test_a_failure_inside_a_command_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ending, connected("http://127.0.0.1:1", "rota_ak_0") as client:
        raise ApiFailure(f"refused by {client.url}")
    assert ending.value.exit_code == 1
    assert capsys.readouterr().err == "rota: refused by http://127.0.0.1:1\n"


def test_where_nobody_looks_a_row_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert make_console().width == 400
    monkeypatch.setenv("COLUMNS", "72")
    assert make_console().width == 72


def test_a_wrong_name_is_answered_with_those_that_there_are() -> None:
    read = one_of(ExecutionStatus)
    assert read("completewitherror") is ExecutionStatus.COMPLETE_WITH_ERROR
    with pytest.raises(typer.BadParameter, match="'Nope' is none of Queued, InProgress, Complete,"):
        read("Nope")


@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        (schedules.app, ["run", "x", "--timeout", "3"]),
        (schedules.app, ["create", "-f", "/does/not/exist.yaml"]),
        (schedules.app, ["list", "--url", "localhost"]),
        (executions.app, ["list", "--status", "Nope"]),
        (executions.app, ["list", "--status", "failed", "--active"]),
        (executions.app, ["show", "3f2", "--api-key", "k"]),
    ],
)
def test_wrong_usage_is_exit_code_2(app: typer.Typer, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


@pytest.mark.parametrize(
    ("name", "app"),
    [("schedules", schedules.app), ("executions", executions.app), ("connected-systems", connected_systems.app)],
)
def test_every_command_has_help_with_an_example(name: str, app: typer.Typer) -> None:
    for command in app.registered_commands:
        shown = CliRunner().invoke(app, [command.name or "", "--help"])
        assert shown.exit_code == 0
        text = " ".join(printable(shown.stdout).split())
        assert f"Example: rota {name} {command.name}" in text
    assert "Usage" in CliRunner().invoke(app, []).output
