"""`rota api-key`: makes, lists and revokes API keys, straight in the catalogue."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer
from rich.table import Table

from cli.console import cell, local_time, make_console, one_of, plain_table
from runtime.settings import load_settings

if TYPE_CHECKING:
    from catalogue.engine import Catalogue

# The catalogue is imported where it is used: every other command, `rota dev` among them, does without it.
# ruff: noqa: PLC0415

app = typer.Typer(help="API keys: made, listed and revoked in the catalogue itself.", no_args_is_help=True)

Answer = TypeVar("Answer")

ROLES: Final = ("Administrator", "Reader")

_DURATION: Final = re.compile(r"(\d{1,5})d")


def _with_catalogue(work: Callable[["Catalogue"], Awaitable[Answer]]) -> Answer:
    from catalogue.engine import Catalogue
    from cli.catalogue_access import catalogue_failures, check_catalogue_url

    settings = load_settings()
    check_catalogue_url(settings)

    async def run() -> Answer:
        catalogue = Catalogue(settings.catalogue_url)
        try:
            return await work(catalogue)
        finally:
            await catalogue.close()

    with catalogue_failures(settings):
        return asyncio.run(run())


def _expiry(text: str) -> datetime:
    now = datetime.now(UTC)
    if days := _DURATION.fullmatch(text):
        instant = now + timedelta(days=int(days[1]))
    else:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is neither days such as 90d nor a time such as 2027-01-31") from None
        instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    if instant <= now:
        raise typer.BadParameter(f"{text!r} is over: the key would never work")
    return instant


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for; unique.")],
    role: Annotated[
        str,
        typer.Option(
            parser=one_of(ROLES),
            metavar="|".join(ROLES),
            help="Administrator may change things, Reader may read.",
        ),
    ],
    expires: Annotated[
        datetime | None,
        typer.Option(parser=_expiry, metavar="90d|TIME", help="When it stops working. [default: never]"),
    ] = None,
) -> None:
    """Makes a key and prints its secret, once, on a line of its own."""
    from catalogue.api_keys import Role, find_api_key_by_name, new_api_key

    async def work(catalogue: "Catalogue") -> str | None:
        row, secret = new_api_key(name, Role(role), expires)
        async with catalogue.write() as session:
            if await find_api_key_by_name(session, name) is not None:
                return None
            session.add(row)
        return secret

    secret = _with_catalogue(work)
    if secret is None:
        sys.stderr.write(f"rota: a key named {name!r} exists already\n")
        raise typer.Exit(1)
    sys.stderr.write("This is shown once. Keep it:\n")
    sys.stdout.write(secret + "\n")


@app.command("list")
def list_keys() -> None:
    """Lists the keys, without their secrets."""
    from catalogue.api_keys import list_api_keys
    from catalogue.columns import utc_now

    async def work(catalogue: "Catalogue") -> Table:
        table = plain_table("Name", "Role", "Begins with", "Created", "State")
        async with catalogue.read() as session:
            for key in await list_api_keys(session):
                state = "revoked" if key.revoked else "valid" if key.is_valid(utc_now()) else "expired"
                if state == "valid" and key.expires:
                    state = f"valid until {local_time(key.expires.isoformat())}"
                table.add_row(cell(key.name), key.role, key.key_prefix, local_time(key.created.isoformat()), state)
        return table

    make_console().print(_with_catalogue(work))


@app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="The key's name.")]) -> None:
    """Revokes a key, at once and for good."""
    from catalogue.api_keys import find_api_key_by_name
    from catalogue.columns import utc_now

    async def work(catalogue: "Catalogue") -> bool:
        async with catalogue.write() as session:
            key = await find_api_key_by_name(session, name)
            if key is None:
                return False
            key.revoked = key.revoked or utc_now()
            session.add(key)
            return True

    if not _with_catalogue(work):
        sys.stderr.write(f"rota: there is no key named {name!r}; see `rota api-key list`\n")
        raise typer.Exit(1)
    sys.stdout.write(f"Revoked: {name}\n")
