"""Reading requests: what counts as JSON here, and what no JSON body and no query may hold."""

import asyncio
import codecs
import json
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import ClientDisconnect

from api.auth import authenticate_first
from api.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 32

MAX_CONTAINERS: Final = 100_000
"""Objects and arrays of one body: ten times the steps of the largest schedule. More cost seconds and mean nothing."""

# A larger body is parsed in a thread: it takes long enough for other requests to notice.
_THREAD_BYTES: Final = 64 * 1024

# A string, closed or not, or a bracket. Possessive: what a string has taken is never tried again.
_STRING_OR_BRACKET: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)

# Escapes that may be a NUL or half a surrogate pair; raw ones are no JSON and no UTF-8.
_SUSPECT_ESCAPE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

_NO_OBJECT: Final = "The body must be a JSON object."
_NO_UTF8: Final = "Send the body in UTF-8."

# Byte-order marks of UTF-16 and UTF-32; the little-endian one of UTF-32 begins as that of UTF-16.
_OTHER_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _PathNumber(IntegerConvertor):
    """A whole number in a path. Any longer one names nothing: Python refuses to read more than 4,300 digits."""

    regex = "[0-9]{1,18}"


register_url_convertor("number", _PathNumber())


class JsonRoute(APIRoute):
    """A route for those with a key, that reads query and JSON body strictly, before FastAPI sees them.

    Names of the query are matched in any letter case. A route without a body ignores what is sent. An id in its path that
    is a number has the convertor `number`.
    """

    def get_route_handler(self) -> Handler:
        """Returns FastAPI's handler, behind the checks."""
        handle = super().get_route_handler()
        takes_body = self.body_field is not None
        query_names = {name.lower(): name for name in _query_names(self.dependant)}

        async def checked(request: Request) -> Response:
            await authenticate_first(request)
            if request.scope["query_string"]:
                request = _with_query_names(request, query_names)
                _check_query(request)
            if takes_body:
                body = await _read(request)
                if body:
                    check_media_type(request.headers)
                parsed = await asyncio.to_thread(parse_json, body) if len(body) > _THREAD_BYTES else parse_json(body)
                request = _with_json(request, parsed)
            return await handle(request)

        return checked


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for part in dependant.dependencies:
        yield from _query_names(part)


def _with_query_names(request: Request, names: Mapping[str, str]) -> Request:
    """Returns the request with the letter case that its route gives to the names of the query."""
    pairs = [(names.get(name.lower(), name), value) for name, value in request.query_params.multi_items()]
    return Request({**request.scope, "query_string": urlencode(pairs).encode()}, request.receive)


def _check_query(request: Request) -> None:
    problems = {
        name: [f"The query value {name} holds a NUL, which is no text."]
        for name, value in request.query_params.multi_items()
        if "\0" in value
    }
    if problems:
        raise ValidationFailed.of_fields(problems)


def _with_json(request: Request, value: dict[str, Any]) -> Request:
    """Returns the request with its body read: FastAPI takes the parsed value, whatever the JSON's content type was."""
    headers = [(name, header) for name, header in request.scope["headers"] if name.lower() != b"content-type"]
    scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
    read = Request(scope, request.receive)
    # Starlette keeps what it has read in these two; there is no public way to hand a parsed body on.
    read._json = value  # noqa: SLF001
    read._body = b"{}"  # noqa: SLF001
    return read


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise PayloadTooLarge(f"The body is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB.")
    except ClientDisconnect:
        # Nobody is left to be told: this is for the log, in which it is no defect.
        raise ValidationFailed("The body did not arrive whole.") from None
    return bytes(body)


def check_media_type(headers: Mapping[str, str]) -> None:
    """Checks that a body is plain JSON by its headers.

    Raises:
        UnsupportedMediaType: It is not, or not in UTF-8, or it is compressed.
    """
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    media_type = media_type.strip().lower()
    is_json = media_type in {"application/json", "text/json"} or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if not is_json:
        raise UnsupportedMediaType("Send the body as application/json.")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType(_NO_UTF8)
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Send the body without compression.")


def parse_json(body: bytes) -> dict[str, Any]:
    """Returns the object that a JSON body holds.

    Raises:
        ValidationFailed: It is no JSON object, nests too deep, has a property twice, or text that no database can
            store.
        PayloadTooLarge: It holds more objects and arrays than any request needs.
        UnsupportedMediaType: It is in UTF-16 or UTF-32.
    """
    if body.startswith(_OTHER_MARKS):
        raise UnsupportedMediaType(_NO_UTF8)
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body.strip():
        raise ValidationFailed(_NO_OBJECT)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ValidationFailed("The body is not UTF-8.") from None
    _check_brackets(text)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValidationFailed(
            f"The body is not JSON: {error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}.",
        ) from None
    except ValueError:
        # The one thing that Python refuses in JSON: a whole number of thousands of digits.
        raise ValidationFailed("The body holds a number with too many digits.") from None
    if not isinstance(value, dict):
        raise ValidationFailed(_NO_OBJECT)
    if _SUSPECT_ESCAPE.search(text):
        _check_text(value, "")
    return value


def _check_brackets(text: str) -> None:
    """Counts brackets outside strings: the parser itself would recurse before it could be asked."""
    depth = opened = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        first = text[found.start()]
        if first in "[{":
            depth += 1
            opened += 1
            if opened > MAX_CONTAINERS:
                raise PayloadTooLarge(f"The body holds more than {MAX_CONTAINERS} objects and arrays.")
            if depth > MAX_DEPTH:
                raise ValidationFailed(f"The body nests deeper than {MAX_DEPTH} levels.")
        elif first != '"':
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for name, _ in pairs:
        if name.lower() in seen:
            # The name has not been checked yet: half a surrogate pair in it could not be written out.
            shown = name.encode(errors="backslashreplace").decode()
            message = f"The property {shown} is there twice."
            raise ValidationFailed(message, fields={shown: [message]})
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
    elif isinstance(value, str) and _UNSTORABLE.search(value):
        message = f"The field {place} holds a NUL or half a surrogate pair, which is no text."
        raise ValidationFailed(message, fields={place: [message]})
