"""What is asked of the API: each list by every filter, sort and direction, its first and its thousandth page."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, product
from typing import Final

from bench.catalogue.fill import COMMON_WORD, RARE_WORD, Filled

_PAGES: Final = ((1, 20), (1, 100), (1000, 20), (1000, 100))

_EXECUTION_SORTS: Final = ("queuedAt", "startedAt", "completedAt", "status")
_SCHEDULE_SORTS: Final = ("created", "name", "isEnabled", "lastRunTime", "nextRunTime")


@dataclass(frozen=True)
class Probe:
    """One thing to ask for, again and again."""

    subject: str
    """What is asked for, filter included."""
    sort: str
    """`field, direction`; empty for what is no list."""
    page: str
    """`page x size`; empty for what is no list."""
    urls: Iterator[str] = field(repr=False, compare=False)
    """What to get, each time the next: details take turns."""


def probes(filled: Filled) -> list[Probe]:
    """Returns everything that is measured."""
    executions = {
        "all": "",
        "a schedule with a tenth of them": f"scheduleId={filled.busy_schedule}",
        "Complete (88 %)": "status=Complete",
        "Failed (5 %)": "status=Failed",
        "Failed or Cancelled": "status=Failed&status=Cancelled",
        "Complete or Failed": "status=Complete&status=Failed",
        "that schedule, Failed": f"scheduleId={filled.busy_schedule}&status=Failed",
    }
    schedules = {
        "all": "",
        "a word in a thousandth": f"search={RARE_WORD}",
        "a word in a seventh": f"search={COMMON_WORD}",
        "a word in four fifths": "search=MORNING",
        "a word in none": "search=no%20such%20schedule",
    }
    return [
        *_lists("executions", "/api/v1/schedule-executions", executions, _EXECUTION_SORTS),
        *_lists("schedules", "/api/v1/schedules", schedules, _SCHEDULE_SORTS),
        _single("active executions", "/api/v1/schedule-executions/active"),
        _single("an execution", *(f"/api/v1/schedule-executions/{id_}" for id_ in filled.executions)),
        *(
            _single(f"an execution of {kind}", f"/api/v1/schedule-executions/{id_}")
            for kind, id_ in filled.large_executions.items()
        ),
        _single("a schedule", *(f"/api/v1/schedules/{id_}" for id_ in filled.schedules)),
    ]


def _lists(name: str, path: str, filters: dict[str, str], sorts: tuple[str, ...]) -> Iterator[Probe]:
    for (which, query), sort, descending in product(filters.items(), sorts, (True, False)):
        for page, size in _PAGES:
            order = f"sortBy={sort}&sortDescending={str(descending).lower()}"
            url = f"{path}?{query}&{order}&page={page}&pageSize={size}"
            direction = "descending" if descending else "ascending"
            yield Probe(f"{name}: {which}", f"{sort}, {direction}", f"{page:,} x {size}", cycle([url]))


def _single(subject: str, *urls: str) -> Probe:
    return Probe(subject, "", "", cycle(urls))
