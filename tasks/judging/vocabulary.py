"""The tokens of a checkpoint: ids that random prompts may hold, and ids that end a sequence. Pure.

Servers look for the ids that end a sequence in different places: vLLM in the tokenizer and in
generation_config.json, others in config.json. A side that misses one of them goes on after the other has
stopped, and is rejected for its length.
`tasks/workers/aot/tree.py` reads the same three files for the engines that it builds.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from artifacts.frozen import Frozen


class Vocabulary(Frozen):
    """The token ids that random prompts may hold."""

    size: int = Field(ge=2, description="Ids are 0 .. size-1.")
    special_ids: tuple[int, ...] = Field(default=(), description="Ids that never appear in a random prompt.")


def vocabulary_of(tokenizer: Mapping[str, Any]) -> Vocabulary:
    """Return the vocabulary that a checkpoint's `tokenizer.json` (Hugging Face tokenizers) declares."""
    added: list[dict[str, Any]] = tokenizer.get("added_tokens", [])
    special = sorted(int(token["id"]) for token in added if token.get("special", False))
    return Vocabulary(size=len(tokenizer["model"]["vocab"]), special_ids=tuple(special))


def end_tokens(
    *,
    generation: Mapping[str, Any],
    config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    tokenizer: Mapping[str, Any],
) -> tuple[int, ...]:
    """Return all end tokens, sorted; each argument is a JSON file of the checkpoint, empty if missing.

    Args:
        generation: generation_config.json; `eos_token_id`, one or several.
        config: config.json; the same.
        tokenizer_config: tokenizer_config.json; `eos_token`, as text or as {"content": text}.
        tokenizer: tokenizer.json, which gives that text's id.
    """
    named = {*_ids(generation.get("eos_token_id")), *_ids(config.get("eos_token_id"))}
    token = tokenizer_config.get("eos_token")
    text = token.get("content") if isinstance(token, dict) else token
    known = {**tokenizer.get("model", {}).get("vocab", {}), **_added(tokenizer)}
    return tuple(sorted(named | ({int(known[text])} if text in known else set())))


def _ids(value: int | list[int] | None) -> set[int]:
    return set() if value is None else set(value) if isinstance(value, list) else {value}


def _added(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    return {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
