"""Rules between fields: what each refuses, on which line, and what it lets pass."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.specs.text import COMMIT, GOOD, OTHER_COMMIT, edited, problems_in

from engine_specs.reading import parse
from engine_specs.spec import Spec, read_spec

Edits = tuple[tuple[str, str], ...]

CALIBRATION = f"""\
recipe: fp8
    calibration:
      dataset: owner/texts
      revision: {COMMIT[::-1]}
      split: train
      samples: 16
      sequence_length: 128
"""

BROKEN: list[tuple[Edits, int, str, str, str]] = [
    # edits, line, field, found, accepted: the only problem of the file
    (((COMMIT, "main"),), 5, "checkpoint.revision", "'main'", "only together with track: true"),
    (((COMMIT, COMMIT.upper()),), 5, "checkpoint.revision", repr(COMMIT.upper()), "commit of 40"),
    (((COMMIT, COMMIT + "\n  track: true"),), 6, "checkpoint.track", "true with a commit", "false"),
    ((("name: second", "name: first"),), 19, "variants[1].name", "'first'", "variants[0] has this one"),
    ((("name: second", "name: release"),), 19, "variants[1].name", "'release'", "use current, lock"),
    ((("name: first", "name: 1.4.0"),), 17, "variants[0].name", "'1.4.0'", "another name"),
    ((("name: first", "name: current"),), 17, "variants[0].name", "'current'", "another name"),
    (
        (("cpu-x86-64-v3", "cpu-x86-64-v3\n    required: false"),),
        16,
        "variants",
        "no required variant",
        "at least one variant with required: true",
    ),
    ((("max_seq_len: 256", "max_seq_len: 192"),), 14, "defaults.shape.max_seq_len", "192", "at least 193"),
    (
        (("max_batch_size: 2", "max_seq_len: 192"),),
        23,
        "variants[1].shape.max_seq_len",
        "192",
        "at least 193: a prompt of max_input_len (192) and one token of output",
    ),
    (
        (("max_num_tokens: 1024", "max_num_tokens: 191"),),
        15,
        "defaults.shape.max_num_tokens",
        "191",
        "at least 192 (max_input_len)",
    ),
    (
        (("max_batch_size: 2", "max_batch_size: 2000"),),
        15,
        "defaults.shape.max_num_tokens",
        "1024",
        "at least 2000 (max_batch_size)",
    ),
    ((("max_input_len: 192", "max_input_len: 63"),), 13, "defaults.shape.max_input_len", "63", "at least 64"),
    ((("output_tokens: 32", "output_tokens: 193"),), 14, "defaults.shape.max_seq_len", "256", "at least 257"),
    (
        (("[1, 2, 8]", "[1, 8]"),),
        28,
        "workload.operating_point",
        "2",
        "one of concurrency: 1, 8",
    ),
    ((("[1, 2, 8]", "[1, 2, 2]"),), 27, "workload.concurrency[2]", "the same value again", "once"),
    ((("[nightly]", "[nightly, nightly]"),), 50, "channels[1]", "the same value again", "once"),
    (
        (("{dtype: bfloat16}", "{}"),),
        34,
        "validation.reference.configurations[1]",
        "the same value again",
        "once",
    ),
    (
        (("int8_weight_only", "nvfp4\n    calibration: null"),),
        10,
        "defaults.quantization.recipe",
        "'nvfp4'",
        "none, int8",
    ),
    (
        (("{kind: aot-inductor}", "{kind: vllm}"), ("int8_weight_only", "int4_awq")),
        10,
        "defaults.quantization.recipe",
        "'int4_awq'",
        "; not this one: vLLM has no loader for what ModelOpt exports (vllm/model_executor/",
    ),
    (
        (("cpu-x86-64-v3", "cpu-x86-64-v3\n    tensor_parallel: 2"),),
        19,
        "variants[0].tensor_parallel",
        "2",
        "at most 1 with aot-inductor",
    ),
    (
        (("cpu-x86-64-v3", "cpu-x86-64-v3\n    pipeline_parallel: 2"),),
        19,
        "variants[0].pipeline_parallel",
        "2",
        "at most 1 with aot-inductor",
    ),
    (
        (("    dataset: owner/texts\n", ""), (f"    revision: {OTHER_COMMIT}\n    split: heldout\n", "")),
        35,
        "validation.accuracy",
        "neither dataset nor path",
        "a dataset on the Hub or the path",
    ),
    (
        (("    split: heldout", "    split: heldout\n    path: texts.jsonl"),),
        39,
        "validation.accuracy.path",
        "a path next to a dataset",
        "one of the two",
    ),
    ((("    split: heldout\n", ""),), 35, "validation.accuracy.split", "", "required"),
    (((f"    revision: {OTHER_COMMIT}\n", ""),), 35, "validation.accuracy.revision", "", "required"),
    (((OTHER_COMMIT, "main"),), 37, "validation.accuracy.revision", "'main'", "track: true"),
    (
        (("dataset: owner/texts", "path: texts.jsonl"), (f"    revision: {OTHER_COMMIT}\n", "")),
        37,
        "validation.accuracy.split",
        "'heldout'",
        "nothing: this is for datasets",
    ),
]


@pytest.mark.parametrize(("edits", "line", "field", "found", "accepted"), BROKEN)
def test_a_broken_rule_is_one_problem_on_its_line(
    edits: Edits, line: int, field: str, found: str, accepted: str
) -> None:
    problems = [p for p in problems_in(edited(*edits)) if "calibration" not in p.field]
    assert [(p.line, p.field, p.found) for p in problems] == [(line, field, found)]
    assert accepted in problems[0].accepted


@pytest.mark.parametrize(
    "edits",
    [
        ((COMMIT, "main\n  track: true"),),
        ((OTHER_COMMIT, "v1.0\n    track: true"),),
        (("[1, 2, 8]", "[1, 2, 64]"),),  # above max_batch_size requests queue
        (("operating_point: 2", "operating_point: 1"), ("max_batch_size: 2", "max_batch_size: 1")),
        (("max_num_tokens: 1024", "max_num_tokens: 192"),),
        (("max_input_len: 192", "max_input_len: 64"),),
        (("output_tokens: 32", "output_tokens: 192"),),
        (("cpu-x86-64-v3", "cpu-x86-64-v3\n    tensor_parallel: 1\n    pipeline_parallel: 1"),),
        (
            ("dataset: owner/texts", "path: ../data/texts.jsonl"),
            (f"    revision: {OTHER_COMMIT}\n    split: heldout\n", ""),
        ),
        (("    split: heldout", "    split: heldout\n    path: null"),),
    ],
)
def test_what_the_rules_let_pass(edits: Edits) -> None:
    assert read_spec(edited(*edits), Path("tiny.yaml")).name == "tiny"


@pytest.mark.parametrize(
    ("arrivals", "field", "words"),
    [
        (
            "{per_s: 9, share_of_capacity: 0.5}",
            "workload.arrivals.share_of_capacity",
            "a rate per second needs no share",
        ),
        (
            "{per_s: 1.5}",
            "validation.speed.budget_minutes",
            "at least 4: a 99th percentile takes 299 requests",
        ),
    ],
)
def test_arrivals_are_declared_in_one_way_and_are_enough_for_a_percentile(
    arrivals: str, field: str, words: str
) -> None:
    (problem,) = problems_in(edited(("  slo:", f"  arrivals: {arrivals}\n  slo:")))
    assert problem.field == field
    assert words in problem.accepted


@pytest.mark.parametrize(
    ("sweep", "field", "accepted"),
    [
        (
            "[{input_tokens: 200, output_tokens: 8}]",
            "defaults.shape.max_input_len",
            "at least 200: the input_tokens",
        ),
        (
            "[{input_tokens: 100, output_tokens: 200}]",
            "defaults.shape.max_seq_len",
            "at least 300: the input_tokens and output_tokens of workload.sweep",
        ),
        (
            "[{input_tokens: 9, output_tokens: 9}, {input_tokens: 9, output_tokens: 9}]",
            "workload.sweep[1]",
            "each value once",
        ),
    ],
)
def test_lengths_of_a_sweep_fit_every_variant_and_are_not_repeated(
    sweep: str, field: str, accepted: str
) -> None:
    problems = problems_in(edited(("  slo:", f"  sweep: {sweep}\n  slo:")))
    assert {one.field for one in problems} == {field}
    assert accepted in problems[0].accepted


def test_an_operating_point_beyond_a_variants_batch_always_waits() -> None:
    (problem,) = problems_in(
        edited(("operating_point: 2", "operating_point: 8"), ("max_batch_size: 2", "max_batch_size: 8"))
    )
    assert (problem.line, problem.field, problem.found) == (12, "defaults.shape.max_batch_size", "4")
    assert problem.accepted == "at least 8: otherwise requests always wait at the workload's operating_point"


def test_an_unpinned_calibration_path_must_be_relative_jsonl() -> None:
    text = edited(("dataset: owner/texts", "path: /data/texts.jsonl"))
    (problem, *_) = [p for p in problems_in(text) if p.field == "validation.accuracy.path"]
    assert (problem.line, problem.found) == (36, "'/data/texts.jsonl'")
    assert "relative to the spec" in problem.accepted


class TestWithAKindThatTakesEverything:
    """Rules that need a recipe with calibration, which no shipped kind takes yet."""

    @pytest.fixture
    def text(self, generous_kind: str) -> Callable[..., str]:
        return lambda *edits: edited(("aot-inductor", generous_kind), *edits)

    def test_a_recipe_that_calibrates_needs_texts(self, text: Callable[..., str]) -> None:
        (problem,) = problems_in(text(("recipe: int8_weight_only", "recipe: fp8")))
        assert (problem.line, problem.field, problem.found) == (9, "defaults.quantization.calibration", "")
        assert problem.accepted == "required: recipe fp8 finds its scales by running text"

    def test_a_kv_cache_that_calibrates_needs_texts(self, text: Callable[..., str]) -> None:
        (problem,) = problems_in(text(("int8_weight_only", "int8_weight_only\n    kv_cache: fp8")))
        assert (problem.line, problem.field) == (9, "defaults.quantization.calibration")
        assert problem.accepted == "required: kv_cache fp8 finds its scales by running text"

    def test_calibration_texts_are_pinned_too(self, text: Callable[..., str]) -> None:
        calibration = CALIBRATION.replace(COMMIT[::-1], "main")
        (problem,) = problems_in(text(("recipe: int8_weight_only\n", calibration)))
        assert (problem.line, problem.field) == (13, "defaults.quantization.calibration.revision")

    def test_another_dataset_does_not_inherit_the_revision(self, text: Callable[..., str]) -> None:
        override = "max_batch_size: 2\n    quantization: {calibration: {dataset: owner/others}}"
        (problem,) = problems_in(
            text(("recipe: int8_weight_only\n", CALIBRATION), ("max_batch_size: 2", override))
        )
        assert (problem.line, problem.field) == (30, "variants[1].quantization.calibration.revision")
        assert "belongs to another repository" in problem.accepted

    def test_a_dataset_without_revision_is_one_problem_where_none_is_inherited(
        self, text: Callable[..., str]
    ) -> None:
        calibration = "{dataset: owner/others, split: a}"
        override = f"max_batch_size: 2\n    quantization: {{recipe: fp8, calibration: {calibration}}}"
        problems = problems_in(text(("max_batch_size: 2", override)))
        assert [(p.line, p.field.rpartition(".")[2]) for p in problems] == [
            (24, "revision"),
            (24, "samples"),
            (24, "sequence_length"),
        ]

    def test_an_override_may_switch_from_a_dataset_to_a_file(self, text: Callable[..., str]) -> None:
        switch = "{dataset: null, revision: null, split: null, path: a.jsonl}"
        override = f"max_batch_size: 2\n    quantization: {{calibration: {switch}}}"
        spec = read_spec(
            text(("recipe: int8_weight_only\n", CALIBRATION), ("max_batch_size: 2", override)), Path("x.yaml")
        )
        assert spec.variants[1].name == "second"

    def test_an_unknown_target_platform_of_a_kind_is_refused(
        self, text: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from engine_specs.spec.rules import spec as rules
        from engine_specs.tables import targets

        table = dict(targets.load_targets())
        table["cpu-x86-64-v4"] = table["cpu-x86-64-v4"].model_copy(update={"platform": "elsewhere"})
        monkeypatch.setattr(rules, "load_targets", lambda: table)
        (problem,) = problems_in(text())
        assert (problem.line, problem.field, problem.found) == (20, "variants[1].target", "'cpu-x86-64-v4'")
        known = [name for name, row in table.items() if row.platform in ("linux-x86_64", "linux-aarch64")]
        assert problem.accepted == f"a target that generous builds for: {', '.join(known)}"
        assert "cpu-x86-64-v3" in known


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("operating_point: 2", "operating_point: 4", "workload.operating_point: found 4"),
        ("    max_seq_len: 256\n", "", "shape.max_seq_len"),
    ],
)
def test_no_spec_object_is_ever_inconsistent(old: str, new: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Spec.model_validate(parse(edited((old, new))).value)


def test_the_good_spec_is_good() -> None:
    assert read_spec(GOOD, Path("tiny.yaml")).channels == ("nightly",)
