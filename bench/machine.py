"""Where it was measured."""

import asyncio
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version

import psutil
from sqlalchemy import create_engine
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client

from catalogue.engine import sync_url

Load = tuple[float, float, float]
"""Processes that ran or waited for a core, on average of the last 1, 5 and 15 minutes."""


@dataclass(frozen=True)
class Machine:
    """What it was measured on."""

    cores: int
    memory_gib: float
    kernel: str

    @classmethod
    def this(cls) -> "Machine":
        """Returns this machine."""
        return cls(
            cores=os.cpu_count() or 1,
            memory_gib=psutil.virtual_memory().total / 2**30,
            kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        )


@dataclass(frozen=True)
class Versions:
    """What was measured."""

    rota: str
    temporalio: str
    server: str
    python: str
    database: str
    """Name and version of the catalogue's."""

    @classmethod
    async def running(cls, client: Client, database_url: str) -> "Versions":
        """Returns the versions of this process, of the server and of the database."""
        info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
        database = await asyncio.to_thread(_database, database_url)
        return cls(version("rota"), version("temporalio"), info.server_version, platform.python_version(), database)


def _database(url: str) -> str:
    engine = create_engine(sync_url(url))
    try:
        with engine.connect() as connection:
            number = ".".join(map(str, connection.dialect.server_version_info or ()))
    finally:
        engine.dispose()
    return f"{engine.dialect.name} {number}"


def load_average() -> Load:
    """Returns the machine's load average."""
    return psutil.getloadavg()
