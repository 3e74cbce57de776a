"""One choice of an answer as it grows: tokens become text, until a token or a stop string ends it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from tasks.workers.completions_server.engine import TokenScore
from tasks.workers.completions_server.protocol.records import Request
from tasks.workers.completions_server.text.codec import TextStream
from tasks.workers.completions_server.text.stops import StopFinder


class Codec(Protocol):
    """Turns text into tokens, and tokens into text."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids, with the special tokens that the tokenizer adds, or without them."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text; special tokens have none."""

    def decode_all(self, tokens: Sequence[int]) -> str:
        """Text, special tokens by name."""

    def spell(self, token: int) -> str:
        """The text of one token on its own."""


class Piece(NamedTuple):
    """What one token adds to a choice. One is made per token, which a tuple does fastest.

    Attributes:
        choice: its index in the request.
        text: that is now certain.
        token: its id.
        score: its log-probability, if asked for.
        offset: number of characters of the tokens before.
        finish: why the choice ends with it.
        stop_reason: the stop string, or the token of `stop_token_ids`, that ended it.
    """

    choice: int
    text: str
    token: int
    score: TokenScore | None
    offset: int
    finish: Literal["stop", "length"] | None
    stop_reason: str | int | None


class Choice:
    """The text of one sequence."""

    def __init__(self, request: Request, index: int, codec: Codec, eos: frozenset[int]) -> None:
        self._index, self._codec = index, codec
        self._asked, form = request.generations[index], request.form
        self._include_stop = form.include_stop
        decode = codec.decode if form.skip_special_tokens else codec.decode_all
        self._text = TextStream(decode, self._asked.prompt)
        self._stops = StopFinder(form.stop, included=form.include_stop)
        silent = frozenset() if self._asked.ignore_eos else eos
        self._named = self._asked.stop_token_ids - silent
        self._count = self._offset = 0

    def take(self, token: int, score: TokenScore | None, finish: Literal["stop", "length"] | None) -> Piece:
        """Append a token; `finish` is set if the sequence ends with it."""
        self._count += 1
        # As in vLLM, a token that ends a text is not part of it.
        text = "" if finish == "stop" and not self._include_stop else self._text.push(token)
        if finish:
            text += self._text.finish()
        text = self._stops.push(text, may_end=self._count > self._asked.sampling.min_tokens)
        reason: str | int | None = token if finish == "stop" and token in self._named else None
        if self._stops.found is not None:
            finish, reason = "stop", self._stops.found
        elif finish:
            text += self._stops.finish()
        offset = self._offset
        if score is not None:
            self._offset += len(self._codec.spell(token))
        return Piece(self._index, text, token, score, offset, finish, reason)
