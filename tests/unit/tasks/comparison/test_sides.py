"""Sides and protocol from a spec: who is compared with whom."""

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


def test_a_changed_gate_is_another_protocol() -> None:
    other = read_spec(TEXT.replace("min_speedup: 1.0", "min_speedup: 1.2"), Path("e2e.yaml"))
    assert protocol(spec_with()).digest != protocol(other).digest
