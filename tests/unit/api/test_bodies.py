"""Bodies: what is no JSON object, nests too deep or holds no text is told, in words of JSON."""

import json
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message

from api.bodies import MAX_CONTAINERS, MAX_DEPTH, _read, parse_json
from api.errors import ApiError, PayloadTooLarge, ValidationFailed


def refusal(body: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse_json(body)
    return caught.value


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"\xef\xbb\xbf", b"null", b"[]", b'""', b"5", b"true", b'"text"', b"[{}]"]
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert refusal(body).message == "The body must be a JSON object."
    assert refusal(body).fields is None


def test_nesting_counts_to_the_limit() -> None:
    assert json.loads(nested(MAX_DEPTH)) == parse_json(nested(MAX_DEPTH))
    assert refusal(nested(MAX_DEPTH + 1)).message == "The body nests deeper than 32 levels."
    assert refusal(b"[" * 1_000_000).message == "The body nests deeper than 32 levels."


@pytest.mark.parametrize(
    "text",
    ["[" * 100, '"' + "{" * 100, "\\" + "[" * 100, '\\"' + "[" * 100 + '\\"', "\\\\", "line\nbreak" + "[" * 100],
)
def test_brackets_inside_strings_do_not_nest(text: str) -> None:
    body: dict[str, Any] = {"name": text, text: [[text]]}

    assert parse_json(json.dumps(body).encode()) == body


@pytest.mark.parametrize("body", [b'{"a":"' + b'\\"' * 500_000, b'{"a":"\\', b'{"a":"' + b"[" * 100, b'{"a"', b"{]"])
def test_what_breaks_off_is_no_json(body: bytes) -> None:
    assert refusal(body).message.startswith("The body is not JSON: ")
    assert " at at " not in refusal(body).message


def test_more_containers_than_any_request_needs_are_too_large() -> None:
    parse_json(b'{"a":[' + b"{}," * (MAX_CONTAINERS - 3) + b"{}]}")

    assert isinstance(refusal(b'{"a":[' + b"{}," * MAX_CONTAINERS + b"{}]}"), PayloadTooLarge)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": "a\\u0000"}', "name"),
        (b'{"steps": [{}, {"name": "\\ud83d"}]}', "steps[1].name"),
        (b'{"name": "\\uDE00\\ud83d"}', "name"),
        (b'{"\\ud800": 1}', "request"),
    ],
)
def test_what_is_no_text_is_refused_by_field(body: bytes, field: str) -> None:
    assert list(refusal(body).fields or {}) == [field]


@pytest.mark.parametrize("text", ["\U0001f600", "\\u0000", "\\ud800", "é\u2028"])
def test_escapes_that_make_text_are_taken(text: str) -> None:
    assert parse_json(json.dumps({"name": text}).encode()) == {"name": text}


def test_a_property_twice_is_told_even_by_a_name_that_cannot_be_written() -> None:
    assert refusal(b'{"name": 1, "NAME": 2}').message == "The property NAME is there twice."
    assert b"\\ud800" in refusal(b'{"\\ud800": 1, "\\ud800": 2}').message.encode()


def test_a_number_of_thousands_of_digits_is_told_without_words_of_python() -> None:
    assert (
        refusal(b'{"intervalValue": ' + b"1" * 5000 + b"}").message == "The body holds a number with too many digits."
    )


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_constants_of_javascript_are_no_json(constant: bytes) -> None:
    assert isinstance(refusal(b'{"intervalValue": ' + constant + b"}"), ValidationFailed)


async def test_who_goes_away_with_half_a_body_is_refused_as_any_other() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b'{"name', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    with pytest.raises(ValidationFailed, match="did not arrive whole"):
        await _read(Request({"type": "http"}, receive))
