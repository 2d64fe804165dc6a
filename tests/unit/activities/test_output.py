import random
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from activities.support.output import OutputTail, last_line, plain
from contracts.execution import OUTPUT_TAIL_BYTES
from runtime.secrets import OpenedSecrets, SecretBox

STREAMS = st.sampled_from(["stdout", "stderr"])


def test_both_streams_stand_in_the_order_in_which_they_came() -> None:
    output = OutputTail()
    output.feed(b"one\n", "stdout")
    output.feed(b"two\n", "stderr")
    output.feed(b"three\n", "stdout")
    assert output.text() == "one\ntwo\nthree\n"
    assert output.stderr_head == output.stderr_tail == "two\n"


def test_a_character_that_comes_in_two_parts_stays_whole() -> None:
    output = OutputTail()
    elephant = "🐘".encode()
    output.feed(elephant[:2], "stdout")
    output.feed(b"!", "stderr")
    output.feed(elephant[2:], "stdout")
    assert output.text() == "!🐘"


def test_a_character_that_never_ends_is_replaced() -> None:
    output = OutputTail()
    output.feed("🐘".encode()[:2])
    output.feed(b"", final=True)
    assert output.text() == "\N{REPLACEMENT CHARACTER}"


def test_nul_and_bytes_that_are_not_utf_8_are_replaced_and_escapes_stay() -> None:
    output = OutputTail()
    output.feed(b"a\0b\xffc \x1b[31mred\x1b[0m")
    assert output.text() == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c \x1b[31mred\x1b[0m"


def test_replaced_bytes_do_not_make_the_tail_longer_than_its_limit() -> None:
    output = OutputTail()
    output.feed(b"\0\xff" * OUTPUT_TAIL_BYTES)
    assert OUTPUT_TAIL_BYTES - 3 < len(output.text().encode()) <= OUTPUT_TAIL_BYTES


@given(
    st.lists(st.tuples(st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode)), STREAMS), max_size=30),
    st.integers(1, 50),
)
def test_the_tail_is_the_end_of_everything_cut_between_characters(parts: list[tuple[bytes, str]], limit: int) -> None:
    tail, everything = OutputTail(limit), OutputTail(10**6)
    for data, stream in parts:
        tail.feed(data, stream)  # type: ignore[arg-type]
        everything.feed(data, stream)  # type: ignore[arg-type]
    kept, whole = tail.text(), everything.text()
    assert whole.endswith(kept)
    assert len(kept.encode()) <= limit
    assert "\0" not in kept
    if kept != whole:
        # One more character would have been too much.
        assert len(whole[len(whole) - len(kept) - 1 :].encode()) > limit


def test_memory_is_bounded() -> None:
    output = OutputTail()
    chunk = random.Random(1).randbytes(65536)  # noqa: S311 - odd bytes, not secrets
    output.feed(chunk, "stderr")
    tracemalloc.start()
    try:
        for _ in range(400):
            output.feed(chunk, "stderr")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * OUTPUT_TAIL_BYTES
    assert len(output.stderr_head) == 16 * 1024
    assert len(output.stderr_tail.encode()) <= 16 * 1024


def test_the_last_line_is_the_last_that_says_something() -> None:
    assert OutputTail().last_line is None
    output = OutputTail()
    output.feed(b"first\n")
    output.feed(b"  10 %\r  20 %\r\x1b[2K\x1b[32m 30 % \x1b[0m\r\n \n\x1b[0m\n")
    assert output.last_line == "30 %"
    output.feed(b"x" * 100_000)
    assert output.last_line == "x" * 500


@given(
    st.lists(
        st.tuples(st.sampled_from(["x", " ", "é", "🐘", "\x1b[1m"]), st.integers(0, 3000), st.sampled_from("\r\n"))
    )
)
def test_the_last_line_is_the_same_from_the_end_as_from_all(lines: list[tuple[str, int, str]]) -> None:
    output = OutputTail(16 * 1024)
    for text, count, end in lines:
        output.feed((text * count + end).encode())
    assert output.last_line == last_line(output.text())


def test_the_last_line_of_much_takes_little_memory() -> None:
    output = OutputTail()
    for number in range(10_000):
        output.write_line(f"{number} of 10000 are done")
    tracemalloc.start()
    try:
        line = output.last_line
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert line == "9999 of 10000 are done"
    assert peak < OUTPUT_TAIL_BYTES / 2


def test_a_step_may_write_lines_itself() -> None:
    output = OutputTail()
    output.write_line("3 rows \ud800 affected")
    output.write_line("done")
    assert output.text() == "3 rows ? affected\ndone\n"
    assert output.stderr_head == ""


def test_plain_text_has_no_escapes() -> None:
    link = "\x1b]8;;https://example.org\x07link\x1b]8;;\x1b\\"
    assert plain(f"\x1b[1;31mbold\x1b[0m {link} \x1b(B\x07\ttab\n") == "bold link \ttab\n"


def test_a_secret_that_comes_in_two_parts_is_hidden_wherever_the_output_goes() -> None:
    box = OpenedSecrets(SecretBox("the key of these tests"))
    everything = bytearray()
    output = OutputTail(secrets=box, also=everything.extend)
    box.open(box.seal("s3cret"))
    output.feed(b"it is s3c", "stderr")
    output.feed(b"never\n", "stdout")
    output.feed(b"ret, or s", "stderr")
    output.end()

    assert output.text() == everything.decode() == "it is never\n***, or s"
    assert output.stderr_head == "it is ***, or s"
    assert output.total_bytes == len(everything)
