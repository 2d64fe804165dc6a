"""A database and a Temporal that take connections and never answer: a host that is frozen, a firewall that drops."""

import asyncio
import contextlib
import os
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import NullPool, create_engine
from temporalio.client import Client

from catalogue import engine
from catalogue.engine import sync_url
from catalogue.schema import schema_problem
from runtime.settings import Settings
from runtime.temporal import data_converter
from tests.integration.stack import serving


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_readiness_says_so_soon(silent_port: int, tmp_path: Path) -> None:
    settings = Settings(
        database_url=f"postgresql://rota@127.0.0.1:{silent_port}/rota?connect_timeout=2", data_dir=tmp_path
    )
    temporal = await Client.connect(f"127.0.0.1:{silent_port}", lazy=True, data_converter=data_converter)
    async with (
        serving(settings, temporal) as url,
        # By themselves the two give up after 30 s and more.
        httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20) as http,
    ):
        ready = await http.get("/health/ready")
        listed = await http.get("/schedules", headers={"X-API-Key": "rota_ak_" + "0" * 64})

    assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
    assert ready.json()["reason"] == "the catalogue's database cannot be reached"
    assert (listed.status_code, listed.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert listed.headers["retry-after"] == "5"


@pytest.mark.parametrize(("query", "seconds"), [("", "10"), ("?connect_timeout=3", "3"), ("?sslmode=require", "10")])
def test_a_server_that_never_answers_is_given_up(query: str, seconds: str) -> None:
    assert sync_url(f"postgresql://rota@db.example/rota{query}").query["connect_timeout"] == seconds


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name or have these options otherwise")
def test_a_server_whose_host_vanishes_is_given_up(postgres_url: str) -> None:
    # The kernel alone notices: this is what it is told.
    with create_engine(sync_url(postgres_url), poolclass=NullPool).connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with socket.socket(fileno=os.dup(driver.fileno())) as link:
            if link.family == socket.AF_UNIX:
                pytest.skip("a server that is reached through a file is on this host")
            milliseconds = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            seconds = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)

    assert (milliseconds, seconds) == (20000, 10)


async def test_a_catalogue_that_does_not_answer_takes_no_thread_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Writes wait for longer than this test may take.
    monkeypatch.setattr(engine, "_SQLITE_BUSY_SECONDS", 600)
    catalogue = engine.Catalogue(f"sqlite:///{tmp_path / 'rota.db'}")
    await catalogue.read_short(schema_problem)
    with contextlib.closing(sqlite3.connect(tmp_path / "rota.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2 * (os.cpu_count() or 1) + 8):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await catalogue.write_short(lambda connection: connection.exec_driver_sql("SELECT 1"))

        assert await asyncio.to_thread(int) == 0
        other.execute("ROLLBACK")
    await catalogue.close()
