"""How large an engine is: a module of its own, because engines ship it with their server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What an engine is compiled for.

    Attributes:
        max_batch_size: rows at once.
        max_input_len: tokens of a prompt.
        max_seq_len: tokens of a sequence, prompt included.
        max_num_tokens: tokens of one iteration that reads several prompts.
    """

    max_batch_size: int
    max_input_len: int
    max_seq_len: int
    max_num_tokens: int
