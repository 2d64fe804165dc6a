"""`python -m bench`: starts everything, measures, prints a report, ends everything."""

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
from bench.databases import new_database
from bench.machine import Machine, Versions, load_average
from bench.pages import PageError, check_place, put_into
from bench.report import CaseResult, Report
from bench.runs import BenchError
from bench.stack import Stack, running_stack
from catalogue.engine import DatabaseUrlError
from runtime.embedded import EmbeddedServerError
from runtime.signals import stop_requested

_CASES = find_cases()

_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_Database = Annotated[
    str | None,
    typer.Option(help="URL of a PostgreSQL database beside which one is made, and dropped; else a SQLite file."),
]
_JsonFile = Annotated[
    Path | None,
    typer.Option("--json", help="Also write the report here, with the figures of every round."),
]
_Page = Annotated[
    Path | None,
    typer.Option("--into", help="Also put the report into this Markdown page, between the comments that name it."),
]

_AnyReport = TypeVar("_AnyReport", Report, CatalogueReport)


@_app.callback(invoke_without_command=True)
def cases(
    context: typer.Context,
    runs: Annotated[int, typer.Option(min=1, help="Rounds of each case; a round runs each side once.")] = 7,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Repeatable. " + "; ".join(f"{case.letter}: {case.title}" for case in _CASES.values()) + "."),
    ] = None,
    quick: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--quick", help="One round of small sizes: to see that it works, not to measure.")
    ] = False,
    database: _Database = None,
    json_file: _JsonFile = None,
    page: _Page = None,
) -> None:
    """Measures Rota against the floor, a bare Temporal workflow doing the same work on the same server.

    Prints Markdown to stdout, progress to stderr. Nothing is left behind, also after Ctrl-C. All cases take
    twenty to thirty minutes on two cores; measure on a machine that does nothing else. F and I have no rounds, but one run.
    """
    if context.invoked_subcommand is None:
        if quick and page is not None:
            raise typer.BadParameter("figures of a quick run mean nothing", param_hint="--into")
        _report(_measure(_chosen(case), Extent(runs, quick), database), "cases", json_file, page)


@_app.command()
def catalogue(
    executions: Annotated[int, typer.Option(min=100, help="How many executions there are.")] = 1_000_000,
    schedules: Annotated[int, typer.Option(min=1000, help="How many schedules there are.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each list and detail is asked for.")] = 20,
    database: _Database = None,
    json_file: _JsonFile = None,
    page: _Page = None,
) -> None:
    """Measures every list and detail of a large catalogue, by every filter and sort, the thousandth page too."""
    measuring = measure_catalogue(database, executions=executions, schedules=schedules, rounds=rounds)
    _report(measuring, "catalogue", json_file, page)


def _report(measuring: Coroutine[Any, Any, _AnyReport], name: str, json_file: Path | None, page: Path | None) -> None:
    try:
        if json_file is not None and not json_file.parent.is_dir():
            raise typer.BadParameter(f"no folder {json_file.parent}", param_hint="--json")
        if page is not None:
            check_place(page, name)
        report = asyncio.run(_until_stopped(measuring))
    except PageError as error:
        raise typer.BadParameter(str(error), param_hint="--into") from None
    except DatabaseUrlError as error:
        raise typer.BadParameter(str(error), param_hint="--database") from None
    except (BenchError, EmbeddedServerError) as error:
        say(f"bench: {error}")
        raise typer.Exit(1) from None
    finally:
        measuring.close()
    if report is None:
        say("bench: stopped")
        raise typer.Exit(130)
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    if page is not None:
        put_into(page, name, report.as_markdown())
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


async def _measure(cases: Sequence[Case], extent: Extent, database: str | None) -> Report:
    say("starting a Temporal server, Rota's API and worker, and the floor's worker")
    with new_database(database) as url:
        async with running_stack(url) as stack:
            versions = await Versions.running(stack.rota.temporal, url)
            results = [await _measure_case(case, stack, extent) for case in cases]
    return Report(Machine.this(), versions, tuple(results), quick=extent.quick)


async def _measure_case(case: Case, stack: Stack, extent: Extent) -> CaseResult:
    say(f"{case.letter}: {case.title}")
    before, began = load_average(), time.monotonic()
    measures = tuple(await case.measure(stack, extent))
    return CaseResult(case.letter, case.title, measures, time.monotonic() - began, before, load_average())


if __name__ == "__main__":
    _app()
