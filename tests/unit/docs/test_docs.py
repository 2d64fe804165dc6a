"""The pages say what the code says: settings, commands, targets, step types, and links that lead somewhere."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from activities.support.registry import all_connectors, step_types
from cli.main import app
from cli.step_types import common_fields, markdown_page
from runtime.settings import Settings
from tests.markdown import REPOSITORY, Page, pages

README = Page(REPOSITORY / "README.md")
ALL = pages()
NAMES = [str(page.path.relative_to(REPOSITORY)) for page in ALL]

every_page = pytest.mark.parametrize("page", ALL, ids=NAMES)


def test_the_settings_table_lists_every_setting_in_their_order() -> None:
    variables = [row[0] for row in README.rows("Configuration")]

    assert variables == [f"`ROTA_{name.upper()}`" for name in Settings.model_fields]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_settings_table_has_the_default_of(name: str) -> None:
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    [shown] = [row[1] for row in README.rows("Configuration") if row[0] == f"`ROTA_{name.upper()}`"]

    if isinstance(default, timedelta):
        assert shown == f"`{default.total_seconds():g}`"
    elif default in (None, []):
        assert "none" in shown or "data folder" in shown
    else:
        assert shown == f"`{default}`"


@every_page
def test_make_targets_exist(page: Page) -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {match[1] for code in page.code() if (match := re.match(r"make ([a-z-]+)", code))}

    assert named <= targets


@every_page
def test_rota_commands_and_their_options_exist(page: Page) -> None:
    assert [wrong for code in page.code() for wrong in _unknown(code)] == []


def _unknown(code: str) -> Iterator[str]:
    """Yields what a line of code takes for a command or option of `rota` and is none."""
    for arguments in re.findall(r"(?:^|[\s(/])rota ((?:[^|&)]|\|(?! ))*)", code):
        command: Any = typer.main.get_command(app)
        for word in arguments.replace("[", " ").replace("]", " ").split():
            if word.startswith("-"):
                options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
                if word not in options:
                    yield f"{command.name}: {word}"
            elif hasattr(command, "get_command"):
                found = command.get_command(typer.Context(command), word)
                if found is None:
                    yield f"{command.name}: {word}"
                    break
                command = found


@pytest.mark.parametrize("wrong", ["rota schedule list", "rota dev --ports 1", ".venv/bin/rota executions start x"])
def test_a_command_or_option_that_does_not_exist_is_noticed(wrong: str) -> None:
    assert list(_unknown(wrong))


@every_page
def test_links_between_pages_lead_somewhere(page: Page) -> None:
    broken = []
    for link in page.links():
        path, _, anchor = link.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists() or (anchor and anchor not in Page(target).anchors()):
            broken.append(link)

    assert broken == []


def test_the_layers_are_those_that_the_lint_checks() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    [layers] = [part["layers"] for part in project["tool"]["importlinter"]["contracts"] if part["type"] == "layers"]
    named = [re.findall(r"`(\w+)`", row[0]) for row in Page(REPOSITORY / "docs" / "architecture.md").rows("Layers")]

    assert named == [layer.split(" | ") for layer in layers]


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=" ".join)
def test_the_example_of_a_step_type_passes_the_lint(check: list[str]) -> None:
    [example] = [block for block in README.blocks if block.language == "python"]
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [ruff, *check, "--no-cache", "--stdin-filename", "activities/http_check.py", "-"],
        input=example.text + "\n",
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


DECISIONS = [page for page in ALL if re.match(r"\d{4}-", page.path.name)]


@pytest.mark.parametrize("page", DECISIONS, ids=[page.path.stem for page in DECISIONS])
def test_every_decision_is_in_the_index_and_has_the_form(page: Page) -> None:
    index = Page(page.path.parent / "README.md")

    assert page.path.name in index.links()
    assert page.headings[0].split(" ", 1)[0] == page.path.name.split("-", 1)[0] + ":"
    assert page.headings[1:5] == ["Context", "Decision", "Consequences", "Alternatives"]


def test_the_page_of_connectors_has_every_setting() -> None:
    built_in = [kind for kind in all_connectors().values() if type(kind).__module__.startswith("activities.")]
    page = Page(REPOSITORY / "docs" / "connectors.md")

    for kind in built_in:
        settings = [
            (f"`{field.alias}`", of, "yes" if field.is_required() else "")
            for of, model in (("the system", kind.settings_model), ("a run profile", kind.run_profile_model))
            for field in model.model_fields.values()
        ]
        assert [tuple(row[:3]) for row in page.rows(kind.name)] == settings


def _sections(text: str) -> dict[str, str]:
    """Returns the sections of a page by heading; what stands before the first under an empty one."""
    first, *rest = f"\n{text}".split("\n## ")
    return {"": first.strip()} | {part.split("\n", 1)[0]: part.strip() for part in rest}


def test_the_page_of_step_types_is_what_the_code_says() -> None:
    built_in = [kind for kind in step_types().values() if type(kind).__module__.startswith("activities.")]
    rendered = _sections(markdown_page(built_in, common_fields()))
    written = _sections((REPOSITORY / "docs" / "steps.md").read_text("utf-8"))

    assert list(written) == list(rendered), "run: make docs"
    for heading, section in rendered.items():
        assert written[heading] == section, "run: make docs"


def _faults(source: str) -> Iterator[str]:
    """Yields the names of a module's tests that are marked: by themselves, by a constant, or with the whole module."""
    marks = ["mark.faults"]
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and "mark.faults" in ast.unparse(node.value):
            marks.append(ast.unparse(node.targets[0]))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            said = " ".join(["pytestmark", *map(ast.unparse, node.decorator_list)])
            if any(mark in said for mark in marks):
                yield node.name


def test_every_fault_of_the_table_is_a_test_among_the_faults() -> None:
    rows = Page(REPOSITORY / "docs" / "reliability.md").rows("Reliability")
    faults = {name for path in (REPOSITORY / "tests").rglob("test_*.py") for name in _faults(path.read_text("utf-8"))}

    assert len(rows) >= 20
    assert [row[-1] for row in rows if row[-1].strip("`") not in faults] == []
