"""What was measured of the catalogue: a table of it, and its JSON."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.catalogue.probes import Probe
from bench.machine import Load, Machine, Versions
from bench.report import Summary, Target, load_text, table

_HEADINGS: Final = ("asked for", "orders and pages", "n", "KB", "median ms", "largest p95 ms", "where", "target", "met")
_LIMIT: Final = Target("p95", "at most", 100)


@dataclass(frozen=True)
class Answers:
    """How long the answers to one probe took."""

    probe: Probe
    milliseconds: tuple[float, ...]
    """From the request to the last byte of the answer, in the order in which they were taken."""
    size: int
    """Bytes of the largest answer."""

    @property
    def summary(self) -> Summary:
        """Median, p95 and so on."""
        return Summary.of(self.milliseconds)


@dataclass(frozen=True)
class CatalogueReport:
    """One run of the benchmark of the catalogue."""

    machine: Machine
    versions: Versions
    rows: Mapping[str, int]
    """How many rows each table had."""
    load_before: Load
    load_after: Load
    """The benchmark's own load is in it."""
    answers: Sequence[Answers]

    def as_json(self) -> dict[str, Any]:
        """Returns everything, every single sample too."""
        return {
            "machine": asdict(self.machine),
            "versions": asdict(self.versions),
            "rows": dict(self.rows),
            "load_before": self.load_before,
            "load_after": self.load_after,
            "answers": [
                {
                    "subject": answer.probe.subject,
                    "sort": answer.probe.sort,
                    "page": answer.probe.page,
                    "milliseconds": answer.milliseconds,
                    "bytes": answer.size,
                    "summary": asdict(answer.summary),
                    "met": _LIMIT.is_met(answer.summary.p95),
                }
                for answer in self.answers
            ],
        }

    def as_markdown(self) -> str:
        """Returns the circumstances, and a table with a row for each that is asked for, its slowest order and page."""
        versions = self.versions
        load = f"{load_text(self.load_before)} before, {load_text(self.load_after)} after"
        subjects = {answer.probe.subject: None for answer in self.answers}
        rows = [_row(subject, [a for a in self.answers if a.probe.subject == subject]) for subject in subjects]
        return "\n".join(
            [
                f"- Measured on {versions.date} (UTC)",
                f"- Machine: {self.machine}",
                f"- {versions.rota_and_commit}, Python {versions.python}, catalogue in {versions.database}",
                f"- Rows: {', '.join(f'{count:,} {table}' for table, count in self.rows.items())}",
                f"- Load average (1, 5, 15 minutes): {load}",
                "",
                *table(_HEADINGS, rows),
                "",
            ],
        )


def _row(subject: str, answers: Sequence[Answers]) -> list[str]:
    slowest = max(answers, key=lambda answer: answer.summary.p95)
    p95 = slowest.summary.p95
    where = [part for part in (slowest.probe.sort, slowest.probe.page) if part]
    return [
        subject,
        str(len(answers)),
        str(len(slowest.milliseconds)),
        f"{max(answer.size for answer in answers) / 1000:,.0f}",
        f"{statistics.median(answer.summary.median for answer in answers):.1f}",
        f"{p95:.1f}",
        ", page ".join(where),
        f"{_LIMIT} ms",
        "yes" if _LIMIT.is_met(p95) else "**no**",
    ]
