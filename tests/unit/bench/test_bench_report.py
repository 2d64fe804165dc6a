import dataclasses
import json
from typing import Literal

import pytest

from bench.machine import Machine, Versions
from bench.report import CaseResult, Measure, Report, Summary, Target

AT_MOST = Target("ratio", "at most", 1)

REPORT = Report(
    machine=Machine(cpu="AMD EPYC", cores=2, memory_gib=15.62, kernel="Linux 6.1 x86_64"),
    versions=Versions(
        date="2026-01-31",
        rota="0.1.0",
        commit="186f4d5+",
        temporalio="1.35.0",
        server="1.32.0",
        python="3.11.7",
        database="sqlite 3.40.1",
    ),
    cases=(
        CaseResult(
            "A",
            "steps",
            (
                Measure(
                    "wall",
                    "ms",
                    rota=(30.0, 24.0, 27.0),
                    against="floor",
                    baseline=(10.0, 16.0, 18.0),
                    target=AT_MOST,
                ),
                Measure("memory", "MiB", rota=(1080.25,), target=Target("maximum", "at most", 2000)),
            ),
            seconds=12.4,
            load_before=(0.5, 0.25, 0.125),
            load_after=(1.5, 0.75, 0.375),
        ),
        CaseResult(
            "B",
            "latency",
            (Measure("start", "ms", rota=(5.0, 7.0), against="floor", baseline=(4.0, 4.0)),),
            seconds=3.0,
            load_before=(1.5, 0.75, 0.375),
            load_after=(2.0, 1.0, 0.5),
        ),
    ),
)


@pytest.mark.parametrize(
    ("samples", "median", "p95"),
    [
        ([7.0], 7.0, 7.0),
        ([4.0, 1.0], 2.5, 4.0),
        ([3.0, 1.0, 2.0], 2.0, 3.0),
        ([float(n) for n in range(20, 0, -1)], 10.5, 19.0),
        ([float(n) for n in range(1, 31)], 15.5, 29.0),
        ([float(n) for n in range(1, 101)], 50.5, 95.0),
    ],
)
def test_a_summary_takes_samples_in_any_order(samples: list[float], median: float, p95: float) -> None:
    assert Summary.of(samples) == Summary(median, min(samples), max(samples), p95)


def test_the_two_ratios_weigh_the_rounds_differently() -> None:
    measure = REPORT.cases[0].measures[0]

    assert measure.ratio_of_medians == pytest.approx(27 / 16)
    assert measure.median_of_ratios == pytest.approx(1.5)  # of 3, 1.5, 1.5: not of the sorted samples


def test_with_nothing_to_compare_there_is_no_ratio() -> None:
    measure = REPORT.cases[0].measures[1]

    assert measure.ratio_of_medians is None
    assert measure.median_of_ratios is None


def test_nothing_is_a_multiple_of_what_took_less_than_a_clock_tick() -> None:
    measure = Measure("CPU", "ms", rota=(3.0, 4.0), against="floor", baseline=(0.0, 0.0))

    assert measure.ratio_of_medians is None
    assert measure.median_of_ratios is None


@pytest.mark.parametrize(("rota", "baseline"), [((), ()), ((1.0, 2.0), (1.0,)), ((1.0, 2.0), (1.0,) * 3), ((), (1.0,))])
def test_samples_come_in_pairs(rota: tuple[float, ...], baseline: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"wall: {len(rota)} samples of Rota and {len(baseline)} to compare with"):
        Measure("wall", "ms", rota, "floor", baseline)


def test_one_sample_of_rota_makes_a_pair_with_each_of_the_others() -> None:
    measure = Measure("wall", "ms", (6.0,), "short", (2.0, 6.0, 3.0), Target("ratio", "at most", 2))
    report = dataclasses.replace(REPORT, cases=(dataclasses.replace(REPORT.cases[0], measures=(measure,)),))

    assert measure.median_of_ratios == measure.ratio_of_medians == 2.0
    assert measure.as_json()["baseline"] == (2.0, 6.0, 3.0)
    assert "| wall | ms | 1 against 3 | short | 3.00 | 2.00 to 6.00 | 6.00 |" in report.as_markdown()


def test_what_is_compared_has_a_name() -> None:
    with pytest.raises(ValueError, match="samples and a name, or neither"):
        Measure("wall", "ms", (1.0,), "", (1.0,))


def test_a_target_for_a_ratio_needs_something_to_compare_with() -> None:
    with pytest.raises(ValueError, match="a target for a ratio"):
        Measure("wall", "ms", (1.0,), target=AT_MOST)


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (None, None),
        (Target("ratio", "at most", 2.0), True),  # the median of the ratios, which is 2, not that of the medians, 3
        (Target("ratio", "at most", 1.9), False),
        (Target("ratio", "at least", 2.0), True),
        (Target("ratio", "at least", 2.1), False),
        (Target("median", "at most", 3.0), True),
        (Target("median", "at most", 2.9), False),
        (Target("p95", "at most", 8.0), True),
        (Target("maximum", "at most", 8.0), True),
        (Target("maximum", "at most", 7.9), False),
    ],
)
def test_a_target_is_met_or_not(target: Target | None, met: bool | None) -> None:  # noqa: FBT001 - parametrized
    measure = Measure("wall", "ms", (3.0, 2.0, 8.0), "floor", (1.0, 1.0, 4.0), target)

    assert (measure.verdict and measure.verdict.is_met) is met


@pytest.mark.parametrize("bound", ["at most", "at least"])
def test_a_target_of_a_ratio_that_there_is_not_is_missed_and_shown(bound: Literal["at most", "at least"]) -> None:
    measure = Measure("cpu", "ms", (5.0,), "floor", (0.0,), Target("ratio", bound, 1.25))
    report = dataclasses.replace(REPORT, cases=(dataclasses.replace(REPORT.cases[0], measures=(measure,)),))

    assert f"| A | cpu | floor | ratio {bound} 1.25 | no ratio | **no** |" in report.as_markdown()
    assert measure.as_json()["met"] is False


def test_a_rate_has_no_p95_as_more_is_better() -> None:
    measures = (Measure("runs", "1/s", (5.0, 7.0)), Measure("wall", "ms", (5.0, 7.0)))
    report = dataclasses.replace(REPORT, cases=(dataclasses.replace(REPORT.cases[0], measures=measures),))

    assert "| runs | 1/s | 2 | 6.00 | 5.00 to 7.00 |  |" in report.as_markdown()
    assert "| wall | ms | 2 | 6.00 | 5.00 to 7.00 | 7.00 |" in report.as_markdown()


def test_the_markdown_has_the_targets_and_a_table_a_case() -> None:
    assert (
        REPORT.as_markdown()
        == """\
- Measured on 2026-01-31 (UTC)
- Machine: AMD EPYC, 2 cores, 15.6 GiB, Linux 6.1 x86_64
- Rota 0.1.0 (commit 186f4d5+), temporalio 1.35.0, Python 3.11.7
- Temporal server 1.32.0, catalogue in sqlite 3.40.1

| case | measure | against | target | measured | met |
| --- | --- | --- | --- | --- | --- |
| A | wall | floor | ratio at most 1 | 1.50 | **no** |
| A | memory |  | maximum at most 2000 MiB | 1,080.2 | yes |

### A: steps

Load average (1, 5, 15 minutes) 0.50, 0.25, 0.12 before, 1.50, 0.75, 0.38 after,
in 12 s.

| measure | unit | n | against | its median | from, to | Rota's median | from, to | p95 | ratio of medians | median of ratios | target | met |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| wall | ms | 3 | floor | 16.0 | 10.0 to 18.0 | 27.0 | 24.0 to 30.0 | 30.0 | 1.69 | 1.50 | ratio at most 1 | **no** |
| memory | MiB | 1 |  |  |  | 1,080.2 |  |  |  |  | maximum at most 2000 | yes |

### B: latency

Load average (1, 5, 15 minutes) 1.50, 0.75, 0.38 before, 2.00, 1.00, 0.50 after,
in 3 s.

| measure | unit | n | against | its median | from, to | Rota's median | from, to | p95 | ratio of medians | median of ratios |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| start | ms | 2 | floor | 4.00 | 4.00 to 4.00 | 6.00 | 5.00 to 7.00 | 7.00 | 1.50 | 1.50 |
"""
    )


def test_what_is_not_known_is_left_out() -> None:
    report = dataclasses.replace(
        REPORT,
        machine=dataclasses.replace(REPORT.machine, cpu=""),
        versions=dataclasses.replace(REPORT.versions, commit=None),
    )

    assert "- Machine: 2 cores, 15.6 GiB" in report.as_markdown()
    assert "- Rota 0.1.0, temporalio" in report.as_markdown()


def test_the_json_keeps_every_sample() -> None:
    document = json.loads(json.dumps(REPORT.as_json()))

    assert document["machine"]["cpu"] == "AMD EPYC"
    assert document["machine"]["cores"] == 2
    assert document["versions"]["date"] == "2026-01-31"
    assert document["versions"]["commit"] == "186f4d5+"
    assert document["versions"]["server"] == "1.32.0"
    assert [case["letter"] for case in document["cases"]] == ["A", "B"]
    assert document["cases"][0]["load_before"] == [0.5, 0.25, 0.125]
    step, memory = document["cases"][0]["measures"]
    assert step["rota"] == [30.0, 24.0, 27.0]
    assert step["baseline"] == [10.0, 16.0, 18.0]
    assert step["rota_summary"] == {"median": 27.0, "minimum": 24.0, "maximum": 30.0, "p95": 30.0}
    assert step["median_of_ratios"] == pytest.approx(1.5)
    assert step["target"] == {"of": "ratio", "bound": "at most", "limit": 1}
    assert step["met"] is False
    assert memory["baseline_summary"] is None
    assert memory["ratio_of_medians"] is None
    assert memory["met"] is True


def test_a_quick_report_says_so_and_judges_nothing() -> None:
    quick = dataclasses.replace(REPORT, quick=True)

    assert "These figures mean nothing" in quick.as_markdown()
    assert "| case | measure |" not in quick.as_markdown()
    assert "These figures mean nothing" not in REPORT.as_markdown()
    assert "| case | measure |" in REPORT.as_markdown()
    assert (quick.as_json()["quick"], REPORT.as_json()["quick"]) == (True, False)
