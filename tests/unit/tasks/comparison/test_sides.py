"""Sides and protocol from a spec: who is compared with whom, and what the engine's shape allows to ask."""

from pathlib import Path

import pytest
from support.paths import E2E_SPEC

from artifacts.hosts import EngineManifest, HostRequirements, ServeCommand
from engine_specs.spec import Spec, load_spec, read_spec, resolve_variants
from tasks.comparison import engine_side, judging_protocol, reference_sides
from tasks.judging import JudgingProtocol, Vocabulary

TEXT = E2E_SPEC.read_text()
CHECKPOINT, ENGINE = "c" * 64, "e" * 64


DECLARED = "[{enforce_eager: true, dtype: float32}]"


def spec_with(configurations: str = DECLARED, shape: str = "") -> Spec:
    text = TEXT.replace(DECLARED, configurations)
    if shape:
        text = text.replace("max_input_len: 64, max_seq_len: 96", shape)
    return read_spec(text, Path("e2e.yaml"))


def protocol(spec: Spec) -> JudgingProtocol:
    (variant,) = resolve_variants(spec)
    manifest = EngineManifest(
        kind="aot-inductor",
        architecture="LlamaForCausalLM",
        quantization="none",
        shape=variant.shape.model_dump(),
        tokenizer_sha256="0" * 64,
        requires=HostRequirements(machine="x86_64"),
        toolchains={},
        tools={},
        serve=ServeCommand(toolchain="aot-serve-cpu", argv=("{python}",), model="model"),
    )
    return judging_protocol(
        spec,
        variant,
        engine=engine_side(variant, ENGINE, manifest),
        references=reference_sides(spec, variant, CHECKPOINT),
        vocabulary=Vocabulary(size=1024, special_ids=(0,)),
        end_tokens=(0,),
        text_sha256="d" * 64,
    )


def names(configurations: str, *features: str) -> list[str]:
    """References on a host with these CPU flags beyond the target's."""
    spec = spec_with(configurations)
    sides = reference_sides(spec, resolve_variants(spec)[0], CHECKPOINT, features or ("avx512_bf16",))
    return [side.name for side in sides]


def test_the_unquantized_reference_comes_first() -> None:
    assert names("[{quantization: fp8}, {dtype: bfloat16}]") == [
        "vllm dtype=bfloat16",
        "vllm quantization=fp8",
    ]


def test_an_unquantized_reference_is_added_where_none_is_declared() -> None:
    assert names("[{quantization: fp8}]") == ["vllm", "vllm quantization=fp8"]


@pytest.mark.parametrize("declared", ["[{}]", "[{dtype: bfloat16}]", "[{enforce_eager: true}]"])
def test_float32_is_a_reference_where_the_processor_does_not_compute_in_bfloat16(declared: str) -> None:
    assert "vllm dtype=float32" not in names(declared, "avx512_bf16")
    assert "vllm dtype=float32" not in names(declared, "amx_bf16")
    assert names(declared, "avx512f")[1:] == ["vllm dtype=float32"]


def test_float32_is_not_added_twice() -> None:
    assert names("[{dtype: float32}]", "avx2") == ["vllm dtype=float32"]
    assert names("[{}, {dtype: float32}, {quantization: fp8}]", "avx2") == [
        "vllm",
        "vllm dtype=float32",
        "vllm quantization=fp8",
    ]


def test_on_gpus_no_reference_is_added() -> None:
    spec = load_spec("llama-3.1-8b-instruct")
    for variant in resolve_variants(spec):
        assert not any("float32" in side.name for side in reference_sides(spec, variant, CHECKPOINT))


def test_every_reference_serves_the_unquantized_checkpoint() -> None:
    assert {side.tree for side in protocol(spec_with("[{}, {quantization: fp8}]")).references} == {CHECKPOINT}


def test_accuracy_is_asked_of_the_workloads_own_requests() -> None:
    plan = protocol(spec_with()).accuracy
    assert (plan.max_context_tokens, plan.continuation_tokens, plan.in_flight) == (64, 16, (1,))


@pytest.mark.parametrize(("prompt", "context"), [(32, 96), (128, 128)])
def test_contexts_are_as_long_as_prompts_and_never_very_short(prompt: int, context: int) -> None:
    text = TEXT.replace("input_tokens: 32", f"input_tokens: {prompt}")
    text = text.replace("max_input_len: 64, max_seq_len: 96", "max_input_len: 128, max_seq_len: 300")
    assert protocol(read_spec(text, Path("e2e.yaml"))).accuracy.max_context_tokens == context


def test_half_of_the_texts_are_asked_with_as_many_in_flight_as_there_ever_are() -> None:
    busy = read_spec(TEXT.replace("concurrency: [1]", "concurrency: [1, 2]"), Path("e2e.yaml"))
    assert protocol(busy).accuracy.in_flight == (1, 2)


def test_long_answers_are_scored_as_far_as_it_is_affordable() -> None:
    long = read_spec(
        TEXT.replace("output_tokens: 16", "output_tokens: 500").replace(
            "max_seq_len: 96", "max_seq_len: 600"
        ),
        Path("e2e.yaml"),
    )
    assert protocol(long).accuracy.continuation_tokens == 64


@pytest.mark.parametrize(("answer", "seq_len", "limit"), [(16, 300, 64), (200, 300, 200), (200, 250, 154)])
def test_lengths_are_compared_up_to_those_of_the_workload_as_far_as_the_shape_allows(
    answer: int, seq_len: int, limit: int
) -> None:
    text = TEXT.replace("output_tokens: 16", f"output_tokens: {answer}")
    text = text.replace("max_input_len: 64, max_seq_len: 96", f"max_input_len: 96, max_seq_len: {seq_len}")
    assert protocol(read_spec(text, Path("e2e.yaml"))).accuracy.length_max_tokens == limit


def test_answers_end_at_the_checkpoints_end_tokens_and_at_those_that_are_declared() -> None:
    declared = spec_with().validation.accuracy.stop_token_ids
    assert declared
    assert protocol(spec_with()).accuracy.end_tokens == (0, *declared)


@pytest.mark.parametrize(
    ("shape", "context"),
    [("max_input_len: 32, max_seq_len: 48", 31), ("max_input_len: 40, max_seq_len: 49", 32)],
)
def test_contexts_and_continuations_fit_the_engine_and_leave_the_reference_a_token(
    shape: str, context: int
) -> None:
    plan = protocol(spec_with(shape=shape)).accuracy
    seq_len = int(shape.rsplit(maxsplit=1)[1])
    assert plan.max_context_tokens == context
    assert plan.max_context_tokens + plan.continuation_tokens + 1 <= seq_len
    assert plan.max_context_tokens + plan.length_max_tokens <= seq_len
    assert plan.min_context_tokens <= plan.max_context_tokens
    assert plan.round_trip_tokens + 12 <= seq_len


def test_a_changed_gate_is_another_protocol() -> None:
    other = read_spec(TEXT.replace("min_speedup: 1.0", "min_speedup: 1.2"), Path("e2e.yaml"))
    assert protocol(spec_with()).digest != protocol(other).digest
