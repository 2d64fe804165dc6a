"""`rota connected-systems`: lists and shows connected systems and their run profiles, with the ids that steps name."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.client import DEFAULT_API_URL
from cli.console import (
    JsonOption,
    KeyOption,
    UrlOption,
    cell,
    connected,
    local_time,
    make_console,
    plain_table,
    print_json,
    print_line,
    printable,
)

app = typer.Typer(
    help="Connected systems: list, show. `rota schedules apply` creates and changes them.",
    no_args_is_help=True,
)


@app.command("list")
def list_command(*, as_json: JsonOption = False, url: UrlOption = DEFAULT_API_URL, api_key: KeyOption = None) -> None:
    """Lists the connected systems by id.

    Example: rota connected-systems list
    """
    with connected(url, api_key) as client:
        systems = client.list_connected_systems()
    if as_json:
        print_json(systems)
        return
    console = make_console()
    if not systems:
        print_line(console, "No connected systems.")
        return
    table = plain_table("Id", "Name", "Connector", "Description")
    for system in systems:
        table.add_row(
            str(system["id"]),
            cell(system["name"]),
            cell(system["connectorName"]),
            cell(system["description"]),
        )
    console.print(table)


@app.command("show")
def show_command(
    system: Annotated[str, typer.Argument(metavar="NAME_OR_ID", help="Exact name or id of the connected system.")],
    *,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_API_URL,
    api_key: KeyOption = None,
) -> None:
    """Shows a connected system: its settings, secrets masked, and its run profiles.

    Example: rota connected-systems show "HR"
    """
    with connected(url, api_key) as client:
        found = client.find_connected_system(system)
        profiles = client.list_run_profiles(found["id"])
    if as_json:
        print_json({**found, "runProfiles": profiles})
        return
    console = make_console()
    facts = [("Name", found["name"]), ("Id", str(found["id"])), ("Connector", found["connectorName"])]
    if found["description"]:
        facts.append(("Description", found["description"]))
    facts += [("Created", local_time(found["created"])), ("Settings", _settings(found["settings"]))]
    for label, value in facts:
        print_line(console, f"{label:<13}{value}")
    console.print()
    if not profiles:
        print_line(console, "No run profiles.")
        return
    table = plain_table("Run profile", "Name", "Run type", "Settings")
    for profile in profiles:
        table.add_row(
            str(profile["id"]),
            cell(profile["name"]),
            cell(profile["runType"]),
            Text(printable(_settings(profile["settings"]))),
        )
    console.print(table)


def _settings(settings: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}: {value}" for name, value in settings.items() if value is not None) or "-"
