"""Names in requests that nothing knows, and what they may have been."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

_LISTED: Final = 20
"""Of one kind so many are written out and compared with what is known: a client may send thousands."""

_GUESSED_FROM: Final = 5
"""So many are compared with a field that is missing, up to 30 microseconds each: ten thousand steps may lack one."""

_SHOWN_LENGTH: Final = 100
"""How much is shown of a name that nothing knows; those that are known are shorter."""


class Sent(dict[str, Any]):
    """An object of a request, by the JSON names of a model's fields."""

    def __init__(self, values: Mapping[str, Any], unknown: Sequence[str]) -> None:
        """Takes the object, and the names in it that no field has."""
        super().__init__(values)
        self.unknown: Final = unknown


@cache
def names_of(*models: type[BaseModel]) -> Mapping[str, str]:
    """Returns the JSON names of the models' fields, by themselves in lower case."""
    fields = [(name, field) for model in models for name, field in model.model_fields.items()]
    return {(field.alias or name).lower(): field.alias or name for name, field in fields}


def first_of(warnings: Sequence[str], count: int, what: str) -> list[str]:
    """Returns the first of so many warnings, and how many more there are."""
    rest = [f"{count - _LISTED:,} more {what}."] if count > _LISTED else []
    return [*warnings[:_LISTED], *rest]


def unknown_warnings(sent: Sequence[tuple[str, str, str]], known: Mapping[str, str]) -> list[str]:
    """Returns a line for each name that is not known.

    Args:
        sent: Where it was sent, the name, and how often.
        known: Names by themselves in lower case.
    """
    unknown = [(place, name[:_SHOWN_LENGTH], often) for place, name, often in sent if name.lower() not in known]
    listed = []
    for place, name, often in unknown[:_LISTED]:
        close = get_close_matches(name.lower(), known, n=1)
        guess = f" Did you mean {known[close[0]]}?" if close else ""
        listed.append(f"{place}{name}: unknown field, ignored{often}.{guess}")
    return first_of(listed, len(unknown), "unknown fields were ignored")


def guess_for(required: str, unknown: Sequence[str]) -> str:
    """Returns a sentence, with a space before it, where a name that nothing knows may be that of a field that is missing."""
    names = {name.lower(): name for name in unknown[:_GUESSED_FROM] if len(name) <= _SHOWN_LENGTH}
    close = get_close_matches(required.lower(), names, n=1)
    return f" {names[close[0]]} is unknown: did you mean {required}?" if close else ""
