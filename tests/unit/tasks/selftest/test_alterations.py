"""What faulty servers and cheats make of a stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tasks.selftest.alterations import (
    UNALTERED,
    Alteration,
    Burst,
    CountsTwice,
    Cut,
    Empty,
    Garbage,
    NeverEnds,
    OneChunk,
    StopsEarly,
    TextLast,
)

Json = dict[str, Any]
ASKED: Json = {"max_tokens": 8, "stream": True}
ASKED_FOR_IDS = ASKED | {"return_token_ids": True}


async def stream(count: int) -> AsyncIterator[Json]:
    """A stream of single letters, with their ids and counts, and the final usage."""
    for n in range(count):
        choice = {"text": chr(97 + n), "token_ids": [n]}
        yield {"choices": [choice], "usage": {"completion_tokens": n + 1}}
    yield {"choices": [], "usage": {"completion_tokens": count}}


def altered(alteration: Alteration, asked: Json = ASKED) -> list[list[Json]]:
    async def collect() -> list[list[Json]]:
        return [piece async for piece in alteration.stream(asked, stream(asked["max_tokens"]))]

    return asyncio.run(collect())


def texts(pieces: list[list[Json]]) -> list[str]:
    return [choice["text"] for piece in pieces for event in piece for choice in event["choices"]]


def counts(pieces: list[list[Json]]) -> list[int]:
    return [event["usage"]["completion_tokens"] for piece in pieces for event in piece]


def test_nothing_is_altered_by_default() -> None:
    assert texts(altered(UNALTERED)) == list("abcdefgh")
    assert UNALTERED.ask(ASKED) == ASKED


@pytest.mark.parametrize(
    ("alteration", "said", "counted"),
    [
        (Garbage(), ["x"] * 8, [1, 2, 3, 4, 5, 6, 7, 8, 8]),
        (Empty(), [""] * 8, [1, 2, 3, 4, 5, 6, 7, 8, 8]),
        (TextLast(), [*[""] * 7, "abcdefgh"], [1, 2, 3, 4, 5, 6, 7, 8, 8]),
        (StopsEarly(part=4), ["a", "b", *[""] * 6], [1, 2, 3, 4, 5, 6, 7, 8, 8]),
        (CountsTwice(), list("abcd"), [2, 4, 6, 8, 8]),
        (OneChunk(), ["abcdefgh"], [8, 8]),
        (Burst(), list("abcdefgh"), [1, 2, 3, 4, 5, 6, 7, 8, 8]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_a_cheat_says_and_counts(alteration: Alteration, said: list[str], counted: list[int]) -> None:
    pieces = altered(alteration)
    assert (texts(pieces), counts(pieces)) == (said, counted)


def test_a_burst_is_one_piece() -> None:
    assert len(altered(Burst())) == 1
    assert len(altered(UNALTERED)) == 9


def test_garbage_has_ids_that_match_its_text() -> None:
    pieces = altered(Garbage(), ASKED_FOR_IDS)
    ids = [choice["token_ids"] for piece in pieces for event in piece for choice in event["choices"]]
    assert len({tuple(one) for one in ids}) == 1


@pytest.mark.parametrize(
    ("alteration", "text", "ids"),
    [(Garbage("all"), True, True), (Garbage("text"), True, False), (Empty(), True, False)],
)
def test_which_streams_are_altered(alteration: Alteration, text: bool, ids: bool) -> None:
    assert (alteration.applies(ASKED), alteration.applies(ASKED_FOR_IDS)) == (text, ids)


def test_what_is_asked_of_the_server_instead() -> None:
    forced, free = {"max_tokens": 64, "ignore_eos": True}, {"max_tokens": 64, "stop_token_ids": [3]}
    assert Cut(60, 64).ask(dict(forced))["max_tokens"] == 60
    assert Cut(60, 64, forced=False).ask(dict(forced))["max_tokens"] == 64
    assert Cut(60, 64, forced=False).ask(dict(free))["max_tokens"] == 60
    assert NeverEnds().ask(dict(free)) == {"max_tokens": 64, "ignore_eos": True}
