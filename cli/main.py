"""The `rota` command."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cli import servers
from runtime.errors import StartError
from runtime.leaving import has_native_threads, leave
from runtime.zones import use_packaged_zones

_LAZY: Final = {
    "demo": ("cli.demo", "demo"),
    "step-types": ("cli.step_types", "step_types_command"),
    "api-key": ("cli.api_keys", "app"),
    "schedules": ("cli.schedules", "app"),
    "executions": ("cli.executions", "app"),
    "connected-systems": ("cli.connected_systems", "app"),
    "jim": ("cli.jim", "app"),
}
"""What is imported when it is asked for: an API and a worker take 10 MB less each without a client of the API."""


_MARKUP: Final = "markdown"


class _LazyGroup(TyperGroup):
    """A group that imports some of its commands when they are asked for, as click's documentation does it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_LAZY]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        module, name = _LAZY[cmd_name]
        found = getattr(import_module(module), name)
        holder = typer.Typer(rich_markup_mode=_MARKUP)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=cmd_name)
        else:
            holder.command(cmd_name)(found)
        return typer.main.get_group(holder).commands[cmd_name]


app = typer.Typer(
    name="rota",
    cls=_LazyGroup,
    help="Runs schedules of identity run profiles, PowerShell scripts, executables and SQL scripts on Temporal.",
    no_args_is_help=True,
    rich_markup_mode=_MARKUP,
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
