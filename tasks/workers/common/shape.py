"""The shape of an engine: a module of its own, because engines ship it with their server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What an engine is compiled for.

    Attributes:
        max_batch_size: most rows at once.
        max_input_len: most tokens of a prompt.
        max_seq_len: most tokens of a sequence, including its prompt.
        max_num_tokens: most tokens of one iteration that reads several prompts.
    """

    max_batch_size: int
    max_input_len: int
    max_seq_len: int
    max_num_tokens: int
