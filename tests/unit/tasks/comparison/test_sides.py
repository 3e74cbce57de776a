"""The protocol from a spec, and what changes it."""

from pathlib import Path

from support.paths import E2E_SPEC

from artifacts.hosts import EngineManifest, HostRequirements, ServeCommand
from engine_specs.spec import Spec, read_spec, resolve_variants
from tasks.comparison import ReferenceTrees, engine_side, judging_protocol, reference_sides
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
        references=reference_sides(spec, variant, ReferenceTrees(CHECKPOINT)),
        vocabulary=Vocabulary(size=1024, special_ids=(0,)),
        end_tokens=(0,),
        text_sha256="d" * 64,
    )


def test_a_changed_gate_is_another_protocol() -> None:
    other = read_spec(TEXT.replace("min_speedup: 1.0", "min_speedup: 1.2"), Path("e2e.yaml"))
    assert protocol(spec_with()).digest != protocol(other).digest
