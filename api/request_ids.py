"""Request ids: each answer has one in `X-Request-ID`, the client's own where it sent one, and each line of the log."""

import logging
import re
from typing import Final
from uuid import uuid4

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI

_REQUEST_ID: Final = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


def request_id() -> str | None:
    """Returns the id of the request that is answered; None outside of one."""
    return correlation_id.get()


def _clean(value: str) -> str:
    """Returns a client's id, or another in place of one that could not stand in a line of log."""
    return value if _REQUEST_ID.fullmatch(value) else uuid4().hex


def install_request_ids(app: FastAPI) -> None:
    """Gives requests their ids. Comes after every other middleware, so that whatever answers has one."""
    app.add_middleware(CorrelationIdMiddleware, validator=None, transformer=_clean)


def _mark(record: logging.LogRecord) -> bool:
    current = request_id()
    record.request = f" [{current}]" if current else ""
    return True


def mark_log_lines() -> None:
    """Puts the request's id into each line that this process logs from now on."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_mark)
