"""What a case of the benchmark is. To add one, add a module in `bench/cases/` that defines `CASE`."""

import importlib
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bench import cases
from bench.report import Measure
from bench.stack import Stack

Sample = Mapping[str, float]
"""What one run of one side shows, by the name of the measure; the same names on both sides."""

Side = Callable[[], Awaitable[Sample]]


@dataclass(frozen=True)
class Case:
    """One case."""

    letter: str
    """What `--case` calls it."""
    title: str
    measure: Callable[[Stack, int], Awaitable[Sequence[Measure]]]
    """Takes the running processes and the number that `--runs` gives."""


def find_cases() -> dict[str, Case]:
    """Returns every case by its letter, in their order."""
    modules = [
        importlib.import_module(f"{cases.__name__}.{found.name}") for found in pkgutil.iter_modules(cases.__path__)
    ]
    found: list[Case] = [module.CASE for module in modules]
    return {case.letter: case for case in sorted(found, key=lambda case: case.letter)}


async def interleaved(rounds: int, floor: Side, rota: Side, *, unit: str = "ms") -> list[Measure]:
    """Measures both sides in turn: floor, Rota, floor, Rota, ..., after one round that does not count.

    Args:
        rounds: How often.
        floor: Runs the floor once.
        rota: Runs Rota once.
        unit: Unit of all that they return.
    """
    await floor()
    await rota()
    pairs: list[tuple[Sample, Sample]] = []
    for number in range(1, rounds + 1):
        pair = await floor(), await rota()
        pairs.append(pair)
        shown = ", ".join(f"{name} {pair[0][name]:.1f} and {pair[1][name]:.1f} {unit}" for name in pair[0])
        say(f"  {number}/{rounds}: {shown}")
    return [
        Measure(name, unit, rota=tuple(r[name] for _, r in pairs), floor=tuple(f[name] for f, _ in pairs))
        for name in pairs[0][0]
    ]


def say(text: str) -> None:
    """Tells the user how far it has come."""
    print(text, file=sys.stderr, flush=True)
