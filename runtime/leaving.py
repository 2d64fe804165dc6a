"""Ending a process that has used Temporal."""

import logging
import os
import sys


def leave(code: int) -> None:
    """Ends the process now, without taking the interpreter apart.

    The SDK's native threads may still touch the interpreter while it is taken apart, which aborts the process: seen in
    one of eight stops of a worker (https://github.com/temporalio/sdk-python/issues/300). By now everything is closed.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def has_native_threads() -> bool:
    """Whether this process has loaded the SDK's native part."""
    return "temporalio.bridge.temporal_sdk_bridge" in sys.modules
