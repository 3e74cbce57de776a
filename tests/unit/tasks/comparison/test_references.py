"""Which references an engine is held against: in which roles and on which weights, or as declared."""

from pathlib import Path

import pytest
from support.paths import E2E_SPEC
from support.standin.interface_tables import values

from engine_specs.spec import (
    READY_MADE,
    Draft,
    QuantizedSource,
    ResolvedVariant,
    Spec,
    Speculative,
    load_spec,
    read_spec,
    resolve_variants,
)
from engine_specs.tables import DRAFTED as DRAFTED_METHODS
from engine_specs.tables import SpeculativeMethod, load_kinds, load_references, load_targets
from tasks.comparison import References, ReferenceTrees, loads_weights, reference_sides, references_of
from tasks.judging import Side

TEXT = E2E_SPEC.read_text()
CHECKPOINT, WEIGHTS = "c" * 64, "w" * 64
DECLARED = "  reference: {configurations: [{enforce_eager: true, dtype: float32}]}\n"


def names(configurations: str = "", *features: str) -> list[str]:
    """References on a host with these CPU flags beyond the target's; as declared, or by default."""
    assert DECLARED in TEXT
    declared = f"  reference: {{configurations: {configurations}}}\n" if configurations else ""
    spec = read_spec(TEXT.replace(DECLARED, declared), Path("e2e.yaml"))
    (variant,) = resolve_variants(spec)
    sides = reference_sides(spec, variant, ReferenceTrees(CHECKPOINT, WEIGHTS), features or ("avx512_bf16",))
    return [side.name for side in sides]


def of(spec: str, variant: str) -> References:
    """The references of a variant of a shipped spec."""
    found = load_spec(spec)
    return references_of(found, _variant(found, variant), ReferenceTrees(CHECKPOINT, WEIGHTS))


def _variant(spec: Spec, name: str) -> ResolvedVariant:
    return next(one for one in resolve_variants(spec) if one.name == name)


def by_name(references: References) -> dict[str, Side]:
    """The sides by their names."""
    return {one.side.name: one.side for one in references.taken}


def test_the_unquantized_reference_comes_first() -> None:
    assert names("[{quantization: fp8_per_tensor}, {dtype: bfloat16}]") == [
        "vllm dtype=bfloat16",
        "vllm quantization=fp8_per_tensor",
    ]


def test_an_unquantized_reference_is_added_where_none_is_declared() -> None:
    assert names("[{quantization: fp8_per_tensor}]") == ["vllm", "vllm quantization=fp8_per_tensor"]


def test_what_is_declared_replaces_the_default_references() -> None:
    assert names("[{max_num_seqs: 4}]", "avx2") == ["vllm max_num_seqs=4"]
    assert names("", "avx2") == ["vllm", "vllm dtype=float32"]


def test_float32_is_a_reference_where_the_processor_does_not_compute_in_bfloat16() -> None:
    assert names("", "avx512_bf16") == names("", "amx_bf16") == ["vllm"]
    assert names("", "avx512f") == ["vllm", "vllm dtype=float32"]
    llama = load_spec("llama-3.1-8b-instruct")
    gpus = [
        reference_sides(llama, one, ReferenceTrees(CHECKPOINT, WEIGHTS), ("avx2",))
        for one in resolve_variants(llama)
    ]
    assert not any("float32" in side.name for sides in gpus for side in sides)


def test_quantized_weights_that_vllm_loads_are_served_by_vllm_as_well() -> None:
    found = of("qwen3-8b", "h100-torch")
    plain, same = by_name(found).values()
    assert (plain.name, plain.tree, plain.roles) == ("vllm", CHECKPOINT, ("defaults",))
    assert (same.name, same.tree, same.roles) == ("vllm same-weights", WEIGHTS, ("same-weights",))
    flags = " ".join(same.serve.argv)
    assert "--quantization modelopt" in flags
    assert "--kv-cache-dtype fp8" in flags, "the format of the engine's cache"
    assert "--quantization" not in plain.serve.argv
    assert "nothing beyond vLLM's defaults" in found.absent["recommended"]


def test_vllm_quantizes_by_itself_if_it_does_not_load_the_engines_weights() -> None:
    found = of("llama-3.1-8b-instruct", "h100")
    own = by_name(found)["vllm own-quantization"]
    assert (own.tree, own.roles) == (CHECKPOINT, ("own-quantization",))
    assert "--quantization fp8_per_tensor --kv-cache-dtype fp8" in " ".join(own.serve.argv)
    assert "tensorrt-llm's layout" in found.absent["same-weights"]
    ampere = of("qwen3-8b", "a100")
    assert "--kv-cache-dtype" not in by_name(ampere)["vllm own-quantization"].serve.argv
    assert "recipe int4_awq" in ampere.absent["same-weights"]


def test_on_a_processor_vllm_quantizes_nothing_and_the_plan_says_so() -> None:
    found = of("demo", "cpu-int8")
    assert set(by_name(found)) == {"vllm", "vllm dtype=float32"}, "of any host of the target"
    assert set(found.absent) == {"same-weights", "own-quantization"}


def test_recommended_settings_are_a_reference_and_those_with_quantized_weights_have_them_too() -> None:
    found = by_name(of("llama-3.3-70b-instruct", "h100-tp2"))
    assert list(found) == ["vllm", "vllm recommended", "vllm own-quantization"]
    recommended = "--async-scheduling --no-enable-prefix-caching --max-num-batched-tokens 8192"
    shown = {name: " ".join(side.serve.argv) for name, side in found.items()}
    assert [recommended in flags for flags in shown.values()] == [False, True, True]
    assert found["vllm own-quantization"].roles == ("own-quantization", "recommended")
    blackwell = by_name(of("llama-3.3-70b-instruct", "b200"))["vllm same-weights"]
    assert blackwell.roles == ("same-weights", "recommended")
    assert "--compilation-config.pass_config.fuse_attn_quant" in blackwell.serve.argv


def test_an_engine_with_the_checkpoints_own_weights_has_the_same_weights_as_vllm() -> None:
    spec = load_spec("qwen3-8b")
    variant = _variant(spec, "h100-torch")
    plain = variant.quantization.model_copy(update={"recipe": "none", "kv_cache": "none"})
    found = references_of(
        spec, variant.model_copy(update={"quantization": plain}), ReferenceTrees(CHECKPOINT, CHECKPOINT)
    )
    assert [one.side.roles for one in found.taken] == [("defaults", "same-weights")]
    assert set(found.absent) == {"recommended"}


@pytest.mark.parametrize("name", ["demo", "llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "qwen3-8b"])
def test_every_role_is_taken_or_it_is_said_why_not(name: str) -> None:
    spec = load_spec(name)
    for variant in resolve_variants(spec):
        found = references_of(spec, variant, ReferenceTrees(CHECKPOINT, WEIGHTS), ("amx_bf16",))
        taken = {role for one in found.taken for role in one.side.roles}
        assert {"defaults", "same-weights"} <= taken | set(found.absent)
        assert "recommended" in taken | set(found.absent)
        assert "own-quantization" in taken | set(found.absent) or "same-weights" in taken
        assert all(one.why for one in found.taken)


def test_the_commit_of_the_recommendations_is_named() -> None:
    assert load_references().commit[:12] in of("llama-3.1-8b-instruct", "h100").absent["recommended"]


def ready_made(kind: str, target: str) -> References:
    """The references of a variant whose quantized checkpoint is ready-made."""
    spec = load_spec("qwen3-8b")
    variant = _variant(spec, "h100-torch")
    source = QuantizedSource(repo="acme/quantized", revision="d" * 40)
    options = {option.name: option.default for option in load_kinds()[kind].options}
    changes = {
        "engine": variant.engine.model_copy(update={"kind": kind, "options": options}),
        "target": load_targets()[target],
        "quantization": variant.quantization.model_copy(
            update={"recipe": READY_MADE, "kv_cache": "none", "calibration": None, "source": source}
        ),
    }
    return references_of(spec, variant.model_copy(update=changes), ReferenceTrees(CHECKPOINT, WEIGHTS))


@pytest.mark.parametrize(("kind", "target"), [("vllm", "h100-sxm"), ("trtllm-torch", "b200")])
def test_vllm_serves_a_ready_made_checkpoint_as_well_where_it_loads_every_format(
    kind: str, target: str
) -> None:
    sides = by_name(ready_made(kind, target))
    assert sides["vllm"].tree == CHECKPOINT
    same = sides["vllm same-weights"]
    assert (same.tree, "same-weights" in same.roles) == (WEIGHTS, True)
    assert "--quantization" not in same.serve.argv


def test_formats_that_vllm_does_not_load_are_not_left_to_chance() -> None:
    found = ready_made("trtllm-torch", "h100-sxm")
    assert "vllm same-weights" not in by_name(found)
    assert "does not load all formats of ready-made checkpoints" in found.absent["same-weights"]
    assert by_name(found)["vllm own-quantization"].tree == CHECKPOINT


DRAFTED = "d" * 64
DRAFT = Draft(repo="acme/draft", revision="f" * 40)


def drafting(spec: str, variant: str, method: SpeculativeMethod) -> References:
    """The references of a variant of a shipped spec, if it drafted tokens."""
    found = load_spec(spec)
    asked = Speculative(method=method, tokens=3, draft=DRAFT if method in DRAFTED_METHODS else None)
    changed = _variant(found, variant).model_copy(update={"speculative": asked})
    return references_of(found, changed, ReferenceTrees(CHECKPOINT, WEIGHTS, DRAFTED))


@pytest.mark.parametrize("method", ["ngram", "eagle3", "draft_model"])
def test_an_engine_that_drafts_has_a_reference_that_drafts_as_well(method: SpeculativeMethod) -> None:
    before, after = of("qwen3-8b", "h100-torch"), drafting("qwen3-8b", "h100-torch", method)
    assert [one.side for one in after.taken[:-1]] == [one.side for one in before.taken]
    added = after.taken[-1]
    assert (added.side.name, added.side.roles) == (f"vllm {method}", ("declared",))
    flags = values(list(added.side.serve.argv))
    assert flags["--speculative-config.method"] == method
    assert flags["--speculative-config.num_speculative_tokens"] == "3"
    own = method in DRAFTED_METHODS
    assert flags.get("--speculative-config.model") == ("{tree}/draft" if own else None)
    # The engine's own FP8 weights, which vLLM loads.
    assert flags["--quantization"] == "modelopt"
    assert added.side.tree == (DRAFTED if own else WEIGHTS)


def test_it_drafts_on_what_it_quantizes_itself_if_it_does_not_load_the_weights() -> None:
    found = drafting("qwen3-8b", "a100", "ngram").taken[-1].side
    assert values(list(found.serve.argv))["--quantization"] == "fp8_per_tensor"
    assert found.tree == CHECKPOINT
    spec = load_spec("qwen3-8b")
    assert not loads_weights(spec, _variant(spec, "a100"))
    assert loads_weights(spec, _variant(spec, "h100-torch"))


def test_it_has_what_is_declared_and_is_missing_where_vllm_does_not_draft() -> None:
    spec = read_spec(TEXT, Path("e2e.yaml"))
    (variant,) = resolve_variants(spec)
    asked = variant.model_copy(update={"speculative": Speculative(method="ngram", tokens=3)})
    *_, last = reference_sides(spec, asked, ReferenceTrees(CHECKPOINT))
    assert {"--enforce-eager", "--speculative-config.method"} <= set(last.serve.argv)
    mtp = asked.model_copy(update={"speculative": Speculative(method="mtp", tokens=1)})
    found = references_of(spec, mtp, ReferenceTrees(CHECKPOINT))
    assert len(found.taken) == 1
    assert "vLLM does not draft with mtp" in found.absent["declared"]
