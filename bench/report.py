"""What was measured: its arithmetic, its Markdown and its JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from bench.machine import Load, Machine, Versions

_HEADINGS: Final = (
    "case",
    "measure",
    "unit",
    "n",
    "against",
    "its median",
    "min to max",
    "Rota's median",
    "min to max",
    "p95",
    "ratio of medians",
    "median of ratios",
    "target",
    "met",
)
_CASE_HEADINGS: Final = ("case", "what", "seconds", "load before", "load after")


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
class Target:
    """What a measure must show."""

    of: Literal["ratio", "median", "maximum"]
    """What is held against the limit: the median of the ratios of pairs, or Rota's own median or largest sample."""
    bound: Literal["at most", "at least"]
    limit: float

    def __str__(self) -> str:
        """Returns it in words."""
        return f"{self.of} {self.bound} {self.limit:g}"

    def is_met(self, value: float) -> bool:
        """Whether a value keeps to it."""
        return value <= self.limit if self.bound == "at most" else value >= self.limit


@dataclass(frozen=True)
class Measure:
    """Samples of one quantity: Rota's, and those of what it is measured against."""

    name: str
    unit: str
    rota: tuple[float, ...]
    """In the order in which they were taken; one at least."""
    against: str = ""
    """What `baseline` is of; empty where there is none."""
    baseline: tuple[float, ...] = ()
    """As many as Rota's, each taken in the same round; empty where there is none."""
    target: Target | None = None

    def __post_init__(self) -> None:
        """Checks that samples come in pairs."""
        if not self.rota or (self.baseline and len(self.baseline) != len(self.rota)):
            raise ValueError(f"{self.name}: {len(self.rota)} samples of Rota and {len(self.baseline)} to compare with")
        if bool(self.against) != bool(self.baseline):
            raise ValueError(f"{self.name}: what it is compared with has samples and a name, or neither")
        if self.target and self.target.of == "ratio" and not self.baseline:
            raise ValueError(f"{self.name}: a target for a ratio, and nothing to compare with")

    @property
    def ratio_of_medians(self) -> float | None:
        """Rota's median over the other's; None where there is no other."""
        return statistics.median(self.rota) / statistics.median(self.baseline) if self.baseline else None

    @property
    def median_of_ratios(self) -> float | None:
        """Median of Rota's samples, each over the other's of the same round; None where there is no other.

        What slows the machine for longer than a round is in both halves of a pair.
        """
        if not self.baseline:
            return None
        return statistics.median(rota / other for rota, other in zip(self.rota, self.baseline, strict=True))

    @property
    def is_met(self) -> bool | None:
        """Whether it shows what it must; None where it must show nothing."""
        if self.target is None:
            return None
        summary = Summary.of(self.rota)
        values = {"ratio": self.median_of_ratios, "median": summary.median, "maximum": summary.maximum}
        value = values[self.target.of]
        return value is not None and self.target.is_met(value)

    def as_json(self) -> dict[str, Any]:
        """Returns samples, summaries and the verdict."""
        return {
            **asdict(self),
            "rota_summary": asdict(Summary.of(self.rota)),
            "baseline_summary": asdict(Summary.of(self.baseline)) if self.baseline else None,
            "ratio_of_medians": self.ratio_of_medians,
            "median_of_ratios": self.median_of_ratios,
            "met": self.is_met,
        }


@dataclass(frozen=True)
class CaseResult:
    """What a case measured, and under which load."""

    letter: str
    title: str
    measures: tuple[Measure, ...]
    seconds: float
    """How long it took."""
    load_before: Load
    load_after: Load
    """The case's own load is in it."""

    def as_json(self) -> dict[str, Any]:
        """Returns everything, every single sample too."""
        return {**asdict(self), "measures": [measure.as_json() for measure in self.measures]}


@dataclass(frozen=True)
class Report:
    """One run of the benchmark."""

    machine: Machine
    versions: Versions
    cases: tuple[CaseResult, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns everything, every single sample too."""
        return {
            "machine": asdict(self.machine),
            "versions": asdict(self.versions),
            "cases": [case.as_json() for case in self.cases],
        }

    def as_markdown(self) -> str:
        """Returns the circumstances, a table with a row a measure, and one with a row a case."""
        machine, versions = self.machine, self.versions
        return "\n".join(
            [
                f"- Machine: {machine.cores} cores, {machine.memory_gib:.1f} GiB, {machine.kernel}",
                f"- Rota {versions.rota}, temporalio {versions.temporalio}, Python {versions.python}",
                f"- Temporal server {versions.server}",
                "",
                *table(_HEADINGS, [_row(case, measure) for case in self.cases for measure in case.measures]),
                "",
                "Load averages are of the last 1, 5 and 15 minutes; a case's own load is in the second.",
                "",
                *table(_CASE_HEADINGS, [_case_row(case) for case in self.cases]),
                "",
            ],
        )


def _row(case: CaseResult, measure: Measure) -> list[str]:
    rota = Summary.of(measure.rota)
    met = measure.is_met
    return [
        case.letter,
        measure.name,
        measure.unit,
        str(len(measure.rota)),
        measure.against,
        *_distribution(Summary.of(measure.baseline) if measure.baseline else None),
        *_distribution(rota),
        _number(rota.p95),
        _ratio(measure.ratio_of_medians),
        _ratio(measure.median_of_ratios),
        "" if measure.target is None else str(measure.target),
        "" if met is None else "yes" if met else "**no**",
    ]


def _case_row(case: CaseResult) -> list[str]:
    return [
        case.letter,
        case.title,
        f"{case.seconds:.0f}",
        load_text(case.load_before),
        load_text(case.load_after),
    ]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows)]


def _distribution(summary: Summary | None) -> tuple[str, str]:
    if summary is None:
        return "", ""
    return _number(summary.median), f"{_number(summary.minimum)} to {_number(summary.maximum)}"


def _number(value: float) -> str:
    return f"{value:,.1f}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def load_text(load: Load) -> str:
    """Returns a load average as text."""
    return ", ".join(f"{value:.2f}" for value in load)
