"""What was measured: its arithmetic, its Markdown and its JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.machine import Load, Machine, Versions

_HEADINGS: Final = (
    "case",
    "measure",
    "unit",
    "n",
    "floor median",
    "min to max",
    "p95",
    "Rota median",
    "min to max",
    "p95",
    "ratio of medians",
    "median of pairwise ratios",
)


@dataclass(frozen=True)
class Summary:
    """The distribution of some samples."""

    median: float
    minimum: float
    maximum: float
    p95: float
    """95th percentile by the nearest-rank method: the smallest sample that 95 % of them do not exceed. Of fewer than
    20 samples that is the largest."""

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Summary":
        """Summarises one sample or more."""
        ordered = sorted(samples)
        rank = -(-95 * len(ordered) // 100)  # rounded up, in whole numbers
        return cls(statistics.median(ordered), ordered[0], ordered[-1], ordered[rank - 1])


@dataclass(frozen=True)
class Measure:
    """Samples of one quantity, Rota's and the floor's."""

    name: str
    unit: str
    rota: tuple[float, ...]
    """In the order in which they were taken; one at least."""
    floor: tuple[float, ...] = ()
    """As many, each taken just before Rota's; empty where there is no floor."""

    def __post_init__(self) -> None:
        """Checks that samples come in pairs."""
        if not self.rota or (self.floor and len(self.floor) != len(self.rota)):
            raise ValueError(f"{self.name}: {len(self.rota)} samples of Rota and {len(self.floor)} of the floor")

    @property
    def ratio_of_medians(self) -> float | None:
        """Rota's median over the floor's; None without a floor."""
        return statistics.median(self.rota) / statistics.median(self.floor) if self.floor else None

    @property
    def median_of_ratios(self) -> float | None:
        """Median of Rota's samples, each over the floor's of the same round; None without a floor.

        What slows the machine for longer than a round is in both halves of a pair.
        """
        if not self.floor:
            return None
        return statistics.median(rota / floor for rota, floor in zip(self.rota, self.floor, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Returns samples and summaries."""
        return {
            **asdict(self),
            "rota_summary": asdict(Summary.of(self.rota)),
            "floor_summary": asdict(Summary.of(self.floor)) if self.floor else None,
            "ratio_of_medians": self.ratio_of_medians,
            "median_of_ratios": self.median_of_ratios,
        }


@dataclass(frozen=True)
class CaseResult:
    """What a case measured."""

    letter: str
    title: str
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Report:
    """One run of the benchmark."""

    machine: Machine
    versions: Versions
    load_before: Load
    load_after: Load
    """The benchmark's own load is in it."""
    stock_server: bool
    """Whether the server ran without Rota's settings."""
    cases: tuple[CaseResult, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns everything, every single sample too."""
        return {
            "machine": asdict(self.machine),
            "versions": asdict(self.versions),
            "load_before": self.load_before,
            "load_after": self.load_after,
            "stock_server": self.stock_server,
            "cases": [
                {
                    "letter": case.letter,
                    "title": case.title,
                    "measures": [measure.as_json() for measure in case.measures],
                }
                for case in self.cases
            ],
        }

    def as_markdown(self) -> str:
        """Returns the circumstances and a table with a row a measure."""
        machine, versions = self.machine, self.versions
        settings = "stock settings" if self.stock_server else "Rota's settings"
        rows = [_row(case, measure) for case in self.cases for measure in case.measures]
        return "\n".join(
            [
                "# Rota and the floor, a bare Temporal workflow on the same server",
                "",
                f"- Machine: {machine.cores} cores, {machine.memory_gib:.1f} GiB, {machine.kernel}",
                f"- Rota {versions.rota}, temporalio {versions.temporalio}, Python {versions.python}",
                f"- Temporal server {versions.server} on a SQLite file, {settings}",
                f"- Load average (1, 5, 15 minutes): {load_text(self.load_before)} before, {load_text(self.load_after)} after",
                "",
                table_line(_HEADINGS),
                table_line(["---"] * len(_HEADINGS)),
                *rows,
                "",
            ],
        )


def _row(case: CaseResult, measure: Measure) -> str:
    cells = [
        f"{case.letter}: {case.title}",
        measure.name,
        measure.unit,
        str(len(measure.rota)),
        *_distribution(measure.floor),
        *_distribution(measure.rota),
        _ratio(measure.ratio_of_medians),
        _ratio(measure.median_of_ratios),
    ]
    return table_line(cells)


def table_line(cells: Sequence[str]) -> str:
    """Returns a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _distribution(samples: Sequence[float]) -> tuple[str, str, str]:
    if not samples:
        return "", "", ""
    summary = Summary.of(samples)
    return f"{summary.median:.1f}", f"{summary.minimum:.1f} to {summary.maximum:.1f}", f"{summary.p95:.1f}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def load_text(load: Load) -> str:
    """Returns a load average as text."""
    return ", ".join(f"{value:.2f}" for value in load)
