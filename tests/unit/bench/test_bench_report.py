import json
from dataclasses import replace

import pytest

from bench.machine import Machine, Versions
from bench.report import CaseResult, Measure, Report, Summary

REPORT = Report(
    machine=Machine(cores=2, memory_gib=15.62, kernel="Linux 6.1 x86_64"),
    versions=Versions(rota="0.1.0", temporalio="1.35.0", server="1.32.0", python="3.11.7"),
    load_before=(0.5, 0.25, 0.125),
    load_after=(1.5, 0.75, 0.375),
    stock_server=False,
    cases=(
        CaseResult(
            "A",
            "steps",
            (
                Measure("wall a step", "ms", rota=(30.0, 24.0, 27.0), floor=(10.0, 16.0, 18.0)),
                Measure("memory", "MiB", rota=(80.25,)),
            ),
        ),
        CaseResult("B", "latency", (Measure("start", "ms", rota=(5.0, 7.0), floor=(4.0, 4.0)),)),
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


def test_without_a_floor_there_is_no_ratio() -> None:
    measure = REPORT.cases[0].measures[1]

    assert measure.ratio_of_medians is None
    assert measure.median_of_ratios is None


@pytest.mark.parametrize(("rota", "floor"), [((), ()), ((1.0,), (1.0, 2.0)), ((), (1.0,))])
def test_samples_come_in_pairs(rota: tuple[float, ...], floor: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"wall: {len(rota)} samples of Rota and {len(floor)} of the floor"):
        Measure("wall", "ms", rota, floor)


def test_the_markdown_has_a_row_a_measure() -> None:
    text = REPORT.as_markdown()
    heading, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]

    assert "- Machine: 2 cores, 15.6 GiB, Linux 6.1 x86_64\n" in text
    assert "- Rota 0.1.0, temporalio 1.35.0, Python 3.11.7\n" in text
    assert "- Temporal server 1.32.0 on a SQLite file, Rota's settings\n" in text
    assert "0.50, 0.25, 0.12 before, 1.50, 0.75, 0.38 after" in text
    assert text.endswith("|\n")
    assert rows == [
        "| A: steps | wall a step | ms | 3 | 16.0 | 10.0 to 18.0 | 18.0 | 27.0 | 24.0 to 30.0 | 30.0 | 1.69 | 1.50 |",
        "| A: steps | memory | MiB | 1 |  |  |  | 80.2 | 80.2 to 80.2 | 80.2 |  |  |",
        "| B: latency | start | ms | 2 | 4.0 | 4.0 to 4.0 | 4.0 | 6.0 | 5.0 to 7.0 | 7.0 | 1.50 | 1.50 |",
    ]
    assert {line.count("|") for line in (heading, rule, *rows)} == {13}


def test_the_markdown_says_that_the_server_was_stock() -> None:
    assert "SQLite file, stock settings\n" in replace(REPORT, stock_server=True).as_markdown()


def test_the_json_keeps_every_sample() -> None:
    document = json.loads(json.dumps(REPORT.as_json()))

    assert document["machine"]["cores"] == 2
    assert document["versions"]["server"] == "1.32.0"
    assert document["load_before"] == [0.5, 0.25, 0.125]
    assert document["stock_server"] is False
    step, memory = document["cases"][0]["measures"]
    assert step["rota"] == [30.0, 24.0, 27.0]
    assert step["floor"] == [10.0, 16.0, 18.0]
    assert step["rota_summary"] == {"median": 27.0, "minimum": 24.0, "maximum": 30.0, "p95": 30.0}
    assert step["median_of_ratios"] == pytest.approx(1.5)
    assert memory["floor_summary"] is None
    assert memory["ratio_of_medians"] is None
    assert [case["letter"] for case in document["cases"]] == ["A", "B"]
