"""What was measured: its arithmetic, its Markdown and its JSON."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from bench.machine import Load, Machine, Versions

_HEADINGS: Final = (
    "measure",
    "unit",
    "n",
    "against",
    "its median",
    "from, to",
    "Rota's median",
    "from, to",
    "p95",
    "ratio of medians",
    "median of ratios",
    "target",
    "met",
)
RATE: Final = "1/s"
"""The unit of how much was done in a second."""
_VERDICT_HEADINGS: Final = ("case", "measure", "against", "target", "measured", "met")


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

    of: Literal["ratio", "median", "p95", "maximum"]
    """What is held against the limit: the median of the ratios of pairs, or Rota's own median, p95 or largest sample."""
    bound: Literal["at most", "at least"]
    limit: float

    def __str__(self) -> str:
        """Returns it in words."""
        return f"{self.of} {self.bound} {self.limit:g}"

    def is_met(self, value: float) -> bool:
        """Whether a value keeps to it."""
        return value <= self.limit if self.bound == "at most" else value >= self.limit


@dataclass(frozen=True)
class Verdict:
    """What a target says of a measure."""

    target: Target
    value: float | None
    """What is held against the limit; None where there is no such ratio, as a sample of the other side is 0."""

    @property
    def is_met(self) -> bool:
        """Whether the value keeps to it; what could not be measured does not."""
        return self.value is not None and self.target.is_met(self.value)

    def __str__(self) -> str:
        """Returns yes or no."""
        return "yes" if self.is_met else "**no**"


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
    """As many as Rota's, each taken in the same round; or any number against one of Rota's, which makes a pair with each;
    empty where there is none."""
    target: Target | None = None

    def __post_init__(self) -> None:
        """Checks that samples come in pairs."""
        if not self.rota or (self.baseline and len(self.rota) not in {1, len(self.baseline)}):
            raise ValueError(f"{self.name}: {len(self.rota)} samples of Rota and {len(self.baseline)} to compare with")
        if bool(self.against) != bool(self.baseline):
            raise ValueError(f"{self.name}: what it is compared with has samples and a name, or neither")
        if self.target and self.target.of == "ratio" and not self.baseline:
            raise ValueError(f"{self.name}: a target for a ratio, and nothing to compare with")

    @property
    def ratio_of_medians(self) -> float | None:
        """Rota's median over the other's; None where there is no other, or it is 0: less than a clock tick of CPU."""
        baseline = statistics.median(self.baseline) if self.baseline else 0
        return statistics.median(self.rota) / baseline if baseline else None

    @property
    def median_of_ratios(self) -> float | None:
        """Median of the ratios of all pairs; None where there is no other, or a sample of it is 0.

        What slows the machine for longer than a round is in both halves of a pair.
        """
        if not self.baseline or 0 in self.baseline:
            return None
        rota = self.rota * len(self.baseline) if len(self.rota) == 1 else self.rota
        return statistics.median(of_rota / other for of_rota, other in zip(rota, self.baseline, strict=True))

    @property
    def verdict(self) -> "Verdict | None":
        """Whether it shows what it must; None where it must show nothing."""
        if self.target is None:
            return None
        summary = Summary.of(self.rota)
        values = {"median": summary.median, "p95": summary.p95, "maximum": summary.maximum}
        return Verdict(self.target, self.median_of_ratios if self.target.of == "ratio" else values[self.target.of])

    def as_json(self) -> dict[str, Any]:
        """Returns samples, summaries and the verdict."""
        return {
            **asdict(self),
            "rota_summary": asdict(Summary.of(self.rota)),
            "baseline_summary": asdict(Summary.of(self.baseline)) if self.baseline else None,
            "ratio_of_medians": self.ratio_of_medians,
            "median_of_ratios": self.median_of_ratios,
            "met": self.verdict and self.verdict.is_met,
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
    quick: bool = False
    """Whether everything ran in small, to see that it works."""

    def as_json(self) -> dict[str, Any]:
        """Returns everything, every single sample too."""
        return {
            "quick": self.quick,
            "machine": asdict(self.machine),
            "versions": asdict(self.versions),
            "cases": [case.as_json() for case in self.cases],
        }

    def as_markdown(self) -> str:
        """Returns the circumstances, a table of the targets, and one a case with a row a measure."""
        versions = self.versions
        lines = [
            f"- Measured on {versions.date} (UTC)",
            f"- Machine: {self.machine}",
            f"- {versions.rota_and_commit}, temporalio {versions.temporalio}, Python {versions.python}",
            f"- Temporal server {versions.server}, catalogue in {versions.database}",
            *(["- **Quick: everything in small, once. These figures mean nothing.**"] if self.quick else []),
            "",
        ]
        verdicts = [] if self.quick else [row for case in self.cases for row in _verdicts(case)]
        if verdicts:
            lines += [*table(_VERDICT_HEADINGS, verdicts), ""]
        for case in self.cases:
            lines += [
                f"### {case.letter}: {case.title}",
                "",
                f"Load average (1, 5, 15 minutes) {load_text(case.load_before)} before, {load_text(case.load_after)} after,",
                f"in {case.seconds:.0f} s.",
                "",
                *table(_HEADINGS, [_row(measure) for measure in case.measures]),
                "",
            ]
        return "\n".join(lines)


def _verdicts(case: CaseResult) -> Iterator[list[str]]:
    for measure in case.measures:
        verdict = measure.verdict
        if verdict is not None:
            if verdict.value is None:
                value = "no ratio"
            else:
                value = _ratio(verdict.value) if verdict.target.of == "ratio" else _number(verdict.value)
            target = str(verdict.target) if verdict.target.of == "ratio" else f"{verdict.target} {measure.unit}"
            yield [case.letter, measure.name, measure.against, target, value, str(verdict)]


def _row(measure: Measure) -> list[str]:
    median, span, p95 = _distribution(measure.rota)
    return [
        measure.name,
        measure.unit,
        _count(measure),
        measure.against,
        *_distribution(measure.baseline)[:2],
        median,
        span,
        # Of a rate that is the best value: more is better.
        "" if measure.unit == RATE else p95,
        _ratio(measure.ratio_of_medians),
        _ratio(measure.median_of_ratios),
        "" if measure.target is None else str(measure.target),
        "" if measure.verdict is None else str(measure.verdict),
    ]


def _count(measure: Measure) -> str:
    count = str(len(measure.rota))
    return count if len(measure.baseline) in {0, len(measure.rota)} else f"{count} against {len(measure.baseline)}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table; a column that is empty throughout is left out."""
    kept = [column for column in range(len(headings)) if any(row[column] for row in rows)]
    lines = (headings, ["---"] * len(headings), *rows)
    return [f"| {' | '.join(cells[column] for column in kept)} |" for cells in lines]


def _distribution(samples: Sequence[float]) -> tuple[str, str, str]:
    """Returns median, range and p95; of one sample, that alone."""
    if not samples:
        return "", "", ""
    summary = Summary.of(samples)
    if len(samples) == 1:
        return _number(summary.median), "", ""
    return (
        _number(summary.median),
        f"{_number(summary.minimum)} to {_number(summary.maximum)}",
        _number(summary.p95),
    )


def _number(value: float) -> str:
    return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def load_text(load: Load) -> str:
    """Returns a load average as text."""
    return ", ".join(f"{value:.2f}" for value in load)
