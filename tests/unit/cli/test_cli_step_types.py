"""The reference of the step types: every field with its limits, default and secrecy."""

import io
from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field
from rich.console import Console
from typer.testing import CliRunner

from activities.support.registry import step_types
from activities.support.step_type import StepConfig, StepRun, StepType
from api.models.schedules import StepFields
from cli.step_types import common_fields, markdown_page, model_fields, print_step_types, step_types_command
from runtime.secrets import Sealed


class LetterConfig(StepConfig):
    """The fields of a Letter step."""

    recipient_name: str = Field(min_length=1, max_length=1500, description="Who gets it:\n    a | b.")
    api_key: Annotated[str | None, Sealed()] = Field(default=None, description="Of the post office.")
    copies: int = Field(default=1, ge=1, le=9)
    paper: Literal["A4", "Letter"] = "A4"
    is_express: bool = False
    weight: float | None = Field(default=None, ge=0)


class Letter(StepType[LetterConfig]):
    """Writes a letter.

    It is sent
    by post.
    """

    name = "Letter"
    config_model = LetterConfig
    default_timeout_seconds = 90

    async def run(self, step: StepRun[LetterConfig]) -> None:
        raise NotImplementedError


def test_fields_are_read_from_the_model() -> None:
    fields = {field.name: field for field in model_fields(LetterConfig)}
    assert list(fields) == ["recipientName", "apiKey", "copies", "paper", "isExpress", "weight"]
    shown = {name: (field.type, field.required, field.limits, field.default) for name, field in fields.items()}
    assert shown == {
        "recipientName": ("string", True, "1,500 characters at most, not empty", ""),
        "apiKey": ("string", False, "", ""),
        "copies": ("integer", False, "1-9", "1"),
        "paper": ("string", False, "A4 or Letter", "A4"),
        "isExpress": ("boolean", False, "", "false"),
        "weight": ("number", False, "at least 0", ""),
    }
    assert [name for name, field in fields.items() if field.secret] == ["apiKey"]


def test_the_page_documents_every_type() -> None:
    page = markdown_page([Letter()], common_fields())
    assert "\n\n## Letter\n\nWrites a letter.\n\nIt is sent\nby post.\n\n" in page
    assert "Time limit where `timeoutSeconds` is not set: 1m 30s." in page
    assert "| `recipientName` | string | yes | 1,500 characters at most, not empty |  | Who gets it: a \\| b. |" in page
    assert "| `apiKey` | string |  |  |  | Of the post office. Secret: sealed at rest, masked when shown. |" in page
    assert page.endswith("|\n")
    assert not page.endswith("\n\n")
    assert "\n\n\n" not in page


def test_the_common_fields_have_the_apis_limits() -> None:
    fields = {field.name: field for field in common_fields()}
    assert set(fields) == {field.alias for field in StepFields.model_fields.values()} - {"id"}
    limits = {name: (field.type, field.limits, field.default) for name, field in fields.items()}
    assert limits["stepIndex"] == ("integer", "0-1000", "0")
    assert limits["timeoutSeconds"] == ("integer", "1-86400", "")
    assert limits["maxAttempts"] == ("integer", "1-10", "1")
    assert limits["name"] == ("string", "200 characters at most", "")
    assert limits["executionMode"] == ("string", "Sequential or ParallelWithPrevious", "Sequential")


def test_the_terminal_shows_the_same() -> None:
    console = Console(file=io.StringIO(), width=200, record=True)
    print_step_types(console, [Letter()], common_fields())
    text = console.export_text()
    assert "It is sent by post." in text
    assert text.count("recipientName") == 1
    assert "Every step" in text


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(step_types_command)
    return made


def test_the_command_documents_every_registered_type_and_field(app: typer.Typer) -> None:
    page = CliRunner().invoke(app, ["--markdown"]).stdout
    for name, kind in step_types().items():
        assert f"\n## {name}\n" in page
        for field in kind.config_model.model_fields.values():
            assert f"| `{field.alias}` |" in page
            assert field.description


def test_one_type_is_shown_by_name_in_either_letter_case(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["powershell"])
    assert "PowerShell\n" in result.stdout
    assert "Executable\n" not in result.stdout
    unknown = CliRunner().invoke(app, ["Nope"])
    assert unknown.exit_code == 2
    assert "PowerShell" in unknown.stderr
