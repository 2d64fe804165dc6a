"""The `rota` command."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cli import api_keys, connected_systems, demo, executions, jim, schedules, servers, step_types
from runtime.errors import StartError
from runtime.leaving import has_native_threads, leave
from runtime.zones import use_packaged_zones

app = typer.Typer(
    name="rota",
    help="Runs schedules of identity run profiles, PowerShell scripts, executables and SQL scripts on Temporal.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - no other command needs it

        typer.echo(f"rota {version('rota')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Takes what stands before the command."""


servers.register(app)
app.command("demo")(demo.demo)
app.command("step-types")(step_types.step_types_command)
app.add_typer(api_keys.app, name="api-key")
app.add_typer(schedules.app, name="schedules")
app.add_typer(executions.app, name="executions")
app.add_typer(connected_systems.app, name="connected-systems")
app.add_typer(jim.app, name="jim")


def run(arguments: Sequence[str] | None = None) -> None:
    """Runs the command with these arguments, or with the process's own; what keeps it from starting is one line."""
    use_packaged_zones()
    try:
        app(args=list(arguments) if arguments is not None else None)
    except StartError as error:
        sys.stderr.write(f"rota: {error}\n")
        sys.exit(error.exit_code)
    except SystemExit as ending:
        if has_native_threads():
            leave(ending.code if isinstance(ending.code, int) else 0 if ending.code is None else 1)
        raise


if __name__ == "__main__":
    run()
