"""The OpenAPI document: every route is described alike, and what JIM documents is in it."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from activities.support.registry import all_connectors, step_types
from api.app import create_app
from api.openapi import TAGS, operations
from runtime.settings import Settings
from tests.markdown import REPOSITORY

Json = dict[str, Any]

DOCUMENTED: Json = json.loads((REPOSITORY / "tests" / "data" / "schedules_api.json").read_text("utf-8"))
"""Facts of JIM's documentation: endpoints, and the attributes of schedules and their steps."""

OPEN = {"getHealth", "getLiveness", "getReadiness", "getVersion"}

document: Json = create_app(Settings(data_dir=Path("unused"), secret_key="0" * 64)).openapi()
schemas: Json = document["components"]["schemas"]
every: Json = {operation["operationId"]: (method, operation) for method, operation in operations(document)}

every_operation = pytest.mark.parametrize(("method", "operation"), every.values(), ids=every)
every_schema = pytest.mark.parametrize("name", schemas)


def resolved(part: Json) -> Json:
    """Returns what a part of the document stands for, with what stands beside the reference."""
    if "$ref" not in part:
        return part
    target: Any = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**target, **{key: value for key, value in part.items() if key != "$ref"}}


def without_null(schema: Json) -> Json:
    [kind] = [kind for kind in schema.get("anyOf", [schema]) if kind != {"type": "null"}]
    return resolved(kind)


def problems(schema: Json, value: Any) -> list[str]:
    """Returns where a value breaks a schema of the document."""
    whole = {**schema, "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [error.message for error in validator.iter_errors(value)]


def models_of(schema: Json, known: frozenset[str] = frozenset()) -> set[str]:
    """Returns the models that a schema refers to, directly or through others."""
    found = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema))) - known
    return found.union(*(models_of(schemas[name], known | found) for name in found))


def json_schema(part: Json) -> Json:
    schema: Json = part["content"]["application/json"]["schema"]
    return schema


def test_operation_ids_are_stable_names_in_camel_case() -> None:
    assert len(every) == sum(1 for _ in operations(document))
    assert [name for name in every if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)] == []


def test_tags_are_described_and_used() -> None:
    described = {tag["name"]: tag["description"] for tag in document["tags"]}

    assert described == TAGS
    assert {tag for _, operation in every.values() for tag in operation["tags"]} == described.keys()


@every_operation
def test_an_operation_says_what_it_does(method: str, operation: Json) -> None:
    assert len(operation["tags"]) == 1
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert ("requestBody" in operation) <= (method in {"post", "put"})


@every_operation
def test_parameters_have_descriptions_and_are_never_null(method: str, operation: Json) -> None:  # noqa: ARG001
    for parameter in operation.get("parameters", []):
        assert parameter["description"].endswith("."), parameter["name"]
        assert "anyOf" not in parameter["schema"], parameter["name"]
        assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*|If-Match", parameter["name"])
        if parameter["schema"].get("type") == "integer":
            assert "minimum" in parameter["schema"], parameter["name"]
        for example in parameter["schema"].get("examples", []):
            assert problems(parameter["schema"], example) == []


@every_operation
def test_every_response_has_its_model(method: str, operation: Json) -> None:
    codes = operation["responses"].keys()

    assert {code for code in codes if code.startswith("2")}
    assert "422" not in codes
    assert not [code for code in codes if not code.isdigit()]
    for code, response in operation["responses"].items():
        described = resolved(response)
        assert described["description"]
        if code == "204":
            assert "content" not in described
            continue
        if described["content"].keys() == {"text/plain"}:
            assert described["content"]["text/plain"]["schema"] == {"type": "string"}
            continue
        schema = json_schema(described)
        assert set(schema.get("items", schema)) == {"$ref"}, f"{code} has no model"
        is_error = code >= "400" and operation["operationId"] != "getReadiness"
        assert (schema == {"$ref": "#/components/schemas/ErrorResponse"}) is is_error
        assert ("Location" in described.get("headers", {})) is (code == "201")
        assert ("Retry-After" in described.get("headers", {})) is (is_error and code in {"429", "503"})
    if operation["operationId"] not in OPEN:
        assert operation["security"] == [{"ApiKey": []}]
        assert {"400", "401", "429", "503"} <= codes
        assert ("403" in codes) is (method != "get" and operation["operationId"] != "previewTimetable")
        assert ("requestBody" in operation) is ({"413", "415"} <= codes)
        takes_version = any(p["name"] == "If-Match" for p in operation.get("parameters", []))
        assert takes_version is ("412" in codes)
        assert any(p["in"] == "path" for p in operation.get("parameters", [])) is ("404" in codes)


def test_versions_are_told_where_they_can_be_asked_for() -> None:
    told = {
        name
        for name, (_, operation) in every.items()
        if any("ETag" in response.get("headers", {}) for response in operation["responses"].values())
    }

    assert told == {"createSchedule", "getSchedule", "updateSchedule", "enableSchedule", "disableSchedule"}


def test_only_health_is_open() -> None:
    assert {name for name, (_, operation) in every.items() if "security" not in operation} == OPEN
    assert document["components"]["securitySchemes"]["ApiKey"]["in"] == "header"
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"


@every_operation
def test_bodies_and_answers_have_examples_that_their_schemas_allow(method: str, operation: Json) -> None:  # noqa: ARG001
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    answers = [resolved(response) for response in operation["responses"].values()]
    for part in [*bodies, *(answer for answer in answers if "application/json" in answer.get("content", {}))]:
        schema = json_schema(part)
        content = part["content"]["application/json"]
        examples = [content["example"]] if "example" in content else resolved(schema.get("items", schema))["examples"]
        assert examples
        for example in examples:
            assert problems(schema.get("items", schema), example) == []


@every_schema
def test_a_model_and_its_fields_are_described(name: str) -> None:
    schema = schemas[name]

    assert "title" not in schema
    for field, part in schema.get("properties", {}).items():
        assert part.get("description", "").strip().endswith("."), f"{name}.{field} has no description"
        assert "title" not in part
        for example in part.get("examples", []):
            assert problems(part, example) == [], f"{name}.{field}"


def test_answers_leave_nothing_out() -> None:
    answered = {model for _, o in every.values() for r in o["responses"].values() for model in models_of(resolved(r))}

    # A step's progress is told by workers, of which an older one may know less.
    for name in answered - {"StepProgress"}:
        assert schemas[name].get("required", []) == list(schemas[name].get("properties", {})), name


def test_a_put_requires_nothing_and_has_no_defaults_that_a_generated_client_would_send() -> None:
    changed = {m for method, o in every.values() if method == "put" for m in models_of(json_schema(o["requestBody"]))}

    assert "ScheduleStepRequest" in changed
    for name in changed:
        assert "required" not in schemas[name], name
        assert not [field for field, part in schemas[name].get("properties", {}).items() if "default" in part], name
    assert schemas["ScheduleCreate"]["properties"]["isEnabled"]["default"] is False


def test_what_only_rota_sets_is_read_only() -> None:
    read_only = {name for name, part in schemas["ScheduleDetail"]["properties"].items() if part.get("readOnly")}

    assert {"id", "created", "lastUpdated", "nextRunTime", "stepCount", "warnings"} <= read_only
    assert not read_only & schemas["ScheduleCreate"]["properties"].keys()


def test_whole_numbers_have_whole_limits() -> None:
    assert re.findall(r'"(?:minimum|maximum)": \d+\.', json.dumps(document)) == []


@pytest.mark.parametrize("name", step_types())
def test_fields_of_a_step_type_come_from_its_file(name: str) -> None:
    for field in step_types()[name].config_model.model_fields.values():
        for model in ("ScheduleStepRequest", "ScheduleStep"):
            part = schemas[model]["properties"][field.alias]
            assert f"{name}: {field.description}" in part["description"]
    shown = schemas["ScheduleCreate"]["examples"][0]["steps"]
    assert name in {step["stepType"] for step in shown}


@pytest.mark.parametrize("name", all_connectors())
def test_settings_of_a_connector_come_from_its_file(name: str) -> None:
    connector = all_connectors()[name]
    kinds = {"ConnectedSystem": connector.settings_model, "RunProfile": connector.run_profile_model}
    for model, settings in kinds.items():
        for field in settings.model_fields.values():
            for suffix in ("", "Create", "Change"):
                part = schemas[f"{model}{suffix}"]["properties"]["settings"]["properties"][field.alias]
                assert f"{name}: {field.description}" in part["description"]
    assert name in {example["connectorName"] for example in schemas["ConnectedSystemCreate"]["examples"]}


@pytest.mark.parametrize(("method", "path"), DOCUMENTED["endpoints"], ids=map(" ".join, DOCUMENTED["endpoints"]))
def test_every_documented_endpoint_is_there(method: str, path: str) -> None:
    paths = {re.sub(r"{\w+}", "{id}", known): methods for known, methods in document["paths"].items()}

    assert method.lower() in paths[path]


TYPES = {
    "guid": {"type": "string", "format": "uuid"},
    "datetime": {"type": "string", "format": "date-time"},
}


@pytest.mark.parametrize(
    ("answered", "sent", "attribute"),
    [
        *(("ScheduleDetail", "ScheduleCreate", attribute) for attribute in DOCUMENTED["schedule"]),
        *(("ScheduleStep", "ScheduleStepRequest", attribute) for attribute in DOCUMENTED["step"]),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else value,
)
def test_every_documented_attribute_is_there(answered: str, sent: str, attribute: Json) -> None:
    name = attribute["name"]
    shown = schemas[answered]["properties"][name]
    taken = schemas[sent]["properties"].get(name)
    kind = TYPES.get(attribute["type"], {"type": attribute["type"]})

    assert name in schemas[answered]["required"]
    assert kind.items() <= without_null(shown).items()
    assert ({"type": "null"} in shown.get("anyOf", [])) is attribute["nullable"]
    assert (taken is None) == bool(shown.get("readOnly"))
    if taken is not None:
        limits = {key: attribute[key] for key in ("minimum", "maximum") if key in attribute}
        assert limits.items() <= without_null(taken).items()
        assert kind.items() <= without_null(taken).items()
        assert set(attribute.get("values", [])) <= set(without_null(taken).get("enum", []))


@pytest.mark.parametrize(("pattern", "fields"), DOCUMENTED["requiredFields"].items())
def test_what_a_pattern_requires_is_said(pattern: str, fields: list[str]) -> None:
    described = " ".join(schemas["ScheduleCreate"]["properties"]["patternType"]["description"].split())
    [sentence] = re.findall(rf"`{pattern}`: ([^.]+)\.", described)

    assert re.findall(r"`(\w+)`", sentence) == fields
