"""Logging of every process: one line an event, to stderr."""

import logging
from typing import Final

# The API puts the id of the request that it answers behind the logger's name.
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s%(request)s: %(message)s"

# Libraries that say much at INFO that no operator asked for.
_QUIET: Final = ("alembic", "httpx", "sqlalchemy", "uvicorn.access")


def configure_logging(level: int = logging.INFO) -> None:
    """Sets up logging, once for each process."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S%z", defaults={"request": ""}))
    logging.basicConfig(level=level, handlers=[handler])
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
