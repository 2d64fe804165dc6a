"""The fewest cron expressions for a set of times of day, each saying some minutes of some hours."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

Rectangle = tuple[frozenset[int], frozenset[int]]
"""Minutes and hours: the times of day that one cron expression says."""

# Past these the search gives up and takes the hours that are alike together. No usual pattern comes near.
_MAX_CHOICES: Final = 256
_MAX_NODES: Final = 2000


def rectangles(times: Iterable[int]) -> list[Rectangle]:
    """Returns as few rectangles as together hold exactly the given times, in the order of their first time.

    Args:
        times: Minutes of the day.
    """
    minutes_of: dict[int, set[int]] = {}
    hours_of: dict[int, set[int]] = {}
    for time in times:
        minutes_of.setdefault(time // 60, set()).add(time % 60)
        hours_of.setdefault(time % 60, set()).add(time // 60)
    by_hour = [(minutes, hours) for minutes, hours in _alike(minutes_of).items()]
    by_minute = [(minutes, hours) for hours, minutes in _alike(hours_of).items()]
    grouped = min(by_hour, by_minute, key=len)
    found = _Search([minutes for minutes, _ in by_hour]).fewest(below=len(grouped))
    if found is None:
        best = grouped
    else:
        best = [(minutes, frozenset(h for h, has in minutes_of.items() if minutes <= has)) for minutes in found]
    return sorted(best, key=lambda rectangle: (min(rectangle[1]), min(rectangle[0])))


def _alike(members_of: dict[int, set[int]]) -> dict[frozenset[int], frozenset[int]]:
    """Returns which keys have the same members."""
    keys_of: dict[frozenset[int], set[int]] = {}
    for key, members in members_of.items():
        keys_of.setdefault(frozenset(members), set()).add(key)
    return {members: frozenset(keys) for members, keys in keys_of.items()}


@dataclass
class _Search:
    """Looks for the fewest minute sets such that each row is the union of those that it contains."""

    rows: list[frozenset[int]]
    _choices: dict[tuple[int, int], list[frozenset[int]]] = field(default_factory=dict)
    _cells: dict[frozenset[int], frozenset[tuple[int, int]]] = field(default_factory=dict)
    _nodes: int = 0

    def fewest(self, below: int) -> list[frozenset[int]] | None:
        """Returns fewer than `below` minute sets, as few as can be; None where there are none or too much to try."""
        # Minutes that the same hours have stand or fall together: one of them is enough to look at.
        minutes = {
            frozenset(i for i, row in enumerate(self.rows) if m in row): m for m in frozenset().union(*self.rows)
        }
        for minute in minutes.values():
            for index, row in enumerate(self.rows):
                if minute in row:
                    choices = {row}
                    for other in self.rows:
                        if minute in other:
                            choices |= {choice & other for choice in choices}
                        if len(choices) > _MAX_CHOICES:
                            return None
                    self._choices[index, minute] = sorted(choices, key=lambda choice: (-len(choice), sorted(choice)))
        for choice in {choice for choices in self._choices.values() for choice in choices}:
            self._cells[choice] = frozenset((i, m) for i, m in self._choices if m in choice and choice <= self.rows[i])
        for count in range(1, below):
            found = self._cover(frozenset(self._choices), count)
            if found is not None or self._nodes > _MAX_NODES:
                return found
        return None

    def _cover(self, open_cells: frozenset[tuple[int, int]], count: int) -> list[frozenset[int]] | None:
        if not open_cells:
            return []
        self._nodes += 1
        largest = max(map(len, self._cells.values()))
        if count * largest < len(open_cells) or self._nodes > _MAX_NODES:
            return None
        cell = min(open_cells, key=lambda open_cell: (len(self._choices[open_cell]), open_cell))
        for choice in self._choices[cell]:
            rest = self._cover(open_cells - self._cells[choice], count - 1)
            if rest is not None:
                return [choice, *rest]
        return None
