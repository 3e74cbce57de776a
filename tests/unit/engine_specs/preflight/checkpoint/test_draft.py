"""What drafts tokens: which checkpoints a kind can draft with, and what they take."""

from typing import Any

import pytest
from support.specs.models import LLAMA_8B

from engine_specs.preflight import DraftCheckpoint, examine
from engine_specs.spec import Draft, ResolvedVariant, Shape, Spec, Speculative, resolve_variants
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets

COMMIT = "d" * 40
SHAPE = Shape(max_batch_size=8, max_input_len=1024, max_seq_len=2048, max_num_tokens=4096)
# The dimensions of yuhuili/EAGLE3-LLaMA3.1-Instruct-8B: one layer, and tokens of a smaller vocabulary.
HEAD = LLAMA_8B | {"num_hidden_layers": 1, "draft_vocab_size": 32_000, "max_position_embeddings": 2048}
HEAD_BYTES = 850_000_000
SMALL = LLAMA_8B | {
    "num_hidden_layers": 16,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "head_dim": 64,
    "tie_word_embeddings": True,
}
FILES = {"config.json": 1000, "tokenizer.json": 1000, "model.safetensors": 16_060_522_496}


def variant(spec: Spec, kind: str, method: Any, tokens: int = 3, **changes: Any) -> ResolvedVariant:
    options = {row.name: row.default for row in load_kinds()[kind].options}
    draft = Draft(repo="acme/draft", revision=COMMIT) if method in ("eagle3", "draft_model") else None
    update = {
        "target": load_targets()["h100-sxm"],
        "engine": Engine(kind=kind, options=options),
        "quantization": Quantization(recipe="none", device="cuda"),
        "shape": SHAPE,
        "speculative": Speculative(method=method, tokens=tokens, draft=draft),
        **changes,
    }
    return resolve_variants(spec)[0].model_copy(update=update)


def draft(config: dict[str, Any], held: int = HEAD_BYTES) -> DraftCheckpoint:
    return DraftCheckpoint(
        repo="acme/draft", commit=COMMIT, config=config, file_bytes={"model.safetensors": held}
    )


def problems(
    asked: ResolvedVariant, spec: Spec, of: dict[str, Any], found: DraftCheckpoint | None
) -> list[str]:
    """What is wrong with how tokens are drafted."""
    examined = examine(spec, asked, of, FILES, draft=found)
    return [str(one) for one in examined.problems if "speculative" in one.field]


def sizes(
    asked: ResolvedVariant, spec: Spec, of: dict[str, Any], found: DraftCheckpoint | None
) -> dict[str, int]:
    memory = examine(spec, asked, of, FILES, draft=found).memory
    assert memory is not None
    return {line.what: line.bytes for line in memory.lines}


@pytest.mark.parametrize("kind", ["vllm", "trtllm-torch"])
def test_a_head_counts_with_its_bytes_and_its_own_cache(spec: Spec, kind: str) -> None:
    asked, found = variant(spec, kind, "eagle3"), draft(HEAD)
    assert problems(asked, spec, LLAMA_8B, found) == []
    held = sizes(asked, spec, LLAMA_8B, found)
    assert held["weights that draft (eagle3)"] == HEAD_BYTES
    assert (
        held["KV cache of what drafts"] * 32 == held["KV cache (bfloat16)"] == 2 * 32 * 8 * 128 * 2 * 8 * 2048
    )
    assert held["logits"] == 8 * (1 + 3) * 128_256 * 4


def test_a_draft_model_counts_like_a_model_and_is_divided_with_it(spec: Spec) -> None:
    stored = 2_471_645_608
    one = sizes(variant(spec, "vllm", "draft_model"), spec, LLAMA_8B, draft(SMALL, stored))
    two = sizes(variant(spec, "vllm", "draft_model", tensor_parallel=2), spec, LLAMA_8B, draft(SMALL, stored))
    assert one["weights that draft (draft_model)"] == pytest.approx(stored, rel=0.01)
    assert two["weights that draft (draft_model)"] == pytest.approx(stored / 2, rel=0.01)
    assert one["KV cache of what drafts"] == 2 * 16 * 8 * 64 * 2 * 8 * 2048


def test_n_grams_take_no_memory_but_that_of_more_logits(spec: Spec) -> None:
    plain = sizes(
        variant(spec, "vllm", "ngram").model_copy(update={"speculative": None}), spec, LLAMA_8B, None
    )
    held = sizes(variant(spec, "vllm", "ngram"), spec, LLAMA_8B, None)
    assert held == plain | {"logits": 4 * plain["logits"]}


def test_what_does_not_fit_next_to_its_draft_is_refused(spec: Spec) -> None:
    asked = variant(spec, "vllm", "eagle3", target=load_targets()["l40s"])
    found = [
        str(one) for one in examine(spec, asked, LLAMA_8B, FILES, draft=draft(HEAD, 40 * 10**9)).problems
    ]
    assert any("weights that draft (eagle3) 40.0 GB" in one for one in found)


@pytest.mark.parametrize(
    ("kind", "method", "config", "words"),
    [
        ("vllm", "eagle3", HEAD | {"hidden_size": 2048}, "reads states of width 2,048"),
        (
            "vllm",
            "eagle3",
            HEAD | {"vocab_size": 32_000},
            "a vocabulary of 32,000 in acme/draft@dddddddddddd",
        ),
        ("vllm", "draft_model", SMALL | {"vocab_size": 32_000}, "whose vocabulary has 128,256 tokens"),
        ("vllm", "eagle3", HEAD | {"architectures": ["MedusaModel"]}, "MedusaModel in acme/draft"),
        (
            "trtllm-torch",
            "draft_model",
            SMALL | {"architectures": ["MistralForCausalLM"]},
            "trtllm-torch reads",
        ),
        ("vllm", "draft_model", {"architectures": ["LlamaForCausalLM"]}, "a config.json without"),
    ],
)
def test_a_draft_for_another_model_is_refused(
    spec: Spec, kind: str, method: str, config: dict[str, Any], words: str
) -> None:
    found = problems(variant(spec, kind, method), spec, LLAMA_8B, draft(config, 10**10))
    assert any(words in one for one in found), found


def test_pointers_to_files_are_no_draft(spec: Spec) -> None:
    found = problems(variant(spec, "vllm", "eagle3"), spec, LLAMA_8B, draft(HEAD, 135))
    assert any("135 B of safetensors in acme/draft@" in one for one in found), found


def test_a_head_may_read_states_of_another_width_than_its_own(spec: Spec) -> None:
    wide = HEAD | {"hidden_size": 2048, "target_hidden_size": 4096, "head_dim": 128}
    assert problems(variant(spec, "vllm", "eagle3"), spec, LLAMA_8B, draft(wide)) == []


@pytest.mark.parametrize(
    ("kind", "architecture", "method", "words"),
    [
        ("vllm", "MixtralForCausalLM", "eagle3", "eagle3 for MixtralForCausalLM"),
        ("trtllm-torch", "Qwen2ForCausalLM", "draft_model", "for it: ngram"),
        ("trtllm-torch", "LlamaForCausalLM", "mtp", "for it: ngram, draft_model, eagle3"),
        ("vllm", "LlamaForCausalLM", "mtp", "has no num_nextn_predict_layers"),
    ],
)
def test_a_method_is_for_the_architectures_that_are_known_to_have_it(
    spec: Spec, kind: str, architecture: str, method: str, words: str
) -> None:
    of = LLAMA_8B | {"architectures": [architecture]}
    found = problems(variant(spec, kind, method), spec, of, draft(HEAD) if method == "eagle3" else None)
    assert any(words in one for one in found), found


def test_vllm_runs_its_own_layers_a_whole_number_of_times(spec: Spec) -> None:
    of = LLAMA_8B | {"num_nextn_predict_layers": 2}
    refused = problems(variant(spec, "vllm", "mtp", 3), spec, of, None)
    assert any("3; accepted" in one or "at most 2" in one for one in refused), refused
    assert not any("at most 2" in one for one in problems(variant(spec, "vllm", "mtp", 4), spec, of, None))
    assert sizes(variant(spec, "vllm", "mtp", 4), spec, of, None)["KV cache of what drafts"] > 0


def test_no_method_where_no_row_says_so(spec: Spec) -> None:
    asked = variant(spec, "vllm", "mtp", target=load_targets()["a100-80gb"])
    assert any("mtp on a100-80gb" in one for one in problems(asked, spec, LLAMA_8B, None))
