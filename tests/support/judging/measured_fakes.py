"""What tests of measuring over HTTP share: texts, a protocol that is soon done, an engine that is damaged."""

from collections.abc import Sequence

from support.judging.fake_completions import SHIFT, Speech, next_byte
from support.judging.judgements import protocol

TEXTS = [f"Text {n}: " + "The grass is green and the sky is blue. " * 5 for n in range(40)]
# A coarse resolution and next to no budget: what is tested is what is asked, not how well the host times it.
ASKED = protocol(resolution=500.0, budget_minutes=0.001)
SPEECHES: list[Speech] = ["vllm", "trtllm-serve-1.2", "trtllm-serve-1.4"]


def ignore(line: str) -> None:
    """Take a line of progress and do nothing."""


def wrong_now_and_then(prompt: Sequence[int]) -> int:
    """The stand-in's token, or another one after every other prompt."""
    token = next_byte(prompt)
    return token if sum(prompt) % 2 else another(token)


def another(token: int) -> int:
    """Any token but this one."""
    return SHIFT + (token - SHIFT + 1) % 256
