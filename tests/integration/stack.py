"""A running Rota for tests: a real API over HTTP, and what tests do with it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from temporalio.client import Client
from typer.testing import CliRunner, Result

from api.app import create_app
from cli.main import app
from runtime.settings import Settings
from tests.waiting import eventually

TERMINAL = {"Complete", "CompleteWithError", "Failed", "Cancelled"}


@dataclass
class Rota:
    """A running Rota, and what tests do with it."""

    http: httpx.AsyncClient
    settings: Settings
    temporal: Client
    root: Path

    async def create(self, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
        body = {"name": f"Schedule {uuid.uuid4()}", "steps": list(steps)} | fields
        answer = await self.http.post("/api/v1/schedules", json=body)
        assert answer.status_code == 201, answer.text
        schedule: dict[str, Any] = answer.json()
        return schedule

    async def run(self, schedule: dict[str, Any]) -> str:
        answer = await self.http.post(f"/api/v1/schedules/{schedule['id']}/run")
        assert answer.status_code == 202, answer.text
        return str(answer.json()["executionId"])

    async def execution(self, execution_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/api/v1/schedule-executions/{execution_id}")
        assert answer.status_code == 200, answer.text
        execution: dict[str, Any] = answer.json()
        return execution

    async def until(
        self,
        execution_id: str,
        condition: Callable[[dict[str, Any]], bool],
        seconds: float = 40,
    ) -> dict[str, Any]:
        async def probe() -> dict[str, Any] | None:
            execution = await self.execution(execution_id)
            return execution if condition(execution) else None

        execution = await eventually(probe, seconds)
        assert execution is not None
        return execution

    async def ended(self, execution_id: str, seconds: float = 40) -> dict[str, Any]:
        return await self.until(execution_id, lambda execution: execution["status"] in TERMINAL, seconds)

    async def cli(self, *arguments: str, **environment: str) -> Result:
        """Runs a command of the command line, with this API."""
        environment["ROTA_API_URL"] = str(self.http.base_url).rstrip("/")
        environment["ROTA_API_KEY"] = self.http.headers["X-API-Key"]
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)

    def script(self, name: str, text: str) -> str:
        """Writes a program under the script root and returns its path."""
        path = self.root / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)


@asynccontextmanager
async def serving(settings: Settings, temporal: Client) -> AsyncIterator[str]:
    """Serves the API over HTTP on a free port; yields its URL."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings, temporal=temporal), port=0, log_config=None, lifespan="on"),
    )
    serve = asyncio.create_task(server._serve())  # serve() would take over the test run's signals
    try:
        await eventually(lambda: asyncio.sleep(0, server.started))
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serve


Run = Callable[..., Awaitable[dict[str, Any]]]
