"""What a faulty or cheating server makes of requests and streams, in front of an honest one.

A stream is a sequence of events, as JSON objects; what is yielded together is sent in one piece. The last
event has no choices, and the final usage. Requests and events may be changed in place.
"""

import time
from asyncio import sleep
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Events = AsyncIterator[Json]
Pieces = AsyncIterator[list[Json]]

GARBAGE_ID, GARBAGE_TEXT = 100, "x"


def asks_for_text(request: Json) -> bool:
    """Whether a request asks for text alone, as timed requests do."""
    return not request.get("return_token_ids") and bool(request.get("detokenize", True))


@dataclass(frozen=True, slots=True)
class Alteration:
    """Nothing is altered."""

    def applies(self, request: Json) -> bool:
        """Whether the stream that answers a request is altered: by default, if it is like a timed one."""
        return asks_for_text(request)

    def ask(self, request: Json) -> Json:
        """Return what the server is asked instead."""
        return request

    async def stream(self, request: Json, events: Events) -> Pieces:  # noqa: ARG002  others need it
        """Yield what is sent instead of these events."""
        async for event in events:
            yield [event]


UNALTERED = Alteration()


@dataclass(frozen=True, slots=True)
class Garbage(Alteration):
    """Other tokens than the server's: in all streams, or only in those of text."""

    streams: Literal["all", "text"] = "all"

    def applies(self, request: Json) -> bool:
        """Whether such a stream is garbage."""
        return self.streams == "all" or asks_for_text(request)

    async def stream(self, request: Json, events: Events) -> Pieces:  # noqa: ARG002
        """Yield garbage."""
        async for event in events:
            for choice in event["choices"]:
                choice["text"] = GARBAGE_TEXT
                if choice.get("token_ids") is not None:
                    choice["token_ids"] = [GARBAGE_ID] * len(choice["token_ids"])
            yield [event]


@dataclass(frozen=True, slots=True)
class Empty(Alteration):
    """No text."""

    async def stream(self, request: Json, events: Events) -> Pieces:  # noqa: ARG002
        """Yield events without text."""
        async for event in events:
            yield [_with_text(event, "")]


@dataclass(frozen=True, slots=True)
class Cut(Alteration):
    """Answers that stop too early; if not forced, only those that may end by themselves."""

    at: int = 1
    of: int = 1
    forced: bool = True

    def ask(self, request: Json) -> Json:
        """Ask for fewer tokens."""
        if self.forced or not request.get("ignore_eos"):
            request["max_tokens"] = -(-request["max_tokens"] * self.at // self.of)
        return request


@dataclass(frozen=True, slots=True)
class NeverEnds(Alteration):
    """Answers that go on to the limit."""

    def ask(self, request: Json) -> Json:
        """Forbid every end."""
        request.pop("stop_token_ids", None)
        return request | {"ignore_eos": True}


@dataclass(frozen=True, slots=True)
class StopsEarly(Alteration):
    """Only a part of the text, and the count of the whole."""

    part: int = 8

    async def stream(self, request: Json, events: Events) -> Pieces:
        """Yield text in the first events only."""
        sent = 0
        async for event in events:
            sent += 1
            yield [event if sent <= request["max_tokens"] // self.part else _with_text(event, "")]


@dataclass(frozen=True, slots=True)
class CountsTwice(Alteration):
    """Half of the tokens, and the count of all."""

    async def stream(self, request: Json, events: Events) -> Pieces:
        """Yield the events of the first half, each with twice its count."""
        half = request["max_tokens"] // 2
        async for event in events:
            if event["choices"] and event["usage"]["completion_tokens"] > half:
                continue
            counted = min(half, event["usage"]["completion_tokens"])
            event["usage"]["completion_tokens"] = 2 * counted
            yield [event]


@dataclass(frozen=True, slots=True)
class OneChunk(Alteration):
    """All tokens in one event."""

    async def stream(self, request: Json, events: Events) -> Pieces:  # noqa: ARG002
        """Yield one event with all of the text, and the final one."""
        made = [event async for event in events]
        chunks, rest = [one for one in made if one["choices"]], [one for one in made if not one["choices"]]
        text = "".join(one["choices"][0]["text"] for one in chunks)
        yield [_with_text(chunks[-1], text), *rest]


@dataclass(frozen=True, slots=True)
class TextLast(Alteration):
    """Every token is counted when it is made, and all of the text comes with the last one."""

    async def stream(self, request: Json, events: Events) -> Pieces:
        """Yield events without text, but for that of the last token."""
        text = ""
        async for event in events:
            text += "".join(choice["text"] for choice in event["choices"])
            is_last = event["usage"]["completion_tokens"] == request["max_tokens"]
            yield [_with_text(event, text if is_last else "")]


@dataclass(frozen=True, slots=True)
class Burst(Alteration):
    """All events at once, after the server has finished and some time has passed."""

    seconds: float = 0.0

    async def stream(self, request: Json, events: Events) -> Pieces:  # noqa: ARG002
        """Yield everything in one piece."""
        began = time.monotonic()
        made = [event async for event in events]
        await sleep(max(0.0, self.seconds - (time.monotonic() - began)))
        yield made


def _with_text(event: Json, text: str) -> Json:
    for choice in event["choices"]:
        choice["text"] = text
    return event
