"""Errors of the API: one shape for every 4xx and 5xx."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic.alias_generators import to_camel
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from temporalio.service import RPCError

from api.models.base import ResponseModel
from catalogue.columns import utc_now
from runtime.secrets import SecretKeyError
from runtime.temporal import is_temporal_away

_logger = logging.getLogger(__name__)

FieldErrors = Mapping[str, Sequence[str]]

RETRY_AFTER_SECONDS: Final = 5
"""What a client is told to wait while Temporal or the database is away."""


class ErrorResponse(ResponseModel):
    """The body of every error."""

    code: str
    message: str
    details: str | None
    validation_errors: dict[str, list[str]] | None
    timestamp: datetime


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
        """Returns the error of one or more fields; its message is the first field's."""
        first = next(iter(fields.values()))[0]
        return cls(first if len(fields) == 1 else "One or more fields are not valid.", fields=fields)


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


class PayloadTooLarge(ApiError):
    """The body is larger than any request needs."""

    status, code = 413, "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(ApiError):
    """The body is no JSON by its content type."""

    status, code = 415, "UNSUPPORTED_MEDIA_TYPE"


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
    fields: FieldErrors | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = ErrorResponse(
        code=code,
        message=message,
        details=None,
        validation_errors={name: list(messages) for name, messages in fields.items()} if fields else None,
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
        fields.setdefault(name, []).append(_message(label, error))
    return fields


def _message(label: str, error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"The field {label} is required."
        case "string_too_long":
            return f"The field {label} may have {context['max_length']} characters at most."
        case "string_too_short":
            return f"The field {label} may not be empty."
        case "greater_than_equal":
            return f"The field {label} must be at least {context['ge']}."
        case "less_than_equal":
            return f"The field {label} must be at most {context['le']}."
        case "value_error":
            return str(context["error"])
        case "too_long":
            return f"The field {label} may have {context['max_length']} items at most."
        case _:
            return f"The field {label}: {error['msg']}."


async def _on_api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this class alone
    return _response(error.status, error.code, error.message, fields=error.fields, headers=error.headers)


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    details = [item | {"loc": item["loc"][1:]} for item in error.errors()]
    if any(item["loc"][:1] == ("path",) for item in error.errors()):
        # A path whose id is no id names nothing.
        return _response(404, "NOT_FOUND", f"Not found: {request.url.path}")
    return await _on_api_error(request, ValidationFailed.of_fields(field_messages(details)))


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    message = {
        404: f"Not found: {request.url.path}",
        405: f"Method {request.method} is not allowed on {request.url.path}",
    }.get(error.status_code, error.detail)
    code = _CODES.get(error.status_code, "INTERNAL_ERROR" if error.status_code >= 500 else "VALIDATION_ERROR")
    return _response(error.status_code, code, message, headers=error.headers)


async def _on_temporal_error(request: Request, error: Exception) -> JSONResponse:
    if not is_temporal_away(error):
        return await _on_defect(request, error)
    _logger.warning("%s %s: Temporal cannot be reached: %s", request.method, request.url.path, error)
    return await _on_api_error(request, ServiceUnavailable("Temporal cannot be reached; nothing was changed."))


async def _on_database_error(request: Request, error: Exception) -> JSONResponse:
    # The driver's text may hold what was sent: only its kind is logged.
    cause = getattr(error, "orig", None)
    _logger.warning("%s %s: the catalogue failed: %s", request.method, request.url.path, type(cause or error).__name__)
    return await _on_api_error(request, ServiceUnavailable("The catalogue's database cannot be used at present."))


async def _on_wrong_key(request: Request, error: Exception) -> JSONResponse:
    _logger.error("%s %s: a stored secret cannot be opened: %s", request.method, request.url.path, error)
    message = "A stored secret was sealed with another key: start the API with the ROTA_SECRET_KEY that sealed it."
    return await _on_api_error(request, ServiceUnavailable(message))


async def _on_defect(request: Request, error: Exception) -> JSONResponse:
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _response(500, "INTERNAL_ERROR", "An unexpected error occurred.")


def install_error_handlers(app: FastAPI) -> None:
    """Lets every error of the application answer in the one shape."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RPCError, _on_temporal_error)
    app.add_exception_handler(RuntimeError, _on_temporal_error)
    app.add_exception_handler(OperationalError, _on_database_error)
    app.add_exception_handler(SecretKeyError, _on_wrong_key)
    app.add_exception_handler(Exception, _on_defect)
