"""Catalogues that exist for a run of the benchmark only."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from bench.runs import BenchError
from catalogue.engine import sync_url


@contextmanager
def new_database(server: str | None) -> Iterator[str]:
    """Makes an empty database, yields its URL, and takes it away.

    Args:
        server: URL of a PostgreSQL database whose user may create others; None for a SQLite file.

    Raises:
        BenchError: The database cannot be made.
        catalogue.engine.DatabaseUrlError: It is no URL of a database.
    """
    if server is None:
        with tempfile.TemporaryDirectory(prefix="rota-bench-") as folder:
            yield f"sqlite:///{Path(folder) / 'rota.db'}"
        return
    name = f"rota_bench_{uuid.uuid4().hex}"
    engine = create_engine(sync_url(server), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise BenchError(f"--database: no database can be made there: {reason}") from None
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        engine.dispose()
