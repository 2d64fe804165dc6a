"""`rota schedules`: lists, shows, creates, runs and changes schedules through the REST API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from cli.apply import Applier, print_results, warning_lines
from cli.client import DEFAULT_API_URL, ApiClient, Preview, PreviewTime, Schedule, ScheduleDetail, UsageError
from cli.console import (
    JsonOption,
    KeyOption,
    UrlOption,
    cell,
    connected,
    duration,
    local_time,
    make_console,
    parse_time,
    plain_table,
    print_json,
    print_line,
    printable,
    status_text,
)
from cli.definitions import (
    DefinitionError,
    Directory,
    Document,
    definition_files,
    dump_documents,
    is_connected_system,
    load_documents,
    name_of,
    place_of,
    told_of,
    with_reason,
)
from cli.difference import holds_mask
from cli.export import schedule_document, write_documents
from cli.history import print_diff, print_versions
from cli.watch import watch_and_exit
from contracts.execution import ACTIVE_STATUSES, DEFAULT_CATCH_UP_SECONDS, OverlapPolicy

app = typer.Typer(
    help="Schedules: list, show, preview, create, export, apply, run, enable, disable, delete, history.",
    no_args_is_help=True,
)

ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; kept in the change history.")]

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
    for line in warning_lines(detail):
        typer.echo(printable(line), err=True)


def _facts(schedule: ScheduleDetail) -> list[tuple[str, str]]:
    facts = [("Name", schedule["name"]), ("Id", schedule["id"])]
    if schedule["description"]:
        facts.append(("Description", schedule["description"]))
    facts.append(("Timetable", timetable_text(schedule)))
    if schedule["triggerType"] == "Cron":
        facts.append(("Cron", schedule["cronExpression"] or "-"))
        facts += trigger_options(schedule)
    facts += [
        ("Enabled", "yes" if schedule["isEnabled"] else "no"),
        ("Next run", local_time(schedule["nextRunTime"])),
        ("Last run", f"{local_time(schedule['lastRunTime'])} {schedule['lastExecutionStatus'] or ''}".rstrip()),
    ]
    if schedule["skippedCount"]:
        last = f"last for {local_time(schedule['lastSkippedTime'])}"
        facts.append(("Skipped", f"{schedule['skippedCount']} times, an execution was still active; {last}"))
    return facts


def trigger_options(schedule: Schedule) -> list[tuple[str, str]]:
    """Returns what is set of a cron schedule beside its timetable, each with its label; defaults are left out."""
    jitter, catch_up = schedule["jitterSeconds"], schedule["catchUpWindowSeconds"]
    options = [
        ("From", local_time(schedule["startAt"]) if schedule["startAt"] else None),
        ("Until", local_time(schedule["endAt"]) if schedule["endAt"] else None),
        ("Jitter", f"up to {duration(jitter)} later" if jitter else None),
        ("Overlap", schedule["overlapPolicy"] if schedule["overlapPolicy"] != OverlapPolicy.SKIP else None),
        ("Catch-up", f"within {duration(catch_up)}" if catch_up != DEFAULT_CATCH_UP_SECONDS else None),
    ]
    return [(label, text) for label, text in options if text is not None]


def timetable_text(schedule: Schedule) -> str:
    """Returns when a schedule runs, in English: `At 06:00, Monday through Friday (Europe/Berlin)`."""
    from timetable import (  # noqa: PLC0415 - only `show` says it
        IntervalUnit,
        PatternType,
        Timetable,
        TimetableError,
        TimetableFields,
    )

    if schedule["triggerType"] != "Cron":
        return "On demand only"
    unit = schedule["intervalUnit"]
    fields = TimetableFields(
        pattern_type=PatternType(schedule["patternType"]),
        cron_expression=schedule["cronExpression"],
        days_of_week=schedule["daysOfWeek"],
        run_times=schedule["runTimes"],
        interval_value=schedule["intervalValue"],
        interval_unit=IntervalUnit(unit) if unit else None,
        interval_window_start=schedule["intervalWindowStart"],
        interval_window_end=schedule["intervalWindowEnd"],
        time_zone=schedule["timeZone"],
    )
    try:
        return Timetable.parse(fields).sentence
    except TimetableError:
        # A zone that time zone data do not know any more; the API's warning says so.
        return f"{schedule['cronExpression']} ({schedule['timeZone']})"


_TIMETABLE_FIELDS: Final = (
    "cronExpression",
    "patternType",
    "daysOfWeek",
    "runTimes",
    "intervalValue",
    "intervalUnit",
    "intervalWindowStart",
    "intervalWindowEnd",
    "timeZone",
    "startAt",
    "endAt",
)
_EVERY_DAY: Final = "0,1,2,3,4,5,6"


@app.command("preview")
def preview_command(
    schedule: Annotated[
        str | None,
        typer.Argument(metavar="[NAME_OR_ID]", help="Exact name or id of a schedule, in place of a timetable."),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", exists=True, dir_okay=False, help="YAML or JSON file of one schedule."),
    ] = None,
    cron: Annotated[str | None, typer.Option(help="Cron expression, or several joined by ' | '.")] = None,
    times: Annotated[str | None, typer.Option(metavar="HH:MM,...", help="Times of day.")] = None,
    every: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Minutes or hours between two runs, 1 to 59."),
    ] = None,
    unit: Annotated[str | None, typer.Option(help="With --every: Minutes or Hours. [default: Minutes]")] = None,
    from_time: Annotated[
        str | None,
        typer.Option(metavar="HH:MM", help="With --every: the first run of the day. [default: 00:00]"),
    ] = None,
    to_time: Annotated[
        str | None,
        typer.Option(metavar="HH:MM", help="With --every: the end, included. [default: 23:59]"),
    ] = None,
    days: Annotated[
        str | None,
        typer.Option(metavar="0-6,...", help="With --times or --every: days, 0 is Sunday. [default: every day]"),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(help="With --cron, --times or --every: IANA time zone. [default: UTC]"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many times to show.")] = 10,
    after: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Times after this one, such as 2027-03-27. [default: now]"),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Says what a timetable means and when it would run, or when a schedule will; nothing is stored.

    Example: rota schedules preview --times 01:30 --zone Europe/London --from 2027-03-26 --count 3
    """
    _check_preview_options(
        {"NAME_OR_ID": schedule, "--file": file, "--cron": cron, "--times": times, "--every": every},
        {"--unit": unit, "--from-time": from_time, "--to-time": to_time, "--days": days, "--zone": zone},
    )
    start = (_read_start(after) if after else datetime.now(UTC)).isoformat()
    with connected(url, api_key) as client:
        if schedule is not None:
            preview = _preview_of_schedule(client, client.find_schedule(schedule), count, start)
        else:
            if file is not None:
                timetable = _timetable_of_file(file)
            elif cron is not None:
                timetable = {"patternType": "Custom", "cronExpression": cron}
            elif times is not None:
                timetable = {"patternType": "SpecificTimes", "runTimes": times, "daysOfWeek": days or _EVERY_DAY}
            else:
                timetable = {
                    "patternType": "Interval",
                    "intervalValue": every,
                    "intervalUnit": unit or "Minutes",
                    "intervalWindowStart": from_time or "00:00",
                    "intervalWindowEnd": to_time or "23:59",
                    "daysOfWeek": days or _EVERY_DAY,
                }
            if zone is not None:
                timetable["timeZone"] = zone
            preview = client.preview(timetable | {"count": count, "from": start})
    if as_json:
        print_json(preview)
    else:
        print_preview(make_console(), preview)


# What an option of the preview stands beside.
_BELONGS_TO: Final = {
    "--unit": ("--every",),
    "--from-time": ("--every",),
    "--to-time": ("--every",),
    "--days": ("--times", "--every"),
    "--zone": ("--cron", "--times", "--every"),
}


def _check_preview_options(sources: Mapping[str, object], details: Mapping[str, object]) -> None:
    """Sees that exactly one thing is to be looked at, and that every other option belongs to it."""
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        said = f", not {' and '.join(given)} together" if given else ""
        raise typer.BadParameter(f"give one of {', '.join(sources)}{said}")
    for name, value in details.items():
        if value is not None and given[0] not in _BELONGS_TO[name]:
            raise typer.BadParameter(f"goes with {' or '.join(_BELONGS_TO[name])} only", param_hint=name)


def _read_start(text: str) -> datetime:
    """Reads a time; without an offset it is one of this machine's zone."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time: write 2027-03-27, 2027-03-27T18:00 or 2027-03-27T18:00+01:00",
            param_hint="--from",
        ) from None


def _timetable_of_file(file: Path) -> dict[str, Any]:
    document = _only_schedule(load_documents(file), file)
    names = {name.lower(): name for name in _TIMETABLE_FIELDS}
    return {names[key.lower()]: value for key, value in document.items() if key.lower() in names}


def _preview_of_schedule(client: ApiClient, schedule: Schedule, count: int, start: str) -> Preview:
    """Returns what a stored timetable means, with the times at which its trigger will really fire."""
    if schedule["triggerType"] != "Cron":
        raise UsageError(f"{schedule['name']}: it has no timetable, it runs on demand only")
    fields = {name: schedule[name] for name in _TIMETABLE_FIELDS}
    preview = client.preview(fields | {"count": count, "from": start})
    due = set(client.list_next_runs(schedule["id"], count=count, after=start))
    preview["items"] = [item for item in preview["items"] if item["time"] in due]
    if not schedule["isEnabled"]:
        preview["warnings"].append("The schedule is disabled: it does not fire.")
    return preview


def print_preview(console: Console, preview: Preview) -> None:
    """Prints what a timetable means and its times, a line each: the terminal wraps them, a pipe gets them whole."""
    print_line(console, f"{'Timetable':<13}{preview['sentence']}")
    print_line(console, f"{'Cron':<13}{preview['cronExpression']}")
    console.print()
    if preview["items"]:
        print_line(console, Text(_PREVIEW_ROW.format("Local time", "UTC", "Clock change").rstrip(), style="bold"))
    else:
        print_line(console, "No times.")
    for item in preview["items"]:
        print_line(console, _preview_row(item))
    for warning in preview["warnings"]:
        typer.echo(printable(f"warning: {warning}"), err=True)


_PREVIEW_ROW: Final = "{:<28}{:<19}{}"


def _preview_row(item: PreviewTime) -> str:
    local, utc = parse_time(item["localTime"]), parse_time(item["time"])
    shown = f"{local:%a %Y-%m-%d %H:%M} {local.isoformat()[-6:]}"
    return _PREVIEW_ROW.format(shown, f"{utc:%Y-%m-%d %H:%MZ}", item["clockChange"] or "").rstrip()


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
        "workerPool",
        "scheduleToStartSeconds",
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
    if step.get("workerPool") is not None:
        own.append(f"on workers of the pool {step['workerPool']}")
    if step.get("scheduleToStartSeconds") is not None:
        own.append(f"waits {duration(step['scheduleToStartSeconds'])} for one")
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
    reason: ReasonOption = None,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Creates the schedule that a file describes, in the fields of POST /api/v1/schedules.

    A RunProfile step may name its connectedSystem and runProfile in place of their ids.

    Example: rota schedules create -f daily-sync.yaml
    """
    with connected(url, api_key) as client:
        document = _only_schedule(load_documents(file), file)
        with told_of(document, f"schedule {name_of(document)!r}"):
            schedule = client.create_schedule(with_reason(Directory(client).resolve(document), reason))
        typer.echo(printable(f"schedule {schedule['name']}: created, id {schedule['id']}"))
        for line in warning_lines(schedule, document):
            typer.echo(printable(line), err=True)


def _only_schedule(documents: Sequence[Document], file: Path) -> Document:
    if len(documents) != 1:
        raise DefinitionError(f"{file}: {len(documents)} documents, not one; `rota schedules apply` takes several")
    if is_connected_system(documents[0]):
        raise DefinitionError(f"{file}: a connected system, not a schedule; `rota schedules apply` takes it")
    return documents[0]


@app.command("export")
def export_command(
    schedules: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME_OR_ID]...", help="Exact names or ids of the schedules. [default: all]"),
    ] = None,
    *,
    out: Annotated[
        str, typer.Option(metavar="DIR|-", help="Folder for a file of each schedule; - is standard output.")
    ] = "-",
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Writes schedules as YAML that `apply` takes back: run profiles by name, secrets masked, fields without a value left out.

    Example: rota schedules export --out schedules/
    """
    with connected(url, api_key) as client:
        found = [client.find_schedule(name) for name in schedules] if schedules else client.list_schedules()
        directory = Directory(client)
        documents = [
            schedule_document(client.get_schedule(schedule["id"]), directory)
            for schedule in sorted(found, key=lambda schedule: schedule["name"])
        ]
        if out == "-":
            typer.echo(dump_documents(documents), nl=False)
        else:
            for path in write_documents(documents, Path(out)):
                typer.echo(printable(str(path)))
        for document in documents:
            if any(map(holds_mask, document["steps"])):
                note = "*** stands for the secret that is stored here; to apply it elsewhere, write the secret out"
                typer.echo(printable(f"note: {document['name']}: {note}"), err=True)


@app.command("apply")
def apply_command(
    file: Annotated[
        list[Path],
        typer.Option("--file", "-f", exists=True, help="YAML or JSON file, or a folder of them; may be repeated."),
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be changed, and change nothing.")] = False,
    reason: ReasonOption = None,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Creates or changes, by name, the schedules and connected systems that files describe, and shows what differs.

    Schedules have the fields of POST /api/v1/schedules; a document with a connectorName is a connected system with its
    runProfiles. Connected systems come first, so a RunProfile step may name its connectedSystem and runProfile. What a
    file leaves out keeps its value; steps, where a file has them, are the complete new list. Nothing is deleted, and
    what would change nothing is not sent. Each schedule is changed whole or not at all; one that fails does not keep
    the others from being applied.

    Exit code: 0 if all is as the files say, 1 if something failed; with --dry-run 3 if something would be changed.

    Example: rota schedules apply -f connected-systems.yaml -f schedules/ --dry-run
    """
    with connected(url, api_key) as client:
        documents, failures = _load_all(file)
        _check_names([document for document in documents if is_connected_system(document)])
        _check_names([document for document in documents if not is_connected_system(document)])
        outcomes = chain(failures, Applier(client, dry_run=dry_run, reason=reason).apply(documents))
        code = print_results(outcomes, ("created", "changed", "unchanged"), dry_run=dry_run)
    raise typer.Exit(code)


def _load_all(paths: Sequence[Path]) -> tuple[list[Document], list[DefinitionError]]:
    """Reads every file; one that cannot be read does not keep the others from being read."""
    documents: list[Document] = []
    failures: list[DefinitionError] = []
    for path in paths:
        try:
            files = definition_files(path)
        except DefinitionError as failure:
            failures.append(failure)
            continue
        for file in files:
            try:
                documents += load_documents(file)
            except DefinitionError as failure:
                failures.append(failure)
    return documents, failures


def _check_names(documents: Iterable[Document]) -> None:
    """Sees that no two documents are about the same, before anything is sent."""
    places: dict[str, str] = {}
    for document in documents:
        name = document.get("name")
        if not isinstance(name, str):
            continue
        if name in places:
            raise DefinitionError(f"{place_of(document)}{name!r} stands here and at {places[name].rstrip(': ')}")
        places[name] = place_of(document)


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
def enable_command(
    schedule: ScheduleArgument,
    *,
    reason: ReasonOption = None,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Lets a schedule's trigger fire.

    Example: rota schedules enable "Daily sync"
    """
    with connected(url, api_key) as client:
        enabled = client.set_enabled(client.find_schedule(schedule)["id"], enabled=True, reason=reason)
    if enabled["triggerType"] == "Cron":
        following = f"next run {local_time(enabled['nextRunTime'])}"
    else:
        following = "it runs on demand only"
    typer.echo(printable(f"{enabled['name']}: enabled, {following}"))
    for line in warning_lines(enabled):
        typer.echo(printable(line), err=True)


@app.command("disable")
def disable_command(
    schedule: ScheduleArgument,
    *,
    reason: ReasonOption = None,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Keeps a schedule's trigger from firing. A running execution goes on, and `run` still works.

    Example: rota schedules disable "Daily sync"
    """
    with connected(url, api_key) as client:
        disabled = client.set_enabled(client.find_schedule(schedule)["id"], enabled=False, reason=reason)
    typer.echo(printable(f"{disabled['name']}: disabled"))


@app.command("delete")
def delete_command(
    schedule: ScheduleArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    reason: ReasonOption = None,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Deletes a schedule. Its past executions and its history stay; one that runs goes on, and is named.

    Example: rota schedules delete "Daily sync" --yes
    """
    with connected(url, api_key) as client:
        found = client.find_schedule(schedule)
        name = printable(found["name"])
        if not yes:
            typer.confirm(f"Delete the schedule {name} ({found['id']})?", abort=True, err=True)
        client.delete_schedule(found["id"], reason=reason)
        # Said first: to look for what runs may fail.
        typer.echo(f"{name}: deleted; its history stays: rota schedules history {found['id']}")
        for execution in client.list_executions(schedule_id=found["id"], statuses=sorted(ACTIVE_STATUSES)):
            typer.echo(f"{name}: an execution goes on; this ends it: rota executions cancel {execution['id']}")


@app.command("history")
def history_command(
    schedule: Annotated[
        str,
        typer.Argument(metavar="NAME_OR_ID", help="Exact name or id of the schedule; the id of one that is deleted."),
    ],
    *,
    compare: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="Show what differs between these two versions."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many versions at most.")] = 20,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Shows who changed a schedule, when and why, the latest first; or what differs between two versions.

    Example: rota schedules history "Daily sync" --compare 1 3
    """
    with connected(url, api_key) as client:
        schedule_id = client.find_schedule_id(schedule)
        if compare is not None:
            diff = client.compare_versions(schedule_id, *compare)
            if as_json:
                print_json(diff)
            else:
                print_diff(make_console(), diff)
            return
        versions = client.list_versions(schedule_id, limit)
    if as_json:
        print_json(versions)
        return
    print_versions(make_console(), versions)
    if len(versions) == limit:
        typer.echo(f"These are the latest {limit}; --limit shows more.", err=True)
