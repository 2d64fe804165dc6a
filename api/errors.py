"""Errors of the API: one shape for every 4xx and 5xx."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from pydantic.alias_generators import to_camel
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.service import RPCError

from api.misspelt import Sent, guess_for
from api.models.base import GUID_EXAMPLE, INSTANT_EXAMPLE, ResponseModel
from api.request_ids import request_id
from catalogue.columns import utc_now
from runtime.secrets import SecretKeyError
from runtime.temporal import is_temporal_away
from timetable import TimetableError

_logger = logging.getLogger(__name__)

FieldErrors = Mapping[str, Sequence[str]]

_MAX_FIELDS: Final = 100
"""Fields that one answer lists: a body may hold tens of thousands that are wrong."""

RETRY_AFTER_SECONDS: Final = 5
"""What a client is told to wait while Temporal or the database is away."""


class ErrorResponse(ResponseModel):
    """The body of every error."""

    code: str
    """What went wrong, for programs."""
    message: str
    """What went wrong, for people: one line."""
    details: str | None
    """More about it; null where there is nothing to say."""
    validation_errors: dict[str, list[str]] | None
    """Messages by the JSON name of the field that each is about, such as `steps[2].timeoutSeconds`."""
    timestamp: datetime = Field(examples=["2027-03-28T01:00:00Z"])
    """When it was answered."""


class ApiError(Exception):
    """An error that a client is told."""

    status = 500
    code = "INTERNAL_ERROR"

    def __init__(
        self,
        message: str,
        *,
        fields: FieldErrors | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the message, messages by JSON field, and headers of the response."""
        super().__init__(message)
        self.message = message
        self.fields = fields
        self.headers = headers


class ValidationFailed(ApiError):
    """The request asks for what cannot be."""

    status, code = 400, "VALIDATION_ERROR"

    @classmethod
    def of_fields(cls, fields: FieldErrors) -> "ValidationFailed":
        """Returns the error of one or more fields; its message is the first field's, as JIM stops at that."""
        return cls(next(iter(fields.values()))[0], fields=fields)


class Faults:
    """What is wrong with the parts of a request, so that all of it can be told at once."""

    def __init__(self) -> None:
        """Begins with nothing."""
        self._found: list[ValidationFailed] = []

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keeps the failure of a part, and lets the next part be looked at."""
        try:
            yield
        except ValidationFailed as failed:
            self._found.append(failed)

    def check(self) -> None:
        """Raises what was found.

        Raises:
            ValidationFailed: A part has failed; the message is the first one's.
        """
        if self._found:
            fields = {name: said for failed in self._found for name, said in (failed.fields or {}).items()}
            raise ValidationFailed(self._found[0].message, fields=fields)


class Unauthorised(ApiError):
    """No valid key came with the request."""

    status, code = 401, "UNAUTHORISED"


class Forbidden(ApiError):
    """The key may not do this."""

    status, code = 403, "FORBIDDEN"


class NotFound(ApiError):
    """There is no such thing."""

    status, code = 404, "NOT_FOUND"


class Conflict(ApiError):
    """It would collide with what there is."""

    status, code = 409, "CONFLICT"


class PreconditionFailed(ApiError):
    """The request is meant for another version of what there is."""

    status, code = 412, "PRECONDITION_FAILED"


class PayloadTooLarge(ApiError):
    """The body is larger than any request needs."""

    status, code = 413, "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(ApiError):
    """The body is no JSON by its content type."""

    status, code = 415, "UNSUPPORTED_MEDIA_TYPE"


class TooManyRequests(ApiError):
    """The client has to wait."""

    status, code = 429, "TOO_MANY_REQUESTS"


class ServiceUnavailable(ApiError):
    """Temporal or the database cannot be reached."""

    status, code = 503, "SERVICE_UNAVAILABLE"

    def __init__(self, message: str) -> None:
        """Takes what cannot be reached."""
        super().__init__(message, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


_CODES: Final = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORISED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}


def _response(
    status: int,
    code: str,
    message: str,
    *,
    details: str | None = None,
    fields: FieldErrors | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    listed = {name: list(messages) for name, messages in islice(fields.items(), _MAX_FIELDS)} if fields else None
    if fields and len(fields) > _MAX_FIELDS:
        details = f"{len(fields) - _MAX_FIELDS:,} more fields are wrong."
    body = ErrorResponse(
        code=code,
        message=message,
        details=details,
        validation_errors=listed,
        timestamp=utc_now(),
    )
    return JSONResponse(body.model_dump(mode="json", by_alias=True), status, dict(headers) if headers else None)


def field_name(location: Sequence[str | int]) -> str:
    """Returns the JSON name of a place in a request: `steps[2].timeoutSeconds`."""
    name = ""
    for part in location:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name += ("." if name else "") + (to_camel(part) if "_" in part else part)
    return name


def field_messages(errors: Sequence[Any], prefix: Sequence[str | int] = ()) -> dict[str, list[str]]:
    """Returns pydantic's errors as messages by JSON field."""
    fields: dict[str, list[str]] = {}
    for error in errors:
        name = field_name([*prefix, *error["loc"]])
        label = name.rsplit(".", 1)[-1] or "request"
        message = _message(label, error)
        # Not of more than are listed: it takes a while.
        if error["type"] == "missing" and isinstance(error["input"], Sent) and len(fields) < _MAX_FIELDS:
            message += guess_for(label, error["input"].unknown)
        fields.setdefault(name, []).append(message)
    return fields


def _message(label: str, error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in {"guid", "member", "instant"}:
        said = error["msg"]
    elif kind in _LIMITS:
        said = _LIMITS[kind].format_map(context)
    elif kind in _EXPECTED:
        said = f"must be {_EXPECTED[kind]}"
    else:
        return f"The field {label}: {error['msg']}."
    return f"The field {label} {said}."


_LIMITS: Final = {
    "missing": "is required",
    "string_too_long": "may have {max_length} characters at most",
    "string_too_short": "may not be empty",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_long": "may have {max_length} items at most",
}

# What pydantic says of a value of the wrong type, in JSON's words
# (https://docs.pydantic.dev/latest/errors/validation_errors/).
_EXPECTED: Final = {
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    "int_parsing_size": "a whole number of fewer digits",
    "string_type": "a string",
    "list_type": "an array",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "an object"),
    **dict.fromkeys(("uuid_type", "uuid_parsing"), GUID_EXAMPLE),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"),
        INSTANT_EXAMPLE,
    ),
}


async def _on_api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this class alone
    return _response(error.status, error.code, error.message, fields=error.fields, headers=error.headers)


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    details = [item | {"loc": item["loc"][1:]} for item in error.errors()]
    if any(item["loc"][:1] == ("path",) for item in error.errors()):
        # A path whose id is no id names nothing.
        return _response(404, "NOT_FOUND", f"Not found: {request.scope['path']}")
    return await _on_api_error(request, ValidationFailed.of_fields(field_messages(details)))


async def _on_unreadable_timetable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TimetableError)  # noqa: S101 - registered for this class alone
    # What was stored may have become wrong: time zone data lose names. A change of that field mends it.
    return await _on_api_error(request, ValidationFailed.of_fields(error.errors))


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    message = {
        404: f"Not found: {request.scope['path']}",
        405: f"Method {request.method} is not allowed on {request.scope['path']}",
    }.get(error.status_code, error.detail)
    code = _CODES.get(error.status_code, "INTERNAL_ERROR" if error.status_code >= 500 else "VALIDATION_ERROR")
    headers = {"Allow": _allowed_methods(request)} if error.status_code == 405 else error.headers
    return _response(error.status_code, code, message, headers=headers)


def _allowed_methods(request: Request) -> str:
    """Returns what may be asked of a path: each of its methods is a route, and Starlette names those of the first."""
    place = {name: request.scope[name] for name in ("type", "path", "root_path")}
    allowed = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**place, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ", ".join(["HEAD", *allowed] if "GET" in allowed else allowed)


async def _on_temporal_error(request: Request, error: Exception) -> JSONResponse:
    if not is_temporal_away(error):
        return await _on_defect(request, error)
    _logger.warning("%s %s: Temporal cannot be reached: %s", request.method, request.url.path, error)
    return await _on_api_error(request, ServiceUnavailable("Temporal cannot be reached; nothing was changed."))


async def _on_database_error(request: Request, error: Exception) -> JSONResponse:
    is_away = isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)
    if not is_away and not (isinstance(error, DBAPIError) and error.connection_invalidated):
        return await _on_defect(request, error)
    # The driver's text may hold what was sent: only its kind is logged.
    cause = getattr(error, "orig", None)
    _logger.warning("%s %s: the catalogue failed: %s", request.method, request.url.path, type(cause or error).__name__)
    return await _on_api_error(request, ServiceUnavailable("The catalogue's database cannot be used at present."))


async def _on_collision(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, IntegrityError)  # noqa: S101 - registered for this class alone
    _logger.warning("%s %s: refused by the catalogue: %s", request.method, request.url.path, type(error.orig).__name__)
    message = "Another request took the same name or id at the same time; nothing was changed. Read again, then retry."
    return await _on_api_error(request, Conflict(message))


async def _on_wrong_key(request: Request, error: Exception) -> JSONResponse:
    _logger.error("%s %s: a stored secret cannot be opened: %s", request.method, request.url.path, error)
    message = "A stored secret was sealed with another key: start the API with the ROTA_SECRET_KEY that sealed it."
    return await _on_api_error(request, ServiceUnavailable(message))


async def _on_defect(request: Request, error: Exception) -> JSONResponse:
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    shown = request_id()
    details = f"The log of the API says more, under the request id {shown}." if shown else None
    return _response(500, "INTERNAL_ERROR", "An unexpected error occurred.", details=details)


class AnswerDefects:
    """Answers what nothing else handles, and logs it once.

    A handler for `Exception` would answer too, but Starlette raises the exception again behind it: the server logs it a
    second time and resets the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Stands before the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and answers 500 where it fails before the answer has begun."""
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http" or has_begun:
                raise
            response = await _on_defect(Request(scope), error)
            await response(scope, receive, send)


def install_error_handlers(app: FastAPI) -> None:
    """Lets every error of the application answer in the one shape. Comes after every middleware that may fail."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(TimetableError, _on_unreadable_timetable)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RPCError, _on_temporal_error)
    app.add_exception_handler(RuntimeError, _on_temporal_error)
    app.add_exception_handler(DBAPIError, _on_database_error)
    app.add_exception_handler(PoolTimeoutError, _on_database_error)
    app.add_exception_handler(IntegrityError, _on_collision)
    app.add_exception_handler(SecretKeyError, _on_wrong_key)
    app.add_middleware(AnswerDefects)
