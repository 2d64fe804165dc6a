"""The `rota` command."""

import sys
from collections.abc import Sequence

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
