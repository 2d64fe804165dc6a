"""The OpenAPI document: what FastAPI generates, with what holds of every route said once.

A route brings its operation id, tag, parameters and models. From these follow here the errors that it can answer, the
headers of its responses, and examples in full.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel

from api.errors import (
    RETRY_AFTER_SECONDS,
    ApiError,
    Conflict,
    ErrorResponse,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorised,
    UnsupportedMediaType,
    ValidationFailed,
)

Json = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"

DESCRIPTION: Final = """\
Runs schedules: ordered steps that run in sequence or in parallel, on a cron trigger or on demand.

* Every request but those for health needs an API key in the header `X-API-Key`. A key with the role Reader may only
  read.
* Every error, whatever its status, has the body `ErrorResponse`.
* Times are UTC, ISO 8601, and end in `Z`. Fields that have no value are null, never left out.
* In requests, names of properties, of query parameters and of enumerations are read in any letter case, unknown
  properties are ignored (those of a schedule are named in its `warnings`), and whole numbers may be strings of digits.
"""

TAGS: Final = {
    "Schedules": "What runs, when, and in which order; runs on demand.",
    "Schedule executions": "What ran and what runs: its steps, their output, how to cancel it.",
    "Schedule change history": "Who changed a schedule, when, why and how; deleted schedules included.",
    "Connected systems": "The systems that RunProfile steps work on, and their run profiles.",
    "Health": "Whether the API can serve, what it is, and whose key a request carries.",
}
"""What the tags of routes mean."""

_HEADERS: Final[Mapping[str, Json]] = {
    "Location": {
        "description": "Path of what was created.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "ETag": {
        "description": "Version of what is shown, for `If-Match`.",
        "required": False,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "examples": [RETRY_AFTER_SECONDS]},
    },
}


def _has_key(_: str, operation: Json) -> bool:
    return "security" in operation


def _has_body(_: str, operation: Json) -> bool:
    return "requestBody" in operation


def _names_something(_: str, operation: Json) -> bool:
    return any(parameter["in"] == "path" for parameter in operation.get("parameters", ()))


def _takes_version(_: str, operation: Json) -> bool:
    return any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", ()))


def _writes(method: str, operation: Json) -> bool:
    may_try = any(parameter["name"] == "dryRun" for parameter in operation.get("parameters", ()))
    return method != "get" and (may_try or _names_something(method, operation) or "201" in operation["responses"])


_ERRORS: Final[Mapping[type[ApiError], Callable[[str, Json], bool]]] = {
    ValidationFailed: _has_key,
    Unauthorised: _has_key,
    Forbidden: _writes,
    NotFound: _names_something,
    Conflict: _writes,
    PreconditionFailed: _takes_version,
    PayloadTooLarge: _has_body,
    UnsupportedMediaType: _has_body,
    TooManyRequests: _has_key,
    ServiceUnavailable: _has_key,
}
"""Which errors which operations can answer, judged by method and what the operation takes and answers."""


def operation_id(route: APIRoute) -> str:
    """Returns the operation id of a route: its function's name, in camelCase."""
    return to_camel(route.name)


class DocumentedApi(FastAPI):
    """FastAPI whose `/openapi.json` is the whole document."""

    _document: Json | None = None

    def openapi(self) -> Json:
        """Returns the OpenAPI document."""
        if self._document is None:
            self._document = complete(super().openapi())
        return self._document


def complete(document: Json) -> Json:
    """Returns FastAPI's document with errors, headers, examples in full and names that generators can use."""
    document = _renamed(document)
    components = document["components"]
    schemas = components["schemas"]
    _tidy(document["paths"])
    _tidy(schemas, are_names=True)
    components["headers"] = dict(_HEADERS)
    components["responses"] = {error.__name__: _error_response(error) for error in _ERRORS}
    for method, operation in operations(document):
        operation["summary"] = operation["summary"].capitalize()
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _without_null(parameter["schema"])
            parameter["schema"].pop("description", None)
        _complete_responses(method, operation, schemas)
    _add_versions(document)
    for method, operation in operations(document):
        if method == "put":
            _forget_defaults(operation["requestBody"]["content"]["application/json"]["schema"], schemas)
    for part in (part for schema in schemas.values() for part in schema.get("properties", {}).values()):
        if "examples" in part and "properties" in _target(part, schemas):
            part["examples"] = [_example(part, schemas)]
    schemas[ErrorResponse.__name__]["examples"] = [_error_example(NotFound)]
    return document


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Yields method and operation, for every operation of a document."""
    for path in document["paths"].values():
        yield from path.items()


def _renamed(document: Json) -> Json:
    """Returns the document with public names for models (a page of `XOut` is an `XPage`) and for parts of paths."""
    text = re.sub(rf"(?<={_SCHEMAS})\w+", lambda name: _public_name(name[0]), json.dumps(document))
    renamed: Json = json.loads(text)
    components = renamed["components"]
    components["schemas"] = {_public_name(name): schema for name, schema in components["schemas"].items()}
    renamed["paths"] = {
        re.sub(r"(?<=\{)\w+", lambda name: to_camel(name[0]), path): methods
        for path, methods in renamed["paths"].items()
    }
    for _, operation in operations(renamed):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                parameter["name"] = to_camel(parameter["name"])
    return renamed


def _public_name(name: str) -> str:
    page = re.fullmatch(r"Page_(\w+)_", name)
    return f"{_public_name(page[1])}Page" if page else name.removesuffix("Out")


def _tidy(part: Any, *, are_names: bool = False) -> None:
    """Takes away titles, which repeat names in broken letter case, and fractions of whole numbers."""
    if isinstance(part, list):
        for item in part:
            _tidy(item)
    if not isinstance(part, dict):
        return
    for key, value in list(part.items()):
        if not are_names and key == "title":
            del part[key]
        elif not are_names and key in {"examples", "default"}:
            continue
        elif isinstance(value, float) and value.is_integer():
            part[key] = int(value)
        else:
            _tidy(value, are_names=key == "properties")


def _without_null(schema: Json) -> Json:
    """Returns a schema without its alternative to null."""
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return kinds[0] | rest if len(kinds) == 1 else schema


def _complete_responses(method: str, operation: Json, schemas: Json) -> None:
    responses = operation["responses"]
    # FastAPI was given it so that it adds no 422, which never is the answer.
    del responses["4XX"]
    for code, response in responses.items():
        if response["description"] == "Successful Response":
            response["description"] = HTTPStatus(int(code)).phrase
        if code == str(HTTPStatus.CREATED):
            response["headers"] = {"Location": {"$ref": "#/components/headers/Location"}}
        for content in response.get("content", {}).values():
            schema = content["schema"].get("items", content["schema"])
            if "$ref" in schema:
                answered = _target(schema, schemas)
                answered["examples"] = [_example(schema, schemas)]
    for error, is_possible in _ERRORS.items():
        if is_possible(method, operation):
            responses[str(error.status)] = {"$ref": f"#/components/responses/{error.__name__}"}
    operation["responses"] = dict(sorted(responses.items()))


def _add_versions(document: Json) -> None:
    """Adds the header ETag wherever a model is answered that can be changed by `If-Match`."""
    answers: list[tuple[bool, Json]] = [
        (_takes_version(method, operation), response)
        for method, operation in operations(document)
        for code, response in operation["responses"].items()
        if code.startswith("2") and "content" in response
    ]
    versioned = [response["content"] for takes_version, response in answers if takes_version]
    for _, response in answers:
        if response["content"] in versioned:
            response.setdefault("headers", {})["ETag"] = {"$ref": "#/components/headers/ETag"}


def _forget_defaults(schema: Json, schemas: Json) -> None:
    """Takes defaults away from what a PUT takes: what is left out keeps its value, and generated clients send defaults."""
    for part in _target(schema, schemas).get("properties", {}).values():
        part.pop("default", None)
        _forget_defaults(part.get("items", part), schemas)


def _error_response(error: type[ApiError]) -> Json:
    content = {"schema": {"$ref": f"{_SCHEMAS}{ErrorResponse.__name__}"}, "example": _error_example(error)}
    response: Json = {"description": inspect.getdoc(error), "content": {"application/json": content}}
    if error in {TooManyRequests, ServiceUnavailable}:
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def _error_example(error: type[ApiError]) -> Json:
    message = inspect.getdoc(error)
    fields = {"name": ["The field name is required."]} if error is ValidationFailed else None
    return {
        "code": error.code,
        "message": fields["name"][0] if fields else message,
        "details": None,
        "validationErrors": fields,
        "timestamp": "2027-03-28T01:00:00Z",
    }


_UNSET: Final = object()


def _target(schema: Json, schemas: Json) -> Json:
    """Returns the schema that a reference, or an alternative to null, stands for."""
    schema = _without_null(schema)
    target: Json = schemas[schema["$ref"].removeprefix(_SCHEMAS)] if "$ref" in schema else schema
    return target


def _example(schema: Json, schemas: Json, given: Any = _UNSET) -> Any:
    """Returns an example of what is answered, in full.

    Args:
        schema: What it is an example of.
        schemas: The models by name.
        given: A part of it, such as what was sent; by default the schema's own example.

    Raises:
        KeyError: Nothing says what an example may be: the model's field needs `examples`.
    """
    target = _target(schema, schemas)
    if given is _UNSET:
        given = (schema.get("examples") or target.get("examples") or [_UNSET])[0]
    if target.get("type") == "object" and "properties" in target and given is not None:
        # What was not sent is null where that may be.
        implied = {
            name: None for name, part in target["properties"].items() if given is not _UNSET and _is_nullable(part)
        }
        known = implied | ({} if given is _UNSET else given)
        return {name: _example(part, schemas, known.get(name, _UNSET)) for name, part in target["properties"].items()}
    if target.get("type") == "array":
        items = [_UNSET] if given is _UNSET else given
        return [_example(target["items"], schemas, item) for item in items]
    if given is not _UNSET:
        return given
    if _is_nullable(schema):
        return None
    if "default" in schema:
        return schema["default"]
    if target.get("type") == "boolean":
        return False
    return target["enum"][0]


def _is_nullable(schema: Json) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())
