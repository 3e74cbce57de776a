"""Compares how transformers reads a checkpoint's tokenizer with tokenizer.json, before anything heavy.

A server of compiled engines reads tokenizer.json; calibration and the reference read it through the class
that tokenizer_config.json names. If the two make different tokens of a text, scales and verdicts are wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tasks.workers.common.io import Refusal

# Spaces, lines, digits, punctuation, capitals, accents, scripts without spaces, rare characters.
# None begins with a space: at the start of a text, transformers 5 reads all SentencePiece tokenizers a little
# differently from its tokenizer.json, by one token, which would refuse all Llamas 2 and Mistrals.
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "def f(x):\n    return  x + 12345\n\n\tpass  # done",
    "two spaces  within, one after ",
    "Ünïcode: naïve café, Cafe\u0301, Straße, 世界こんにちは, привет, שלום",
    "it's 3.14 and 1,000,000; e.g. <tag attr='x'/> {\"a\": [1, 2]}",
    "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\u2028x",
)
Encode = Callable[[str], Sequence[int]]


def require_same_tokens(checkpoint: Path) -> None:
    """Check that transformers and tokenizer.json make the same tokens of every text.

    Raises:
        Refusal: they differ; it names a text and the class.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    read = AutoTokenizer.from_pretrained(checkpoint)
    content = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    content.no_truncation()
    content.no_padding()
    differing = differences(
        lambda text: read(text, add_special_tokens=False)["input_ids"],
        lambda text: content.encode(text, add_special_tokens=False).ids,
    )
    if text := next(differing, None):
        raise Refusal(
            "unsupported",
            f"transformers reads the tokenizer as {type(read).__name__}, which makes other tokens of "
            f"{text!r} than tokenizer.json says",
            str(checkpoint / "tokenizer_config.json"),
            "use a checkpoint whose tokenizer_class reads its tokenizer.json as it is, such as "
            "PreTrainedTokenizerFast",
        )


def differences(one: Encode, other: Encode) -> Iterator[str]:
    """Yield the texts of which two tokenizers make different tokens."""
    yield from (text for text in TEXTS if list(one(text)) != list(other(text)))
