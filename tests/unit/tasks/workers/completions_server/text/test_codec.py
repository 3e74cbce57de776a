"""Text from tokens, piece by piece."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tasks.workers.completions_server.text.codec import TextStream


class ByteCodec:
    """One token a byte: the hardest case for characters of several bytes."""

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", errors="replace")


def pieces(prompt: bytes, generated: bytes) -> list[str]:
    stream = TextStream(ByteCodec().decode, list(prompt))
    made = [stream.push(byte) for byte in generated]
    return [*made, stream.finish()]


@given(st.text(max_size=30), st.text(max_size=30))
def test_the_pieces_join_to_the_text(prompt: str, generated: str) -> None:
    assert "".join(pieces(prompt.encode(), generated.encode())) == generated


@given(st.text(max_size=30))
def test_no_piece_ends_inside_a_character(generated: str) -> None:
    assert not any(
        piece.endswith("\ufffd") for piece in pieces(b"", generated.replace("\ufffd", "").encode())
    )


def test_an_unfinished_character_at_the_end_is_not_swallowed() -> None:
    assert pieces(b"", "é".encode()[:1]) == ["", "\ufffd"]


def test_bytes_that_are_no_character_do_not_hold_the_rest_back() -> None:
    shown = pieces(b"", b"\xff" * 5 + b"abc")
    assert "".join(shown).endswith("abc")
    assert "".join(shown[:6]).startswith("\ufffd")
