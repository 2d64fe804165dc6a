"""H: the API under load."""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx

from bench.case import Case, Extent, Quantity, Sample, interleaved, say
from bench.load import Load, Request
from bench.report import RATE, Measure, Target
from bench.runs import executable
from bench.stack import Stack, free_port, http_client, is_up, wait_until

_SCHEDULES: Final = 100
_STEPS: Final = 3
_CONNECTIONS: Final = 10
_SECONDS: Final = 2.0
_WARM_UP_SECONDS: Final = 0.5

_BARE: Final = "bare FastAPI route"
_WITH_STEPS: Final = "bare FastAPI route with a key and steps"


@dataclass(frozen=True)
class _Asked:
    """What is asked of both sides."""

    name: str
    rota: tuple[str, dict[str, Any] | None]
    """Path and body."""
    against: dict[str, tuple[str, dict[str, Any] | None]]
    """The same of what Rota is measured against, by its name."""
    target: Target | None = None
    """For the ratio to the bare route."""


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures one API process under load from another process: 10 connections, each always waiting for an answer.

    What is asked for: one schedule of 3 steps, the first page of 20 of a list of 100 and more, and a new schedule of 3
    steps. What it is measured against is served by the same function with the same settings, Python's garbage collector's
    too, and reads or writes the same table of the same database with one statement. What a key and the steps cost, which
    Rota's answer has and that of the one statement has not, is shown by a bare route that has them too. The rate counts
    the answers that came whole.
    """
    steps = [executable("/bin/true", step_index=index) for index in range(_STEPS)]
    schedules = [await stack.rota.create_schedule(steps) for _ in range(extent.size(_SCHEDULES, quick=2))]
    new = {"name": f"Bench {uuid.uuid4()} <number>"}
    asked = [
        _Asked(
            "one schedule",
            (f"/api/v1/schedules/{schedules[0].id}", None),
            {
                _BARE: (f"/schedules/{schedules[0].id}", None),
                _WITH_STEPS: (f"/schedules/{schedules[0].id}/with-steps", None),
            },
            Target("ratio", "at least", 0.7),
        ),
        _Asked("list of schedules", ("/api/v1/schedules?pageSize=20", None), {_BARE: ("/schedules?limit=20", None)}),
        _Asked("new schedule", ("/api/v1/schedules", {**new, "steps": steps}), {_BARE: ("/schedules", new)}),
    ]
    measures: list[Measure] = []
    async with _serving(stack, "bare") as bare, _serving(stack, "trivial") as trivial:
        for what in asked:
            measures += await _compared(stack, bare, what, extent)
        ceiling = [await _load(stack, extent, trivial, "/") for _ in range(extent.rounds())]
    say(f"  a trivial ASGI application: {max(load.requests_a_second for load in ceiling):.0f} requests/s")
    return [
        *measures,
        Measure("for scale: a trivial ASGI application", RATE, rota=tuple(load.requests_a_second for load in ceiling)),
    ]


async def _compared(stack: Stack, bare: int, asked: _Asked, extent: Extent) -> list[Measure]:
    rate, slow = f"{asked.name}: requests", f"{asked.name}: p95"

    async def put(port: int, path: str, body: dict[str, Any] | None) -> Sample:
        load = await _load(stack, extent, port, path, body)
        return {rate: load.requests_a_second, slow: load.p95_ms}

    quantities = [
        Quantity(rate, RATE, {_BARE: asked.target} if asked.target else {}),
        Quantity(slow, "ms"),
    ]
    rota = partial(put, stack.rota.http.base_url.port or 0, *asked.rota)
    against = {name: partial(put, bare, *what) for name, what in asked.against.items()}
    return await interleaved(extent.rounds(), quantities, rota, against)


async def _load(stack: Stack, extent: Extent, port: int, path: str, body: dict[str, Any] | None = None) -> Load:
    request = Request(
        port,
        path,
        body=None if body is None else json.dumps(body),
        headers={"X-API-Key": stack.rota.http.headers["X-API-Key"]},
        status=httpx.codes.OK if body is None else httpx.codes.CREATED,
        connections=_CONNECTIONS,
        seconds=0.3 if extent.quick else _SECONDS,
        warm_up_seconds=0 if extent.quick else _WARM_UP_SECONDS,
    )
    return Load.of(await stack.processes.output_of("bench.load", request.as_json()))


@asynccontextmanager
async def _serving(stack: Stack, kind: str) -> AsyncIterator[int]:
    """Serves what Rota is measured against; yields its port."""
    port = free_port()
    async with stack.processes.module("bench.bare_api", str(port), kind) as process:
        async with http_client(port) as http:
            await wait_until(partial(is_up, http, "/docs"), [process])
        yield port


CASE: Final = Case("H", "the API under load", _measure)
