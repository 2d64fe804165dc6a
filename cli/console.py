"""What the commands share: where the API is, and how failures, times, durations and states are shown."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import TextIOWrapper
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client import API_KEY_VARIABLE, API_URL_VARIABLE, ApiClient, ApiFailure, UsageError, find_api_key
from cli.definitions import DefinitionError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_STILL_RUNNING: Final = 3
EXIT_DIFFERENT: Final = 3

# Where nobody looks at the width, a row stays one line: `grep` and logs want it whole.
_PIPE_WIDTH: Final = 400

UrlOption = Annotated[str, typer.Option("--url", envvar=API_URL_VARIABLE, help="Base URL of the API.")]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar=API_KEY_VARIABLE,
        show_default="the file api-key in ROTA_DATA_DIR or .rota",
        help="API key.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's own JSON.")]

# Terminal sequences (CSI, OSC, other escapes), then every control character but tab and line feed.
_UNPRINTABLE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]",
)

_STYLES: Final = {
    "Complete": "green",
    "Completed": "green",
    "CompleteWithError": "yellow",
    "Completed with Warning": "yellow",
    "Completed with Error": "red",
    "Failed": "red",
    "Cancelled": "magenta",
    "Cancelling": "magenta",
    "InProgress": "cyan",
    "Processing": "cyan",
    "Paused": "yellow",
}


def make_console(*, stderr: bool = False) -> Console:
    """Returns a console for the process's output; what it prints is text, never markup."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, TextIOWrapper):
        # A character that the terminal's encoding lacks is shown as `?`.
        stream.reconfigure(errors="replace")
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not stream.isatty() and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


Name = TypeVar("Name", bound=str)


def one_of(names: Iterable[Name]) -> Callable[[str], Name]:
    """Returns what reads one of these names, in any letter case; Typer's own refusal would show them in lower case."""
    known = {name.lower(): name for name in names}

    def read(text: str) -> Name:
        if text.lower() not in known:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(known.values())}")
        return known[text.lower()]

    return read


@contextmanager
def connected(url: str, api_key: str | None) -> Iterator[ApiClient]:
    """Gives a client of the API; a failure inside becomes lines on standard error and exit code 1 or 2."""
    try:
        with ApiClient(url, find_api_key(api_key)) as client:
            yield client
    except (ApiFailure, DefinitionError, UsageError) as failure:
        for line in failure_lines(failure):
            typer.echo(line, err=True)
        raise typer.Exit(EXIT_USAGE if isinstance(failure, UsageError) else EXIT_FAILED) from None


def failure_lines(failure: Exception) -> list[str]:
    """Returns what a user is told of a failure: the message, then a line for each field that is wrong."""
    fields = failure.fields if isinstance(failure, ApiFailure) else {}
    details = [(name, text) for name, texts in fields.items() for text in texts]
    head = printable(str(failure))
    if [text for _, text in details] == [str(failure)]:
        return [f"rota: {details[0][0]}: {head}"]
    return [f"rota: {head}", *(printable(f"  {name}: {text}") for name, text in details)]


def print_json(value: Any) -> None:
    """Prints JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def printable(text: str) -> str:
    """Returns a text without terminal sequences and control characters, line feeds and tabs aside."""
    return _UNPRINTABLE.sub("", text)


def last_line(text: str) -> str:
    """Returns the last line that says something, a carriage return counting as the end of a line."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    return printable(next((line for line in reversed(lines) if line), ""))


def parse_time(text: str) -> datetime:
    """Returns a time of the API's JSON, in UTC."""
    return datetime.fromisoformat(text)


def local_time(text: str | None) -> str:
    """Returns a time of the API's JSON in this machine's zone, with the zone's name: `2026-08-03 06:00:00 CEST`."""
    return f"{parse_time(text).astimezone():%Y-%m-%d %H:%M:%S %Z}" if text else "-"


def elapsed(start: str | None, end: str | None, now: datetime) -> float | None:
    """Returns the seconds from one time to another, to now while there is no end; None before the start."""
    if start is None:
        return None
    return max(0.0, ((parse_time(end) if end else now) - parse_time(start)).total_seconds())


def duration(seconds: float | None) -> str:
    """Returns a duration as people read it: `0.4s`, `1m 05s`, `2h 03m`, `1d 04h`; a dash for None.

    Below a minute, tenths are shown unless the number is whole by its type.
    """
    if seconds is None:
        return "-"
    if round(seconds, 1) < 60:
        return f"{seconds}s" if isinstance(seconds, int) else f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def status_text(status: str | None) -> Text:
    """Returns a state of an execution or a step in its colour."""
    return Text(status or "-", style=_STYLES.get(status or "", ""))


def print_line(console: Console, line: str | Text) -> None:
    """Prints a line that the terminal wraps, not Rich: it can be copied, and found by `grep`, whole."""
    console.print(Text(printable(line)) if isinstance(line, str) else line, soft_wrap=True)


def plain_table(*headers: str) -> Table:
    """Returns an empty table without lines, which programs can read, too."""
    return Table(*headers, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def cell(text: str | None) -> Text:
    """Returns a text that came from elsewhere as a cell: no markup, no control characters; a dash for None."""
    return Text(printable(text) if text is not None else "-")
