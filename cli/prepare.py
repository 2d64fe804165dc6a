"""What `rota dev` does to its data folder before API and worker start: the schema, the secret key, the first API key."""

import asyncio
import os
import sys

from catalogue.api_keys import Role, find_api_key, find_api_key_by_name, new_api_key
from catalogue.engine import Catalogue
from catalogue.migrations import migrate
from cli.catalogue_access import catalogue_failures, check_catalogue_url
from cli.key_file import api_key_file
from runtime.errors import StartError
from runtime.logs import configure_logging
from runtime.settings import Settings, load_settings


async def _free_name(catalogue: Catalogue) -> str:
    """Returns the name of the next key: `rota dev`, and with a number where the file of one before was lost."""
    name, number = "rota dev", 1
    async with catalogue.read() as session:
        while await find_api_key_by_name(session, name) is not None:
            number += 1
            name = f"rota dev {number}"
    return name


async def _make_first_key(settings: Settings) -> None:
    path = api_key_file(settings.data_dir)
    catalogue = Catalogue(settings.catalogue_url)
    try:
        if path.exists():
            known = path.read_text().strip()
            if await catalogue.read_short(lambda connection: find_api_key(connection, known)) is not None:
                return
        row, secret = new_api_key(await _free_name(catalogue), Role.ADMINISTRATOR)
        # The file first: a key whose secret nobody has would be of no use.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
        async with catalogue.write() as session:
            session.add(row)
    finally:
        await catalogue.close()


def prepare(settings: Settings) -> None:
    """Brings the catalogue to the newest schema; makes the secret key and the first API key where there are none.

    Raises:
        StartError: A setting is wrong, or the database cannot be used.
    """
    check_catalogue_url(settings)
    # The API and the worker start at the same time: both find the key made.
    _ = settings.sealing_key
    with catalogue_failures(settings):
        migrate(settings.catalogue_url)
        asyncio.run(_make_first_key(settings))


if __name__ == "__main__":
    configure_logging()
    try:
        prepare(load_settings())
    except StartError as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(failure.exit_code)
