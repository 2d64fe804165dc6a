"""What the page on daily operation says to type, typed, against a real `rota dev`."""

import asyncio
import shutil

import pytest

from tests.integration.tours import Checkout, run_and_check
from tests.markdown import REPOSITORY, Page

BLOCKS = [block for block in Page(REPOSITORY / "docs" / "operating.md").blocks if block.language == "sh"]

# What each block prints, among other things, by the heading under which it stands.
PRINTS = [
    ("Day by day", []),
    ("Two who change the same schedule", [r'\A\{.*"description":"the first".*"code":"PRECONDITION_FAILED"']),
    ("Many schedules at the same time", [r'"cronExpression": "0 2 \* \* \*"', r'"jitterSeconds": 900']),
    (
        "Holding an execution",
        [
            r"\ADay by day: (Queued|InProgress); it pauses when",
            r"Paused, .*\nDay by day: (InProgress|Paused; it goes on)",
            r"Day by day: Complete in \d",
        ],
    ),
    ("Steps for certain hosts", [r"work\.sh: Completed", r"on task queue 'rota/branch-office'"]),
    ("And away with it", [r"\ADay by day: deleted;"]),
]


@pytest.mark.timeout(300)  # it starts servers and a dozen commands one after the other
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
async def test_the_page_prints_what_it_should(dev: Checkout) -> None:
    assert [block.section for block in BLOCKS] == [section for section, _ in PRINTS]

    await asyncio.to_thread(run_and_check, BLOCKS, [patterns for _, patterns in PRINTS], dev)
