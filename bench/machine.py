"""Where it was measured."""

import asyncio
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import create_engine
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client

from catalogue.engine import sync_url

_CHECKOUT: Final = Path(__file__).parents[1]
_CPU_INFO: Final = Path("/proc/cpuinfo")

Load = tuple[float, float, float]
"""Processes that ran or waited for a core, on average of the last 1, 5 and 15 minutes."""


@dataclass(frozen=True)
class Machine:
    """What it was measured on."""

    cpu: str
    """Its model; empty where the system does not tell."""
    cores: int
    memory_gib: float
    kernel: str

    @classmethod
    def this(cls) -> "Machine":
        """Returns this machine."""
        return cls(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            memory_gib=psutil.virtual_memory().total / 2**30,
            kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        )

    def __str__(self) -> str:
        """Returns it in words."""
        parts = (self.cpu, f"{self.cores} cores", f"{self.memory_gib:.1f} GiB", self.kernel)
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Versions:
    """What was measured, and when."""

    date: str
    """Day in UTC, as 2026-01-31."""
    rota: str
    commit: str | None
    """Of the checkout, with a "+" where files other than its documentation differ from it; None where there is no git."""
    temporalio: str
    server: str
    python: str
    database: str
    """Name and version of the catalogue's."""

    @classmethod
    async def running(cls, client: Client, database_url: str) -> "Versions":
        """Returns the versions of this process, of the server and of the database."""
        info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
        return cls(
            date=datetime.now(UTC).date().isoformat(),
            rota=version("rota"),
            commit=await asyncio.to_thread(commit_of, _CHECKOUT),
            temporalio=version("temporalio"),
            server=info.server_version,
            python=platform.python_version(),
            database=await asyncio.to_thread(_database, database_url),
        )

    @property
    def rota_and_commit(self) -> str:
        """The version of Rota in words."""
        return f"Rota {self.rota}" + (f" (commit {self.commit})" if self.commit else "")


def commit_of(folder: Path) -> str | None:
    """Returns the short hash of a checkout's commit, with a "+" where it has changes; None where there is none.

    The documentation does not count: the bench itself puts its tables there, of the cases before it measures the rest.
    """
    # A folder without one may lie within a repository of something else.
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "--short", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--", ".", ":(exclude)docs")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+" if changes else commit


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*: *(.+)$", _CPU_INFO.read_text("utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor()


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
