"""Rota as it is deployed: a Temporal server, an API, workers, a database, each a process of its own, to be killed."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from runtime.embedded import server_command
from runtime.zones import zone_environment
from tests.faults.dev_process import free_ports
from tests.waiting import eventually


@dataclass
class Cluster:
    """The processes that run at present, by name, and what tests do with them."""

    folder: Path
    database_url: str
    ports: list[int] = field(default_factory=lambda: free_ports(2))
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    key: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ROTA_", "TEMPORAL_"))},
            **zone_environment(),
            "ROTA_DATABASE_URL": self.database_url,
            "ROTA_DATA_DIR": str(self.folder / "data"),
            "ROTA_SECRET_KEY": "the key of the fault tests",
            "ROTA_SCRIPT_ROOTS": os.pathsep.join([str(self.folder), "/bin", "/usr/bin"]),
            "ROTA_UPKEEP_SECONDS": "1",
            "ROTA_DRAIN_SECONDS": "1",
            "ROTA_KILL_GRACE_SECONDS": "1",
            "TEMPORAL_ADDRESS": f"127.0.0.1:{self.ports[0]}",
        }

    async def _spawn(self, name: str, *command: str, **environment: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.folder,
                env=self.environment | environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def prepare(self) -> None:
        """Makes schema and API key, in one process."""
        data = self.folder / "data"
        data.mkdir()
        await self._spawn("prepare", sys.executable, "-m", "cli.prepare")
        assert await self.processes.pop("prepare").wait() == 0, (self.folder / "prepare.log").read_text()
        self.key = (data / "api-key").read_text().strip()

    async def start_server(self) -> None:
        command = server_command(
            host="127.0.0.1", port=self.ports[0], ui_port=None, database=self.folder / "temporal.db"
        )
        await self._spawn("temporal", *command)

    async def start_api(self) -> None:
        await self._spawn("api", sys.executable, "-m", "cli.main", "api", "--port", str(self.ports[1]))
        await eventually(self._is_ready, seconds=120)

    async def start_worker(self, name: str = "worker", *arguments: str, **environment: str) -> None:
        await self._spawn(name, sys.executable, "-m", "cli.main", "worker", *arguments, **environment)

    async def _is_ready(self) -> bool:
        async with httpx.AsyncClient() as http:
            try:
                answer = await http.get(f"http://127.0.0.1:{self.ports[1]}/api/v1/health/ready")
            except httpx.TransportError:
                return False
            return answer.is_success

    def send(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    async def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        await process.wait()

    async def stop(self, name: str) -> int:
        process = self.processes.pop(name)
        process.terminate()
        return await process.wait()

    async def close(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()
            await process.wait()

    def logged(self, name: str, text: str) -> list[str]:
        """Returns the lines of a process's log that hold a text."""
        return [line for line in (self.folder / f"{name}.log").read_text().splitlines() if text in line]

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.ports[1]}/api/v1", timeout=40) as http:
            return await http.request(method, path, json=body, headers={"X-API-Key": self.key})

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.ask(method, path, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def script(self, name: str, text: str) -> dict[str, Any]:
        """Writes a program and returns the step that runs it."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return {"stepType": "Executable", "executablePath": name, "name": name}

    def gate(self, name: str, **fields: Any) -> dict[str, Any]:
        """Returns a step that notes each of its runs and lasts until its gate is opened."""
        text = f"echo $$ >> {name}.runs\nuntil test -e {name}.open; do sleep 0.05; done\necho {name} done"
        return self.script(name, text) | fields

    def open(self, name: str) -> None:
        (self.folder / f"{name}.open").touch()

    def runs(self, name: str) -> list[int]:
        """Returns the pids of the runs of a gate so far."""
        path = self.folder / f"{name}.runs"
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    async def until_runs(self, name: str, count: int = 1) -> int:
        """Waits for a run of a gate and returns its pid."""

        async def begun() -> list[int]:
            return self.runs(name)[count - 1 :]

        pids = await eventually(begun, seconds=60)
        assert pids
        return pids[0]

    async def run(self, *steps: dict[str, Any]) -> str:
        """Creates a schedule of these steps and runs it; returns the execution's id."""
        schedule = await self.call("POST", "/schedules", {"name": f"s{os.urandom(6).hex()}", "steps": list(steps)})
        return str((await self.call("POST", f"/schedules/{schedule['id']}/run"))["executionId"])

    async def execution(self, execution_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("GET", f"/schedule-executions/{execution_id}")
        return found

    async def ended(self, execution_id: str, seconds: float = 90) -> dict[str, Any]:
        async def probe() -> dict[str, Any] | None:
            answer = await self.ask("GET", f"/schedule-executions/{execution_id}")
            return answer.json() if answer.is_success and answer.json()["completedAt"] else None

        execution = await eventually(probe, seconds)
        assert execution is not None
        return execution


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(pid: int) -> bool:
    return await eventually(lambda: asyncio.sleep(0, not is_alive(pid)), seconds=30)


@asynccontextmanager
async def running(folder: Path, database_url: str | None = None) -> AsyncIterator[Cluster]:
    """A server, an API and a worker."""
    cluster = Cluster(folder, database_url or f"sqlite:///{folder}/rota.db")
    try:
        await cluster.start_server()
        await cluster.prepare()
        await cluster.start_worker()
        await cluster.start_api()
        yield cluster
    finally:
        await cluster.close()


class Postgres:
    """A PostgreSQL server of the test's own, to be killed."""

    def __init__(self, folder: str) -> None:
        pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL that may be killed: pgserver is not installed")
        self._server = pgserver.get_server(folder, cleanup_mode="stop")
        self.url = str(self._server.get_uri())

    def kill(self) -> None:
        """Kills it as a power failure would: no process of it gets to say a word."""
        postmaster = psutil.Process(self._server.get_pid())
        everything = [postmaster, *postmaster.children(recursive=True)]
        for process in everything:
            process.suspend()
        for process in everything:
            process.kill()
        psutil.wait_procs(everything, timeout=10)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def refuse_writes(self, *, refuse: bool) -> None:
        """Lets it refuse to write, as a standby does."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if refuse else 'off'}")
            connection.execute("SELECT pg_reload_conf()")

    def close(self) -> None:
        self._server.cleanup()


@asynccontextmanager
async def running_on_postgres(folder: Path) -> AsyncIterator[tuple[Cluster, Postgres]]:
    """The same on a PostgreSQL server that may be killed."""
    # Not in pytest's own folder: the server runs as another user where root runs the tests.
    with tempfile.TemporaryDirectory(prefix="rota-postgres-", ignore_cleanup_errors=True) as data:
        postgres = Postgres(data)
        try:
            async with running(folder, postgres.url) as cluster:
                yield cluster, postgres
        finally:
            postgres.close()
