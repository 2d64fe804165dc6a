"""What `rota dev` does to its data folder before the servers start: the schema, and the first API key."""

import asyncio
import os

from catalogue.api_keys import Role, find_api_key, new_api_key
from catalogue.columns import utc_now
from catalogue.engine import Catalogue
from catalogue.migrations import migrate
from cli.client import api_key_file
from runtime.logs import configure_logging
from runtime.settings import Settings, load_settings


async def _make_first_key(settings: Settings) -> None:
    path = api_key_file(settings.data_dir)
    catalogue = Catalogue(settings.catalogue_url)
    try:
        if path.exists():
            async with catalogue.read() as session:
                if await find_api_key(session, path.read_text().strip()) is not None:
                    return
        row, secret = new_api_key(f"rota dev {utc_now():%Y-%m-%d %H:%M:%S.%f}", Role.ADMINISTRATOR)
        # The file first: a key whose secret nobody has would be of no use.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
        async with catalogue.write() as session:
            session.add(row)
    finally:
        await catalogue.close()


if __name__ == "__main__":
    configure_logging()
    chosen = load_settings()
    migrate(chosen.catalogue_url)
    asyncio.run(_make_first_key(chosen))
