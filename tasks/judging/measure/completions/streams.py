"""From the stamped bytes of a server-sent event stream to its tokens and their times. Pure.

Invariants:
- The time of an event is when the read that completed it returned; events of one read share a stamp.
- Tokens are counted by the usage in every chunk, which is the number so far, and not by chunks: a server may
  put several tokens into one chunk.
- Whatever server-sent events allow is read: every end of line, a byte order mark, comments, events without
  data or with several lines of it.
- Users wait for the next arrival, whatever number of tokens it has: a gap is the time between two arrivals,
  and is not divided by tokens.
- A token arrives with its text: if a chunk has more text than the tokens that it counts can have, the tokens
  that were counted without text just before came with it. Some tokens have none (special ones, parts of a
  character), so no text by itself says nothing.
- If a chunk has token ids, there are as many as its usage adds.
- A stream without `[DONE]`, with a chunk without usage, with a count that falls or that the final usage does
  not confirm, or with another number of tokens than requested, is an error and never a sample. Only answers
  that are judged by their tokens may be short.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tasks.errors import ServerBroke
from tasks.judging.measure.completions.numbers import count_in, ids_in

StampedBytes = tuple[int, bytes]
"""The value of perf_counter_ns() when a read returned, and the bytes."""

NS_PER_MS = 1e6
LONGEST_TOKEN = 12
"""Characters of a token: most have 3 to 5, and few have more than this."""
LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Trace:
    """One finished streamed request.

    Attributes:
        sent_ns: perf_counter_ns() just before the request was sent.
        stamps_ns: stamp of every chunk that has tokens.
        chunk_tokens: number of tokens in every such chunk.
        prompt_tokens: length of the prompt by the server's own count.
        token_ids: ids of the tokens; empty if they were not asked for.
        text: text of all chunks; empty if ids are returned instead.
    """

    sent_ns: int
    stamps_ns: tuple[int, ...]
    chunk_tokens: tuple[int, ...]
    prompt_tokens: int
    token_ids: tuple[int, ...]
    text: str

    @property
    def output_tokens(self) -> int:
        """The number of generated tokens."""
        return sum(self.chunk_tokens)

    @property
    def ttft_ms(self) -> float:
        """The time from sending to the first token."""
        return (self.stamps_ns[0] - self.sent_ns) / NS_PER_MS

    @property
    def e2e_ms(self) -> float:
        """The time from sending to the last token."""
        return (self.stamps_ns[-1] - self.sent_ns) / NS_PER_MS

    @property
    def arrivals_ns(self) -> tuple[int, ...]:
        """The times at which tokens arrived; chunks of one read arrived together."""
        return tuple(dict.fromkeys(self.stamps_ns))

    @property
    def largest_chunk(self) -> int:
        """The most tokens of one chunk."""
        return max(self.chunk_tokens)

    def gaps_ms(self) -> list[float]:
        """Return the time between arrivals; if several tokens arrived all at once, the time until then."""
        gaps = [(after - before) / NS_PER_MS for before, after in pairwise(self.arrivals_ns)]
        return gaps if gaps or self.output_tokens == 1 else [self.e2e_ms]


@dataclass(frozen=True, slots=True)
class RawStream:
    """One streamed answer as it arrived; parse it when nothing is timed any more.

    Attributes:
        sent_ns: perf_counter_ns() just before the request was sent.
        stamped: the bytes of every read, with their stamps.
        where: address that was asked, for errors.
        expected_tokens: number of requested tokens.
    """

    sent_ns: int
    stamped: tuple[StampedBytes, ...]
    where: str
    expected_tokens: int

    def read(self, *, may_be_short: bool = False) -> Trace:
        """Parse the stream; raise `ServerBroke` if it is incomplete or reports an error.

        If it may be short, it may have fewer tokens than requested: then a gate judges that.
        """
        least = 1 if may_be_short else self.expected_tokens
        return read_trace(
            self.sent_ns, self.stamped, where=self.where, expected_tokens=self.expected_tokens, least=least
        )


def read_trace(
    sent_ns: int,
    stamped: Sequence[StampedBytes],
    *,
    where: str,
    expected_tokens: int,
    least: int | None = None,
) -> Trace:
    """Parse a finished stream; raise `ServerBroke` if it is incomplete or reports an error.

    It must have as many tokens as expected, or from `least` up to that.
    """
    reader = _TraceReader(where)
    for stamp_ns, event in _events(stamped):
        reader.take(stamp_ns, event)
    return reader.finish(sent_ns, expected_tokens, expected_tokens if least is None else least)


def _events(stamped: Sequence[StampedBytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the data of each event, with the stamp of the read that completed it.

    By WHATWG's standard of server-sent events: an empty line completes an event, the lines of its data are
    joined, comments and other fields count for nothing. The end of the stream completes an event as well.
    """
    data: list[bytes] = []
    stamp_ns = 0
    for stamp_ns, line in _lines(stamped):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif not line and data:
            yield stamp_ns, b"\n".join(data)
            data = []
    if data:
        yield stamp_ns, b"\n".join(data)


def _lines(stamped: Sequence[StampedBytes]) -> Iterator[tuple[int, bytes]]:
    """Yield complete lines, each with the stamp of the read that completed it, without a byte order mark."""
    rest, after_return, mark = b"", False, codecs.BOM_UTF8
    for stamp_ns, read in stamped:
        piece = read.removeprefix(b"\n") if after_return else read
        after_return = read.endswith(b"\r")
        *lines, rest = LINE_END.split(rest + piece)
        for line in lines:
            yield stamp_ns, line.removeprefix(mark)
            mark = b""


class _TraceReader:
    """Collects the events of one stream."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._stamps: list[int] = []
        self._counts: list[int] = []
        self._ids: list[int] = []
        self._text: list[str] = []
        self._prompt_tokens = 0
        self._counted = 0
        self._silent = 0
        self._confirmed: int | None = None
        self._done = False

    def take(self, stamp_ns: int, payload: bytes) -> None:
        if payload.strip() == b"[DONE]":
            self._done = True
            return
        if not payload.strip():  # keeps the connection alive
            return
        event = self._parse(payload)
        if "error" in event:
            raise ServerBroke(
                f"the server reported an error inside the stream: {event['error']}", where=self._where
            )
        usage = event.get("usage") or {}
        prompt_tokens = count_in(usage, "prompt_tokens", where=self._where)
        self._prompt_tokens = self._prompt_tokens if prompt_tokens is None else prompt_tokens
        by_now = count_in(usage, "completion_tokens", where=self._where)
        if choices := event.get("choices"):
            self._take_ids(choices[0], by_now)
            self._take_tokens(stamp_ns, by_now, str(choices[0].get("text") or ""))
        else:
            self._confirmed = self._confirmed if by_now is None else by_now

    def _take_ids(self, choice: dict[str, Any], by_now: int | None) -> None:
        """Take the text of a chunk and, if it has them, its ids; there must be as many as usage adds."""
        self._text.append(str(choice.get("text") or ""))
        if choice.get("token_ids") is None:
            return
        ids = ids_in(choice["token_ids"], where=self._where)
        if by_now is None or len(ids) != by_now - self._counted:
            raise ServerBroke(
                f"a chunk after {self._counted} tokens has {len(ids)} ids, but counts {by_now} in all",
                where=self._where,
                fix="the server must return the ids of each chunk's own tokens, and count them",
            )
        self._ids += ids

    def _take_tokens(self, stamp_ns: int, by_now: int | None, text: str) -> None:
        """Take the number of tokens so far; a chunk without tokens of its own gets no stamp."""
        if by_now is None or by_now < self._counted:
            raise ServerBroke(
                f"a chunk after {self._counted} tokens says that there are {by_now}",
                where=self._where,
                fix="the server must honour stream_options.continuous_usage_stats",
            )
        new, self._counted = by_now - self._counted, by_now
        if len(text) > LONGEST_TOKEN * max(1, new):
            new += self._take_back()
        if new:
            self._stamps.append(stamp_ns)
            self._counts.append(new)
        self._silent = 0 if text else self._silent + bool(new)

    def _take_back(self) -> int:
        """Forget when the chunks without text at the end arrived; return their tokens."""
        kept = len(self._counts) - self._silent
        tokens = sum(self._counts[kept:])
        del self._counts[kept:], self._stamps[kept:]
        return tokens

    def _parse(self, payload: bytes) -> dict[str, Any]:
        try:
            event = json.loads(payload)
        except ValueError as error:
            raise ServerBroke(
                f"the stream holds an event that is not JSON: {payload[:200]!r}", where=self._where
            ) from error
        if not isinstance(event, dict):
            raise ServerBroke(
                f"the stream holds an event that is not an object: {payload[:200]!r}", where=self._where
            )
        return event

    def finish(self, sent_ns: int, expected_tokens: int, least: int) -> Trace:
        if not self._done:
            raise ServerBroke(
                f"the stream ended after {self._counted} of {expected_tokens} tokens, without [DONE]",
                where=self._where,
                fix="read the server's log; it may have ended",
            )
        if self._confirmed != self._counted:
            raise ServerBroke(
                f"the stream counted {self._counted} tokens, but its final usage says {self._confirmed}",
                where=self._where,
                fix="the server must honour stream_options.include_usage",
            )
        if not least <= self._counted <= expected_tokens:
            raise ServerBroke(
                f"the stream held {self._counted} tokens; {expected_tokens} were requested",
                where=self._where,
                fix="the server must honour max_tokens and ignore_eos",
            )
        return Trace(
            sent_ns,
            tuple(self._stamps),
            tuple(self._counts),
            self._prompt_tokens,
            tuple(self._ids),
            "".join(self._text),
        )
