"""Timelines out of stamped bytes: tokens by the server's running count, events by the read that completed
them, nothing incomplete.
"""

import codecs
import json
from collections.abc import Callable
from typing import Any

import pytest

from tasks.errors import ServerBroke
from tasks.judging.measure.completions.streams import read_trace

MS = 1_000_000
DONE = b"data: [DONE]\n\n"


def event(by_now: int | None, text: str = "a") -> bytes:
    """A chunk of text that says how many tokens there are by now."""
    return said({"choices": [{"text": text}], "usage": {"prompt_tokens": 5, "completion_tokens": by_now}})


def end(tokens: int) -> bytes:
    """The final count and the end."""
    return said({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}}) + DONE


def said(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def test_tokens_are_counted_by_usage_and_gaps_are_not_divided_by_them() -> None:
    stamped = [(10 * MS, event(1)), (13 * MS, event(2)), (19 * MS, event(5)), (20 * MS, end(5))]
    trace = read_trace(4 * MS, stamped, where="here", expected_tokens=5)
    assert trace.output_tokens == 5
    assert trace.chunk_tokens == (1, 1, 3)
    assert (trace.ttft_ms, trace.e2e_ms, trace.prompt_tokens) == (6.0, 15.0, 5)
    assert trace.gaps_ms() == [3.0, 6.0]
    assert (trace.largest_chunk, len(trace.arrivals_ns)) == (3, 3)


def test_chunks_of_one_read_are_one_arrival_and_an_answer_that_arrives_at_once_is_one_gap() -> None:
    together = [(10 * MS, event(1) + event(2)), (13 * MS, event(3)), (20 * MS, end(3))]
    assert read_trace(0, together, where="here", expected_tokens=3).gaps_ms() == [3.0]
    at_once = [(1240 * MS, event(1) + event(31) + event(32) + end(32))]
    assert read_trace(0, at_once, where="here", expected_tokens=32).gaps_ms() == [1240.0]
    assert read_trace(0, [(7 * MS, event(1) + end(1))], where="here", expected_tokens=1).gaps_ms() == []


WORDS = "and so on, and so forth, and on"


def test_tokens_that_are_counted_before_their_text_comes_arrive_with_it() -> None:
    """Users wait for text; a count is none."""
    held = [(at * MS, event(at, "")) for at in range(1, 8)]
    trace = read_trace(
        0, [*held, (9 * MS, event(8, WORDS)), (9 * MS, end(8))], where="here", expected_tokens=8
    )
    assert (trace.chunk_tokens, trace.stamps_ns, trace.gaps_ms()) == ((8,), (9 * MS,), [9.0])
    flushed = [*held, (9 * MS, event(7, WORDS)), (9 * MS, end(7))]
    trace = read_trace(0, flushed, where="here", expected_tokens=7)
    assert (trace.chunk_tokens, trace.ttft_ms) == ((7,), 9.0)
    begun = [(1 * MS, event(1)), *held[1:], (9 * MS, event(8, WORDS)), (10 * MS, event(9) + end(9))]
    trace = read_trace(0, begun, where="here", expected_tokens=9)
    assert (trace.chunk_tokens, trace.gaps_ms()) == ((1, 7, 1), [8.0, 1.0])


def test_tokens_without_text_of_their_own_arrive_when_they_are_counted() -> None:
    """Special tokens, and the first bytes of a character."""
    texts = ["Yes", "", "", "", "é", "", " no", ""]
    stamped = [(at * MS, event(at, text)) for at, text in enumerate(texts, start=1)]
    trace = read_trace(0, [*stamped, (9 * MS, end(8))], where="here", expected_tokens=8)
    assert trace.chunk_tokens == (1,) * 8
    assert trace.gaps_ms() == [1.0] * 7
    several = [(1 * MS, event(1, "")), (2 * MS, event(7, WORDS)), (3 * MS, end(7))]
    assert read_trace(0, several, where="here", expected_tokens=7).chunk_tokens == (1, 6)


def test_an_event_happens_when_its_last_byte_is_read() -> None:
    whole = event(1) + event(2) + end(2)
    cut = len(event(1)) + 9
    trace = read_trace(0, [(5 * MS, whole[:cut]), (9 * MS, whole[cut:])], where="here", expected_tokens=2)
    assert trace.stamps_ns == (5 * MS, 9 * MS)


def test_carriage_returns_comments_and_chunks_without_tokens_are_no_tokens() -> None:
    lines = [event(0).replace(b"\n", b"\r\n"), event(1).replace(b"\n", b"\r\n"), event(1)]
    stamped = list(enumerate([b": ping\r\n\r\n", *lines, end(1)]))
    trace = read_trace(0, stamped, where="here", expected_tokens=1)
    assert (trace.stamps_ns, trace.chunk_tokens) == ((2,), (1,))


def several_lines(stream: bytes) -> bytes:
    """The same events, each with its JSON on several lines."""
    return stream.replace(b", ", b",\ndata:  ")


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "a byte order mark": lambda stream: codecs.BOM_UTF8 + stream,
    "no space after the colon": lambda stream: stream.replace(b"data: ", b"data:"),
    "comments and other fields": lambda stream: stream.replace(
        b"data:", b": a comment\nevent: message\nid\nretry: 5\ndata:"
    ),
    "events without data": lambda stream: stream.replace(
        b"data:", b"data\n\ndata:\n\nevent: ping\n\n\ndata:"
    ),
    "data on several lines": several_lines,
    "a name that only begins with data": lambda stream: b"database: no\n\n" + stream,
    "no empty line at the end": lambda stream: stream.removesuffix(b"\n"),
}


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("form", FORMS)
def test_every_legal_form_of_events_has_the_same_tokens_however_it_is_cut(form: str, ending: bytes) -> None:
    stream = FORMS[form](event(1) + event(2) + end(2)).replace(b"\n", ending)
    for size in (1, 7, len(stream)):
        reads = [(at, stream[at : at + size]) for at in range(0, len(stream), size)]
        trace = read_trace(0, reads, where="here", expected_tokens=2)
        assert (trace.text, trace.chunk_tokens) == ("aa", (1, 1)), (form, size)


def test_a_line_feed_of_the_next_read_ends_no_second_line() -> None:
    stamped = [(1, event(1).replace(b"\n", b"\r\n")[:-1]), (2, b"\n" + event(2)), (3, end(2))]
    assert read_trace(0, stamped, where="here", expected_tokens=2).stamps_ns == (1, 2)


def named(by_now: int, *ids: Any) -> bytes:
    """A chunk that names ids."""
    return said({"choices": [{"text": "a", "token_ids": list(ids)}], "usage": {"completion_tokens": by_now}})


def test_ids_and_text_are_those_of_all_chunks() -> None:
    stamped = [(1, named(1, 7)), (2, named(1)), (3, named(3, 8, 9)), (4, end(3))]
    trace = read_trace(0, stamped, where="here", expected_tokens=3)
    assert trace.token_ids == (7, 8, 9)
    assert trace.text == "aaa"
    assert trace.chunk_tokens == (1, 2)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (event(1), "ended after 1 of 2 tokens, without"),
        (event(1) + end(1), "1 tokens; 2 were requested"),
        (event(3) + end(3), "3 tokens; 2 were requested"),
        (event(2) + end(3), "counted 2 tokens, but its final usage says 3"),
        (event(2) + DONE, "counted 2 tokens, but its final usage says None"),
        (event(2) + event(1) + end(2), "after 2 tokens says that there are 1"),
        (
            said({"choices": [{"text": "a"}], "usage": None}) + end(2),
            "after 0 tokens says that there are None",
        ),
        (event(-1) + end(2), "reports -1 as completion_tokens"),
        (event(True) + end(2), "reports True as completion_tokens"),
        (event(2) + end(-2), "reports -2 as completion_tokens"),
        (event(2).replace(b'"completion_tokens": 2', b'"completion_tokens": NaN') + end(2), "reports nan as"),
        (
            event(2).replace(b'"prompt_tokens": 5', b'"prompt_tokens": -5') + end(2),
            "reports -5 as prompt_tokens",
        ),
        (named(1, 7) + named(2, 7, 8) + end(2), "after 1 tokens has 2 ids, but counts 2 in all"),
        (named(2, 7) + end(2), "after 0 tokens has 1 ids, but counts 2 in all"),
        (named(2, 7, -1) + end(2), "returned the token ids"),
        (named(2, 7, "8") + end(2), "returned the token ids"),
        (b'data: {"error": {"message": "engine died"}}\n\n' + DONE, "engine died"),
        (b"data: <html>\n\n", "not JSON"),
        (b"data: [1]\n\n", "not an object"),
    ],
)
def test_an_incomplete_or_broken_stream_is_an_error(stream: bytes, message: str) -> None:
    with pytest.raises(ServerBroke, match=message) as caught:
        read_trace(0, [(1, stream)], where="http://server", expected_tokens=2)
    assert caught.value.where == "http://server"


@pytest.mark.parametrize("tokens", [0, 3])
def test_an_answer_that_may_be_short_has_some_tokens_and_no_more_than_asked_for(tokens: int) -> None:
    def read(counted: int) -> int:
        stream = (event(counted) if counted else b"") + end(counted)
        return read_trace(0, [(1, stream)], where="here", expected_tokens=2, least=1).output_tokens

    assert (read(1), read(2)) == (1, 2)
    with pytest.raises(ServerBroke, match=f"held {tokens} tokens; 2 were requested"):
        read(tokens)
