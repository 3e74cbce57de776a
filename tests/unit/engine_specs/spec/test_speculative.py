"""Speculative decoding: what a spec may say of it, and what it may not say next to it."""

import json

import pytest
from support.paths import DATA

from engine_specs.reading import SpecInvalid
from engine_specs.spec import Spec, read_spec, resolve_variants

FILE = DATA / "specs" / "vllm-e2e.yaml"
COMMIT = "d" * 40
DRAFT = f"draft: {{repo: acme/draft, revision: {COMMIT}}}"
CHOICE = """
  tasks:
    - {name: t, path: t.jsonl, samples: 4, max_loss: 0.1, form: multiple-choice, prompt: "{q}",
       options_field: o, label_field: l}
"""


def spec_with(
    speculative: str, *, more: str = "", kind: str = "vllm", edit: tuple[str, str] = ("", "")
) -> Spec:
    """The spec over vLLM with one variant, which drafts."""
    text = FILE.read_text()
    begin = text.index("  - name: h200-fp8")
    text = text[:begin] + text[text.index("workload:") :]
    text = text.replace("{kind: vllm, options: {dtype: float32}}", f"{{kind: {kind}}}")
    row = f"target: cpu-x86-64-v3, speculative: {{{speculative}}}{more}"
    return read_spec(text.replace("target: cpu-x86-64-v3", row).replace(*edit), FILE)


def refused(speculative: str, **more: object) -> list[str]:
    with pytest.raises(SpecInvalid) as raised:
        spec_with(speculative, **more)  # type: ignore[arg-type]
    return [f"{one.field}: {one.found}: {one.accepted}" for one in raised.value.problems]


@pytest.mark.parametrize(
    "written",
    [
        "method: ngram, tokens: 4",
        f"method: eagle3, tokens: 3, {DRAFT}",
        f"method: draft_model, tokens: 5, {DRAFT}",
    ],
)
def test_it_is_part_of_the_spec_and_of_the_variant(written: str) -> None:
    spec = spec_with(written)
    (variant,) = resolve_variants(spec)
    assert variant.speculative is not None
    assert variant.speculative.tokens in (3, 4, 5)
    assert ("acme/draft" in json.dumps(spec.model_dump(mode="json"))) == (DRAFT in written)


def test_a_variant_may_change_or_switch_off_what_the_defaults_draft() -> None:
    drafting = "  speculative: {method: ngram, tokens: 4}\n"
    more = "\n  - {name: plain, target: cpu-x86-64-v3, speculative: null}"
    text = FILE.read_text().replace(
        "  quantization: {recipe: none}\n", f"  quantization: {{recipe: none}}\n{drafting}"
    )
    begin = text.index("  - name: h200-fp8")
    text = text[:begin] + text[text.index("workload:") :]
    row = "  - {name: cpu, target: cpu-x86-64-v3"
    spec = read_spec(text.replace(f"{row}}}", f"{row}, speculative: {{tokens: 2}}}}{more}"), FILE)
    changed, plain = (one.speculative for one in resolve_variants(spec))
    assert changed is not None
    assert (changed.method, changed.tokens) == ("ngram", 2)
    assert plain is None


def test_a_variant_without_it_is_written_as_before() -> None:
    (variant, *_) = resolve_variants(read_spec(FILE.read_text(), FILE))
    assert "speculative" not in variant.model_dump(mode="json")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("method: eagle3, tokens: 3", "speculative.draft: : required: eagle3 drafts with a checkpoint"),
        ("method: draft_model, tokens: 3", "speculative.draft: : required"),
        (f"method: ngram, tokens: 3, {DRAFT}", "nothing: ngram drafts with the text so far"),
        (f"method: mtp, tokens: 1, {DRAFT}", "nothing: mtp drafts with layers of the checkpoint"),
        (
            "method: eagle3, tokens: 3, draft: {repo: acme/draft, revision: main}",
            "speculative.draft.revision: 'main': a commit of 40",
        ),
        ("method: medusa, tokens: 3", "speculative.method"),
        ("method: ngram, tokens: 0", "speculative.tokens"),
        ("method: ngram", "speculative.tokens"),
        ("method: ngram, tokens: 64", "shape.max_num_tokens: 128: at least 130: in one iteration"),
    ],
)
def test_what_clashes_is_one_problem(written: str, words: str) -> None:
    (problem,) = refused(written)
    assert words in problem


@pytest.mark.parametrize("kind", ["aot-inductor", "trt-plan"])
def test_kinds_that_check_no_drafts_name_those_that_do(kind: str) -> None:
    found = [one for one in refused("method: ngram, tokens: 2", kind=kind) if "speculative" in one]
    assert len(found) == 1
    words = f"'ngram': nothing: {kind} drafts no tokens; or a kind that has it: trtllm-torch, vllm"
    assert words in found[0]


@pytest.mark.parametrize(
    ("more", "edit", "words"),
    [
        (
            "",
            ("  operating_point", "  prompts: random-ids\n  operating_point"),
            "workload.prompts: text: how many",
        ),
        ("", ("  speed:", CHOICE[1:] + "  speed:"), "a speculating server takes no logit_bias"),
        (", pipeline_parallel: 2", ("", ""), "1 with speculative: TensorRT-LLM does not draft across"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_sentence(
    more: str, edit: tuple[str, str], words: str
) -> None:
    (problem,) = refused("method: ngram, tokens: 2", more=more, edit=edit)
    assert words in problem
