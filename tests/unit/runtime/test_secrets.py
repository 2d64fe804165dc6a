"""Secrets hidden in texts that may hold them."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.secrets import OpenedSecrets, SecretBox, scrubber


def test_scrubbing_finds_secrets_in_all_their_forms() -> None:
    scrub = scrubber(["p@ss word", "ab"])
    assert scrub("p@ss word, p%40ss%20word, p%40ss+word") == "***, ***, ***"
    assert scrub("table ab is no table") == "table *** is no table"
    assert scrubber([])("as it is") == "as it is"
    assert scrubber([""])("as it is") == "as it is"


def test_what_was_opened_is_hidden_from_then_on() -> None:
    box = SecretBox("the key of these tests")
    opened = OpenedSecrets(box)
    sealed, reference = box.seal("s3cret"), box.seal("${env:API_KEY}")

    assert opened.hide("s3cret") == "s3cret"
    assert [opened.open(value) for value in (sealed, reference, "in clear")] == ["s3cret", "${env:API_KEY}", "in clear"]

    assert opened.hide("s3cret, ${env:API_KEY}, in clear") == "***, ${env:API_KEY}, in clear"


@given(
    st.lists(st.text("ab%", min_size=4, max_size=6), min_size=1, max_size=3),
    st.lists(st.text("ab%25 ", max_size=9), max_size=12),
)
def test_a_text_in_parts_is_hidden_as_if_it_were_whole(secrets: list[str], parts: list[str]) -> None:
    box = OpenedSecrets(SecretBox("the key of these tests"))
    for secret in secrets:
        box.open(box.seal(secret))
    stream = box.stream()

    shown = "".join(stream.hide(part, final=False) for part in parts) + stream.hide("", final=True)

    assert shown == box.hide("".join(parts))


def test_nothing_is_held_back_but_what_may_be_a_secret() -> None:
    box = OpenedSecrets(SecretBox("the key of these tests"))
    stream = box.stream()
    assert stream.hide("sec", final=False) == "sec"
    box.open(box.seal("secret"))

    assert stream.hide("a sec", final=False) == "a "
    assert stream.hide("ond\n", final=False) == "second\n"
