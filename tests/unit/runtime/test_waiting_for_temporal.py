"""A server that is away is waited for, and the log says so without filling up."""

import logging
from itertools import count
from types import SimpleNamespace

import pytest

from runtime import temporal


async def test_the_log_says_at_once_and_then_each_minute_that_temporal_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = count()
    client = object()

    async def connect() -> object:
        if next(attempts) < 30:
            raise RuntimeError("Failed client connect: refused\nand more")
        return client

    async def nothing(*_: object) -> None:
        pass

    seconds = count(step=5)
    monkeypatch.setattr(temporal, "connect", connect)
    monkeypatch.setattr(temporal, "register_search_attributes", nothing)
    monkeypatch.setattr(temporal, "asyncio", SimpleNamespace(sleep=nothing))
    monkeypatch.setattr(temporal, "time", SimpleNamespace(monotonic=lambda: next(seconds)))

    with caplog.at_level(logging.INFO, logger="runtime.temporal"):
        assert await temporal.connect_when_up() is client

    lines = [record.getMessage() for record in caplog.records if record.name == "runtime.temporal"]
    assert lines == ["Temporal cannot be used yet: Failed client connect: refused"] * 3 + ["Temporal can be used now"]
