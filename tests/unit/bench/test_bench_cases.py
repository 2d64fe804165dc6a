import pkgutil
import string
from collections import Counter
from itertools import permutations

import pytest

from bench import cases
from bench.case import Case, Extent, Quantity, Sample, find_cases, interleaved
from bench.report import Measure, Target

CASES = find_cases()


def test_every_module_is_a_case_of_its_own() -> None:
    modules = list(pkgutil.iter_modules(cases.__path__))

    assert len(CASES) == len(modules)
    assert set(CASES) <= set(string.ascii_uppercase)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case_says_what_it_is(case: Case) -> None:
    assert case.title
    assert "\n" not in case.title
    assert case.measure.__doc__, "how it is measured stands in the docstring"


async def test_the_sides_take_turns_and_the_first_round_does_not_count() -> None:
    ran: list[str] = []

    def side(name: str) -> Sample:
        ran.append(name)
        return {"wall": float(len(ran)), "size": -1.0}

    async def rota() -> Sample:
        return side("Rota")

    async def floor() -> Sample:
        return side("floor")

    async def stock() -> Sample:
        return side("stock")

    target = Target("ratio", "at most", 2)
    quantities = [Quantity("wall", "ms", {"stock": target}), Quantity("size", "B")]
    measures = await interleaved(23, quantities, rota, {"floor": floor, "stock": stock})

    rounds = [ran[at : at + 3] for at in range(0, len(ran), 3)]
    assert Counter(map(tuple, rounds)) == dict.fromkeys(permutations(("Rota", "floor", "stock")), 4)
    places = {
        name: tuple(float(at + 1) for at, other in enumerate(ran) if other == name and at >= 3)
        for name in ("Rota", "floor", "stock")
    }
    nothing = (-1.0,) * 23
    assert measures == [
        Measure("wall", "ms", places["Rota"], "floor", places["floor"]),
        Measure("wall", "ms", places["Rota"], "stock", places["stock"], target),
        Measure("size", "B", nothing, "floor", nothing),
        Measure("size", "B", nothing, "stock", nothing),
    ]


def test_a_quick_run_is_one_round_of_small_sizes() -> None:
    full, quick = Extent(runs=7), Extent(runs=7, quick=True)

    assert (full.rounds(), full.rounds(at_least=30), full.rounds(at_most=3), full.size(50, quick=3)) == (7, 30, 3, 50)
    assert (quick.rounds(), quick.rounds(at_least=30), quick.rounds(at_most=3), quick.size(50, quick=3)) == (1, 1, 1, 3)
