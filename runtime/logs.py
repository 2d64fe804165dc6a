"""Logging of every process: one line an event, to stderr."""

import logging
from typing import Final

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

# Libraries that say much at INFO that no operator asked for.
_QUIET: Final = ("alembic", "httpx", "sqlalchemy", "uvicorn.access")


def configure_logging(level: int = logging.INFO) -> None:
    """Sets up logging, once for each process."""
    logging.basicConfig(level=level, format=_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S%z")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
