from pathlib import Path

import pytest

from bench.pages import PageError, check_place, put_into
from tests.markdown import REPOSITORY

PAGE = (
    "# Title\n\n<!-- begin: cases -->\nold\n<!-- end: cases -->\n\n<!-- begin: catalogue -->\n<!-- end: catalogue -->\n"
)


def test_what_stands_between_the_comments_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    put_into(page, "cases", "| new\\1 |\n")
    put_into(page, "catalogue", "text")
    put_into(page, "cases", "| newer\\1 |\n")

    assert page.read_text() == (
        "# Title\n\n<!-- begin: cases -->\n\n| newer\\1 |\n\n<!-- end: cases -->\n\n"
        "<!-- begin: catalogue -->\n\ntext\n\n<!-- end: catalogue -->\n"
    )


@pytest.mark.parametrize("text", ["", "<!-- end: cases --><!-- begin: cases -->", PAGE + PAGE])
def test_a_page_without_the_place_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)

    with pytest.raises(PageError, match=r"<!-- begin: cases --> and <!-- end: cases -->"):
        put_into(page, "cases", "new")

    assert page.read_text() == text


def test_no_page(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="No such file"):
        check_place(tmp_path / "page.md", "cases")


@pytest.mark.parametrize("name", ["cases", "catalogue"])
def test_the_documentation_has_the_places(name: str) -> None:
    check_place(REPOSITORY / "docs" / "performance.md", name)
