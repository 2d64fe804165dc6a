"""`rota dev` as a process of its own, to be killed."""

import asyncio
import os
import random
import signal
import socket
import sys
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.waiting import eventually

_PORTS = range(10_000, 32_000)
"""Below those that systems give to clients. A server that was killed comes back to its port: meanwhile no connection,
another test's or that of its own clients as they try again, may have been given it."""


def free_ports(count: int) -> list[int]:
    return list(islice(filter(_is_free, random.sample(_PORTS, len(_PORTS))), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class DevProcess:
    """One data folder, and the `rota dev` that runs on it at present."""

    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(3))
    environment: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    with_worker: bool = True

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    async def start(self) -> None:
        api, temporal, ui = self.ports
        log = (self.folder / "dev.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "dev", "--data-dir", str(self.data_dir)),
            *("--api-port", str(api), "--temporal-port", str(temporal), "--ui-port", str(ui)),
            *([] if self.with_worker else ["--no-worker"]),
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        await eventually(self._is_ready, seconds=120)

    async def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, (self.folder / "dev.log").read_text()
        async with httpx.AsyncClient() as http:
            try:
                answer = await http.get(f"http://127.0.0.1:{self.ports[0]}/api/v1/health/ready")
            except httpx.TransportError:
                return False
            return answer.is_success and (not self.with_worker or bool(answer.json()["workers"]))

    def tree(self) -> list[psutil.Process]:
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children()]

    def child(self, command: str) -> psutil.Process:
        """The process that runs one of Rota's commands: `api` or `worker`."""
        [found] = [process for process in self.tree()[1:] if process.cmdline()[3:4] == [command]]
        return found

    async def kill(self) -> None:
        """Kills supervisor, server, API and worker at one blow; what a step started is left behind."""
        assert self.process is not None
        tree = self.tree()
        for process in tree:
            process.suspend()
        for process in tree:
            process.kill()
        await self.process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        key = (self.data_dir / "api-key").read_text().strip()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.ports[0]}/api/v1", timeout=30) as http:
            answer = await http.request(method, path, json=body, headers={"X-API-Key": key})
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def ended(self, execution_id: str, seconds: float = 120) -> dict[str, Any]:
        async def probe() -> dict[str, Any] | None:
            execution: dict[str, Any] = await self.call("GET", f"/schedule-executions/{execution_id}")
            return execution if execution["completedAt"] else None

        execution = await eventually(probe, seconds)
        assert execution is not None
        return execution
