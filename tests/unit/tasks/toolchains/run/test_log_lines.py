"""Splitting output into lines."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tasks.toolchains.run.log_lines import MAX_LINE_CHARS, LineSplitter


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def split(*pieces, clock=None):
    splitter = LineSplitter(clock or Clock())
    return [line for piece in pieces for line in splitter.feed(piece)] + list(splitter.end())


def test_lines_are_put_together_across_pieces():
    assert split(b"on", b"e\ntw", b"o\n", b"three") == ["one", "two", "three"]


def test_carriage_returns_take_a_line_back():
    assert split(b"10%\r50%", b"\r100%\n", b"after\n") == ["100%", "after"]


def test_carriage_return_before_newline_is_a_newline_even_across_pieces():
    assert split(b"one\r\ntwo\r", b"\nthree\r\n") == ["one", "two", "three"]


def test_long_progress_is_shown_now_and_then():
    clock = Clock()
    splitter = LineSplitter(clock)
    assert list(splitter.feed(b"1%\r2%\r3%")) == []
    clock.now = 6.0
    assert list(splitter.feed(b"\r4%\r5%")) == ["4%"]
    assert list(splitter.feed(b"\r6%\r7%\n")) == ["7%"]


def test_long_lines_are_cut_and_say_so():
    (line,) = split(b"x" * (MAX_LINE_CHARS + 5) + b"\n")
    assert line == "x" * MAX_LINE_CHARS + " [+5 bytes]"


def test_endless_line_is_bounded_in_memory():
    splitter = LineSplitter(Clock())
    for _ in range(100):
        assert list(splitter.feed(b"x" * 1000)) == []
    (line,) = splitter.feed(b"\n")
    assert line.endswith(f"[+{100_000 - MAX_LINE_CHARS} bytes]")


def test_bytes_that_are_no_text_are_replaced():
    assert split(b"\xff\xfe\n") == ["��"]


@given(st.text(alphabet="ab\n", max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_pieces_do_not_matter(text, cuts):
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert split(*pieces) == text.splitlines()
