import asyncio
import ctypes
import sys

import psutil
import pytest

from runtime import memory
from tests.waiting import eventually


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim"
)
async def test_freed_memory_goes_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_TRIM_SECONDS", 0.01)
    process = psutil.Process()
    blocks = [bytes(2000) for _ in range(40_000)]
    # What still lies at the end keeps the C library from giving back what is below.
    pinned = blocks[::500]
    held = process.memory_info().rss
    del blocks

    giving = asyncio.create_task(memory.give_back_freed_memory())
    try:
        # Nothing tells that it was done.
        await eventually(lambda: asyncio.sleep(0, held - process.memory_info().rss > 40 * 2**20))
    finally:
        giving.cancel()
    assert len(pinned) == 80
