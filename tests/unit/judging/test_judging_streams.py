"""Timelines out of stamped bytes: tokens by id, events by the read that completed them, nothing
incomplete.
"""

import json

import pytest

from tasks.errors import ServerBroke
from tasks.judging.streams import read_trace

MS = 1_000_000
DONE = b"data: [DONE]\n\n"


def event(*ids: int) -> bytes:
    return f"data: {json.dumps({'choices': [{'token_ids': list(ids)}]})}\n\n".encode()


def usage(prompt_tokens: int) -> bytes:
    return f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': prompt_tokens}})}\n\n".encode()


def test_tokens_are_counted_by_ids_and_share_the_wait_for_their_chunk() -> None:
    stamped = [
        (10 * MS, event(7)),
        (13 * MS, event(8)),
        (19 * MS, event(9, 10, 11)),
        (20 * MS, usage(5) + DONE),
    ]
    trace = read_trace(4 * MS, stamped, where="here", expected_tokens=5)
    assert trace.token_ids == (7, 8, 9, 10, 11)
    assert trace.chunk_tokens == (1, 1, 3)
    assert (trace.ttft_ms, trace.e2e_ms, trace.prompt_tokens) == (6.0, 15.0, 5)
    assert trace.itl_ms() == [3.0, 2.0, 2.0, 2.0]


def test_an_event_happens_when_its_last_byte_is_read() -> None:
    whole = event(7) + event(8) + DONE
    cut = len(event(7)) + 9
    trace = read_trace(0, [(5 * MS, whole[:cut]), (9 * MS, whole[cut:])], where="here", expected_tokens=2)
    assert trace.stamps_ns == (5 * MS, 9 * MS)


def test_carriage_returns_comments_and_empty_chunks_are_no_tokens() -> None:
    stream = b": ping\r\n\r\n" + event().replace(b"\n", b"\r\n") + event(7).replace(b"\n", b"\r\n") + DONE
    assert read_trace(0, [(1, stream)], where="here", expected_tokens=1).token_ids == (7,)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (event(7), "ended after 1 of 2 tokens, without"),
        (event(7) + DONE, "1 token ids where 2 were asked for"),
        (event(7, 8, 9) + DONE, "3 token ids where 2 were asked for"),
        (b'data: {"error": {"message": "engine died"}}\n\n' + DONE, "engine died"),
        (b"data: <html>\n\n", "no JSON"),
        (b"data: [1]\n\n", "no object"),
    ],
)
def test_an_incomplete_or_broken_stream_is_an_error(stream: bytes, message: str) -> None:
    with pytest.raises(ServerBroke, match=message) as caught:
        read_trace(0, [(1, stream)], where="http://server", expected_tokens=2)
    assert caught.value.where == "http://server"
