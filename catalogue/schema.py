"""At which schema a catalogue is, and whether this version can work on it."""

from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import ProgrammingError

NO_SCHEMA: Final = "has no schema"


@cache
def revisions() -> tuple[str, ...]:
    """Returns the revisions that this version knows, the newest last.

    They are the beginnings of the migrations' file names: to ask Alembic would import every one of them.
    """
    folder = Path(__file__).parent / "migrations" / "versions"
    return tuple(sorted(file.name.partition("_")[0] for file in folder.glob("[0-9]*_*.py")))


def schema_problem(connection: Connection) -> str | None:
    """Returns what is wrong with the schema of a catalogue, such as `has no schema`; None where nothing is.

    A revision that this version does not know is a newer one's: migrations come before the processes that need them.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database gave no answer.
    """
    if not inspect(connection).has_table("alembic_version"):
        return NO_SCHEMA
    try:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    except ProgrammingError:
        # Who owns the schema need not let others read its revision; what they may do with the tables is seen there.
        return None
    newest = revisions()[-1]
    if newest in found:
        return None
    if known := [revision for revision in found if revision in revisions()]:
        return f"is at schema {known[0]}, and this version needs {newest}"
    # Else it may be another program's that keeps its tables here.
    return None if inspect(connection).has_table("schedule") else NO_SCHEMA
