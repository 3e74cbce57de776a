"""Pre-flight of tasks: kinds whose servers cannot score options, and checkpoints without a chat template."""

import pytest
from support.specs.gpu import CONFIG, FILES, gpu_variant, preflight

from engine_specs.preflight import SmallFiles, examine
from engine_specs.spec import Spec, Task, resolve_variants
from engine_specs.tables import load_kinds

CHOICE = Task(
    name="arc", form="multiple-choice", path="a.jsonl", samples=9, prompt="{q}", max_loss=0.1,
    options_field="o", label_field="l",
)  # fmt: skip
SUMS = Task(
    name="sums", form="exact-match", path="a.jsonl", samples=9, prompt="{q}", max_loss=0.1,
    answer_field="a", max_tokens=4,
)  # fmt: skip


def with_tasks(spec: Spec, *tasks: Task) -> Spec:
    return spec.model_copy(update={"validation": spec.validation.model_copy(update={"tasks": tasks})})


@pytest.mark.parametrize("kind", ["trt-plan", "trtllm-torch"])
def test_a_kind_whose_server_is_not_known_to_score_options_takes_exact_matches_only(
    spec: Spec, kind: str
) -> None:
    asked = with_tasks(spec, SUMS, CHOICE)
    (problem,) = preflight(asked, gpu_variant(asked, kind, "h100-sxm", "fp8"), CONFIG, FILES)
    assert (problem.field, f"multiple-choice with kind {kind}" in problem.found) == (
        "validation.tasks[1].form",
        True,
    )
    able = [name for name, one in load_kinds().items() if one.scores_options]
    assert {"aot-inductor", "vllm"} <= {*able}
    assert problem.accepted == f"exact-match, or a kind whose server does: {', '.join(able)}"


@pytest.mark.parametrize(
    ("config", "files", "accepted"),
    [
        ({"chat_template": "{{ x }}"}, {}, True),
        ({"eos_token": "</s>"}, {"chat_template.jinja": 9}, True),
        ({}, {}, True),
        ({"eos_token": "</s>"}, {}, False),
    ],
    ids=["in-the-configuration", "in-a-file", "unknown", "none"],
)
def test_a_chat_needs_a_template(
    spec: Spec, config: dict[str, str], files: dict[str, int], accepted: bool
) -> None:
    asked = with_tasks(spec, SUMS, SUMS.model_copy(update={"name": "chat", "chat": True}))
    small = SmallFiles(json_files={"tokenizer_config.json": config} if config else {})
    found = examine(asked, resolve_variants(asked)[0], CONFIG, FILES | files, small=small).problems
    mine = [one for one in found if "chat template" in one.found]
    assert [one.field for one in mine] == ([] if accepted else ["validation.tasks[1].chat"])
