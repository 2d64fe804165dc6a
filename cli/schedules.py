"""`rota schedules`: lists, shows, creates, runs and changes schedules through the REST API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from cli.client import DEFAULT_API_URL, ApiClient, Schedule, ScheduleDetail
from cli.console import (
    JsonOption,
    KeyOption,
    UrlOption,
    cell,
    connected,
    duration,
    local_time,
    make_console,
    plain_table,
    print_json,
    print_line,
    printable,
    status_text,
)
from cli.definitions import (
    DefinitionError,
    apply_schedule,
    create_schedule,
    ensure_connected_systems,
    ignored_fields,
    is_connected_system,
    load_documents,
    name_of,
    place_of,
    resolve_names,
)
from cli.watch import watch_and_exit

app = typer.Typer(help="Schedules: list, show, create, apply, run, enable, disable, delete.", no_args_is_help=True)

ScheduleArgument = Annotated[str, typer.Argument(metavar="NAME_OR_ID", help="Exact name or id of the schedule.")]


@app.command("list")
def list_command(
    *,
    search: Annotated[str | None, typer.Option(help="Only schedules with this text in name or description.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Lists the schedules: when they run next, and how they ran last.

    Example: rota schedules list --search sync
    """
    with connected(url, api_key) as client:
        schedules = client.list_schedules(search)
    if as_json:
        print_json(schedules)
        return
    console = make_console()
    if not schedules:
        print_line(console, "No schedules.")
        return
    table = plain_table("Name", "Trigger", "Enabled", "Next run", "Last run", "Last status")
    for schedule in schedules:
        table.add_row(
            cell(schedule["name"]),
            cell(_trigger(schedule)),
            "yes" if schedule["isEnabled"] else "no",
            local_time(schedule["nextRunTime"]),
            local_time(schedule["lastRunTime"]),
            status_text(schedule["lastExecutionStatus"]),
        )
    console.print(table)


def _trigger(schedule: Schedule) -> str:
    if schedule["triggerType"] != "Cron":
        return schedule["triggerType"]
    zone = "" if schedule["timeZone"] == "UTC" else f" {schedule['timeZone']}"
    return f"{schedule['cronExpression']}{zone}"


@app.command("show")
def show_command(
    schedule: ScheduleArgument,
    *,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Shows a schedule: its timetable, and its steps in the groups in which they run.

    Example: rota schedules show "Daily sync"
    """
    with connected(url, api_key) as client:
        detail = client.get_schedule(client.find_schedule(schedule)["id"])
        names = {} if as_json else _run_profile_names(client, detail["steps"])
    if as_json:
        print_json(detail)
        return
    console = make_console()
    for label, value in _facts(detail):
        print_line(console, f"{label:<13}{value}")
    console.print()
    print_steps(console, detail["steps"], names)
    _print_warnings(detail)


def _facts(schedule: ScheduleDetail) -> list[tuple[str, str]]:
    facts = [("Name", schedule["name"]), ("Id", schedule["id"])]
    if schedule["description"]:
        facts.append(("Description", schedule["description"]))
    facts.append(("Timetable", timetable_text(schedule)))
    if schedule["triggerType"] == "Cron":
        facts.append(("Cron", schedule["cronExpression"] or "-"))
    facts += [
        ("Enabled", "yes" if schedule["isEnabled"] else "no"),
        ("Next run", local_time(schedule["nextRunTime"])),
        ("Last run", f"{local_time(schedule['lastRunTime'])} {schedule['lastExecutionStatus'] or ''}".rstrip()),
    ]
    if schedule["skippedCount"]:
        facts.append(("Skipped", f"{schedule['skippedCount']} times, an execution was still active"))
    return facts


def timetable_text(schedule: Schedule) -> str:
    """Returns when a schedule runs, in English: `At 06:00, Monday through Friday (Europe/Berlin)`."""
    from timetable import IntervalUnit, PatternType, Timetable, TimetableFields  # noqa: PLC0415 - only `show` says it

    if schedule["triggerType"] != "Cron":
        return "On demand only"
    unit = schedule["intervalUnit"]
    return Timetable.parse(
        TimetableFields(
            pattern_type=PatternType(schedule["patternType"]),
            cron_expression=schedule["cronExpression"],
            days_of_week=schedule["daysOfWeek"],
            run_times=schedule["runTimes"],
            interval_value=schedule["intervalValue"],
            interval_unit=IntervalUnit(unit) if unit else None,
            interval_window_start=schedule["intervalWindowStart"],
            interval_window_end=schedule["intervalWindowEnd"],
            time_zone=schedule["timeZone"],
        ),
    ).sentence


def _run_profile_names(client: ApiClient, steps: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], str]:
    """Returns `System - Run Profile` by the ids of both, for those that the steps name."""
    wanted = {step.get("connectedSystemId") for step in steps} - {None}
    if not wanted:
        return {}
    return {
        (system["id"], profile["id"]): f"{system['name']} - {profile['name']}"
        for system in client.list_connected_systems()
        if system["id"] in wanted
        for profile in client.list_run_profiles(system["id"])
    }


@dataclass
class _PlacedStep:
    """A step of the API's JSON, as the rule of the step groups wants it."""

    step_index: int
    execution_mode: Any
    fields: Mapping[str, Any]


_COMMON_FIELDS: Final = frozenset(
    {
        "id",
        "stepIndex",
        "name",
        "executionMode",
        "stepType",
        "continueOnFailure",
        "timeoutSeconds",
        "maxAttempts",
        "connectedSystemId",
        "runProfileId",
    },
)


def print_steps(
    console: Console,
    steps: Sequence[Mapping[str, Any]],
    run_profiles: Mapping[tuple[int, int], str],
) -> None:
    """Prints the steps as a tree of their groups, which run one after the other.

    Args:
        console: Where to print.
        steps: The steps of a schedule, in the API's JSON.
        run_profiles: `System - Run Profile` by the ids of both.
    """
    from catalogue.plan import step_groups  # noqa: PLC0415 - no other command needs what it brings along

    placed = [_PlacedStep(step["stepIndex"], step["executionMode"], step) for step in steps]
    tree = Tree(Text("Step groups, one after the other" if steps else "No steps"))
    for number, group in enumerate(step_groups(placed), 1):
        branch = tree
        if len(group) > 1:
            branch = tree.add(Text(f"{number}  {len(group)} steps in parallel"))
        for member in group:
            label = _step_text(member.fields, run_profiles)
            branch.add(label if len(group) > 1 else Text.assemble(f"{number}  ", label))
    console.print(tree)


def _step_text(step: Mapping[str, Any], run_profiles: Mapping[tuple[int, int], str]) -> Text:
    own = [f"{name}: {value}" for name, value in step.items() if name not in _COMMON_FIELDS and value is not None]
    if step.get("connectedSystemId") is not None:
        ids = (step["connectedSystemId"], step["runProfileId"])
        own.insert(0, run_profiles.get(ids, f"connected system {ids[0]}, run profile {ids[1]}"))
    if step["timeoutSeconds"] is not None:
        own.append(f"limit {duration(step['timeoutSeconds'])}")
    if step["maxAttempts"] > 1:
        own.append(f"up to {step['maxAttempts']} attempts")
    if step["continueOnFailure"]:
        own.append("may fail")
    title = Text(printable(step["name"] or ""), style="bold")
    kind = Text(step["stepType"])
    details = Text(printable("".join(f"  {part}" for part in own)), style="dim")
    return Text.assemble(title, " " if title else "", kind, details)


@app.command("create")
def create_command(
    file: Annotated[Path, typer.Option("--file", "-f", exists=True, dir_okay=False, help="YAML or JSON file.")],
    *,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Creates the schedule that a file describes, in the fields of POST /api/v1/schedules.

    A RunProfile step may name its connectedSystem and runProfile in place of their ids.

    Example: rota schedules create -f daily-sync.yaml
    """
    with connected(url, api_key) as client:
        documents = load_documents(file)
        if len(documents) != 1:
            raise DefinitionError(f"{file}: {len(documents)} documents, not one; `rota schedules apply` takes several")
        if is_connected_system(documents[0]):
            raise DefinitionError(f"{file}: a connected system, not a schedule; `rota schedules apply` takes it")
        [document] = resolve_names(client, documents)
        _report(create_schedule(client, document), document, "created")


@app.command("apply")
def apply_command(
    file: Annotated[
        list[Path],
        typer.Option("--file", "-f", exists=True, help="YAML or JSON file, or a folder of them; may be repeated."),
    ],
    *,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Creates or updates, by name, the schedules and connected systems that files describe.

    Schedules have the fields of POST /api/v1/schedules; a document with a connectorName is a connected system with its
    runProfiles. Connected systems come first, so a RunProfile step may name its connectedSystem and runProfile. What a
    file leaves out keeps its value; steps, where a file has them, are the complete new list.

    Example: rota schedules apply -f connected-systems.yaml -f daily-sync.yaml
    """
    with connected(url, api_key) as client:
        documents = [document for path in file for document in load_documents(path)]
        systems = [document for document in documents if is_connected_system(document)]
        schedules = [document for document in documents if not is_connected_system(document)]
        _check_names(systems)
        _check_names(schedules)
        if systems:
            for line in ensure_connected_systems(client, systems):
                typer.echo(printable(line))
        for document in resolve_names(client, schedules):
            schedule, created = apply_schedule(client, document)
            _report(schedule, document, "created" if created else "updated")


def _check_names(documents: Iterable[Mapping[str, Any]]) -> None:
    """Sees that every document has a name of its own, before anything is sent."""
    places: dict[str, str] = {}
    for document in documents:
        name = name_of(document)
        if name in places:
            raise DefinitionError(f"{place_of(document)}{name!r} stands here and at {places[name].rstrip(': ')}")
        places[name] = place_of(document)


def _report(schedule: ScheduleDetail, document: Mapping[str, Any], done: str) -> None:
    typer.echo(printable(f"schedule {schedule['name']}: {done}, id {schedule['id']}"))
    for line in ignored_fields(document, schedule):
        typer.echo(printable(line), err=True)
    _print_warnings(schedule)


def _print_warnings(schedule: Schedule) -> None:
    for warning in schedule["warnings"]:
        typer.echo(printable(f"warning: {schedule['name']}: {warning}"), err=True)


@app.command("run")
def run_command(
    schedule: ScheduleArgument,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Show the execution live until it has ended.")] = False,
    timeout: Annotated[
        int | None,
        typer.Option(min=1, metavar="SECONDS", help="With --wait: how long to wait. The execution goes on after it."),
    ] = None,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Starts an execution of a schedule now, enabled or not, and prints the execution's id.

    Exit code with --wait: 0 if it ended Complete, 1 if it ended otherwise, 3 if it still runs when the time is up.

    Example: rota schedules run "Daily sync" --wait --timeout 600
    """
    if timeout is not None and not wait:
        raise typer.BadParameter("needs --wait", param_hint="--timeout")
    with connected(url, api_key) as client:
        execution_id = client.run_schedule(client.find_schedule(schedule)["id"])
        typer.echo(execution_id)
        if wait:
            watch_and_exit(client, execution_id, timeout)


@app.command("enable")
def enable_command(schedule: ScheduleArgument, *, url: UrlOption = DEFAULT_API_URL, api_key: KeyOption = None) -> None:
    """Lets a schedule's trigger fire.

    Example: rota schedules enable "Daily sync"
    """
    with connected(url, api_key) as client:
        enabled = client.set_enabled(client.find_schedule(schedule)["id"], enabled=True)
    following = f"next run {local_time(enabled['nextRunTime'])}" if enabled["nextRunTime"] else "it runs on demand only"
    typer.echo(printable(f"{enabled['name']}: enabled, {following}"))


@app.command("disable")
def disable_command(schedule: ScheduleArgument, *, url: UrlOption = DEFAULT_API_URL, api_key: KeyOption = None) -> None:
    """Keeps a schedule's trigger from firing. A running execution goes on, and `run` still works.

    Example: rota schedules disable "Daily sync"
    """
    with connected(url, api_key) as client:
        disabled = client.set_enabled(client.find_schedule(schedule)["id"], enabled=False)
    typer.echo(printable(f"{disabled['name']}: disabled"))


@app.command("delete")
def delete_command(
    schedule: ScheduleArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Deletes a schedule. Its past executions stay; a running one goes on.

    Example: rota schedules delete "Daily sync" --yes
    """
    with connected(url, api_key) as client:
        found = client.find_schedule(schedule)
        name = printable(found["name"])
        if not yes:
            typer.confirm(f"Delete the schedule {name} ({found['id']})?", abort=True, err=True)
        client.delete_schedule(found["id"])
    typer.echo(f"{name}: deleted")
