"""Alembic migrations of the catalogue, and the calls that run them."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from catalogue.engine import sync_url


def alembic_config(url: str) -> Config:
    """Returns the configuration under which Alembic works on the catalogue at a URL.

    Raises:
        catalogue.engine.DatabaseUrlError: It is no URL of SQLite or PostgreSQL.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    # Alembic's options are an INI file, in which a percent sign begins a reference.
    config.set_main_option("sqlalchemy.url", sync_url(url).render_as_string(hide_password=False).replace("%", "%%"))
    return config


def migrate(url: str) -> None:
    """Brings the catalogue at a URL to the newest schema; one that is there already is left as it is."""
    command.upgrade(alembic_config(url), "head")
