"""`rota executions`: lists, shows, watches and steers executions through the REST API."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from cli.client import DEFAULT_API_URL, Execution, ExecutionDetail, ExecutionStep
from cli.console import (
    JsonOption,
    KeyOption,
    UrlOption,
    cell,
    connected,
    duration,
    elapsed,
    local_time,
    make_console,
    one_of,
    plain_table,
    print_json,
    print_line,
    printable,
    status_text,
)
from cli.logs import print_logs
from cli.summary import has_ended, print_summary
from cli.watch import watch_and_exit
from contracts.execution import ACTIVE_STATUSES, ExecutionStatus

app = typer.Typer(
    help="Executions of schedules: list, show, logs, watch, cancel, pause, resume, retry.", no_args_is_help=True
)

ExecutionArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="Id of the execution, or its first characters, 4 or more."),
]


@app.command("list")
def list_command(
    *,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_ID", help="Only executions of this schedule."),
    ] = None,
    status: Annotated[
        list[ExecutionStatus] | None,
        typer.Option(
            parser=one_of(ExecutionStatus),
            metavar="STATUS",
            help=f"Only executions in this state; may be repeated. One of {', '.join(ExecutionStatus)}.",
        ),
    ] = None,
    active: Annotated[bool, typer.Option("--active", help="Only executions that have not ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Lists executions, the latest first.

    Example: rota executions list --schedule "Daily sync" --status Failed
    """
    statuses = set(status or ExecutionStatus)
    if active:
        statuses &= ACTIVE_STATUSES
    if not statuses:
        raise typer.BadParameter("an execution in that state has ended, so none is --active", param_hint="--status")
    with connected(url, api_key) as client:
        executions = client.list_executions(
            schedule_id=client.find_schedule(schedule)["id"] if schedule else None,
            statuses=sorted(statuses) if status or active else [],
            limit=limit,
        )
    if as_json:
        print_json(executions)
        return
    console = make_console()
    if not executions:
        print_line(console, "No executions.")
        return
    now = datetime.now(UTC)
    table = plain_table("Id", "Schedule", "Status", "Queued", "Duration", "Started by")
    for execution in executions:
        table.add_row(
            Text(execution["id"], no_wrap=True),
            cell(execution["scheduleName"]),
            status_text(execution["status"]),
            local_time(execution["queuedAt"]),
            duration(elapsed(execution["startedAt"], execution["completedAt"], now)),
            cell(execution["initiatedByName"] or execution["initiatedByType"]),
        )
    console.print(table)
    if len(executions) == limit:
        typer.echo(f"These are the latest {limit}; --limit shows more.", err=True)


@app.command("show")
def show_command(
    execution: ExecutionArgument,
    *,
    as_json: JsonOption = False,
    output: Annotated[
        bool,
        typer.Option("--output", help="Print the end of what every step printed, too: its last 64 KiB."),
    ] = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Shows an execution as it stands: its steps, and the last lines of those that failed.

    Example: rota executions show 3f2a --output
    """
    with connected(url, api_key) as client:
        detail = client.get_execution(client.find_execution(execution))
    if as_json:
        print_json(detail)
        return
    console = make_console()
    for label, value in _facts(detail):
        print_line(console, f"{label:<12}{value}")
    console.print()
    print_summary(console, detail, datetime.now(UTC), with_output=not output)
    for step in detail["steps"]:
        for line in [*_attempt_lines(step), *_ended_lines(step)]:
            print_line(console, line)
    if output:
        for step in detail["steps"]:
            console.print()
            print_line(console, Text(f"Output of {printable(step['name'])}:", style="bold"))
            print_line(console, (step["outputTail"] or "(none)").rstrip("\n"))


def _attempt_lines(step: ExecutionStep) -> Iterator[str]:
    """Yields a line for each attempt of a step that was tried more than once."""
    attempts = step["attemptHistory"]
    if len(attempts) < 2 and all(attempt["isCounted"] for attempt in attempts):
        return
    yield ""
    for attempt in attempts:
        took = duration(elapsed(attempt["startedAt"], attempt["completedAt"], datetime.now(UTC)))
        line = f"{step['name']}, attempt {attempt['number']}: {attempt['status']} after {took} on {attempt['host']}"
        line += "" if attempt["isCounted"] else ", not counted"
        yield f"{line}: {attempt['errorMessage']}" if attempt["errorMessage"] else line


def _ended_lines(step: ExecutionStep) -> Iterator[str]:
    """Yields what is said of processes that did not end by themselves."""
    count = step["processesEnded"]
    if count:
        yield ""
        yield f"{step['name']}: Rota ended {count} {'process' if count == 1 else 'processes'} that it had started"


def _facts(execution: ExecutionDetail) -> list[tuple[str, str]]:
    initiator = execution["initiatedByName"] or execution["initiatedByType"]
    return [
        ("Execution", execution["id"]),
        ("Schedule", f"{execution['scheduleName']} ({execution['scheduleId']})"),
        ("Started by", initiator),
        ("Queued", local_time(execution["queuedAt"])),
        ("Started", local_time(execution["startedAt"])),
        ("Ended", local_time(execution["completedAt"])),
    ]


@app.command("logs")
def logs_command(
    execution: ExecutionArgument,
    step: Annotated[
        str | None,
        typer.Argument(metavar="[STEP]", help="Name or id of one step; all of them by default."),
    ] = None,
    *,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on until the step has ended; of several, one after the other."),
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option(min=1, help="Only the attempt of this number."),
    ] = None,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Prints what the steps of an execution printed, as far as it is kept.

    Ctrl-C ends the following, not the execution.

    Example: rota executions logs 3f2a "HR import" --follow
    """
    with connected(url, api_key) as client:
        detail = client.get_execution(client.find_execution(execution))
        if not print_logs(client, detail, step, attempt=attempt, follow=follow):
            typer.echo("Nothing was printed.", err=True)


@app.command("watch")
def watch_command(
    execution: ExecutionArgument,
    *,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Shows an execution live until it has ended, then a summary of its steps.

    On a terminal it is a display that renews itself; elsewhere it is a line for each change. Exit code 0: Complete. 1: it
    ended otherwise, or cannot be watched. Ctrl-C ends the watching, not the execution.

    Example: rota executions watch 3f2a
    """
    with connected(url, api_key) as client:
        watch_and_exit(client, client.find_execution(execution), None)


@app.command("cancel")
def cancel_command(
    execution: ExecutionArgument,
    *,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Cancels an execution and ends every process that it started.

    Example: rota executions cancel 3f2a
    """
    with connected(url, api_key) as client:
        cancelled = client.cancel_execution(client.find_execution(execution))
    typer.echo(_cancel_line(cancelled))


@app.command("pause")
def pause_command(
    execution: ExecutionArgument,
    *,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Holds an execution before its next step group. Steps that run are left to end.

    Example: rota executions pause 3f2a
    """
    with connected(url, api_key) as client:
        paused = client.pause_execution(client.find_execution(execution))
    held = paused["status"] == ExecutionStatus.PAUSED
    state = paused["status"] if held else f"{paused['status']}; it pauses when the step group that runs has ended"
    typer.echo(f"{printable(paused['scheduleName'])}: {state}")


@app.command("resume")
def resume_command(
    execution: ExecutionArgument,
    *,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Lets a paused execution go on.

    Example: rota executions resume 3f2a
    """
    with connected(url, api_key) as client:
        resumed = client.resume_execution(client.find_execution(execution))
    state = resumed["status"]
    if state == ExecutionStatus.PAUSED:
        state += "; it goes on when a worker is there"
    typer.echo(f"{printable(resumed['scheduleName'])}: {state}")


@app.command("retry")
def retry_command(
    execution: ExecutionArgument,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the new execution until it has ended.")] = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Takes up a failed or cancelled execution where it had stopped, in a new one; prints the new one's id.

    Step groups that had completed are not run again. With --wait the exit code is that of `watch`.

    Example: rota executions retry 3f2a --wait
    """
    with connected(url, api_key) as client:
        started = client.retry_execution(client.find_execution(execution))
        typer.echo(started)
        if wait:
            watch_and_exit(client, started, None)


def _cancel_line(execution: Execution) -> str:
    name = printable(execution["scheduleName"])
    if has_ended(execution):
        return f"{name}: {execution['status']}"
    return f"{name}: cancelling; its worker needs longer. `rota executions watch {execution['id']}` shows when it has ended."
