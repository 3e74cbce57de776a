"""Turns tokens into text, piece by piece.

A character may be spread over several tokens, and what a token spells depends on those before it. So a piece
is the difference between two decodings of a short window, held back while it ends inside a character.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

# Enough tokens before the new ones for the decoder to know how they join.
CONTEXT_TOKENS = 6
UNFINISHED = "\N{REPLACEMENT CHARACTER}"
# A character is at most four bytes, so a longer run of unfinished tokens is not a character at all.
LONGEST_UNFINISHED = 4


Decode = Callable[[Sequence[int]], str]


class Codec:
    """The tokenizer of an engine.

    tokenizer.json may keep `truncation` and `padding` from training. They say how batches were made there,
    not how a prompt is read: if they were on, a long prompt would be silently truncated.
    """

    def __init__(self, tree: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tree / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a text, with the special tokens that the tokenizer adds, or without them."""
        return list(self._tokenizer.encode(text, add_special_tokens=special).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids; special tokens have none."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def decode_all(self, tokens: Sequence[int]) -> str:
        """Text of token ids, special tokens by name."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))

    def spell(self, token: int) -> str:
        """The text of one token on its own; special ones by name."""
        text = str(self._tokenizer.decode([token], skip_special_tokens=False))
        return text or str(self._tokenizer.id_to_token(token) or "")


class TextStream:
    """The text of one growing sequence.

    The pieces of all `push` calls and of `finish`, joined, are the text that follows the prompt.
    """

    def __init__(self, decode: Decode, prompt: Sequence[int]) -> None:
        self._decode = decode
        self._window = list(prompt[-CONTEXT_TOKENS:])
        self._known = len(self._window)

    def push(self, token: int) -> str:
        """Append a token; returns the characters that are now certain."""
        self._window.append(token)
        unfinished = len(self._window) - self._known <= LONGEST_UNFINISHED
        if unfinished and self._decode(self._window).endswith(UNFINISHED):
            return ""
        return self.finish()

    def finish(self) -> str:
        """Return the text that was held back."""
        before = self._decode(self._window[: self._known])
        piece = self._decode(self._window)[len(before) :]
        self._window = self._window[-CONTEXT_TOKENS:]
        self._known = len(self._window)
        return piece
