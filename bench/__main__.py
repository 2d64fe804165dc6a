"""`python -m bench`: starts everything, measures, prints a table, ends everything."""

import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from bench.case import Case, Extent, find_cases, say
from bench.catalogue.measure import measure_catalogue
from bench.catalogue.report import CatalogueReport
from bench.machine import Machine, Versions, load_average
from bench.report import CaseResult, Report
from bench.runs import BenchError
from bench.stack import running_stack
from runtime.embedded import EmbeddedServerError
from runtime.signals import stop_requested

_CASES = find_cases()

_app = typer.Typer(add_completion=False)

_JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the report, every sample, here.")]

_AnyReport = TypeVar("_AnyReport", Report, CatalogueReport)


@_app.callback(invoke_without_command=True)
def floor(
    context: typer.Context,
    runs: Annotated[int, typer.Option(min=1, help="Rounds of each case; a round runs each side once.")] = 7,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Repeatable. " + "; ".join(f"{case.letter}: {case.title}" for case in _CASES.values()) + "."),
    ] = None,
    quick: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--quick", help="One round of small sizes: to see that it works, not to measure.")
    ] = False,
    json_file: _JsonFile = None,
) -> None:
    """Measures Rota against the floor, a bare Temporal workflow doing the same work on the same server.

    Prints a Markdown table to stdout, progress to stderr. Nothing is left behind, also after Ctrl-C.
    """
    if context.invoked_subcommand is None:
        _report(_measure(_chosen(case), Extent(runs, quick)), json_file)


@_app.command()
def catalogue(
    executions: Annotated[int, typer.Option(min=100, help="How many executions there are.")] = 1_000_000,
    schedules: Annotated[int, typer.Option(min=1000, help="How many schedules there are.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each list and detail is asked for.")] = 20,
    database: Annotated[
        str | None,
        typer.Option(help="URL of a PostgreSQL database beside which one is made, and dropped; else a SQLite file."),
    ] = None,
    json_file: _JsonFile = None,
) -> None:
    """Measures every list and detail of a large catalogue, by every filter and sort, the thousandth page too."""
    _report(measure_catalogue(database, executions=executions, schedules=schedules, rounds=rounds), json_file)


def _report(measuring: Coroutine[Any, Any, _AnyReport], json_file: Path | None) -> None:
    if json_file is not None and not json_file.parent.is_dir():
        measuring.close()
        raise typer.BadParameter(f"no folder {json_file.parent}", param_hint="--json")
    try:
        report = asyncio.run(_until_stopped(measuring))
    except (BenchError, EmbeddedServerError) as error:
        say(f"bench: {error}")
        raise typer.Exit(1) from None
    if report is None:
        say("bench: stopped")
        raise typer.Exit(130)
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    sys.stdout.write(report.as_markdown())


def _chosen(letters: Sequence[str] | None) -> list[Case]:
    chosen = {letter.upper() for letter in letters} if letters else set(_CASES)
    if unknown := sorted(chosen - set(_CASES)):
        raise typer.BadParameter(f"no case {unknown[0]}; there are {', '.join(_CASES)}", param_hint="--case")
    return [case for letter, case in _CASES.items() if letter in chosen]


async def _until_stopped(work: Coroutine[Any, Any, _AnyReport]) -> _AnyReport | None:
    """Returns the report; None where the user did not wait for it."""
    measuring = asyncio.create_task(work)
    stopping = asyncio.create_task(stop_requested())
    await asyncio.wait({measuring, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if measuring.done():
        return measuring.result()
    measuring.cancel()
    await asyncio.wait({measuring})
    return None


async def _measure(cases: Sequence[Case], extent: Extent) -> Report:
    say("starting a Temporal server, Rota's API and worker, and the floor's worker")
    async with running_stack() as stack:
        results = []
        for case in cases:
            say(f"{case.letter}: {case.title}")
            before, began = load_average(), time.monotonic()
            measures = await case.measure(stack, extent)
            seconds = time.monotonic() - began
            results.append(CaseResult(case.letter, case.title, tuple(measures), seconds, before, load_average()))
        return Report(Machine.this(), await Versions.running(stack.rota.temporal), tuple(results))


if __name__ == "__main__":
    _app()
