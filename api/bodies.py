"""Reading bodies: what counts as JSON here, and what no JSON body may hold."""

import codecs
import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 32

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JsonRoute(APIRoute):
    """A route that reads its JSON body strictly, before FastAPI sees it; one without a body ignores what is sent."""

    def get_route_handler(self) -> Handler:
        """Returns FastAPI's handler, behind the checks."""
        handle = super().get_route_handler()
        takes_body = self.body_field is not None

        async def checked(request: Request) -> Response:
            if takes_body:
                body = await _read(request)
                check_media_type(request.headers.get("content-type"), has_body=bool(body))
                request = _with_json(request, parse_json(body))
            return await handle(request)

        return checked


def _with_json(request: Request, value: Any) -> Request:
    """Returns the request with its body read: FastAPI takes the parsed value, whatever the JSON's content type was."""
    headers = [(name, header) for name, header in request.scope["headers"] if name.lower() != b"content-type"]
    scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
    read = Request(scope, request.receive)
    # Starlette keeps what it has read in these two; there is no public way to hand a parsed body on.
    read._json = value  # noqa: SLF001
    read._body = b"null" if value is None else b"{}"  # noqa: SLF001
    return read


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"The body is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB.")
    return bytes(body)


def check_media_type(content_type: str | None, *, has_body: bool) -> None:
    """Checks that a body is JSON by its content type.

    Raises:
        UnsupportedMediaType: It is not, or not in UTF-8.
    """
    if not has_body:
        return
    media_type, _, parameters = (content_type or "").partition(";")
    media_type = media_type.strip().lower()
    is_json = media_type in {"application/json", "text/json"} or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if not is_json:
        raise UnsupportedMediaType("Send the body as application/json.")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("Send the body in UTF-8.")


def parse_json(body: bytes) -> Any:
    """Returns the value of a JSON body; None for an empty one.

    Raises:
        ValidationFailed: It is no JSON, nests too deep, has a property twice, or text that no database can store.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body.strip():
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ValidationFailed("The body is not UTF-8.") from None
    _check_depth(text)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValidationFailed(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
        ) from None
    except ValueError as error:
        # A whole number of thousands of digits.
        raise ValidationFailed(f"The body is not JSON that can be read: {error}.") from None
    _check_text(value, "")
    return value


def _check_depth(text: str) -> None:
    """Counts brackets outside strings: the parser itself would recurse before it could be asked."""
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValidationFailed(f"The body nests deeper than {MAX_DEPTH} levels.")
        elif character in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for name, _ in pairs:
        if name.lower() in seen:
            raise ValidationFailed(f"The property {name!r} is there twice.", fields={name: ["It is there twice."]})
        seen.add(name.lower())
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise ValidationFailed(f"{name} is not JSON.")


def _check_text(value: Any, place: str) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, place or "request")
            _check_text(item, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_text(item, f"{place}[{index}]")
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= character <= "\udfff" for character in value)):
        message = f"The field {place} holds a NUL or half a surrogate pair, which is no text."
        raise ValidationFailed(message, fields={place: [message]})
