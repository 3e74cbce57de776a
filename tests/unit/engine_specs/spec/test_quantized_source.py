"""A variant that names a ready-made quantized checkpoint: what a spec may say of it."""

import json
from pathlib import Path

import pytest
from support.paths import DATA

from engine_specs.reading import SpecInvalid
from engine_specs.spec import Spec, load_spec, read_spec, resolve_variants
from tasks.kinds import kind_named
from tasks.stages import SpecGraph

FILE = DATA / "specs" / "vllm-e2e.yaml"
COMMIT = "d" * 40
SOURCE = f"source: {{repo: acme/quantized, revision: {COMMIT}}}"
PLAIN = "quantization: {recipe: none}"


def spec_with(quantization: str, *, cpu: str = "", kind: str = "vllm") -> Spec:
    """The spec over vLLM, with other defaults and, on request, an override of its first variant."""
    text = FILE.read_text().replace(PLAIN, f"quantization: {{{quantization}}}")
    begin = text.index("  - name: h200-fp8")
    text = text[:begin] + text[text.index("workload:") :]
    text = text.replace("{kind: vllm, options: {dtype: float32}}", f"{{kind: {kind}}}")
    return read_spec(text.replace("target: cpu-x86-64-v3", f"target: cpu-x86-64-v3{cpu}"), FILE)


def refused(quantization: str, **more: str) -> list[str]:
    with pytest.raises(SpecInvalid) as raised:
        spec_with(quantization, **more)
    return [f"{one.field}: {one.found}: {one.accepted}" for one in raised.value.problems]


def test_a_source_implies_the_recipe_and_is_part_of_the_spec() -> None:
    spec = spec_with(SOURCE)
    (variant,) = resolve_variants(spec)
    asked = variant.quantization
    assert (asked.recipe, asked.kv_cache, asked.calibration) == ("ready_made", "none", None)
    assert asked.source is not None
    assert (asked.source.repo, asked.source.revision) == ("acme/quantized", COMMIT)
    assert COMMIT in json.dumps(spec.model_dump(mode="json"))


def test_an_override_may_replace_the_recipe_of_the_defaults() -> None:
    spec = spec_with("recipe: none", cpu=f", quantization: {{recipe: null, {SOURCE}}}")
    assert resolve_variants(spec)[0].quantization.recipe == "ready_made"


@pytest.mark.parametrize(
    ("quantization", "words"),
    [
        ("kv_cache: none", "quantization.recipe: : required"),
        ("recipe: ready_made", "quantization.source: : required: recipe ready_made reads it"),
        (
            f"recipe: none, {SOURCE}",
            "quantization.source: a mapping: nothing: only recipe ready_made reads it",
        ),
        (f"kv_cache: fp8, {SOURCE}", "quantization.kv_cache: 'fp8': nothing: the source's own files say"),
        ("source: {repo: acme/quantized, revision: main}", "source.revision: 'main': a commit of 40"),
        ("source: {repo: acme/quantized}", "source.revision"),
        (f"{SOURCE}, search: {{effective_bits: 8, candidates: [fp8]}}", "only recipe auto reads it"),
    ],
)
def test_what_clashes_is_one_problem(quantization: str, words: str) -> None:
    (problem,) = refused(quantization)
    assert words in problem


@pytest.mark.parametrize("kind", ["aot-inductor"])
def test_kinds_that_compile_their_own_layout_take_none(kind: str) -> None:
    found = refused(SOURCE, kind=kind)
    assert [one for one in found if "'ready_made': a recipe that aot-inductor supports" in one]


def test_no_argument_names_a_method_and_the_accuracy_is_that_of_the_spec(tmp_path: Path) -> None:
    spec = spec_with(SOURCE)
    (nodes,) = SpecGraph(spec, resolve_variants(spec)).variants
    argv = kind_named("vllm").serve_command(nodes.variant).argv
    assert "--quantization" not in argv
    assert argv[argv.index("--kv-cache-dtype") + 1] == "auto"
    needed = {need.role: need.node.makes for need in nodes.measure.needs}
    assert needed["checkpoint"] == "checkpoint"
    assert [need.node.makes for need in nodes.build.needs] == ["ready-made-cpu"]
    assert not any(need.node is nodes.quantize for need in (*nodes.build.needs, *nodes.measure.needs))


def test_a_spec_without_a_source_is_written_as_before() -> None:
    (variant,) = resolve_variants(load_spec("demo"))
    assert "source" not in variant.model_dump(mode="json")["quantization"]
