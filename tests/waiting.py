"""Waiting on conditions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")

_PAUSE_SECONDS = 0.05


async def eventually(probe: Callable[[], Awaitable[Answer]], seconds: float = 30) -> Answer:
    """Asks until the answer is true, and returns it; fails with TimeoutError after some seconds."""
    async with asyncio.timeout(seconds):
        while True:
            answer = await probe()
            if answer:
                return answer
            await asyncio.sleep(_PAUSE_SECONDS)
