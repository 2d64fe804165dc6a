"""The whole of Rota on the embedded server: a real API over HTTP, a real worker, both databases."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from catalogue.api_keys import Role, new_api_key
from catalogue.engine import Catalogue
from runtime.settings import Settings
from tests.integration.stack import Rota, Run, serving
from tests.integration.tours import Checkout
from worker import build_worker


@pytest.fixture
def settings(database_url: str, task_queue: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        task_queue=task_queue,
        data_dir=tmp_path / "data",
        script_roots=[tmp_path, Path("/bin"), Path("/usr/bin")],
    )


@pytest.fixture
async def api_key(catalogue: Catalogue) -> str:
    row, secret = new_api_key("tests", Role.ADMINISTRATOR)
    async with catalogue.write() as session:
        session.add(row)
    return secret


@pytest.fixture
async def api(settings: Settings, client: Client, api_key: str, tmp_path: Path) -> AsyncIterator[Rota]:
    """The API without a worker."""
    async with (
        serving(settings, client) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-Key": api_key}, timeout=30) as http,
    ):
        yield Rota(http, settings, client, tmp_path)


@pytest.fixture
async def rota(api: Rota, catalogue: Catalogue) -> AsyncIterator[Rota]:
    """The API and a worker."""
    async with build_worker(api.temporal, catalogue, api.settings):
        yield api


@pytest.fixture
def run_steps(rota: Rota) -> Run:
    """Creates a schedule of these steps, runs it and returns the execution when it has ended."""

    async def run(*steps: dict[str, Any], seconds: float = 40) -> dict[str, Any]:
        return await rota.ended(await rota.run(await rota.create(*steps)), seconds)

    return run


@pytest.fixture
async def dev(tmp_path: Path) -> AsyncIterator[Checkout]:
    """`rota dev`, on ports of its own."""
    dev = Checkout(tmp_path)
    await dev.start()
    yield dev
    assert await dev.stop() == 0
