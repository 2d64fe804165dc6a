"""`rota demo`: the example schedule, run twice on real Temporal, its numbers checked against the source files."""

import asyncio
import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from cli.apply import Applier
from cli.client import ApiClient, ApiKey, ExecutionDetail
from cli.console import make_console
from cli.definitions import fill_placeholders, load_documents
from cli.key_file import api_key_file
from cli.ports import Ports
from cli.watch import watch
from runtime.settings import Settings, SettingsError, load_settings

_EXAMPLE: Final = Path("examples/identity")
_DAYS: Final = ("day1", "day2")
_KINDS: Final = ("joiners", "movers", "leavers")
_HOST: Final = "127.0.0.1"
_OUTPUT_LINES: Final = 40

# Says that a folder is the demo's own, and may be emptied.
_MARKER: Final = ".rota-demo"


def demo(
    data_dir: Annotated[
        Path,
        typer.Option(
            help="Folder for everything the demo writes: a new or empty one, or the demo's own, which is emptied."
        ),
    ] = Path(".rota/demo"),
) -> None:
    """Runs the example in examples/identity: HR and badge exports become identities, twice, the second time a delta.

    Starts an embedded Temporal server, a worker and the API on free ports, and ends them again. Exit code 0 when both
    runs were complete and their numbers agree with an independent count over the source files.
    """
    if not (_EXAMPLE / "schedule.yaml").exists():
        raise SettingsError(f"there is no {_EXAMPLE} here: run the demo in a checkout of Rota")
    database = data_dir.absolute() / "rota.db"
    settings = load_settings(
        data_dir=data_dir,
        database_url=f"sqlite:///{database}",
        script_roots=os.pathsep.join([str(Path.cwd()), str(data_dir.absolute())]),
    )
    settings.make_data_dir()
    empty_demo_dir(settings.data_dir)
    raise typer.Exit(0 if asyncio.run(_demo(settings)) else 1)


def empty_demo_dir(folder: Path) -> None:
    """Empties a folder of the demo's own, and makes an empty one its own.

    Raises:
        SettingsError: The folder holds something else, or another demo uses it.
    """
    from cli.dev import hold_data_dir  # noqa: PLC0415

    marker = folder / _MARKER
    if not marker.exists():
        if any(folder.iterdir()):
            raise SettingsError(f"--data-dir: {folder} is not empty, and not the demo's own: name another folder")
        marker.touch()
    with hold_data_dir(folder) as lock:
        for path in folder.iterdir():
            if path in {marker, lock}:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


async def _demo(settings: Settings) -> bool:
    from cli.dev import dev_stack  # noqa: PLC0415 - the other commands do without it

    console = make_console()
    api, temporal, ui = _free_ports(3)
    ports = Ports(_HOST, api, temporal, ui)
    # The example's programs name `python3`: they get the one that runs this.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    _say(console, "Starting an embedded Temporal server, the API and a worker")
    log = settings.data_dir / "rota.log"
    async with dev_stack(settings, ports, with_worker=True, environment={"PATH": path}, log_file=log):
        console.print(f"REST API {ports.api_url}   Temporal Web UI {ports.ui_url}")
        return await asyncio.to_thread(_run_days, console, settings, ports)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((_HOST, 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


def _run_days(console: Console, settings: Settings, ports: Ports) -> bool:
    """Runs the schedule once for each day's files; returns whether all is as it should be."""
    work = settings.data_dir.absolute() / "identity"
    data, out = work / "incoming", work / "out"
    places = {"data": str(data), "out": str(out), "database": str(work / "identity.db")}
    out.mkdir(parents=True)
    key = api_key_file(settings.data_dir)
    with ApiClient(ports.api_url, ApiKey(key.read_text().strip(), str(key))) as client:
        schedule_id = _create(console, client, places, settings)
        produced: dict[str, dict[str, int]] = {}
        for day in _DAYS:
            _say(console, f"{day}: the exports of {day} arrive, the schedule runs")
            shutil.copytree(_EXAMPLE / "data" / day, data, dirs_exist_ok=True)
            execution = watch(client, client.run_schedule(schedule_id), console)
            _show_outputs(console, execution)
            if execution["status"] != "Complete":
                return False
            produced[day] = _count_changes(out / "changes.csv")
    return _agrees(console, produced, out)


def _create(console: Console, client: ApiClient, places: Mapping[str, str], settings: Settings) -> str:
    """Creates the connected systems and the schedule; returns the schedule's id."""
    applier = Applier(client)
    for system in fill_placeholders(load_documents(_EXAMPLE / "connected-systems.yaml"), places):
        list(applier.apply_connected_system(system))
    [document] = fill_placeholders(load_documents(_EXAMPLE / "schedule.yaml"), places)
    if shutil.which(settings.powershell) is None:
        console.print(f"PowerShell ({settings.powershell}) is not found here: the step Notify is left out.")
        document["steps"] = [step for step in document["steps"] if step["stepType"] != "PowerShell"]
    applier.apply_schedule(document)
    schedule = client.find_schedule(document["name"])
    console.print(f"Schedule {schedule['name']!r}: {schedule['stepCount']} steps, cron {schedule['cronExpression']}")
    return schedule["id"]


def _show_outputs(console: Console, execution: ExecutionDetail) -> None:
    for step in execution["steps"]:
        console.print(f"\n--- {step['name']}: {step['status']}", style="bold")
        for line in (step["outputTail"] or "").rstrip().splitlines()[-_OUTPUT_LINES:]:
            console.print(f"    {line}")


def _count_changes(path: Path) -> dict[str, int]:
    """Returns how many joiners, movers and leavers the export wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        counts = Counter(row["kind"] for row in csv.DictReader(file))
    return {kind: counts[kind.removesuffix("s")] for kind in _KINDS}


def _agrees(console: Console, produced: Mapping[str, Mapping[str, int]], out: Path) -> bool:
    """Compares what the pipeline wrote with an independent count over the source files."""
    _say(console, "Checked against an independent count over the source files (verify_counts.py)")
    counted = json.loads(subprocess.check_output([sys.executable, _EXAMPLE / "verify_counts.py"]))  # noqa: S603 - ours
    table = Table("Day", "Change", "Pipeline", "Counted", "")
    for day in _DAYS:
        for kind in _KINDS:
            ours, theirs = produced[day][kind], counted[day][kind]
            table.add_row(day, kind, str(ours), str(theirs), "agrees" if ours == theirs else "DIFFERS")
    console.print(table)
    console.print(f"Written: {out / 'changes.ldif'}, {out / 'changes.csv'}")
    return all(produced[day][kind] == counted[day][kind] for day in _DAYS for kind in _KINDS)


def _say(console: Console, text: str) -> None:
    console.print(f"\n== {text}", style="bold cyan")
