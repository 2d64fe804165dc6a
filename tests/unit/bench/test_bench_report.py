import json

import pytest

from bench.machine import Machine, Versions
from bench.report import CaseResult, Measure, Report, Summary, Target

AT_MOST = Target("ratio", "at most", 1)

REPORT = Report(
    machine=Machine(cores=2, memory_gib=15.62, kernel="Linux 6.1 x86_64"),
    versions=Versions(rota="0.1.0", temporalio="1.35.0", server="1.32.0", python="3.11.7"),
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


@pytest.mark.parametrize(("rota", "baseline"), [((), ()), ((1.0,), (1.0, 2.0)), ((), (1.0,))])
def test_samples_come_in_pairs(rota: tuple[float, ...], baseline: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"wall: {len(rota)} samples of Rota and {len(baseline)} to compare with"):
        Measure("wall", "ms", rota, "floor", baseline)


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
        (Target("maximum", "at most", 8.0), True),
        (Target("maximum", "at most", 7.9), False),
    ],
)
def test_a_target_is_met_or_not(target: Target | None, met: bool | None) -> None:  # noqa: FBT001 - parametrized
    measure = Measure("wall", "ms", (3.0, 2.0, 8.0), "floor", (1.0, 1.0, 4.0), target)

    assert measure.is_met is met


def test_the_markdown_has_a_row_a_measure_and_a_row_a_case() -> None:
    text = REPORT.as_markdown()
    heading, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    measures, cases = rows[:3], rows[5:]

    assert "- Machine: 2 cores, 15.6 GiB, Linux 6.1 x86_64\n" in text
    assert "- Rota 0.1.0, temporalio 1.35.0, Python 3.11.7\n" in text
    assert "- Temporal server 1.32.0\n" in text
    assert text.endswith("|\n")
    assert measures == [
        "| A | wall | ms | 3 | floor | 16.0 | 10.0 to 18.0 | 27.0 | 24.0 to 30.0 | 30.0 | 1.69 | 1.50 | ratio at most 1 | **no** |",
        "| A | memory | MiB | 1 |  |  |  | 1,080.2 | 1,080.2 to 1,080.2 | 1,080.2 |  |  | maximum at most 2000 | yes |",
        "| B | start | ms | 2 | floor | 4.0 | 4.0 to 4.0 | 6.0 | 5.0 to 7.0 | 7.0 | 1.50 | 1.50 |  |  |",
    ]
    assert cases == [
        "| A | steps | 12 | 0.50, 0.25, 0.12 | 1.50, 0.75, 0.38 |",
        "| B | latency | 3 | 1.50, 0.75, 0.38 | 2.00, 1.00, 0.50 |",
    ]
    assert {line.count("|") for line in (heading, rule, *measures)} == {15}
    assert {line.count("|") for line in rows[3:]} == {6}


def test_the_json_keeps_every_sample() -> None:
    document = json.loads(json.dumps(REPORT.as_json()))

    assert document["machine"]["cores"] == 2
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
