"""What a case of the benchmark is. To add one, add a module in `bench/cases/` that defines `CASE`."""

import importlib
import pkgutil
import random
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Final

from bench import cases
from bench.report import Measure, Target
from bench.stack import Stack

FLOOR: Final = "bare workflow"
"""What the floor is called in the report."""
NO_HEARTBEAT: Final = "bare workflow without heartbeats"
STOCK: Final = "bare workflow, stock server"
STOCK_FILE: Final = "bare workflow, stock server with a file"

Sample = Mapping[str, float]
"""What one run of one side shows, by the name of the quantity; the same names on all sides."""

Side = Callable[[], Awaitable[Sample]]


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    runs: int = 7
    """Rounds of a case; a round runs each side once."""
    quick: bool = False
    """Only to see that it works: small sizes, one round."""

    def rounds(self, *, at_least: int = 1, at_most: int = 1000) -> int:
        """Returns how many rounds a case makes: as the user says, within its limits."""
        return 1 if self.quick else min(max(self.runs, at_least), at_most)

    def size(self, full: int, *, quick: int) -> int:
        """Returns how large something is."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Case:
    """One case."""

    letter: str
    """What `--case` calls it."""
    title: str
    measure: Callable[[Stack, Extent], Awaitable[Sequence[Measure]]]
    """Measures it on running processes, and checks that the work was really done."""


@dataclass(frozen=True)
class Quantity:
    """What a sample is of."""

    name: str
    unit: str
    targets: Mapping[str, Target] = field(default_factory=dict)
    """By what it is measured against."""


def find_cases() -> dict[str, Case]:
    """Returns every case by its letter, in their order."""
    modules = [
        importlib.import_module(f"{cases.__name__}.{found.name}") for found in pkgutil.iter_modules(cases.__path__)
    ]
    found: list[Case] = [module.CASE for module in modules]
    return {case.letter: case for case in sorted(found, key=lambda case: case.letter)}


async def interleaved(
    rounds: int, quantities: Sequence[Quantity], rota: Side, against: Mapping[str, Side]
) -> list[Measure]:
    """Measures all sides in turn, again and again, in an order that changes from round to round.

    The orders come in a sequence that is drawn, none again before all have come: so what one side leaves to the server to
    do, such as timers that are due later, does not always slow the same other one. Fewer rounds than orders, of which four
    sides have 24, see a part of them. One round more comes first and does not count.

    Args:
        rounds: How many count.
        quantities: What the samples are of.
        rota: Runs Rota once.
        against: Each runs once what Rota is measured against, by its name.
    """
    sides = {**against, "Rota": rota}
    taken: dict[str, list[Sample]] = {name: [] for name in sides}
    orders = list(permutations(sides))
    # The same in each measurement.
    random.Random(0).shuffle(orders)  # noqa: S311 - nothing secret
    for number in range(rounds + 1):
        for name in orders[number % len(orders)]:
            sample = await sides[name]()
            if number > 0:
                taken[name].append(sample)
        if number > 0:
            say(f"  {number}/{rounds}: {_shown(quantities, {name: samples[-1] for name, samples in taken.items()})}")
    return [
        Measure(
            quantity.name,
            quantity.unit,
            rota=tuple(sample[quantity.name] for sample in taken["Rota"]),
            against=name,
            baseline=tuple(sample[quantity.name] for sample in taken[name]),
            target=quantity.targets.get(name),
        )
        for quantity in quantities
        for name in against
    ]


def _shown(quantities: Sequence[Quantity], samples: Mapping[str, Sample]) -> str:
    return "; ".join(
        f"{quantity.name} ({quantity.unit}): "
        + ", ".join(f"{name} {sample[quantity.name]:.1f}" for name, sample in samples.items())
        for quantity in quantities
    )


def say(text: str) -> None:
    """Tells the user how far it has come."""
    print(text, file=sys.stderr, flush=True)
