"""How times of day and lists of numbers are written."""

from collections.abc import Iterable, Sequence
from itertools import groupby


def clock_text(minute_of_day: int) -> str:
    """Returns a minute of the day as `HH:MM`."""
    return f"{minute_of_day // 60:02}:{minute_of_day % 60:02}"


def runs(values: Iterable[int]) -> list[tuple[int, int]]:
    """Returns the first and last of each run of whole numbers that follow one another."""
    found = []
    for _, numbered in groupby(enumerate(sorted(values)), key=lambda pair: pair[1] - pair[0]):
        run = [value for _, value in numbered]
        found.append((run[0], run[-1]))
    return found


def numbers_text(values: Iterable[int], *, shortest_range: int) -> str:
    """Returns numbers as cron has them: runs of at least so many as ranges, the others one by one."""
    texts: list[str] = []
    for first, last in runs(values):
        is_range = last - first + 1 >= shortest_range
        texts.extend([f"{first}-{last}"] if is_range else map(str, range(first, last + 1)))
    return ",".join(texts)


def listed(texts: Sequence[str]) -> str:
    """Returns texts as English lists them."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
