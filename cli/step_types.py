"""`rota step-types`: what kinds of steps there are and which fields they take, from the step types themselves."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from cli.console import duration, make_console, plain_table
from runtime.secrets import secret_fields

if TYPE_CHECKING:
    from activities.support.step_type import StepType

_INTRODUCTION: Final = """\
# Step types

What a step of a schedule can be: its `stepType`, and the fields that go with it in the JSON of the REST API and in the
files of `rota schedules apply`. Every step also has the fields under [Every step](#every-step).

This page follows from the code: `rota step-types --markdown` writes it. A step type is one file in `activities/`, or comes
with an installed package that declares the entry-point group `rota.step_types`.
"""


@dataclass(frozen=True)
class Field:
    """A field as people read it."""

    name: str
    type: str
    required: bool
    limits: str
    default: str
    secret: bool
    description: str


def step_types_command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this step type, in either letter case.")
    ] = None,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference page docs/steps.md.")] = False,
) -> None:
    """Lists the step types that are installed here, with their fields.

    Example: rota step-types PowerShell
    """
    # No other command of the client needs what the step types and the API's models bring along.
    from activities.support.registry import step_types  # noqa: PLC0415

    registered = step_types()
    if name is not None:
        registered = {known: kind for known, kind in registered.items() if known.lower() == name.strip().lower()}
        if not registered:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(step_types())}", param_hint="NAME")
    if markdown:
        typer.echo(markdown_page(registered.values(), common_fields()), nl=False)
    else:
        print_step_types(make_console(), registered.values(), common_fields())


def common_fields() -> list[Field]:
    """Returns the fields that a step of any type has, as the API's own model says."""
    from api.models.schedules import StepFields  # noqa: PLC0415 - see step_types_command

    found = {field.name: field for field in model_fields(StepFields) if field.name != "id"}
    # The page names the step types itself, one section each; an explicit null sets the default of an additive field.
    found["stepType"] = replace(found["stepType"], limits="")
    found["maxAttempts"] = replace(found["maxAttempts"], default="1")
    return list(found.values())


def model_fields(model: type[BaseModel]) -> list[Field]:
    """Returns the fields of a settings model, from its JSON schema."""
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    definitions, required = schema.get("$defs", {}), set(schema.get("required", ()))
    secrets = {model.model_fields[name].alias or name for name in secret_fields(model)}
    return [
        _field(name, _without_null(part, definitions), required=name in required, secret=name in secrets)
        for name, part in schema.get("properties", {}).items()
    ]


def _without_null(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a field's schema with the alternative to null, and the definition it refers to, put in its place."""
    merged = dict(part)
    for alternative in merged.pop("anyOf", ()):
        if alternative.get("type") != "null":
            merged = {**alternative, **merged}
    reference = merged.pop("$ref", None)
    if reference is not None:
        merged = {**definitions[reference.rsplit("/", 1)[-1]], **merged}
    return merged


def _field(name: str, part: Mapping[str, Any], *, required: bool, secret: bool) -> Field:
    default = part.get("default")
    shown = str(default).lower() if isinstance(default, bool) else "" if default is None else str(default)
    return Field(
        name=name,
        type=part.get("type", "any"),
        required=required,
        limits=_limits(part),
        default=shown,
        secret=secret,
        description=" ".join(part.get("description", "").split()),
    )


def _limits(part: Mapping[str, Any]) -> str:
    # Pydantic calls the limits of an optional field with a validator `ge` and `le`.
    least, most = part.get("minimum", part.get("ge")), part.get("maximum", part.get("le"))
    longest, shortest = part.get("maxLength"), part.get("minLength")
    limits = []
    if "enum" in part:
        limits.append(" or ".join(str(value) for value in part["enum"]))
    if least is not None and most is not None:
        limits.append(f"{least}-{most}")
    elif least is not None or most is not None:
        limits.append(f"at least {least}" if least is not None else f"at most {most}")
    if longest is not None:
        limits.append(f"{longest:,} characters at most")
    if shortest:
        limits.append("not empty" if shortest == 1 else f"{shortest} characters at least")
    if "pattern" in part:
        limits.append(f"matches {part['pattern']}")
    return ", ".join(limits)


def _documentation(kind: "StepType[Any]") -> str:
    return inspect.cleandoc(type(kind).__doc__ or "")


def _reflowed(documentation: str) -> str:
    """Returns a docstring with each paragraph on one line, for a terminal to wrap; lists keep their lines."""
    paragraphs = documentation.split("\n\n")
    return "\n\n".join(part if "\n- " in f"\n{part}" else " ".join(part.split()) for part in paragraphs)


def _default_timeout(kind: "StepType[Any]") -> str:
    seconds = kind.default_timeout_seconds
    return "no limit" if seconds is None else duration(seconds)


def markdown_page(kinds: Iterable["StepType[Any]"], common: Iterable[Field]) -> str:
    """Returns the reference page of the step types, in Markdown."""
    sections = [_INTRODUCTION, "## Every step\n", _markdown_table(common)]
    for kind in kinds:
        sections += [
            f"## {kind.name}\n",
            f"{_documentation(kind)}\n",
            f"Time limit where `timeoutSeconds` is not set: {_default_timeout(kind)}.\n",
            _markdown_table(model_fields(kind.config_model)),
        ]
    return "\n".join(sections)


def _markdown_table(fields: Iterable[Field]) -> str:
    lines = ["| Field | Type | Required | Limits | Default | Description |", "|---|---|---|---|---|---|"]
    for field in fields:
        cells = (f"`{field.name}`", field.type, _yes(field.required), field.limits, field.default, _described(field))
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |")
    return "\n".join(lines) + "\n"


def _yes(value: object) -> str:
    return "yes" if value else ""


def _described(field: Field) -> str:
    return (
        f"{field.description} Secret: sealed at rest, masked when shown.".strip() if field.secret else field.description
    )


def print_step_types(console: Console, kinds: Iterable["StepType[Any]"], common: Iterable[Field]) -> None:
    """Prints the step types with their fields, and the fields of every step."""
    for kind in kinds:
        console.print(Text(kind.name, style="bold"))
        console.print(Text(_reflowed(_documentation(kind))))
        console.print(Text(f"Time limit where timeoutSeconds is not set: {_default_timeout(kind)}"))
        _print_fields(console, model_fields(kind.config_model))
    console.print(Text("Every step", style="bold"))
    _print_fields(console, common)


def _print_fields(console: Console, fields: Iterable[Field]) -> None:
    table = plain_table("Field", "Type", "Required", "Limits", "Default", "Description")
    for field in fields:
        cells = (field.name, field.type, _yes(field.required), field.limits, field.default, _described(field))
        table.add_row(*(Text(text.replace("`", "")) for text in cells))
    console.print()
    console.print(table)
    console.print()
