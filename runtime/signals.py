"""Waiting for SIGTERM or Ctrl-C."""

import asyncio
import contextlib
import signal


async def stop_requested() -> None:
    """Returns when the process is asked to stop by SIGTERM or SIGINT; a second signal has its usual effect."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    try:
        for number in signals:
            loop.add_signal_handler(number, asked.set)
    except NotImplementedError:
        # Windows' event loop takes no handlers; there Ctrl-C interrupts the wait itself.
        with contextlib.suppress(asyncio.CancelledError):
            await asked.wait()
        return
    try:
        await asked.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
