"""What a user is told when the catalogue's database cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from alembic.util import CommandError
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from catalogue.engine import sync_url
from catalogue.schema import NO_SCHEMA, schema_problem
from runtime.errors import StartError
from runtime.settings import Settings, SettingsError

# SQLite has no codes for these; PostgreSQL: undefined_table and undefined_column (its documentation, appendix A).
_SQLITE_UNMIGRATED: Final = ("no such table", "no such column", "has no column named", "unable to open database file")
_POSTGRES_UNMIGRATED: Final = frozenset({"42P01", "42703"})

_PATIENCE_SECONDS: Final = "3"
"""How long a start waits for a database that does not answer; afterwards the process goes on trying beside its work."""


class CatalogueUnusable(StartError):
    """The catalogue's database cannot be used now; the message is one line."""

    exit_code: ClassVar[int] = 1


def check_catalogue_url(settings: Settings) -> None:
    """Checks what can be known of the catalogue's URL without connecting.

    Raises:
        StartError: It cannot be used; the message is one line that names the setting.
    """
    url = sync_url(settings.catalogue_url)
    if "@" in (url.host or ""):
        # The part behind the first @ would be shown as the host.
        raise SettingsError("ROTA_DATABASE_URL: write an @ in the user or the password as %40")
    with catalogue_failures(settings):
        url.get_dialect().import_dbapi()


def check_schema(settings: Settings) -> None:
    """Checks that the catalogue has the schema that this version works on; one that cannot be reached may have it.

    Raises:
        CatalogueUnusable: It has none, or an older one.
    """
    problem = _schema_problem(sync_url(settings.catalogue_url))
    if problem:
        raise CatalogueUnusable(
            f"the catalogue {_shown(make_url(settings.catalogue_url))} {problem}: run `rota migrate`"
        )


def _schema_problem(url: URL) -> str | None:
    if url.get_backend_name() != "sqlite":
        url = url.update_query_dict({"connect_timeout": _PATIENCE_SECONDS})
    elif url.database and not url.database.startswith("file:"):
        try:
            Path(url.database).stat()
        except FileNotFoundError:
            # To connect would make it.
            return NO_SCHEMA
        except OSError:
            return None
    try:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return schema_problem(connection)
    except (SQLAlchemyError, ValueError, TypeError):
        # Options of the URL that the driver does not take, too: its first use says so.
        return None


@contextmanager
def catalogue_failures(settings: Settings) -> Iterator[None]:
    """Turns what a database, its driver or the migrations raise into one line.

    Raises:
        CatalogueUnusable: The database cannot be used; without a secret in the message.
        SettingsError: The driver is not installed.
    """
    try:
        yield
    except DBAPIError as error:
        raise CatalogueUnusable(_reason(error, make_url(settings.catalogue_url))) from None
    except (SQLAlchemyError, CommandError) as error:
        shown = _shown(make_url(settings.catalogue_url))
        raise CatalogueUnusable(f"the catalogue {shown} cannot be used: {_one_line(error)}") from None
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise SettingsError("ROTA_DATABASE_URL: PostgreSQL needs a driver: pip install 'rota[postgres]'") from None


def _reason(error: DBAPIError, url: URL) -> str:
    text = _one_line(error.orig)
    unmigrated = getattr(error.orig, "sqlstate", None) in _POSTGRES_UNMIGRATED or any(
        hint in text for hint in _SQLITE_UNMIGRATED
    )
    if unmigrated:
        return f"the catalogue {_shown(url)} is not at the newest schema: run `rota migrate`"
    for secret in (url.password, url.query.get("password")):
        if secret:
            text = text.replace(str(secret), "***")
    return f"the catalogue {_shown(url)} cannot be used: {text}"


def _shown(url: URL) -> str:
    # A password may stand in the query, too.
    return url.set(query={}).render_as_string()


def _one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())
