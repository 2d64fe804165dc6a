import pytest

from activities.support.arguments import split_arguments, split_powershell
from activities.support.step_type import StepFailure


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  a  b\tc\n", ["a", "b", "c"]),
        ("""'a b' "c d" e\\ f ''""", ["a b", "c d", "e f", ""]),
        ("""--name="x 'y'" $HOME *.txt #no ;|&""", ["--name=x 'y'", "$HOME", "*.txt", "#no", ";|&"]),
    ],
)
def test_arguments_of_a_program_are_split_as_by_a_shell_that_expands_nothing(text: str, words: list[str]) -> None:
    assert split_arguments(text, "arguments") == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n", []),
        ("-Name value  -Flag", ["-Name", "value", "-Flag"]),
        ("-Path C:\\New\\temp\\ 'D:\\My Files\\'", ["-Path", "C:\\New\\temp\\", "D:\\My Files\\"]),
        ('\'it\'\'s\' "say ""hi"""', ["it's", 'say "hi"']),
        ("""-Name:"a b" x'y z'w""", ["-Name:a b", "xy zw"]),
        ("""'' "" x""", ["", "", "x"]),
        ("""'a "b" c' "d 'e' f" """, ['a "b" c', "d 'e' f"]),
        ("$x `n ; * @(1) -F:$false", ["$x", "`n", ";", "*", "@(1)", "-F:$false"]),
        ("'two\nlines' 🐘", ["two\nlines", "🐘"]),
        ("''''", ["'"]),
    ],
)
def test_arguments_of_a_script_are_split_by_powershells_quoting(text: str, words: list[str]) -> None:
    assert split_powershell(text, "arguments") == words


@pytest.mark.parametrize("text", ['"open', "it's", "end\\"])
def test_a_program_s_quote_that_is_not_closed_is_said(text: str) -> None:
    with pytest.raises(StepFailure, match=r"^arguments: a quote is not closed") as caught:
        split_arguments(text, "arguments")
    assert not caught.value.retryable


@pytest.mark.parametrize("text", ['"open', "it's", "'a''"])
def test_a_script_s_quote_that_is_not_closed_is_said(text: str) -> None:
    with pytest.raises(StepFailure, match=r"^arguments: a ['\"] is not closed; inside quotes, double it$") as caught:
        split_powershell(text, "arguments")
    assert not caught.value.retryable
