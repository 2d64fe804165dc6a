"""What was measured: a table of it, and its JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.catalogue.probes import Probe
from bench.machine import Load, Machine, Versions
from bench.report import Summary, load_text, table

_HEADINGS: Final = ("asked for", "sorted by", "page x size", "n", "median ms", "p95 ms", "max ms")
_SLOWEST: Final = 5


@dataclass(frozen=True)
class Answers:
    """How long the answers to one probe took."""

    probe: Probe
    milliseconds: tuple[float, ...]
    """From the request to the last byte of the answer, in the order in which they were taken."""

    @property
    def summary(self) -> Summary:
        """Median, p95 and so on."""
        return Summary.of(self.milliseconds)


@dataclass(frozen=True)
class CatalogueReport:
    """One run of the benchmark of the catalogue."""

    machine: Machine
    versions: Versions
    database: str
    """Name and version of the database."""
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
            "database": self.database,
            "rows": dict(self.rows),
            "load_before": self.load_before,
            "load_after": self.load_after,
            "answers": [
                {
                    "subject": answer.probe.subject,
                    "sort": answer.probe.sort,
                    "page": answer.probe.page,
                    "milliseconds": answer.milliseconds,
                    "summary": asdict(answer.summary),
                }
                for answer in self.answers
            ],
        }

    def as_markdown(self) -> str:
        """Returns the circumstances, the slowest answers, and a table with a row a probe."""
        machine, versions = self.machine, self.versions
        load = f"{load_text(self.load_before)} before, {load_text(self.load_after)} after"
        slowest = sorted(self.answers, key=lambda answer: -answer.summary.p95)[:_SLOWEST]
        return "\n".join(
            [
                "# Lists and details of a large catalogue, one API process, over loopback",
                "",
                f"- Machine: {machine.cores} cores, {machine.memory_gib:.1f} GiB, {machine.kernel}",
                f"- Rota {versions.rota}, Python {versions.python}, {self.database}",
                f"- Rows: {', '.join(f'{count:,} {table}' for table, count in self.rows.items())}",
                f"- Load average (1, 5, 15 minutes): {load}",
                "",
                "The slowest:",
                "",
                *_table(slowest),
                "All:",
                "",
                *_table(self.answers),
            ],
        )


def _table(answers: Sequence[Answers]) -> list[str]:
    return [*table(_HEADINGS, [_row(answer) for answer in answers]), ""]


def _row(answer: Answers) -> list[str]:
    probe, summary = answer.probe, answer.summary
    times = (f"{value:.1f}" for value in (summary.median, summary.p95, summary.maximum))
    return [probe.subject, probe.sort, probe.page, str(len(answer.milliseconds)), *times]
