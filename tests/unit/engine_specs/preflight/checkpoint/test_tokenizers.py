"""What a tokenizer says, however its file is written, and what it does to a prompt."""

from typing import Any

import pytest

from engine_specs.preflight import content_digest, prompt_facts

TOKENIZER: dict[str, Any] = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    "pre_tokenizer": {"type": "ByteLevel"},
    "truncation": None,
}
BOS = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"truncation": {"max_length": 512}, "padding": {"strategy": "BatchLongest"}}, True),
        ({"model": TOKENIZER["model"] | {"merges": [["a", "b"]]}}, True),
        ({"model": TOKENIZER["model"] | {"merges": []}}, False),
        ({"model": TOKENIZER["model"] | {"vocab": {"a": 0, "b": 1}}}, False),
        ({"pre_tokenizer": None}, False),
        ({"post_processor": BOS}, False),
    ],
)
def test_a_digest_is_that_of_what_is_said(change: dict[str, Any], same: bool) -> None:
    assert (content_digest(TOKENIZER | change) == content_digest(TOKENIZER)) is same


@pytest.mark.parametrize(
    ("processor", "added"),
    [
        (None, "none"),
        (BOS, "<s>"),
        ({"type": "Sequence", "processors": [{"type": "ByteLevel"}, BOS]}, "<s>"),
        ({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, BOS["single"][0]]}, "none"),
    ],
)
def test_tokens_before_a_prompt_are_named(processor: dict[str, Any] | None, added: str) -> None:
    facts = prompt_facts(TOKENIZER | {"post_processor": processor}, {}, None)
    assert facts == {"tokens added before prompts": added, "chat template": "none"}


def test_a_chat_template_is_recorded_wherever_it_is_kept() -> None:
    inside = prompt_facts(TOKENIZER, {"chat_template": "{{ messages }}"}, None)
    assert inside["chat template"].startswith("sha256 ")
    assert prompt_facts(TOKENIZER, {}, "{{ messages }}") == inside
    several = [{"name": "default", "template": "{{ messages }}"}]
    assert prompt_facts(TOKENIZER, {"chat_template": several}, None) != inside
