"""A tokenizer that takes two ids for each other, around one that does not."""

from collections.abc import Callable, Sequence

from tasks.workers.completions_server.protocol.choices import Codec
from tasks.workers.damaged_server.request import Damage


class DamagedCodec:
    """Passes texts and tokens on to a tokenizer, and exchanges two ids on the way if that is planted.

    Args:
        codec: the tokenizer.
        planted: names the damage.
    """

    def __init__(self, codec: Codec, planted: Callable[[], Damage]) -> None:
        self._codec = codec
        self._planted = planted

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a text."""
        return self._exchanged(self._codec.encode(text, special=special))

    def decode(self, tokens: Sequence[int]) -> str:
        """Text; special tokens have none."""
        return self._codec.decode(self._exchanged(tokens))

    def decode_all(self, tokens: Sequence[int]) -> str:
        """Text, special tokens by name."""
        return self._codec.decode_all(self._exchanged(tokens))

    def spell(self, token: int) -> str:
        """The text of one token on its own."""
        return self._codec.spell(*self._exchanged([token]))

    def _exchanged(self, tokens: Sequence[int]) -> list[int]:
        damage = self._planted()
        if damage.kind != "swapped-ids":
            return list(tokens)
        one, other = damage.ids
        return [{one: other, other: one}.get(token, token) for token in tokens]
