"""`rota jim`: takes over what a JIM server holds."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, Final, get_args

import typer

from cli.apply import Applied, Applier, Failure, Result, print_results
from cli.client import API_KEY_VARIABLE, API_URL_VARIABLE, DEFAULT_API_URL, ApiClient, UsageError
from cli.console import connected, printable
from cli.definitions import Document

# What reads JIM and its timetables is imported where it is used: every other command does without it.
# ruff: noqa: PLC0415

JIM_KEY_VARIABLE: Final = "ROTA_JIM_API_KEY"

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NEVER_ON_WORKERS: Final = ("ROTA_", "TEMPORAL_")
_MISSING: Final = re.compile(r"(connected system|run profile) (\d+) does not exist yet")

app = typer.Typer(help="JIM: take over what a JIM server holds.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `import` a command of the group, though it is the only one."""


@dataclass(frozen=True)
class _Source:
    """What was read from a JIM."""

    address: str
    systems: Sequence[Mapping[str, Any]]
    """As Rota imports them."""
    notes: Mapping[int, Sequence[str]]
    """What is otherwise than in JIM, a line each, by the id of the system."""
    left_out: Sequence[Applied]
    schedules: Sequence[Mapping[str, Any]]

    def brings(self, warning: str) -> bool:
        """Whether a warning is about a connected system or run profile that is missing, and among what is imported."""
        missing = _MISSING.search(warning)
        systems = {("connected system", str(system["id"])) for system in self.systems}
        profiles = {("run profile", str(profile["id"])) for system in self.systems for profile in system["runProfiles"]}
        return missing is not None and missing.groups() in systems | profiles


@app.command("import")
def import_command(
    url: Annotated[str, typer.Option("--url", help="Address of JIM, from here and from Rota's workers.")],
    *,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Variable that holds JIM's API key, here and on Rota's workers: what is imported then names the "
            f"variable and holds no key. [default: {JIM_KEY_VARIABLE}, else it is asked for; what is imported holds it]",
        ),
    ] = None,
    schedules: Annotated[bool, typer.Option("--schedules", help="Import the schedules, too, disabled.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Bring what is there already to what JIM holds; else it is left as it is.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be imported, and change nothing.")
    ] = False,
    rota_url: Annotated[str, typer.Option(envvar=API_URL_VARIABLE, help="Base URL of Rota's API.")] = DEFAULT_API_URL,
    rota_api_key: Annotated[
        str | None,
        typer.Option(
            envvar=API_KEY_VARIABLE,
            show_default="the file api-key in ROTA_DATA_DIR or .rota",
            help="API key of Rota.",
        ),
    ] = None,
) -> None:
    """Takes over connected systems and run profiles from a JIM, under the ids that they have there, and its schedules.

    JIM is read only, with a key of its role Administrator. Connected systems and run profiles come all or not at all:
    an id or name that something else has here stops the import before anything is written. Schedules come one by one,
    by name, disabled; what JIM does otherwise, or cannot come over, is told with each. It may be run again.

    Exit code: 0 if all that can come over is here, 1 if something failed; with --dry-run 3 if something would be changed.

    Example: rota jim import --url https://jim.example.com --schedules --dry-run
    """
    with connected(rota_url, rota_api_key) as client:
        source = _read(url, api_key_env, with_schedules=schedules)
        outcomes = chain(
            _import_systems(client, source, update=update, dry_run=dry_run),
            _import_schedules(client, source, update=update, dry_run=dry_run),
        )
        code = print_results(outcomes, get_args(Result), dry_run=dry_run)
    raise typer.Exit(code)


def _read(url: str, variable: str | None, *, with_schedules: bool) -> _Source:
    """Reads all that is to be imported, before anything is written.

    Raises:
        UsageError: The address or the key cannot be used.
        ApiFailure: JIM refused, or cannot be asked.
    """
    from cli.jim_client import JimClient, jim_address
    from cli.jim_translation import cut_description

    address = jim_address(url)
    key, setting = _find_key(variable)
    with JimClient(address, key, lambda line: typer.echo(line, err=True)) as jim:
        version = jim.read_version()
        systems, left_out = [], []
        notes: dict[int, list[str]] = {}
        for system in jim.list_connected_systems():
            if system["status"] == "Deleting":
                what = f"connected system {system['id']} {system['name']}"
                left_out.append(Applied(what, "left out", ("JIM is deleting it",)))
                continue
            profiles = [
                {"id": profile["id"], "name": profile["name"], "runType": profile["runType"], "settings": {}}
                for profile in jim.list_run_profiles(system["id"])
            ]
            description, notes[system["id"]] = cut_description(system["description"])
            systems.append(
                {
                    "id": system["id"],
                    "name": system["name"],
                    "description": description,
                    "connectorName": "Jim",
                    "settings": {"url": address, "apiKey": setting},
                    "runProfiles": profiles,
                },
            )
        schedules = jim.list_schedules() if with_schedules else []
    count = sum(len(system["runProfiles"]) for system in systems)
    held = [f"{len(systems)} connected systems", f"{count} run profiles"]
    if with_schedules:
        held.append(f"{len(schedules)} schedules")
    typer.echo(printable(f"JIM {version} at {address}: {', '.join(held)}"))
    return _Source(address, systems, notes, left_out, schedules)


def _find_key(variable: str | None) -> tuple[str, str]:
    """Returns JIM's API key, and what the imported connected systems hold of it.

    Raises:
        UsageError: There is none, or the variable may not be used.
    """
    if variable is not None:
        if not _VARIABLE.fullmatch(variable) or variable.upper().startswith(_NEVER_ON_WORKERS):
            raise UsageError(f"--api-key-env: {variable!r} is no variable that a worker may name, such as JIM_API_KEY.")
        key = os.environ.get(variable, "")
        setting = f"${{env:{variable}}}"
        where = f"--api-key-env: the variable {variable}"
    else:
        key = os.environ.get(JIM_KEY_VARIABLE, "")
        if not key and sys.stdin.isatty():
            key = typer.prompt("API key of JIM", hide_input=True, err=True)
        setting = key.strip()
        where = f"The variable {JIM_KEY_VARIABLE}"
    if not key.strip():
        raise UsageError(f"{where} is not set: it must hold an API key of JIM.")
    if not re.fullmatch(r"[!-~]+", key.strip()):
        raise UsageError(f"{where} holds no API key of JIM: keys begin with jim_ak_.")
    return key.strip(), setting


def _import_systems(client: ApiClient, source: _Source, *, update: bool, dry_run: bool) -> Iterator[Applied]:
    """Imports the connected systems and run profiles, all or none, and yields what became of each."""
    for system in client.import_connected_systems(source.systems, update=update, dry_run=dry_run):
        outcome = _imported(f"connected system {system['id']} {system['name']}", system["result"])
        yield replace(outcome, changes=[*outcome.changes, *source.notes[system["id"]]])
        for profile in system["runProfiles"]:
            yield _imported(f"run profile {profile['id']} {system['name']} - {profile['name']}", profile["result"])
    yield from source.left_out


def _imported(what: str, result: str) -> Applied:
    match result:
        case "Created":
            return Applied(what, "created")
        case "Updated":
            return Applied(what, "changed")
        case "Kept":
            return Applied(what, "kept", ("it differs from JIM's; --update brings it to that",))
    return Applied(what, "unchanged")


def _import_schedules(
    client: ApiClient, source: _Source, *, update: bool, dry_run: bool
) -> Iterator[Applied | Failure]:
    """Imports the schedules, one by one, and yields what became of each."""
    if not source.schedules:
        return
    from cli.jim_translation import translate

    applier = Applier(client, dry_run=dry_run, reason=f"Imported from JIM at {source.address}")
    present = {schedule["name"] for schedule in client.list_schedules()}
    for schedule in source.schedules:
        what = f"schedule {schedule['name']}"
        translation = translate(schedule)
        if translation.document is None:
            yield Applied(what, "left out", translation.notes)
        elif schedule["name"] not in present:
            notes = (
                [*translation.notes, "enabled in JIM, disabled here"] if schedule["isEnabled"] else translation.notes
            )
            document = Document({**translation.document, "isEnabled": False})
            yield from _with_notes(applier.apply([document]), notes, source, dry_run=dry_run)
        elif update:
            yield from _with_notes(applier.apply([translation.document]), translation.notes, source, dry_run=dry_run)
        else:
            yield Applied(what, "kept", ("there is one of that name; --update brings it to JIM's",))


def _with_notes(
    outcomes: Iterable[Applied | Failure],
    notes: Sequence[str],
    source: _Source,
    *,
    dry_run: bool,
) -> Iterator[Applied | Failure]:
    """Adds the notes to what became of a schedule."""
    for outcome in outcomes:
        if isinstance(outcome, Applied):
            # What this dry run would have imported before does not exist yet.
            warnings = [line for line in outcome.warnings if not (dry_run and source.brings(line))]
            yield replace(outcome, changes=[*outcome.changes, *notes], warnings=warnings)
        else:
            yield outcome
