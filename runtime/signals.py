"""SIGTERM and Ctrl-C."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


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


@contextlib.contextmanager
def called_at_stop(work: Callable[[], None]) -> Iterator[None]:
    """Calls something in the event loop as soon as the process is asked to stop, before what the server does then.

    A server waits for its open connections: one that would last for hours must be told. Servers say so to nobody.
    Only where the server itself handles the signals, which it does in the main thread.
    """
    loop = asyncio.get_running_loop()
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler) and handler is not signal.default_int_handler:
                handlers[number] = handler

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(work)
        handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
