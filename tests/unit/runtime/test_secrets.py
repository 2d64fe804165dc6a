"""Secrets hidden in texts that may hold them."""

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
